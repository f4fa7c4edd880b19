//! Doubling a grid by bilinear interpolation, corners not aligned (half-pixel centres), and its
//! adjoint.
//!
//! Must not know of batches.

/// For one place of the doubled axis: the two places that it lies between, and the share of the
/// first. At the edges both are the same place.
fn between(at: usize, size: usize) -> (usize, usize, f32) {
    let near = at / 2;
    if at.is_multiple_of(2) {
        (near, near.saturating_sub(1), 0.75)
    } else {
        (near, (near + 1).min(size - 1), 0.75)
    }
}

/// `out` is the top left `size` of the doubled `image` of `from` places.
pub(crate) fn double(
    channels: usize,
    from: (usize, usize),
    image: &[f32],
    size: (usize, usize),
    out: &mut [f32],
) {
    for (y, line) in out.chunks_exact_mut(size.1 * channels).enumerate() {
        let (near_y, far_y, share_y) = between(y, from.0);
        for (x, place) in line.chunks_exact_mut(channels).enumerate() {
            let (near_x, far_x, share_x) = between(x, from.1);
            let at = |y: usize, x: usize| &image[(y * from.1 + x) * channels..][..channels];
            let corners = (
                at(near_y, near_x),
                at(near_y, far_x),
                at(far_y, near_x),
                at(far_y, far_x),
            );
            for (channel, to) in place.iter_mut().enumerate() {
                let near = corners.0[channel] * share_x + corners.1[channel] * (1.0 - share_x);
                let far = corners.2[channel] * share_x + corners.3[channel] * (1.0 - share_x);
                *to = near * share_y + far * (1.0 - share_y);
            }
        }
    }
    debug_assert_eq!(out.len(), size.0 * size.1 * channels);
}

/// The adjoint of [`double`]: `image` becomes the gradient of the image.
pub(crate) fn double_back(
    channels: usize,
    from: (usize, usize),
    image: &mut [f32],
    size: (usize, usize),
    gradient: &[f32],
) {
    image.fill(0.0);
    for (y, line) in gradient.chunks_exact(size.1 * channels).enumerate() {
        let (near_y, far_y, share_y) = between(y, from.0);
        for (x, place) in line.chunks_exact(channels).enumerate() {
            let (near_x, far_x, share_x) = between(x, from.1);
            for (to_y, factor_y) in [(near_y, share_y), (far_y, 1.0 - share_y)] {
                for (to_x, factor_x) in [(near_x, share_x), (far_x, 1.0 - share_x)] {
                    let to = &mut image[(to_y * from.1 + to_x) * channels..][..channels];
                    let factor = factor_y * factor_x;
                    for (to, value) in to.iter_mut().zip(place) {
                        *to += value * factor;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{close, numbers};
    use super::*;

    #[test]
    fn doubling_interpolates_between_centres_and_repeats_the_edges() {
        let mut out = vec![0.0; 4];
        double(1, (1, 2), &[0.0, 4.0], (1, 4), &mut out);
        assert_eq!(out, [0.0, 1.0, 3.0, 4.0]);
        let mut cut = vec![0.0; 3];
        double(1, (1, 2), &[0.0, 4.0], (1, 3), &mut cut);
        assert_eq!(cut, [0.0, 1.0, 3.0]);
    }

    #[test]
    fn the_adjoint_gives_the_same_inner_product() {
        for (from, size, channels) in [((1, 1), (2, 2), 1), ((3, 4), (6, 8), 5), ((3, 4), (5, 7), 2)] {
            let image = numbers(1, from.0 * from.1 * channels);
            let gradient = numbers(2, size.0 * size.1 * channels);
            let (mut out, mut back) = (vec![0.0; gradient.len()], vec![0.0; image.len()]);
            double(channels, from, &image, size, &mut out);
            double_back(channels, from, &mut back, size, &gradient);
            let inner = |a: &[f32], b: &[f32]| {
                a.iter()
                    .zip(b)
                    .map(|(a, b)| f64::from(*a) * f64::from(*b))
                    .sum::<f64>()
            };
            close(inner(&out, &gradient) as f32, inner(&image, &back), 1e-5);
        }
    }
}
