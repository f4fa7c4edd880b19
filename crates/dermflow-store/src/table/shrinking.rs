//! Whether bytes are worth compressing: photos aren't, heat maps and drawings are.

use arrow::array::{Array, BinaryArray};

/// How many values are looked at, of each how many pieces, of how many bytes.
const VALUES: usize = 16;
const PIECES: usize = 8;
const PIECE: usize = 512;

/// Whether LZ4 takes a third or more off the bytes: less is not worth the time, which is half of
/// what decoding a photo takes. Some pieces of some values are tried, spread
/// over them: a picture may have plain bars above and below. The answer is a function of the values.
pub(crate) fn shrinks(values: &BinaryArray) -> bool {
    let mut tried = Vec::with_capacity(VALUES * PIECES * PIECE);
    for row in spread(values.len(), VALUES).filter(|row| values.is_valid(*row)) {
        let value = values.value(row);
        match value.len() <= PIECES * PIECE {
            true => tried.extend_from_slice(value),
            false => spread(value.len() - PIECE + 1, PIECES)
                .for_each(|start| tried.extend_from_slice(&value[start..start + PIECE])),
        }
    }
    let packed = lz4_flex::block::compress(&tried).len();
    packed <= tried.len() - tried.len() / 3
}

/// At most `most` of the numbers below `all`, evenly spread, each in the middle of its share.
fn spread(all: usize, most: usize) -> impl Iterator<Item = usize> {
    let taken = all.min(most);
    (0..taken).map(move |at| (2 * at + 1) * all / (2 * taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes without any repetition worth naming.
    fn noise(seed: u32, bytes: usize) -> Vec<u8> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..bytes).map(next).collect()
    }

    fn of(values: &[Vec<u8>]) -> bool {
        shrinks(&BinaryArray::from_iter_values(values))
    }

    #[test]
    fn noise_does_not_shrink_and_plain_colour_does() {
        assert!(!of(&[1, 2, 3].map(|seed| noise(seed, 50_000))));
        assert!(!of(&[noise(4, 100)]));
        assert!(of(&vec![vec![7; 50_000]; 3]));
    }

    #[test]
    fn bars_above_and_below_a_photo_count() {
        // Two by one on a square.
        let boxed = [vec![0; 12_000], noise(1, 24_000), vec![0; 12_000]].concat();
        assert!(of(&[boxed]));
    }

    #[test]
    fn no_bytes_at_all_are_no_trouble() {
        of(&[]);
        of(&[Vec::new()]);
        let missing = BinaryArray::from_opt_vec(vec![None, None]);
        shrinks(&missing);
    }

    #[test]
    fn what_is_tried_is_spread_and_within() {
        assert_eq!(spread(3, 16).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(spread(100, 4).collect::<Vec<_>>(), [12, 37, 62, 87]);
        assert_eq!(spread(0, 4).count(), 0);
    }
}
