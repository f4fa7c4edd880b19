//! Boxes as drawn, and whether they are sound. Knows no file format.
//!
//! What comes out are fractions of the *oriented original* picture (`method.md` D3): a tool
//! may have shown a smaller or larger copy, or the file as it is stored, before its EXIF
//! orientation is applied.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A box as drawn: corners in some unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// `[x0, y0, x1, y1]`, the second corner behind the last pixel.
    pub corners: [f64; 4],
    /// What the corners count.
    pub unit: Unit,
    /// The size of the picture that it was drawn on, where the file states one.
    pub stated: Option<Size>,
}

impl Mark {
    /// From the corner at the top left and the sides.
    pub fn of_corner_and_size([x, y, w, h]: [f64; 4], unit: Unit, stated: Option<Size>) -> Mark {
        Mark {
            corners: [x, y, x + w, y + h],
            unit,
            stated,
        }
    }

    /// From the centre and the sides.
    pub fn of_centre_and_size([x, y, w, h]: [f64; 4], unit: Unit, stated: Option<Size>) -> Mark {
        Mark {
            corners: [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0],
            unit,
            stated,
        }
    }

    /// The bounds of points; none where there are fewer than two.
    pub fn around(
        points: impl IntoIterator<Item = [f64; 2]>,
        unit: Unit,
        stated: Option<Size>,
    ) -> Option<Mark> {
        let mut corners: Option<[f64; 4]> = None;
        let mut count = 0;
        for [x, y] in points {
            if !(x.is_finite() && y.is_finite()) {
                return None;
            }
            let [x0, y0, x1, y1] = corners.unwrap_or([x, y, x, y]);
            corners = Some([x0.min(x), y0.min(y), x1.max(x), y1.max(y)]);
            count += 1;
        }
        let corners = corners.filter(|_| count >= 2)?;
        Some(Mark {
            corners,
            unit,
            stated,
        })
    }
}

/// What the coordinates of a box count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Pixels of the picture that it was drawn on.
    Pixels,
    /// Fractions of its width and height, 0 to 1.
    Fractions,
    /// Hundredths of its width and height, 0 to 100.
    Percent,
}

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// Pixels from left to right.
    pub width: f64,
    /// Pixels from top to bottom.
    pub height: f64,
}

impl Size {
    /// A size that can be one: both sides at least a pixel.
    pub fn new(width: f64, height: f64) -> Option<Size> {
        let sound = |side: f64| side.is_finite() && (1.0..=1e9).contains(&side);
        (sound(width) && sound(height)).then_some(Size { width, height })
    }

    /// With the sides changed.
    fn turned(self) -> Size {
        Size {
            width: self.height,
            height: self.width,
        }
    }

    /// Whether a picture of this size may be a scaled copy of one of size `other`: the sides
    /// agree to a pixel of the smaller one, as a scaled size is rounded.
    pub fn is_scaled(self, other: Size) -> bool {
        let (small, large) = match self.width * self.height <= other.width * other.height {
            true => (self, other),
            false => (other, self),
        };
        let by_width = large.height * small.width / large.width;
        let by_height = large.width * small.height / large.height;
        (by_width - small.height).abs() <= 1.0 || (by_height - small.width).abs() <= 1.0
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// What becomes of a box that reaches out of its picture by more than the tolerance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outside {
    /// It is refused.
    #[default]
    Reject,
    /// What lies outside is cut off. A box that lies outside altogether is refused.
    Clip,
}

/// How a picture is turned to stand upright, where boxes were drawn on the file as it is
/// stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Turned {
    /// It isn't known: such boxes are refused.
    #[default]
    Reject,
    /// By a quarter clockwise (EXIF orientation 6, a phone held upright).
    Clockwise,
    /// By a quarter counter-clockwise (EXIF orientation 8).
    CounterClockwise,
}

/// Which boxes are sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Beyond the tolerance.
    pub outside: Outside,
    /// By which fraction of the picture's side a box may reach out; that much is cut off.
    pub tolerance: f64,
    /// For boxes drawn on the picture as it is stored.
    pub turned: Turned,
}

impl Rules {
    /// The box as `[x, y, w, h]` in fractions of the oriented original, whose size is
    /// `original`.
    ///
    /// # Errors
    /// The reason for which it is refused.
    pub fn fractions(&self, mark: &Mark, original: Size) -> Result<[f64; 4], String> {
        if !mark.corners.iter().all(|corner| corner.is_finite()) {
            return Err("a coordinate is no number".to_string());
        }
        let [x0, y0, x1, y1] = mark.corners;
        if x1 < x0 || y1 < y0 {
            return Err("its corners are reversed: the second lies left of or above the first".to_string());
        }
        if x1 == x0 || y1 == y0 {
            return Err("it is empty: a side is 0".to_string());
        }
        let drawn_on = mark.stated.unwrap_or(original);
        let scale = match mark.unit {
            Unit::Pixels => [drawn_on.width, drawn_on.height],
            Unit::Fractions => [1.0, 1.0],
            Unit::Percent => [100.0, 100.0],
        };
        let corners = [x0 / scale[0], y0 / scale[1], x1 / scale[0], y1 / scale[1]];
        let corners = self.upright(corners, drawn_on, original)?;
        self.inside(corners)
    }

    /// Turns a box with the picture, where it was drawn on the stored one.
    fn upright(&self, corners: [f64; 4], drawn_on: Size, original: Size) -> Result<[f64; 4], String> {
        if drawn_on.is_scaled(original) {
            return Ok(corners);
        }
        if !drawn_on.turned().is_scaled(original) {
            return Err(format!(
                "it was drawn on a picture of {drawn_on} pixels, which is no scaled copy of the sample's {original}"
            ));
        }
        let [x0, y0, x1, y1] = corners;
        match self.turned {
            Turned::Clockwise => Ok([1.0 - y1, x0, 1.0 - y0, x1]),
            Turned::CounterClockwise => Ok([y0, 1.0 - x1, y1, 1.0 - x0]),
            Turned::Reject => Err(format!(
                "it was drawn on the picture as stored, {drawn_on} pixels, which upright is {original}; \
                 `turned: clockwise` or `counter-clockwise` says which way"
            )),
        }
    }

    fn inside(&self, [x0, y0, x1, y1]: [f64; 4]) -> Result<[f64; 4], String> {
        let over = (-x0).max(-y0).max(x1 - 1.0).max(y1 - 1.0);
        if over > self.tolerance && self.outside == Outside::Reject {
            return Err(format!(
                "it reaches out of the picture by {over:.4} of its side, more than the tolerance {}",
                self.tolerance
            ));
        }
        let cut = |corner: f64| corner.clamp(0.0, 1.0);
        let (left, top, right, bottom) = (cut(x0), cut(y0), cut(x1), cut(y1));
        if right <= left || bottom <= top {
            return Err("it lies outside of the picture".to_string());
        }
        Ok([left, top, right - left, bottom - top])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules = Rules {
        outside: Outside::Reject,
        tolerance: 0.01,
        turned: Turned::Reject,
    };

    fn size(width: f64, height: f64) -> Size {
        Size::new(width, height).unwrap()
    }

    fn close(a: [f64; 4], b: [f64; 4]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9)
    }

    #[test]
    fn unsound_boxes_are_refused_for_their_reason() {
        let original = size(200.0, 100.0);
        let refusal = |corners: [f64; 4]| {
            let mark = Mark {
                corners,
                unit: Unit::Pixels,
                stated: None,
            };
            RULES.fractions(&mark, original).unwrap_err()
        };
        assert!(refusal([f64::NAN, 0.0, 1.0, 1.0]).contains("no number"));
        assert!(refusal([0.0, 0.0, f64::INFINITY, 1.0]).contains("no number"));
        assert!(refusal([5.0, 0.0, 1.0, 1.0]).contains("reversed"));
        assert!(refusal([5.0, 0.0, 5.0, 1.0]).contains("empty"));
        assert!(refusal([0.0, 0.0, 250.0, 50.0]).contains("reaches out"));
        let clipped = Rules {
            outside: Outside::Clip,
            ..RULES
        };
        let beyond = Mark {
            corners: [300.0, 0.0, 400.0, 50.0],
            unit: Unit::Pixels,
            stated: None,
        };
        assert!(
            clipped
                .fractions(&beyond, original)
                .unwrap_err()
                .contains("outside")
        );
        let cut = Mark {
            corners: [100.0, -50.0, 400.0, 50.0],
            ..beyond
        };
        assert_eq!(clipped.fractions(&cut, original).unwrap(), [0.5, 0.0, 0.5, 0.5]);
    }

    #[test]
    fn a_box_on_a_scaled_copy_is_taken_and_one_on_another_picture_is_not() {
        let mark = |stated| Mark {
            corners: [64.0, 48.0, 128.0, 96.0],
            unit: Unit::Pixels,
            stated: Some(stated),
        };
        let original = size(1022.0, 767.0);
        let taken = RULES.fractions(&mark(size(256.0, 192.0)), original).unwrap();
        assert!(close(taken, [0.25, 0.25, 0.25, 0.25]), "{taken:?}");
        let refusal = RULES.fractions(&mark(size(256.0, 256.0)), original).unwrap_err();
        assert!(refusal.contains("no scaled copy"), "{refusal}");
        let refusal = RULES.fractions(&mark(size(767.0, 1022.0)), original).unwrap_err();
        assert!(refusal.contains("as stored"), "{refusal}");
    }

    proptest! {
        #[test]
        fn every_form_and_unit_gives_the_same_fractions(
            x in 0.0..0.9f64, y in 0.0..0.9f64, w in 0.01..1.0f64, h in 0.01..1.0f64,
            width in 1u32..5000, height in 1u32..5000,
        ) {
            let (w, h) = (w.min(1.0 - x), h.min(1.0 - y));
            let original = size(width.into(), height.into());
            let expected = [x, y, w, h];
            for (unit, scale) in [
                (Unit::Fractions, [1.0, 1.0]),
                (Unit::Percent, [100.0, 100.0]),
                (Unit::Pixels, [original.width, original.height]),
            ] {
                let [sx, sy] = scale;
                let corner = Mark::of_corner_and_size([x * sx, y * sy, w * sx, h * sy], unit, None);
                let centre = [(x + w / 2.0) * sx, (y + h / 2.0) * sy, w * sx, h * sy];
                let centre = Mark::of_centre_and_size(centre, unit, Some(original));
                for mark in [corner, centre] {
                    let found = RULES.fractions(&mark, original).unwrap();
                    prop_assert!(close(found, expected), "{found:?} {expected:?}");
                }
            }
        }

        #[test]
        fn what_is_taken_lies_inside_and_turning_there_and_back_changes_nothing(
            corners in proptest::array::uniform4(-0.5..1.5f64), clip in any::<bool>(),
        ) {
            let stored = size(300.0, 200.0);
            let rules = |turned| Rules {
                outside: if clip { Outside::Clip } else { Outside::Reject },
                tolerance: 0.01,
                turned,
            };
            let mark = Mark { corners, unit: Unit::Fractions, stated: Some(stored) };
            if let Ok([x, y, w, h]) = rules(Turned::Clockwise).fractions(&mark, stored.turned()) {
                prop_assert!(x >= 0.0 && y >= 0.0 && w > 0.0 && h > 0.0);
                prop_assert!(x + w <= 1.0 + 1e-12 && y + h <= 1.0 + 1e-12);
                let back = Mark::of_corner_and_size([x, y, w, h], Unit::Fractions, Some(stored.turned()));
                let back = rules(Turned::CounterClockwise).fractions(&back, stored).unwrap();
                let straight = rules(Turned::Reject).fractions(&mark, stored).unwrap();
                prop_assert!(close(back, straight), "{back:?} {straight:?}");
            }
        }

        #[test]
        fn no_numbers_whatever_make_a_panic_or_a_box_outside(
            corners in proptest::array::uniform4(any::<f64>()),
            width in any::<f64>(), height in any::<f64>(), clip in any::<bool>(),
        ) {
            let rules = Rules { outside: if clip { Outside::Clip } else { Outside::Reject }, ..RULES };
            let mark = Mark { corners, unit: Unit::Pixels, stated: Size::new(width, height) };
            if let Ok([x, y, w, h]) = rules.fractions(&mark, size(20.0, 20.0)) {
                prop_assert!(x >= 0.0 && y >= 0.0 && w > 0.0 && h > 0.0 && x + w <= 1.0 + 1e-12 && y + h <= 1.0 + 1e-12);
            }
        }
    }
}
