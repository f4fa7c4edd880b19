//! The innermost loop of a matrix product: sums of a few rows and vectors, kept in registers.
//!
//! Must not know where rows lie.

use super::super::lanes::{Lanes, WIDTH};
use super::outer::{OuterTile, accumulate};

/// The most rows that a tile has on any instruction set.
pub(crate) const MOST_ROWS: usize = 12;

/// Where one tile reads and writes; only as many rows count as it has.
pub(crate) struct Tile {
    /// Where each row's first run starts on the left side.
    pub(super) left: [*const f32; MOST_ROWS],
    pub(super) runs: usize,
    pub(super) run_pitch: usize,
    pub(super) run_length: usize,
    pub(super) right: *const f32,
    /// Where each row of the result starts.
    pub(super) out: [*mut f32; MOST_ROWS],
    /// Columns of the last vector that are there, 1 to 16.
    pub(super) last: usize,
    pub(super) add: bool,
}

/// Keeps the compiler from deriving one address from another: it would spend more instructions
/// on addresses than on arithmetic.
#[inline(always)]
fn opaque(pointer: *const f32) -> *const f32 {
    let mut pointer = pointer;
    #[cfg(target_arch = "x86_64")]
    #[allow(clippy::pointers_in_nomem_asm_block, reason = "the text is empty")]
    // SAFETY: an empty text, which changes nothing.
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) pointer, options(pure, nomem, nostack, preserves_flags));
    }
    pointer
}

/// Sums of a tile are kept in registers over the whole depth.
///
/// # Safety
/// All that the tile addresses can be read or written, and the processor has the instructions.
#[inline(always)]
unsafe fn multiply<L: Lanes, const ROWS: usize, const VECTORS: usize>(tile: &Tile) {
    // SAFETY: the caller vouches for the memory and the instruction set.
    unsafe {
        let mut sums = [[L::splat(0.0); VECTORS]; ROWS];
        if tile.add {
            for (sums, out) in sums.iter_mut().zip(tile.out) {
                for (vector, sum) in sums[..VECTORS - 1].iter_mut().enumerate() {
                    *sum = L::load(out.add(vector * WIDTH));
                }
                sums[VECTORS - 1] = L::load_first(out.add((VECTORS - 1) * WIDTH), tile.last);
            }
        }
        let mut right = tile.right;
        for run in 0..tile.runs {
            let mut rows = [tile.right; ROWS];
            for (row, left) in rows.iter_mut().zip(tile.left) {
                *row = opaque(left.add(run * tile.run_pitch));
            }
            let mut at = 0;
            while at + 4 <= tile.run_length {
                for step in 0..4 {
                    let mut vectors = [L::splat(0.0); VECTORS];
                    for (vector, value) in vectors.iter_mut().enumerate() {
                        *value = L::load(right.add((step * VECTORS + vector) * WIDTH));
                    }
                    for row in 0..ROWS {
                        let number = L::splat(*rows[row].add(at + step));
                        for (sum, vector) in sums[row].iter_mut().zip(vectors) {
                            *sum = number.times_plus(vector, *sum);
                        }
                    }
                }
                right = right.add(4 * VECTORS * WIDTH);
                at += 4;
            }
            while at < tile.run_length {
                for row in 0..ROWS {
                    let number = L::splat(*rows[row].add(at));
                    for (vector, sum) in sums[row].iter_mut().enumerate() {
                        *sum = number.times_plus(L::load(right.add(vector * WIDTH)), *sum);
                    }
                }
                right = right.add(VECTORS * WIDTH);
                at += 1;
            }
        }
        for (sums, out) in sums.iter().zip(tile.out) {
            for (vector, sum) in sums[..VECTORS - 1].iter().enumerate() {
                sum.store(out.add(vector * WIDTH));
            }
            store_last(sums[VECTORS - 1], out.add((VECTORS - 1) * WIDTH), tile.last);
        }
    }
}

/// # Safety
/// As [`Lanes::store_first`].
#[inline(always)]
pub(super) unsafe fn store_last<L: Lanes>(value: L, to: *mut f32, count: usize) {
    // SAFETY: as the caller vouches.
    unsafe {
        if count == WIDTH {
            value.store(to);
        } else {
            value.store_first(to, count);
        }
    }
}

/// The tiles that are compiled for an instruction set: those that its registers hold.
pub(crate) trait Tiles: Sized {
    /// Runs [`multiply`] for so many rows and vectors.
    ///
    /// # Safety
    /// As for [`multiply`].
    unsafe fn multiply(rows: usize, vectors: usize, tile: &Tile);

    /// Runs [`accumulate`] for so many rows and vectors.
    ///
    /// # Safety
    /// As for [`multiply`].
    unsafe fn accumulate(rows: usize, vectors: usize, tile: OuterTile);
}

/// Implements [`Tiles`] with the sizes listed: vectors, then rows.
macro_rules! tiles {
    ($lanes:ty: $($vectors:literal: $($rows:literal)+;)+) => {
        impl Tiles for $lanes {
            #[inline(always)]
            unsafe fn multiply(rows: usize, vectors: usize, tile: &Tile) {
                match (vectors, rows) {
                    // SAFETY: as the caller vouches.
                    $($(($vectors, $rows) => unsafe { multiply::<$lanes, $rows, $vectors>(tile) },)+)+
                    _ => unreachable!("tiles are cut to fit the registers"),
                }
            }

            #[inline(always)]
            unsafe fn accumulate(rows: usize, vectors: usize, tile: OuterTile) {
                match (vectors, rows) {
                    // SAFETY: as the caller vouches.
                    $($(($vectors, $rows) => unsafe { accumulate::<$lanes, $rows, $vectors>(tile) },)+)+
                    _ => unreachable!("tiles are cut to fit the registers"),
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
tiles!(super::super::lanes::Avx512:
    1: 1 2 3 4 5 6 7 8 9 10 11 12;
    2: 1 2 3 4 5 6 7 8 9 10 11 12;
    3: 1 2 3 4 5 6 7 8;
    4: 1 2 3 4 5 6;
);
#[cfg(target_arch = "x86_64")]
tiles!(super::super::lanes::Avx2: 1: 1 2 3 4 5 6;);
tiles!(super::super::lanes::Portable: 1: 1 2 3 4;);
