//! Resampling with a filter that is as wide as what a new pixel covers, so that shrinking
//! averages and does not pick. Fixed-point sums: the same bytes on every machine.
//!
//! A library does it everywhere. Where the processor has vectors of 512 bits, pictures that are not
//! shrunk much go another way, which is several times as fast and gives the same bytes.

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

/// The library's filters, for the other way.
#[cfg(target_arch = "x86_64")]
impl ResizeFilter {
    /// How far from a new pixel's middle old ones still count.
    fn reach(self) -> f64 {
        match self {
            ResizeFilter::Box => 0.5,
            ResizeFilter::Bilinear => 1.0,
            ResizeFilter::Bicubic => 2.0,
            ResizeFilter::Lanczos => 3.0,
        }
    }

    /// How much a pixel counts that is so far away.
    fn weight(self, away: f64) -> f64 {
        let distance = away.abs();
        match self {
            ResizeFilter::Box if away > -0.5 && away <= 0.5 => 1.0,
            ResizeFilter::Bilinear if distance < 1.0 => 1.0 - distance,
            ResizeFilter::Bicubic if distance < 1.0 => (1.5 * distance - 2.5) * distance * distance + 1.0,
            ResizeFilter::Bicubic if distance < 2.0 => {
                (((distance - 5.0) * distance + 8.0) * distance - 4.0) * -0.5
            }
            ResizeFilter::Lanczos if (-3.0..3.0).contains(&away) => sinc(away) * sinc(away / 3.0),
            _ => 0.0,
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn sinc(away: f64) -> f64 {
    match away * std::f64::consts::PI {
        0.0 => 1.0,
        angle => angle.sin() / angle,
    }
}

/// Resizes pictures, and keeps what the next one of the same size can use: nothing that shows.
#[derive(Default)]
pub struct Resampler {
    library: Resizer,
    #[cfg(target_arch = "x86_64")]
    vectors: Vectors,
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
        let taken = within(taken, from);
        #[cfg(target_arch = "x86_64")]
        if let Some(resized) = self.vectors.resize(pixels, from, channels, taken, to, filter) {
            return Ok(resized);
        }
        by_library(&mut self.library, pixels, from, channels, taken, to, filter)
    }
}

/// How many plans are remembered: photos of one camera have one size, upright or not.
#[cfg(target_arch = "x86_64")]
const REMEMBERED: usize = 8;
/// Old pixels for each new one, at most: beyond it, pixels that are read for one new pixel are not
/// those of its neighbours, and nothing is won.
#[cfg(target_arch = "x86_64")]
const MOST_SHRUNK: f64 = 6.0;

/// What a plan is for.
#[cfg(target_arch = "x86_64")]
type Wanted = (weights::Axis, weights::Axis, usize, ResizeFilter);

/// The way through vectors of 512 bits.
#[cfg(target_arch = "x86_64")]
#[derive(Default)]
struct Vectors {
    rows: vector::Rows,
    /// The last used comes last.
    plans: Vec<(Wanted, vector::Plan)>,
}

#[cfg(target_arch = "x86_64")]
impl Vectors {
    /// The part of a picture resized; none where this way is not for it, or something is wrong with
    /// what was asked.
    fn resize(
        &mut self,
        pixels: &[u8],
        from: PixelSize,
        channels: usize,
        taken: Rectangle,
        to: PixelSize,
        filter: ResizeFilter,
    ) -> Option<Vec<u8>> {
        let axis = |all: u32, start: f64, length: f64, new: u32| weights::Axis {
            all,
            start,
            length,
            new,
        };
        let down = axis(from.height, taken.y, taken.h, to.height);
        let across = axis(from.width, taken.x, taken.w, to.width);
        let suits = |axis: &weights::Axis| {
            axis.is_resampled()
                && axis.start >= 0.0
                && axis.length > 0.0
                && axis.start + axis.length <= f64::from(axis.all)
                && axis.ratio() <= MOST_SHRUNK
        };
        let whole = matches!(channels, 1 | 3 | 4) && pixels.len() as u64 == from.pixels() * channels as u64;
        if !whole || !suits(&down) || !suits(&across) {
            return None;
        }
        let wanted = (down, across, channels, filter);
        let plan = match self.plans.iter().position(|(known, _)| *known == wanted) {
            Some(at) => self.plans.remove(at).1,
            None => {
                let weights = [&down, &across].map(|axis| weights::Weights::new(axis, filter));
                vector::Plan::new(&weights[0], &weights[1], from.width as usize, channels)?
            }
        };
        let resized = plan.resample(pixels, &mut self.rows);
        if self.plans.len() == REMEMBERED {
            self.plans.remove(0);
        }
        self.plans.push((wanted, plan));
        Some(resized)
    }
}

/// The way that is always there.
fn by_library(
    library: &mut Resizer,
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
