//! What the loop starts from, what it may do besides training, and what it tells.

use std::path::Path;
use std::time::Duration;

use super::history::HistoryRow;
use super::state::Snapshot;
use crate::optimiser::Rates;

/// What a training starts from.
pub struct Start {
    /// Weights and running statistics.
    pub weights: Snapshot,
    /// How fast each part of them learns.
    pub rates: Rates,
    /// What everything random is drawn from.
    pub seed: u64,
}

/// The most threads that make batches ahead of a training: one makes a batch in a fraction of a step's
/// time, and each holds memory.
pub const PREFETCH_THREADS: usize = 3;

/// How many finished batches each of them holds beside the one that it makes.
pub const PREFETCH_AHEAD: usize = 1;

/// The most batches that are in memory at once with these: those made ahead or in the making, and the
/// one that is learned from.
pub const BATCHES_HELD: usize = PREFETCH_THREADS * (PREFETCH_AHEAD + 1) + 1;

/// What a training may do besides training; nothing here changes its result.
pub struct Control<'a> {
    /// A folder for checkpoints of this training alone; without it nothing is saved.
    pub checkpoints: Option<&'a Path>,
    /// What decides the result besides what the loop is given: a digest of the data, the
    /// network and the objective. A checkpoint of another one is refused.
    pub identity: &'a str,
    /// Whether the training shall be interrupted; asked between steps.
    pub cancelled: Box<dyn Fn() -> bool + 'a>,
    /// Is told what happens.
    pub events: Box<dyn FnMut(Event<'_>) + 'a>,
    /// The most time to spend, restarts included; then a checkpoint is written and the
    /// training ends with [`TrainingError::OutOfTime`].
    pub time_budget: Option<Duration>,
    /// After how much time a checkpoint is written within an epoch.
    pub checkpoint_every: Duration,
    /// How many threads make batches.
    pub prefetch_threads: usize,
    /// How many finished batches each of them holds.
    pub prefetch_ahead: usize,
}

impl Default for Control<'_> {
    fn default() -> Self {
        Control {
            checkpoints: None,
            identity: "",
            cancelled: Box::new(|| false),
            events: Box::new(|_| {}),
            time_budget: None,
            checkpoint_every: Duration::from_secs(600),
            prefetch_threads: 1,
            prefetch_ahead: PREFETCH_AHEAD,
        }
    }
}

/// What happens during a training.
#[derive(Debug)]
pub enum Event<'a> {
    /// A checkpoint was taken up: the epoch (from 0) and the batch that come next.
    Resumed {
        /// The epoch, counted from 0.
        epoch: u64,
        /// The next batch of it.
        index: usize,
    },
    /// A damaged checkpoint was set aside; the training starts anew, to the same result.
    Damaged {
        /// What was wrong with it.
        reason: &'a str,
    },
    /// The weights were changed.
    Step {
        /// The epoch, counted from 0.
        epoch: u64,
        /// How many epochs there will be at most.
        epochs: u64,
        /// How many batches of the epoch are done.
        done: usize,
        /// How many batches the epoch has.
        batches: usize,
        /// The mean loss of the step's batches.
        loss: f64,
        /// The step's learning rate.
        learning_rate: f64,
    },
    /// An epoch is over and evaluated.
    Epoch {
        /// What it left in the history.
        row: &'a HistoryRow,
        /// How long it took, evaluation included.
        seconds: f64,
        /// Whether it is the best so far.
        best: bool,
    },
}
