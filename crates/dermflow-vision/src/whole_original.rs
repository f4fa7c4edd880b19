//! The whole original as far as a stored picture shows it: bars cut off, shape given back, and
//! grey where it was cropped away. For people who look at pictures and mark places in them: a
//! fraction of what comes out is the same fraction of the original.
//!
//! Must not know who looks, or why.

use crate::picture::Picture;
use crate::placement::{PixelSize, Placement};

/// What is shown where nothing is known.
const GREY: [u8; 3] = [128; 3];
/// The longest side that is made, so that a placement of nonsense takes no memory.
const LONGEST: f64 = 16_384.0;

/// The original, of size `original`, from the `stored` picture that shows it at `placement`, at about
/// the stored scale. Between stored pixels it is interpolated linearly.
///
/// # Errors
/// In words, where the sizes don't fit together.
pub fn whole_original(
    stored: &[u8],
    size: PixelSize,
    placement: &Placement,
    original: PixelSize,
) -> Result<Picture, String> {
    if stored.len() as u64 != size.pixels() * 3 {
        return Err(format!(
            "{} bytes of pixels are not {}x{}x3",
            stored.len(),
            size.width,
            size.height
        ));
    }
    let sides = [placement.left, placement.top, placement.width, placement.height];
    if !sides.iter().all(|side| side.is_finite()) || placement.width <= 0.0 || placement.height <= 0.0 {
        return Err("the original's place in the stored picture is no rectangle".to_string());
    }
    let shown = out_size(size, placement, original)?;
    let across = Taps::new(shown.width, placement.left, placement.width, size.width);
    let down = Taps::new(shown.height, placement.top, placement.height, size.height);
    let mut pixels = Vec::with_capacity(shown.pixels() as usize * 3);
    for row in &down.0 {
        for column in &across.0 {
            pixels.extend(match (row, column) {
                (Some(row), Some(column)) => blend(stored, size.width as usize, row, column),
                _ => GREY,
            });
        }
    }
    Picture::of_pixels(shown.width as usize, shown.height as usize, pixels)
        .ok_or_else(|| "it would be empty".to_string())
}

/// The size at which the stored pixels keep their number along the better kept side.
fn out_size(size: PixelSize, placement: &Placement, original: PixelSize) -> Result<PixelSize, String> {
    let (width, height) = (f64::from(original.width), f64::from(original.height));
    let across = f64::from(size.width) * placement.width / width;
    let down = f64::from(size.height) * placement.height / height;
    // Rounding of a letterbox makes the two differ by less than a pixel: then both are kept.
    let covered = [across * width, down * height].map(f64::round);
    let same = (across * height - down * height).abs() <= 1.0 || (across * width - down * width).abs() <= 1.0;
    let [w, h] = match same {
        true => covered,
        false => [across.max(down) * width, across.max(down) * height].map(f64::round),
    };
    if w > LONGEST || h > LONGEST {
        return Err(format!("the whole original would have {w}x{h} pixels"));
    }
    PixelSize::new(w.max(1.0) as u32, h.max(1.0) as u32).ok_or_else(|| "it would be empty".to_string())
}

/// For each pixel of a side, between which two stored ones it lies and how far; none outside.
struct Taps(Vec<Option<(usize, usize, f64)>>);

impl Taps {
    fn new(shown: u32, start: f64, length: f64, stored: u32) -> Taps {
        let last = stored as usize - 1;
        let tap = |pixel: u32| {
            let at = (start + (f64::from(pixel) + 0.5) / f64::from(shown) * length) * f64::from(stored);
            // A hair outside is inside: fractions are rounded.
            if !(-1e-6..=f64::from(stored) + 1e-6).contains(&at) {
                return None;
            }
            let centre = (at - 0.5).clamp(0.0, last as f64);
            let first = centre.floor() as usize;
            let part = centre - first as f64;
            // What is meant to fall on a pixel falls on it.
            let part = match (1e-6..=1.0 - 1e-6).contains(&part) {
                true => part,
                false => part.round(),
            };
            Some((first, (first + 1).min(last), part))
        };
        Taps((0..shown).map(tap).collect())
    }
}

fn blend(stored: &[u8], width: usize, row: &(usize, usize, f64), column: &(usize, usize, f64)) -> [u8; 3] {
    let value = |y: usize, x: usize, channel: usize| f64::from(stored[(y * width + x) * 3 + channel]);
    std::array::from_fn(|channel| {
        let along = |y: usize| {
            let (first, second) = (value(y, column.0, channel), value(y, column.1, channel));
            first + (second - first) * column.2
        };
        let (upper, lower) = (along(row.0), along(row.1));
        (upper + (lower - upper) * row.2).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::placement::{Fit, Rectangle, ResizeMode};

    fn size(width: u32, height: u32) -> PixelSize {
        PixelSize::new(width, height).unwrap()
    }

    fn numbered(size: PixelSize) -> Vec<u8> {
        (0..size.pixels() * 3).map(|at| (at * 37 % 256) as u8).collect()
    }

    #[test]
    fn a_letterboxed_picture_loses_its_bars_and_nothing_else() {
        let (original, stored) = (size(1022, 767), size(64, 64));
        let fit = Fit::new(original, stored, ResizeMode::Letterbox);
        let pixels = numbered(stored);
        let shown = whole_original(&pixels, stored, &fit.placement(original, stored), original).unwrap();
        assert_eq!((shown.width(), shown.height()), (64, fit.filled.height as usize));
        let rows = fit.top as usize * 64 * 3..(fit.top + fit.filled.height) as usize * 64 * 3;
        assert_eq!(shown.pixels(), &pixels[rows]);
    }

    #[test]
    fn a_stretched_picture_gets_its_shape_back_and_a_cropped_one_grey_for_what_is_gone() {
        let (original, stored) = (size(200, 100), size(50, 50));
        let pixels = vec![9; 50 * 50 * 3];
        let stretched = Placement::new(original, stored, ResizeMode::Stretch);
        let shown = whole_original(&pixels, stored, &stretched, original).unwrap();
        assert_eq!((shown.width(), shown.height()), (100, 50));
        assert!(shown.pixels().iter().all(|value| *value == 9));
        let cropped = Placement::new(original, stored, ResizeMode::Crop);
        let shown = whole_original(&pixels, stored, &cropped, original).unwrap();
        assert_eq!((shown.width(), shown.height()), (100, 50));
        let row: Vec<u8> = shown.pixels()[..300].chunks(3).map(|pixel| pixel[0]).collect();
        assert_eq!(row.iter().filter(|value| **value == 9).count(), 50);
        assert!(row[..25].iter().chain(&row[75..]).all(|value| *value == 128));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let whole = Placement::WHOLE;
        assert!(whole_original(&[0; 5], size(1, 1), &whole, size(1, 1)).is_err());
        let nonsense = Placement {
            width: f64::NAN,
            ..whole
        };
        assert!(whole_original(&[0; 3], size(1, 1), &nonsense, size(1, 1)).is_err());
        let huge = Placement { width: 1e9, ..whole };
        assert!(
            whole_original(&[0; 3], size(1, 1), &huge, size(1, 1))
                .unwrap_err()
                .contains("would have")
        );
    }

    proptest! {
        #[test]
        fn a_mark_in_the_original_is_at_the_same_fraction(
            ow in 20u32..400, oh in 20u32..400, side in 24u32..80, which in 0usize..2,
        ) {
            let (original, stored) = (size(ow, oh), size(side, side));
            let mode = [ResizeMode::Letterbox, ResizeMode::Stretch][which];
            let placement = Placement::new(original, stored, mode);
            // The left half of the original is white.
            let left = placement.stored(Rectangle { x: 0.0, y: 0.0, w: 0.5, h: 1.0 });
            let border = (left.x + left.w) * f64::from(side);
            let white = |x: u32| if f64::from(x) + 0.5 < border { 255 } else { 0 };
            let pixels: Vec<u8> = (0..side * side).flat_map(|at| [white(at % side); 3]).collect();
            let shown = whole_original(&pixels, stored, &placement, original).unwrap();
            let row = &shown.pixels()[..shown.width() * 3];
            let found = row.chunks(3).filter(|pixel| pixel[0] > 127).count() as f64;
            let wanted = (shown.width() as f64) / 2.0;
            // A stored pixel may be several shown ones.
            let scale = (shown.width() as f64) / (f64::from(side) * placement.width);
            prop_assert!((found - wanted).abs() <= scale.max(1.0), "{found} of {wanted}");
            let aspect = (shown.width() as f64) * f64::from(oh) / f64::from(ow);
            let other = (shown.height() as f64) * f64::from(ow) / f64::from(oh);
            let close = (aspect - (shown.height() as f64)).abs() <= 1.0
                || (other - (shown.width() as f64)).abs() <= 1.0;
            prop_assert!(close, "{}x{} of {ow}x{oh}", shown.width(), shown.height());
        }
    }
}
