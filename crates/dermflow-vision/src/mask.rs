//! Masks: pictures that say yes or no for every pixel, and the boxes around what they mark.
//!
//! Must not know whose masks they are, or where they come from.

use std::io::Cursor;

use image::{ImageReader, Limits};

use crate::components::{Component, components};

/// A decoded mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Pixels from left to right.
    pub width: usize,
    /// Pixels from top to bottom.
    pub height: usize,
    /// Row by row: whether the pixel is marked.
    pub marked: Vec<bool>,
}

/// Most bytes that decoding one mask may take; a mask of 100 megapixels fits.
const MOST_BYTES: u64 = 512 << 20;
/// The longest side of a mask.
const LONGEST_SIDE: u32 = 32_768;

impl Mask {
    /// Reads a picture of any format that is known by its content. A pixel is marked where its
    /// grey value (Rec. 709 luma of colours, 0 to 255; alpha is left out) is at least `threshold`.
    ///
    /// # Errors
    /// In words, where the bytes are no picture or one too large.
    pub fn decode(bytes: &[u8], threshold: u8) -> Result<Mask, String> {
        let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
        let mut reader = reader.map_err(|error| error.to_string())?;
        if reader.format().is_none() {
            return Err("it is no picture of a known format".to_string());
        }
        let mut limits = Limits::default();
        limits.max_image_width = Some(LONGEST_SIDE);
        limits.max_image_height = Some(LONGEST_SIDE);
        limits.max_alloc = Some(MOST_BYTES);
        reader.limits(limits);
        let grey = reader.decode().map_err(|error| error.to_string())?.into_luma8();
        Ok(Mask {
            width: grey.width() as usize,
            height: grey.height() as usize,
            marked: grey.as_raw().iter().map(|grey| *grey >= threshold).collect(),
        })
    }

    /// What touches at a side or a corner is one component.
    pub fn components(&self) -> Vec<Component> {
        components(&self.marked, self.width)
    }

    /// All that is marked as one; none where nothing is.
    pub fn whole(&self) -> Option<Component> {
        self.components().into_iter().reduce(Component::united)
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, ImageFormat, Luma};

    use super::*;

    fn png(rows: &[&str]) -> Vec<u8> {
        let (width, height) = (rows[0].len() as u32, rows.len() as u32);
        let grey = |x: u32, y: u32| match rows[y as usize].as_bytes()[x as usize] {
            b'#' => 255,
            b'+' => 100,
            _ => 0,
        };
        let picture = GrayImage::from_fn(width, height, |x, y| Luma([grey(x, y)]));
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_mask_has_a_box_around_all_of_it_and_one_around_each_component() {
        let bytes = png(&["##....", "##..+.", ".....#", "...#.."]);
        let mask = Mask::decode(&bytes, 128).unwrap();
        let whole = mask.whole().unwrap();
        assert_eq!((whole.left, whole.top, whole.right, whole.bottom), (0, 0, 6, 4));
        assert_eq!(mask.components().len(), 3);
        // The grey pixel links the two at the right.
        assert_eq!(Mask::decode(&bytes, 100).unwrap().components()[1].area, 2);
        assert_eq!(Mask::decode(&png(&["..", ".."]), 128).unwrap().whole(), None);
    }

    #[test]
    fn what_is_no_picture_is_refused_in_words() {
        assert!(
            Mask::decode(b"nonsense", 128)
                .unwrap_err()
                .contains("known format")
        );
        let cut = &png(&["##", "##"])[..40];
        assert!(Mask::decode(cut, 128).is_err());
    }
}
