//! PNG, WebP, BMP, TIFF and GIF, and JPEG of inks that the other library can't read, through the
//! `image` library's decoders: the first frame of what moves, 16 bits and floats rounded to 8.
//! TIFF of a palette, which those refuse, is not here.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::codecs::gif::GifDecoder;
use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::tiff::TiffDecoder;
use image::codecs::webp::WebPDecoder;
use image::error::{ImageError, LimitErrorKind};
use image::{ColorType, ExtendedColorType, ImageDecoder};

use super::{Channels, Decoded, Format, Opened, Reader, png_colours};
use crate::limits::{Limits, Refusal};
use crate::orientation::Orientation;
use crate::placement::PixelSize;

type Bytes<'a> = Cursor<&'a [u8]>;

/// A picture that one of the library's decoders reads.
pub(super) struct Other<'a> {
    library: Library<'a>,
    /// Colours that it declares without a profile, as one.
    declared: Option<Vec<u8>>,
}

#[allow(
    clippy::large_enum_variant,
    reason = "it lies in a box, one for each picture that is being decoded"
)]
enum Library<'a> {
    Png(PngDecoder<Bytes<'a>>),
    WebP(WebPDecoder<Bytes<'a>>),
    Bmp(BmpDecoder<Bytes<'a>>),
    Tiff(TiffDecoder<Bytes<'a>>),
    Gif(GifDecoder<Bytes<'a>>),
    Jpeg(JpegDecoder<Bytes<'a>>),
}

/// Does the same with whichever decoder it is.
macro_rules! each {
    ($library:expr, $decoder:ident => $work:expr) => {
        match $library {
            Library::Png($decoder) => $work,
            Library::WebP($decoder) => $work,
            Library::Bmp($decoder) => $work,
            Library::Tiff($decoder) => $work,
            Library::Gif($decoder) => $work,
            Library::Jpeg($decoder) => $work,
        }
    };
}

pub(super) fn open<'a>(bytes: &'a [u8], format: Format, limits: &Limits) -> Result<Opened<'a>, Refusal> {
    let cursor = Cursor::new(bytes);
    let mut of_library = image::Limits::no_limits();
    of_library.max_alloc = Some(limits.memory);
    let opened = match format {
        Format::Jpeg => JpegDecoder::new(cursor).map(Library::Jpeg),
        Format::Png => PngDecoder::with_limits(cursor, of_library.clone()).map(Library::Png),
        Format::WebP => WebPDecoder::new(cursor).map(Library::WebP),
        Format::Bmp => BmpDecoder::new(cursor).map(Library::Bmp),
        Format::Tiff => TiffDecoder::new(cursor).map(Library::Tiff),
        Format::Gif => GifDecoder::new(cursor).map(Library::Gif),
    };
    let mut library = opened.map_err(|error| refusal(error, format))?;
    let (width, height) = each!(&library, decoder => decoder.dimensions());
    let size = limits.check_size(width, height)?;
    let pixel = each!(&library, decoder => decoder.color_type().bytes_per_pixel());
    let inks = each!(&library, decoder => match decoder.original_color_type() {
        ExtendedColorType::Cmyk16 => 8,
        ExtendedColorType::Cmyk8 => 4,
        _ => 0,
    });
    // What the library holds besides the result: a copy of it (TIFF, WebP's planes and GIF's
    // frame are no larger), and the result in 8 bits.
    let memory = size.pixels() * (2 * u64::from(pixel) + inks + 4);
    limits.check_memory(memory)?;
    // Of what is wrong with a picture, a wrong orientation is the least: it is then as it lies.
    let orientation = each!(&mut library, decoder => decoder.orientation());
    let orientation = orientation.map_or(1, |orientation| orientation.to_exif());
    each!(&mut library, decoder => decoder.set_limits(of_library)).map_err(|error| refusal(error, format))?;
    let declared = match format {
        Format::Png => png_colours::profile(bytes),
        _ => None,
    };
    Ok(Opened {
        size,
        orientation: Orientation::from_exif(orientation),
        memory,
        reader: Reader::Other(Box::new(Other { library, declared })),
    })
}

impl Other<'_> {
    fn format(&self) -> Format {
        match self.library {
            Library::Png(_) => Format::Png,
            Library::WebP(_) => Format::WebP,
            Library::Bmp(_) => Format::Bmp,
            Library::Tiff(_) => Format::Tiff,
            Library::Gif(_) => Format::Gif,
            Library::Jpeg(_) => Format::Jpeg,
        }
    }

    pub(super) fn decode(mut self: Box<Self>) -> Result<Decoded, Refusal> {
        let format = self.format();
        let (width, height) = each!(&self.library, decoder => decoder.dimensions());
        let size =
            PixelSize::new(width, height).ok_or_else(|| Refusal::Damaged("it has no pixels".to_string()))?;
        let colours = each!(&self.library, decoder => decoder.color_type());
        // A profile that can't be read is none; the picture is there without it.
        let profile = each!(&mut self.library, decoder => decoder.icc_profile()).unwrap_or_default();
        let converted = each!(&self.library, decoder => decoder.original_color_type());
        // The library turns inks to RGB by itself, and so leaves the profile behind.
        let inks = matches!(converted, ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16);
        let mut raw = vec![0; (size.pixels() * u64::from(colours.bytes_per_pixel())) as usize];
        each!(self.library, decoder => decoder.read_image(&mut raw))
            .map_err(|error| refusal(error, format))?;
        let (channels, pixels) = eight_bits(colours, raw)?;
        Ok(Decoded {
            channels,
            size,
            pixels,
            profile: profile.or(self.declared).filter(|_| !inks),
        })
    }
}

fn eight_bits(colours: ColorType, raw: Vec<u8>) -> Result<(Channels, Vec<u8>), Refusal> {
    let from_16 = |raw: Vec<u8>| -> Vec<u8> {
        let values = raw.as_chunks::<2>().0.iter();
        // 65535 is 255 · 257.
        values
            .map(|value| ((u32::from(u16::from_ne_bytes(*value)) + 128) / 257) as u8)
            .collect()
    };
    let from_float = |raw: Vec<u8>| -> Vec<u8> {
        let values = raw.as_chunks::<4>().0.iter();
        // No number becomes 0: a cast of NaN does.
        values
            .map(|value| (f32::from_ne_bytes(*value).clamp(0.0, 1.0) * 255.0).round() as u8)
            .collect()
    };
    Ok(match colours {
        ColorType::L8 => (Channels::Grey, raw),
        ColorType::La8 => (Channels::GreyAlpha, raw),
        ColorType::Rgb8 => (Channels::Rgb, raw),
        ColorType::Rgba8 => (Channels::Rgba, raw),
        ColorType::L16 => (Channels::Grey, from_16(raw)),
        ColorType::La16 => (Channels::GreyAlpha, from_16(raw)),
        ColorType::Rgb16 => (Channels::Rgb, from_16(raw)),
        ColorType::Rgba16 => (Channels::Rgba, from_16(raw)),
        ColorType::Rgb32F => (Channels::Rgb, from_float(raw)),
        ColorType::Rgba32F => (Channels::Rgba, from_float(raw)),
        other => return Err(Refusal::Unsupported(format!("its pixels are {other:?}"))),
    })
}

fn refusal(error: ImageError, format: Format) -> Refusal {
    match error {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Refusal::Truncated,
        ImageError::Unsupported(what) => Refusal::Unsupported(format!("it is a {format:?} picture: {what}")),
        ImageError::Limits(limit) => match limit.kind() {
            LimitErrorKind::InsufficientMemory => {
                Refusal::Damaged("decoding it would take more memory than the limit".to_string())
            }
            _ => Refusal::Damaged(limit.to_string()),
        },
        ImageError::Decoding(error) => {
            let words =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            match words.to_lowercase().contains("unexpected end") {
                true => Refusal::Truncated,
                false => Refusal::Damaged(words),
            }
        }
        other => Refusal::Damaged(other.to_string()),
    }
}
