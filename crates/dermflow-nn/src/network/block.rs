//! Blocks and other convolutions with norms, forward and backward over a batch.
//!
//! Stored for the backward pass are the outputs of a block's convolutions; activations are worked
//! out again, and so is a block's own output, which the next block has read. Must not know which blocks a network has.

use crate::architecture::Norm;
use crate::kernels::activation::Nonlinearity;
use crate::kernels::buffer::Buffer;
use crate::kernels::parallel;
use crate::kernels::rows::{ActivationBack, Extent, Merge};

use super::context::{Context, Gradients, Grid, Normed, Source, join_sums};
use super::convolve::{self, Convolved};
use super::convolve_back::{Backward, Downstream, Gone, Upstream};
use super::gated::{self, GatedBack, Gates};
use super::norm::{BackConstants, Constants};
use super::plan::{BlockPlan, Convolution};

/// The forward pass while training: running statistics, and which norms use the batch's own.
pub(super) struct Forward<'a> {
    pub(super) context: Context<'a>,
    pub(super) norm: Norm,
    pub(super) statistics: &'a mut [f32],
    /// Stages below this one use the running statistics, as all do with `usize::MAX`.
    pub(super) frozen_stages: usize,
}

impl Forward<'_> {
    fn of_batch(&self, of: &Convolution) -> bool {
        of.stage >= self.frozen_stages
    }

    /// A convolution's output with the constants of its norm (or bias).
    fn normed(&mut self, of: &Convolution, convolved: Convolved, nonlinearity: Nonlinearity) -> Normed {
        let constants = match (&of.norm, &convolved.moments) {
            (Some(norm), Some(moments)) => {
                let constants = moments.constants(norm, self.context.plain, self.norm.epsilon);
                moments.update(norm, self.statistics, self.norm.momentum);
                constants
            }
            (Some(norm), None) => {
                Constants::running(norm, self.context.plain, self.statistics, self.norm.epsilon)
            }
            (None, _) => {
                let bias = of.bias.clone().unwrap_or_default();
                Constants::bias(&self.context.plain[bias])
            }
        };
        Normed {
            y: convolved.y,
            grid: convolved.grid,
            constants,
            nonlinearity,
        }
    }

    /// Convolution and norm.
    pub(super) fn convolution(
        &mut self,
        of: &Convolution,
        grid: Grid,
        source: Source<'_>,
        target: Option<(usize, usize)>,
        nonlinearity: Nonlinearity,
    ) -> Normed {
        let moments = of.norm.is_some() && self.of_batch(of);
        let convolved = convolve::forward(&self.context, of, grid, source, target, moments);
        self.normed(of, convolved, nonlinearity)
    }

    /// A block. `keep` has a factor for every image's own part, where some are dropped.
    pub(super) fn block(
        &mut self,
        plan: &BlockPlan,
        grid: Grid,
        input: &[f32],
        keep: Option<Vec<f32>>,
    ) -> (Buffer, SavedBlock) {
        let activation = self.context.activation;
        let mut saved = SavedBlock {
            grid,
            wide: None,
            inner: None,
            gates: None,
            last: None,
            keep,
        };
        if let Some(fused) = &plan.fused {
            saved.inner = Some(self.convolution(fused, grid, Source::Plain(input), None, activation));
        }
        if let Some(expand) = &plan.expand {
            saved.wide = Some(self.convolution(expand, grid, Source::Plain(input), None, activation));
        }
        if let Some(depthwise) = &plan.depthwise {
            let source = saved.wide.as_ref().map_or(Source::Plain(input), Source::Normed);
            let inner = self.convolution(depthwise, grid, source, None, activation);
            saved.inner = Some(inner);
        }
        if let (Some(project), Some(inner)) = (&plan.project, &saved.inner) {
            saved.last = Some(match &plan.squeeze {
                Some(squeeze) => {
                    let moments = self.of_batch(project);
                    let (convolved, gates) = gated::forward(&self.context, squeeze, project, inner, moments);
                    saved.gates = Some(gates);
                    self.normed(project, convolved, Nonlinearity::Identity)
                }
                None => self.convolution(
                    project,
                    inner.grid,
                    Source::Normed(inner),
                    None,
                    Nonlinearity::Identity,
                ),
            });
        }
        let out = saved.out(&self.context, plan.skip.then_some(input));
        (out, saved)
    }
}

/// `act(norm(y)) · keep + shortcut` of a batch.
pub(super) fn merge(
    context: &Context<'_>,
    from: &Normed,
    keep: Option<&[f32]>,
    shortcut: Option<&[f32]>,
) -> Buffer {
    let len = from.grid.of_image() * from.channels();
    let mut out = context.pool.take(from.grid.count * len);
    parallel::for_each(parallel::equal(&mut out, from.grid.count), |image, to| {
        context.set.run(Merge {
            channels: from.channels(),
            from: from.image(image),
            affine: from.affine(),
            nonlinearity: from.nonlinearity,
            keep: keep.map_or(1.0, |keep| keep[image]),
            shortcut: shortcut.map(|shortcut| &shortcut[image * len..(image + 1) * len]),
            to,
        });
    });
    out
}

/// What a block's backward pass needs.
pub(super) struct SavedBlock {
    grid: Grid,
    /// The expanding convolution.
    wide: Option<Normed>,
    /// The depthwise convolution, or the fused one.
    inner: Option<Normed>,
    gates: Option<Gates>,
    /// The projection.
    last: Option<Normed>,
    keep: Option<Vec<f32>>,
}

impl SavedBlock {
    /// The last convolution.
    fn end(&self) -> &Normed {
        self.last
            .as_ref()
            .or(self.inner.as_ref())
            .unwrap_or_else(|| unreachable!("a block has a k×k convolution"))
    }

    /// The block's output, the same each time; `shortcut` is its input where that is added.
    pub(super) fn out(&self, context: &Context<'_>, shortcut: Option<&[f32]>) -> Buffer {
        merge(context, self.end(), self.keep.as_deref(), shortcut)
    }

    /// The grid of what the block has read.
    pub(super) fn grid(&self) -> Grid {
        self.grid
    }

    /// The grid of the block's output.
    pub(super) fn out_grid(&self) -> Grid {
        self.end().grid
    }
}

/// Takes the gradient of `act(norm(y)) · keep` to that of z, in place, and gives the norm's sums.
pub(super) fn activation_back(
    context: &Context<'_>,
    of: &Normed,
    gradient: &mut [f32],
    keep: Option<&[f32]>,
) -> Vec<f64> {
    let (channels, count) = (of.channels(), of.grid.count);
    let len = of.grid.of_image() * channels;
    let mut sums = vec![0.0; count * 2 * channels];
    let lengths = std::iter::repeat_n(len, count);
    let parts = parallel::cut(gradient, lengths)
        .into_iter()
        .zip(parallel::equal(&mut sums, count));
    parallel::for_each(parts.collect(), |image, (gradient, sums)| {
        context.set.run(ActivationBack {
            extent: Extent::flat(of.grid.of_image(), channels),
            y: of.image(image),
            affine: of.affine(),
            nonlinearity: of.nonlinearity,
            factor: keep.map_or(1.0, |keep| keep[image]),
            gradient,
            value: None,
            sums,
        });
    });
    join_sums(2 * channels, &sums)
}

/// Adds the gradients of a norm's scale and shift (or of a bias), and gives what is needed to go
/// on to the convolution.
pub(super) fn norm_back(
    of: &Convolution,
    normed: &Normed,
    sums: &[f64],
    gradients: &mut Gradients<'_>,
) -> BackConstants {
    let count = normed.grid.places();
    let Some(norm) = &of.norm else {
        let bias = of.bias.clone().unwrap_or_default();
        return BackConstants::new(&normed.constants, sums, count, None, &mut gradients.plain[bias]);
    };
    let channels = norm.scale.len();
    let (mut scale, mut shift) = (vec![0.0; channels], vec![0.0; channels]);
    let back = BackConstants::new(&normed.constants, sums, count, Some(&mut scale), &mut shift);
    for (range, own) in [(&norm.scale, &scale), (&norm.shift, &shift)] {
        for (gradient, own) in gradients.plain[range.clone()].iter_mut().zip(own) {
            *gradient += own;
        }
    }
    back
}

/// A convolution with its norm, backward, from the gradient of z.
#[allow(clippy::too_many_arguments)]
pub(super) fn convolution_back(
    context: &Context<'_>,
    of: &Convolution,
    grid: Grid,
    source: Source<'_>,
    normed: &Normed,
    gradient: &[f32],
    sums: &[f64],
    gradients: &mut Gradients<'_>,
    downstream: Downstream,
) -> Gone {
    let back = norm_back(of, normed, sums, gradients);
    let backward = Backward {
        context,
        of,
        grid,
        out_grid: normed.grid,
        source,
        upstream: Upstream {
            gradient,
            norm: Some((normed, &back)),
        },
    };
    backward.run(&mut gradients.decayed[of.weight.clone()], downstream)
}

/// A block, backward: from its output's gradient to its input's, if that is wanted.
pub(super) fn block_back(
    context: &Context<'_>,
    plan: &BlockPlan,
    mut saved: SavedBlock,
    input: &[f32],
    out_gradient: Buffer,
    gradients: &mut Gradients<'_>,
    wanted: bool,
) -> Option<Buffer> {
    // The gradient of z at the block's end; the output's own is still needed for the shortcut
    // where the two differ.
    let end = saved.end();
    let differs = end.nonlinearity != Nonlinearity::Identity || saved.keep.is_some();
    let mut kept = None;
    let mut gradient = out_gradient;
    if plan.skip && differs && wanted {
        kept = Some(gradient);
        gradient = context.pool.copy(kept.as_deref().unwrap_or_default());
    }
    let sums = activation_back(context, end, &mut gradient, saved.keep.as_deref());

    let (mut gradient, mut sums) = (gradient, sums);
    if let (Some(project), Some(last), Some(inner)) = (&plan.project, saved.last.take(), saved.inner.as_ref())
    {
        let gone = match (&plan.squeeze, saved.gates.take()) {
            (Some(squeeze), Some(gates)) => {
                let back = norm_back(project, &last, &sums, gradients);
                let gated = GatedBack {
                    context,
                    plan: squeeze,
                    project,
                    from: inner,
                    gates,
                    gradient: &gradient,
                    projected: &last,
                    back: &back,
                };
                gated.run(gradients)
            }
            _ => convolution_back(
                context,
                project,
                inner.grid,
                Source::Normed(inner),
                &last,
                &gradient,
                &sums,
                gradients,
                Downstream::Wanted(None),
            ),
        };
        drop(last);
        if plan.skip && wanted && kept.is_none() {
            kept = Some(gradient);
        }
        gradient = gone.gradient.unwrap_or_else(|| context.pool.take(0));
        sums = gone.sums;
    }

    let grid = saved.grid;
    let inner = saved.inner.take()?;
    let base = |kept: Option<Buffer>| {
        if wanted {
            Downstream::Wanted(kept)
        } else {
            Downstream::Unwanted
        }
    };
    if let Some(fused) = &plan.fused {
        let source = Source::Plain(input);
        let gone = convolution_back(
            context,
            fused,
            grid,
            source,
            &inner,
            &gradient,
            &sums,
            gradients,
            base(kept),
        );
        return gone.gradient;
    }
    let depthwise = plan.depthwise.as_ref()?;
    let (Some(expand), Some(wide)) = (&plan.expand, saved.wide.take()) else {
        let source = Source::Plain(input);
        let gone = convolution_back(
            context,
            depthwise,
            grid,
            source,
            &inner,
            &gradient,
            &sums,
            gradients,
            base(kept),
        );
        return gone.gradient;
    };
    let gone = convolution_back(
        context,
        depthwise,
        grid,
        Source::Normed(&wide),
        &inner,
        &gradient,
        &sums,
        gradients,
        Downstream::Wanted(None),
    );
    drop((inner, gradient));
    let gradient = gone.gradient?;
    let source = Source::Plain(input);
    let gone = convolution_back(
        context,
        expand,
        grid,
        source,
        &wide,
        &gradient,
        &gone.sums,
        gradients,
        base(kept),
    );
    gone.gradient
}
