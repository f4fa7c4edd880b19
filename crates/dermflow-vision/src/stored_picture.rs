//! From the bytes of a file to the stored picture: decoded, in sRGB, resized, upright.
//!
//! Of the file's metadata only orientation and colour profile are read, and both end in the
//! pixels: places, times and names in a photo's Exif can't get into a table.
//!
//! The same bytes and settings give the same pixels whatever the thread and the moment:
//! nothing here depends on what was decoded before. Between processors the pixels agree too,
//! as every step of the usual way (JPEG or PNG, no or an sRGB profile) works in integers whose
//! vector and scalar forms agree; profiles other than sRGB may go through floating point.

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::colour::{Colours, Rgb};
use crate::decode::{Channels, Decoded, Opened};
use crate::limits::{Limits, Refusal};
use crate::placement::{Fit, PixelSize, Placement, Rectangle, ResizeMode};
use crate::resize::{Resampler, ResizeFilter};

/// How pictures are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The stored size; `None` keeps each picture's own.
    pub size: Option<PixelSize>,
    /// How a picture of another shape gets there.
    pub mode: ResizeMode,
    /// The resampling filter.
    pub filter: ResizeFilter,
    /// What shows through where a picture is transparent.
    pub background: Rgb,
    /// The bars of a letterbox.
    pub bars: Rgb,
}

/// A picture as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredPicture {
    /// The size of `pixels`.
    pub size: PixelSize,
    /// RGB8, row-major, in sRGB.
    pub pixels: Vec<u8>,
    /// The upright picture's size before resizing.
    pub original: PixelSize,
    /// Where it lies in the stored one.
    pub placement: Placement,
}

/// A decoded picture is at least this many times the wanted size where it is decoded at a
/// fraction, so that the resampling filter still decides how it looks.
const SPARE: f64 = 1.5;

/// What one thread keeps between pictures: buffers and colour profiles, nothing that shows.
#[derive(Default)]
pub struct Workbench {
    resampler: Resampler,
    colours: Colours,
    /// For the pixels of the next picture, as it is decoded.
    decoded: Vec<u8>,
}

/// A larger buffer isn't kept: decoders may take that memory elsewhere meanwhile.
const KEPT: usize = 32 << 20;

/// A file that turned out to be a picture, not decoded yet.
pub struct Found<'a> {
    opened: Opened<'a>,
}

impl<'a> Found<'a> {
    /// Reads a file's header.
    ///
    /// # Errors
    /// Where it is no picture that can be read, or over a limit.
    pub fn new(bytes: &'a [u8], limits: &Limits) -> Result<Found<'a>, Refusal> {
        guarded(|| Opened::new(bytes, limits)).map(|opened| Found { opened })
    }

    /// The upright size.
    pub fn original(&self) -> PixelSize {
        self.opened.orientation().oriented(self.opened.size())
    }

    /// Most bytes of memory that [`Found::store`] takes, the file itself not counted.
    pub fn memory(&self, settings: &Settings) -> u64 {
        let stored = settings.size.unwrap_or_else(|| self.original()).pixels();
        // Resized and put in place; then the colours of what was decoded, once more.
        self.opened.memory() + stored * 8
    }

    /// Decodes it and brings it into the stored form.
    ///
    /// # Errors
    /// Where it is damaged, cut off or of a sort that can't be read.
    pub fn store(self, settings: &Settings, workbench: &mut Workbench) -> Result<StoredPicture, Refusal> {
        let outcome = guarded(|| self.stored(settings, workbench));
        if outcome.is_err() {
            // A panic may have left buffers half-written.
            *workbench = Workbench::default();
        }
        outcome
    }

    fn stored(self, settings: &Settings, workbench: &mut Workbench) -> Result<StoredPicture, Refusal> {
        let orientation = self.opened.orientation();
        let original = self.original();
        let stored = settings.size.unwrap_or(original);
        let fit = Fit::new(original, stored, settings.mode);
        // What is taken is centred, so it lies the same in the picture as it is stored.
        let filled = orientation.oriented(fit.filled);
        let lying = self.opened.size();
        let (taken_w, taken_h) = match orientation.is_transposed() {
            false => (fit.taken.w, fit.taken.h),
            true => (fit.taken.h, fit.taken.w),
        };
        let enough = enough(lying, filled, (taken_w, taken_h));
        let decoded = (self.opened).decode(enough, std::mem::take(&mut workbench.decoded))?;
        let scale_x = f64::from(decoded.size.width) / f64::from(lying.width);
        let scale_y = f64::from(decoded.size.height) / f64::from(lying.height);
        let (w, h) = (taken_w * scale_x, taken_h * scale_y);
        let taken = Rectangle {
            x: ((f64::from(decoded.size.width) - w) / 2.0).max(0.0),
            y: ((f64::from(decoded.size.height) - h) / 2.0).max(0.0),
            w,
            h,
        };
        let resized = coloured(decoded, taken, filled, settings, workbench)?;
        let whole = fit.filled == stored;
        let pixels = match whole && orientation.is_upright() {
            true => resized,
            false => {
                let mut pixels = match whole {
                    true => vec![0; stored.pixels() as usize * 3],
                    false => settings.bars.repeat(stored.pixels() as usize),
                };
                orientation.put(&resized, filled, &mut pixels, stored.width, (fit.left, fit.top));
                pixels
            }
        };
        Ok(StoredPicture {
            size: stored,
            pixels,
            original,
            placement: fit.placement(original, stored),
        })
    }
}

/// The size that is enough to be decoded, where less than all is.
fn enough(lying: PixelSize, filled: PixelSize, (taken_w, taken_h): (f64, f64)) -> Option<PixelSize> {
    let side = |all: u32, filled: u32, taken: f64| {
        (f64::from(filled) * SPARE * f64::from(all) / taken)
            .ceil()
            .min(f64::from(u32::MAX)) as u32
    };
    let enough = PixelSize::new(
        side(lying.width, filled.width, taken_w),
        side(lying.height, filled.height, taken_h),
    )?;
    (enough.width < lying.width && enough.height < lying.height).then_some(enough)
}

/// Resized and in sRGB. Opacity is gone before pixels are mixed; colours are turned after,
/// when they are fewer.
fn coloured(
    decoded: Decoded,
    taken: Rectangle,
    to: PixelSize,
    settings: &Settings,
    workbench: &mut Workbench,
) -> Result<Vec<u8>, Refusal> {
    let Workbench {
        resampler,
        colours,
        decoded: kept,
    } = workbench;
    let profile = decoded.profile.as_deref();
    let mut resized = |pixels: &[u8], channels: Channels| {
        resampler
            .resize(pixels, decoded.size, channels.count(), taken, to, settings.filter)
            .map_err(Refusal::Damaged)
    };
    let shown = match decoded.channels {
        Channels::GreyAlpha | Channels::Rgba => {
            let opaque = colours.over(settings.background, decoded.channels, &decoded.pixels, profile);
            resized(&opaque, Channels::Rgb)?
        }
        channels => {
            let small = resized(&decoded.pixels, channels)?;
            colours.opaque(channels, small, profile)
        }
    };
    if decoded.pixels.capacity() <= KEPT {
        *kept = decoded.pixels;
    }
    Ok(shown)
}

/// Runs a step of a decoder: a few panic on damaged files. What it worked on is dropped then.
fn guarded<T>(step: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    catch_unwind(AssertUnwindSafe(step))
        .unwrap_or_else(|_| Err(Refusal::Damaged("the decoder gave up on it".to_string())))
}
