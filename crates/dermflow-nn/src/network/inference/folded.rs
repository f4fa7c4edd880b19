//! [`Folded`]: a convolution whose norm is part of its weights, over some images.
//!
//! Must not know of blocks.

use std::ops::Range;

use crate::kernels::activation::Nonlinearity;
use crate::kernels::buffer::Buffer;
use crate::kernels::panels::{Panels, Right};
use crate::kernels::parallel;
use crate::kernels::product::{Distances, End, Finishing, Places, Product};
use crate::kernels::window::{Phase, Window};
use crate::kernels::winograd::{self, Filters2, Filters3, Frame};

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
    /// Of a 3×3 convolution that makes fewer products.
    Winograd(Filters3),
    Depthwise(Buffer),
    /// One for each phase of the doubled grid, and the gain, which is not folded.
    Transposed(Vec<Panels>, Vec<f32>),
    /// One for each phase, where that makes fewer products.
    Phases(Vec<Filters2>),
}

/// Lines of the result: all of some images, or some of one.
struct Piece<'a> {
    images: usize,
    lines: Range<usize>,
    /// The whole images.
    input: &'a [f32],
    out: &'a mut [f32],
    finishing: Finishing<'a>,
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
                let tap = |output: usize, (i, j): (usize, usize)| {
                    &weight[(output * 9 + i * 3 + j) * of.inputs..][..of.inputs]
                };
                Weights::Winograd(Filters3::new(context.pool, context.set, of.inputs, &gain, tap))
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
            Kind::Transposed if winograd::applies_to_phases(of.kernel, of.stride, of.inputs, of.outputs) => {
                let (inputs, outputs) = (of.inputs, of.outputs);
                let filters = |phase: Phase| {
                    let tap = |output: usize, (i, j): (usize, usize)| {
                        let tap = phase.lines[i] * of.kernel + phase.columns[j];
                        &weight[(tap * outputs + output) * inputs..][..inputs]
                    };
                    Filters2::new(context.pool, context.set, inputs, &gain, tap)
                };
                // Windows don't depend on the size of the grid.
                Weights::Phases(context.window(of, (2, 2), None).phases().map(filters).collect())
            }
            Kind::Transposed => {
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
            Weights::Phases(phases) => phases.iter().map(Filters2::numbers).sum(),
        }
    }

    /// See [`Extent::rows`](super::segments::Extent::rows), for a result on this grid.
    pub(super) fn rows(&self, to: Grid) -> usize {
        match &self.weights {
            Weights::Winograd(_) => winograd::count_of_tiles(to.size()),
            Weights::Phases(_) => winograd::count_of_tiles((to.height.div_ceil(2), to.width.div_ceil(2))),
            // Of each phase.
            Weights::Transposed(..) => to.of_image() / 4,
            Weights::Panels(_) | Weights::Depthwise(_) => to.of_image(),
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
                Weights::Panels(_) | Weights::Winograd(_) | Weights::Depthwise(_) | Weights::Phases(_) => {
                    None
                }
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
            Weights::Winograd(_) | Weights::Depthwise(_) | Weights::Transposed(..) | Weights::Phases(_) => {
                None
            }
        }
        .into_iter()
        .flatten()
    }

    /// The weights of a depthwise convolution, `[kernel, kernel, channels]`; none for another kind.
    pub(super) fn depthwise(&self) -> &[f32] {
        match &self.weights {
            Weights::Depthwise(weights) => weights,
            Weights::Panels(_) | Weights::Winograd(_) | Weights::Transposed(..) | Weights::Phases(_) => &[],
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
                let numbers = self.together(context, from) * border.len(inputs);
                let mut bordered = context.pool.take(numbers);
                self.by_images(context, from, input, finishing, out, |images, out, finishing| {
                    border.copy_all(inputs, from.width, images, &mut bordered);
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
                let whole = (from, window.small, winograd::PLACES);
                self.by_piece(context, whole, input, finishing, out, |piece| {
                    let places = Places {
                        images: piece.images,
                        lines: piece.lines.len(),
                        steps: window.small.1,
                    };
                    let images = winograd::Images {
                        frame: Frame::of(&window).moved_down(piece.lines.start),
                        read: piece.input,
                        places,
                        distances: Distances::adjacent(places, self.of.outputs),
                        out: piece.out,
                        finishing: piece.finishing,
                    };
                    filters.run(context.pool, context.set, images);
                });
            }
            Weights::Phases(phases) => {
                let whole = (from, window.large, window.stride * winograd::PLACES);
                self.by_piece(context, whole, input, finishing, out, |piece| {
                    let large = (piece.lines.len(), window.large.1);
                    let window = Window { large, ..window };
                    let phases = window.phases().zip(phases);
                    for (phase, filters) in phases.filter(|(phase, _)| phase.is_there()) {
                        let (lines, steps) = phase.size;
                        let to = phase.start(large, self.of.outputs);
                        let frame = Frame::of_phase(&window, &phase);
                        let images = winograd::Images {
                            frame: frame.moved_down(piece.lines.start / window.stride),
                            read: piece.input,
                            places: Places {
                                images: piece.images,
                                lines,
                                steps,
                            },
                            distances: window.distances_of_phase(self.of.outputs),
                            out: &mut piece.out[to..],
                            finishing: piece.finishing.behind(to),
                        };
                        filters.run(context.pool, context.set, images);
                    }
                });
            }
            Weights::Transposed(phases, _) => {
                let border = window.bordered_small();
                let pitch = border.pitch(inputs);
                let numbers = self.together(context, from) * border.len(inputs);
                let mut bordered = context.pool.take(numbers);
                self.by_images(context, from, input, finishing, out, |images, out, finishing| {
                    border.copy_all(inputs, from.width, images, &mut bordered);
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

    /// Runs `work` for lines of the result, of this size: those of all images, or pieces, of so many lines
    /// or a multiple of that, of one image's after another.
    fn by_piece(
        &self,
        context: &Context<'_>,
        (from, size, lines_together): (Grid, (usize, usize), usize),
        input: &[f32],
        finishing: Finishing<'_>,
        out: &mut [f32],
        work: impl Fn(Piece<'_>) + Sync + Send,
    ) {
        self.by_images(context, from, input, finishing, out, |input, out, finishing| {
            self.by_lines(context, size, lines_together, out, |lines, own, out| {
                work(Piece {
                    images: self.together(context, from),
                    lines,
                    input,
                    out,
                    finishing: finishing.behind(own.start),
                });
            });
        });
    }

    /// How many images go through at once: all of them, so that weights are read once, unless other threads
    /// are idle, which then take pieces of each.
    fn together(&self, context: &Context<'_>, from: Grid) -> usize {
        if context.pieces == 1 { from.count } else { 1 }
    }

    /// Runs `work(lines, numbers, out)` for pieces of the lines of one image's result of this size,
    /// `lines_together` or a multiple of that: which lines, which numbers of the result, and those. Each piece
    /// is an image for itself that reads over its edge. Where no other threads are idle, for all lines of
    /// all images.
    fn by_lines(
        &self,
        context: &Context<'_>,
        size: (usize, usize),
        lines_together: usize,
        out: &mut [f32],
        work: impl Fn(Range<usize>, Range<usize>, &mut [f32]) + Sync + Send,
    ) {
        if context.pieces == 1 {
            return work(0..size.0, 0..out.len(), out);
        }
        let products = size.0 * size.1 * self.of.weight.len();
        let groups = size.0.div_ceil(lines_together);
        let pieces = context.pieces_of(products).min(groups.max(1));
        let lines = |piece: usize| {
            let share = parallel::share(groups, pieces, piece);
            share.start * lines_together..(share.end * lines_together).min(size.0)
        };
        let line = size.1 * self.of.outputs;
        let parts = parallel::cut(out, (0..pieces).map(|piece| lines(piece).len() * line));
        parallel::for_each(parts, |piece, out| {
            let lines = lines(piece);
            work(lines.clone(), lines.start * line..lines.end * line, out);
        });
    }

    /// Runs `work(input, out, finishing)` for so many images as go through [together](Self::together), one
    /// batch of them after another.
    fn by_images(
        &self,
        context: &Context<'_>,
        from: Grid,
        input: &[f32],
        finishing: Finishing<'_>,
        out: &mut [f32],
        mut work: impl FnMut(&[f32], &mut [f32], Finishing<'_>),
    ) {
        let together = self.together(context, from);
        let (of_input, of_output) = (from.of_image() * self.of.inputs, out.len() / from.count);
        let images = input
            .chunks_exact(together * of_input)
            .zip(out.chunks_exact_mut(together * of_output));
        for (index, (input, out)) in images.enumerate() {
            work(input, out, finishing.behind(index * together * of_output));
        }
    }
}
