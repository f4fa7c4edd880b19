//! [`Layer`]: the depthwise convolution of a block over some images, with the expansion before it.
//!
//! The channels of an inverted block's inside don't meet before squeeze-and-excite: a panel's
//! worth of them is expanded, convolved and averaged at a time, in a grid that stays in a near
//! cache; or on several threads at once. Must not know of what follows.

use std::ops::Range;

use crate::kernels::bordered::Bordered;
use crate::kernels::buffer::Buffer;
use crate::kernels::depthwise::{self, Depthwise};
use crate::kernels::panels::Right;
use crate::kernels::parallel;
use crate::kernels::product::{Distances, End, Places, Product};
use crate::kernels::window::Window;

use super::super::context::{Context, Grid};
use super::folded::Folded;

/// A depthwise convolution of images of one size.
pub(super) struct Layer<'a> {
    context: &'a Context<'a>,
    of: &'a Folded,
    window: Window,
    border: Bordered,
}

/// Where the result of some channels goes.
pub(super) struct Inside<'a> {
    /// `[images, places, channels]`.
    pub(super) values: &'a mut [f32],
    /// Means over places, `[images, channels]`, where they are wanted.
    pub(super) means: Option<&'a mut [f32]>,
    /// Which channels.
    pub(super) channels: Range<usize>,
}

impl<'a> Layer<'a> {
    pub(super) fn new(context: &'a Context<'a>, of: &'a Folded, from: Grid) -> Layer<'a> {
        let window = of.window(context, from, None);
        Layer {
            context,
            of,
            border: window.bordered_large(),
            window,
        }
    }

    /// Of the input expanded, pieces of the channels on threads of their own where there are any for
    /// that.
    pub(super) fn expanded(&self, expand: &Folded, from: Grid, input: &[f32], mut all: Inside<'_>) {
        let panels: Vec<Right<'_>> = expand.panels().collect();
        let products = from.places() * expand.of.weight.len();
        let pieces = self.context.pieces_of(products).min(panels.len());
        if pieces < 2 {
            return self.some_expanded(expand, &panels, (from, input), &mut all);
        }
        let own = |piece: usize| &panels[parallel::share(panels.len(), pieces, piece)];
        let columns = |piece: usize| {
            let own = own(piece);
            let start = own.first().map_or(0, |panel| panel.columns().start);
            start..own.last().map_or(start, |panel| panel.columns().end)
        };
        let (channels, pool) = (all.channels.len(), self.context.pool);
        let places = all.values.len() / channels;
        let wanted = all.means.is_some();
        let rows = [places, if wanted { from.count } else { 0 }];
        let parts = (0..pieces).map(|piece| rows.map(|rows| pool.take(rows * columns(piece).len())));
        let mut parts: Vec<[Buffer; 2]> = parts.collect();
        parallel::for_each(parts.iter_mut().collect(), |piece, part: &mut [Buffer; 2]| {
            let [values, means] = part;
            let mut some = Inside {
                values,
                means: wanted.then_some(means),
                channels: columns(piece),
            };
            self.some_expanded(expand, own(piece), (from, input), &mut some);
        });
        // Each piece's channels lie by themselves: to their places, from a row on.
        let lay = |row: usize, to: &mut [f32], which: usize| {
            for (piece, part) in parts.iter().enumerate() {
                let columns = columns(piece);
                let from = part[which][row * columns.len()..].chunks_exact(columns.len());
                for (to, from) in to.chunks_exact_mut(channels).zip(from) {
                    to[columns.clone()].copy_from_slice(from);
                }
            }
        };
        let rows = parallel::shares(all.values, places, pieces, channels);
        parallel::for_each(rows, |piece, to| {
            lay(parallel::share(places, pieces, piece).start, to, 0);
        });
        if let Some(means) = all.means {
            lay(0, means, 1);
        }
    }

    /// Of the input expanded, a panel's channels at a time.
    fn some_expanded(
        &self,
        expand: &Folded,
        panels: &[Right<'_>],
        (from, input): (Grid, &[f32]),
        inside: &mut Inside<'_>,
    ) {
        let (context, border, inputs) = (self.context, self.border, expand.of.inputs);
        let end = End::Finish(expand.finishing(context.activation, None));
        let widest = panels.iter().map(|panel| panel.columns().len()).max();
        let mut grids = context.pool.take(from.count * border.len(widest.unwrap_or(0)));
        let mut cleared = 0;
        for &right in panels {
            let columns = right.columns();
            let wide = columns.len();
            let len = border.len(wide);
            if cleared != wide {
                for grid in grids.chunks_exact_mut(len).take(from.count) {
                    border.clear(wide, grid);
                }
                cleared = wide;
            }
            context.set.run(Product {
                left: input,
                places: Places {
                    images: from.count,
                    lines: border.lines,
                    steps: border.steps,
                },
                left_distances: Distances {
                    image: from.of_image() * inputs,
                    line: from.width * inputs,
                    step: inputs,
                },
                runs: 1,
                run_pitch: 0,
                run_length: inputs,
                right,
                out: &mut grids[border.start(wide)..],
                out_distances: Distances {
                    image: len,
                    line: border.pitch(wide),
                    step: wide,
                },
                end,
            });
            for (image, grid) in grids.chunks_exact(len).take(from.count).enumerate() {
                self.image(image, grid, columns.clone(), inside);
            }
        }
    }

    /// Of the input as it is.
    pub(super) fn copied(&self, from: Grid, input: &[f32], mut all: Inside<'_>) {
        let (border, channels) = (self.border, self.of.of.inputs);
        let mut grid = self.context.pool.take(border.len(channels));
        let images = input.chunks_exact(from.of_image() * channels);
        for (image, input) in images.enumerate() {
            border.copy(channels, from.width, input, &mut grid);
            self.image(image, &grid, 0..channels, &mut all);
        }
    }

    /// Some channels of one image in its bordered grid; they are among those of `inside`.
    fn image(&self, image: usize, grid: &[f32], channels: Range<usize>, inside: &mut Inside<'_>) {
        let (lines, steps) = self.window.small;
        let (wide, whole) = (channels.len(), inside.channels.len());
        let at = channels.start - inside.channels.start;
        let means = inside.means.as_deref_mut();
        self.context.set.run(Depthwise {
            channels: wide,
            kernel: self.of.of.kernel,
            stride: self.of.of.stride,
            grid,
            pitch: self.border.pitch(wide),
            grid_step: wide,
            weights: &self.of.depthwise()[channels.start..],
            weights_step: self.of.of.inputs,
            lines,
            steps,
            out: &mut inside.values[image * lines * steps * whole + at..],
            out_step: whole,
            finish: Some(depthwise::Finish {
                bias: &self.of.bias[channels.start..],
                nonlinearity: self.context.activation,
                means: means.map(|means| &mut means[image * whole + at..]),
            }),
        });
    }
}
