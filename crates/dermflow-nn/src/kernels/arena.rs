//! [`Arena`]: which parts of a few large chunks are in use.
//!
//! A part that is given back joins the free ones beside it, and a later request is cut from the
//! smallest free part that holds it. A chunk is used from its start on: what lies behind the last
//! part ever used has never been touched, and a system gives no memory for it. So chunks may be far
//! larger than what is asked for. Must not know the memory itself: the cost model goes through
//! the same motions without any.

/// Lines of the smallest chunk: 64 MiB, of which only what is touched is there.
const LEAST: usize = 1 << 20;

/// Lines of the largest chunk that is not asked for whole: 1 GiB.
const MOST: usize = 1 << 24;

/// Some chunks, counted in lines.
#[derive(Default)]
pub(crate) struct Arena {
    chunks: Vec<Chunk>,
    /// The most lines that were touched at once.
    most: usize,
}

#[derive(Default)]
struct Chunk {
    len: usize,
    /// Lines from the start on that have been in use.
    touched: usize,
    /// Parts below `touched` that are not in use: start and length, in order, none beside another.
    free: Vec<(usize, usize)>,
}

/// A part in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) chunk: usize,
    /// Lines from the chunk's start to the part.
    pub(crate) start: usize,
    pub(crate) len: usize,
}

impl Arena {
    /// A part of `len` lines, and the length of its chunk if that is a new one (which may take the
    /// place of one that was given up).
    pub(crate) fn take(&mut self, len: usize) -> (Part, Option<usize>) {
        if let Some(part) = self.fitting(len).or_else(|| self.grown(len)) {
            return (part, None);
        }
        let all: usize = self.chunks.iter().map(|chunk| chunk.len).sum();
        let own = len.max(all.clamp(LEAST, MOST));
        let given_up = self.chunks.iter().position(|chunk| chunk.len == 0);
        let chunk = given_up.unwrap_or(self.chunks.len());
        if chunk == self.chunks.len() {
            self.chunks.push(Chunk::default());
        }
        self.chunks[chunk] = Chunk {
            len: own,
            touched: len,
            free: Vec::new(),
        };
        self.count();
        let part = Part { chunk, start: 0, len };
        (part, Some(own))
    }

    /// From the smallest free part that holds so many lines.
    fn fitting(&mut self, len: usize) -> Option<Part> {
        let chunks = self.chunks.iter().enumerate();
        let free = chunks.flat_map(|(chunk, of)| {
            let parts = of.free.iter().enumerate();
            parts.map(move |(at, &(_, own))| (own, chunk, at))
        });
        let (own, chunk, at) = free.filter(|&(own, ..)| own >= len).min()?;
        let free = &mut self.chunks[chunk].free;
        let start = free[at].0;
        if own == len {
            free.remove(at);
        } else {
            free[at] = (start + len, own - len);
        }
        Some(Part { chunk, start, len })
    }

    /// From behind what a chunk has in use, of which more is touched then.
    fn grown(&mut self, len: usize) -> Option<Part> {
        for (index, chunk) in self.chunks.iter_mut().enumerate() {
            // What is free at the end of the touched lines is used first.
            let last = chunk.free.last().copied();
            let last = last.filter(|(start, own)| start + own == chunk.touched);
            let start = last.map_or(chunk.touched, |(start, _)| start);
            if chunk.len - start >= len {
                if last.is_some() {
                    chunk.free.pop();
                }
                chunk.touched = start + len;
                self.count();
                return Some(Part {
                    chunk: index,
                    start,
                    len,
                });
            }
        }
        None
    }

    fn count(&mut self) {
        self.most = self.most.max(self.touched());
    }

    /// Takes a part back that [`Arena::take`] has given.
    pub(crate) fn give(&mut self, part: Part) {
        let free = &mut self.chunks[part.chunk].free;
        let at = free.partition_point(|&(start, _)| start < part.start);
        let (mut start, mut end) = (part.start, part.start + part.len);
        let after = free.get(at).copied().filter(|&(start, _)| start == end);
        if let Some((_, len)) = after {
            end += len;
            free.remove(at);
        }
        let before = at.checked_sub(1).map(|at| free[at]);
        let before = before.filter(|&(first, len)| first + len == start);
        let mut at = at;
        if let Some((first, _)) = before {
            start = first;
            at -= 1;
            free.remove(at);
        }
        free.insert(at, (start, end - start));
    }

    /// Gives up the chunks of which nothing is in use, and tells which.
    pub(crate) fn trim(&mut self) -> Vec<usize> {
        let mut given_up = Vec::new();
        for (index, chunk) in self.chunks.iter_mut().enumerate() {
            let unused: usize = chunk.free.iter().map(|(_, len)| len).sum();
            if chunk.len > 0 && unused == chunk.touched {
                *chunk = Chunk::default();
                given_up.push(index);
            }
        }
        given_up
    }

    /// Lines that have been in use and that no chunk was given up with.
    pub(crate) fn touched(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.touched).sum()
    }

    /// The most lines that were touched at once.
    pub(crate) fn most(&self) -> usize {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_part_given_back_is_cut_up_and_joined_again() {
        let mut arena = Arena::default();
        let (first, new) = arena.take(100);
        assert_eq!(new, Some(LEAST));
        let (second, new) = arena.take(50);
        assert_eq!((second.start, new), (100, None));
        arena.give(first);
        // The smallest that fits, from its start on.
        let (third, _) = arena.take(30);
        let (fourth, _) = arena.take(70);
        assert_eq!((third.start, fourth.start, arena.touched()), (0, 30, 150));
        arena.give(fourth);
        arena.give(third);
        arena.give(second);
        // All of it is one part again, and grows by what is missing.
        let (all, _) = arena.take(200);
        assert_eq!((all.start, arena.touched(), arena.most()), (0, 200, 200));
        assert!(arena.trim().is_empty());
        arena.give(all);
        assert_eq!((arena.trim(), arena.touched(), arena.most()), (vec![0], 0, 200));
        // A chunk takes the place of the one that was given up.
        let (large, new) = arena.take(2 * LEAST);
        assert_eq!((large.chunk, new), (0, Some(2 * LEAST)));
        let (next, new) = arena.take(1);
        assert_eq!((next.chunk, new), (1, Some(2 * LEAST)));
    }

    proptest! {
        #[test]
        fn parts_in_use_never_overlap(steps in prop::collection::vec((1usize..LEAST / 3, 0usize..8), 1..80)) {
            let mut arena = Arena::default();
            let mut held: Vec<Part> = Vec::new();
            let mut lens = Vec::new();
            for (len, drop) in steps {
                let (part, new) = arena.take(len);
                if let Some(new) = new {
                    prop_assert_eq!(part.chunk, lens.len());
                    lens.push(new);
                }
                prop_assert!(part.start + part.len <= lens[part.chunk]);
                for other in held.iter().filter(|other| other.chunk == part.chunk) {
                    prop_assert!(part.start + part.len <= other.start || other.start + other.len <= part.start);
                }
                held.push(part);
                if drop < held.len() {
                    arena.give(held.swap_remove(drop));
                }
            }
            let used: usize = held.iter().map(|part| part.len).sum();
            prop_assert!(used <= arena.touched() && arena.touched() <= arena.most());
            for part in held {
                arena.give(part);
            }
            prop_assert_eq!(arena.trim().len(), lens.len());
        }
    }
}
