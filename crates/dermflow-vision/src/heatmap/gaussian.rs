//! The Gaussians of CenterNet and TTFNet, for comparison with the patent's ellipse.
//!
//! Must not know of pictures: everything here is in cells. Both follow the published code,
//! quirks included, since their published figures do.

/// A Gaussian of whole cells: it covers the cells up to `radii` away from its middle cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gaussian {
    /// Cells to the left and right, and above and below, of the middle one.
    pub radii: [i64; 2],
}

/// No picture has more cells across; it keeps endless boxes from overflowing.
const MOST_CELLS: f64 = 1e6;

impl Gaussian {
    /// CenterNet's: as wide as the box allows while any box of that size whose corners move
    /// by the radius keeps an overlap (intersection over union) of 0.7. `cells` are the box's
    /// sides in cells.
    ///
    /// The published code divides two of the three roots by 2 and not by 2a, a slip that it
    /// took over from CornerNet; it is kept.
    pub fn center_net(cells: [f64; 2]) -> Gaussian {
        const OVERLAP: f64 = 0.7;
        let [width, height] = cells.map(f64::ceil);
        let (sum, area) = (width + height, width * height);
        let root = |a: f64, b: f64, c: f64| (b + (b * b - 4.0 * a * c).max(0.0).sqrt()) / 2.0;
        let one_in_one_out = root(1.0, sum, area * (1.0 - OVERLAP) / (1.0 + OVERLAP));
        let inside = root(4.0, 2.0 * sum, (1.0 - OVERLAP) * area);
        let outside = root(4.0 * OVERLAP, -2.0 * OVERLAP * sum, (OVERLAP - 1.0) * area);
        let radius = one_in_one_out.min(inside).min(outside).clamp(0.0, MOST_CELLS) as i64;
        Gaussian { radii: [radius; 2] }
    }

    /// TTFNet's: 0.54 of the box's half sides (its parameter alpha). `cells` are the box's
    /// sides in cells.
    pub fn ttf_net(cells: [f64; 2]) -> Gaussian {
        const ALPHA: f64 = 0.54;
        Gaussian {
            radii: cells.map(|side| (side / 2.0 * ALPHA).min(MOST_CELLS) as i64),
        }
    }

    /// The value so many cells away from the middle one, and none beyond the radii.
    pub fn value(&self, away: [i64; 2]) -> Option<f64> {
        let mut exponent = 0.0;
        for (away, radius) in away.into_iter().zip(self.radii) {
            if away.abs() > radius {
                return None;
            }
            let sigma = (2 * radius + 1) as f64 / 6.0;
            exponent += (away * away) as f64 / (2.0 * sigma * sigma);
        }
        Some((-exponent).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out by hand from the three quadratic equations of the published code.
    #[test]
    fn radii_are_those_of_the_published_code() {
        // Sides 10 × 10: the roots are 19.06…, 36.6… and (-28 + sqrt(784 + 336)) / 2 = 2.73….
        assert_eq!(Gaussian::center_net([10.0, 10.0]).radii, [2, 2]);
        // 39.2 × 20.5 become 40 × 21: (-85.4 + sqrt(7293.16 + 2822.4)) / 2 = 7.58….
        assert_eq!(Gaussian::center_net([39.2, 20.5]).radii, [7, 7]);
        assert_eq!(Gaussian::center_net([0.2, 0.2]).radii, [0, 0]);
        // 40 / 2 × 0.54 = 10.8 and 20 / 2 × 0.54 = 5.4.
        assert_eq!(Gaussian::ttf_net([40.0, 20.0]).radii, [10, 5]);
    }

    #[test]
    fn a_gaussian_ends_at_its_radii_and_is_one_in_the_middle() {
        let gaussian = Gaussian { radii: [2, 0] };
        assert_eq!(gaussian.value([0, 0]), Some(1.0));
        assert_eq!(gaussian.value([3, 0]), None);
        assert_eq!(gaussian.value([0, 1]), None);
        // Sigma 5/6, so exp(-1 / (2 · 25/36)).
        assert!((gaussian.value([-1, 0]).unwrap() - (-0.72_f64).exp()).abs() < 1e-12);
    }
}
