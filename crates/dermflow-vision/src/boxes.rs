//! Lesion boxes: as fractions of the original picture, and as pixels of the stored one.
//!
//! Must not know of tables or classes. The stored picture is the oriented original after
//! resizing; its [`Placement`] says where in it the original lies.

use crate::placement::{Placement, Rectangle};

/// A box in pixels of the stored picture. Pixel `k` covers `k..k + 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelBox {
    /// The left side.
    pub left: f64,
    /// The upper side.
    pub top: f64,
    /// Pixels across.
    pub width: f64,
    /// Pixels down.
    pub height: f64,
}

/// What is wrong with a box by itself, in words: numbers that are none, or no area.
pub fn problem(given: &Rectangle) -> Option<&'static str> {
    let all = [given.x, given.y, given.w, given.h];
    if !all.iter().all(|number| number.is_finite()) {
        Some("a side of the box is not a finite number")
    } else if given.w <= 0.0 || given.h <= 0.0 {
        Some("the box is empty: its width and height must be above 0")
    } else {
        None
    }
}

impl PixelBox {
    /// A box that is given in fractions of the original, in a stored picture of `width` ×
    /// `height` pixels. It may reach beyond the picture, where the original was cropped.
    ///
    /// ```
    /// use dermflow_vision::boxes::PixelBox;
    /// use dermflow_vision::placement::{Placement, Rectangle};
    /// // An original twice as wide as high, letterboxed into 100 × 100 pixels.
    /// let placement = Placement { left: 0.0, top: 0.25, width: 1.0, height: 0.5 };
    /// let left_half = Rectangle { x: 0.0, y: 0.0, w: 0.5, h: 1.0 };
    /// let pixels = PixelBox::of_original(left_half, &placement, 100, 100);
    /// assert_eq!((pixels.left, pixels.top, pixels.width, pixels.height), (0.0, 25.0, 50.0, 50.0));
    /// ```
    pub fn of_original(original: Rectangle, placement: &Placement, width: usize, height: usize) -> PixelBox {
        let [width, height] = [width as f64, height as f64];
        let stored = placement.stored(original);
        PixelBox {
            left: stored.x * width,
            top: stored.y * height,
            width: stored.w * width,
            height: stored.h * height,
        }
    }

    /// The same box in fractions of the original: the way back of [`PixelBox::of_original`].
    pub fn in_original(&self, placement: &Placement, width: usize, height: usize) -> Rectangle {
        let [width, height] = [width as f64, height as f64];
        placement.original(Rectangle {
            x: self.left / width,
            y: self.top / height,
            w: self.width / width,
            h: self.height / height,
        })
    }

    /// The box of these sides, whichever of two is the smaller.
    pub fn between(x: [f64; 2], y: [f64; 2]) -> PixelBox {
        PixelBox {
            left: x[0].min(x[1]),
            top: y[0].min(y[1]),
            width: (x[1] - x[0]).abs(),
            height: (y[1] - y[0]).abs(),
        }
    }

    /// The right side.
    pub fn right(&self) -> f64 {
        self.left + self.width
    }

    /// The lower side.
    pub fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// The middle's x and y.
    pub fn centre(&self) -> [f64; 2] {
        [self.left + self.width / 2.0, self.top + self.height / 2.0]
    }

    /// Square pixels.
    pub fn area(&self) -> f64 {
        self.width * self.height
    }

    /// What both boxes cover, or none where that is nothing.
    pub fn intersection(&self, other: &PixelBox) -> Option<PixelBox> {
        let [left, right] = [self.left.max(other.left), self.right().min(other.right())];
        let [top, bottom] = [self.top.max(other.top), self.bottom().min(other.bottom())];
        (left < right && top < bottom).then(|| PixelBox::between([left, right], [top, bottom]))
    }

    /// The part of it inside a picture of `width` × `height` pixels, or none.
    pub fn clipped(&self, width: usize, height: usize) -> Option<PixelBox> {
        self.intersection(&PixelBox::between([0.0, width as f64], [0.0, height as f64]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn placements() -> impl Strategy<Value = Placement> {
        (-1.0..0.5, -1.0..0.5, 0.1..3.0, 0.1..3.0).prop_map(|(left, top, width, height)| Placement {
            left,
            top,
            width,
            height,
        })
    }

    proptest! {
        #[test]
        fn pixels_and_fractions_are_each_others_way_back(
            placement in placements(),
            (x, y, w, h) in (0.0..1.0, 0.0..1.0, 0.001..1.0, 0.001..1.0),
            (width, height) in (1..2000_usize, 1..2000_usize),
        ) {
            let given = Rectangle { x, y, w, h };
            let back = PixelBox::of_original(given, &placement, width, height).in_original(&placement, width, height);
            for (was, is) in [(x, back.x), (y, back.y), (w, back.w), (h, back.h)] {
                prop_assert!((was - is).abs() < 1e-9, "{given:?} came back as {back:?}");
            }
        }

        #[test]
        fn the_whole_original_lands_on_its_placement(placement in placements()) {
            let whole = Rectangle { x: 0.0, y: 0.0, w: 1.0, h: 1.0 };
            let pixels = PixelBox::of_original(whole, &placement, 1, 1);
            prop_assert_eq!(
                (pixels.left, pixels.top, pixels.width, pixels.height),
                (placement.left, placement.top, placement.width, placement.height)
            );
        }
    }

    #[test]
    fn boxes_are_clipped_to_the_picture_and_those_beside_it_are_gone() {
        let pixels = PixelBox {
            left: -5.0,
            top: 90.0,
            width: 10.0,
            height: 20.0,
        };
        let seen = PixelBox {
            left: 0.0,
            top: 90.0,
            width: 5.0,
            height: 10.0,
        };
        assert_eq!(pixels.clipped(100, 100), Some(seen));
        assert_eq!(pixels.clipped(100, 90), None);
    }

    #[test]
    fn empty_and_endless_boxes_are_told() {
        let fine = Rectangle {
            x: 0.1,
            y: 0.1,
            w: 0.2,
            h: 0.2,
        };
        assert_eq!(problem(&fine), None);
        assert!(problem(&Rectangle { w: 0.0, ..fine }).unwrap().contains("empty"));
        assert!(
            problem(&Rectangle { x: f64::NAN, ..fine })
                .unwrap()
                .contains("finite")
        );
    }
}
