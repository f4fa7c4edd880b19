//! [`Lanes`] on AVX2 with FMA: two registers.

use std::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Sub};

use super::Lanes;

/// A value exists only where AVX2 and FMA do: see [`Lanes`].
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256, __m256);

/// Bits set in the lanes of one half that lie below `count`.
#[inline(always)]
unsafe fn below(count: usize, half: i32) -> __m256i {
    // SAFETY: the caller vouches for AVX2.
    unsafe {
        let places = _mm256_add_epi32(
            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
            _mm256_set1_epi32(half * 8),
        );
        _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), places)
    }
}

impl Add for Avx2 {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: the value exists, so AVX2 does; this holds for all of this file.
        unsafe { Avx2(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
    }
}

impl Sub for Avx2 {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: as in `add`.
        unsafe { Avx2(_mm256_sub_ps(self.0, other.0), _mm256_sub_ps(self.1, other.1)) }
    }
}

impl Mul for Avx2 {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: as in `add`.
        unsafe { Avx2(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
    }
}

impl Div for Avx2 {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: as in `add`.
        unsafe { Avx2(_mm256_div_ps(self.0, other.0), _mm256_div_ps(self.1, other.1)) }
    }
}

impl Lanes for Avx2 {
    const MOST_VECTORS: usize = 1;

    #[inline(always)]
    fn most_rows(_vectors: usize, _copies: usize) -> usize {
        // 16 registers: 2 a row, 2 for the vector, and one number.
        6
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller vouches for AVX2.
        unsafe { Avx2(_mm256_set1_ps(value), _mm256_set1_ps(value)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for AVX2 and for the memory.
        unsafe { Avx2(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: as in `load`; masked lanes are not touched (the pointer of the upper half is
        // only wrapped, not used, where no lane of it is wanted).
        unsafe {
            Avx2(
                _mm256_maskload_ps(from, below(count, 0)),
                _mm256_maskload_ps(from.wrapping_add(8), below(count, 1)),
            )
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for the memory.
        unsafe {
            _mm256_storeu_ps(to, self.0);
            _mm256_storeu_ps(to.add(8), self.1);
        }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: the caller vouches for the memory; masked lanes are not touched.
        unsafe {
            _mm256_maskstore_ps(to, below(count, 0), self.0);
            _mm256_maskstore_ps(to.wrapping_add(8), below(count, 1), self.1);
        }
    }

    #[inline(always)]
    fn times_plus(self, factor: Self, term: Self) -> Self {
        // SAFETY: as in `add`.
        unsafe {
            Avx2(
                _mm256_fmadd_ps(self.0, factor.0, term.0),
                _mm256_fmadd_ps(self.1, factor.1, term.1),
            )
        }
    }

    #[inline(always)]
    fn times_from(self, factor: Self, term: Self) -> Self {
        // SAFETY: as in `add`.
        unsafe {
            Avx2(
                _mm256_fnmadd_ps(self.0, factor.0, term.0),
                _mm256_fnmadd_ps(self.1, factor.1, term.1),
            )
        }
    }

    #[inline(always)]
    fn at_least(self, other: Self) -> Self {
        // SAFETY: as in `add`.
        unsafe { Avx2(_mm256_max_ps(self.0, other.0), _mm256_max_ps(self.1, other.1)) }
    }

    #[inline(always)]
    fn at_most(self, other: Self) -> Self {
        // SAFETY: as in `add`.
        unsafe { Avx2(_mm256_min_ps(self.0, other.0), _mm256_min_ps(self.1, other.1)) }
    }

    #[inline(always)]
    fn where_above(self, than: Self, then: Self) -> Self {
        // SAFETY: as in `add`.
        unsafe {
            Avx2(
                _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(self.0, than.0), then.0),
                _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(self.1, than.1), then.1),
            )
        }
    }

    #[inline(always)]
    fn scaled_by_low_bits(self, shifted: Self) -> Self {
        #[inline(always)]
        unsafe fn half(value: __m256, shifted: __m256) -> __m256 {
            // SAFETY: as in `add`.
            unsafe {
                let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(shifted));
                _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(value), exponent))
            }
        }
        // SAFETY: as in `add`.
        unsafe { Avx2(half(self.0, shifted.0), half(self.1, shifted.1)) }
    }
}
