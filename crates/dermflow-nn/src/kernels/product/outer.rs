//! [`OuterSum`]: the product of two tall matrices, the first transposed, as weight gradients
//! need it.
//!
//! Must not know what is multiplied.

use super::super::lanes::{Kernel, Lanes, WIDTH, load};
use super::super::panels::cut;
use super::RowTiles;
use super::tile::store_last;

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
/// All that the tile addresses can be read or written, and the processor has the instructions.
#[inline(always)]
pub(super) unsafe fn accumulate<L: Lanes, const ROWS: usize, const VECTORS: usize>(tile: OuterTile) {
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
/// As for [`accumulate`].
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
            store_last(sums[VECTORS - 1], out.add((VECTORS - 1) * WIDTH), tile.last);
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
            for (row, size) in RowTiles::new(self.rows, L::most_rows(panel.vectors, 1)) {
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
