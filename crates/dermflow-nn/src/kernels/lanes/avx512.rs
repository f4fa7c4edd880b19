//! [`Lanes`] on AVX-512: one register.

use std::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Sub};

use super::Lanes;

/// A value exists only where AVX-512 (F, DQ, VL, BW) does: see [`Lanes`].
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

fn first(count: usize) -> __mmask16 {
    ((1u32 << count) - 1) as __mmask16
}

impl Add for Avx512 {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: the value exists, so AVX-512 does; this holds for all of this file.
        Avx512(unsafe { _mm512_add_ps(self.0, other.0) })
    }
}

impl Sub for Avx512 {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: as in `add`.
        Avx512(unsafe { _mm512_sub_ps(self.0, other.0) })
    }
}

impl Mul for Avx512 {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: as in `add`.
        Avx512(unsafe { _mm512_mul_ps(self.0, other.0) })
    }
}

impl Div for Avx512 {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: as in `add`.
        Avx512(unsafe { _mm512_div_ps(self.0, other.0) })
    }
}

impl Lanes for Avx512 {
    const MOST_VECTORS: usize = 4;

    #[inline(always)]
    fn most_rows(vectors: usize, copies: usize) -> usize {
        // 32 registers: rows · vectors sums or twice as many, the vectors, and one number.
        match copies {
            1 => [0, 12, 12, 8, 6][vectors],
            _ => [0, 12, 6, 4, 3][vectors],
        }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller vouches for AVX-512.
        Avx512(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for AVX-512 and for the memory.
        Avx512(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: as in `load`; masked lanes are not touched.
        Avx512(unsafe { _mm512_maskz_loadu_ps(first(count), from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for the memory.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: the caller vouches for the memory; masked lanes are not touched.
        unsafe { _mm512_mask_storeu_ps(to, first(count), self.0) }
    }

    #[inline(always)]
    fn times_plus(self, factor: Self, term: Self) -> Self {
        // SAFETY: as in `add`.
        Avx512(unsafe { _mm512_fmadd_ps(self.0, factor.0, term.0) })
    }

    #[inline(always)]
    fn times_from(self, factor: Self, term: Self) -> Self {
        // SAFETY: as in `add`.
        Avx512(unsafe { _mm512_fnmadd_ps(self.0, factor.0, term.0) })
    }

    #[inline(always)]
    fn at_least(self, other: Self) -> Self {
        // SAFETY: as in `add`.
        Avx512(unsafe { _mm512_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn at_most(self, other: Self) -> Self {
        // SAFETY: as in `add`.
        Avx512(unsafe { _mm512_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn where_above(self, than: Self, then: Self) -> Self {
        // SAFETY: as in `add`.
        Avx512(unsafe {
            let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, than.0);
            _mm512_maskz_mov_ps(above, then.0)
        })
    }

    #[inline(always)]
    fn scaled_by_low_bits(self, shifted: Self) -> Self {
        // SAFETY: as in `add`.
        Avx512(unsafe {
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(shifted.0));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(self.0), exponent))
        })
    }
}
