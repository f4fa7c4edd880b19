//! Pieces of work on the caller's rayon pool, and parts of a slice that they write.
//!
//! How work is cut into pieces never depends on the number of threads. Must not know the work.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

/// Runs `work` for every piece from 0, on the threads of the current rayon pool.
pub(crate) fn for_each(pieces: usize, work: impl Fn(usize) + Sync + Send) {
    if pieces == 1 {
        work(0);
    } else {
        (0..pieces).into_par_iter().with_max_len(1).for_each(work);
    }
}

/// The `piece`-th of `pieces` nearly equal parts of `0..whole`.
pub(crate) fn share(whole: usize, pieces: usize, piece: usize) -> Range<usize> {
    let cut = |piece: usize| (whole as u128 * piece as u128 / pieces as u128) as usize;
    cut(piece)..cut(piece + 1)
}

/// A slice of which several pieces of work write different parts.
pub(crate) struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it hands out what a `&mut [T]` could be split into, which may be sent.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    /// Parts of this slice.
    pub(crate) fn new(slice: &'a mut [T]) -> Disjoint<'a, T> {
        Disjoint {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            slice: PhantomData,
        }
    }

    /// One part, to write.
    ///
    /// # Safety
    /// While the result lives, no other part that overlaps it may be asked for.
    ///
    /// # Panics
    /// If the range is not within the slice.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: within the slice, by the assertion; unique, as the caller vouches.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
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
        let parts = Disjoint::new(&mut out);
        for_each(10, |piece| {
            // SAFETY: the parts of different pieces do not overlap.
            let part = unsafe { parts.part(piece * 10..(piece + 1) * 10) };
            part.fill(piece + 1);
        });
        for (at, value) in out.iter().enumerate() {
            assert_eq!(*value, at / 10 + 1);
        }
    }
}
