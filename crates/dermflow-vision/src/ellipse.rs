//! Axis-aligned ellipses: what a lesion's box is taken for (`method.md` H1).
//!
//! Must not know of grids, codes or classes. Coordinates are continuous: pixel `k` covers
//! `k..k + 1`, so its middle is `k + 0.5`.

use crate::boxes::PixelBox;

/// An ellipse whose axes lie along the picture's sides.
///
/// ```
/// use dermflow_vision::boxes::PixelBox;
/// use dermflow_vision::ellipse::Ellipse;
/// let ellipse = Ellipse::inscribed(&PixelBox { left: 10.0, top: 20.0, width: 8.0, height: 4.0 });
/// assert_eq!(ellipse.centre, [14.0, 22.0]);
/// assert_eq!(ellipse.distance(18.0, 22.0), 1.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ellipse {
    /// The centre's x and y, in pixels.
    pub centre: [f64; 2],
    /// Half of the diameter along x and along y, in pixels, each above 0.
    pub semi_axes: [f64; 2],
}

impl Ellipse {
    /// The ellipse that touches the four sides of a box: its sides are the two orthogonal
    /// inner diameters (`method.md` H1).
    pub fn inscribed(pixels: &PixelBox) -> Ellipse {
        Ellipse {
            centre: pixels.centre(),
            semi_axes: [pixels.width / 2.0, pixels.height / 2.0],
        }
    }

    /// The concentric ellipse whose semi-axes are longer by `by` pixels.
    pub fn grown(&self, by: [f64; 2]) -> Ellipse {
        Ellipse {
            centre: self.centre,
            semi_axes: [self.semi_axes[0] + by[0], self.semi_axes[1] + by[1]],
        }
    }

    /// The normalised elliptical distance of a point from the centre: 0 at the centre, 1 on
    /// the rim, above 1 outside.
    ///
    /// It is at most 1 exactly for the points that the ellipse holds, as far as their products
    /// are exact, which those of halves and quarters of pixels are: which cells lie inside
    /// never hangs on a rounded division.
    pub fn distance(&self, x: f64, y: f64) -> f64 {
        let [a, b] = self.semi_axes;
        let [across, down] = [(x - self.centre[0]) * b, (y - self.centre[1]) * a];
        (across * across + down * down).sqrt() / (a * b)
    }
}
