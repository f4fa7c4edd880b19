//! [`Lanes`] on any processor: an array. What the other lanes are tested against.
//!
//! On x86-64 without AVX2 the fused multiply-add is a call for each number, so nothing is gained by
//! inlining, and much compile time is lost.

use std::ops::{Add, Div, Mul, Sub};

use super::{Lanes, WIDTH};

#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; WIDTH]);

impl Portable {
    #[inline(always)]
    fn each(self, other: Self, combine: impl Fn(f32, f32) -> f32) -> Self {
        Portable(std::array::from_fn(|lane| combine(self.0[lane], other.0[lane])))
    }
}

impl Add for Portable {
    type Output = Self;
    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    fn add(self, other: Self) -> Self {
        self.each(other, |a, b| a + b)
    }
}

impl Sub for Portable {
    type Output = Self;
    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    fn sub(self, other: Self) -> Self {
        self.each(other, |a, b| a - b)
    }
}

impl Mul for Portable {
    type Output = Self;
    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    fn mul(self, other: Self) -> Self {
        self.each(other, |a, b| a * b)
    }
}

impl Div for Portable {
    type Output = Self;
    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    fn div(self, other: Self) -> Self {
        self.each(other, |a, b| a / b)
    }
}

impl Lanes for Portable {
    const MOST_VECTORS: usize = 1;

    #[inline(always)]
    fn most_rows(_vectors: usize, _copies: usize) -> usize {
        4
    }

    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    unsafe fn splat(value: f32) -> Self {
        Portable([value; WIDTH])
    }

    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for the memory; the read needs no alignment.
        Portable(unsafe { from.cast::<[f32; WIDTH]>().read_unaligned() })
    }

    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; WIDTH];
        // SAFETY: the caller vouches for `count` numbers; at most sixteen are asked for.
        unsafe { std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count.min(WIDTH)) };
        Portable(lanes)
    }

    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for the memory; the write needs no alignment.
        unsafe { to.cast::<[f32; WIDTH]>().write_unaligned(self.0) }
    }

    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: the caller vouches for `count` numbers.
        unsafe { std::ptr::copy_nonoverlapping(self.0.as_ptr(), to, count.min(WIDTH)) };
    }

    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    fn times_plus(self, factor: Self, term: Self) -> Self {
        Portable(std::array::from_fn(|lane| {
            self.0[lane].mul_add(factor.0[lane], term.0[lane])
        }))
    }

    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    fn times_from(self, factor: Self, term: Self) -> Self {
        Portable(std::array::from_fn(|lane| {
            (-self.0[lane]).mul_add(factor.0[lane], term.0[lane])
        }))
    }

    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    fn at_least(self, other: Self) -> Self {
        self.each(other, |a, b| if a > b { a } else { b })
    }

    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    fn at_most(self, other: Self) -> Self {
        self.each(other, |a, b| if a < b { a } else { b })
    }

    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    fn where_above(self, than: Self, then: Self) -> Self {
        Portable(std::array::from_fn(|lane| {
            if self.0[lane] > than.0[lane] {
                then.0[lane]
            } else {
                0.0
            }
        }))
    }

    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    fn scaled_by_low_bits(self, shifted: Self) -> Self {
        self.each(shifted, |value, shifted| {
            f32::from_bits(value.to_bits().wrapping_add(shifted.to_bits() << 23))
        })
    }
}
