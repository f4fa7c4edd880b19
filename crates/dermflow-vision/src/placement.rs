//! Where an original picture lies in the stored one: the one bridge between fractions of the
//! original (boxes, masks) and pixels of what networks see. Must not know how pixels are made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a picture of one shape becomes one of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ResizeMode {
    /// All of the picture, its shape kept, centred; bars of the background fill the rest.
    #[default]
    Letterbox,
    /// The largest centred part of the picture that has the wanted shape.
    Crop,
    /// All of the picture, its shape given up.
    Stretch,
}

/// Width and height in pixels, neither zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelSize {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl PixelSize {
    /// A size, if neither side is zero.
    pub fn new(width: u32, height: u32) -> Option<PixelSize> {
        (width > 0 && height > 0).then_some(PixelSize { width, height })
    }

    /// Width times height.
    pub fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// The sides swapped.
    pub fn transposed(self) -> PixelSize {
        PixelSize {
            width: self.height,
            height: self.width,
        }
    }
}

/// Where the whole original picture lies in the stored one, in fractions of the stored width
/// and height: the columns `placed_*` of `Samples`. Stretched, it is 0, 0, 1, 1; letterboxed,
/// it lies inside; cropped, it reaches beyond 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// The original's left edge.
    pub left: f64,
    /// Its top edge.
    pub top: f64,
    /// Its width, above zero.
    pub width: f64,
    /// Its height, above zero.
    pub height: f64,
}

/// A rectangle: a corner and sides, in the unit that the function at hand names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rectangle {
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
}

/// What of the original is taken, and which pixels of the stored picture it fills.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The part of the original that is taken, in its pixels; need not fall on whole ones.
    pub taken: Rectangle,
    /// The first stored column that it fills.
    pub left: u32,
    /// The first stored row.
    pub top: u32,
    /// How many columns and rows it fills.
    pub filled: PixelSize,
}

impl Fit {
    /// How an original of this size is put into a stored picture of that size.
    pub fn new(original: PixelSize, stored: PixelSize, mode: ResizeMode) -> Fit {
        let (ow, oh) = (f64::from(original.width), f64::from(original.height));
        let (sw, sh) = (f64::from(stored.width), f64::from(stored.height));
        let all = Rectangle {
            x: 0.0,
            y: 0.0,
            w: ow,
            h: oh,
        };
        match mode {
            ResizeMode::Stretch => Fit {
                taken: all,
                left: 0,
                top: 0,
                filled: stored,
            },
            ResizeMode::Letterbox => {
                let scale = (sw / ow).min(sh / oh);
                let side = |original: f64, most: u32| ((original * scale).round() as u32).clamp(1, most);
                let filled = PixelSize {
                    width: side(ow, stored.width),
                    height: side(oh, stored.height),
                };
                Fit {
                    taken: all,
                    left: (stored.width - filled.width) / 2,
                    top: (stored.height - filled.height) / 2,
                    filled,
                }
            }
            ResizeMode::Crop => {
                let scale = (sw / ow).max(sh / oh);
                // The division may end a hair above the original's own side.
                let (w, h) = ((sw / scale).min(ow), (sh / scale).min(oh));
                let taken = Rectangle {
                    x: (ow - w) / 2.0,
                    y: (oh - h) / 2.0,
                    w,
                    h,
                };
                Fit {
                    taken,
                    left: 0,
                    top: 0,
                    filled: stored,
                }
            }
        }
    }

    /// Where the whole original lies in the stored picture.
    pub fn placement(&self, original: PixelSize, stored: PixelSize) -> Placement {
        let (sw, sh) = (f64::from(stored.width), f64::from(stored.height));
        // Stored pixels for each of the original's, across and down.
        let across = f64::from(self.filled.width) / self.taken.w;
        let down = f64::from(self.filled.height) / self.taken.h;
        Placement {
            left: (f64::from(self.left) - self.taken.x * across) / sw,
            top: (f64::from(self.top) - self.taken.y * down) / sh,
            width: f64::from(original.width) * across / sw,
            height: f64::from(original.height) * down / sh,
        }
    }
}

impl Placement {
    /// The original fills the stored picture.
    pub const WHOLE: Placement = Placement {
        left: 0.0,
        top: 0.0,
        width: 1.0,
        height: 1.0,
    };

    /// Where an original of this size lies once it is resized so.
    pub fn new(original: PixelSize, stored: PixelSize, mode: ResizeMode) -> Placement {
        Fit::new(original, stored, mode).placement(original, stored)
    }

    /// A rectangle in fractions of the original, in fractions of the stored picture. It may
    /// reach beyond 0 to 1 where the picture was cropped.
    pub fn stored(&self, original: Rectangle) -> Rectangle {
        Rectangle {
            x: self.left + original.x * self.width,
            y: self.top + original.y * self.height,
            w: original.w * self.width,
            h: original.h * self.height,
        }
    }

    /// A rectangle in fractions of the stored picture, in fractions of the original.
    pub fn original(&self, stored: Rectangle) -> Rectangle {
        Rectangle {
            x: (stored.x - self.left) / self.width,
            y: (stored.y - self.top) / self.height,
            w: stored.w / self.width,
            h: stored.h / self.height,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn size(width: u32, height: u32) -> PixelSize {
        PixelSize::new(width, height).unwrap()
    }

    #[test]
    fn a_wide_picture_is_barred_cropped_or_squeezed() {
        let (wide, square) = (size(200, 100), size(50, 50));
        let barred = Placement::new(wide, square, ResizeMode::Letterbox);
        let expected = Placement {
            left: 0.0,
            top: 0.24,
            width: 1.0,
            height: 0.5,
        };
        assert_eq!(barred, expected, "25 rows; 12 of bars above, 13 below");
        let cropped = Placement::new(wide, square, ResizeMode::Crop);
        let expected = Placement {
            left: -0.5,
            top: 0.0,
            width: 2.0,
            height: 1.0,
        };
        assert_eq!(cropped, expected);
        let squeezed = Placement::new(wide, square, ResizeMode::Stretch);
        assert_eq!(squeezed, Placement::WHOLE);
    }

    #[test]
    fn a_picture_thinner_than_a_pixel_keeps_one() {
        let fit = Fit::new(size(1, 5000), size(32, 32), ResizeMode::Letterbox);
        assert_eq!((fit.filled.width, fit.filled.height), (1, 32));
        assert_eq!((fit.left, fit.top), (15, 0));
    }

    fn sizes() -> impl Strategy<Value = PixelSize> {
        (1u32..5000, 1u32..5000).prop_map(|(width, height)| size(width, height))
    }

    fn modes() -> impl Strategy<Value = ResizeMode> {
        prop_oneof![
            Just(ResizeMode::Letterbox),
            Just(ResizeMode::Crop),
            Just(ResizeMode::Stretch)
        ]
    }

    proptest! {
        #[test]
        fn what_is_taken_lies_in_the_original_and_fills_stored_pixels_only(
            original in sizes(), stored in sizes(), mode in modes(),
        ) {
            let fit = Fit::new(original, stored, mode);
            let taken = fit.taken;
            prop_assert!(taken.x >= 0.0 && taken.y >= 0.0 && taken.w > 0.0 && taken.h > 0.0);
            prop_assert!(taken.x + taken.w <= f64::from(original.width) + 1e-9);
            prop_assert!(taken.y + taken.h <= f64::from(original.height) + 1e-9);
            prop_assert!(fit.left + fit.filled.width <= stored.width);
            prop_assert!(fit.top + fit.filled.height <= stored.height);
            // One side is filled: there are bars on one pair of edges at most.
            prop_assert!(fit.filled.width == stored.width || fit.filled.height == stored.height);
        }

        #[test]
        fn rectangles_come_back_and_shapes_are_kept(
            original in sizes(), stored in sizes(), mode in modes(),
            x in 0.0f64..1.0, y in 0.0f64..1.0, w in 0.001f64..1.0, h in 0.001f64..1.0,
        ) {
            let placement = Placement::new(original, stored, mode);
            let rectangle = Rectangle { x, y, w, h };
            let back = placement.original(placement.stored(rectangle));
            for (a, b) in [(x, back.x), (y, back.y), (w, back.w), (h, back.h)] {
                prop_assert!((a - b).abs() < 1e-6, "{rectangle:?} came back as {back:?}");
            }
            if mode == ResizeMode::Crop {
                let across = placement.width * f64::from(stored.width) / f64::from(original.width);
                let down = placement.height * f64::from(stored.height) / f64::from(original.height);
                prop_assert!((across / down - 1.0).abs() < 1e-9);
            }
        }
    }
}
