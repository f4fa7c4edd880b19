//! Changes of colour and sharpness in place; nothing moves.
//!
//! Must not know what is drawn at random. Strengths are factors as Pillow's `ImageEnhance` has
//! them: 1 changes nothing, 0 takes the quality away, above 1 exaggerates it.

use crate::picture::Picture;

/// The brightness that an eye sees: ITU-R 601 luma, in 1/65536.
pub fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let sum = u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471;
    ((sum + 0x8000) >> 16) as u8
}

fn blended(from: f32, to: f32, factor: f32) -> u8 {
    (from + (to - from) * factor + 0.5).clamp(0.0, 255.0) as u8
}

/// Each channel through its own table.
pub fn through(picture: &mut Picture, tables: &[[u8; 256]; 3]) {
    for pixel in picture.pixels_mut().chunks_exact_mut(3) {
        for (value, table) in pixel.iter_mut().zip(tables) {
            *value = table[usize::from(*value)];
        }
    }
}

fn table(of: impl Fn(u8) -> u8) -> [u8; 256] {
    std::array::from_fn(|value| of(value as u8))
}

/// Every channel through one function.
pub fn pointwise(picture: &mut Picture, of: impl Fn(u8) -> u8) {
    through(picture, &[table(of); 3]);
}

/// Blends with black.
pub fn brightness(picture: &mut Picture, factor: f64) {
    pointwise(picture, |value| blended(0.0, f32::from(value), factor as f32));
}

/// Blends with the grey of the picture's mean luma.
pub fn contrast(picture: &mut Picture, factor: f64) {
    let pixels = picture.pixels().chunks_exact(3);
    let sum: u64 = pixels
        .map(|pixel| u64::from(luma([pixel[0], pixel[1], pixel[2]])))
        .sum();
    let count = (picture.width() * picture.height()) as f64;
    let mean = (sum as f64 / count + 0.5).floor() as f32;
    pointwise(picture, |value| blended(mean, f32::from(value), factor as f32));
}

/// Blends with the picture's own greys.
pub fn saturation(picture: &mut Picture, factor: f64) {
    for pixel in picture.pixels_mut().chunks_exact_mut(3) {
        let grey = f32::from(luma([pixel[0], pixel[1], pixel[2]]));
        for value in pixel {
            *value = blended(grey, f32::from(*value), factor as f32);
        }
    }
}

/// Turns the hue by a share of the whole circle.
pub fn hue(picture: &mut Picture, turn: f64) {
    if turn == 0.0 {
        return;
    }
    for pixel in picture.pixels_mut().chunks_exact_mut(3) {
        let turned = turned_hue([pixel[0], pixel[1], pixel[2]], turn as f32);
        pixel.copy_from_slice(&turned);
    }
}

/// Hue, saturation and value, the hue turned, and back.
fn turned_hue(pixel: [u8; 3], turn: f32) -> [u8; 3] {
    let [red, green, blue] = pixel.map(f32::from);
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    let chroma = most - least;
    if chroma == 0.0 {
        return pixel;
    }
    let sector = if most == red {
        (green - blue) / chroma
    } else if most == green {
        2.0 + (blue - red) / chroma
    } else {
        4.0 + (red - green) / chroma
    };
    let hue = (sector + turn * 6.0).rem_euclid(6.0);
    // Each channel is a trapezium over the circle of six sectors.
    [5.0, 3.0, 1.0].map(|shift: f32| {
        let along = (shift + hue) % 6.0;
        let dip = along.min(4.0 - along).clamp(0.0, 1.0);
        (most - chroma * dip + 0.5) as u8
    })
}

/// Stretches each channel to the full range.
pub fn auto_contrast(picture: &mut Picture) {
    let tables = histograms(picture).map(|counts| {
        let used = || (0..256).filter(|value| counts[*value] > 0);
        match (used().next(), used().next_back()) {
            (Some(low), Some(high)) if low < high => table(|value| {
                let along = (f64::from(value) - low as f64) * 255.0 / (high - low) as f64;
                along.clamp(0.0, 255.0) as u8
            }),
            _ => table(|value| value),
        }
    });
    through(picture, &tables);
}

/// Spreads the values of each channel evenly over the range.
pub fn equalize(picture: &mut Picture) {
    let tables = histograms(picture).map(|counts| {
        let used = counts.iter().filter(|count| **count > 0).count();
        let last = counts
            .iter()
            .rev()
            .find(|count| **count > 0)
            .copied()
            .unwrap_or(0);
        let step = (counts.iter().sum::<usize>() - last) / 255;
        if used <= 1 || step == 0 {
            return table(|value| value);
        }
        let mut before = step / 2;
        std::array::from_fn(|value| {
            let level = (before / step).min(255) as u8;
            before += counts[value];
            level
        })
    });
    through(picture, &tables);
}

fn histograms(picture: &Picture) -> [[usize; 256]; 3] {
    let mut counts = [[0; 256]; 3];
    for pixel in picture.pixels().chunks_exact(3) {
        for (value, counts) in pixel.iter().zip(&mut counts) {
            counts[usize::from(*value)] += 1;
        }
    }
    counts
}

/// Blends with the picture smoothed over 3 × 3 pixels (weight 5 in the middle, 1 around);
/// border pixels stay.
pub fn sharpness(picture: &mut Picture, factor: f64) {
    let before = picture.clone();
    for row in 1..before.height().saturating_sub(1) {
        for column in 1..before.width().saturating_sub(1) {
            let here = before.at(column, row);
            let mut sum = here.map(|value| u32::from(value) * 4);
            for y in row - 1..=row + 1 {
                for x in column - 1..=column + 1 {
                    for (sum, value) in sum.iter_mut().zip(before.at(x, y)) {
                        *sum += u32::from(value);
                    }
                }
            }
            let sharpened = std::array::from_fn(|channel| {
                let smooth = ((sum[channel] + 6) / 13) as f32;
                blended(smooth, f32::from(here[channel]), factor as f32)
            });
            picture.set(column, row, sharpened);
        }
    }
}

/// Gaussian blur of this standard deviation in pixels; borders repeat their pixels.
pub fn blur(picture: &mut Picture, sigma: f64) {
    let radius = (sigma * 3.0).ceil() as usize;
    if sigma <= 0.0 || radius == 0 {
        return;
    }
    let mut kernel: Vec<f32> = (0..=radius)
        .map(|away| (-((away * away) as f64) / (2.0 * sigma * sigma)).exp() as f32)
        .collect();
    let sum = kernel[0] + 2.0 * kernel[1..].iter().sum::<f32>();
    kernel.iter_mut().for_each(|weight| *weight /= sum);
    let (width, height) = (picture.width(), picture.height());
    let across = smoothed(picture.pixels(), &kernel, [height, width], [width * 3, 3]);
    let down = smoothed(&across, &kernel, [width, height], [3, width * 3]);
    picture.pixels_mut().copy_from_slice(&down);
}

/// Each of `lines` lines of `length` pixels smoothed along itself; `steps` lead from line to
/// line and from pixel to pixel.
fn smoothed(
    values: &[u8],
    kernel: &[f32],
    [lines, length]: [usize; 2],
    [next_line, next]: [usize; 2],
) -> Vec<u8> {
    let mut result = vec![0; values.len()];
    for line in 0..lines {
        for at in 0..length {
            for channel in 0..3 {
                let value = |at: usize| f32::from(values[line * next_line + at * next + channel]);
                let mut sum = kernel[0] * value(at);
                for (away, weight) in kernel.iter().enumerate().skip(1) {
                    sum += weight * (value(at.saturating_sub(away)) + value((at + away).min(length - 1)));
                }
                result[line * next_line + at * next + channel] = (sum + 0.5) as u8;
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pictures() -> impl Strategy<Value = Picture> {
        (1..12_usize, 1..12_usize).prop_flat_map(|(width, height)| {
            proptest::collection::vec(any::<u8>(), width * height * 3)
                .prop_map(move |pixels| Picture::of_pixels(width, height, pixels).unwrap())
        })
    }

    proptest! {
        #[test]
        fn a_factor_of_one_changes_nothing(picture in pictures()) {
            for change in [brightness, contrast, saturation, sharpness] {
                let mut changed = picture.clone();
                change(&mut changed, 1.0);
                prop_assert_eq!(&changed, &picture);
            }
            let mut changed = picture.clone();
            hue(&mut changed, 0.0);
            blur(&mut changed, 0.0);
            prop_assert_eq!(&changed, &picture);
        }

        #[test]
        fn a_whole_turn_of_hue_comes_back_and_keeps_lightest_and_darkest(picture in pictures(), turn in -1.0..1.0) {
            let mut changed = picture.clone();
            hue(&mut changed, turn);
            for (was, is) in picture.pixels().chunks(3).zip(changed.pixels().chunks(3)) {
                prop_assert_eq!(was.iter().max(), is.iter().max());
                prop_assert!(was.iter().min().unwrap().abs_diff(*is.iter().min().unwrap()) <= 1);
            }
            let mut round = picture.clone();
            hue(&mut round, 1.0);
            let furthest = round.pixels().iter().zip(picture.pixels()).map(|(a, b)| a.abs_diff(*b)).max();
            prop_assert!(furthest.unwrap() <= 1);
        }
    }

    #[test]
    fn a_third_of_a_turn_makes_red_green() {
        let mut picture = Picture::filled(1, 1, [200, 40, 40]);
        hue(&mut picture, 1.0 / 3.0);
        assert_eq!(picture.at(0, 0), [40, 200, 40]);
    }

    #[test]
    fn a_factor_of_zero_takes_the_quality_away() {
        let mut picture = Picture::of_pixels(2, 1, vec![255, 0, 0, 0, 0, 255]).unwrap();
        let change = |change: fn(&mut Picture, f64)| {
            let mut changed = picture.clone();
            change(&mut changed, 0.0);
            changed.into_pixels()
        };
        assert_eq!(change(brightness), [0; 6]);
        // Luma 76 and 29, mean 52.5, rounded half up.
        assert_eq!(change(contrast), [53; 6]);
        assert_eq!(change(saturation), [76, 76, 76, 29, 29, 29]);
        auto_contrast(&mut picture);
        assert_eq!(picture.pixels(), [255, 0, 0, 0, 0, 255]);
    }

    #[test]
    fn contrast_is_stretched_and_levels_are_spread() {
        let ramp: Vec<u8> = (0..64).flat_map(|at| [100 + at / 2, 50, 200]).collect();
        let picture = Picture::of_pixels(8, 8, ramp).unwrap();
        let mut stretched = picture.clone();
        auto_contrast(&mut stretched);
        assert_eq!((stretched.at(0, 0)[0], stretched.at(7, 7)[0]), (0, 255));
        assert_eq!(stretched.at(3, 3)[1..], [50, 200], "a flat channel stays");
        let bands: Vec<u8> = (0..1024).flat_map(|at| [(at / 512) as u8 + 7; 3]).collect();
        let mut spread = Picture::of_pixels(32, 32, bands).unwrap();
        equalize(&mut spread);
        // The first half ends before level 0.5 step, the second at 255 steps.
        assert_eq!((spread.at(0, 0)[0], spread.at(31, 31)[0]), (0, 255));
    }

    #[test]
    fn blur_keeps_the_mean_and_spreads_by_sigma() {
        let mut picture = Picture::filled(41, 41, [0; 3]);
        picture.set(20, 20, [255, 255, 0]);
        for x in 18..=22 {
            for y in 18..=22 {
                picture.set(x, y, [255, 255, 0]);
            }
        }
        blur(&mut picture, 2.0);
        let mass: Vec<f64> = (0..41)
            .map(|x| (0..41).map(|y| f64::from(picture.at(x, y)[0])).sum())
            .collect();
        let total: f64 = mass.iter().sum();
        assert!((total / (25.0 * 255.0) - 1.0).abs() < 0.02, "{total}");
        let variance: f64 = mass
            .iter()
            .enumerate()
            .map(|(x, m)| m * (x as f64 - 20.0).powi(2))
            .sum::<f64>()
            / total;
        // 2² of the blur and 2 of five even pixels.
        assert!((variance - 6.0).abs() < 0.3, "{variance}");
        assert!(picture.pixels().chunks(3).all(|pixel| pixel[2] == 0));
    }
}
