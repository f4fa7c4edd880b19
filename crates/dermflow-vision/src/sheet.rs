//! Contact sheets: pictures side by side with their captions, boxes and heat maps, since
//! people look rather than read.
//!
//! Must not know of tables or classes: who is shown, and in which colour, is decided elsewhere.

mod canvas;
#[cfg(test)]
mod tests;

use crate::boxes::PixelBox;
use crate::heatmap::{BLIND, Heatmap, PEAK};
use crate::picture::Picture;

use canvas::{Canvas, Font};

/// One picture of a sheet.
#[derive(Clone, Debug)]
pub struct Tile {
    /// The picture, of any size.
    pub picture: Picture,
    /// Below it, in bold; cut off where it is too long.
    pub caption: String,
    /// Below the caption, in bold too; empty for none.
    pub second: String,
    /// The colour of the caption's mark: a number for [`colour`].
    pub mark: usize,
    /// Below these, smaller.
    pub note: String,
    /// Lesions in pixels of the picture, each with a number for [`colour`] and a word, empty
    /// for none.
    pub boxes: Vec<(PixelBox, usize, String)>,
    /// Maps over the picture, each with the pixels of the picture that its cells cover across
    /// and down; of several, the highest value is seen.
    pub maps: Vec<(Heatmap, f64)>,
}

/// How a sheet is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Pictures side by side.
    pub columns: usize,
    /// Pixels of a picture's longer side.
    pub side: usize,
}

/// Twelve colours that are told apart on skin; higher numbers begin again.
pub fn colour(number: usize) -> [u8; 3] {
    const COLOURS: [[u8; 3]; 12] = [
        [0x00, 0x9e, 0xe0],
        [0x2f, 0xb3, 0x4a],
        [0xf2, 0xc2, 0x00],
        [0xe6, 0x2d, 0x88],
        [0x7b, 0x4f, 0xd0],
        [0x00, 0xb8, 0xa8],
        [0xf0, 0x6a, 0x1a],
        [0x3d, 0x5a, 0xfe],
        [0xa0, 0xc8, 0x14],
        [0xd0, 0x3b, 0x3b],
        [0x8a, 0x8d, 0x94],
        [0x5d, 0x40, 0x37],
    ];
    COLOURS[number % COLOURS.len()]
}

const PAPER: [u8; 3] = [0xf7, 0xf7, 0xf5];
const INK: [u8; 3] = [0x1c, 0x1e, 0x22];
const PALE: [u8; 3] = [0x6c, 0x70, 0x78];
const FRAME: [u8; 3] = [0xe2, 0xe2, 0xde];
const GAP: usize = 10;
const TITLE: usize = 34;
const CAPTION: usize = 34;
/// Pixels of a second line below pictures.
const LINE: usize = 16;

/// Draws a sheet. It is as wide as its columns ask, even where there are fewer pictures.
pub fn sheet(title: &str, tiles: &[Tile], layout: Layout) -> Picture {
    let (columns, side) = (layout.columns.max(1), layout.side.max(16));
    let rows = tiles.len().div_ceil(columns);
    let has_second = tiles.iter().any(|tile| !tile.second.is_empty());
    let second = if has_second { LINE } else { 0 };
    let [across, down] = [side + GAP, side + CAPTION + second + GAP];
    let mut canvas = Canvas::new(GAP + columns * across, TITLE + GAP + rows * down, PAPER);
    let width = canvas.width() - 2 * GAP;
    canvas.text(title, [GAP, 10], Font::Title, INK, width);
    for (number, tile) in tiles.iter().enumerate() {
        let left = GAP + number % columns * across;
        let top = TITLE + GAP + number / columns * down;
        canvas.fill([left, top], [side, side], FRAME);
        place(&mut canvas, tile, [left, top], side);
        canvas.fill([left, top + side + 5], [4, 12], colour(tile.mark));
        canvas.text(
            &tile.caption,
            [left + 8, top + side + 4],
            Font::Caption,
            INK,
            side - 8,
        );
        canvas.text(
            &tile.second,
            [left + 8, top + side + 4 + LINE],
            Font::Caption,
            INK,
            side - 8,
        );
        canvas.text(
            &tile.note,
            [left + 8, top + side + 20 + second],
            Font::Note,
            PALE,
            side - 8,
        );
    }
    canvas.into_picture()
}

/// A picture with all that is drawn over it, in the middle of a square.
fn place(canvas: &mut Canvas, tile: &Tile, [left, top]: [usize; 2], side: usize) {
    let (width, height) = (tile.picture.width(), tile.picture.height());
    let scale = side as f64 / width.max(height) as f64;
    let shown = [width, height].map(|side_of| ((side_of as f64 * scale).round() as usize).clamp(1, side));
    let corner = [left + (side - shown[0]) / 2, top + (side - shown[1]) / 2];
    let whole = PixelBox::between([0.0, width as f64], [0.0, height as f64]);
    let mut picture = crate::augment::warp::cropped(&tile.picture, &whole, shown[0], shown[1]);
    tint(&mut picture, tile, scale);
    canvas.paste(&picture, corner);
    let [across, down] = [shown[0] as f64 / width as f64, shown[1] as f64 / height as f64];
    for (pixels, number, word) in &tile.boxes {
        let moved = PixelBox {
            left: pixels.left * across,
            top: pixels.top * down,
            width: pixels.width * across,
            height: pixels.height * down,
        };
        if let Some(seen) = moved.clipped(shown[0], shown[1]) {
            let place = [seen.left, seen.top].map(|at| at.round() as usize);
            let end = [seen.right(), seen.bottom()].map(|at| at.round() as usize);
            let from = [corner[0] + place[0], corner[1] + place[1]];
            let size = [
                end[0].max(place[0] + 2) - place[0],
                end[1].max(place[1] + 2) - place[1],
            ];
            canvas.outline(from, size, colour(*number));
            if !word.is_empty() {
                let room = (corner[0] + shown[0]).saturating_sub(from[0]);
                canvas.tag(word, from, colour(*number), room);
            }
        }
    }
}

/// Colours a picture by its maps: yellow to red by value, blue where nothing but blind cells
/// lie over it. Cells are shown as they are, not smoothed. The tint begins at nothing, so that cells
/// without heat don't look coloured beside those with a trace of it.
fn tint(picture: &mut Picture, tile: &Tile, scale: f64) {
    for row in 0..picture.height() {
        for column in 0..picture.width() {
            let (mut value, mut blind) = (0, false);
            for (map, stride) in tile.maps.iter().filter(|(map, _)| !map.codes().is_empty()) {
                let cell = |at: usize, cells: usize| {
                    let along = (at as f64 + 0.5) / (scale * stride);
                    (along as usize).min(cells - 1)
                };
                match map.code(cell(column, map.width()), cell(row, map.height())) {
                    BLIND => blind = true,
                    code => value = value.max(code),
                }
            }
            let heat = f32::from(value) / f32::from(PEAK);
            let (over, share) = match (value, blind) {
                (0, false) => continue,
                (0, true) => ([40.0, 90.0, 220.0], 0.38),
                _ => ([255.0, 225.0 * (1.0 - heat), 20.0], 0.7 * heat * (2.0 - heat)),
            };
            let was = picture.at(column, row);
            let now = std::array::from_fn(|channel| {
                let was = f32::from(was[channel]);
                (was + (over[channel] - was) * share + 0.5) as u8
            });
            picture.set(column, row, now);
        }
    }
}

/// A picture as a PNG file.
///
/// # Errors
/// Where a side is longer than the format knows, which no picture in memory is.
pub fn png(picture: &Picture) -> Result<Vec<u8>, String> {
    let side = |side: usize| u32::try_from(side).map_err(|error| error.to_string());
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    let (width, height) = (side(picture.width())?, side(picture.height())?);
    let colours = image::ExtendedColorType::Rgb8;
    image::ImageEncoder::write_image(encoder, picture.pixels(), width, height, colours)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}
