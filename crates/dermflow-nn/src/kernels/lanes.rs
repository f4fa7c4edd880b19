//! Sixteen numbers at once, on whichever instructions the processor has.
//!
//! A kernel is written once over [`Lanes`] and compiled three times: for AVX-512, for AVX2 with
//! FMA, and for any processor. The choice is made at run time. Every operation here is exactly
//! rounded and the same on all three, and no kernel lets the number of registers decide an
//! order of summing, so **results are the same bytes on every instruction set** and for any
//! number of threads. (Where the processor has no fused multiply-add, the portable lanes are
//! right but slow.)
//!
//! This module must not know what is computed.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
#[cfg(test)]
mod tests;

use std::ops::{Add, Div, Mul, Sub};

use super::product::Tiles;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use portable::Portable;

/// How many numbers a [`Lanes`] holds.
pub(crate) const WIDTH: usize = 16;

/// Sixteen float32 numbers.
///
/// Arithmetic is safe because a value can only be made by the unsafe [`Lanes::splat`] and loads,
/// whose callers vouch that the instruction set is there.
pub(crate) trait Lanes:
    Copy + 'static + Tiles + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// The most vectors of sixteen that one tile of a matrix product is wide.
    const MOST_VECTORS: usize;
    /// The most rows of a tile that is so many vectors wide, where the registers hold it `copies` times:
    /// its sums, or chains of them and what those add up to.
    fn most_rows(vectors: usize, copies: usize) -> usize;

    /// All lanes the same.
    ///
    /// # Safety
    /// The processor has the instruction set of `Self`, as for all functions here.
    unsafe fn splat(value: f32) -> Self;

    /// # Safety
    /// Sixteen numbers can be read at `from`.
    unsafe fn load(from: *const f32) -> Self;

    /// The first `count` (0 to 16) numbers, zeros after them; nothing else is touched.
    ///
    /// # Safety
    /// `count` numbers can be read at `from`.
    unsafe fn load_first(from: *const f32, count: usize) -> Self;

    /// # Safety
    /// Sixteen numbers can be written at `to`.
    unsafe fn store(self, to: *mut f32);

    /// Only the first `count` (0 to 16); nothing else is touched.
    ///
    /// # Safety
    /// `count` numbers can be written at `to`.
    unsafe fn store_first(self, to: *mut f32, count: usize);

    /// `self · factor + term`, rounded once.
    fn times_plus(self, factor: Self, term: Self) -> Self;

    /// `term - self · factor`, rounded once.
    fn times_from(self, factor: Self, term: Self) -> Self;

    /// The greater; `other` where either is not a number.
    fn at_least(self, other: Self) -> Self;

    /// The lesser; `other` where either is not a number.
    fn at_most(self, other: Self) -> Self;

    /// `then` where `self > than`, else zero.
    fn where_above(self, than: Self, then: Self) -> Self;

    /// `self · 2^n`, where the low bits of `shifted` hold n (see `exponential`), and neither
    /// `self` nor the result is near the ends of what float32 holds.
    fn scaled_by_low_bits(self, shifted: Self) -> Self;
}

/// Asks for the cache line in which a number lies, or would lie: what will be written later is there
/// by then.
#[inline(always)]
pub(crate) fn prefetch(number: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this kind has the instruction, which reads nothing itself.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(number.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = number;
}

/// The first `count` numbers; `WHOLE` says that those are sixteen.
///
/// # Safety
/// As [`Lanes::load_first`].
#[inline(always)]
pub(crate) unsafe fn load<L: Lanes, const WHOLE: bool>(from: *const f32, count: usize) -> L {
    // SAFETY: as the caller vouches.
    unsafe {
        if WHOLE {
            L::load(from)
        } else {
            L::load_first(from, count)
        }
    }
}

/// Writes the first `count` numbers; `WHOLE` says that those are sixteen.
///
/// # Safety
/// As [`Lanes::store_first`].
#[inline(always)]
pub(crate) unsafe fn store<L: Lanes, const WHOLE: bool>(value: L, to: *mut f32, count: usize) {
    // SAFETY: as the caller vouches.
    unsafe {
        if WHOLE {
            value.store(to);
        } else {
            value.store_first(to, count);
        }
    }
}

/// A computation over [`Lanes`].
pub(crate) trait Kernel {
    /// What it gives.
    type Output;

    /// Runs it.
    ///
    /// Implementations must be `#[inline(always)]`, as must all that they call with `L`, so that
    /// they are compiled for the instruction set.
    ///
    /// # Safety
    /// The processor has the instruction set of `L`.
    unsafe fn run<L: Lanes>(self) -> Self::Output;
}

/// One of the instruction sets that kernels are compiled for, and that this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstructionSet(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl InstructionSet {
    /// All that this processor has, the fastest first.
    pub fn available() -> Vec<InstructionSet> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
            {
                found.push(InstructionSet(Kind::Avx512));
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                found.push(InstructionSet(Kind::Avx2));
            }
        }
        found.push(InstructionSet(Kind::Portable));
        found
    }

    /// The fastest that this processor has.
    pub fn best() -> InstructionSet {
        Self::available()[0]
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "AVX2 and FMA",
            Kind::Portable => "portable",
        }
    }

    /// The most vectors of a tile of a matrix product; see [`Lanes::MOST_VECTORS`].
    pub(crate) fn most_vectors(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => Avx512::MOST_VECTORS,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => Avx2::MOST_VECTORS,
            Kind::Portable => Portable::MOST_VECTORS,
        }
    }

    /// Runs a kernel compiled for this instruction set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: such a value is only made where the processor has the instruction set.
            Kind::Avx512 => unsafe { run_avx512(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Kind::Avx2 => unsafe { run_avx2(kernel) },
            // SAFETY: needs no special instructions.
            Kind::Portable => unsafe { kernel.run::<Portable>() },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the caller vouched for the features that this function enables.
    unsafe { kernel.run::<Avx512>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the caller vouched for the features that this function enables.
    unsafe { kernel.run::<Avx2>() }
}

/// Work on units of several channels, a vector of them at a time.
pub(crate) trait ByVectors {
    /// Where a unit lies.
    type Unit: Copy;

    /// Worked out once for all channels of a unit.
    fn unit(&self, unit: usize) -> Self::Unit;

    /// `count` channels of a unit from `channel` on: [`WIDTH`] if `WHOLE`, else the fewer that are
    /// left.
    ///
    /// # Safety
    /// The unit has these channels in all that is read and written, and the processor has the
    /// instruction set.
    unsafe fn vector<L: Lanes, const WHOLE: bool>(&mut self, unit: Self::Unit, channel: usize, count: usize);
}

/// All channels of all units, one unit after another.
///
/// # Safety
/// As for [`ByVectors::vector`], for so many units and channels.
#[inline(always)]
pub(crate) unsafe fn each_vector<L: Lanes, W: ByVectors>(work: &mut W, units: usize, channels: usize) {
    let whole = channels / WIDTH * WIDTH;
    for unit in 0..units {
        let unit = work.unit(unit);
        // SAFETY: as the caller vouches.
        unsafe {
            for channel in (0..whole).step_by(WIDTH) {
                work.vector::<L, true>(unit, channel, WIDTH);
            }
            if whole < channels {
                work.vector::<L, false>(unit, whole, channels - whole);
            }
        }
    }
}
