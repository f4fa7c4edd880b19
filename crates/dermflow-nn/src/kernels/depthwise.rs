//! Depthwise convolution: every channel with a k×k window of its own.
//!
//! Works on a bordered grid, like [`Window`](super::window::Window), sixteen channels at once
//! and four adjacent places at once, so that what a line of windows shares is read once. Must
//! not know of norms or batches.
#![allow(unsafe_code)]

use super::lanes::{Kernel, Lanes, WIDTH};

/// `out[y, x, c] = Σ weights[i, j, c] · grid[y · stride + i, x · stride + j, c]`.
pub(crate) struct Depthwise<'a> {
    pub(crate) channels: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) grid: &'a [f32],
    /// Numbers between the starts of two lines of `grid`.
    pub(crate) pitch: usize,
    /// `[kernel, kernel, channels]`.
    pub(crate) weights: &'a [f32],
    pub(crate) lines: usize,
    pub(crate) steps: usize,
    pub(crate) out: &'a mut [f32],
}

/// Adjacent places that are worked out together.
const TOGETHER: usize = 4;

/// What adjacent places have in common.
#[derive(Clone, Copy)]
struct Run {
    channels: usize,
    pitch: usize,
    weights: *const f32,
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
                    *read = part::<L, WHOLE>(line.add(at * self.channels), self.count);
                }
                for j in 0..KERNEL {
                    let weight =
                        part::<L, WHOLE>(self.weights.add((i * KERNEL + j) * self.channels), self.count);
                    for (at, sum) in sums.iter_mut().enumerate() {
                        *sum = weight.times_plus(read[at * STRIDE + j], *sum);
                    }
                }
            }
            for (at, sum) in sums.iter().enumerate() {
                let to = to.add(at * self.channels);
                if WHOLE {
                    sum.store(to);
                } else {
                    sum.store_first(to, self.count);
                }
            }
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
        let channels = self.channels;
        // SAFETY: windows lie in the grid and places in the result, as `run` checked.
        unsafe {
            let weights = self.weights.as_ptr().add(channel);
            for line in 0..self.lines {
                let grid = self.grid.as_ptr().add(line * STRIDE * self.pitch + channel);
                let out = self.out.as_mut_ptr().add(line * self.steps * channels + channel);
                let run = Run {
                    channels,
                    pitch: self.pitch,
                    weights,
                    count,
                };
                let whole = self.steps / TOGETHER * TOGETHER;
                for step in (0..whole).step_by(TOGETHER) {
                    let (from, to) = (grid.add(step * STRIDE * channels), out.add(step * channels));
                    run.places::<L, KERNEL, STRIDE, TOGETHER, WHOLE>(from, to);
                }
                let (from, to) = (grid.add(whole * STRIDE * channels), out.add(whole * channels));
                match self.steps - whole {
                    1 => run.places::<L, KERNEL, STRIDE, 1, WHOLE>(from, to),
                    2 => run.places::<L, KERNEL, STRIDE, 2, WHOLE>(from, to),
                    3 => run.places::<L, KERNEL, STRIDE, 3, WHOLE>(from, to),
                    _ => {}
                }
            }
        }
    }

    /// Any window, without sharing.
    ///
    /// # Safety
    /// As for `vector`.
    #[inline(always)]
    unsafe fn any<L: Lanes>(&mut self, channel: usize, count: usize) {
        let channels = self.channels;
        // SAFETY: as in `vector`.
        unsafe {
            for line in 0..self.lines {
                for step in 0..self.steps {
                    let mut sum = L::splat(0.0);
                    for i in 0..self.kernel {
                        for j in 0..self.kernel {
                            let at =
                                (line * self.stride + i) * self.pitch + (step * self.stride + j) * channels;
                            let place = L::load_first(self.grid.as_ptr().add(at + channel), count);
                            let tap = (i * self.kernel + j) * channels + channel;
                            sum = L::load_first(self.weights.as_ptr().add(tap), count).times_plus(place, sum);
                        }
                    }
                    let at = (line * self.steps + step) * channels + channel;
                    sum.store_first(self.out.as_mut_ptr().add(at), count);
                }
            }
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
}

impl Kernel for Depthwise<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        if self.lines == 0 || self.steps == 0 || self.channels == 0 {
            return;
        }
        let (lines, steps) = (
            (self.lines - 1) * self.stride + self.kernel,
            (self.steps - 1) * self.stride + self.kernel,
        );
        assert!((lines - 1) * self.pitch + steps * self.channels <= self.grid.len());
        assert!(self.kernel * self.kernel * self.channels <= self.weights.len());
        assert!(self.lines * self.steps * self.channels <= self.out.len());
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

/// `weights[i, j, c] += Σ small[y, x, c] · grid[y · stride + i, x · stride + j, c]`.
pub(crate) struct DepthwiseWeights<'a> {
    pub(crate) channels: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// Lines begin `small_line` numbers apart.
    pub(crate) small: &'a [f32],
    pub(crate) small_line: usize,
    /// Adjacent places lie `small_step` numbers apart.
    pub(crate) small_step: usize,
    pub(crate) grid: &'a [f32],
    pub(crate) pitch: usize,
    pub(crate) lines: usize,
    pub(crate) steps: usize,
    pub(crate) weights: &'a mut [f32],
}

/// Lines whose products are summed before they are added to the rest.
const LINES: usize = 8;

impl DepthwiseWeights<'_> {
    /// Products with line `i` of the window. The order of summing is that of places.
    ///
    /// # Safety
    /// As for [`Depthwise::vector`].
    #[inline(always)]
    unsafe fn vector<L: Lanes, const KERNEL: usize>(&mut self, channel: usize, count: usize) {
        let channels = self.channels;
        // SAFETY: windows lie in the grid, as `run` checked.
        unsafe {
            for block in (0..self.lines).step_by(LINES) {
                for i in 0..KERNEL {
                    let mut sums = [L::splat(0.0); KERNEL];
                    for line in block..(block + LINES).min(self.lines) {
                        let small = self.small.as_ptr().add(line * self.small_line + channel);
                        let grid = self
                            .grid
                            .as_ptr()
                            .add((line * self.stride + i) * self.pitch + channel);
                        for step in 0..self.steps {
                            let from = grid.add(step * self.stride * channels);
                            let own = load::<L>(small.add(step * self.small_step), count);
                            for (j, sum) in sums.iter_mut().enumerate() {
                                *sum = own.times_plus(load::<L>(from.add(j * channels), count), *sum);
                            }
                        }
                    }
                    for (j, sum) in sums.iter().enumerate() {
                        let to = self
                            .weights
                            .as_mut_ptr()
                            .add((i * KERNEL + j) * channels + channel);
                        (load::<L>(to, count) + *sum).store_first(to, count);
                    }
                }
            }
        }
    }
}

/// # Safety
/// As [`Lanes::load_first`].
#[inline(always)]
unsafe fn part<L: Lanes, const WHOLE: bool>(from: *const f32, count: usize) -> L {
    // SAFETY: as the caller vouches.
    unsafe {
        if WHOLE {
            L::load(from)
        } else {
            L::load_first(from, count)
        }
    }
}

/// # Safety
/// As [`Lanes::load_first`].
#[inline(always)]
unsafe fn load<L: Lanes>(from: *const f32, count: usize) -> L {
    // SAFETY: as the caller vouches.
    unsafe {
        if count == WIDTH {
            L::load(from)
        } else {
            L::load_first(from, count)
        }
    }
}

impl Kernel for DepthwiseWeights<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        if self.lines == 0 || self.steps == 0 || self.channels == 0 {
            return;
        }
        let (lines, steps) = (
            (self.lines - 1) * self.stride + self.kernel,
            (self.steps - 1) * self.stride + self.kernel,
        );
        assert!((lines - 1) * self.pitch + steps * self.channels <= self.grid.len());
        assert!(
            (self.lines - 1) * self.small_line + (self.steps - 1) * self.small_step + self.channels
                <= self.small.len()
        );
        assert!(self.kernel * self.kernel * self.channels <= self.weights.len());
        for channel in (0..self.channels).step_by(WIDTH) {
            let count = WIDTH.min(self.channels - channel);
            // SAFETY: checked above.
            unsafe {
                match self.kernel {
                    1 => self.vector::<L, 1>(channel, count),
                    3 => self.vector::<L, 3>(channel, count),
                    5 => self.vector::<L, 5>(channel, count),
                    7 => self.vector::<L, 7>(channel, count),
                    _ => unreachable!("a checked document has windows of 1, 3, 5 or 7"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanes::InstructionSet;
    use super::super::testing::{close, numbers};
    use super::*;

    #[test]
    fn depthwise_convolutions_are_the_scalar_ones_on_every_instruction_set() {
        for (kernel, stride) in [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2)] {
            for (lines, steps, channels) in [(1, 1, 1), (2, 3, 16), (5, 4, 24), (9, 11, 37)] {
                let width = (steps - 1) * stride + kernel;
                let pitch = width * channels;
                let grid = numbers(1, ((lines - 1) * stride + kernel) * pitch);
                let weights = numbers(2, kernel * kernel * channels);
                let small = numbers(3, lines * steps * channels);
                let mut gathered = vec![0.0f64; small.len()];
                let mut weighed = vec![0.0f64; weights.len()];
                for place in 0..lines * steps {
                    for tap in 0..kernel * kernel {
                        for c in 0..channels {
                            let y = place / steps * stride + tap / kernel;
                            let x = place % steps * stride + tap % kernel;
                            let from = f64::from(grid[y * pitch + x * channels + c]);
                            gathered[place * channels + c] += from * f64::from(weights[tap * channels + c]);
                            weighed[tap * channels + c] += from * f64::from(small[place * channels + c]);
                        }
                    }
                }
                let mut first: Option<(Vec<f32>, Vec<f32>)> = None;
                for set in InstructionSet::available() {
                    let mut out = vec![f32::NAN; small.len()];
                    set.run(Depthwise {
                        channels,
                        kernel,
                        stride,
                        grid: &grid,
                        pitch,
                        weights: &weights,
                        lines,
                        steps,
                        out: &mut out,
                    });
                    let mut gradient = vec![0.0; weights.len()];
                    set.run(DepthwiseWeights {
                        channels,
                        kernel,
                        stride,
                        small: &small,
                        small_line: steps * channels,
                        small_step: channels,
                        grid: &grid,
                        pitch,
                        lines,
                        steps,
                        weights: &mut gradient,
                    });
                    out.iter()
                        .zip(&gathered)
                        .for_each(|(out, expected)| close(*out, *expected, 1e-5));
                    gradient
                        .iter()
                        .zip(&weighed)
                        .for_each(|(out, expected)| close(*out, *expected, 1e-5));
                    let first = first.get_or_insert_with(|| (out.clone(), gradient.clone()));
                    assert_eq!(*first, (out, gradient));
                }
            }
        }
    }
}
