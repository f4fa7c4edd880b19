//! Backward through activations, gates and norms.
//!
//! A norm's input gradient needs two sums over the batch, of dz and of dz · (y - mean). So it
//! takes two steps: kernels that make dz add to these sums, and [`NormBack`] uses them.

use super::super::activation::{Activate, Nonlinearity, with_activation};
use super::super::lanes::{Kernel, Lanes};
use super::{Affine, AffineLanes, Blocks, Extent, Run, Runs, Sums, add_to, each_run, each_sum, load, store};

/// Places whose sums are kept in float32 before they are added to float64.
const BLOCK: usize = 512;

/// `gradient = gradient · factor · act'(z)` where it was that of act(z), z = norm(y).
///
/// `sums` holds, for every channel, Σ dz, and after all of those, Σ dz · (y - mean).
pub(crate) struct ActivationBack<'a> {
    /// Lines of `y` and `gradient` lie one behind the other.
    pub(crate) extent: Extent,
    pub(crate) y: &'a [f32],
    pub(crate) affine: Affine<'a>,
    pub(crate) nonlinearity: Nonlinearity,
    pub(crate) factor: f32,
    pub(crate) gradient: &'a mut [f32],
    /// Where act(z) is written, if it is wanted, and the distance between its lines.
    pub(crate) value: Option<(&'a mut [f32], usize)>,
    pub(crate) sums: &'a mut [f64],
}

impl ActivationBack<'_> {
    #[inline(always)]
    unsafe fn with<L: Lanes, A: Activate, const WHOLE: bool>(
        &mut self,
        run: Run,
        channel: usize,
        count: usize,
        sums: &mut [L; 2],
    ) {
        let Extent { steps, channels, .. } = self.extent;
        // SAFETY: the slices hold the extent, checked by `run`.
        unsafe {
            let affine = AffineLanes::<L>::load::<WHOLE>(&self.affine, channel, count);
            let factor = L::splat(self.factor);
            let [mut sum, mut product] = *sums;
            for step in run.first..run.end {
                let at = (run.line * steps + step) * channels + channel;
                let distance = load::<L, WHOLE>(self.y.as_ptr().add(at), count) - affine.mean;
                let (value, slope) = A::value_and_slope(distance.times_plus(affine.gain, affine.shift));
                let gradient = self.gradient.as_mut_ptr().add(at);
                let dz = load::<L, WHOLE>(gradient, count) * factor * slope;
                store::<L, WHOLE>(dz, gradient, count);
                if let Some((to, to_line)) = &mut self.value {
                    let to = to
                        .as_mut_ptr()
                        .add(run.line * *to_line + step * channels + channel);
                    store::<L, WHOLE>(value, to, count);
                }
                sum = sum + dz;
                product = dz.times_plus(distance, product);
            }
            *sums = [sum, product];
        }
    }
}

impl Sums for ActivationBack<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, const WHOLE: bool>(
        &mut self,
        run: Run,
        channel: usize,
        count: usize,
        sums: &mut [L; 2],
    ) {
        // SAFETY: as the caller vouches.
        unsafe {
            with_activation!(self.nonlinearity, A => self.with::<L, A, WHOLE>(run, channel, count, sums))
        }
    }

    #[inline(always)]
    unsafe fn take<L: Lanes, const WHOLE: bool>(&mut self, sums: [L; 2], channel: usize, count: usize) {
        // SAFETY: as the caller vouches.
        unsafe { add_both(sums, self.sums, channel, count) }
    }
}

impl Kernel for ActivationBack<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        let Extent {
            lines,
            steps,
            channels,
        } = self.extent;
        assert!(self.y.len() >= lines * steps * channels && self.gradient.len() >= lines * steps * channels);
        assert!(
            self.value
                .as_ref()
                .is_none_or(|(value, line)| self.extent.fits(value.len(), *line))
        );
        assert_eq!(self.sums.len(), 2 * channels);
        assert!(self.affine.holds(channels));
        let blocks = Blocks {
            most: usize::MAX,
            least: BLOCK,
        };
        // SAFETY: checked above.
        unsafe { each_sum::<L>(self.extent, blocks, &mut self) }
    }
}

/// For one image before a gate: `value = act(z)`, `slope = act'(z)`,
/// `gate_gradient = Σ gradient · value` by channel.
pub(crate) struct SqueezeSums<'a> {
    pub(crate) y: &'a [f32],
    pub(crate) affine: Affine<'a>,
    pub(crate) nonlinearity: Nonlinearity,
    pub(crate) gradient: &'a [f32],
    pub(crate) value: &'a mut [f32],
    pub(crate) slope: &'a mut [f32],
    pub(crate) gate_gradient: &'a mut [f32],
}

impl SqueezeSums<'_> {
    #[inline(always)]
    unsafe fn with<L: Lanes, A: Activate, const WHOLE: bool>(
        &mut self,
        run: Run,
        channel: usize,
        count: usize,
        sums: &mut [L; 2],
    ) {
        let channels = self.gate_gradient.len();
        // SAFETY: the slices are equally long, checked by `run`.
        unsafe {
            let affine = AffineLanes::<L>::load::<WHOLE>(&self.affine, channel, count);
            let mut sum = sums[0];
            for place in run.first..run.end {
                let at = place * channels + channel;
                let y = load::<L, WHOLE>(self.y.as_ptr().add(at), count);
                let (value, slope) = A::value_and_slope(affine.apply(y));
                store::<L, WHOLE>(value, self.value.as_mut_ptr().add(at), count);
                store::<L, WHOLE>(slope, self.slope.as_mut_ptr().add(at), count);
                sum = value.times_plus(load::<L, WHOLE>(self.gradient.as_ptr().add(at), count), sum);
            }
            sums[0] = sum;
        }
    }
}

impl Sums for SqueezeSums<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, const WHOLE: bool>(
        &mut self,
        run: Run,
        channel: usize,
        count: usize,
        sums: &mut [L; 2],
    ) {
        // SAFETY: as the caller vouches.
        unsafe {
            with_activation!(self.nonlinearity, A => self.with::<L, A, WHOLE>(run, channel, count, sums))
        }
    }

    #[inline(always)]
    unsafe fn take<L: Lanes, const WHOLE: bool>(&mut self, sums: [L; 2], channel: usize, count: usize) {
        // SAFETY: as the caller vouches.
        unsafe {
            let all = self.gate_gradient.as_mut_ptr().add(channel);
            store::<L, WHOLE>(load::<L, WHOLE>(all, count) + sums[0], all, count);
        }
    }
}

impl Kernel for SqueezeSums<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        let (len, channels) = (self.y.len(), self.gate_gradient.len());
        assert!(self.gradient.len() == len && self.value.len() == len && self.slope.len() == len);
        assert!(self.affine.holds(channels));
        self.gate_gradient.fill(0.0);
        let blocks = Blocks {
            most: 128,
            least: 128,
        };
        // SAFETY: checked above.
        unsafe { each_sum::<L>(Extent::flat(len / channels, channels), blocks, &mut self) }
    }
}

/// For one image behind a gate: `gradient = (gradient · gate + pooled) · slope`, and
/// `value *= gate`. `sums` as for [`ActivationBack`].
pub(crate) struct SqueezeBack<'a> {
    pub(crate) y: &'a [f32],
    pub(crate) mean: &'a [f32],
    pub(crate) slope: &'a [f32],
    pub(crate) gate: &'a [f32],
    /// The gradient that comes through the mean over places, already divided by their number.
    pub(crate) pooled: &'a [f32],
    pub(crate) value: &'a mut [f32],
    pub(crate) gradient: &'a mut [f32],
    pub(crate) sums: &'a mut [f64],
}

impl Sums for SqueezeBack<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, const WHOLE: bool>(
        &mut self,
        run: Run,
        channel: usize,
        count: usize,
        sums: &mut [L; 2],
    ) {
        let channels = self.gate.len();
        // SAFETY: the slices are equally long, checked by `run`.
        unsafe {
            let mean = load::<L, WHOLE>(self.mean.as_ptr().add(channel), count);
            let gate = load::<L, WHOLE>(self.gate.as_ptr().add(channel), count);
            let pooled = load::<L, WHOLE>(self.pooled.as_ptr().add(channel), count);
            let [mut sum, mut product] = *sums;
            for place in run.first..run.end {
                let at = place * channels + channel;
                let gradient = self.gradient.as_mut_ptr().add(at);
                let slope = load::<L, WHOLE>(self.slope.as_ptr().add(at), count);
                let dz = load::<L, WHOLE>(gradient, count).times_plus(gate, pooled) * slope;
                store::<L, WHOLE>(dz, gradient, count);
                let value = self.value.as_mut_ptr().add(at);
                store::<L, WHOLE>(load::<L, WHOLE>(value, count) * gate, value, count);
                let distance = load::<L, WHOLE>(self.y.as_ptr().add(at), count) - mean;
                sum = sum + dz;
                product = dz.times_plus(distance, product);
            }
            *sums = [sum, product];
        }
    }

    #[inline(always)]
    unsafe fn take<L: Lanes, const WHOLE: bool>(&mut self, sums: [L; 2], channel: usize, count: usize) {
        // SAFETY: as the caller vouches.
        unsafe { add_both(sums, self.sums, channel, count) }
    }
}

impl Kernel for SqueezeBack<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        let (len, channels) = (self.y.len(), self.gate.len());
        assert!(self.slope.len() == len && self.value.len() == len && self.gradient.len() == len);
        assert!(self.mean.len() >= channels && self.pooled.len() >= channels);
        assert_eq!(self.sums.len(), 2 * channels);
        let blocks = Blocks {
            most: BLOCK,
            least: BLOCK,
        };
        // SAFETY: checked above.
        unsafe { each_sum::<L>(Extent::flat(len / channels, channels), blocks, &mut self) }
    }
}

/// Adds two sums of some channels to those of all: the first ones, and behind them the second ones.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
unsafe fn add_both<L: Lanes>([first, second]: [L; 2], to: &mut [f64], channel: usize, count: usize) {
    let channels = to.len() / 2;
    // SAFETY: as the caller vouches.
    unsafe {
        add_to(first, &mut to[channel..channel + count]);
        add_to(second, &mut to[channels + channel..channels + channel + count]);
    }
}

/// `to = gain · dz + (y - mean) · slant + offset`: the gradient of a convolution's output from
/// that behind its norm.
pub(crate) struct NormBack<'a> {
    pub(crate) extent: Extent,
    pub(crate) dz: &'a [f32],
    pub(crate) y: &'a [f32],
    /// Distance between lines of `dz` and `y`.
    pub(crate) from_line: usize,
    pub(crate) mean: &'a [f32],
    pub(crate) gain: &'a [f32],
    pub(crate) slant: &'a [f32],
    pub(crate) offset: &'a [f32],
    pub(crate) to: &'a mut [f32],
    pub(crate) to_line: usize,
    /// Distance between adjacent places of `to`, in numbers; `channels` where nothing lies
    /// between them.
    pub(crate) to_step: usize,
}

impl Runs for NormBack<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, const WHOLE: bool>(&mut self, run: Run, channel: usize, count: usize) {
        let channels = self.extent.channels;
        // SAFETY: the slices hold the extent, checked by `run`.
        unsafe {
            let mean = load::<L, WHOLE>(self.mean.as_ptr().add(channel), count);
            let gain = load::<L, WHOLE>(self.gain.as_ptr().add(channel), count);
            let slant = load::<L, WHOLE>(self.slant.as_ptr().add(channel), count);
            let offset = load::<L, WHOLE>(self.offset.as_ptr().add(channel), count);
            let from = run.line * self.from_line + channel;
            let to = self.to.as_mut_ptr().add(run.line * self.to_line + channel);
            for step in run.first..run.end {
                let dz = load::<L, WHOLE>(self.dz.as_ptr().add(from + step * channels), count);
                let y = load::<L, WHOLE>(self.y.as_ptr().add(from + step * channels), count);
                let value = dz.times_plus(gain, (y - mean).times_plus(slant, offset));
                store::<L, WHOLE>(value, to.add(step * self.to_step), count);
            }
        }
    }
}

impl Kernel for NormBack<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        let Extent {
            lines,
            steps,
            channels,
        } = self.extent;
        if lines == 0 || steps == 0 {
            return;
        }
        assert!(self.extent.fits(self.dz.len(), self.from_line));
        assert!(self.extent.fits(self.y.len(), self.from_line));
        assert!((lines - 1) * self.to_line + (steps - 1) * self.to_step + channels <= self.to.len());
        for constants in [self.mean, self.gain, self.slant, self.offset] {
            assert!(constants.len() >= channels);
        }
        // SAFETY: checked above.
        unsafe { each_run::<L>(self.extent, &mut self) }
    }
}
