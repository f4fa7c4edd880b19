//! The gradient of a depthwise convolution's weights.

use super::super::lanes::{Kernel, Lanes, WIDTH};

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
    /// As for [`Kernel::run`], which checked the slices; `channel + count` is at most their channels.
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
                            let own = load_some::<L>(small.add(step * self.small_step), count);
                            for (j, sum) in sums.iter_mut().enumerate() {
                                *sum = own.times_plus(load_some::<L>(from.add(j * channels), count), *sum);
                            }
                        }
                    }
                    for (j, sum) in sums.iter().enumerate() {
                        let to = self
                            .weights
                            .as_mut_ptr()
                            .add((i * KERNEL + j) * channels + channel);
                        (load_some::<L>(to, count) + *sum).store_first(to, count);
                    }
                }
            }
        }
    }
}

/// # Safety
/// As [`Lanes::load_first`].
#[inline(always)]
unsafe fn load_some<L: Lanes>(from: *const f32, count: usize) -> L {
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
