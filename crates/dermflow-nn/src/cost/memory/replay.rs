//! [`Replay`]: a pool of memory in which nothing is stored. Must not know of networks.

use crate::kernels::arena::{Arena, Part};

/// Numbers in a line of the pool; all lengths are counted in lines.
const LINE: u64 = 16;

/// A pool that keeps what is given back, as `kernels::buffer` does, without memory.
pub(super) struct Replay {
    arena: Arena,
    threads: usize,
    /// What the threads hold in [`Replay::pieces`], kept so that no step allocates.
    of_threads: Vec<Held>,
}

/// A buffer in use.
#[derive(Clone, Copy)]
pub(super) struct Held(Part);

impl Replay {
    pub(super) fn new(threads: u32) -> Replay {
        Replay {
            arena: Arena::default(),
            threads: threads.max(1) as usize,
            of_threads: Vec::new(),
        }
    }

    /// A buffer of so many numbers.
    pub(super) fn take(&mut self, numbers: u64) -> Held {
        // Beyond this, sums of lengths would not be numbers any longer; no machine has as much.
        let lines = numbers.div_ceil(LINE).clamp(1, 1 << 48);
        let lines = usize::try_from(lines).unwrap_or(usize::MAX >> 8);
        Held(self.arena.take(lines).0)
    }

    pub(super) fn give(&mut self, held: Held) {
        self.arena.give(held.0);
    }

    pub(super) fn give_all(&mut self, held: impl IntoIterator<Item = Held>) {
        held.into_iter().for_each(|held| self.give(held));
    }

    /// What each thread takes for the pieces that it works on, of which there are `pieces`.
    pub(super) fn pieces(&mut self, pieces: u64, lengths: &[u64]) {
        let threads = self.threads.min(usize::try_from(pieces).unwrap_or(usize::MAX));
        let mut held = std::mem::take(&mut self.of_threads);
        for _ in 0..threads {
            held.extend(lengths.iter().map(|&numbers| self.take(numbers)));
        }
        self.give_all(held.drain(..));
        self.of_threads = held;
    }

    /// The most bytes that the pool has owned at once.
    pub(super) fn most_bytes(&self) -> u64 {
        (self.arena.most() as u64).saturating_mul(LINE * 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_used_again() {
        let mut replay = Replay::new(1);
        let held = [replay.take(1600), replay.take(1600), replay.take(1600)];
        replay.give_all(held);
        let long = replay.take(4000);
        replay.give(long);
        assert_eq!(replay.most_bytes(), 3 * 1600 * 4);
        replay.take(4000);
        replay.take(4000);
        assert_eq!(replay.most_bytes(), 2 * 4000 * 4);
    }

    #[test]
    fn pieces_are_given_back_and_used_again() {
        let mut replay = Replay::new(3);
        replay.pieces(2, &[1600, 800]);
        replay.pieces(100, &[1600, 800]);
        assert_eq!(replay.most_bytes(), 3 * 2400 * 4);
    }

    #[test]
    fn no_length_is_too_much() {
        let mut replay = Replay::new(1);
        replay.pieces(1, &[u64::MAX, u64::MAX, 1]);
        assert!(replay.most_bytes() >= 1 << 54);
    }
}
