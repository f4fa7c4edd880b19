//! [`Pool`]: memory for activations that is used again from step to step.
//!
//! A fresh large allocation costs a page fault for every 4 KiB, which takes longer than many
//! kernels need for the same memory. So buffers go back to their pool when dropped. This module
//! must not know what is stored.
#![allow(unsafe_code)]

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// A cache line of numbers; gives buffers their alignment.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Buffers that wait to be used again.
#[derive(Default)]
pub(crate) struct Pool {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Sorted by length.
    free: Vec<Vec<Line>>,
    /// Lines of all buffers, free or in use.
    owned: usize,
    /// The most lines that were owned at once.
    most_owned: usize,
    /// The most lines that were in use at once.
    most: usize,
    used: usize,
}

impl State {
    /// Gives up free buffers, the longest that are too short first, until there is room for
    /// `wanted` lines in place of them: a backward pass asks for longer and longer buffers, and
    /// would else hold all the short ones as well.
    fn release(&mut self, wanted: usize) {
        let mut room = 0;
        while room < wanted {
            let at = self.free.partition_point(|lines| lines.len() < wanted);
            let Some(index) = at.checked_sub(1) else {
                break;
            };
            let lines = self.free.remove(index).len();
            self.owned -= lines;
            room += lines;
        }
    }
}

/// Numbers in memory of a [`Pool`], at a multiple of 64 bytes.
pub(crate) struct Buffer {
    lines: Vec<Line>,
    len: usize,
    pool: Arc<Pool>,
}

impl Pool {
    /// A buffer of `len` numbers **of unspecified value**: whoever takes it must write it all.
    pub(crate) fn take(self: &Arc<Pool>, len: usize) -> Buffer {
        let wanted = len.div_ceil(16).max(1);
        let found = {
            let mut state = self.lock();
            let at = state.free.partition_point(|lines| lines.len() < wanted);
            // A buffer far longer than needed is left for who needs it.
            let fits = state
                .free
                .get(at)
                .is_some_and(|lines| lines.len() <= wanted + wanted / 2 + 64);
            let found = fits.then(|| state.free.remove(at));
            let got = found.as_ref().map_or(wanted, Vec::len);
            if found.is_none() {
                state.release(wanted);
                state.owned += got;
                state.most_owned = state.most_owned.max(state.owned);
            }
            state.used += got;
            state.most = state.most.max(state.used);
            found
        };
        let lines = found.unwrap_or_else(|| vec![Line([0.0; 16]); wanted]);
        Buffer {
            lines,
            len,
            pool: self.clone(),
        }
    }

    /// A buffer of zeros.
    pub(crate) fn zeros(self: &Arc<Pool>, len: usize) -> Buffer {
        let mut buffer = self.take(len);
        buffer.fill(0.0);
        buffer
    }

    /// A buffer with a copy of these numbers.
    pub(crate) fn copy(self: &Arc<Pool>, values: &[f32]) -> Buffer {
        let mut buffer = self.take(values.len());
        buffer.copy_from_slice(values);
        buffer
    }

    /// Gives the memory of all free buffers back to the system.
    pub(crate) fn trim(&self) {
        let mut state = self.lock();
        let freed: usize = state.free.iter().map(Vec::len).sum();
        state.owned -= freed;
        state.free.clear();
    }

    /// The most bytes held at once, free and in use: what the system has had to give.
    pub(crate) fn most_bytes(&self) -> usize {
        self.lock().most_owned * size_of::<Line>()
    }

    /// Bytes held, free and in use; and the most bytes in use at once.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let state = self.lock();
        (state.owned * size_of::<Line>(), state.most * size_of::<Line>())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // The state is whole between any two statements that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        let mut state = self.pool.lock();
        state.used -= lines.len();
        let at = state.free.partition_point(|other| other.len() < lines.len());
        state.free.insert(at, lines);
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: a line is sixteen floats without padding, and `len` floats lie within them.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_used_again_for_a_similar_length() {
        let pool = Arc::new(Pool::default());
        let first = pool.take(1000);
        let place = first.as_ptr();
        assert_eq!(place as usize % 64, 0);
        drop(first);
        let again = pool.take(990);
        assert_eq!((again.as_ptr(), again.len()), (place, 990));
        let other = pool.take(990);
        assert_ne!(other.as_ptr(), place);
        drop((again, other));
        assert_eq!(pool.bytes(), (125 * 64, 125 * 64));
        pool.trim();
        assert_eq!(pool.bytes().0, 0);
    }

    #[test]
    fn short_free_buffers_make_room_for_a_long_one() {
        let pool = Arc::new(Pool::default());
        drop((pool.take(1600), pool.take(800), pool.take(160)));
        let long = pool.take(2000);
        assert_eq!(long.len(), 2000);
        assert_eq!(pool.bytes().0, (2000 + 160) * 4);
        assert_eq!(pool.most_bytes(), (1600 + 800 + 160) * 4);
    }

    #[test]
    fn a_short_request_does_not_take_a_long_buffer() {
        let pool = Arc::new(Pool::default());
        drop(pool.take(1 << 20));
        let short = pool.take(16);
        assert_eq!(short.len(), 16);
        assert!(pool.bytes().0 > (1 << 22));
    }
}
