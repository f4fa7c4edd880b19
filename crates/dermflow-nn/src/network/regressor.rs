//! The top of a regressor: a neck that doubles the grid step by step, and two heads.
//!
//! Must not know what is below.

use std::sync::Arc;

use crate::kernels::activation::Nonlinearity;
use crate::kernels::bilinear;
use crate::kernels::buffer::Buffer;
use crate::kernels::parallel;
use crate::kernels::rows::{ColumnSums, Extent, Finish};

use super::block::{Forward, activation_back, convolution_back, merge};
use super::context::{Context, Gradients, Grid, Normed, Source};
use super::convolve;
use super::convolve_back::{Backward, Downstream, Upstream};
use super::plan::{Convolution, HeadPlan, Kind, NeckPlan};

/// What the backward pass of one step of the neck needs.
pub(super) struct SavedStep {
    input: Arc<Buffer>,
    grid: Grid,
    /// The doubled grid's numbers before the convolution, where interpolation doubled it.
    doubled: Option<Buffer>,
    up: Normed,
    lateral: Option<(Arc<Buffer>, Normed)>,
}

/// What the backward pass of one head needs.
pub(super) struct SavedHead {
    input: Arc<Buffer>,
    hidden: Normed,
}

/// Doubles the grid of a batch by interpolation.
pub(super) fn double(
    context: &Context<'_>,
    channels: usize,
    grid: Grid,
    input: &[f32],
    target: Grid,
) -> Buffer {
    let from = grid.of_image() * channels;
    let mut out = context.pool.take(target.places() * channels);
    parallel::for_each(parallel::equal(&mut out, grid.count), |image, out| {
        let own = &input[image * from..(image + 1) * from];
        bilinear::double(channels, grid.size(), own, target.size(), out);
    });
    out
}

impl Forward<'_> {
    /// One step. `join` has the backbone's features of this grid; `target` is the grid wanted.
    pub(super) fn neck_step(
        &mut self,
        plan: &NeckPlan,
        grid: Grid,
        input: Arc<Buffer>,
        target: (usize, usize),
        join: Option<Arc<Buffer>>,
    ) -> (Arc<Buffer>, SavedStep) {
        let activation = self.context.activation;
        let of = &plan.upsample;
        let large = grid.with_size(target);
        let (doubled, up) = if of.kind == Kind::Transposed {
            let source = Source::Plain(&input);
            (None, self.convolution(of, grid, source, Some(target), activation))
        } else {
            let doubled = double(&self.context, of.inputs, grid, &input, large);
            let up = self.convolution(of, large, Source::Plain(&doubled), None, activation);
            (Some(doubled), up)
        };
        let lateral = plan.lateral.as_ref().zip(join).map(|(of, features)| {
            let source = Source::Plain(&features);
            let normed = self.convolution(of, large, source, None, Nonlinearity::Identity);
            (Arc::clone(&features), normed)
        });
        let side = lateral
            .as_ref()
            .map(|(_, normed)| merge(&self.context, normed, None, None));
        let out = merge(&self.context, &up, None, side.as_deref());
        let saved = SavedStep {
            input,
            grid,
            doubled,
            up,
            lateral,
        };
        (Arc::new(out), saved)
    }

    /// One head: numbers of all images, `[images, height, width, channels]`.
    pub(super) fn head(&mut self, plan: &HeadPlan, grid: Grid, input: Arc<Buffer>) -> (Vec<f32>, SavedHead) {
        let activation = self.context.activation;
        let hidden = self.convolution(&plan.hidden, grid, Source::Plain(&input), None, activation);
        let convolved = convolve::forward(
            &self.context,
            &plan.output,
            grid,
            Source::Normed(&hidden),
            None,
            false,
        );
        let mut out = convolved.y.to_vec();
        add_bias(&self.context, &plan.output, &mut out);
        (out, SavedHead { input, hidden })
    }
}

/// Adds a convolution's bias to its output.
pub(super) fn add_bias(context: &Context<'_>, of: &Convolution, values: &mut [f32]) {
    let bias = of.bias.clone().unwrap_or_default();
    context.set.run(Finish {
        extent: Extent::flat(values.len() / of.outputs, of.outputs),
        values,
        values_line: 0,
        bias: &context.plain[bias],
        nonlinearity: Nonlinearity::Identity,
        shortcut: None,
    });
}

impl SavedHead {
    /// From the map's gradient to the neck's; added to `base` if there is one.
    pub(super) fn back(
        self,
        context: &Context<'_>,
        plan: &HeadPlan,
        map_gradient: &[f32],
        gradients: &mut Gradients<'_>,
        base: Option<Buffer>,
    ) -> Option<Buffer> {
        let of = &plan.output;
        if let Some(bias) = &of.bias {
            context.set.run(ColumnSums {
                rows: map_gradient,
                factor: 1.0,
                sums: &mut gradients.plain[bias.clone()],
            });
        }
        let grid = self.hidden.grid;
        let backward = Backward {
            context,
            of,
            grid,
            out_grid: grid,
            source: Source::Normed(&self.hidden),
            upstream: Upstream {
                gradient: map_gradient,
                norm: None,
            },
        };
        let gone = backward.run(
            &mut gradients.decayed[of.weight.clone()],
            Downstream::Wanted(None),
        );
        let gradient = gone.gradient?;
        let source = Source::Plain(&self.input);
        let gone = convolution_back(
            context,
            &plan.hidden,
            grid,
            source,
            &self.hidden,
            &gradient,
            &gone.sums,
            gradients,
            Downstream::Wanted(base),
        );
        gone.gradient
    }
}

impl SavedStep {
    /// From the step's output gradient to its input's, and to that of the backbone's features
    /// that joined here, where `wanted` says so for each.
    pub(super) fn back(
        self,
        context: &Context<'_>,
        plan: &NeckPlan,
        out_gradient: Buffer,
        gradients: &mut Gradients<'_>,
        wanted: (bool, bool),
    ) -> (Option<Buffer>, Option<Buffer>) {
        let downstream = |wanted: bool| {
            if wanted {
                Downstream::Wanted(None)
            } else {
                Downstream::Unwanted
            }
        };
        let mut gradient = out_gradient;
        let large = self.up.grid;
        let mut joined = None;
        if let (Some(of), Some((features, normed))) = (&plan.lateral, self.lateral) {
            // Nothing but a norm: the gradient stays as it is.
            let sums = activation_back(context, &normed, &mut gradient, None);
            let source = Source::Plain(&features);
            let gone = convolution_back(
                context,
                of,
                large,
                source,
                &normed,
                &gradient,
                &sums,
                gradients,
                downstream(wanted.1),
            );
            joined = gone.gradient;
        }
        let sums = activation_back(context, &self.up, &mut gradient, None);
        let of = &plan.upsample;
        let Some(doubled) = self.doubled else {
            let source = Source::Plain(&self.input);
            let gone = convolution_back(
                context,
                of,
                self.grid,
                source,
                &self.up,
                &gradient,
                &sums,
                gradients,
                downstream(wanted.0),
            );
            return (gone.gradient, joined);
        };
        let source = Source::Plain(&doubled);
        let gone = convolution_back(
            context,
            of,
            large,
            source,
            &self.up,
            &gradient,
            &sums,
            gradients,
            downstream(wanted.0),
        );
        let below = gone.gradient.map(|gradient| {
            let to = large.of_image() * of.inputs;
            let mut out = context.pool.take(self.grid.places() * of.inputs);
            parallel::for_each(parallel::equal(&mut out, self.grid.count), |image, out| {
                let own = &gradient[image * to..(image + 1) * to];
                bilinear::double_back(of.inputs, self.grid.size(), out, large.size(), own);
            });
            out
        });
        (below, joined)
    }
}
