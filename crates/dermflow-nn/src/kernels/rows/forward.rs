//! Forward: norm and activation, gates, shortcuts, the end of a convolution without a norm.

use super::super::activation::{Activate, Nonlinearity, with_activation};
use super::super::lanes::{Kernel, Lanes};
use super::{Affine, AffineLanes, Extent, Run, Runs, Vectors, each_run, each_vector, load, store};

/// `to = act(norm(from))`.
pub(crate) struct NormActivate<'a> {
    pub(crate) extent: Extent,
    pub(crate) from: &'a [f32],
    pub(crate) from_line: usize,
    pub(crate) affine: Affine<'a>,
    pub(crate) nonlinearity: Nonlinearity,
    pub(crate) to: &'a mut [f32],
    pub(crate) to_line: usize,
}

impl NormActivate<'_> {
    #[inline(always)]
    unsafe fn with<L: Lanes, A: Activate, const WHOLE: bool>(
        &mut self,
        run: Run,
        channel: usize,
        count: usize,
    ) {
        let channels = self.extent.channels;
        // SAFETY: the slices hold the extent, checked by `run`.
        unsafe {
            let affine = AffineLanes::<L>::load::<WHOLE>(&self.affine, channel, count);
            let from = self.from.as_ptr().add(run.line * self.from_line + channel);
            let to = self.to.as_mut_ptr().add(run.line * self.to_line + channel);
            for step in run.first..run.end {
                let y = load::<L, WHOLE>(from.add(step * channels), count);
                store::<L, WHOLE>(A::value(affine.apply(y)), to.add(step * channels), count);
            }
        }
    }
}

impl Runs for NormActivate<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, const WHOLE: bool>(&mut self, run: Run, channel: usize, count: usize) {
        // SAFETY: as the caller vouches.
        unsafe { with_activation!(self.nonlinearity, A => self.with::<L, A, WHOLE>(run, channel, count)) }
    }
}

impl Kernel for NormActivate<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        assert!(self.extent.fits(self.from.len(), self.from_line));
        assert!(self.extent.fits(self.to.len(), self.to_line));
        assert!(self.affine.holds(self.extent.channels));
        // SAFETY: checked above.
        unsafe { each_run::<L>(self.extent, &mut self) }
    }
}

/// `to = act(norm(from)) · keep + shortcut`, for one image.
pub(crate) struct Merge<'a> {
    pub(crate) channels: usize,
    pub(crate) from: &'a [f32],
    pub(crate) affine: Affine<'a>,
    pub(crate) nonlinearity: Nonlinearity,
    pub(crate) keep: f32,
    pub(crate) shortcut: Option<&'a [f32]>,
    pub(crate) to: &'a mut [f32],
}

impl Merge<'_> {
    #[inline(always)]
    unsafe fn with<L: Lanes, A: Activate, const WHOLE: bool>(
        &mut self,
        run: Run,
        channel: usize,
        count: usize,
    ) {
        // SAFETY: the slices are equally long, checked by `run`.
        unsafe {
            let affine = AffineLanes::<L>::load::<WHOLE>(&self.affine, channel, count);
            let keep = L::splat(self.keep);
            for place in run.first..run.end {
                let at = place * self.channels + channel;
                let y = load::<L, WHOLE>(self.from.as_ptr().add(at), count);
                let value = A::value(affine.apply(y));
                let value = match self.shortcut {
                    Some(shortcut) => {
                        value.times_plus(keep, load::<L, WHOLE>(shortcut.as_ptr().add(at), count))
                    }
                    None => value * keep,
                };
                store::<L, WHOLE>(value, self.to.as_mut_ptr().add(at), count);
            }
        }
    }
}

impl Runs for Merge<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, const WHOLE: bool>(&mut self, run: Run, channel: usize, count: usize) {
        // SAFETY: as the caller vouches.
        unsafe { with_activation!(self.nonlinearity, A => self.with::<L, A, WHOLE>(run, channel, count)) }
    }
}

impl Kernel for Merge<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        assert_eq!(self.from.len(), self.to.len());
        assert!(
            self.shortcut
                .is_none_or(|shortcut| shortcut.len() == self.to.len())
        );
        assert!(self.affine.holds(self.channels));
        let extent = Extent::flat(self.to.len() / self.channels, self.channels);
        // SAFETY: checked above.
        unsafe { each_run::<L>(extent, &mut self) }
    }
}

/// `values = act(values + bias)`, plus a shortcut: the end of a convolution without a norm, or
/// with one that is folded into its weights.
pub(crate) struct Finish<'a> {
    pub(crate) extent: Extent,
    pub(crate) values: &'a mut [f32],
    pub(crate) values_line: usize,
    pub(crate) bias: &'a [f32],
    pub(crate) nonlinearity: Nonlinearity,
    pub(crate) shortcut: Option<&'a [f32]>,
}

impl Finish<'_> {
    #[inline(always)]
    unsafe fn with<L: Lanes, A: Activate, const WHOLE: bool>(&mut self, channel: usize, count: usize) {
        let Extent {
            lines,
            steps,
            channels,
        } = self.extent;
        // SAFETY: the slices hold the extent, checked by `run`.
        unsafe {
            let bias = load::<L, WHOLE>(self.bias.as_ptr().add(channel), count);
            for line in 0..lines {
                let start = line * self.values_line + channel;
                for step in 0..steps {
                    let to = self.values.as_mut_ptr().add(start + step * channels);
                    let mut value = A::value(load::<L, WHOLE>(to, count) + bias);
                    if let Some(shortcut) = self.shortcut {
                        let from = shortcut.as_ptr().add(start + step * channels);
                        value = value + load::<L, WHOLE>(from, count);
                    }
                    store::<L, WHOLE>(value, to, count);
                }
            }
        }
    }
}

impl Vectors for Finish<'_> {
    #[inline(always)]
    unsafe fn vector<L: Lanes, const WHOLE: bool>(&mut self, channel: usize, count: usize) {
        // SAFETY: as the caller vouches.
        unsafe { with_activation!(self.nonlinearity, A => self.with::<L, A, WHOLE>(channel, count)) }
    }
}

impl Kernel for Finish<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        assert!(self.extent.fits(self.values.len(), self.values_line));
        assert!(
            self.shortcut
                .is_none_or(|shortcut| self.extent.fits(shortcut.len(), self.values_line))
        );
        assert!(self.bias.len() >= self.extent.channels);
        // SAFETY: checked above.
        unsafe { each_vector::<L>(self.extent.channels, &mut self) }
    }
}

/// `values *= gate`, by channel.
pub(crate) struct ScaleChannels<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) gate: &'a [f32],
}

impl Vectors for ScaleChannels<'_> {
    #[inline(always)]
    unsafe fn vector<L: Lanes, const WHOLE: bool>(&mut self, channel: usize, count: usize) {
        let channels = self.gate.len();
        // SAFETY: whole places of `channels` numbers, as the caller vouches.
        unsafe {
            let gate = load::<L, WHOLE>(self.gate.as_ptr().add(channel), count);
            for place in 0..self.values.len() / channels {
                let at = self.values.as_mut_ptr().add(place * channels + channel);
                store::<L, WHOLE>(load::<L, WHOLE>(at, count) * gate, at, count);
            }
        }
    }
}

impl Kernel for ScaleChannels<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        // SAFETY: the number of places is worked out from the slices.
        unsafe { each_vector::<L>(self.gate.len(), &mut self) }
    }
}
