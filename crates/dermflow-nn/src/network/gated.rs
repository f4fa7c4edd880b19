//! Squeeze-and-excite with the projection behind it, image by image: mean over places, two
//! small layers, a gate for every channel, a 1x1 convolution of what passes the gate.
//!
//! What the gate acts on is worked out from the depthwise convolution's output wherever it is
//! needed, one image at a time. Must not know of blocks.

mod small;

use crate::kernels::buffer::Buffer;
use crate::kernels::panels::Panels;
use crate::kernels::parallel;
use crate::kernels::product::{End, OuterSum, Product};
use crate::kernels::rows::{
    ColumnSums, Extent, Finish, Gate, NormActivate, NormBack, ScaleChannels, SqueezeBack, SqueezeSums,
};

use super::context::{
    Context, Gradients, Normed, is_one_sum, join_sums, lanes, one_sum, power_of_two, row_pieces, sum_in_lanes,
};
use super::convolve::{Convolved, by_images};
use super::convolve_back::Gone;
use super::norm::BackConstants;
use super::plan::{Convolution, SqueezePlan};
use small::SmallBack;

/// What the backward pass needs of every image's gate.
pub(super) struct Gates {
    /// Means over places, `[images, channels]`.
    pooled: Buffer,
    /// The narrow layer's output before its bias, `[images, narrow]`.
    narrow: Buffer,
    /// `[images, channels]`.
    gate: Buffer,
}

/// Right sides of the two small layers.
pub(super) struct GatePanels {
    squeeze: Panels,
    excite: Panels,
}

impl GatePanels {
    pub(super) fn new(context: &Context<'_>, plan: &SqueezePlan) -> GatePanels {
        let panels = |of: &Convolution| {
            let weight = &context.decayed[of.weight.clone()];
            let column = |n: usize| &weight[n * of.inputs..(n + 1) * of.inputs];
            Panels::from_columns(context.pool, context.set, of.inputs, of.outputs, column, None)
        };
        GatePanels {
            squeeze: panels(&plan.squeeze),
            excite: panels(&plan.excite),
        }
    }

    /// How many numbers they hold.
    pub(super) fn numbers(&self) -> usize {
        self.squeeze.numbers() + self.excite.numbers()
    }

    /// The gates of some images, from their means over places; `biases` are those of the two
    /// layers, `narrow` the first one's output before its bias.
    pub(super) fn gate(
        &self,
        context: &Context<'_>,
        biases: [&[f32]; 2],
        pooled: &[f32],
        narrow: &mut [f32],
        gate: &mut [f32],
    ) {
        let set = context.set;
        set.run(Product::plain(pooled, self.squeeze.all(), narrow, End::Store));
        let mut inside = context.pool.copy(narrow);
        set.run(Finish {
            extent: Extent::flat(inside.len() / biases[0].len().max(1), biases[0].len()),
            values: &mut inside,
            values_line: 0,
            bias: biases[0],
            nonlinearity: context.activation,
            shortcut: None,
        });
        set.run(Product::plain(&inside, self.excite.all(), gate, End::Store));
        set.run(Gate {
            values: gate,
            bias: biases[1],
        });
    }
}

/// The bias of one of the small layers.
pub(super) fn bias<'a>(context: &Context<'a>, of: &Convolution) -> &'a [f32] {
    of.bias
        .as_ref()
        .map_or(&[], |range| &context.plain[range.clone()])
}

/// How many images of so many places go through the projection at once: few rows wait for the
/// weights. By shape alone.
pub(crate) fn images_together(places: usize, count: usize) -> usize {
    (72 / places.max(1)).clamp(1, count.div_ceil(4).max(1))
}

/// Into how many pieces the way back through the gates is cut, where the gradient of the projection's
/// weights is [`one_sum`]: by shape alone.
pub(crate) fn gated_lanes(count: usize) -> usize {
    power_of_two(count.min(16))
}

/// Forward over a batch.
pub(super) fn forward(
    context: &Context<'_>,
    plan: &SqueezePlan,
    project: &Convolution,
    from: &Normed,
    moments: bool,
) -> (Convolved, Gates) {
    let (channels, narrow) = (project.inputs, plan.squeeze.outputs);
    let weight = &context.decayed[project.weight.clone()];
    let column = |n: usize| &weight[n * channels..(n + 1) * channels];
    let panels = Panels::from_columns(context.pool, context.set, channels, project.outputs, column, None);
    let gate_panels = GatePanels::new(context, plan);
    let count = from.grid.count;
    let mut gates = Gates {
        pooled: context.pool.zeros(count * channels),
        narrow: context.pool.take(count * narrow),
        gate: context.pool.take(count * channels),
    };
    let biases = [bias(context, &plan.squeeze), bias(context, &plan.excite)];
    let places = from.grid.of_image();
    let groups = count.div_ceil(images_together(places, count));
    let parts = parallel::shares(&mut gates.pooled, count, groups, channels)
        .into_iter()
        .zip(parallel::shares(&mut gates.narrow, count, groups, narrow))
        .zip(parallel::shares(&mut gates.gate, count, groups, channels));
    let (parts, outputs) = (parts.collect(), project.outputs);
    let convolved = by_images(
        context,
        from.grid,
        outputs,
        moments,
        parts,
        |images, out, part| {
            let ((pooled, narrow), gate) = part;
            let of_image = places * channels;
            let mut value = context.pool.take(images.len() * of_image);
            context.set.run(NormActivate {
                extent: Extent::flat(images.len() * places, channels),
                from: &from.y[images.start * of_image..images.end * of_image],
                from_line: 0,
                affine: from.affine(),
                nonlinearity: from.nonlinearity,
                to: &mut value,
                to_line: 0,
            });
            let pooled_images = pooled.chunks_exact_mut(channels);
            for (rows, sums) in value.chunks_exact(of_image).zip(pooled_images) {
                context.set.run(ColumnSums {
                    rows,
                    factor: 1.0 / places as f32,
                    sums,
                });
            }
            gate_panels.gate(context, biases, pooled, narrow, gate);
            let gates = gate.chunks_exact(channels);
            for (values, gate) in value.chunks_exact_mut(of_image).zip(gates) {
                context.set.run(ScaleChannels { values, gate });
            }
            context
                .set
                .run(Product::plain(&value, panels.all(), out, End::Store));
        },
    );
    (convolved, gates)
}

/// The backward pass of [`forward`].
pub(super) struct GatedBack<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) plan: &'a SqueezePlan,
    pub(super) project: &'a Convolution,
    pub(super) from: &'a Normed,
    pub(super) gates: Gates,
    /// The gradient behind the projection's norm.
    pub(super) gradient: &'a [f32],
    pub(super) projected: &'a Normed,
    pub(super) back: &'a BackConstants,
}

impl GatedBack<'_> {
    /// Adds to all weights' gradients; gives the gradient before the activation of `from`.
    pub(super) fn run(self, gradients: &mut Gradients<'_>) -> Gone {
        let (context, from) = (self.context, self.from);
        let (channels, outputs) = (self.project.inputs, self.project.outputs);
        let (count, places) = (from.grid.count, from.grid.of_image());
        let weight = &context.decayed[self.project.weight.clone()];
        let panels = Panels::from_rows(context.pool, context.set, outputs, channels, |k| {
            &weight[k * channels..(k + 1) * channels]
        });
        let small = SmallBack::new(&self);
        let mut out = context.pool.take(count * places * channels);
        let whole = is_one_sum(count * places, channels, outputs);
        let lane_count = match whole {
            true => gated_lanes(count),
            false => lanes(count, count * places),
        };
        let mut sums = vec![0.0; lane_count * 2 * channels];
        if whole {
            self.whole(&panels, &small, &mut out, &mut sums, gradients);
            return self.gone(small, out, &sums, gradients);
        }
        let parts = parallel::shares(&mut out, count, lane_count, places * channels)
            .into_iter()
            .zip(parallel::equal(&mut sums, lane_count));
        let weight_gradient = &mut gradients.decayed[self.project.weight.clone()];
        sum_in_lanes(
            context.pool,
            parts.collect(),
            count,
            weight_gradient,
            |share, (out, sums), weights| {
                let mut up = context.pool.take(places * outputs);
                let mut value = context.pool.take(places * channels);
                let mut slope = context.pool.take(places * channels);
                let mut pooled = context.pool.take(channels);
                for (image, gradient) in share.zip(out.chunks_exact_mut(places * channels)) {
                    self.up(image * places, &mut up);
                    context
                        .set
                        .run(Product::plain(&up, panels.all(), gradient, End::Store));
                    let scratch = [&mut *slope, &mut *pooled];
                    self.image(&small, image, gradient, &mut value, scratch, sums);
                    context.set.run(OuterSum {
                        left: &up,
                        left_line: 0,
                        left_step: outputs,
                        right: &value,
                        right_line: 0,
                        right_step: channels,
                        lines: 1,
                        steps: places,
                        rows: outputs,
                        columns: channels,
                        out: weights,
                        out_stride: channels,
                    });
                }
            },
        );
        self.gone(small, out, &sums, gradients)
    }

    /// The same where the gradient of the projection's weights is [`one_sum`]; `sums` has a part for
    /// every lane.
    fn whole(
        &self,
        panels: &Panels,
        small: &SmallBack<'_>,
        out: &mut [f32],
        sums: &mut [f64],
        gradients: &mut Gradients<'_>,
    ) {
        let (context, grid) = (self.context, self.from.grid);
        let (channels, outputs) = (self.project.inputs, self.project.outputs);
        let (rows, of_image) = (grid.places(), grid.of_image() * channels);
        let mut ups = context.pool.take(rows * outputs);
        let mut values = context.pool.take(rows * channels);
        let pieces = row_pieces(rows);
        let parts = parallel::shares(&mut ups, rows, pieces, outputs)
            .into_iter()
            .zip(parallel::shares(out, rows, pieces, channels));
        parallel::for_each(parts.collect(), |piece, (up, out)| {
            self.up(parallel::share(rows, pieces, piece).start, up);
            context.set.run(Product::plain(up, panels.all(), out, End::Store));
        });
        let lane_count = sums.len() / (2 * channels);
        let parts = parallel::shares(out, grid.count, lane_count, of_image)
            .into_iter()
            .zip(parallel::shares(&mut values, grid.count, lane_count, of_image))
            .zip(parallel::equal(sums, lane_count));
        parallel::for_each(parts.collect(), |lane, ((out, values), sums)| {
            let mut slope = context.pool.take(of_image);
            let mut pooled = context.pool.take(channels);
            let images = parallel::share(grid.count, lane_count, lane);
            let parts = out
                .chunks_exact_mut(of_image)
                .zip(values.chunks_exact_mut(of_image));
            for (image, (gradient, value)) in images.zip(parts) {
                let scratch = [&mut *slope, &mut *pooled];
                self.image(small, image, gradient, value, scratch, sums);
            }
        });
        let weight_gradient = &mut gradients.decayed[self.project.weight.clone()];
        one_sum(context.set, (&ups, outputs), (&values, channels), weight_gradient);
    }

    /// One image from behind its gate to before its activation; `value` becomes what was projected.
    fn image(
        &self,
        small: &SmallBack<'_>,
        image: usize,
        gradient: &mut [f32],
        value: &mut [f32],
        [slope, pooled]: [&mut [f32]; 2],
        sums: &mut [f64],
    ) {
        let (set, from, channels) = (self.context.set, self.from, self.project.inputs);
        set.run(SqueezeSums {
            y: from.image(image),
            affine: from.affine(),
            nonlinearity: from.nonlinearity,
            gradient,
            value,
            slope,
            gate_gradient: pooled,
        });
        let gate = &self.gates.gate[image * channels..(image + 1) * channels];
        small.image(image, gate, pooled, 1.0 / from.grid.of_image() as f32);
        set.run(SqueezeBack {
            y: from.image(image),
            mean: &from.constants.mean,
            slope,
            gate,
            pooled,
            value,
            gradient,
            sums,
        });
    }

    /// Adds to the small layers' gradients, and gives what goes on.
    fn gone(&self, small: SmallBack<'_>, out: Buffer, sums: &[f64], gradients: &mut Gradients<'_>) -> Gone {
        let (wide, narrow) = small.into_gradients();
        self.small_weights(&wide, &narrow, gradients);
        Gone {
            gradient: Some(out),
            sums: join_sums(2 * self.project.inputs, sums),
        }
    }

    /// The gradient of the projection's output for rows from this one on.
    fn up(&self, row: usize, to: &mut [f32]) {
        let start = row * self.project.outputs;
        let range = start..start + to.len();
        self.context.set.run(NormBack {
            extent: Extent::flat(to.len() / self.project.outputs, self.project.outputs),
            dz: &self.gradient[range.clone()],
            y: &self.projected.y[range],
            from_line: 0,
            mean: &self.projected.constants.mean,
            gain: &self.back.gain,
            slant: &self.back.slant,
            offset: &self.back.offset,
            to,
            to_line: 0,
            to_step: self.project.outputs,
        });
    }

    /// Gradients of the two small layers, over all images.
    fn small_weights(&self, wide: &[f32], narrow: &[f32], gradients: &mut Gradients<'_>) {
        let set = self.context.set;
        let (squeeze, excite) = (&self.plan.squeeze, &self.plan.excite);
        let inside = self.inside();
        for (of, up, read) in [(excite, wide, &*inside), (squeeze, narrow, &*self.gates.pooled)] {
            let weight_gradient = &mut gradients.decayed[of.weight.clone()];
            one_sum(set, (up, of.outputs), (read, of.inputs), weight_gradient);
            if let Some(range) = &of.bias {
                set.run(ColumnSums {
                    rows: up,
                    factor: 1.0,
                    sums: &mut gradients.plain[range.clone()],
                });
            }
        }
    }

    /// The narrow layer's output behind its activation, of all images.
    fn inside(&self) -> Buffer {
        let mut inside = self.context.pool.copy(&self.gates.narrow);
        let narrow = self.plan.squeeze.outputs;
        self.context.set.run(Finish {
            extent: Extent::flat(self.from.grid.count, narrow),
            values: &mut inside,
            values_line: 0,
            bias: bias(self.context, &self.plan.squeeze),
            nonlinearity: self.context.activation,
            shortcut: None,
        });
        inside
    }
}
