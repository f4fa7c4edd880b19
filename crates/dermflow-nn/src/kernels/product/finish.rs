//! What follows a convolution, done to a tile of sums while it is in the nearest cache.

use super::super::activation::{Activate, Nonlinearity, with_activation};
use super::super::lanes::{Lanes, WIDTH, load, store};
use super::tile::Tile;

/// `act(sum · gain + bias) + shortcut`, gain and bias by column.
#[derive(Clone, Copy)]
pub(crate) struct Finishing<'a> {
    /// One where there is none.
    pub(crate) gain: Option<&'a [f32]>,
    pub(crate) bias: &'a [f32],
    pub(crate) nonlinearity: Nonlinearity,
    /// Lies as the result does.
    pub(crate) shortcut: Option<&'a [f32]>,
}

impl<'a> Finishing<'a> {
    /// Leaves the sums as they are; `zeros` has one for every column.
    pub(crate) fn nothing(zeros: &'a [f32]) -> Finishing<'a> {
        Finishing {
            gain: None,
            bias: zeros,
            nonlinearity: Nonlinearity::Identity,
            shortcut: None,
        }
    }

    /// The same for a result that begins `start` numbers behind the whole one.
    pub(crate) fn behind(self, start: usize) -> Finishing<'a> {
        Finishing {
            shortcut: self.shortcut.map(|shortcut| &shortcut[start..]),
            ..self
        }
    }
}

impl Finishing<'_> {
    /// Whether there is a number for each of so many columns, and a shortcut for all that is
    /// written.
    pub(crate) fn holds(&self, columns: usize, written: usize) -> bool {
        self.bias.len() >= columns
            && self.gain.is_none_or(|gain| gain.len() >= columns)
            && self.shortcut.is_none_or(|shortcut| shortcut.len() >= written)
    }

    /// A tile whose first column is `column`; `start` is where the result begins.
    ///
    /// # Safety
    /// The tile lies in the result, which [`Finishing::holds`] was asked about.
    #[inline(always)]
    pub(super) unsafe fn tile<L: Lanes>(
        &self,
        tile: &Tile,
        rows: usize,
        vectors: usize,
        column: usize,
        start: *const f32,
    ) {
        // SAFETY: as the caller vouches.
        unsafe {
            with_activation!(self.nonlinearity, A => {
                for vector in 0..vectors {
                    let at = (vector * WIDTH, column + vector * WIDTH);
                    if vector + 1 < vectors || tile.last == WIDTH {
                        self.vector::<L, A, true>(tile, rows, at, WIDTH, start);
                    } else {
                        self.vector::<L, A, false>(tile, rows, at, tile.last, start);
                    }
                }
            });
        }
    }

    /// # Safety
    /// As for [`Finishing::tile`]; `at` is below the tile's columns and the matrix's.
    #[inline(always)]
    unsafe fn vector<L: Lanes, A: Activate, const WHOLE: bool>(
        &self,
        tile: &Tile,
        rows: usize,
        at: (usize, usize),
        count: usize,
        start: *const f32,
    ) {
        // SAFETY: as the caller vouches.
        unsafe {
            let bias = load::<L, WHOLE>(self.bias.as_ptr().add(at.1), count);
            let gain = self
                .gain
                .map(|gain| load::<L, WHOLE>(gain.as_ptr().add(at.1), count));
            for out in &tile.out[..rows] {
                let to = out.add(at.0);
                let sum = load::<L, WHOLE>(to, count);
                let sum = gain.map_or(sum, |gain| sum * gain);
                let mut value = A::value(sum + bias);
                if let Some(shortcut) = self.shortcut {
                    let from = shortcut.as_ptr().add(to.offset_from_unsigned(start));
                    value = value + load::<L, WHOLE>(from, count);
                }
                store::<L, WHOLE>(value, to, count);
            }
        }
    }
}
