//! JPEG. The library is a port of libjpeg-turbo that gives its pixels bit by bit, so what
//! other tools see is what is seen here.

use libjpeg_turbo_rs::{ColorSpace, DecodeLimits, Decoder, JpegError, PixelFormat, ScalingFactor};

use super::{Channels, Decoded, Format, Opened, Reader, other};
use crate::limits::{Limits, Refusal};
use crate::orientation::Orientation;
use crate::placement::PixelSize;

/// Scans of a picture, at most. Real progressive files have some ten; each scan passes over
/// the whole picture, so a small file of many scans could take hours.
const MOST_SCANS: usize = 200;

pub(super) struct Jpeg<'a> {
    decoder: Decoder<'a>,
    channels: Channels,
    size: PixelSize,
}

pub(super) fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Opened<'a>, Refusal> {
    let of_library = DecodeLimits {
        max_pixels: limits.pixels,
        max_scans: MOST_SCANS,
        max_memory: Some(limits.memory),
        ..DecodeLimits::default()
    };
    let mut decoder = Decoder::new_with_limits(bytes, of_library).map_err(refusal)?;
    let frame = decoder.header();
    let size = limits.check_size(u32::from(frame.width), u32::from(frame.height))?;
    let components = frame.components.len() as u64;
    let channels = match (components, decoder.jpeg_color_space()) {
        (1, _) => Channels::Grey,
        (4, _) | (_, ColorSpace::Cmyk | ColorSpace::Ycck) => Channels::Cmyk,
        (3, _) => Channels::Rgb,
        (other, _) => {
            return Err(Refusal::Unsupported(format!(
                "it is a JPEG picture of {other} components"
            )));
        }
    };
    let sampling = |at: usize| {
        let component = &frame.components[at];
        (component.horizontal_sampling, component.vertical_sampling)
    };
    if components == 4 && (1..4).any(|at| sampling(at) != sampling(0)) {
        // The library takes inks of one resolution only, and panics on others.
        return other::open(bytes, Format::Jpeg, limits);
    }
    // Planes, planes brought to full size, and the result; coefficients of two bytes where
    // several scans make them up.
    let several = decoder.header().is_progressive || decoder.has_multiple_scans();
    let coefficients = if several { 2 * components + 1 } else { 0 };
    let memory = size.pixels() * (2 * components + channels.count() as u64 + coefficients);
    limits.check_memory(memory)?;
    decoder.set_output_format(match channels {
        Channels::Grey => PixelFormat::Grayscale,
        Channels::Cmyk => PixelFormat::Cmyk,
        _ => PixelFormat::Rgb,
    });
    let orientation = Orientation::from_exif(decoder.exif_orientation().unwrap_or(1));
    let jpeg = Jpeg {
        decoder,
        channels,
        size,
    };
    Ok(Opened {
        size,
        orientation,
        memory,
        reader: Reader::Jpeg(Box::new(jpeg)),
    })
}

impl Jpeg<'_> {
    pub(super) fn decode(
        mut self: Box<Self>,
        enough: Option<PixelSize>,
        mut pixels: Vec<u8>,
    ) -> Result<Decoded, Refusal> {
        if let Some(fraction) = enough.and_then(|enough| fraction(self.size, enough)) {
            self.decoder.set_scale(fraction);
        }
        pixels.resize(self.decoder.output_buffer_size().map_err(refusal)?, 0);
        let image = self.decoder.decode_image_into(&mut pixels).map_err(refusal)?;
        pixels.truncate(image.bytes_written);
        let size = PixelSize::new(image.width as u32, image.height as u32)
            .ok_or_else(|| Refusal::Damaged("it has no pixels".to_string()))?;
        if self.channels == Channels::Cmyk {
            // Files hold the lack of ink, as Adobe's programs have always written them.
            pixels.iter_mut().for_each(|ink| *ink = 255 - *ink);
        }
        match pixels.len() as u64 == size.pixels() * self.channels.count() as u64 {
            true => Ok(Decoded {
                channels: self.channels,
                size,
                pixels,
                profile: image.icc_profile,
            }),
            false => Err(Refusal::Damaged("its pixels don't fill it".to_string())),
        }
    }
}

/// The smallest of 1/8, 1/4 and 1/2 that still gives `enough`.
fn fraction(size: PixelSize, enough: PixelSize) -> Option<ScalingFactor> {
    let gives = |parts: u32| {
        size.width.div_ceil(parts) >= enough.width && size.height.div_ceil(parts) >= enough.height
    };
    let parts = [8, 4, 2].into_iter().find(|parts| gives(*parts))?;
    ScalingFactor::try_new(1, parts).ok()
}

fn refusal(error: JpegError) -> Refusal {
    match error {
        JpegError::UnexpectedEof => Refusal::Truncated,
        JpegError::Unsupported(what) => Refusal::Unsupported(format!("it is a JPEG picture with {what}")),
        JpegError::LimitExceeded { what, actual, limit } => {
            Refusal::Damaged(format!("its {what} is {actual}, and the limit is {limit}"))
        }
        other => Refusal::Damaged(other.to_string()),
    }
}
