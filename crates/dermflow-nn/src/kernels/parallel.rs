//! Pieces of work on the caller's rayon pool, and the parts of slices that they write.
//!
//! Results never depend on the number of threads. Must not know the work.

use std::ops::Range;

use rayon::prelude::*;

/// Runs `work` with every part and its place, on the threads of the current rayon pool.
pub(crate) fn for_each<P: Send>(parts: Vec<P>, work: impl Fn(usize, P) + Sync + Send) {
    if parts.len() < 2 {
        let all = parts.into_iter().enumerate();
        all.for_each(|(piece, part)| work(piece, part));
    } else {
        let all = parts.into_par_iter().enumerate().with_max_len(1);
        all.for_each(|(piece, part)| work(piece, part));
    }
}

/// The `piece`-th of `pieces` nearly equal parts of `0..whole`.
pub(crate) fn share(whole: usize, pieces: usize, piece: usize) -> Range<usize> {
    let cut = |piece: usize| (whole as u128 * piece as u128 / pieces as u128) as usize;
    cut(piece)..cut(piece + 1)
}

/// Adjacent parts of these lengths.
///
/// # Panics
/// If the slice is shorter than they are together.
pub(crate) fn cut<T>(slice: &mut [T], lengths: impl IntoIterator<Item = usize>) -> Vec<&mut [T]> {
    let mut left = slice;
    let parts = lengths.into_iter().map(|length| {
        let (part, rest) = std::mem::take(&mut left).split_at_mut(length);
        left = rest;
        part
    });
    parts.collect()
}

/// As many equally long parts.
pub(crate) fn equal<T>(slice: &mut [T], pieces: usize) -> Vec<&mut [T]> {
    let length = slice.len() / pieces.max(1);
    cut(slice, std::iter::repeat_n(length, pieces))
}

/// The parts that belong to the shares of `whole` units, `unit` numbers each.
pub(crate) fn shares<T>(slice: &mut [T], whole: usize, pieces: usize, unit: usize) -> Vec<&mut [T]> {
    cut(
        slice,
        (0..pieces).map(|piece| share(whole, pieces, piece).len() * unit),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_the_whole_in_order() {
        for whole in [0, 1, 7, 16, 1000] {
            for pieces in 1..9 {
                let mut at = 0;
                for piece in 0..pieces {
                    let range = share(whole, pieces, piece);
                    assert_eq!(range.start, at);
                    assert!(range.len() <= whole.div_ceil(pieces));
                    at = range.end;
                }
                assert_eq!(at, whole);
            }
        }
    }

    #[test]
    fn every_piece_writes_its_part() {
        let mut out = vec![0usize; 100];
        for_each(equal(&mut out, 10), |piece, part| part.fill(piece + 1));
        for (at, value) in out.iter().enumerate() {
            assert_eq!(*value, at / 10 + 1);
        }
        let mut out = vec![usize::MAX; 14];
        for_each(shares(&mut out, 7, 3, 2), |piece, part| part.fill(piece));
        assert_eq!(out, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn nothing_is_cut_into_nothing() {
        let mut nothing: [u8; 0] = [];
        assert_eq!(equal(&mut nothing, 3).len(), 3);
        assert!(cut(&mut nothing, []).is_empty());
    }
}
