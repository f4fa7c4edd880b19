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

    /// The small grid with the border that [`Window::spread`] reaches into.
    pub(crate) fn bordered_small(&self) -> Bordered {
        let axis = |before: usize, large: usize, small: usize| {
            let (mut low, mut high) = (0isize, small as isize);
            for phase in 0..self.stride.min(large) {
                let (taps, first) = self.reach(phase, before);
                let places = (large - phase).div_ceil(self.stride);
                low = low.min(first);
                high = high.max(first + (places + taps.len()) as isize - 1);
            }
            ((-low) as usize, (high - low) as usize)
        };
        let (above, height) = axis(self.above, self.large.0, self.small.0);
        let (left, width) = axis(self.left, self.large.1, self.small.1);
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
        let mut all = Vec::with_capacity(self.stride * self.stride);
        for phase_y in 0..self.stride {
            for phase_x in 0..self.stride {
                let (ys, _) = self.reach(phase_y, self.above);
                let (xs, _) = self.reach(phase_x, self.left);
                let depth = ys.len() * xs.len() * small_channels;
                all.push(Panels::from_rows(pool, set, depth, columns, |k| {
                    let (tap, channel) = (k / small_channels, k % small_channels);
                    row(ys[tap / xs.len()], xs[tap % xs.len()], channel)
                }));
            }
        }
        all
    }

    /// `out[y, x] = Σ window · weights`, a convolution; `grid` is the bordered large grid.
    pub(crate) fn gather(
        &self,
        set: InstructionSet,
        grid: &[f32],
        inputs: usize,
        panels: &Panels,
        out: &mut [f32],
        end: End<'_>,
    ) {
        let pitch = self.bordered_large().pitch(inputs);
        let places = Places::of_image(self.small);
        set.run(Product {
            left: grid,
            places,
            left_distances: Distances {
                image: 0,
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
    /// places in its window. `grid` is the bordered small grid of `channels`.
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
        let places = |phase: usize, large: usize| large.saturating_sub(phase).div_ceil(self.stride);
        // Places of one phase see the same places of the window, whose weights are one matrix.
        for (phase, panels) in panels.iter().enumerate() {
            let (phase_y, phase_x) = (phase / self.stride, phase % self.stride);
            let places = Places {
                images: 1,
                lines: places(phase_y, self.large.0),
                steps: places(phase_x, self.large.1),
            };
            if places.lines == 0 || places.steps == 0 {
                continue;
            }
            let (ys, first_y) = self.reach(phase_y, self.above);
            let (xs, first_x) = self.reach(phase_x, self.left);
            // Where no window reaches the phase, a product without depth finishes its zeros.
            let reached = !ys.is_empty() && !xs.is_empty();
            let start = |first: isize, before: usize| (first + before as isize) as usize;
            let from = start(first_y, border.above) * pitch + start(first_x, border.left) * channels;
            let to = (phase_y * self.large.1 + phase_x) * columns;
            set.run(Product {
                left: if reached { &grid[from..] } else { grid },
                places,
                left_distances: Distances {
                    image: 0,
                    line: if reached { pitch } else { 0 },
                    step: if reached { channels } else { 0 },
                },
                runs: if reached { ys.len() } else { 0 },
                run_pitch: pitch,
                run_length: if reached { xs.len() * channels } else { 0 },
                right: panels.all(),
                out: &mut out[to..],
                out_distances: Distances {
                    image: 0,
                    line: self.stride * self.large.1 * columns,
                    step: self.stride * columns,
                },
                end: end.behind(to),
            });
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
