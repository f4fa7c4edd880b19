//! [`Pool`]: memory for activations that is used again from step to step.
//!
//! A fresh large allocation costs a page fault for every 4 KiB, which takes longer than many
//! kernels need for the same memory. So buffers go back to their pool when dropped, to be cut up
//! and joined as an [`Arena`] says. This module must not know what is stored.
#![allow(unsafe_code)]

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use super::arena::{Arena, Part};

/// Numbers of a line: those of a cache line, at which every buffer begins.
const LINE: usize = 16;

/// Memory that waits to be used again.
#[derive(Default)]
pub(crate) struct Pool {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    arena: Arena,
    /// Of every chunk of the arena; empty where it was given up.
    memory: Vec<Option<Memory>>,
    /// The most lines that were in use at once.
    most: usize,
    used: usize,
}

/// A chunk's memory, which buffers point into.
struct Memory {
    whole: NonNull<[f32]>,
    /// The first number at a multiple of 64 bytes.
    first: NonNull<f32>,
}

// SAFETY: the memory is owned, and read and written only through buffers, each of which has a part of
// its own.
unsafe impl Send for Memory {}

impl Memory {
    /// Zeros, for which a system gives no memory before they are written.
    fn new(lines: usize) -> Memory {
        let whole = vec![0.0f32; (lines + 1) * LINE].into_boxed_slice();
        let whole = NonNull::from(Box::leak(whole));
        let first = whole.cast::<f32>();
        let past = first.as_ptr() as usize / size_of::<f32>() % LINE;
        // SAFETY: there is a line more than asked for, and less than a line is left out.
        let first = unsafe { first.add((LINE - past) % LINE) };
        Memory { whole, first }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: made from a box in `new`; no buffer points into it: it is dropped when its chunk
        // has nothing in use, or with its pool, which every buffer keeps alive.
        drop(unsafe { Box::from_raw(self.whole.as_ptr()) });
    }
}

/// Numbers in memory of a [`Pool`], at a multiple of 64 bytes.
pub(crate) struct Buffer {
    first: NonNull<f32>,
    len: usize,
    part: Part,
    pool: Arc<Pool>,
}

// SAFETY: a buffer is the only one with its part of the memory, as a box would be.
unsafe impl Send for Buffer {}
// SAFETY: as above; shared, it is only read.
unsafe impl Sync for Buffer {}

impl Pool {
    /// A buffer of `len` numbers **of unspecified value**: whoever takes it must write it all.
    pub(crate) fn take(self: &Arc<Pool>, len: usize) -> Buffer {
        let mut state = self.lock();
        let (part, new) = state.arena.take(len.div_ceil(LINE).max(1));
        if let Some(lines) = new {
            if state.memory.len() <= part.chunk {
                state.memory.resize_with(part.chunk + 1, || None);
            }
            state.memory[part.chunk] = Some(Memory::new(lines));
        }
        state.used += part.len;
        state.most = state.most.max(state.used);
        let memory = state.memory[part.chunk].as_ref();
        let chunk = memory.map_or(NonNull::dangling(), |memory| memory.first);
        // SAFETY: the part lies within its chunk, whose memory is there: it was made with the
        // chunk and is given up with it.
        let first = unsafe { chunk.add(part.start * LINE) };
        Buffer {
            first,
            len,
            part,
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

    /// Gives the memory of chunks of which nothing is in use back to the system.
    pub(crate) fn trim(&self) {
        let mut state = self.lock();
        for chunk in state.arena.trim() {
            state.memory[chunk] = None;
        }
    }

    /// The most bytes held at once, free and in use: what the system has had to give.
    pub(crate) fn most_bytes(&self) -> usize {
        self.lock().arena.most() * LINE * size_of::<f32>()
    }

    /// Bytes held, free and in use; and the most bytes in use at once.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let state = self.lock();
        [state.arena.touched(), state.most]
            .map(|lines| lines * LINE * size_of::<f32>())
            .into()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // The state is whole between any two statements that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.used -= self.part.len;
        state.arena.give(self.part);
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: `len` numbers lie within the buffer's part, which no other buffer has; they were
        // zeros from the start, and the pool keeps the memory alive.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.first.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_used_again_whole_or_in_parts() {
        let pool = Arc::new(Pool::default());
        let mut first = pool.take(1000);
        let place = first.as_ptr();
        assert_eq!(place as usize % 64, 0);
        first.fill(1.0);
        drop(first);
        let again = pool.take(990);
        assert_eq!((again.as_ptr(), again.len()), (place, 990));
        let mut other = pool.take(990);
        assert_ne!(other.as_ptr(), place);
        other.fill(2.0);
        assert!(again.iter().all(|number| *number == 1.0));
        drop((again, other));
        // The line that was left of the first is part of the other.
        assert_eq!(pool.bytes(), (2 * 62 * 64, 2 * 62 * 64));
        // A short one is cut from what is free.
        let short = pool.take(16);
        assert_eq!(short.as_ptr(), place);
        pool.trim();
        assert_eq!(pool.bytes().0, 2 * 62 * 64);
        drop(short);
        pool.trim();
        assert_eq!(pool.bytes().0, 0);
        assert_eq!(pool.most_bytes(), 2 * 62 * 64);
        assert!(pool.take(70).iter().all(|number| *number == 0.0));
    }

    #[test]
    fn threads_have_buffers_of_their_own() {
        let pool = Arc::new(Pool::default());
        std::thread::scope(|scope| {
            for own in 0..4 {
                let pool = &pool;
                scope.spawn(move || {
                    for round in 1..200 {
                        let mut buffers = [round * 7, round * 131 % 977, 5].map(|len| pool.take(len));
                        for buffer in &mut buffers {
                            buffer.fill(own as f32);
                        }
                        std::thread::yield_now();
                        let all = buffers.iter().flat_map(|buffer| buffer.iter());
                        assert!(all.into_iter().all(|number| *number == own as f32));
                    }
                });
            }
        });
        pool.trim();
        assert_eq!(pool.bytes().0, 0);
    }
}
