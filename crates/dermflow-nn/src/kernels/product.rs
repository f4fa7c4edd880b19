//! Matrix products: the inside of every convolution and linear layer.
//!
//! [`Product`] reads its left side where it lies. A row of it is made of *runs* of adjacent
//! numbers at a fixed distance: one run for a 1x1 convolution, one per line of the window for a
//! k×k convolution over channels-last pixels, so that no patch matrix is ever made. Rows are the
//! places of some images, and lie as places do, on both sides. Each number of a result is a sum of
//! chains of fused multiply-adds, cut by the depth alone, so tile sizes don't change results.
//!
//! Must not know what is multiplied.
#![allow(unsafe_code)]

mod finish;
mod outer;
#[cfg(test)]
mod tests;
mod tile;

use super::lanes::{Kernel, Lanes, WIDTH};
use super::panels::Right;

pub(crate) use finish::Finishing;
pub(crate) use outer::OuterSum;
pub(crate) use tile::Tiles;
use tile::{Chains, MOST_ROWS, Tile};

/// How many rows there are: places in lines in images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) images: usize,
    pub(crate) lines: usize,
    pub(crate) steps: usize,
}

/// How far apart rows begin: those of adjacent places, lines and images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Distances {
    pub(crate) image: usize,
    pub(crate) line: usize,
    pub(crate) step: usize,
}

impl Places {
    /// Rows without structure.
    pub(crate) fn flat(rows: usize) -> Places {
        Places {
            images: 1,
            lines: 1,
            steps: rows,
        }
    }

    /// The places of one image.
    pub(crate) fn of_image(size: (usize, usize)) -> Places {
        Places {
            images: 1,
            lines: size.0,
            steps: size.1,
        }
    }

    fn count(&self) -> usize {
        self.images * self.lines * self.steps
    }
}

impl Distances {
    /// Rows one behind another.
    pub(crate) fn adjacent(places: Places, step: usize) -> Distances {
        Distances {
            image: places.lines * places.steps * step,
            line: places.steps * step,
            step,
        }
    }

    /// Where the last row begins, if there is any.
    pub(super) fn last(&self, places: Places) -> usize {
        (places.images - 1) * self.image + (places.lines - 1) * self.line + (places.steps - 1) * self.step
    }
}

/// What becomes of the sums.
#[derive(Clone, Copy)]
pub(crate) enum End<'a> {
    /// They are the result.
    Store,
    /// They are added to what is there.
    Add,
    /// They go through what follows a convolution.
    Finish(Finishing<'a>),
}

impl End<'_> {
    /// The same for a result that begins `start` numbers behind the whole one.
    pub(crate) fn behind(self, start: usize) -> Self {
        match self {
            End::Finish(finishing) => End::Finish(finishing.behind(start)),
            End::Store | End::Add => self,
        }
    }
}

/// `out = left · right`, and what follows.
pub(crate) struct Product<'a> {
    /// The left side; run `u` of a row starts `u · run_pitch` behind the row's start.
    pub(crate) left: &'a [f32],
    pub(crate) places: Places,
    pub(crate) left_distances: Distances,
    pub(crate) runs: usize,
    pub(crate) run_pitch: usize,
    pub(crate) run_length: usize,
    /// The right side; its depth is `runs · run_length`.
    pub(crate) right: Right<'a>,
    /// The result; its columns are those of the right side's panels.
    pub(crate) out: &'a mut [f32],
    pub(crate) out_distances: Distances,
    pub(crate) end: End<'a>,
}

impl<'a> Product<'a> {
    /// A plain product of adjacent rows.
    pub(crate) fn plain(left: &'a [f32], right: Right<'a>, out: &'a mut [f32], end: End<'a>) -> Self {
        let (depth, columns) = (right.depth(), right.columns().len());
        let places = Places::flat(left.len() / depth.max(1));
        Product {
            left,
            places,
            left_distances: Distances::adjacent(places, depth),
            runs: 1,
            run_pitch: 0,
            run_length: depth,
            right,
            out,
            out_distances: Distances::adjacent(places, columns),
            end,
        }
    }

    /// Panics where a row lies outside of its slice.
    fn check(&self) {
        assert_eq!(self.right.depth(), self.runs * self.run_length);
        let run = self.runs.saturating_sub(1) * self.run_pitch + self.run_length;
        assert!(self.left_distances.last(self.places) + run <= self.left.len());
        let columns = self.right.columns();
        let written = self.out_distances.last(self.places) + columns.len();
        assert!(written <= self.out.len());
        if let End::Finish(finishing) = &self.end {
            assert!(finishing.holds(columns.end, written));
        }
    }
}

/// The rows of a product, one after another: where they begin on both sides.
#[derive(Clone, Copy)]
struct Rows {
    places: Places,
    left: Distances,
    out: Distances,
    /// The next row's.
    image: usize,
    line: usize,
    step: usize,
    left_at: usize,
    out_at: usize,
}

impl Rows {
    /// From row `first` on.
    fn new(places: Places, left: Distances, out: Distances, first: usize) -> Rows {
        let (line, step) = (first / places.steps, first % places.steps);
        let mut rows = Rows {
            places,
            left,
            out,
            image: line / places.lines,
            line: line % places.lines,
            step,
            left_at: 0,
            out_at: 0,
        };
        rows.look_up();
        rows
    }

    #[inline(always)]
    fn look_up(&mut self) {
        let at = |of: Distances| self.image * of.image + self.line * of.line + self.step * of.step;
        (self.left_at, self.out_at) = (at(self.left), at(self.out));
    }

    /// Makes the next rows those of a tile. Multiplies where a line ends only: with a short depth this
    /// takes as long as some of the products.
    ///
    /// # Safety
    /// There are so many rows, at most [`MOST_ROWS`], and they lie in what begins at `left` and `out`.
    #[inline(always)]
    unsafe fn give(&mut self, count: usize, tile: &mut Tile, left: *const f32, out: *mut f32) {
        for row in 0..count {
            // SAFETY: as the caller vouches.
            unsafe {
                tile.left[row] = left.add(self.left_at);
                tile.out[row] = out.add(self.out_at);
            }
            self.left_at += self.left.step;
            self.out_at += self.out.step;
            self.step += 1;
            if self.step == self.places.steps {
                (self.step, self.line) = (0, self.line + 1);
                if self.line == self.places.lines {
                    (self.line, self.image) = (0, self.image + 1);
                }
                self.look_up();
            }
        }
    }
}

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
        let columns = self.right.columns();
        let count = self.places.count();
        if count == 0 || columns.is_empty() {
            return;
        }
        self.check();
        let start = self.out.as_mut_ptr();
        let mut tile = Tile {
            left: [self.left.as_ptr(); MOST_ROWS],
            runs: self.runs,
            run_pitch: self.run_pitch,
            run_length: self.run_length,
            right: self.left.as_ptr(),
            out: [start; MOST_ROWS],
            last: WIDTH,
            add: matches!(self.end, End::Add),
            chains: Chains::new(self.run_length),
        };
        for block in (0..count).step_by(ROW_BLOCK) {
            let rows = ROW_BLOCK.min(count - block);
            let first = Rows::new(self.places, self.left_distances, self.out_distances, block);
            for (panel, values) in self.right.iter() {
                let column = panel.start * WIDTH;
                tile.right = values.as_ptr();
                tile.last = (columns.end - column - (panel.vectors - 1) * WIDTH).min(WIDTH);
                let mut lie = first;
                for (_, size) in RowTiles::new(rows, L::most_rows(panel.vectors, 2)) {
                    // SAFETY: rows are below `count` and columns among those of the right side,
                    // for which `check` has seen that they lie in the slices; a panel holds
                    // `depth` rows of its vectors.
                    unsafe {
                        let out = start.add(column - columns.start);
                        lie.give(size, &mut tile, self.left.as_ptr(), out);
                        L::multiply(size, panel.vectors, &tile);
                        if let End::Finish(finishing) = &self.end {
                            finishing.tile::<L>(&tile, size, panel.vectors, column, start);
                        }
                    }
                }
            }
        }
    }
}
