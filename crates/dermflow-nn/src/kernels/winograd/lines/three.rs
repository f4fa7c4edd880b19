//! Windows of three, with the points 0, ±√2, ±√½ and infinity.
//!
//! The points' powers are near one, and a result's error is less than twice that of plain sums; with the
//! whole numbers 0, ±1, ±2 it is nearly four times that (Barabasz et al. 2020, "Error analysis and
//! improving the accuracy of Winograd convolution for deep neural networks", arXiv:1803.10986).

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use super::super::super::lanes::Lanes;
use super::{Line, Minimal, PLACES, all};

/// Numbers that a line of a tile has.
pub(in super::super) const SIDE: usize = 6;

/// What stands at 0, √2, -√2, √½, -√½ and infinity: of points that mirror each other, the sum and the
/// difference of the even and the odd part.
#[inline(always)]
fn mirrored<L: Lanes>(zero: L, far: [L; 2], near: [L; 2], last: L) -> [L; SIDE] {
    [
        zero,
        far[0] + far[1],
        far[0] - far[1],
        near[0] + near[1],
        near[0] - near[1],
        last,
    ]
}

impl Line<SIDE, 3> for Minimal {
    const WINDOW: [[f64; 3]; SIDE] = {
        let (root, half_root) = (std::f64::consts::SQRT_2, std::f64::consts::FRAC_1_SQRT_2);
        let (far, near) = (1.0 / 6.0, -2.0 / 3.0);
        [
            [1.0, 0.0, 0.0],
            [far, far * root, far * 2.0],
            [far, -far * root, far * 2.0],
            [near, near * half_root, near * 0.5],
            [near, -near * half_root, near * 0.5],
            [0.0, 0.0, 1.0],
        ]
    };

    #[inline(always)]
    unsafe fn factors<L: Lanes>(d: [L; SIDE]) -> [L; SIDE] {
        // SAFETY: as the caller vouches.
        let [root, half_root, two_and_half, two, half] =
            unsafe { all([SQRT_2, FRAC_1_SQRT_2, 2.5, 2.0, 0.5]) };
        let (even_far, odd_far) = (
            d[2].times_from(half, d[4]),
            d[1].times_from(half_root, d[3] * root),
        );
        let (even_near, odd_near) = (
            d[2].times_from(two, d[4]),
            d[1].times_from(root, d[3] * half_root),
        );
        mirrored(
            d[2].times_from(two_and_half, d[0] + d[4]),
            [even_far, odd_far],
            [even_near, odd_near],
            d[3].times_from(two_and_half, d[1] + d[5]),
        )
    }

    #[inline(always)]
    unsafe fn results<L: Lanes>(m: [L; SIDE]) -> [L; PLACES] {
        // SAFETY: as the caller vouches.
        let [root, half_root, two, half, two_roots, quarter_root] =
            unsafe { all([SQRT_2, FRAC_1_SQRT_2, 2.0, 0.5, 2.0 * SQRT_2, 0.5 * FRAC_1_SQRT_2]) };
        let (even_far, odd_far) = (m[1] + m[2], m[1] - m[2]);
        let (even_near, odd_near) = (m[3] + m[4], m[3] - m[4]);
        [
            m[0] + even_far + even_near,
            odd_far.times_plus(root, odd_near * half_root),
            even_far.times_plus(two, even_near * half),
            odd_far.times_plus(two_roots, odd_near.times_plus(quarter_root, m[5])),
        ]
    }
}

/// `B u`, the transpose of [`Line::factors`].
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub(in super::super) unsafe fn factors_back<L: Lanes>(u: [L; SIDE]) -> [L; SIDE] {
    // SAFETY: as the caller vouches.
    let [root, half_root, two_and_half, two, minus_half] =
        unsafe { all([SQRT_2, FRAC_1_SQRT_2, 2.5, 2.0, -0.5]) };
    let (even_far, odd_far) = (u[1] + u[2], u[1] - u[2]);
    let (even_near, odd_near) = (u[3] + u[4], u[3] - u[4]);
    [
        u[0],
        odd_near.times_from(root, odd_far.times_from(half_root, u[5])),
        even_near.times_from(two, u[0].times_from(two_and_half, even_far * minus_half)),
        u[5].times_from(two_and_half, odd_far.times_plus(root, odd_near * half_root)),
        u[0] + even_far + even_near,
        u[5],
    ]
}

/// `A y`, the transpose of [`Line::results`].
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub(in super::super) unsafe fn results_back<L: Lanes>(y: [L; PLACES]) -> [L; SIDE] {
    // SAFETY: as the caller vouches.
    let [root, half_root, two, half, two_roots, quarter_root] =
        unsafe { all([SQRT_2, FRAC_1_SQRT_2, 2.0, 0.5, 2.0 * SQRT_2, 0.5 * FRAC_1_SQRT_2]) };
    let (even_far, odd_far) = (
        y[2].times_plus(two, y[0]),
        y[3].times_plus(two_roots, y[1] * root),
    );
    let (even_near, odd_near) = (
        y[2].times_plus(half, y[0]),
        y[3].times_plus(quarter_root, y[1] * half_root),
    );
    mirrored(y[0], [even_far, odd_far], [even_near, odd_near], y[3])
}

/// `G w`: the six factors of a window's line.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub(in super::super) unsafe fn window<L: Lanes>(w: [L; 3]) -> [L; SIDE] {
    // SAFETY: as the caller vouches.
    let [root, half_root, two, half, far, near] =
        unsafe { all([SQRT_2, FRAC_1_SQRT_2, 2.0, 0.5, 1.0 / 6.0, -2.0 / 3.0]) };
    let (even_far, odd_far) = (w[2].times_plus(two, w[0]), w[1] * root);
    let (even_near, odd_near) = (w[2].times_plus(half, w[0]), w[1] * half_root);
    [
        w[0],
        (even_far + odd_far) * far,
        (even_far - odd_far) * far,
        (even_near + odd_near) * near,
        (even_near - odd_near) * near,
        w[2],
    ]
}

/// `Gᵀ u`, the transpose of [`window`].
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub(in super::super) unsafe fn window_back<L: Lanes>(u: [L; SIDE]) -> [L; 3] {
    // SAFETY: as the caller vouches.
    let [root, half_root, two, half, far, near] =
        unsafe { all([SQRT_2, FRAC_1_SQRT_2, 2.0, 0.5, 1.0 / 6.0, -2.0 / 3.0]) };
    let (even_far, odd_far) = ((u[1] + u[2]) * far, (u[1] - u[2]) * far);
    let (even_near, odd_near) = ((u[3] + u[4]) * near, (u[3] - u[4]) * near);
    [
        u[0] + even_far + even_near,
        odd_far.times_plus(root, odd_near * half_root),
        even_far.times_plus(two, even_near.times_plus(half, u[5])),
    ]
}
