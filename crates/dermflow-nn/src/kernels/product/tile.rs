//! The innermost loop of a matrix product: sums of a few rows and vectors, kept in registers.
//!
//! Must not know where rows lie.

use std::ops::Range;

use super::super::lanes::{Lanes, WIDTH, prefetch};
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
    pub(super) chains: Chains,
}

/// The most products that are summed in one chain, about. Rounding errors grow with the length of a
/// chain; but what chains add up to takes half of the registers. A window of 3×3 over a colour
/// image, with a map or without, is one.
const CHAIN: usize = 36;

/// Steps of the depth without a branch between them.
const UNROLLED: usize = 4;

/// How the depth of a product is cut: chains have so many whole runs, or so many numbers of one.
#[derive(Clone, Copy)]
pub(crate) struct Chains {
    runs: usize,
    numbers: usize,
}

impl Chains {
    pub(super) fn new(run_length: usize) -> Chains {
        let parts = run_length.div_ceil(CHAIN).max(1);
        Chains {
            runs: (CHAIN / run_length.max(1)).max(1),
            numbers: run_length.div_ceil(parts).next_multiple_of(UNROLLED),
        }
    }
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

/// A tile's sums: [`Chains`], each begun at zero, and one after another added to the result, which
/// stays in registers as well.
///
/// # Safety
/// All that the tile addresses can be read or written, and the processor has the instructions.
#[inline(always)]
unsafe fn multiply<L: Lanes, const ROWS: usize, const VECTORS: usize>(tile: &Tile) {
    // SAFETY: the caller vouches for the memory and the instruction set.
    unsafe {
        let mut totals = [[L::splat(0.0); VECTORS]; ROWS];
        if tile.add {
            for (totals, out) in totals.iter_mut().zip(tile.out) {
                for (vector, total) in totals[..VECTORS - 1].iter_mut().enumerate() {
                    *total = L::load(out.add(vector * WIDTH));
                }
                totals[VECTORS - 1] = L::load_first(out.add((VECTORS - 1) * WIDTH), tile.last);
            }
        } else {
            for out in &tile.out[..ROWS] {
                (0..VECTORS).for_each(|vector| prefetch(out.wrapping_add(vector * WIDTH)));
            }
        }
        let mut right = tile.right;
        let mut run = 0;
        loop {
            let runs = run..tile.runs.min(run + tile.chains.runs);
            run = runs.end;
            let mut number = 0;
            loop {
                let numbers = number..tile.run_length.min(number + tile.chains.numbers);
                number = numbers.end;
                right = chain::<L, ROWS, VECTORS>(tile, runs.clone(), numbers, right, &mut totals);
                if number == tile.run_length {
                    break;
                }
            }
            if run == tile.runs {
                break;
            }
        }
        for (totals, out) in totals.iter().zip(tile.out) {
            for (vector, total) in totals[..VECTORS - 1].iter().enumerate() {
                total.store(out.add(vector * WIDTH));
            }
            store_last(totals[VECTORS - 1], out.add((VECTORS - 1) * WIDTH), tile.last);
        }
    }
}

/// Adds a tile's sums over some numbers of some runs to the totals. `right` is where the right side's
/// numbers for them begin; where they end is given back.
///
/// # Safety
/// As for [`multiply`].
#[inline(always)]
unsafe fn chain<L: Lanes, const ROWS: usize, const VECTORS: usize>(
    tile: &Tile,
    runs: Range<usize>,
    numbers: Range<usize>,
    mut right: *const f32,
    totals: &mut [[L; VECTORS]; ROWS],
) -> *const f32 {
    // SAFETY: the caller vouches for the memory and the instruction set.
    unsafe {
        let mut sums = [[L::splat(0.0); VECTORS]; ROWS];
        for run in runs {
            let mut rows = [tile.right; ROWS];
            for (row, left) in rows.iter_mut().zip(tile.left) {
                *row = opaque(left.add(run * tile.run_pitch));
            }
            let mut at = numbers.start;
            while at + UNROLLED <= numbers.end {
                for step in 0..UNROLLED {
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
                right = right.add(UNROLLED * VECTORS * WIDTH);
                at += UNROLLED;
            }
            while at < numbers.end {
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
        for (totals, sums) in totals.iter_mut().zip(sums) {
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total = sum + *total;
            }
        }
        right
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
    (
        $lanes:ty:
        multiply { $($products:literal: $($rows:literal)+;)+ }
        accumulate { $($sums:literal: $($sum_rows:literal)+;)+ }
    ) => {
        impl Tiles for $lanes {
            #[inline(always)]
            unsafe fn multiply(rows: usize, vectors: usize, tile: &Tile) {
                match (vectors, rows) {
                    // SAFETY: as the caller vouches.
                    $($(($products, $rows) => unsafe { multiply::<$lanes, $rows, $products>(tile) },)+)+
                    _ => unreachable!("tiles are cut to fit the registers"),
                }
            }

            #[inline(always)]
            unsafe fn accumulate(rows: usize, vectors: usize, tile: OuterTile) {
                match (vectors, rows) {
                    // SAFETY: as the caller vouches.
                    $($(($sums, $sum_rows) => unsafe { accumulate::<$lanes, $sum_rows, $sums>(tile) },)+)+
                    _ => unreachable!("tiles are cut to fit the registers"),
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
tiles!(super::super::lanes::Avx512:
    multiply {
        1: 1 2 3 4 5 6 7 8 9 10 11 12;
        2: 1 2 3 4 5 6;
        3: 1 2 3 4;
        4: 1 2 3;
    }
    accumulate {
        1: 1 2 3 4 5 6 7 8 9 10 11 12;
        2: 1 2 3 4 5 6 7 8 9 10 11 12;
        3: 1 2 3 4 5 6 7 8;
        4: 1 2 3 4 5 6;
    }
);
#[cfg(target_arch = "x86_64")]
tiles!(super::super::lanes::Avx2: multiply { 1: 1 2 3 4 5 6; } accumulate { 1: 1 2 3 4 5 6; });
tiles!(super::super::lanes::Portable: multiply { 1: 1 2 3 4; } accumulate { 1: 1 2 3 4; });
