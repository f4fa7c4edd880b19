//! The innermost loop of a matrix product: sums of a few rows and vectors, kept in registers.
//!
//! Must not know where rows lie.

use std::ops::Range;

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
    pub(super) chains: Chains,
}

/// The most products that are summed in one chain, about. Rounding errors grow with the length of a
/// chain; but where one ends, the tile is written, and read again. A window of 3×3 over a colour
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

/// A tile's sums: [`Chains`], each begun at zero, and one after another added to the result.
///
/// # Safety
/// All that the tile addresses can be read or written, and the processor has the instructions.
#[inline(always)]
unsafe fn multiply<L: Lanes, const ROWS: usize, const VECTORS: usize>(tile: &Tile) {
    let mut right = tile.right;
    let mut add = tile.add;
    let mut run = 0;
    loop {
        let runs = run..tile.runs.min(run + tile.chains.runs);
        run = runs.end;
        let mut number = 0;
        loop {
            let numbers = number..tile.run_length.min(number + tile.chains.numbers);
            number = numbers.end;
            // SAFETY: the caller vouches for the memory and the instruction set.
            right = unsafe { chain::<L, ROWS, VECTORS>(tile, runs.clone(), numbers, right, add) };
            add = true;
            if number == tile.run_length {
                break;
            }
        }
        if run == tile.runs {
            break;
        }
    }
}

/// A tile's sums over some numbers of some runs, kept in registers. `right` is where the right side's
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
    add: bool,
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
        if add {
            for (sums, out) in sums.iter_mut().zip(tile.out) {
                for (vector, sum) in sums[..VECTORS - 1].iter_mut().enumerate() {
                    *sum = *sum + L::load(out.add(vector * WIDTH));
                }
                let last = L::load_first(out.add((VECTORS - 1) * WIDTH), tile.last);
                sums[VECTORS - 1] = sums[VECTORS - 1] + last;
            }
        }
        for (sums, out) in sums.iter().zip(tile.out) {
            for (vector, sum) in sums[..VECTORS - 1].iter().enumerate() {
                sum.store(out.add(vector * WIDTH));
            }
            store_last(sums[VECTORS - 1], out.add((VECTORS - 1) * WIDTH), tile.last);
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
