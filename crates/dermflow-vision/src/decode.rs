//! Pictures from bytes: the format told by the content, limits checked before pixels are, and
//! whatever the bytes are, the outcome is pixels or a [`Refusal`].
//!
//! Must not know what becomes of the pixels, but for the size that is wanted: a JPEG can be
//! decoded at 1/2, 1/4 or 1/8 for less.

mod format;
mod jpeg;
mod other;
mod palette_tiff;
mod png_colours;
#[cfg(test)]
mod tests;

pub use format::Format;

use crate::limits::{Limits, Refusal};
use crate::orientation::Orientation;
use crate::placement::PixelSize;

/// What the bytes of a pixel mean. 8 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// Grey.
    Grey,
    /// Grey, opacity.
    GreyAlpha,
    /// Red, green, blue.
    Rgb,
    /// Red, green, blue, opacity.
    Rgba,
    /// Cyan, magenta, yellow, black; 255 is full ink.
    Cmyk,
}

impl Channels {
    /// How many bytes a pixel has.
    pub fn count(self) -> usize {
        match self {
            Channels::Grey => 1,
            Channels::GreyAlpha => 2,
            Channels::Rgb => 3,
            Channels::Rgba | Channels::Cmyk => 4,
        }
    }
}

/// A decoded picture, in its own colours and as it is stored.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// What the bytes are.
    pub channels: Channels,
    /// The size of `pixels`: the file's, or a fraction of it.
    pub size: PixelSize,
    /// Row-major.
    pub pixels: Vec<u8>,
    /// The colour profile, unread.
    pub profile: Option<Vec<u8>>,
}

/// A picture whose header was read.
pub struct Opened<'a> {
    size: PixelSize,
    orientation: Orientation,
    memory: u64,
    reader: Reader<'a>,
}

/// The library that reads on.
enum Reader<'a> {
    Jpeg(Box<jpeg::Jpeg<'a>>),
    Other(Box<other::Other<'a>>),
    PaletteTiff(Box<palette_tiff::PaletteTiff>),
}

impl<'a> Opened<'a> {
    /// Reads as much of a file as tells its size.
    ///
    /// # Errors
    /// Where it is no picture, over a limit, or damaged so early.
    pub fn new(bytes: &'a [u8], limits: &Limits) -> Result<Opened<'a>, Refusal> {
        limits.check_bytes(bytes.len() as u64)?;
        match Format::of(bytes)? {
            Format::Jpeg => jpeg::open(bytes, limits),
            Format::Tiff => match palette_tiff::open(bytes, limits)? {
                Some(opened) => Ok(opened),
                None => other::open(bytes, Format::Tiff, limits),
            },
            format => other::open(bytes, format, limits),
        }
    }

    /// The size as it is stored.
    pub fn size(&self) -> PixelSize {
        self.size
    }

    /// How it is to be turned.
    pub fn orientation(&self) -> Orientation {
        self.orientation
    }

    /// Most bytes of memory that decoding takes, the file itself not counted.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Decodes it, at full size or at a fraction that is at least `enough` (as it is stored). `buffer`
    /// is memory to put pixels in, where that is possible: what it holds doesn't count.
    ///
    /// # Errors
    /// Where it is damaged, cut off, or of an unsupported sort.
    pub fn decode(self, enough: Option<PixelSize>, buffer: Vec<u8>) -> Result<Decoded, Refusal> {
        match self.reader {
            Reader::Jpeg(jpeg) => jpeg.decode(enough, buffer),
            Reader::Other(other) => other.decode(),
            Reader::PaletteTiff(palette) => palette.decode(),
        }
    }
}
