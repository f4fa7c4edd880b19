//! [`Folded`]: a convolution whose norm is part of its weights, over some images.
//!
//! Must not know of blocks.

use std::ops::Range;

use crate::kernels::activation::Nonlinearity;
use crate::kernels::buffer::Buffer;
use crate::kernels::panels::{Panels, Right};
use crate::kernels::parallel;
use crate::kernels::product::{End, Finishing, Product};
use crate::kernels::window::Window;
use crate::kernels::winograd::{self, Filters};

use super::super::context::{Context, Grid};
use super::super::convolve::transposed_panels;
use super::super::norm::Constants;
use super::super::plan::{Convolution, Kind};

/// A convolution with its weights as kernels read them.
pub(super) struct Folded {
    pub(super) of: Convolution,
    weights: Weights,
    pub(super) bias: Vec<f32>,
}

enum Weights {
    Panels(Panels),
    /// Of a 3×3 convolution.
    Winograd(Filters),
    Depthwise(Buffer),
    /// One for each phase of the doubled grid, and the gain, which is not folded.
    Transposed(Vec<Panels>, Vec<f32>),
}

impl Folded {
    /// `context` has the parameters.
    pub(super) fn new(context: &Context<'_>, of: &Convolution, statistics: &[f32], epsilon: f64) -> Folded {
        let weight = &context.decayed[of.weight.clone()];
        let (gain, bias) = match &of.norm {
            Some(norm) => Constants::running(norm, context.plain, statistics, epsilon).folded(),
            None => {
                let bias = of.bias.clone().unwrap_or_default();
                (vec![1.0; of.outputs], context.plain[bias].to_vec())
            }
        };
        let weights = match of.kind {
            Kind::Dense if winograd::applies(of.kernel, of.stride, of.inputs, of.outputs) => {
                Weights::Winograd(Filters::new(context.pool, context.set, weight, &gain))
            }
            Kind::Dense => {
                let depth = weight.len() / of.outputs;
                let column = |n: usize| &weight[n * depth..(n + 1) * depth];
                let gain = Some(&gain[..]);
                Weights::Panels(Panels::from_columns(
                    context.pool,
                    context.set,
                    depth,
                    of.outputs,
                    column,
                    gain,
                ))
            }
            Kind::Depthwise => {
                let mut folded = context.pool.copy(weight);
                for tap in folded.chunks_exact_mut(of.outputs) {
                    tap.iter_mut()
                        .zip(&gain)
                        .for_each(|(weight, gain)| *weight *= gain);
                }
                Weights::Depthwise(folded)
            }
            Kind::Transposed => {
                // Phases don't depend on the size of the grid.
                let window = context.window(of, (2, 2), None);
                Weights::Transposed(transposed_panels(context, of, &window), gain)
            }
        };
        Folded {
            of: of.clone(),
            weights,
            bias,
        }
    }

    /// How many numbers the weights are, as kernels read them.
    pub(super) fn numbers(&self) -> usize {
        match &self.weights {
            Weights::Panels(panels) => panels.numbers(),
            Weights::Winograd(filters) => filters.numbers(),
            Weights::Depthwise(weights) => weights.len(),
            Weights::Transposed(phases, _) => phases.iter().map(Panels::numbers).sum(),
        }
    }

    /// The grid that follows from that of the input; `target` is the one that a convolution which
    /// doubles it shall give.
    pub(super) fn grid(&self, context: &Context<'_>, from: Grid, target: Option<(usize, usize)>) -> Grid {
        let window = self.window(context, from, target);
        from.with_size(match self.of.kind {
            Kind::Transposed => window.large,
            Kind::Dense | Kind::Depthwise => window.small,
        })
    }

    pub(super) fn window(&self, context: &Context<'_>, from: Grid, target: Option<(usize, usize)>) -> Window {
        context.window(&self.of, from.size(), target)
    }

    /// What follows: bias, activation, shortcut.
    pub(super) fn finishing<'a>(
        &'a self,
        nonlinearity: Nonlinearity,
        shortcut: Option<&'a [f32]>,
    ) -> Finishing<'a> {
        Finishing {
            gain: match &self.weights {
                Weights::Transposed(_, gain) => Some(gain),
                Weights::Panels(_) | Weights::Winograd(_) | Weights::Depthwise(_) => None,
            },
            bias: &self.bias,
            nonlinearity,
            shortcut,
        }
    }

    /// The panels of a 1x1 convolution, each by itself; none for another kind.
    pub(super) fn panels(&self) -> impl Iterator<Item = Right<'_>> {
        match &self.weights {
            Weights::Panels(panels) => Some(panels.each()),
            Weights::Winograd(_) | Weights::Depthwise(_) | Weights::Transposed(..) => None,
        }
        .into_iter()
        .flatten()
    }

    /// The weights of a depthwise convolution, `[kernel, kernel, channels]`; none for another kind.
    pub(super) fn depthwise(&self) -> &[f32] {
        match &self.weights {
            Weights::Depthwise(weights) => weights,
            Weights::Panels(_) | Weights::Winograd(_) | Weights::Transposed(..) => &[],
        }
    }

    /// Some images through a dense or transposed convolution and what follows.
    pub(super) fn run(
        &self,
        context: &Context<'_>,
        from: Grid,
        target: Option<(usize, usize)>,
        input: &[f32],
        finishing: Finishing<'_>,
        out: &mut [f32],
    ) {
        let window = self.window(context, from, target);
        let inputs = self.of.inputs;
        match &self.weights {
            Weights::Panels(panels) if window.is_pointwise() => {
                let (rows, outputs) = (from.places(), self.of.outputs);
                let pieces = context.pieces_of(rows * inputs * outputs);
                let parts = parallel::shares(out, rows, pieces, outputs);
                parallel::for_each(parts, |piece, out| {
                    let share = parallel::share(rows, pieces, piece);
                    let end = End::Finish(finishing).behind(share.start * outputs);
                    let input = &input[share.start * inputs..share.end * inputs];
                    context.set.run(Product::plain(input, panels.all(), out, end));
                });
            }
            Weights::Panels(panels) => {
                let border = window.bordered_large();
                let pitch = window.stride * border.pitch(inputs);
                let mut bordered = context.pool.take(border.len(inputs));
                self.by_image(from, input, finishing, out, |image, out, finishing| {
                    border.copy(inputs, from.width, image, &mut bordered);
                    self.by_lines(context, window.small, 1, out, |lines, own, out| {
                        let end = End::Finish(finishing).behind(own.start);
                        let small = (lines.len(), window.small.1);
                        let window = Window { small, ..window };
                        let grid = &bordered[lines.start * pitch..];
                        window.gather(context.set, grid, inputs, panels, out, end);
                    });
                });
            }
            Weights::Winograd(filters) => {
                let border = Filters::bordered(window.small, (window.above, window.left));
                let pitch = border.pitch(inputs);
                let mut bordered = context.pool.take(border.len(inputs));
                self.by_image(from, input, finishing, out, |image, out, finishing| {
                    border.copy(inputs, from.width, image, &mut bordered);
                    self.by_lines(context, window.small, winograd::PLACES, out, |lines, own, out| {
                        let size = (lines.len(), window.small.1);
                        let grid = &bordered[lines.start * pitch..];
                        let finishing = finishing.behind(own.start);
                        filters.run(context.pool, context.set, grid, size, out, finishing);
                    });
                });
            }
            Weights::Transposed(phases, _) => {
                let border = window.bordered_small();
                let pitch = border.pitch(inputs);
                let mut bordered = context.pool.take(border.len(inputs));
                self.by_image(from, input, finishing, out, |image, out, finishing| {
                    border.copy(inputs, from.width, image, &mut bordered);
                    self.by_lines(context, window.large, window.stride, out, |lines, own, out| {
                        let end = End::Finish(finishing).behind(own.start);
                        let large = (lines.len(), window.large.1);
                        let small = (lines.len().div_ceil(window.stride), window.small.1);
                        let window = Window {
                            large,
                            small,
                            ..window
                        };
                        let grid = &bordered[lines.start / window.stride * pitch..];
                        window.spread(context.set, grid, inputs, phases, out, end);
                    });
                });
            }
            Weights::Depthwise(_) => unreachable!("a block runs its depthwise convolution itself"),
        }
    }

    /// Runs `work(lines, numbers, out)` for pieces of the lines of one image's result of this size,
    /// `together` lines at least: which lines, which numbers of the result, and those. Each piece
    /// is an image for itself that reads over its edge.
    fn by_lines(
        &self,
        context: &Context<'_>,
        size: (usize, usize),
        together: usize,
        out: &mut [f32],
        work: impl Fn(Range<usize>, Range<usize>, &mut [f32]) + Sync + Send,
    ) {
        let products = size.0 * size.1 * self.of.weight.len();
        let groups = size.0.div_ceil(together);
        let pieces = context.pieces_of(products).min(groups.max(1));
        let lines = |piece: usize| {
            let share = parallel::share(groups, pieces, piece);
            share.start * together..(share.end * together).min(size.0)
        };
        let line = size.1 * self.of.outputs;
        let parts = parallel::cut(out, (0..pieces).map(|piece| lines(piece).len() * line));
        parallel::for_each(parts, |piece, out| {
            let lines = lines(piece);
            work(lines.clone(), lines.start * line..lines.end * line, out);
        });
    }

    fn by_image(
        &self,
        from: Grid,
        input: &[f32],
        finishing: Finishing<'_>,
        out: &mut [f32],
        mut work: impl FnMut(&[f32], &mut [f32], Finishing<'_>),
    ) {
        let (from_len, to_len) = (from.of_image() * self.of.inputs, out.len() / from.count);
        let images = input.chunks_exact(from_len).zip(out.chunks_exact_mut(to_len));
        for (image, (input, out)) in images.enumerate() {
            let shortcut = finishing
                .shortcut
                .map(|shortcut| &shortcut[image * to_len..(image + 1) * to_len]);
            work(
                input,
                out,
                Finishing {
                    shortcut,
                    ..finishing
                },
            );
        }
    }
}
