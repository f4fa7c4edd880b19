//! Windows through the transforms: `G w Gᵀ` before the products, `Gᵀ s G` of their gradients.

use super::super::lanes::{ByVectors, Kernel, Lanes, each_vector, load, store};
use super::lines::column;
use super::lines::three::{SIDE, window, window_back};

/// Numbers of a transformed window.
const PRODUCTS: usize = SIDE * SIDE;

/// `[outputs, 3, 3, inputs]` to `[outputs, 6, 6, inputs]`.
pub(super) struct WindowsIn<'a> {
    pub(super) weight: &'a [f32],
    pub(super) inputs: usize,
    pub(super) windows: &'a mut [f32],
}

/// Gradients of the matrices to those of the windows, to which they are added.
pub(super) struct WindowsBack<'a> {
    pub(super) sums: &'a [f32],
    pub(super) inputs: usize,
    pub(super) weight: &'a mut [f32],
}

impl ByVectors for WindowsIn<'_> {
    type Unit = usize;

    #[inline(always)]
    fn unit(&self, output: usize) -> usize {
        output
    }

    #[inline(always)]
    unsafe fn vector<L: Lanes, const WHOLE: bool>(&mut self, output: usize, channel: usize, count: usize) {
        // SAFETY: as the caller vouches.
        unsafe {
            let from = self.weight.as_ptr().add(9 * output * self.inputs + channel);
            let mut turned = [[L::splat(0.0); SIDE]; 3];
            for (i, turned) in turned.iter_mut().enumerate() {
                let mut w = [L::splat(0.0); 3];
                for (j, w) in w.iter_mut().enumerate() {
                    *w = load::<L, WHOLE>(from.add((3 * i + j) * self.inputs), count);
                }
                *turned = window(w);
            }
            let to = self
                .windows
                .as_mut_ptr()
                .add(PRODUCTS * output * self.inputs + channel);
            for j in 0..SIDE {
                let u = window(column(&turned, j));
                for (i, u) in u.into_iter().enumerate() {
                    store::<L, WHOLE>(u, to.add((SIDE * i + j) * self.inputs), count);
                }
            }
        }
    }
}

impl Kernel for WindowsIn<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        let outputs = outputs(self.weight.len(), self.inputs);
        assert!(PRODUCTS * outputs * self.inputs <= self.windows.len());
        let channels = self.inputs;
        // SAFETY: checked above.
        unsafe { each_vector::<L, _>(&mut self, outputs, channels) }
    }
}

impl ByVectors for WindowsBack<'_> {
    type Unit = usize;

    #[inline(always)]
    fn unit(&self, output: usize) -> usize {
        output
    }

    #[inline(always)]
    unsafe fn vector<L: Lanes, const WHOLE: bool>(&mut self, output: usize, channel: usize, count: usize) {
        // SAFETY: as the caller vouches.
        unsafe {
            let apart = self.weight.len() / 9;
            let from = self.sums.as_ptr().add(output * self.inputs + channel);
            let mut turned = [[L::splat(0.0); 3]; SIDE];
            for (i, turned) in turned.iter_mut().enumerate() {
                let mut u = [L::splat(0.0); SIDE];
                for (j, u) in u.iter_mut().enumerate() {
                    *u = load::<L, WHOLE>(from.add((SIDE * i + j) * apart), count);
                }
                *turned = window_back(u);
            }
            let to = self.weight.as_mut_ptr().add(9 * output * self.inputs + channel);
            for j in 0..3 {
                let w = window_back(column(&turned, j));
                for (i, w) in w.into_iter().enumerate() {
                    let to = to.add((3 * i + j) * self.inputs);
                    store::<L, WHOLE>(load::<L, WHOLE>(to, count) + w, to, count);
                }
            }
        }
    }
}

impl Kernel for WindowsBack<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        let outputs = outputs(self.weight.len(), self.inputs);
        assert!(PRODUCTS * outputs * self.inputs <= self.sums.len());
        let channels = self.inputs;
        // SAFETY: checked above.
        unsafe { each_vector::<L, _>(&mut self, outputs, channels) }
    }
}

/// How many windows there are. Panics where one is not whole.
fn outputs(numbers: usize, inputs: usize) -> usize {
    assert!(inputs > 0 && numbers.is_multiple_of(9 * inputs));
    numbers / (9 * inputs)
}
