//! Where pixels go: maps of the plane, and what they do to boxes.
//!
//! Must not know how pictures are resampled. Points are continuous: pixel `k` covers
//! `k..k + 1`, so its middle is `k + 0.5`.

use crate::boxes::PixelBox;

/// An affine map from points of a source picture to points of a result.
///
/// ```
/// use dermflow_vision::augment::Affine;
/// let mirrored = Affine::mirror_across(100.0);
/// assert_eq!(mirrored.point([10.0, 7.0]), [90.0, 7.0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// The rows `[a, b, c]` and `[d, e, f]` of `x' = a x + b y + c`, `y' = d x + e y + f`.
    rows: [[f64; 3]; 2],
}

impl Affine {
    /// Nothing moves.
    pub const IDENTITY: Affine = Affine {
        rows: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
    };

    /// A part of a picture becomes a whole one of `width` × `height` pixels.
    pub fn crop(part: &PixelBox, width: f64, height: f64) -> Affine {
        let (across, down) = (width / part.width, height / part.height);
        Affine {
            rows: [[across, 0.0, -part.left * across], [0.0, down, -part.top * down]],
        }
    }

    /// Left and right are swapped in a picture of this width.
    pub fn mirror_across(width: f64) -> Affine {
        Affine {
            rows: [[-1.0, 0.0, width], [0.0, 1.0, 0.0]],
        }
    }

    /// Above and below are swapped in a picture of this height.
    pub fn mirror_down(height: f64) -> Affine {
        Affine {
            rows: [[1.0, 0.0, 0.0], [0.0, -1.0, height]],
        }
    }

    /// So many quarter turns, clockwise, of a square picture of this side.
    pub fn quarter_turns(turns: usize, side: f64) -> Affine {
        let once = Affine {
            rows: [[0.0, -1.0, side], [1.0, 0.0, 0.0]],
        };
        (0..turns % 4).fold(Affine::IDENTITY, |turned, _| turned.then(&once))
    }

    /// A linear map `[[a, b], [d, e]]` that leaves one point where it is.
    pub fn around(centre: [f64; 2], [[a, b], [d, e]]: [[f64; 2]; 2]) -> Affine {
        let [x, y] = centre;
        Affine {
            rows: [[a, b, x - a * x - b * y], [d, e, y - d * x - e * y]],
        }
    }

    /// A turn around a point by this angle in degrees, clockwise as the picture is seen.
    pub fn rotate(degrees: f64, centre: [f64; 2]) -> Affine {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        Affine::around(centre, [[cosine, -sine], [sine, cosine]])
    }

    /// Everything moves by this many pixels.
    pub fn translate(by: [f64; 2]) -> Affine {
        Affine {
            rows: [[1.0, 0.0, by[0]], [0.0, 1.0, by[1]]],
        }
    }

    /// This map and then another.
    pub fn then(&self, next: &Affine) -> Affine {
        let [first, second] = self.rows;
        let row = |[a, b, c]: [f64; 3]| {
            [
                a * first[0] + b * second[0],
                a * first[1] + b * second[1],
                a * first[2] + b * second[2] + c,
            ]
        };
        Affine {
            rows: next.rows.map(row),
        }
    }

    /// The way back, or none where the plane was squeezed flat.
    pub fn inverse(&self) -> Option<Affine> {
        let [[a, b, c], [d, e, f]] = self.rows;
        let determinant = a * e - b * d;
        if !determinant.is_normal() {
            return None;
        }
        let [[a, b], [d, e]] = [
            [e / determinant, -b / determinant],
            [-d / determinant, a / determinant],
        ];
        Some(Affine {
            rows: [[a, b, -(a * c + b * f)], [d, e, -(d * c + e * f)]],
        })
    }

    /// Where a point goes.
    pub fn point(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        self.rows.map(|[a, b, c]| a * x + b * y + c)
    }

    /// How far the result moves for one pixel to the right in the source.
    pub(crate) fn step_across(&self) -> [f64; 2] {
        self.rows.map(|row| row[0])
    }

    /// Where a lesion's box goes: the box around its moved inscribed ellipse, since it is the
    /// ellipse that the lesion fills. It may reach beyond the result; [`PixelBox::clipped`]
    /// says what is left of it.
    pub fn moved(&self, pixels: &PixelBox) -> PixelBox {
        let [x, y] = self.point(pixels.centre());
        let half = [pixels.width / 2.0, pixels.height / 2.0];
        let reach = self.rows.map(|[a, b, _]| (a * half[0]).hypot(b * half[1]));
        PixelBox::between([x - reach[0], x + reach[0]], [y - reach[1], y + reach[1]])
    }
}
