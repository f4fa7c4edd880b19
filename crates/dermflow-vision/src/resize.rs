//! Resampling with a filter that is as wide as what a new pixel covers, so that shrinking
//! averages and does not pick. Fixed-point sums: the same bytes on every machine.
//!
//! A library does it everywhere. Where the processor has vectors of 512 bits, pictures that are not
//! shrunk much go another way, which is several times as fast and gives the same bytes.

#[cfg(target_arch = "x86_64")]
mod plans;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod vector;
#[cfg(target_arch = "x86_64")]
mod weights;

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

/// What is resized, and to what.
struct Wanted<'a> {
    pixels: &'a [u8],
    from: PixelSize,
    /// Bytes of a pixel.
    channels: usize,
    /// The part of the picture, which may lie outside of it.
    taken: Rectangle,
    to: PixelSize,
    filter: ResizeFilter,
}

/// Resizes pictures, and keeps what the next one of the same size can use: nothing that shows.
#[derive(Default)]
pub struct Resampler {
    library: Resizer,
    #[cfg(target_arch = "x86_64")]
    vectors: plans::Plans,
}

impl Resampler {
    /// Resizes the part `taken` of a picture whose pixels have `channels` bytes (1, 3 or 4, none
    /// of them opacity).
    ///
    /// # Errors
    /// In words, where `pixels` is not of the size `from`, or `taken` lies outside of it.
    pub fn resize(
        &mut self,
        pixels: &[u8],
        from: PixelSize,
        channels: usize,
        taken: Rectangle,
        to: PixelSize,
        filter: ResizeFilter,
    ) -> Result<Vec<u8>, String> {
        let wanted = Wanted {
            pixels,
            from,
            channels,
            taken: within(taken, from),
            to,
            filter,
        };
        #[cfg(target_arch = "x86_64")]
        if let Some(resized) = self.vectors.resize(&wanted) {
            return Ok(resized);
        }
        by_library(&mut self.library, &wanted)
    }
}

/// The way that is always there.
fn by_library(library: &mut Resizer, wanted: &Wanted<'_>) -> Result<Vec<u8>, String> {
    let Wanted {
        pixels,
        from,
        channels,
        taken,
        to,
        filter,
    } = *wanted;
    let kind = match channels {
        1 => PixelType::U8,
        3 => PixelType::U8x3,
        4 => PixelType::U8x4,
        other => return Err(format!("pixels of {other} bytes can't be resized")),
    };
    if taken.x <= 0.0 {
        return pass(library, pixels, from, kind, taken, to, filter);
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
    let between = pass(library, pixels, from, kind, down, lines, filter)?;
    pass(library, &between, lines, kind, across, to, filter)
}

/// One call of the library.
fn pass(
    library: &mut Resizer,
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
    library
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
