//! Likeness of pictures: a 64-bit perceptual hash, and the search for hashes that are near.
//!
//! The hash is the usual DCT hash ("pHash"): the picture's grey values averaged over 32 × 32
//! cells, their cosine transform, and one bit for each of the 63 lowest frequencies besides
//! the mean: whether it is above the median of the 63. Scaling, recompression and a change of
//! brightness move few bits; a flip or a rotation moves many. Integers throughout, so it is
//! the same on every machine. Must not know which pictures are compared, or why.

use std::sync::OnceLock;

/// Cells on a side.
const CELLS: usize = 32;
/// Frequencies on a side.
const LOW: usize = 8;

/// The hash of an RGB8 picture, row-major. Bit 0 (the mean) is always 0. `None` where a side
/// is zero or `pixels` is not `width × height × 3` bytes.
pub fn perceptual_hash(pixels: &[u8], width: usize, height: usize) -> Option<u64> {
    let bytes = width.checked_mul(height)?.checked_mul(3)?;
    if bytes == 0 || pixels.len() != bytes {
        return None;
    }
    let cells = average(pixels, width, height);
    let frequencies = lowest(&cells);
    let mut sorted: Vec<i64> = frequencies[1..].to_vec();
    sorted.sort_unstable();
    let median = sorted[sorted.len() / 2];
    let bits = frequencies.iter().enumerate().skip(1);
    Some(bits.fold(0, |hash, (at, value)| hash | (u64::from(*value > median) << at)))
}

/// In how many bits two hashes differ: 0 to 63. Copies of one picture lie at 0 to about 4.
pub fn distance(a: u64, b: u64) -> u32 {
    (a ^ b).count_ones()
}

/// Grey values averaged over the cells, times 256. A pixel counts in each cell by the area
/// that lies in it.
fn average(pixels: &[u8], width: usize, height: usize) -> Vec<i64> {
    let shares = shares(width);
    let mut cells = vec![0i64; CELLS * CELLS];
    for (y, parts) in self::shares(height).iter().enumerate() {
        let row = &pixels[y * width * 3..(y + 1) * width * 3];
        let mut sums = [0i64; CELLS];
        for (pixel, parts) in row.as_chunks::<3>().0.iter().zip(&shares) {
            let [red, green, blue] = pixel.map(i64::from);
            // Luma of Rec. 601 in 256ths.
            let grey = 77 * red + 150 * green + 29 * blue;
            for (cell, share) in parts.iter() {
                sums[cell] += grey * share;
            }
        }
        for (down, share) in parts.iter() {
            for (cell, sum) in cells[down * CELLS..(down + 1) * CELLS].iter_mut().zip(sums) {
                *cell += sum * share;
            }
        }
    }
    // A cell is `width` by `height` of the units in which shares are counted.
    let area = width as i64 * height as i64;
    cells.iter_mut().for_each(|cell| *cell /= area);
    cells
}

/// The cells that a pixel lies in: the first, and how much of each, in 1/32 of a pixel where
/// the side is a whole number of cells.
struct Parts {
    first: usize,
    shares: Vec<i64>,
}

impl Parts {
    fn iter(&self) -> impl Iterator<Item = (usize, i64)> + '_ {
        self.shares
            .iter()
            .enumerate()
            .map(|(at, share)| (self.first + at, *share))
    }
}

/// For each pixel of a side, the cells it lies in. In units of which a pixel has `CELLS` and a
/// cell has `side`.
fn shares(side: usize) -> Vec<Parts> {
    (0..side)
        .map(|pixel| {
            let (from, to) = (pixel * CELLS, (pixel + 1) * CELLS);
            let (first, last) = (from / side, (to - 1) / side);
            let share = |cell: usize| (to.min((cell + 1) * side) - from.max(cell * side)) as i64;
            Parts {
                first,
                shares: (first..=last).map(share).collect(),
            }
        })
        .collect()
}

/// cos((2 i + 1) k π / 64) in 2^-14, for the lowest frequencies. Rounded, so that a last digit
/// of the machine's cosine doesn't show.
fn cosines() -> &'static [[i64; CELLS]; LOW] {
    static TABLE: OnceLock<[[i64; CELLS]; LOW]> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = [[0; CELLS]; LOW];
        for (k, row) in table.iter_mut().enumerate() {
            for (i, value) in row.iter_mut().enumerate() {
                let angle = ((2 * i + 1) * k) as f64 * std::f64::consts::PI / (2 * CELLS) as f64;
                *value = (angle.cos() * 16384.0).round() as i64;
            }
        }
        table
    })
}

/// The `LOW` × `LOW` lowest frequencies of the cells, row by row.
fn lowest(cells: &[i64]) -> [i64; LOW * LOW] {
    let cosines = cosines();
    let mut across = [[0i64; LOW]; CELLS];
    for (row, sums) in cells.chunks_exact(CELLS).zip(&mut across) {
        for (sum, cosine) in sums.iter_mut().zip(cosines) {
            *sum = row
                .iter()
                .zip(cosine)
                .map(|(cell, cosine)| cell * cosine)
                .sum::<i64>()
                >> 14;
        }
    }
    let mut frequencies = [0; LOW * LOW];
    for (down, cosine) in cosines.iter().enumerate() {
        for k in 0..LOW {
            let sum: i64 = across
                .iter()
                .zip(cosine)
                .map(|(row, cosine)| row[k] * cosine)
                .sum();
            frequencies[down * LOW + k] = sum >> 14;
        }
    }
    frequencies
}

/// Calls `found` for every pair of hashes that differ in at most `most` bits, as
/// `(first, second, bits)` with `first < second` by position; stops when it answers `false`.
///
/// Two hashes that differ in `most` bits agree in one of `most + 1` bands of bits, so only
/// hashes that agree in a band are compared: a million hashes take seconds for `most` up to
/// about 5, and all pairs are compared from about 20 on. The order of calls is fixed: by band,
/// by the band's bits, by position.
pub fn near_pairs(hashes: &[u64], most: u32, mut found: impl FnMut(usize, usize, u32) -> bool) {
    let bands = bands(most.min(63) + 1);
    let mut order: Vec<u32> = (0..hashes.len() as u32).collect();
    for (number, band) in bands.iter().enumerate() {
        order.sort_unstable_by_key(|at| (hashes[*at as usize] & band, *at));
        for run in order.chunk_by(|a, b| (hashes[*a as usize] ^ hashes[*b as usize]) & band == 0) {
            for (at, first) in run.iter().enumerate() {
                for second in &run[at + 1..] {
                    let differs = hashes[*first as usize] ^ hashes[*second as usize];
                    let told_before = || bands[..number].iter().any(|band| differs & band == 0);
                    if differs.count_ones() <= most
                        && !told_before()
                        && !found(*first as usize, *second as usize, differs.count_ones())
                    {
                        return;
                    }
                }
            }
        }
    }
}

/// Masks that share the bits 1 to 63 among them, evenly.
fn bands(count: u32) -> Vec<u64> {
    let border = |band: u32| 1 + 63 * band / count;
    let bits = |from: u32, to: u32| (from..to).fold(0u64, |mask, bit| mask | (1 << bit));
    (0..count)
        .map(|band| bits(border(band), border(band + 1)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Blobs at places that `seed` rules.
    fn picture(seed: u64, width: usize, height: usize) -> Vec<u8> {
        let place = |n: u64| {
            (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(n as u32 * 7) % 1000) as f64 / 1000.0
        };
        let mut pixels = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let (u, v) = (x as f64 / width as f64, y as f64 / height as f64);
                let mut value = 200.0;
                for blob in 0..5 {
                    let (cx, cy, r) = (place(blob), place(blob + 20), 0.05 + place(blob + 40) / 5.0);
                    value -= 120.0 * (-((u - cx).powi(2) + (v - cy).powi(2)) / (r * r)).exp();
                }
                let value = value.clamp(0.0, 255.0) as u8;
                pixels.extend([value, value / 2 + 40, value / 3 + 60]);
            }
        }
        pixels
    }

    #[test]
    fn a_scaled_or_brighter_copy_is_near_and_another_picture_is_far() {
        let of = |seed, width, height| perceptual_hash(&picture(seed, width, height), width, height).unwrap();
        let hash = of(1, 224, 224);
        assert!(distance(hash, of(1, 96, 96)) <= 2);
        assert!(distance(hash, of(1, 301, 150)) <= 4);
        let brighter: Vec<u8> = picture(1, 224, 224)
            .iter()
            .map(|v| v.saturating_add(20))
            .collect();
        assert!(distance(hash, perceptual_hash(&brighter, 224, 224).unwrap()) <= 2);
        for other in 2..30 {
            assert!(distance(hash, of(other, 224, 224)) > 10, "{other}");
        }
    }

    #[test]
    fn a_hash_is_a_fixed_number() {
        let pixels: Vec<u8> = (0..40 * 30 * 3).map(|at| (at * at / 7 % 251) as u8).collect();
        assert_eq!(perceptual_hash(&pixels, 40, 30), Some(4_884_368_598_572_221_398));
    }

    #[test]
    fn sizes_that_do_not_fit_have_no_hash_and_one_pixel_has() {
        assert_eq!(perceptual_hash(&[], 0, 5), None);
        assert_eq!(perceptual_hash(&[1, 2], 1, 1), None);
        assert!(perceptual_hash(&[1, 2, 3], 1, 1).is_some());
    }

    #[test]
    fn bands_share_all_bits() {
        for count in 1..=64 {
            let bands = bands(count);
            assert_eq!(
                bands.iter().map(|band| band.count_ones()).sum::<u32>(),
                63,
                "{count}"
            );
            assert_eq!(bands.iter().fold(0, |all, band| all | band), u64::MAX - 1);
        }
    }

    proptest! {
        #[test]
        fn every_near_pair_is_found_once(
            hashes in prop::collection::vec(any::<u64>().prop_map(|hash| hash & 0x00ff_0f00_0000_3f0e), 0..60),
            most in 0u32..12,
        ) {
            let mut found = BTreeSet::new();
            near_pairs(&hashes, most, |a, b, bits| {
                assert_eq!(bits, distance(hashes[a], hashes[b]));
                assert!(a < b && found.insert((a, b)), "{a} {b} was told twice");
                true
            });
            for a in 0..hashes.len() {
                for b in a + 1..hashes.len() {
                    prop_assert_eq!(distance(hashes[a], hashes[b]) <= most, found.contains(&(a, b)));
                }
            }
        }
    }
}
