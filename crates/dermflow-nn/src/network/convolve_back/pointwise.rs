//! The backward pass of a 1x1 convolution: tiles of rows of all places.

use crate::kernels::panels::Panels;
use crate::kernels::parallel;
use crate::kernels::product::{End, OuterSum, Product};
use crate::kernels::rows::{ActivationBack, Extent, NormBack};

use super::super::context::{Source, is_one_sum, join_sums, lanes, one_sum, row_pieces, sum_in_lanes};
use super::super::convolve::tile_rows;
use super::Backward;

impl Backward<'_> {
    pub(super) fn pointwise(
        &self,
        weight_gradient: &mut [f32],
        out: Option<&mut [f32]>,
        end: End<'_>,
    ) -> Vec<f64> {
        let (context, of) = (self.context, self.of);
        let (inputs, outputs) = (of.inputs, of.outputs);
        let rows = self.grid.places();
        if is_one_sum(rows, inputs, outputs) {
            return self.pointwise_whole(weight_gradient, out, end);
        }
        let panels = out.is_some().then(|| self.turned_panels());
        let tile = tile_rows(inputs + outputs);
        let lane_count = lanes(rows.div_ceil(tile), rows);
        let mut sums = vec![0.0; lane_count * self.sums_len()];
        let parts = Self::parts(out, lane_count, rows, inputs)
            .into_iter()
            .zip(parallel::equal(&mut sums, lane_count));
        sum_in_lanes(
            context.pool,
            parts.collect(),
            rows,
            weight_gradient,
            |share, (mut out, sums), weights| {
                let mut up_scratch = context.pool.take(tile * outputs);
                let mut value_scratch = context.pool.take(tile * inputs);
                for start in share.clone().step_by(tile) {
                    let end_row = (start + tile).min(share.end);
                    let up = self.up_rows(start, end_row, &mut up_scratch);
                    let own = (start - share.start) * inputs..(end_row - share.start) * inputs;
                    let out = out.as_deref_mut().map_or(&mut [][..], |out| &mut out[own]);
                    if let Some(panels) = &panels {
                        context.set.run(Product::plain(up, panels.all(), out, end));
                    }
                    let value = self.value_rows(start, end_row, out, &mut value_scratch, sums);
                    context.set.run(OuterSum {
                        left: up,
                        left_line: 0,
                        left_step: outputs,
                        right: value,
                        right_line: 0,
                        right_step: inputs,
                        lines: 1,
                        steps: end_row - start,
                        rows: outputs,
                        columns: inputs,
                        out: weights,
                        out_stride: inputs,
                    });
                }
            },
        );
        join_sums(self.sums_len().max(1), &sums)
    }

    /// The same where the weights' gradient is [`one_sum`].
    fn pointwise_whole(
        &self,
        weight_gradient: &mut [f32],
        out: Option<&mut [f32]>,
        end: End<'_>,
    ) -> Vec<f64> {
        let (context, of) = (self.context, self.of);
        let (inputs, outputs) = (of.inputs, of.outputs);
        let rows = self.grid.places();
        let panels = out.is_some().then(|| self.turned_panels());
        let tile = tile_rows(inputs + outputs);
        let pieces = row_pieces(rows);
        // What is already there as it is multiplied is not copied.
        let of_up = self.upstream.norm.map_or(0, |_| outputs);
        let of_value = match self.source {
            Source::Plain(_) => 0,
            Source::Normed(_) => inputs,
        };
        let mut ups = context.pool.take(rows * of_up);
        let mut values = context.pool.take(rows * of_value);
        let mut sums = vec![0.0; pieces * self.sums_len()];
        let parts = Self::parts(out, pieces, rows, inputs)
            .into_iter()
            .zip(parallel::shares(&mut ups, rows, pieces, of_up))
            .zip(parallel::shares(&mut values, rows, pieces, of_value))
            .zip(parallel::equal(&mut sums, pieces));
        parallel::for_each(parts.collect(), |piece, (((mut out, ups), values), sums)| {
            let share = parallel::share(rows, pieces, piece);
            for start in share.clone().step_by(tile) {
                let end_row = (start + tile).min(share.end);
                let own = |unit: usize| (start - share.start) * unit..(end_row - share.start) * unit;
                let up = self.up_rows(start, end_row, &mut ups[own(of_up)]);
                let out = out
                    .as_deref_mut()
                    .map_or(&mut [][..], |out| &mut out[own(inputs)]);
                if let Some(panels) = &panels {
                    context.set.run(Product::plain(up, panels.all(), out, end));
                }
                self.value_rows(start, end_row, out, &mut values[own(of_value)], sums);
            }
        });
        let up = self.upstream.norm.map_or(self.upstream.gradient, |_| &*ups);
        let value = match self.source {
            Source::Plain(values) => values,
            Source::Normed(_) => &*values,
        };
        one_sum(context.set, (up, outputs), (value, inputs), weight_gradient);
        join_sums(self.sums_len().max(1), &sums)
    }

    /// The right side that gives the gradient of what was read.
    fn turned_panels(&self) -> Panels {
        let (context, inputs) = (self.context, self.of.inputs);
        let weight = &context.decayed[self.of.weight.clone()];
        Panels::from_rows(context.pool, context.set, self.of.outputs, inputs, |k| {
            &weight[k * inputs..(k + 1) * inputs]
        })
    }

    /// What was read for some rows; where it came through a norm, its gradient in `out` is taken
    /// through the activation as well.
    fn value_rows<'s>(
        &'s self,
        start: usize,
        end: usize,
        out: &mut [f32],
        scratch: &'s mut [f32],
        sums: &mut [f64],
    ) -> &'s [f32] {
        let inputs = self.of.inputs;
        let rows = start * inputs..end * inputs;
        match self.source {
            Source::Plain(values) => &values[rows],
            Source::Normed(normed) => {
                let to = &mut scratch[..rows.len()];
                self.context.set.run(ActivationBack {
                    extent: Extent::flat(end - start, inputs),
                    y: &normed.y[rows],
                    affine: normed.affine(),
                    nonlinearity: normed.nonlinearity,
                    factor: 1.0,
                    gradient: out,
                    value: Some((to, 0)),
                    sums,
                });
                to
            }
        }
    }

    /// The gradient of the output for some rows.
    fn up_rows<'s>(&'s self, start: usize, end: usize, scratch: &'s mut [f32]) -> &'s [f32] {
        let outputs = self.of.outputs;
        let rows = start * outputs..end * outputs;
        match self.upstream.norm {
            None => &self.upstream.gradient[rows],
            Some((normed, back)) => {
                let to = &mut scratch[..rows.len()];
                self.context.set.run(NormBack {
                    extent: Extent::flat(end - start, outputs),
                    dz: &self.upstream.gradient[rows.clone()],
                    y: &normed.y[rows],
                    from_line: 0,
                    mean: &normed.constants.mean,
                    gain: &back.gain,
                    slant: &back.slant,
                    offset: &back.offset,
                    to,
                    to_line: 0,
                    to_step: outputs,
                });
                to
            }
        }
    }
}
