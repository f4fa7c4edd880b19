//! [`Window`]: where a k×k convolution's window lies, and the three products that it makes.
//!
//! An image is first copied into a bordered grid (by the caller, who may apply a norm on the
//! way); then the result is one matrix product that reads windows where they lie.
//! Must not know of norms or batches.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::bordered::Bordered;
use super::buffer::Pool;
use super::lanes::InstructionSet;
use super::panels::Panels;
use super::product::{Distances, End, OuterSum, Places, Product};

/// The geometry of a convolution (or of its adjoint) on one image.
///
/// Place (y, x) of the small grid sees places (y · stride + i - above, x · stride + j - left) of
/// the large grid, for (i, j) in the window; what lies outside is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) above: usize,
    pub(crate) left: usize,
    /// The grid that windows lie on: a convolution's input.
    pub(crate) large: (usize, usize),
    /// The grid of windows: a convolution's output.
    pub(crate) small: (usize, usize),
}

/// Every so manyth place of the large grid, and what reaches them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phase {
    /// The first place, line and column.
    pub(crate) at: (usize, usize),
    /// How many lines and columns of places.
    pub(crate) size: (usize, usize),
    /// The window's lines and columns that reach them, in the order in which they ask for growing places
    /// of the small grid.
    pub(crate) lines: Vec<usize>,
    pub(crate) columns: Vec<usize>,
    /// The small grid's place that the first of them asks for at the first place; negative: before the grid.
    pub(crate) first: (isize, isize),
}

impl Phase {
    /// Whether the large grid has any of them.
    pub(crate) fn is_there(&self) -> bool {
        self.size.0 > 0 && self.size.1 > 0
    }

    /// The number at which its first place lies in an image of the large grid.
    pub(crate) fn start(&self, large: (usize, usize), channels: usize) -> usize {
        (self.at.0 * large.1 + self.at.1) * channels
    }
}

impl Window {
    /// Whether it is one place on itself: a matrix product of all places.
    pub(crate) fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.above == 0 && self.left == 0
    }

    /// Numbers of a weight for each output channel.
    pub(crate) fn depth(&self, inputs: usize) -> usize {
        self.kernel * self.kernel * inputs
    }

    /// The large grid with the border that windows reach into.
    pub(crate) fn bordered_large(&self) -> Bordered {
        let extent = |small: usize| (small - 1) * self.stride + self.kernel;
        let whole = (extent(self.small.0), extent(self.small.1));
        Bordered::new(whole, (self.above, self.left), self.large)
    }

    /// For one axis and places `phase`, `phase + stride`, … of the large grid: the window's
    /// places that reach them, in the order in which they ask for growing places of the small
    /// grid, and the small grid's place that the first of them asks for at the first place
    /// (negative: before the grid).
    fn reach(&self, phase: usize, before: usize) -> (Vec<usize>, isize) {
        let taps: Vec<usize> = (0..self.kernel)
            .rev()
            .filter(|tap| (phase + before + self.kernel * self.stride - tap).is_multiple_of(self.stride))
            .collect();
        let first = taps.first().map_or(0, |&tap| {
            (phase as isize + before as isize - tap as isize).div_euclid(self.stride as isize)
        });
        (taps, first)
    }

    /// All phases of the large grid's places: those of one see the same places of the window.
    pub(crate) fn phases(&self) -> impl Iterator<Item = Phase> {
        let (window, stride) = (*self, self.stride);
        (0..stride * stride).map(move |phase| {
            let at = (phase / stride, phase % stride);
            let (lines, first_line) = window.reach(at.0, window.above);
            let (columns, first_column) = window.reach(at.1, window.left);
            let places = |phase: usize, large: usize| large.saturating_sub(phase).div_ceil(stride);
            Phase {
                at,
                size: (places(at.0, window.large.0), places(at.1, window.large.1)),
                lines,
                columns,
                first: (first_line, first_column),
            }
        })
    }

    /// The small grid with the border that [`Window::spread`] reaches into.
    pub(crate) fn bordered_small(&self) -> Bordered {
        let axis = |first: fn(&Phase) -> (isize, usize), small: usize| {
            let (mut low, mut high) = (0isize, small as isize);
            for (first, reached) in self.phases().filter(Phase::is_there).map(|phase| first(&phase)) {
                low = low.min(first);
                high = high.max(first + reached as isize - 1);
            }
            ((-low) as usize, (high - low) as usize)
        };
        let (above, height) = axis(
            |phase| (phase.first.0, phase.size.0 + phase.lines.len()),
            self.small.0,
        );
        let (left, width) = axis(
            |phase| (phase.first.1, phase.size.1 + phase.columns.len()),
            self.small.1,
        );
        Bordered::new((height, width), (above, left), self.small)
    }

    /// The right side for [`Window::gather`], from weights `[out, kernel, kernel, in]`, each
    /// output channel times `scale`.
    pub(crate) fn gather_panels(
        &self,
        pool: &Arc<Pool>,
        set: InstructionSet,
        weight: &[f32],
        outputs: usize,
        scale: Option<&[f32]>,
    ) -> Panels {
        let depth = weight.len() / outputs;
        let column = |out: usize| &weight[out * depth..(out + 1) * depth];
        Panels::from_columns(pool, set, depth, outputs, column, scale)
    }

    /// The right sides for [`Window::spread`], one for each phase of the large grid's places,
    /// from rows of `columns` numbers: `row(i, j, k)` for the window's place and the channel of
    /// the small grid.
    pub(crate) fn spread_panels<'a>(
        &self,
        pool: &Arc<Pool>,
        set: InstructionSet,
        small_channels: usize,
        columns: usize,
        row: impl Fn(usize, usize, usize) -> &'a [f32] + Sync,
    ) -> Vec<Panels> {
        let panels = |phase: Phase| {
            let depth = phase.lines.len() * phase.columns.len() * small_channels;
            Panels::from_rows(pool, set, depth, columns, |k| {
                let (tap, channel) = (k / small_channels, k % small_channels);
                let (i, j) = (tap / phase.columns.len(), tap % phase.columns.len());
                row(phase.lines[i], phase.columns[j], channel)
            })
        };
        self.phases().map(panels).collect()
    }

    /// `out[y, x] = Σ window · weights`, a convolution; `grid` are the bordered large grids of as many images
    /// as `out` has room for.
    pub(crate) fn gather(
        &self,
        set: InstructionSet,
        grid: &[f32],
        inputs: usize,
        panels: &Panels,
        out: &mut [f32],
        end: End<'_>,
    ) {
        let border = self.bordered_large();
        let pitch = border.pitch(inputs);
        let places = Places {
            images: out.len() / (self.small.0 * self.small.1 * panels.columns()),
            ..Places::of_image(self.small)
        };
        set.run(Product {
            left: grid,
            places,
            left_distances: Distances {
                image: border.len(inputs),
                line: self.stride * pitch,
                step: self.stride * inputs,
            },
            runs: self.kernel,
            run_pitch: pitch,
            run_length: self.kernel * inputs,
            right: panels.all(),
            out,
            out_distances: Distances::adjacent(places, panels.columns()),
            end,
        });
    }

    /// The adjoint of [`Window::gather`]: every place of the small grid adds to the large grid's
    /// places in its window. `grid` are the bordered small grids of `channels`,
    /// of as many images as `out` has room for.
    pub(crate) fn spread(
        &self,
        set: InstructionSet,
        grid: &[f32],
        channels: usize,
        panels: &[Panels],
        out: &mut [f32],
        end: End<'_>,
    ) {
        let border = self.bordered_small();
        let pitch = border.pitch(channels);
        let columns = panels[0].columns();
        let images = out.len() / (self.large.0 * self.large.1 * columns);
        for (phase, panels) in self.phases().zip(panels) {
            if !phase.is_there() {
                continue;
            }
            // Where no window reaches the phase, a product without depth finishes its zeros.
            let reached = !phase.lines.is_empty() && !phase.columns.is_empty();
            let start = |first: isize, before: usize| (first + before as isize) as usize;
            let from =
                start(phase.first.0, border.above) * pitch + start(phase.first.1, border.left) * channels;
            let to = phase.start(self.large, columns);
            set.run(Product {
                left: if reached { &grid[from..] } else { grid },
                places: Places {
                    images,
                    ..Places::of_image(phase.size)
                },
                left_distances: Distances {
                    image: if reached { border.len(channels) } else { 0 },
                    line: if reached { pitch } else { 0 },
                    step: if reached { channels } else { 0 },
                },
                runs: if reached { phase.lines.len() } else { 0 },
                run_pitch: pitch,
                run_length: if reached {
                    phase.columns.len() * channels
                } else {
                    0
                },
                right: panels.all(),
                out: &mut out[to..],
                out_distances: self.distances_of_phase(columns),
                end: end.behind(to),
            });
        }
    }

    /// How far apart the large grid's places of one phase lie.
    pub(crate) fn distances_of_phase(&self, channels: usize) -> Distances {
        Distances {
            image: self.large.0 * self.large.1 * channels,
            line: self.stride * self.large.1 * channels,
            step: self.stride * channels,
        }
    }

    /// `weight[o, i, j, c] += Σ small[y, x, o] · large[window(y, x, i, j), c]`. The small grid
    /// has lines `small_line` apart; `grid` is the bordered large grid.
    pub(crate) fn weigh(
        &self,
        set: InstructionSet,
        small: (&[f32], usize, usize),
        grid: &[f32],
        inputs: usize,
        weight: &mut [f32],
    ) {
        let (small, small_line, outputs) = small;
        let pitch = self.bordered_large().pitch(inputs);
        let run = self.kernel * inputs;
        for tap in 0..self.kernel {
            set.run(OuterSum {
                left: small,
                left_line: small_line,
                left_step: outputs,
                right: &grid[tap * pitch..],
                right_line: self.stride * pitch,
                right_step: self.stride * inputs,
                lines: self.small.0,
                steps: self.small.1,
                rows: outputs,
                columns: run,
                out: &mut weight[tap * run..],
                out_stride: self.kernel * run,
            });
        }
    }
}
