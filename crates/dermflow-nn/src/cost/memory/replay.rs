//! [`Replay`]: a pool of memory in which nothing is stored. Must not know of networks.

/// Numbers in a line of the pool; all lengths are counted in lines.
const LINE: u64 = 16;

/// A pool that keeps what is given back, as `kernels::buffer` does, without memory.
pub(super) struct Replay {
    /// Lengths of free buffers, sorted.
    free: Vec<u64>,
    owned: u64,
    /// The most lines that were owned at once: short buffers that are given up for a long one
    /// lower what is owned, so its end is not its peak.
    most: u64,
    threads: usize,
    /// What the threads hold in [`Replay::pieces`], kept so that no step allocates.
    of_threads: Vec<Held>,
}

/// A buffer in use.
#[derive(Clone, Copy)]
pub(super) struct Held(u64);

impl Replay {
    pub(super) fn new(threads: u32) -> Replay {
        Replay {
            free: Vec::new(),
            owned: 0,
            most: 0,
            threads: threads.max(1) as usize,
            of_threads: Vec::new(),
        }
    }

    /// A buffer of so many numbers: a free one that is not far too long, or a new one.
    pub(super) fn take(&mut self, numbers: u64) -> Held {
        let wanted = numbers.div_ceil(LINE).max(1);
        let at = self.free.partition_point(|&lines| lines < wanted);
        let most = wanted.saturating_add(wanted / 2 + 64);
        match self.free.get(at) {
            Some(&lines) if lines <= most => {
                self.free.remove(at);
                Held(lines)
            }
            _ => {
                self.release(wanted);
                self.owned = self.owned.saturating_add(wanted);
                self.most = self.most.max(self.owned);
                Held(wanted)
            }
        }
    }

    /// Gives up free buffers, the longest that are too short first, until there is room for
    /// `wanted` lines in place of them.
    fn release(&mut self, wanted: u64) {
        let mut room: u64 = 0;
        while room < wanted {
            let at = self.free.partition_point(|&lines| lines < wanted);
            let Some(index) = at.checked_sub(1) else {
                break;
            };
            let lines = self.free.remove(index);
            self.owned = self.owned.saturating_sub(lines);
            room = room.saturating_add(lines);
        }
    }

    pub(super) fn give(&mut self, held: Held) {
        let at = self.free.partition_point(|&lines| lines < held.0);
        self.free.insert(at, held.0);
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
        self.most.saturating_mul(LINE * 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_of_what_is_owned_is_told_and_not_its_end() {
        let mut replay = Replay::new(1);
        let held = [replay.take(1600), replay.take(1600), replay.take(1600)];
        replay.give_all(held);
        assert_eq!(replay.most_bytes(), 3 * 1600 * 4);
        // Three short buffers of 100 lines make room for one of 250: 250 are owned, 300 were.
        let long = replay.take(4000);
        replay.give(long);
        assert_eq!(replay.most_bytes(), 3 * 1600 * 4);
        // What grows beyond it is told.
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
}
