//! The logistic gate at the end of squeeze-and-excite.

use super::super::activation::{Activate, Sigmoid};
use super::super::lanes::{Kernel, Lanes};
use super::{Vectors, each_vector, load, store};

/// `values = sigmoid(values + bias)`, rows of as many numbers as `bias` has.
pub(crate) struct Gate<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) bias: &'a [f32],
}

impl Vectors for Gate<'_> {
    #[inline(always)]
    unsafe fn vector<L: Lanes, const WHOLE: bool>(&mut self, channel: usize, count: usize) {
        let channels = self.bias.len();
        // SAFETY: whole rows of `channels` numbers, as the caller vouches.
        unsafe {
            let bias = load::<L, WHOLE>(self.bias.as_ptr().add(channel), count);
            for row in 0..self.values.len() / channels {
                let at = self.values.as_mut_ptr().add(row * channels + channel);
                store::<L, WHOLE>(Sigmoid::value(load::<L, WHOLE>(at, count) + bias), at, count);
            }
        }
    }
}

impl Kernel for Gate<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        // SAFETY: the number of rows is worked out from the slices.
        unsafe { each_vector::<L>(self.bias.len(), &mut self) }
    }
}
