//! Masks: pictures that say yes or no for every pixel, and the boxes around what they mark.
//!
//! Must not know whose masks they are, or where they come from.

use crate::components::{Component, components};
use crate::limits::{Limits, Refusal};
use crate::placement::ResizeMode;
use crate::resize::ResizeFilter;
use crate::stored_picture::{Found, Settings, Workbench};

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

/// A mask keeps its size; what is transparent in it is black.
const SETTINGS: Settings = Settings {
    size: None,
    mode: ResizeMode::Stretch,
    filter: ResizeFilter::Box,
    background: [0; 3],
    bars: [0; 3],
};

impl Mask {
    /// Reads a picture as photos are read: any format that is known by its content, upright, within
    /// the usual limits. A pixel is marked where its grey value (Rec. 709 luma of colours, 0 to 255)
    /// is at least `threshold`; what is transparent is black.
    ///
    /// # Errors
    /// Where the bytes are no picture, a damaged one, or one too large.
    pub fn decode(bytes: &[u8], threshold: u8) -> Result<Mask, Refusal> {
        let limits = Limits::default();
        let found = Found::new(bytes, &limits)?;
        let memory = found.memory(&SETTINGS);
        if memory > limits.memory {
            return Err(Refusal::TooMuchMemory {
                memory,
                most: limits.memory,
            });
        }
        let picture = found.store(&SETTINGS, &mut Workbench::default())?;
        let pixels = picture.pixels.as_chunks::<3>().0.iter();
        Ok(Mask {
            width: picture.size.width as usize,
            height: picture.size.height as usize,
            marked: pixels.map(|pixel| luma(*pixel) >= threshold).collect(),
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

/// Rec. 709 luma; of grey, the grey itself.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let weighted = 2126 * u32::from(red) + 7152 * u32::from(green) + 722 * u32::from(blue);
    (weighted / 10_000) as u8
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgba, RgbaImage};

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
        let refusal = Mask::decode(b"nonsense", 128).unwrap_err();
        assert!(refusal.to_string().contains("no JPEG, PNG"), "{refusal}");
        let cut = &png(&["##", "##"])[..40];
        assert!(Mask::decode(cut, 128).is_err());
    }

    #[test]
    fn a_mask_is_upright_as_its_photo_is() {
        let lying = GrayImage::from_fn(3, 2, |x, _| Luma([if x == 0 { 255 } else { 0 }]));
        let mut written = Cursor::new(Vec::new());
        DynamicImage::ImageLuma8(lying)
            .write_to(&mut written, ImageFormat::Tiff)
            .unwrap();
        let mut tiff = written.into_inner();
        assert_eq!(Mask::decode(&tiff, 128).unwrap().width, 3);
        oriented(&mut tiff, 6);
        let mask = Mask::decode(&tiff, 128).unwrap();
        assert_eq!((mask.width, mask.height), (2, 3));
        // What lay at the left stands on top.
        assert_eq!(mask.marked, [true, true, false, false, false, false]);
    }

    /// Puts an orientation in place of the tag ResolutionUnit of a little-endian TIFF, and the
    /// directory in order.
    fn oriented(tiff: &mut Vec<u8>, orientation: u16) {
        let directory = u32::from_le_bytes(tiff[4..8].try_into().unwrap()) as usize;
        let count = u16::from_le_bytes(tiff[directory..directory + 2].try_into().unwrap()) as usize;
        let end = directory + 2 + count * 12;
        let mut entries: Vec<Vec<u8>> = tiff[directory + 2..end].chunks(12).map(<[u8]>::to_vec).collect();
        entries.retain(|entry| entry[..2] != 296u16.to_le_bytes());
        let mut entry = [274u16, 3].map(u16::to_le_bytes).concat();
        entry.extend(1u32.to_le_bytes());
        entry.extend(u32::from(orientation).to_le_bytes());
        entries.push(entry);
        entries.sort_by_key(|entry| u16::from_le_bytes([entry[0], entry[1]]));
        let mut written = (entries.len() as u16).to_le_bytes().to_vec();
        written.extend(entries.concat());
        written.extend([0; 4]);
        let place = tiff.len() as u32;
        tiff.extend(written);
        tiff[4..8].copy_from_slice(&place.to_le_bytes());
    }

    #[test]
    fn what_is_transparent_is_not_marked() {
        let clear = RgbaImage::from_fn(2, 1, |x, _| Rgba([255, 255, 255, if x == 0 { 0 } else { 255 }]));
        let mut png = Cursor::new(Vec::new());
        clear.write_to(&mut png, ImageFormat::Png).unwrap();
        assert_eq!(
            Mask::decode(&png.into_inner(), 128).unwrap().marked,
            [false, true]
        );
    }
}
