//! Holes in pictures, closed smoothly from what lies around them: every scale of the picture is
//! averaged over what is known (pull), then what is unknown is taken from the next coarser one
//! (push; Gortler et al. 1996, "The Lumigraph"). Fast, seamless at the rim, and without texture.
//!
//! Must not know what the holes are.

use crate::augment::MEAN_COLOUR;
use crate::picture::Picture;

/// One scale.
struct Level {
    width: usize,
    height: usize,
    /// Red, green, blue; zero where nothing is known.
    colours: Vec<[f32; 3]>,
    /// How much of the cell is known, 0 to 1.
    known: Vec<f32>,
}

/// The picture with its `hole` (one value a pixel, row by row) closed; other pixels stay as they
/// are. A picture that is all hole becomes ImageNet's mean colour. Values that `hole` lacks count
/// as known.
///
/// ```
/// use dermflow_vision::inpaint::closed;
/// use dermflow_vision::picture::Picture;
/// let mut skin = Picture::filled(9, 9, [200, 150, 120]);
/// skin.set(4, 4, [30, 10, 10]);
/// let hole: Vec<bool> = (0..81).map(|pixel| pixel == 40).collect();
/// assert_eq!(closed(&skin, &hole), Picture::filled(9, 9, [200, 150, 120]));
/// ```
pub fn closed(picture: &Picture, hole: &[bool]) -> Picture {
    if !hole.iter().any(|hole| *hole) {
        return picture.clone();
    }
    let mut levels = vec![finest(picture, hole)];
    while let Some(last) = levels.last()
        && last.known.iter().any(|known| *known < 1.0)
        && last.known.len() > 1
    {
        levels.push(coarser(last));
    }
    // What not even the coarsest scale knows.
    if let Some(last) = levels.last_mut() {
        for (colour, known) in last.colours.iter_mut().zip(&last.known) {
            if *known == 0.0 {
                *colour = MEAN_COLOUR.map(f32::from);
            }
        }
    }
    while levels.len() > 1
        && let Some(coarse) = levels.pop()
        && let Some(fine) = levels.last_mut()
    {
        push(&coarse, fine);
    }
    let mut result = picture.clone();
    let pixels = result.pixels_mut().chunks_exact_mut(3);
    for ((pixel, colour), hole) in pixels.zip(&levels[0].colours).zip(hole) {
        if *hole {
            for (value, found) in pixel.iter_mut().zip(colour) {
                *value = (found + 0.5).clamp(0.0, 255.0) as u8;
            }
        }
    }
    result
}

fn finest(picture: &Picture, hole: &[bool]) -> Level {
    let of = |(at, pixel): (usize, &[u8])| match hole.get(at) {
        Some(true) => ([0.0; 3], 0.0),
        _ => ([pixel[0], pixel[1], pixel[2]].map(f32::from), 1.0),
    };
    let (colours, known) = picture.pixels().chunks_exact(3).enumerate().map(of).unzip();
    Level {
        width: picture.width(),
        height: picture.height(),
        colours,
        known,
    }
}

/// Two by two cells become one: the mean of what is known, known as far as that covers it.
fn coarser(fine: &Level) -> Level {
    let (width, height) = (fine.width.div_ceil(2), fine.height.div_ceil(2));
    let mut coarse = Level {
        width,
        height,
        colours: Vec::with_capacity(width * height),
        known: Vec::with_capacity(width * height),
    };
    for row in 0..height {
        for column in 0..width {
            let (mut sum, mut weight) = ([0.0_f32; 3], 0.0_f32);
            for y in (2 * row)..(2 * row + 2).min(fine.height) {
                for x in (2 * column)..(2 * column + 2).min(fine.width) {
                    let at = y * fine.width + x;
                    weight += fine.known[at];
                    for (sum, value) in sum.iter_mut().zip(fine.colours[at]) {
                        *sum += fine.known[at] * value;
                    }
                }
            }
            coarse.colours.push(match weight > 0.0 {
                true => sum.map(|sum| sum / weight),
                false => [0.0; 3],
            });
            // One known pixel is enough to be sure of the cell's colour.
            coarse.known.push(weight.min(1.0));
        }
    }
    coarse
}

/// Takes what a finer scale doesn't know from a coarser one, between the middles of its cells.
fn push(coarse: &Level, fine: &mut Level) {
    for row in 0..fine.height {
        for column in 0..fine.width {
            let at = row * fine.width + column;
            let known = fine.known[at];
            if known >= 1.0 {
                continue;
            }
            let from = between(coarse, column, row);
            for (own, from) in fine.colours[at].iter_mut().zip(from) {
                *own = known * *own + (1.0 - known) * from;
            }
        }
    }
}

/// A coarser scale's colour at the middle of a finer cell.
fn between(coarse: &Level, column: usize, row: usize) -> [f32; 3] {
    let along = |cell: usize, cells: usize| {
        let at = ((cell as f32 + 0.5) / 2.0 - 0.5).clamp(0.0, (cells - 1) as f32);
        let first = at as usize;
        (first, (first + 1).min(cells - 1), at - first as f32)
    };
    let (left, right, across) = along(column, coarse.width);
    let (above, below, down) = along(row, coarse.height);
    let colour = |x: usize, y: usize| coarse.colours[y * coarse.width + x];
    std::array::from_fn(|channel| {
        let upper = colour(left, above)[channel] * (1.0 - across) + colour(right, above)[channel] * across;
        let lower = colour(left, below)[channel] * (1.0 - across) + colour(right, below)[channel] * across;
        upper * (1.0 - down) + lower * down
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A slope of red from left to right, of green from top to bottom.
    fn slope(width: usize, height: usize) -> Picture {
        let mut picture = Picture::filled(width, height, [0, 0, 90]);
        for row in 0..height {
            for column in 0..width {
                picture.set(column, row, [60 + 2 * column as u8, 40 + 3 * row as u8, 90]);
            }
        }
        picture
    }

    #[test]
    fn a_hole_in_a_slope_is_filled_about_as_the_slope_goes_on() {
        let picture = slope(40, 36);
        let inside = |at: usize| (12..26).contains(&(at % 40)) && (10..24).contains(&(at / 40));
        let hole: Vec<bool> = (0..40 * 36).map(inside).collect();
        let mut spoilt = picture.clone();
        for at in (0..hole.len()).filter(|at| hole[*at]) {
            spoilt.set(at % 40, at / 40, [0, 0, 0]);
        }
        let filled = closed(&spoilt, &hole);
        for (at, is_hole) in hole.iter().enumerate() {
            let (found, wanted) = (filled.at(at % 40, at / 40), picture.at(at % 40, at / 40));
            match is_hole {
                false => assert_eq!(found, wanted),
                true => {
                    let off = found
                        .iter()
                        .zip(wanted)
                        .map(|(a, b)| a.abs_diff(b))
                        .max()
                        .unwrap();
                    assert!(off <= 16, "{at}: {found:?} for {wanted:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_to_go_by_gives_the_mean_colour() {
        let all = vec![true; 12];
        assert_eq!(
            closed(&Picture::filled(4, 3, [9; 3]), &all),
            Picture::filled(4, 3, MEAN_COLOUR)
        );
    }

    proptest! {
        #[test]
        fn what_is_filled_lies_between_what_is_known_and_the_rest_stays(
            (width, height) in (1..20_usize, 1..20_usize),
            seed in 0..1000_usize,
        ) {
            let pixels: Vec<u8> = (0..width * height * 3).map(|at| ((at + 1) * (seed + 7) * 31 % 251) as u8).collect();
            let picture = Picture::of_pixels(width, height, pixels).unwrap();
            let hole: Vec<bool> = (0..width * height).map(|at| (at * 13 + seed) % 3 != 0).collect();
            let known: Vec<[u8; 3]> = (0..hole.len()).filter(|at| !hole[*at]).map(|at| picture.at(at % width, at / width)).collect();
            let filled = closed(&picture, &hole);
            for (at, hole) in hole.iter().enumerate() {
                let found = filled.at(at % width, at / width);
                if !hole {
                    prop_assert_eq!(found, picture.at(at % width, at / width));
                } else if !known.is_empty() {
                    for channel in 0..3 {
                        let of = |colour: &[u8; 3]| colour[channel];
                        let (low, high) = (known.iter().map(of).min().unwrap(), known.iter().map(of).max().unwrap());
                        prop_assert!((low..=high).contains(&found[channel]), "{found:?} at {at}");
                    }
                }
            }
        }
    }
}
