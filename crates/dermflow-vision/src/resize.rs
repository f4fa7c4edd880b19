//! Resampling with a filter that is as wide as what a new pixel covers, so that shrinking
//! averages and does not pick. Fixed-point sums: the same bytes on every machine.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::placement::{PixelSize, Rectangle};

/// The weights of a new pixel's neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ResizeFilter {
    /// The plain mean of what the pixel covers.
    Box,
    /// A triangle: fast, soft.
    Bilinear,
    /// Catmull-Rom: sharper.
    #[default]
    Bicubic,
    /// Lanczos with three lobes: sharpest, slowest, may ring at hard edges.
    Lanczos,
}

impl ResizeFilter {
    fn algorithm(self) -> ResizeAlg {
        ResizeAlg::Convolution(match self {
            ResizeFilter::Box => FilterType::Box,
            ResizeFilter::Bilinear => FilterType::Bilinear,
            ResizeFilter::Bicubic => FilterType::CatmullRom,
            ResizeFilter::Lanczos => FilterType::Lanczos3,
        })
    }
}

/// Resizes the part `taken` of a picture whose pixels have `channels` bytes (1, 3 or 4, none
/// of them opacity). `resizer` only keeps buffers.
///
/// # Errors
/// In words, where `pixels` is not of the size `from`, or `taken` lies outside of it.
pub fn resize(
    resizer: &mut Resizer,
    pixels: &[u8],
    from: PixelSize,
    channels: usize,
    taken: Rectangle,
    to: PixelSize,
    filter: ResizeFilter,
) -> Result<Vec<u8>, String> {
    let kind = match channels {
        1 => PixelType::U8,
        3 => PixelType::U8x3,
        4 => PixelType::U8x4,
        other => return Err(format!("pixels of {other} bytes can't be resized")),
    };
    let taken = within(taken, from);
    if taken.x <= 0.0 {
        return pass(resizer, pixels, from, kind, taken, to, filter);
    }
    // Down, then across. In one call the library takes the first new pixel for the leftmost one that
    // reads the picture, which it need not be where the part begins within: weights of zero are left
    // out. It then counts below zero.
    let lines = PixelSize {
        width: from.width,
        height: to.height,
    };
    let down = Rectangle {
        x: 0.0,
        w: f64::from(from.width),
        ..taken
    };
    let across = Rectangle {
        y: 0.0,
        h: f64::from(to.height),
        ..taken
    };
    let between = pass(resizer, pixels, from, kind, down, lines, filter)?;
    pass(resizer, &between, lines, kind, across, to, filter)
}

/// One call of the library.
fn pass(
    resizer: &mut Resizer,
    pixels: &[u8],
    from: PixelSize,
    kind: PixelType,
    taken: Rectangle,
    to: PixelSize,
    filter: ResizeFilter,
) -> Result<Vec<u8>, String> {
    let source = ImageRef::new(from.width, from.height, pixels, kind).map_err(|error| error.to_string())?;
    let mut resized = Image::new(to.width, to.height, kind);
    let options = ResizeOptions::new()
        .resize_alg(filter.algorithm())
        .use_alpha(false)
        .crop(taken.x, taken.y, taken.w, taken.h);
    resizer
        .resize(&source, &mut resized, &options)
        .map_err(|error| error.to_string())?;
    Ok(resized.into_vec())
}

/// A rectangle that rounding left a hair outside of the picture, inside of it.
fn within(taken: Rectangle, picture: PixelSize) -> Rectangle {
    let inside = |start: f64, length: f64, all: u32| {
        let all = f64::from(all);
        let mut length = length;
        // What is further outside is the caller's mistake, which the library tells.
        while start + length > all && start + length < all * (1.0 + 1e-9) {
            length = length.min(all - start).next_down();
        }
        length
    };
    Rectangle {
        w: inside(taken.x, taken.w, picture.width),
        h: inside(taken.y, taken.h, picture.height),
        ..taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(width: u32, height: u32) -> PixelSize {
        PixelSize::new(width, height).unwrap()
    }

    fn all(size: PixelSize) -> Rectangle {
        let (w, h) = (f64::from(size.width), f64::from(size.height));
        Rectangle { x: 0.0, y: 0.0, w, h }
    }

    const FILTERS: [ResizeFilter; 4] = [
        ResizeFilter::Box,
        ResizeFilter::Bilinear,
        ResizeFilter::Bicubic,
        ResizeFilter::Lanczos,
    ];

    #[test]
    fn shrinking_averages_fine_stripes_instead_of_picking_some() {
        let from = size(256, 256);
        let stripes: Vec<u8> = (0..256 * 256)
            .flat_map(|at| [if at % 2 == 0 { 0 } else { 255 }; 3])
            .collect();
        for filter in FILTERS {
            let small = resize(
                &mut Resizer::new(),
                &stripes,
                from,
                3,
                all(from),
                size(32, 32),
                filter,
            )
            .unwrap();
            let inner: Vec<u8> = small
                .chunks(96)
                .skip(2)
                .take(28)
                .flat_map(|row| row[6..90].to_vec())
                .collect();
            assert!(
                inner.iter().all(|value| (125..=130).contains(value)),
                "{filter:?}: {inner:?}"
            );
        }
    }

    #[test]
    fn a_picture_of_the_wanted_size_is_left_as_it_is_and_plain_colour_stays_plain() {
        let from = size(5, 4);
        let pixels: Vec<u8> = (0..60).collect();
        let plain = vec![77; 60];
        for filter in FILTERS {
            let mut resizer = Resizer::new();
            assert_eq!(
                resize(&mut resizer, &pixels, from, 3, all(from), from, filter).unwrap(),
                pixels
            );
            for to in [size(1, 1), size(3, 9), size(50, 2)] {
                let resized = resize(&mut resizer, &plain, from, 3, all(from), to, filter).unwrap();
                assert!(resized.iter().all(|value| *value == 77), "{filter:?} {to:?}");
            }
        }
    }

    #[test]
    fn only_the_taken_part_counts() {
        let from = size(4, 2);
        let pixels = [0, 0, 200, 200, 0, 0, 200, 200];
        let right = Rectangle {
            x: 2.0,
            y: 0.0,
            w: 2.0,
            h: 2.0,
        };
        let resized = resize(
            &mut Resizer::new(),
            &pixels,
            from,
            1,
            right,
            size(2, 3),
            ResizeFilter::Box,
        );
        assert_eq!(resized.unwrap(), [200; 6]);
        let outside = Rectangle {
            x: 3.0,
            y: 0.0,
            w: 2.0,
            h: 2.0,
        };
        assert!(
            resize(
                &mut Resizer::new(),
                &pixels,
                from,
                1,
                outside,
                size(3, 3),
                ResizeFilter::Box
            )
            .is_err()
        );
        assert!(
            resize(
                &mut Resizer::new(),
                &pixels[1..],
                from,
                1,
                right,
                size(3, 3),
                ResizeFilter::Box
            )
            .is_err()
        );
    }
}
