//! What is done to every number of a grid with constants by channel: norms, activations, their
//! gradients, sums over places.
//!
//! Kernels go channel by channel (sixteen at once) and over the places inside, so that
//! constants and sums stay in registers; callers hand them pieces that fit a near cache. Must
//! not know where numbers come from.
#![allow(unsafe_code)]

mod backward;
mod forward;
mod gate;
mod sums;
#[cfg(test)]
mod tests;

use super::lanes::{Lanes, WIDTH, load, store};

pub(crate) use backward::{ActivationBack, NormBack, SqueezeBack, SqueezeSums};
pub(crate) use forward::{Finish, Merge, NormActivate, ScaleChannels};
pub(crate) use gate::Gate;
pub(crate) use sums::{ColumnSums, Moments};

/// How a norm maps a convolution's output to z: `(y - mean) · gain + shift`, by channel.
#[derive(Clone, Copy)]
pub(crate) struct Affine<'a> {
    pub(crate) mean: &'a [f32],
    pub(crate) gain: &'a [f32],
    pub(crate) shift: &'a [f32],
}

/// Extents of a piece: lines of adjacent places of adjacent channels.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) lines: usize,
    pub(crate) steps: usize,
    pub(crate) channels: usize,
}

impl Extent {
    /// Places without line structure.
    pub(crate) fn flat(places: usize, channels: usize) -> Extent {
        Extent {
            lines: 1,
            steps: places,
            channels,
        }
    }

    /// Whether a slice whose lines begin `line` apart holds it.
    fn fits(&self, len: usize, line: usize) -> bool {
        self.lines == 0 || (self.lines - 1) * line + self.steps * self.channels <= len
    }
}

/// The work of a kernel on sixteen (or the last few) channels.
trait Vectors {
    /// `WHOLE` says that `count` is sixteen.
    ///
    /// # Safety
    /// As for [`Lanes`]; `channel + count` is at most the number of channels.
    unsafe fn vector<L: Lanes, const WHOLE: bool>(&mut self, channel: usize, count: usize);
}

/// Calls `body` for all channels.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
unsafe fn each_vector<L: Lanes>(channels: usize, body: &mut impl Vectors) {
    let whole = channels / WIDTH * WIDTH;
    // SAFETY: as the caller vouches.
    unsafe {
        for channel in (0..whole).step_by(WIDTH) {
            body.vector::<L, true>(channel, WIDTH);
        }
        if whole < channels {
            body.vector::<L, false>(whole, channels - whole);
        }
    }
}

/// Adjacent places of a line.
#[derive(Clone, Copy)]
struct Run {
    line: usize,
    first: usize,
    end: usize,
}

/// Places of a run at most: few, so that what they have lies close together in memory and is read
/// in its order; more than one, so that constants are not loaded for every place.
const TOGETHER: usize = 8;

/// The work of a kernel on sixteen (or the last few) channels of a run.
trait Runs {
    /// `WHOLE` says that `count` is sixteen.
    ///
    /// # Safety
    /// As for [`Lanes`]; the run lies in the extent, and `channel + count` is at most the number of
    /// channels.
    unsafe fn run<L: Lanes, const WHOLE: bool>(&mut self, run: Run, channel: usize, count: usize);
}

/// Calls `body` for all channels of all places.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
unsafe fn each_run<L: Lanes>(extent: Extent, body: &mut impl Runs) {
    let whole = extent.channels / WIDTH * WIDTH;
    for line in 0..extent.lines {
        for first in (0..extent.steps).step_by(TOGETHER) {
            let end = (first + TOGETHER).min(extent.steps);
            let run = Run { line, first, end };
            // SAFETY: as the caller vouches.
            unsafe {
                for channel in (0..whole).step_by(WIDTH) {
                    body.run::<L, true>(run, channel, WIDTH);
                }
                if whole < extent.channels {
                    body.run::<L, false>(run, whole, extent.channels - whole);
                }
            }
        }
    }
}

/// The work of a kernel on sixteen (or the last few) channels of a run, with two sums over places.
trait Sums {
    /// Adds the run's to the sums.
    ///
    /// # Safety
    /// As for [`Runs::run`].
    unsafe fn run<L: Lanes, const WHOLE: bool>(
        &mut self,
        run: Run,
        channel: usize,
        count: usize,
        sums: &mut [L; 2],
    );

    /// Takes the sums of a block of places.
    ///
    /// # Safety
    /// As for [`Runs::run`].
    unsafe fn take<L: Lanes, const WHOLE: bool>(&mut self, sums: [L; 2], channel: usize, count: usize);
}

/// Where sums over places end and new ones begin.
#[derive(Clone, Copy)]
struct Blocks {
    /// Places after which a line is cut.
    most: usize,
    /// Places from which on a sum ends with its line, or with the part of one.
    least: usize,
}

/// Channels whose sums are held at once, in vectors.
const HELD: usize = 16;

/// Calls `body` for all channels of all places.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
unsafe fn each_sum<L: Lanes>(extent: Extent, blocks: Blocks, body: &mut impl Sums) {
    let Extent {
        lines,
        steps,
        channels,
    } = extent;
    for start in (0..channels).step_by(HELD * WIDTH) {
        let end = (start + HELD * WIDTH).min(channels);
        let whole = (end - start) / WIDTH;
        let rest = end - start - whole * WIDTH;
        // SAFETY: as the caller vouches.
        unsafe {
            let zero = [L::splat(0.0); 2];
            let mut sums = [zero; HELD];
            let mut places = 0;
            for line in 0..lines {
                for block in (0..steps).step_by(blocks.most) {
                    let block_end = steps.min(block.saturating_add(blocks.most));
                    for first in (block..block_end).step_by(TOGETHER) {
                        let run = Run {
                            line,
                            first,
                            end: (first + TOGETHER).min(block_end),
                        };
                        for (vector, sums) in sums[..whole].iter_mut().enumerate() {
                            body.run::<L, true>(run, start + vector * WIDTH, WIDTH, sums);
                        }
                        if rest > 0 {
                            body.run::<L, false>(run, start + whole * WIDTH, rest, &mut sums[whole]);
                        }
                    }
                    places += block_end - block;
                    if places >= blocks.least || (line + 1 == lines && block_end == steps) {
                        for (vector, sums) in sums[..whole].iter_mut().enumerate() {
                            body.take::<L, true>(*sums, start + vector * WIDTH, WIDTH);
                            *sums = zero;
                        }
                        if rest > 0 {
                            body.take::<L, false>(sums[whole], start + whole * WIDTH, rest);
                            sums[whole] = zero;
                        }
                        places = 0;
                    }
                }
            }
        }
    }
}

/// The constants of a norm for some channels.
#[derive(Clone, Copy)]
struct AffineLanes<L> {
    mean: L,
    gain: L,
    shift: L,
}

impl<L: Lanes> AffineLanes<L> {
    /// # Safety
    /// As for [`Vectors::vector`].
    #[inline(always)]
    unsafe fn load<const WHOLE: bool>(affine: &Affine<'_>, channel: usize, count: usize) -> Self {
        // SAFETY: the slices hold all channels (checked by kernels), as the caller vouches.
        unsafe {
            AffineLanes {
                mean: load::<L, WHOLE>(affine.mean.as_ptr().add(channel), count),
                gain: load::<L, WHOLE>(affine.gain.as_ptr().add(channel), count),
                shift: load::<L, WHOLE>(affine.shift.as_ptr().add(channel), count),
            }
        }
    }

    #[inline(always)]
    fn apply(self, y: L) -> L {
        (y - self.mean).times_plus(self.gain, self.shift)
    }
}

impl Affine<'_> {
    fn holds(&self, channels: usize) -> bool {
        self.mean.len() >= channels && self.gain.len() >= channels && self.shift.len() >= channels
    }
}

/// Adds sixteen (or fewer) float32 sums to float64 sums.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
unsafe fn add_to<L: Lanes>(sum: L, to: &mut [f64]) {
    let mut lanes = [0.0f32; WIDTH];
    // SAFETY: there is room for sixteen.
    unsafe { sum.store(lanes.as_mut_ptr()) };
    for (to, lane) in to.iter_mut().zip(lanes) {
        *to += f64::from(lane);
    }
}
