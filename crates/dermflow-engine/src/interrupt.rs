//! [`Interrupt`]: the wish to stop, shared by a run, its stages and the signal handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Cloned freely; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Nothing is to stop yet.
    pub fn new() -> Interrupt {
        Interrupt::default()
    }

    /// Asks to stop at the next safe point. True the first time.
    pub fn ask(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }

    /// Whether somebody asked.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
