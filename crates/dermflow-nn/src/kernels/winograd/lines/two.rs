//! Windows of two, with the points ±1, ±½ and infinity.
//!
//! A result's error is less than twice that of plain sums; with 0 in the place of one of them it is
//! about three times that.

use super::super::super::lanes::Lanes;
use super::{Line, Minimal, PLACES, all};

/// Numbers that a line of a tile has.
pub(in super::super) const SIDE: usize = 5;

impl Line<SIDE, 2> for Minimal {
    const WINDOW: [[f64; 2]; SIDE] = {
        let (far, near) = (2.0 / 3.0, -4.0 / 3.0);
        [
            [far, far],
            [-far, far],
            [near, near * 0.5],
            [-near, near * 0.5],
            [0.0, 1.0],
        ]
    };

    #[inline(always)]
    unsafe fn factors<L: Lanes>(d: [L; SIDE]) -> [L; SIDE] {
        // SAFETY: as the caller vouches.
        let [quarter, half, five_quarters] = unsafe { all([0.25, 0.5, 1.25]) };
        // The polynomial with the other points as its roots, split into even and odd powers.
        let (even_far, odd_far) = (d[1].times_from(quarter, d[3]), d[0].times_from(quarter, d[2]));
        let (even_near, odd_near) = (d[3] - d[1], (d[2] - d[0]) * half);
        [
            even_far + odd_far,
            even_far - odd_far,
            even_near + odd_near,
            even_near - odd_near,
            d[2].times_from(five_quarters, d[0].times_plus(quarter, d[4])),
        ]
    }

    #[inline(always)]
    unsafe fn results<L: Lanes>(m: [L; SIDE]) -> [L; PLACES] {
        // SAFETY: as the caller vouches.
        let [half, quarter, eighth] = unsafe { all([0.5, 0.25, 0.125]) };
        let (even_far, odd_far) = (m[0] + m[1], m[0] - m[1]);
        let (even_near, odd_near) = (m[2] + m[3], m[2] - m[3]);
        [
            even_far + even_near,
            odd_near.times_plus(half, odd_far),
            even_near.times_plus(quarter, even_far),
            odd_near.times_plus(eighth, odd_far + m[4]),
        ]
    }
}
