//! Matrix products: the inside of every convolution and linear layer.
//!
//! [`Product`] reads its left side where it lies. A row of it is made of *runs* of adjacent
//! numbers at a fixed distance: one run for a 1x1 convolution, one per line of the window for a
//! k×k convolution over channels-last pixels, so that no patch matrix is ever made.
//! [`OuterSum`] is the product of two tall matrices, the first transposed, as weight gradients
//! need it. Each number of a result is one chain of fused multiply-adds in the order of the
//! depth, so tile sizes don't change results.
//!
//! Must not know what is multiplied.
#![allow(unsafe_code)]

use super::lanes::{Kernel, Lanes, WIDTH};
use super::panels::{Panels, cut};

/// `out = left · panels`, or `out += …`.
pub(crate) struct Product<'a> {
    /// The left side; row `r`, run `u` starts at `r · row_stride + u · run_pitch`.
    pub(crate) left: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) row_stride: usize,
    pub(crate) runs: usize,
    pub(crate) run_pitch: usize,
    pub(crate) run_length: usize,
    /// The right side; its depth is `runs · run_length`.
    pub(crate) panels: &'a Panels,
    /// Row `r` of the result starts at `r · out_stride`.
    pub(crate) out: &'a mut [f32],
    pub(crate) out_stride: usize,
    /// Whether the result is added to what is there.
    pub(crate) add: bool,
}

impl<'a> Product<'a> {
    /// A plain product of `rows` adjacent rows.
    pub(crate) fn plain(left: &'a [f32], panels: &'a Panels, out: &'a mut [f32], add: bool) -> Self {
        let depth = panels.depth();
        Product {
            left,
            rows: left.len() / depth,
            row_stride: depth,
            runs: 1,
            run_pitch: 0,
            run_length: depth,
            panels,
            out,
            out_stride: panels.columns(),
            add,
        }
    }
}

/// Where one tile reads and writes.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    left: *const f32,
    row_stride: usize,
    runs: usize,
    run_pitch: usize,
    run_length: usize,
    right: *const f32,
    out: *mut f32,
    out_stride: usize,
    /// Columns of the last vector that are there, 1 to 16.
    last: usize,
    add: bool,
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
unsafe fn multiply<L: Lanes, const ROWS: usize, const VECTORS: usize>(tile: Tile) {
    // SAFETY: the caller vouches for the memory and the instruction set.
    unsafe {
        let mut sums = [[L::splat(0.0); VECTORS]; ROWS];
        if tile.add {
            for (row, sums) in sums.iter_mut().enumerate() {
                let out = tile.out.add(row * tile.out_stride);
                for (vector, sum) in sums[..VECTORS - 1].iter_mut().enumerate() {
                    *sum = L::load(out.add(vector * WIDTH));
                }
                sums[VECTORS - 1] = L::load_first(out.add((VECTORS - 1) * WIDTH), tile.last);
            }
        }
        let mut right = tile.right;
        for run in 0..tile.runs {
            let start = tile.left.add(run * tile.run_pitch);
            let mut rows = [start; ROWS];
            for (row, pointer) in rows.iter_mut().enumerate() {
                *pointer = opaque(start.add(row * tile.row_stride));
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
        for (row, sums) in sums.iter().enumerate() {
            let out = tile.out.add(row * tile.out_stride);
            for (vector, sum) in sums[..VECTORS - 1].iter().enumerate() {
                sum.store(out.add(vector * WIDTH));
            }
            store(sums[VECTORS - 1], out.add((VECTORS - 1) * WIDTH), tile.last);
        }
    }
}

/// # Safety
/// As [`Lanes::load_first`].
#[inline(always)]
unsafe fn load<L: Lanes, const WHOLE: bool>(from: *const f32, count: usize) -> L {
    // SAFETY: as the caller vouches.
    unsafe {
        if WHOLE {
            L::load(from)
        } else {
            L::load_first(from, count)
        }
    }
}

/// # Safety
/// As [`Lanes::store_first`].
#[inline(always)]
unsafe fn store<L: Lanes>(value: L, to: *mut f32, count: usize) {
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
    unsafe fn multiply(rows: usize, vectors: usize, tile: Tile);

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
            unsafe fn multiply(rows: usize, vectors: usize, tile: Tile) {
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
tiles!(super::lanes::Avx512:
    1: 1 2 3 4 5 6 7 8 9 10 11 12;
    2: 1 2 3 4 5 6 7 8 9 10 11 12;
    3: 1 2 3 4 5 6 7 8;
    4: 1 2 3 4 5 6;
);
#[cfg(target_arch = "x86_64")]
tiles!(super::lanes::Avx2: 1: 1 2 3 4 5 6;);
tiles!(super::lanes::Portable: 1: 1 2 3 4;);

/// Nearly equal tiles of at most `most` rows: the first row of each, and how many there are.
///
/// Kernels loop over this and use no closure for it: a closure that is not inlined would be
/// compiled without the instruction set.
struct RowTiles {
    first: usize,
    rows: usize,
    left: usize,
}

impl RowTiles {
    #[inline(always)]
    fn new(rows: usize, most: usize) -> RowTiles {
        RowTiles {
            first: 0,
            rows,
            left: rows.div_ceil(most),
        }
    }
}

impl Iterator for RowTiles {
    type Item = (usize, usize);

    #[inline(always)]
    fn next(&mut self) -> Option<(usize, usize)> {
        if self.left == 0 {
            return None;
        }
        let first = self.first;
        let size = (self.rows - first).div_ceil(self.left);
        self.first += size;
        self.left -= 1;
        Some((first, size))
    }
}

/// Rows that are multiplied with one panel before the next one is: their left side should stay
/// in the second cache.
const ROW_BLOCK: usize = 240;

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let columns = self.panels.columns();
        assert_eq!(self.panels.depth(), self.runs * self.run_length);
        if self.rows == 0 || columns == 0 || self.panels.depth() == 0 {
            return;
        }
        let read = (self.rows - 1) * self.row_stride + (self.runs - 1) * self.run_pitch + self.run_length;
        assert!(read <= self.left.len());
        assert!((self.rows - 1) * self.out_stride + columns <= self.out.len());
        let (left, out) = (self.left.as_ptr(), self.out.as_mut_ptr());
        for block in (0..self.rows).step_by(ROW_BLOCK) {
            let rows = ROW_BLOCK.min(self.rows - block);
            for (panel, values) in self.panels.iter() {
                let first_column = panel.start * WIDTH;
                let last = (columns - first_column - (panel.vectors - 1) * WIDTH).min(WIDTH);
                for (first, size) in RowTiles::new(rows, L::most_rows(panel.vectors)) {
                    // SAFETY: rows are below `self.rows` and columns below `columns`, for which
                    // the assertions above hold; a panel holds `depth` rows of its vectors.
                    unsafe {
                        let tile = Tile {
                            left: left.add((block + first) * self.row_stride),
                            row_stride: self.row_stride,
                            runs: self.runs,
                            run_pitch: self.run_pitch,
                            run_length: self.run_length,
                            right: values.as_ptr(),
                            out: out.add((block + first) * self.out_stride + first_column),
                            out_stride: self.out_stride,
                            last,
                            add: self.add,
                        };
                        L::multiply(size, panel.vectors, tile);
                    }
                }
            }
        }
    }
}

/// `out[r][c] += Σ left[p][r] · right[p][c]` over places p = (line, step).
pub(crate) struct OuterSum<'a> {
    /// `left[p][r]` lies at `line · left_line + step · left_step + r`.
    pub(crate) left: &'a [f32],
    pub(crate) left_line: usize,
    pub(crate) left_step: usize,
    /// `right[p][c]` lies at `line · right_line + step · right_step + c`.
    pub(crate) right: &'a [f32],
    pub(crate) right_line: usize,
    pub(crate) right_step: usize,
    pub(crate) lines: usize,
    pub(crate) steps: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Row `r` starts at `r · out_stride`.
    pub(crate) out: &'a mut [f32],
    pub(crate) out_stride: usize,
}

/// Where one tile of an [`OuterSum`] reads and writes.
#[derive(Clone, Copy)]
pub(crate) struct OuterTile {
    left: *const f32,
    left_line: usize,
    left_step: usize,
    right: *const f32,
    right_line: usize,
    right_step: usize,
    lines: usize,
    steps: usize,
    out: *mut f32,
    out_stride: usize,
    last: usize,
}

/// # Safety
/// As for [`multiply`].
#[inline(always)]
unsafe fn accumulate<L: Lanes, const ROWS: usize, const VECTORS: usize>(tile: OuterTile) {
    // SAFETY: the caller vouches for the memory and the instruction set.
    unsafe {
        if tile.last == WIDTH {
            accumulate_part::<L, ROWS, VECTORS, true>(tile);
        } else {
            accumulate_part::<L, ROWS, VECTORS, false>(tile);
        }
    }
}

/// # Safety
/// As for [`multiply`].
#[inline(always)]
unsafe fn accumulate_part<L: Lanes, const ROWS: usize, const VECTORS: usize, const WHOLE: bool>(
    tile: OuterTile,
) {
    // SAFETY: the caller vouches for the memory and the instruction set.
    unsafe {
        let mut sums = [[L::splat(0.0); VECTORS]; ROWS];
        for (row, sums) in sums.iter_mut().enumerate() {
            let out = tile.out.add(row * tile.out_stride);
            for (vector, sum) in sums[..VECTORS - 1].iter_mut().enumerate() {
                *sum = L::load(out.add(vector * WIDTH));
            }
            sums[VECTORS - 1] = load::<L, WHOLE>(out.add((VECTORS - 1) * WIDTH), tile.last);
        }
        for line in 0..tile.lines {
            let mut left = tile.left.add(line * tile.left_line);
            let mut right = tile.right.add(line * tile.right_line);
            for _ in 0..tile.steps {
                let mut vectors = [L::splat(0.0); VECTORS];
                for (vector, value) in vectors[..VECTORS - 1].iter_mut().enumerate() {
                    *value = L::load(right.add(vector * WIDTH));
                }
                vectors[VECTORS - 1] = load::<L, WHOLE>(right.add((VECTORS - 1) * WIDTH), tile.last);
                for (row, sums) in sums.iter_mut().enumerate() {
                    let number = L::splat(*left.add(row));
                    for (sum, vector) in sums.iter_mut().zip(vectors) {
                        *sum = number.times_plus(vector, *sum);
                    }
                }
                left = left.wrapping_add(tile.left_step);
                right = right.wrapping_add(tile.right_step);
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            let out = tile.out.add(row * tile.out_stride);
            for (vector, sum) in sums[..VECTORS - 1].iter().enumerate() {
                sum.store(out.add(vector * WIDTH));
            }
            store(sums[VECTORS - 1], out.add((VECTORS - 1) * WIDTH), tile.last);
        }
    }
}

impl Kernel for OuterSum<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        if self.lines == 0 || self.steps == 0 || self.rows == 0 || self.columns == 0 {
            return;
        }
        let reach = |line: usize, step: usize| (self.lines - 1) * line + (self.steps - 1) * step;
        assert!(reach(self.left_line, self.left_step) + self.rows <= self.left.len());
        assert!(reach(self.right_line, self.right_step) + self.columns <= self.right.len());
        assert!((self.rows - 1) * self.out_stride + self.columns <= self.out.len());
        let (left, right, out) = (self.left.as_ptr(), self.right.as_ptr(), self.out.as_mut_ptr());
        for panel in cut(self.columns, L::MOST_VECTORS) {
            let column = panel.start * WIDTH;
            let last = (self.columns - column - (panel.vectors - 1) * WIDTH).min(WIDTH);
            for (row, size) in RowTiles::new(self.rows, L::most_rows(panel.vectors)) {
                // SAFETY: the assertions above hold for all rows, columns and places.
                unsafe {
                    let tile = OuterTile {
                        left: left.add(row),
                        left_line: self.left_line,
                        left_step: self.left_step,
                        right: right.add(column),
                        right_line: self.right_line,
                        right_step: self.right_step,
                        lines: self.lines,
                        steps: self.steps,
                        out: out.add(row * self.out_stride + column),
                        out_stride: self.out_stride,
                        last,
                    };
                    L::accumulate(size, panel.vectors, tile);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::buffer::Pool;
    use super::super::lanes::InstructionSet;
    use super::super::testing::{close, numbers};
    use super::*;

    fn product(
        set: InstructionSet,
        rows: usize,
        runs: usize,
        run: usize,
        columns: usize,
        add: bool,
    ) -> Vec<f32> {
        let pool = Arc::new(Pool::default());
        let depth = runs * run;
        let (row_stride, run_pitch) = (run + 3, rows * (run + 3) + 5);
        let left = numbers(1, (rows - 1) * row_stride + (runs - 1) * run_pitch + run);
        let right = numbers(2, depth * columns);
        let panels = Panels::from_rows(&pool, set, depth, columns, |k| {
            &right[k * columns..(k + 1) * columns]
        });
        let mut out = numbers(3, rows * (columns + 1));
        let before = out.clone();
        set.run(Product {
            left: &left,
            rows,
            row_stride,
            runs,
            run_pitch,
            run_length: run,
            panels: &panels,
            out: &mut out,
            out_stride: columns + 1,
            add,
        });
        for row in 0..rows {
            assert_eq!(
                out[row * (columns + 1) + columns],
                before[row * (columns + 1) + columns]
            );
            for column in 0..columns {
                let mut sum = if add {
                    f64::from(before[row * (columns + 1) + column])
                } else {
                    0.0
                };
                for k in 0..depth {
                    let at = row * row_stride + k / run * run_pitch + k % run;
                    sum += f64::from(left[at]) * f64::from(right[k * columns + column]);
                }
                close(
                    out[row * (columns + 1) + column],
                    sum,
                    1e-5 * (depth as f64).sqrt(),
                );
            }
        }
        out
    }

    #[test]
    fn a_product_is_the_scalar_one_and_the_same_on_every_instruction_set() {
        for (rows, runs, run, columns, add) in [
            (1, 1, 1, 1, false),
            (7, 1, 5, 3, true),
            (13, 3, 6, 17, false),
            (29, 3, 9, 48, false),
            (250, 1, 19, 65, true),
            (25, 5, 4, 112, false),
            (31, 1, 33, 80, true),
        ] {
            let mut results = InstructionSet::available()
                .into_iter()
                .map(|set| product(set, rows, runs, run, columns, add));
            let first = results.next().unwrap();
            for other in results {
                assert_eq!(first, other);
            }
        }
    }

    #[test]
    fn an_outer_sum_is_the_scalar_one_and_the_same_on_every_instruction_set() {
        for (lines, steps, rows, columns) in [
            (1, 1, 1, 1),
            (3, 5, 7, 17),
            (2, 9, 30, 96),
            (4, 4, 13, 70),
            (1, 40, 9, 24),
        ] {
            let (left_step, right_step) = (rows + 1, columns * 2);
            let (left_line, right_line) = (steps * left_step + 2, steps * right_step + 7);
            let left = numbers(4, lines * left_line);
            let right = numbers(5, lines * right_line);
            let before = numbers(6, rows * columns);
            let mut first: Option<Vec<f32>> = None;
            for set in InstructionSet::available() {
                let mut out = before.clone();
                set.run(OuterSum {
                    left: &left,
                    left_line,
                    left_step,
                    right: &right,
                    right_line,
                    right_step,
                    lines,
                    steps,
                    rows,
                    columns,
                    out: &mut out,
                    out_stride: columns,
                });
                for row in 0..rows {
                    for column in 0..columns {
                        let mut sum = f64::from(before[row * columns + column]);
                        for line in 0..lines {
                            for step in 0..steps {
                                sum += f64::from(left[line * left_line + step * left_step + row])
                                    * f64::from(right[line * right_line + step * right_step + column]);
                            }
                        }
                        close(out[row * columns + column], sum, 1e-5);
                    }
                }
                assert_eq!(*first.get_or_insert_with(|| out.clone()), out);
            }
        }
    }
}
