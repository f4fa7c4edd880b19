//! TIFF of a palette. The library reads grey and not indices, which are stored alike: it is shown
//! the file as one of grey, and the colours are looked up here.

use std::io::Cursor;

use tiff::TiffError;
use tiff::decoder::{Decoder, DecodingResult, Limits as LibraryLimits};
use tiff::tags::Tag;

use super::{Channels, Decoded, Opened, Reader};
use crate::limits::{Limits, Refusal};
use crate::orientation::Orientation;
use crate::placement::PixelSize;

/// The tag that says what the numbers of a pixel mean, and two of its values.
const INTERPRETATION: u16 = 262;
const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u16 = 3;
/// Entries of a directory that are looked at.
const MOST_ENTRIES: usize = 4096;

pub(super) struct PaletteTiff {
    decoder: Decoder<Cursor<Vec<u8>>>,
    size: PixelSize,
    /// Bits of an index.
    bits: u8,
    colours: Vec<[u8; 3]>,
    profile: Option<Vec<u8>>,
}

/// A TIFF file whose first picture has a palette; `None` for others.
///
/// # Errors
/// Where it is over a limit, damaged, or of a sort that can't be read.
pub(super) fn open(bytes: &[u8], limits: &Limits) -> Result<Option<Opened<'static>>, Refusal> {
    let Some(as_grey) = as_grey(bytes) else {
        return Ok(None);
    };
    let most = usize::try_from(limits.memory).unwrap_or(usize::MAX);
    let mut of_library = LibraryLimits::default();
    of_library.decoding_buffer_size = most;
    of_library.intermediate_buffer_size = most;
    let decoder = Decoder::new(Cursor::new(as_grey)).map_err(refusal)?;
    let mut decoder = decoder.with_limits(of_library);
    let (width, height) = decoder.dimensions().map_err(refusal)?;
    let size = limits.check_size(width, height)?;
    // The file again, indices, and colours in two forms.
    let memory = bytes.len() as u64 + size.pixels() * 8;
    limits.check_memory(memory)?;
    let bits = match decoder.colortype().map_err(refusal)? {
        tiff::ColorType::Gray(bits @ (1 | 2 | 4 | 8)) => bits,
        other => {
            let bits = other.bit_depth();
            let what = format!("it is a TIFF picture of a palette with indices of {bits} bits");
            return Err(Refusal::Unsupported(what));
        }
    };
    let colours = colours(&mut decoder, bits)?;
    let orientation = decoder.find_tag_unsigned::<u8>(Tag::Orientation).ok().flatten();
    let profile = decoder.get_tag_u8_vec(Tag::IccProfile).ok();
    let palette = PaletteTiff {
        decoder,
        size,
        bits,
        colours,
        profile,
    };
    Ok(Some(Opened {
        size,
        orientation: Orientation::from_exif(orientation.unwrap_or(1)),
        memory,
        reader: Reader::PaletteTiff(Box::new(palette)),
    }))
}

impl PaletteTiff {
    pub(super) fn decode(mut self: Box<Self>) -> Result<Decoded, Refusal> {
        let DecodingResult::U8(packed) = self.decoder.read_image().map_err(refusal)? else {
            return Err(Refusal::Damaged("its indices are of another size".to_string()));
        };
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        let stride = (width * usize::from(self.bits)).div_ceil(8);
        if packed.len() != stride * height {
            return Err(Refusal::Damaged("its pixels don't fill it".to_string()));
        }
        let mut pixels = Vec::with_capacity(width * height * 3);
        for row in packed.chunks(stride.max(1)) {
            // A palette has a colour for every index that its bits can tell.
            let indices = (0..width).map(|column| index(row, column, self.bits));
            pixels.extend(indices.flat_map(|index| self.colours[index]));
        }
        Ok(Decoded {
            channels: Channels::Rgb,
            size: self.size,
            pixels,
            profile: self.profile,
        })
    }
}

/// A number of a packed row; the first is in the highest bits.
fn index(row: &[u8], column: usize, bits: u8) -> usize {
    let at = column * usize::from(bits);
    let shift = 8 - usize::from(bits) - at % 8;
    usize::from(row[at / 8] >> shift) & ((1 << bits) - 1)
}

/// One colour for each index. The file has all reds, then all greens, then all blues, of 16 bits;
/// some programs write 8 bits there, which viewers tell by there being none above 255.
fn colours(decoder: &mut Decoder<Cursor<Vec<u8>>>, bits: u8) -> Result<Vec<[u8; 3]>, Refusal> {
    let map = decoder.get_tag_u16_vec(Tag::ColorMap).map_err(refusal)?;
    let many = 1usize << bits;
    if map.len() != 3 * many {
        let found = map.len();
        let what = format!("its palette has {found} numbers, and {} were expected", 3 * many);
        return Err(Refusal::Damaged(what));
    }
    let shift = if map.iter().any(|value| *value > 255) {
        8
    } else {
        0
    };
    let colour = |at: usize| [0, 1, 2].map(|channel| (map[channel * many + at] >> shift) as u8);
    Ok((0..many).map(colour).collect())
}

/// A copy of a file whose first picture has a palette, as one of grey.
fn as_grey(bytes: &[u8]) -> Option<Vec<u8>> {
    let numbers = Numbers {
        bytes,
        big_endian: bytes.starts_with(b"MM"),
    };
    // A classic file, or one with places of 64 bits.
    let (directory, width_of_count, width_of_entry) = match numbers.read(2, 2)? {
        42 => (numbers.read(4, 4)?, 2, 12),
        43 => (numbers.read(8, 8)?, 8, 20),
        _ => return None,
    };
    let directory = usize::try_from(directory).ok()?;
    let entries = usize::try_from(numbers.read(directory, width_of_count)?).ok()?;
    let place = |entry: usize| directory.checked_add(width_of_count + entry * width_of_entry);
    for entry in 0..entries.min(MOST_ENTRIES) {
        let at = place(entry)?;
        if numbers.read(at, 2)? != u64::from(INTERPRETATION) {
            continue;
        }
        // The value of a number of 16 bits stands at the start of its field.
        let value = at + width_of_entry - if width_of_entry == 12 { 4 } else { 8 };
        if numbers.read(at + 2, 2)? != 3 || numbers.read(value, 2)? != u64::from(PALETTE) {
            return None;
        }
        let mut grey = bytes.to_vec();
        let written = match numbers.big_endian {
            true => BLACK_IS_ZERO.to_be_bytes(),
            false => BLACK_IS_ZERO.to_le_bytes(),
        };
        grey[value..value + 2].copy_from_slice(&written);
        return Some(grey);
    }
    None
}

/// Numbers of a file in its order of bytes.
struct Numbers<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl Numbers<'_> {
    /// The number of so many bytes, eight at most, at a place, if the file reaches so far.
    fn read(&self, at: usize, bytes: usize) -> Option<u64> {
        let found = self.bytes.get(at..at.checked_add(bytes)?)?;
        let append = |number: u64, byte: &u8| (number << 8) | u64::from(*byte);
        Some(match self.big_endian {
            true => found.iter().fold(0, append),
            false => found.iter().rev().fold(0, append),
        })
    }
}

fn refusal(error: TiffError) -> Refusal {
    match error {
        TiffError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Refusal::Truncated,
        TiffError::UnsupportedError(what) => {
            Refusal::Unsupported(format!("it is a TIFF picture of a palette: {what}"))
        }
        TiffError::LimitsExceeded => {
            Refusal::Damaged("decoding it would take more memory than the limit".to_string())
        }
        other => Refusal::Damaged(other.to_string()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A TIFF of 5 × 2 pixels with a palette, its indices 0, 1, 2, 3, 0 and 3, 2, 1, 0, 3.
    pub(in crate::decode) fn file(bits: u8, big_endian: bool, eight: bool) -> Vec<u8> {
        let half = |number: u16| match big_endian {
            true => number.to_be_bytes(),
            false => number.to_le_bytes(),
        };
        let full = |number: u32| match big_endian {
            true => number.to_be_bytes(),
            false => number.to_le_bytes(),
        };
        let many = 1usize << bits;
        let rows = [[0u8, 1, 2, 3, 0], [3, 2, 1, 0, 3]].map(|row| {
            let mut packed = vec![0u8; (5 * usize::from(bits)).div_ceil(8)];
            for (column, index) in row.iter().enumerate() {
                let at = column * usize::from(bits);
                let index = index % (many.min(4) as u8);
                packed[at / 8] |= index << (8 - usize::from(bits) - at % 8);
            }
            packed
        });
        let strip = rows.concat();
        // Of each channel the first values; the rest is black.
        let channels: [[u16; 4]; 3] = [[10, 255, 0, 7], [20, 0, 255, 8], [30, 128, 1, 9]];
        let map = channels.iter().flat_map(|values| {
            (0..many).map(|at| {
                let value = values.get(at).copied().unwrap_or(0);
                if eight { value } else { value * 257 }
            })
        });
        let map: Vec<u8> = map.flat_map(half).collect();
        let entries: [(u16, u16, u32, u32); 9] = [
            (256, 3, 1, 5),
            (257, 3, 1, 2),
            (258, 3, 1, u32::from(bits)),
            (259, 3, 1, 1),
            (262, 3, 1, 3),
            (273, 4, 1, 8),
            (278, 3, 1, 2),
            (279, 4, 1, strip.len() as u32),
            (320, 3, 3 * many as u32, 8 + strip.len() as u32),
        ];
        let mut bytes = if big_endian {
            b"MM".to_vec()
        } else {
            b"II".to_vec()
        };
        bytes.extend(half(42));
        bytes.extend(full((8 + strip.len() + map.len()) as u32));
        bytes.extend(strip);
        bytes.extend(map);
        bytes.extend(half(entries.len() as u16));
        for (tag, sort, count, value) in entries {
            bytes.extend(half(tag));
            bytes.extend(half(sort));
            bytes.extend(full(count));
            match (sort, count) {
                (3, 1) => {
                    bytes.extend(half(value as u16));
                    bytes.extend([0, 0]);
                }
                _ => bytes.extend(full(value)),
            }
        }
        bytes.extend(full(0));
        bytes
    }

    fn decoded(bytes: &[u8]) -> Result<Decoded, Refusal> {
        Opened::new(bytes, &Limits::default())?.decode(None, Vec::new())
    }

    #[test]
    fn indices_of_every_width_get_their_colours_in_either_order_of_bytes() {
        let colours = [[10, 20, 30], [255, 0, 128], [0, 255, 1], [7, 8, 9]];
        for bits in [1, 2, 4, 8] {
            for (big_endian, eight) in [(false, false), (true, false), (false, true)] {
                let decoded = decoded(&file(bits, big_endian, eight)).unwrap();
                assert_eq!((decoded.size.width, decoded.size.height), (5, 2));
                let many = if bits == 1 { 2 } else { 4 };
                let expected = [0, 1, 2, 3, 0, 3, 2, 1, 0, 3].map(|index: usize| colours[index % many]);
                assert_eq!(decoded.pixels, expected.concat(), "{bits} bits");
            }
        }
    }

    #[test]
    fn a_palette_of_another_size_and_a_file_that_is_cut_off_are_refused() {
        let whole = file(4, false, false);
        let mut short = whole.clone();
        let map = whole
            .windows(2)
            .rposition(|pair| pair == 320u16.to_le_bytes())
            .unwrap();
        short[map + 4] = 47;
        let refusal = decoded(&short).unwrap_err();
        assert!(refusal.to_string().contains("palette has 47"), "{refusal}");
        for length in 0..whole.len() {
            assert!(decoded(&whole[..length]).is_err());
        }
    }
}
