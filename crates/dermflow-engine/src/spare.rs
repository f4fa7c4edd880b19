//! [`Spare`]: threads of a run that have nothing to do, for stages that can use one for a moment.
//!
//! A map's partitions are of uneven sizes, and the last ones would leave threads idle. Who uses a
//! spare thread asks anew before every piece of work, so it is given back as soon as a task comes.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many threads are idle, and how many calls would use them.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    idle: AtomicUsize,
    sharing: AtomicUsize,
}

impl Spare {
    /// So many have nothing to do now.
    pub fn set_idle(&self, threads: usize) {
        self.idle.store(threads, Ordering::Relaxed);
    }

    /// One more has nothing to do, for good.
    pub fn add_idle(&self) {
        self.idle.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one more call among those that share, until what is returned is dropped.
    pub fn join(&self) -> Sharing<'_> {
        self.sharing.fetch_add(1, Ordering::Relaxed);
        Sharing(self)
    }
}

/// A call's share.
#[derive(Debug)]
pub(crate) struct Sharing<'a>(&'a Spare);

impl Sharing<'_> {
    /// How many spare threads are this call's at the moment.
    pub fn threads(&self) -> usize {
        self.0.idle.load(Ordering::Relaxed) / self.0.sharing.load(Ordering::Relaxed).max(1)
    }
}

impl Drop for Sharing<'_> {
    fn drop(&mut self) {
        self.0.sharing.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_share_what_is_idle_and_the_last_has_it_all() {
        let spare = Spare::default();
        let first = spare.join();
        assert_eq!(first.threads(), 0);
        spare.set_idle(3);
        assert_eq!(first.threads(), 3);
        let second = spare.join();
        assert_eq!((first.threads(), second.threads()), (1, 1));
        drop(first);
        spare.add_idle();
        assert_eq!(second.threads(), 4);
    }
}
