//! [`Replay`]: a pool of memory in which nothing is stored. Must not know of networks.

/// Numbers in a line of the pool; all lengths are counted in lines.
const LINE: u64 = 16;

/// A pool that keeps what is given back, as `kernels::buffer` does, without memory.
pub(super) struct Replay {
    /// Lengths of free buffers, sorted.
    free: Vec<u64>,
    owned: u64,
    threads: usize,
}

/// A buffer in use.
#[derive(Clone, Copy)]
pub(super) struct Held(u64);

impl Replay {
    pub(super) fn new(threads: u32) -> Replay {
        Replay {
            free: Vec::new(),
            owned: 0,
            threads: threads.max(1) as usize,
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
        let mut held = Vec::with_capacity(threads * lengths.len());
        for _ in 0..threads {
            held.extend(lengths.iter().map(|&numbers| self.take(numbers)));
        }
        self.give_all(held);
    }

    /// Bytes that the pool has come to own.
    pub(super) fn bytes(&self) -> u64 {
        self.owned.saturating_mul(LINE * 4)
    }
}
