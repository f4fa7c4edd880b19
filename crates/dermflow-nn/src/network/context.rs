//! What every part of a running network needs: weights, memory, rules; and how work is cut.

use std::ops::Range;
use std::sync::Arc;

use crate::architecture::Padding;
use crate::kernels::activation::Nonlinearity;
use crate::kernels::buffer::{Buffer, Pool};
use crate::kernels::lanes::InstructionSet;
use crate::kernels::parallel;
use crate::kernels::product::OuterSum;
use crate::kernels::rows::Affine;
use crate::kernels::window::Window;
use crate::kernels::winograd;

use super::norm::Constants;
use super::plan::{Convolution, Kind};

/// How many images, and their grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) count: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Grid {
    /// Places of one image.
    pub(super) fn of_image(&self) -> usize {
        self.height * self.width
    }

    /// Places of all images.
    pub(super) fn places(&self) -> usize {
        self.count * self.of_image()
    }

    /// The same for one image.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// The same grid for so many images.
    pub(super) fn with_count(&self, count: usize) -> Grid {
        Grid { count, ..*self }
    }

    /// As many images with another grid.
    pub(super) fn with_size(&self, size: (usize, usize)) -> Grid {
        Grid {
            count: self.count,
            height: size.0,
            width: size.1,
        }
    }
}

/// Weights, memory and rules.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) set: InstructionSet,
    pub(super) pool: &'a Arc<Pool>,
    pub(super) decayed: &'a [f32],
    pub(super) plain: &'a [f32],
    pub(super) padding: Padding,
    pub(super) activation: Nonlinearity,
    /// Into how many pieces one layer's work for a group of images is cut: more than one where
    /// there are fewer groups than threads. Changes no result.
    pub(super) pieces: usize,
}

/// Gradients of the two trained buffers, to be added to.
pub(super) struct Gradients<'a> {
    pub(super) decayed: &'a mut [f32],
    pub(super) plain: &'a mut [f32],
}

/// A convolution's output, its norm, and what follows the norm.
pub(super) struct Normed {
    pub(super) y: Buffer,
    pub(super) grid: Grid,
    pub(super) constants: Constants,
    pub(super) nonlinearity: Nonlinearity,
}

impl Normed {
    pub(super) fn affine(&self) -> Affine<'_> {
        self.constants.affine()
    }

    pub(super) fn channels(&self) -> usize {
        self.constants.mean.len()
    }

    /// The outputs of one image.
    pub(super) fn image(&self, image: usize) -> &[f32] {
        let len = self.grid.of_image() * self.channels();
        &self.y[image * len..(image + 1) * len]
    }
}

/// A [`Normed`] whose numbers were given up: they are worked out again from what was read.
pub(super) struct Forgotten {
    grid: Grid,
    constants: Constants,
    nonlinearity: Nonlinearity,
}

impl Normed {
    /// Gives the numbers up.
    pub(super) fn forget(self) -> Forgotten {
        Forgotten {
            grid: self.grid,
            constants: self.constants,
            nonlinearity: self.nonlinearity,
        }
    }
}

impl Forgotten {
    /// With the same numbers again.
    pub(super) fn with(self, y: Buffer) -> Normed {
        Normed {
            y,
            grid: self.grid,
            constants: self.constants,
            nonlinearity: self.nonlinearity,
        }
    }
}

/// What a convolution reads: numbers as they are, or through a norm and an activation, which
/// are worked out again wherever they are needed and never stored whole.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Plain(&'a [f32]),
    Normed(&'a Normed),
}

impl Context<'_> {
    /// For one of so many groups that are at work at once.
    pub(super) fn for_groups(&self, groups: usize) -> Self {
        Context {
            pieces: idle_threads(rayon::current_num_threads(), groups),
            ..*self
        }
    }

    /// Into how many pieces work of so many multiply-adds is cut: little work is not worth it.
    pub(super) fn pieces_of(&self, multiply_adds: usize) -> usize {
        pieces_of(multiply_adds, self.pieces)
    }

    /// Where a convolution's windows lie. For one that doubles the grid, `target` is the grid
    /// that it gives.
    pub(super) fn window(
        &self,
        of: &Convolution,
        size: (usize, usize),
        target: Option<(usize, usize)>,
    ) -> Window {
        if of.kind == Kind::Transposed {
            return Window {
                kernel: of.kernel,
                stride: of.stride,
                above: 1,
                left: 1,
                large: target.unwrap_or((2 * size.0, 2 * size.1)),
                small: size,
            };
        }
        Window {
            kernel: of.kernel,
            stride: of.stride,
            above: self.padding.amounts(size.0, of.kernel, of.stride).0,
            left: self.padding.amounts(size.1, of.kernel, of.stride).0,
            large: size,
            small: (size.0.div_ceil(of.stride), size.1.div_ceil(of.stride)),
        }
    }
}

/// Threads for each of so many groups that are at work at once.
pub(crate) fn idle_threads(threads: usize, groups: usize) -> usize {
    threads.div_ceil(groups.max(1))
}

/// Into how many pieces, of `most`, work of so many multiply-adds is cut.
pub(crate) fn pieces_of(multiply_adds: usize, most: usize) -> usize {
    match multiply_adds {
        0..0x4_0000 => 1,
        _ => most,
    }
}

/// At most so many pieces, as a power of two: two, four or eight threads have equally many.
pub(crate) fn power_of_two(pieces: usize) -> usize {
    1 << pieces.max(1).ilog2()
}

/// Into how many pieces the rows of a matrix product are cut, where each writes its own: by shape alone.
pub(crate) fn row_pieces(rows: usize) -> usize {
    power_of_two((rows / 64).min(64))
}

/// Into how many pieces the sum of a weight's gradient over `units` is cut: by shape alone, and
/// so that adding the pieces up is cheap beside making them. `places` are summed in all.
pub(crate) fn lanes(units: usize, places: usize) -> usize {
    power_of_two(units.min(16).min(places / 64))
}

/// Into how many groups of images a convolution by Winograd's way is cut forward, for a result of `size`:
/// by shape alone; a group fills a band of tiles, where enough groups are left for several threads.
pub(crate) fn winograd_groups(count: usize, size: (usize, usize)) -> usize {
    let most = count.div_ceil(8).max(1);
    count.div_ceil(winograd::images_of_band(size).min(most))
}

/// The same as [`lanes`] for a convolution by Winograd's way, whose sums are four times as many and go back
/// through a transform.
pub(crate) fn winograd_lanes(units: usize, places: usize) -> usize {
    power_of_two(units.min(16).min(places / 512))
}

/// Whether the gradient of a 1x1 convolution's weights is one sum over all rows, for which what is
/// multiplied has to be there whole, and not cut into lanes. Many weights and few rows: lanes would
/// read and write each lane's sums again for every few rows.
pub(crate) fn is_one_sum(rows: usize, inputs: usize, outputs: usize) -> bool {
    let held = rows.saturating_mul(inputs.saturating_add(outputs));
    inputs.saturating_mul(outputs) >= 1 << 13 && held <= 1 << 21
}

/// Adds `upᵀ · value` over all rows to the gradient of weights `[outputs, inputs]`.
pub(super) fn one_sum(
    set: InstructionSet,
    (up, outputs): (&[f32], usize),
    (value, inputs): (&[f32], usize),
    weight_gradient: &mut [f32],
) {
    /// Rows whose values, a panel wide, stay in the nearest cache.
    const ROWS: usize = 64;
    let (rows, pieces) = (value.len() / inputs, power_of_two((outputs / 16).min(64)));
    let parts = parallel::shares(weight_gradient, outputs, pieces, inputs);
    parallel::for_each(parts, |piece, out| {
        let share = parallel::share(outputs, pieces, piece);
        for start in (0..rows).step_by(ROWS) {
            set.run(OuterSum {
                left: &up[start * outputs + share.start..],
                left_line: 0,
                left_step: outputs,
                right: &value[start * inputs..],
                right_line: 0,
                right_step: inputs,
                lines: 1,
                steps: ROWS.min(rows - start),
                rows: share.len(),
                columns: inputs,
                out,
                out_stride: inputs,
            });
        }
    });
}

/// Runs `work(units, part, sum)` for every lane, which has a part to write and a sum of its own
/// that starts at zero, and adds the sums to `total` in the order of the lanes. There are as many
/// lanes as parts.
pub(super) fn sum_in_lanes<P: Send>(
    pool: &Arc<Pool>,
    parts: Vec<P>,
    units: usize,
    total: &mut [f32],
    work: impl Fn(Range<usize>, P, &mut [f32]) + Sync + Send,
) {
    let (lanes, len) = (parts.len(), total.len());
    let mut sums = pool.take(lanes * len);
    let parts = parallel::equal(&mut sums, lanes).into_iter().zip(parts);
    parallel::for_each(parts.collect(), |lane, (sum, part)| {
        sum.fill(0.0);
        work(parallel::share(units, lanes, lane), part, sum);
    });
    let sums = &*sums;
    let pieces = len.div_ceil(1 << 14).max(1);
    parallel::for_each(parallel::shares(total, len, pieces, 1), |piece, total| {
        let range = parallel::share(len, pieces, piece);
        for lane in 0..lanes {
            let sum = &sums[lane * len + range.start..lane * len + range.end];
            for (total, sum) in total.iter_mut().zip(sum) {
                *total += sum;
            }
        }
    });
}

/// Adds the sums of lanes, each of `len` numbers, in the order of the lanes.
pub(super) fn join_sums(len: usize, sums: &[f64]) -> Vec<f64> {
    let mut all = vec![0.0; len];
    for lane in sums.chunks_exact(len) {
        for (all, sum) in all.iter_mut().zip(lane) {
            *all += sum;
        }
    }
    all
}
