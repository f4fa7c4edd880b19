//! Depthwise convolution: every channel with a k×k window of its own.
//!
//! Works on a bordered grid, like [`Window`](super::window::Window), sixteen channels at once
//! and four adjacent places at once, so that what a line of windows shares is read once. Must
//! not know of norms or batches.
#![allow(unsafe_code)]

#[cfg(test)]
mod tests;
mod weights;

use super::activation::{Activate, Nonlinearity, with_activation};
use super::lanes::{Kernel, Lanes, WIDTH, load, store};

pub(crate) use weights::DepthwiseWeights;

/// `out[y, x, c] = Σ weights[i, j, c] · grid[y · stride + i, x · stride + j, c]`, and what follows.
///
/// Channels may be some of a grid's: how far apart places lie is told for each side.
pub(crate) struct Depthwise<'a> {
    pub(crate) channels: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) grid: &'a [f32],
    /// Numbers between the starts of two lines of `grid`, and of two places.
    pub(crate) pitch: usize,
    pub(crate) grid_step: usize,
    /// `[kernel, kernel, channels]`, places of the window `weights_step` apart.
    pub(crate) weights: &'a [f32],
    pub(crate) weights_step: usize,
    pub(crate) lines: usize,
    pub(crate) steps: usize,
    /// Places lie `out_step` apart.
    pub(crate) out: &'a mut [f32],
    pub(crate) out_step: usize,
    pub(crate) finish: Option<Finish<'a>>,
}

/// `out = act(out + bias)`, and the means over places of that.
pub(crate) struct Finish<'a> {
    pub(crate) bias: &'a [f32],
    pub(crate) nonlinearity: Nonlinearity,
    pub(crate) means: Option<&'a mut [f32]>,
}

/// Adjacent places that are worked out together.
const TOGETHER: usize = 4;

/// Places that are summed before their sum is added to the rest, as
/// [`ColumnSums`](super::rows::ColumnSums) does.
const SUMMED: usize = 128;

/// What adjacent places have in common.
#[derive(Clone, Copy)]
struct Run {
    grid_step: usize,
    pitch: usize,
    weights: *const f32,
    weights_step: usize,
    out_step: usize,
    count: usize,
}

impl Run {
    /// `PLACES` adjacent places.
    ///
    /// # Safety
    /// Their windows and the places themselves lie in memory that can be read and written.
    #[inline(always)]
    unsafe fn places<
        L: Lanes,
        const KERNEL: usize,
        const STRIDE: usize,
        const PLACES: usize,
        const WHOLE: bool,
    >(
        self,
        from: *const f32,
        to: *mut f32,
    ) {
        // SAFETY: as the caller vouches.
        unsafe {
            let mut sums = [L::splat(0.0); PLACES];
            for i in 0..KERNEL {
                let line = from.add(i * self.pitch);
                // At most 11 places are read: four windows of 5, two apart.
                let mut read = [L::splat(0.0); 11];
                for (at, read) in read.iter_mut().enumerate().take((PLACES - 1) * STRIDE + KERNEL) {
                    *read = load::<L, WHOLE>(line.add(at * self.grid_step), self.count);
                }
                for j in 0..KERNEL {
                    let tap = (i * KERNEL + j) * self.weights_step;
                    let weight = load::<L, WHOLE>(self.weights.add(tap), self.count);
                    for (at, sum) in sums.iter_mut().enumerate() {
                        *sum = weight.times_plus(read[at * STRIDE + j], *sum);
                    }
                }
            }
            for (at, sum) in sums.iter().enumerate() {
                let to = to.add(at * self.out_step);
                store::<L, WHOLE>(*sum, to, self.count);
            }
        }
    }
}

/// Sums of the places so far.
struct Sums<L> {
    all: L,
    block: L,
    places: usize,
}

impl<L: Lanes> Sums<L> {
    /// # Safety
    /// As for [`Lanes`].
    #[inline(always)]
    unsafe fn new() -> Sums<L> {
        // SAFETY: as the caller vouches.
        let zero = unsafe { L::splat(0.0) };
        Sums {
            all: zero,
            block: zero,
            places: 0,
        }
    }

    /// # Safety
    /// As for [`Lanes`].
    #[inline(always)]
    unsafe fn add(&mut self, value: L) {
        self.block = self.block + value;
        self.places += 1;
        if self.places.is_multiple_of(SUMMED) {
            self.all = self.all + self.block;
            // SAFETY: as the caller vouches.
            self.block = unsafe { L::splat(0.0) };
        }
    }

    /// # Safety
    /// As for [`Lanes`].
    #[inline(always)]
    unsafe fn mean(self) -> L {
        let all = match self.places.is_multiple_of(SUMMED) {
            true => self.all,
            false => self.all + self.block,
        };
        // SAFETY: as the caller vouches.
        unsafe { all.times_plus(L::splat(1.0 / self.places as f32), L::splat(0.0)) }
    }
}

impl Finish<'_> {
    /// One line of places.
    ///
    /// # Safety
    /// `count` numbers of `steps` places can be written from `to` on, and `channel + count` is at
    /// most the number of channels.
    #[inline(always)]
    unsafe fn line<L: Lanes, const WHOLE: bool>(
        &self,
        (channel, count): (usize, usize),
        to: *mut f32,
        (steps, out_step): (usize, usize),
        sums: &mut Sums<L>,
    ) {
        // SAFETY: as the caller vouches.
        unsafe {
            let bias = load::<L, WHOLE>(self.bias.as_ptr().add(channel), count);
            with_activation!(self.nonlinearity, A => {
                for step in 0..steps {
                    let to = to.add(step * out_step);
                    let value = A::value(load::<L, WHOLE>(to, count) + bias);
                    sums.add(value);
                    store::<L, WHOLE>(value, to, count);
                }
            });
        }
    }
}

impl Depthwise<'_> {
    /// # Safety
    /// As for [`Kernel::run`], which checked the slices; `channel + count <= channels`.
    #[inline(always)]
    unsafe fn vector<L: Lanes, const KERNEL: usize, const STRIDE: usize, const WHOLE: bool>(
        &mut self,
        channel: usize,
        count: usize,
    ) {
        // SAFETY: windows lie in the grid and places in the result, as `run` checked.
        unsafe {
            let run = Run {
                grid_step: self.grid_step,
                pitch: self.pitch,
                weights: self.weights.as_ptr().add(channel),
                weights_step: self.weights_step,
                out_step: self.out_step,
                count,
            };
            let mut sums = Sums::<L>::new();
            for line in 0..self.lines {
                let grid = self.grid.as_ptr().add(line * STRIDE * self.pitch + channel);
                let out = self
                    .out
                    .as_mut_ptr()
                    .add(line * self.steps * self.out_step + channel);
                let whole = self.steps / TOGETHER * TOGETHER;
                for step in (0..whole).step_by(TOGETHER) {
                    let from = grid.add(step * STRIDE * self.grid_step);
                    run.places::<L, KERNEL, STRIDE, TOGETHER, WHOLE>(from, out.add(step * self.out_step));
                }
                // Where no place is left these may lie behind the slices, and are not used.
                let from = grid.wrapping_add(whole * STRIDE * self.grid_step);
                let to = out.wrapping_add(whole * self.out_step);
                match self.steps - whole {
                    1 => run.places::<L, KERNEL, STRIDE, 1, WHOLE>(from, to),
                    2 => run.places::<L, KERNEL, STRIDE, 2, WHOLE>(from, to),
                    3 => run.places::<L, KERNEL, STRIDE, 3, WHOLE>(from, to),
                    _ => {}
                }
                if let Some(finish) = &self.finish {
                    let steps = (self.steps, self.out_step);
                    finish.line::<L, WHOLE>((channel, count), out, steps, &mut sums);
                }
            }
            self.keep_means(channel, count, sums);
        }
    }

    /// # Safety
    /// As for `vector`.
    #[inline(always)]
    unsafe fn keep_means<L: Lanes>(&mut self, channel: usize, count: usize, sums: Sums<L>) {
        if let Some(means) = self.finish.as_mut().and_then(|finish| finish.means.as_mut()) {
            // SAFETY: there is a mean for every channel, as `run` checked.
            unsafe { sums.mean().store_first(means.as_mut_ptr().add(channel), count) };
        }
    }

    /// Any window, without sharing.
    ///
    /// # Safety
    /// As for `vector`.
    #[inline(always)]
    unsafe fn any<L: Lanes>(&mut self, channel: usize, count: usize) {
        // SAFETY: as in `vector`.
        unsafe {
            let mut sums = Sums::<L>::new();
            for line in 0..self.lines {
                let out = self
                    .out
                    .as_mut_ptr()
                    .add(line * self.steps * self.out_step + channel);
                for step in 0..self.steps {
                    let mut sum = L::splat(0.0);
                    for i in 0..self.kernel {
                        for j in 0..self.kernel {
                            let at = (line * self.stride + i) * self.pitch
                                + (step * self.stride + j) * self.grid_step;
                            let place = L::load_first(self.grid.as_ptr().add(at + channel), count);
                            let tap = (i * self.kernel + j) * self.weights_step + channel;
                            sum = L::load_first(self.weights.as_ptr().add(tap), count).times_plus(place, sum);
                        }
                    }
                    sum.store_first(out.add(step * self.out_step), count);
                }
                if let Some(finish) = &self.finish {
                    let steps = (self.steps, self.out_step);
                    finish.line::<L, false>((channel, count), out, steps, &mut sums);
                }
            }
            self.keep_means(channel, count, sums);
        }
    }

    #[inline(always)]
    unsafe fn sized<L: Lanes, const KERNEL: usize, const STRIDE: usize>(&mut self) {
        let whole = self.channels / WIDTH * WIDTH;
        // SAFETY: channels are within their number.
        unsafe {
            for channel in (0..whole).step_by(WIDTH) {
                self.vector::<L, KERNEL, STRIDE, true>(channel, WIDTH);
            }
            if whole < self.channels {
                self.vector::<L, KERNEL, STRIDE, false>(whole, self.channels - whole);
            }
        }
    }

    /// Panics where anything lies outside of its slice.
    fn check(&self) {
        let (lines, steps) = (
            (self.lines - 1) * self.stride + self.kernel,
            (self.steps - 1) * self.stride + self.kernel,
        );
        let channels = self.channels;
        assert!((lines - 1) * self.pitch + (steps - 1) * self.grid_step + channels <= self.grid.len());
        let taps = self.kernel * self.kernel;
        assert!((taps - 1) * self.weights_step + channels <= self.weights.len());
        assert!((self.lines * self.steps - 1) * self.out_step + channels <= self.out.len());
        if let Some(finish) = &self.finish {
            assert!(finish.bias.len() >= channels);
            assert!(finish.means.as_ref().is_none_or(|means| means.len() >= channels));
        }
    }
}

impl Kernel for Depthwise<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        if self.lines == 0 || self.steps == 0 || self.channels == 0 {
            return;
        }
        self.check();
        // SAFETY: checked above.
        unsafe {
            match (self.kernel, self.stride) {
                (3, 1) => self.sized::<L, 3, 1>(),
                (3, 2) => self.sized::<L, 3, 2>(),
                (5, 1) => self.sized::<L, 5, 1>(),
                (5, 2) => self.sized::<L, 5, 2>(),
                _ => {
                    for channel in (0..self.channels).step_by(WIDTH) {
                        self.any::<L>(channel, WIDTH.min(self.channels - channel));
                    }
                }
            }
        }
    }
}
