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
