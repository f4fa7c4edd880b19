//! Moves pixels: crops with resizing, and affine maps.
//!
//! Must not know what is drawn at random.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use super::Affine;
use crate::boxes::PixelBox;
use crate::picture::Picture;

/// A part of a picture as a picture of `width` × `height` pixels, smoothed by the triangle
/// filter (which averages where it shrinks). The part is clipped to the picture; where
/// nothing is left of it, or it is the whole picture at its own size, the picture is copied.
pub fn cropped(picture: &Picture, part: &PixelBox, width: usize, height: usize) -> Picture {
    let whole = PixelBox::between([0.0, picture.width() as f64], [0.0, picture.height() as f64]);
    let part = part.intersection(&whole).unwrap_or(whole);
    if part == whole && (width, height) == (picture.width(), picture.height()) {
        return picture.clone();
    }
    resized(picture, &part, width.max(1), height.max(1)).unwrap_or_else(|| {
        // Only sizes that no picture in memory has are refused by the library.
        Picture::filled(width, height, [0; 3])
    })
}

fn resized(picture: &Picture, part: &PixelBox, width: usize, height: usize) -> Option<Picture> {
    let size = |side: usize| u32::try_from(side).ok();
    let (from_width, from_height) = (size(picture.width())?, size(picture.height())?);
    // The type names the pixels: choosing them at run time compiles the library for all types.
    let source = TypedImageRef::<U8x3>::from_buffer(from_width, from_height, picture.pixels()).ok()?;
    let mut pixels = vec![0; width * height * 3];
    let mut result = TypedImage::<U8x3>::from_buffer(size(width)?, size(height)?, &mut pixels).ok()?;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(part.left, part.top, part.width, part.height);
    Resizer::new().resize_typed(&source, &mut result, &options).ok()?;
    Picture::of_pixels(width, height, pixels)
}

/// A picture moved by an affine map of about the same scale, in a frame of the same size.
/// Between pixels it is bilinear; where nothing comes from the source it has the colour
/// `fill`. Mirrors and quarter turns are exact.
pub fn warped(picture: &Picture, moved: &Affine, fill: [u8; 3]) -> Picture {
    let Some(back) = moved.inverse() else {
        return Picture::filled(picture.width(), picture.height(), fill);
    };
    let (width, height) = (picture.width(), picture.height());
    let mut result = Picture::filled(width, height, fill);
    let step = back.step_across();
    for (row, line) in result.pixels_mut().chunks_exact_mut(width * 3).enumerate() {
        let start = back.point([0.5, row as f64 + 0.5]);
        for (column, pixel) in line.chunks_exact_mut(3).enumerate() {
            let [x, y] = [
                start[0] + step[0] * column as f64,
                start[1] + step[1] * column as f64,
            ];
            if x >= 0.0 && y >= 0.0 && x <= width as f64 && y <= height as f64 {
                pixel.copy_from_slice(&bilinear(picture, x, y));
            }
        }
    }
    result
}

/// The two neighbours of a point on one axis, and the weight of the second, in 256ths.
pub(super) fn neighbours(at: f64, cells: usize) -> (usize, usize, u32) {
    let from_middle = (at - 0.5).max(0.0);
    let first = (from_middle as usize).min(cells - 1);
    let weight = ((from_middle - first as f64) * 256.0 + 0.5) as u32;
    (first, (first + 1).min(cells - 1), weight.min(256))
}

fn bilinear(picture: &Picture, x: f64, y: f64) -> [u8; 3] {
    let (left, right, across) = neighbours(x, picture.width());
    let (above, below, down) = neighbours(y, picture.height());
    let corners = [
        picture.at(left, above),
        picture.at(right, above),
        picture.at(left, below),
        picture.at(right, below),
    ];
    let weights = [
        (256 - across) * (256 - down),
        across * (256 - down),
        (256 - across) * down,
        across * down,
    ];
    std::array::from_fn(|channel| {
        let sum: u32 = (0..4)
            .map(|corner| u32::from(corners[corner][channel]) * weights[corner])
            .sum();
        ((sum + (1 << 15)) >> 16) as u8
    })
}
