//! Sums over places: moments for batch statistics, and means for pooling.

use super::super::lanes::{Kernel, Lanes, WIDTH};
use super::{Vectors, each_vector, load};

/// Places whose sums are kept in float32 before they are added to float64.
const BLOCK: usize = 512;

/// Joins the moments of these rows to `mean` and `squares` (sums of squared distances from the
/// mean) of the `before` rows that they hold.
///
/// A block's sums are of distances from the block's first row, so that nothing is lost where
/// the mean is far greater than the spread; blocks are joined by Chan's formula in float64.
pub(crate) struct Moments<'a> {
    pub(crate) rows: &'a [f32],
    pub(crate) before: usize,
    pub(crate) mean: &'a mut [f64],
    pub(crate) squares: &'a mut [f64],
}

/// Chan, Golub, LeVeque: moments of two sets together. `weight` is the second set's share of
/// all rows, `both` the first set's count times that share.
#[inline(always)]
pub(crate) fn join(mean: &mut f64, squares: &mut f64, other: (f64, f64), weight: f64, both: f64) {
    let distance = other.0 - *mean;
    *mean += distance * weight;
    *squares += other.1 + distance * distance * both;
}

impl Vectors for Moments<'_> {
    #[inline(always)]
    unsafe fn vector<L: Lanes, const WHOLE: bool>(&mut self, channel: usize, count: usize) {
        let channels = self.mean.len();
        let rows = self.rows.len() / channels;
        let mut before = self.before as f64;
        // SAFETY: whole rows of `channels` numbers.
        unsafe {
            for start in (0..rows).step_by(BLOCK) {
                let end = (start + BLOCK).min(rows);
                let first = self.rows.as_ptr().add(channel);
                let pivot = load::<L, WHOLE>(first.add(start * channels), count);
                let mut sums = [L::splat(0.0); 2];
                let mut squares = [L::splat(0.0); 2];
                let mut at = start;
                while at + 2 <= end {
                    for half in 0..2 {
                        let distance = load::<L, WHOLE>(first.add((at + half) * channels), count) - pivot;
                        sums[half] = sums[half] + distance;
                        squares[half] = distance.times_plus(distance, squares[half]);
                    }
                    at += 2;
                }
                if at < end {
                    let distance = load::<L, WHOLE>(first.add(at * channels), count) - pivot;
                    sums[0] = sums[0] + distance;
                    squares[0] = distance.times_plus(distance, squares[0]);
                }
                let (mut pivots, mut sum, mut square) = ([0.0f32; WIDTH], [0.0f32; WIDTH], [0.0f32; WIDTH]);
                pivot.store(pivots.as_mut_ptr());
                (sums[0] + sums[1]).store(sum.as_mut_ptr());
                (squares[0] + squares[1]).store(square.as_mut_ptr());
                let own = (end - start) as f64;
                let (weight, both) = (own / (own + before), before * own / (own + before));
                for lane in 0..count {
                    let sum = f64::from(sum[lane]);
                    let mean = f64::from(pivots[lane]) + sum / own;
                    let spread = (f64::from(square[lane]) - sum * sum / own).max(0.0);
                    join(
                        &mut self.mean[channel + lane],
                        &mut self.squares[channel + lane],
                        (mean, spread),
                        weight,
                        both,
                    );
                }
                before += own;
            }
        }
    }
}

impl Kernel for Moments<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        assert_eq!(self.mean.len(), self.squares.len());
        // SAFETY: the number of rows is worked out from the slices.
        unsafe { each_vector::<L>(self.mean.len(), &mut self) }
    }
}

/// `sums += Σ rows · factor`, by channel; blocks of rows are summed first.
pub(crate) struct ColumnSums<'a> {
    pub(crate) rows: &'a [f32],
    pub(crate) factor: f32,
    pub(crate) sums: &'a mut [f32],
}

impl Vectors for ColumnSums<'_> {
    #[inline(always)]
    unsafe fn vector<L: Lanes, const WHOLE: bool>(&mut self, channel: usize, count: usize) {
        let channels = self.sums.len();
        let rows = self.rows.len() / channels;
        // SAFETY: whole rows of `channels` numbers.
        unsafe {
            let mut all = L::splat(0.0);
            for start in (0..rows).step_by(128) {
                let mut sum = L::splat(0.0);
                for row in start..(start + 128).min(rows) {
                    sum = sum + load::<L, WHOLE>(self.rows.as_ptr().add(row * channels + channel), count);
                }
                all = all + sum;
            }
            let to = self.sums.as_mut_ptr().add(channel);
            let sum = all.times_plus(L::splat(self.factor), load::<L, WHOLE>(to, count));
            super::store::<L, WHOLE>(sum, to, count);
        }
    }
}

impl Kernel for ColumnSums<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        // SAFETY: the number of rows is worked out from the slices.
        unsafe { each_vector::<L>(self.sums.len(), &mut self) }
    }
}
