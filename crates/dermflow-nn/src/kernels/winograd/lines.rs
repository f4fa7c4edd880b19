//! F(4, taps) of lines: four results of a window of two or three from one number more than four and
//! the window's together, with as many products.
//!
//! A grid is transformed by its lines and then by its columns. Must not know of grids.

pub(super) mod three;
pub(super) mod two;

use super::super::lanes::Lanes;

/// Results of a line of a tile.
pub(super) const PLACES: usize = 4;

/// The transforms of lines of `SIDE` numbers for windows of `TAPS`; [`Minimal`] has two of them.
pub(crate) trait Line<const SIDE: usize, const TAPS: usize> {
    /// The matrix G that takes a line of a window to its factors.
    const WINDOW: [[f64; TAPS]; SIDE];

    /// `Bᵀ d`: the factors of a line.
    ///
    /// # Safety
    /// As for [`Lanes`].
    unsafe fn factors<L: Lanes>(d: [L; SIDE]) -> [L; SIDE];

    /// `Aᵀ m`: the results of a line's products.
    ///
    /// # Safety
    /// As for [`Lanes`].
    unsafe fn results<L: Lanes>(m: [L; SIDE]) -> [L; PLACES];
}

/// Minimal filtering of windows of two and of three.
pub(crate) struct Minimal;

/// What lines of a grid become as a tile goes into the products.
pub(super) trait Turn<const FROM: usize, const TO: usize> {
    /// # Safety
    /// As for [`Lanes`].
    unsafe fn turn<L: Lanes>(&self, line: [L; FROM]) -> [L; TO];
}

/// [`Line::factors`], for windows of `TAPS`.
pub(super) struct Factors<const TAPS: usize>;

impl<const SIDE: usize, const TAPS: usize> Turn<SIDE, SIDE> for Factors<TAPS>
where
    Minimal: Line<SIDE, TAPS>,
{
    #[inline(always)]
    unsafe fn turn<L: Lanes>(&self, line: [L; SIDE]) -> [L; SIDE] {
        // SAFETY: as the caller vouches.
        unsafe { Minimal::factors(line) }
    }
}

/// [`three::results_back`].
pub(super) struct ResultsBack;

impl Turn<PLACES, { three::SIDE }> for ResultsBack {
    #[inline(always)]
    unsafe fn turn<L: Lanes>(&self, line: [L; PLACES]) -> [L; three::SIDE] {
        // SAFETY: as the caller vouches.
        unsafe { three::results_back(line) }
    }
}

/// Each of these numbers in all lanes.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
unsafe fn all<L: Lanes, const COUNT: usize>(numbers: [f32; COUNT]) -> [L; COUNT] {
    // SAFETY: as the caller vouches.
    let mut lanes = [unsafe { L::splat(0.0) }; COUNT];
    for (lanes, number) in lanes.iter_mut().zip(numbers) {
        // SAFETY: as above.
        *lanes = unsafe { L::splat(number) };
    }
    lanes
}

/// Column `j` of some lines. Copies no line whole, as `map` would.
#[inline(always)]
pub(super) fn column<L: Lanes, const WIDTH: usize, const LINES: usize>(
    lines: &[[L; WIDTH]; LINES],
    j: usize,
) -> [L; LINES] {
    let mut column = [lines[0][j]; LINES];
    for (number, line) in column.iter_mut().zip(lines) {
        *number = line[j];
    }
    column
}
