//! [`Panels`]: the right side of a matrix product, laid out in the order in which it is read.
//!
//! Columns are cut into panels one to four vectors wide; a panel holds its numbers row by row.
//! Columns past the last are zeros. Must not know what the numbers are.

use std::ops::Range;
use std::sync::Arc;

use super::buffer::{Buffer, Pool};
use super::lanes::{InstructionSet, WIDTH};
use super::parallel;

/// A `depth` × `columns` matrix as the right side of products.
pub(crate) struct Panels {
    values: Buffer,
    depth: usize,
    columns: usize,
    panels: Vec<Panel>,
}

/// Adjacent panels of a matrix, or of some of its rows: the right side of one product.
#[derive(Clone, Copy)]
pub(crate) struct Right<'a> {
    of: &'a Panels,
    first: usize,
    end: usize,
    first_row: usize,
    depth: usize,
}

/// One panel: where it starts, and how wide it is, both in vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panel {
    pub(crate) start: usize,
    pub(crate) vectors: usize,
}

/// Cuts columns into panels: three vectors wide as far as it comes out, for the fullest registers.
pub(crate) fn cut(columns: usize, most_vectors: usize) -> impl Iterator<Item = Panel> {
    let all = columns.div_ceil(WIDTH);
    let mut start = 0;
    std::iter::from_fn(move || {
        let left = all - start;
        let vectors = match left {
            0 => return None,
            _ if most_vectors < 4 => left.min(most_vectors),
            1 | 2 | 4 => left,
            _ => 3,
        };
        let panel = Panel { start, vectors };
        start += vectors;
        Some(panel)
    })
}

impl Panels {
    /// From a matrix whose row `k` is `row(k)`, of `columns` numbers.
    pub(crate) fn from_rows<'a>(
        pool: &Arc<Pool>,
        set: InstructionSet,
        depth: usize,
        columns: usize,
        row: impl Fn(usize) -> &'a [f32] + Sync,
    ) -> Panels {
        Self::fill(pool, set, depth, columns, |panel, rows, out| {
            let width = panel.vectors * WIDTH;
            let first = panel.start * WIDTH;
            let count = width.min(columns - first);
            for (k, line) in rows.zip(out.chunks_exact_mut(width)) {
                line[..count].copy_from_slice(&row(k)[first..first + count]);
                line[count..].fill(0.0);
            }
        })
    }

    /// From a matrix whose column `n` is `column(n)`, of `depth` numbers, times `scale[n]`.
    pub(crate) fn from_columns<'a>(
        pool: &Arc<Pool>,
        set: InstructionSet,
        depth: usize,
        columns: usize,
        column: impl Fn(usize) -> &'a [f32] + Sync,
        scale: Option<&[f32]>,
    ) -> Panels {
        Self::fill(pool, set, depth, columns, |panel, rows, out| {
            let width = panel.vectors * WIDTH;
            let first = panel.start * WIDTH;
            let count = width.min(columns - first);
            if count < width {
                out.fill(0.0);
            }
            // Blocks of the depth that stay in the nearest cache while columns are interleaved.
            const BLOCK: usize = 64;
            for (block, out) in rows.step_by(BLOCK).zip(out.chunks_mut(BLOCK * width)) {
                for at in 0..count {
                    let values = &column(first + at)[block..block + out.len() / width];
                    let factor = scale.map_or(1.0, |scale| scale[first + at]);
                    for (line, value) in out.chunks_exact_mut(width).zip(values) {
                        line[at] = value * factor;
                    }
                }
            }
        })
    }

    /// `fill(panel, rows, out)` writes some rows of a panel.
    fn fill(
        pool: &Arc<Pool>,
        set: InstructionSet,
        depth: usize,
        columns: usize,
        fill: impl Fn(Panel, Range<usize>, &mut [f32]) + Sync,
    ) -> Panels {
        /// Rows for one thread; a narrow matrix has one panel.
        const ROWS: usize = 256;
        let mut values = pool.take(columns.div_ceil(WIDTH) * WIDTH * depth);
        let panels: Vec<Panel> = cut(columns, set.most_vectors()).collect();
        let rows = |from: usize| from..depth.min(from + ROWS);
        let parts =
            || (0..panels.len()).flat_map(|panel| (0..depth).step_by(ROWS).map(move |from| (panel, from)));
        let lengths = parts().map(|(panel, from)| panels[panel].vectors * WIDTH * rows(from).len());
        let out = parallel::cut(&mut values, lengths);
        parallel::for_each(parts().zip(out).collect(), |_, ((panel, from), out)| {
            fill(panels[panel], rows(from), out);
        });
        Panels {
            values,
            depth,
            columns,
            panels,
        }
    }

    /// Rows of the matrix.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Columns of the matrix.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// All of it, for a product.
    pub(crate) fn all(&self) -> Right<'_> {
        Right {
            of: self,
            first: 0,
            end: self.panels.len(),
            first_row: 0,
            depth: self.depth,
        }
    }

    /// Each panel by itself, for products that give some columns at a time.
    pub(crate) fn each(&self) -> impl Iterator<Item = Right<'_>> {
        (0..self.panels.len()).map(|first| Right {
            first,
            end: first + 1,
            ..self.all()
        })
    }

    /// How many numbers it holds, with the zeros.
    pub(crate) fn numbers(&self) -> usize {
        self.values.len()
    }
}

impl<'a> Right<'a> {
    /// The same panels of one of several matrices that lie below each other, each of `depth` rows.
    pub(crate) fn matrix(self, index: usize, depth: usize) -> Right<'a> {
        let first_row = index * depth;
        assert!(first_row + depth <= self.of.depth);
        Right {
            first_row,
            depth,
            ..self
        }
    }

    /// Rows of the matrix.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Which columns of the matrix these are.
    pub(crate) fn columns(&self) -> Range<usize> {
        let panels = &self.of.panels[self.first..self.end];
        let start = panels.first().map_or(0, |panel| panel.start * WIDTH);
        let end = panels
            .last()
            .map_or(0, |panel| (panel.start + panel.vectors) * WIDTH);
        start..end.min(self.of.columns)
    }

    /// Every panel with its numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Panel, &'a [f32])> {
        let Panels { values, depth, .. } = self.of;
        let Right {
            first_row,
            depth: rows,
            ..
        } = *self;
        self.of.panels[self.first..self.end].iter().map(move |&panel| {
            let width = panel.vectors * WIDTH;
            let start = panel.start * WIDTH * depth + first_row * width;
            (panel, &values[start..start + rows * width])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_are_three_vectors_wide_as_far_as_it_comes_out() {
        let widths = |columns| cut(columns, 4).map(|panel| panel.vectors).collect::<Vec<_>>();
        assert_eq!(widths(16), [1]);
        assert_eq!(widths(24), [2]);
        assert_eq!(widths(64), [4]);
        assert_eq!(widths(80), [3, 2]);
        assert_eq!(widths(96), [3, 3]);
        assert_eq!(widths(112), [3, 4]);
        assert_eq!(cut(40, 1).count(), 3);
        assert_eq!(cut(0, 4).count(), 0);
    }

    #[test]
    fn rows_and_columns_give_the_same_panels() {
        let pool = Arc::new(Pool::default());
        // Deeper than what one thread fills.
        let (depth, columns) = (601, 37);
        let by_row: Vec<f32> = (0..depth * columns).map(|at| at as f32).collect();
        let by_column: Vec<f32> = (0..depth * columns)
            .map(|at| by_row[at % depth * columns + at / depth])
            .collect();
        let set = InstructionSet::best();
        let rows = Panels::from_rows(&pool, set, depth, columns, |k| {
            &by_row[k * columns..(k + 1) * columns]
        });
        let columns = Panels::from_columns(
            &pool,
            set,
            depth,
            columns,
            |n| &by_column[n * depth..(n + 1) * depth],
            None,
        );
        assert_eq!(&*rows.values, &*columns.values);
        assert_eq!((columns.depth(), columns.columns()), (601, 37));
        let (panel, values) = rows.all().iter().last().unwrap();
        assert_eq!(panel.start + panel.vectors, 3);
        assert_eq!(values.last(), Some(&0.0));
        let mut end = 0;
        for right in rows.each() {
            assert_eq!(right.columns().start, end);
            end = right.columns().end;
        }
        assert_eq!((rows.all().columns(), end), (0..37, 37));
        let below = rows.all().matrix(6, 10);
        assert_eq!((below.depth(), below.columns()), (10, 0..37));
        let (all, below) = (rows.all().iter().next().unwrap(), below.iter().next().unwrap());
        assert_eq!((all.0, &all.1[60 * 48..70 * 48]), below);
        for k in 0..depth {
            assert_eq!(
                all.1[k * 48..k * 48 + 37],
                by_row[k * 37..(k + 1) * 37],
                "row {k}"
            );
        }
    }
}
