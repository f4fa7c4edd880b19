//! What a training gives.

use super::history::HistoryRow;
use super::state::Snapshot;

/// What a training gives.
pub struct Trained {
    /// The weights after the last step.
    pub last: Snapshot,
    /// Their moving average, if there is one.
    pub average: Option<Snapshot>,
    /// The weights that scored best: of the average, if there is one.
    pub best: Best,
    /// One row an epoch.
    pub history: Vec<HistoryRow>,
    /// Seconds that each epoch took. Apart from the history, since no two runs agree on them.
    pub seconds: Vec<f64>,
    /// Why it ended.
    pub ending: Ending,
}

/// The weights that scored best.
pub struct Best {
    /// The weights.
    pub weights: Snapshot,
    /// After which epoch, counted from 1.
    pub epoch: u64,
    /// What they scored; not a number where nothing was measured.
    pub score: f64,
}

/// Why a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All epochs are done.
    Complete,
    /// The score no longer got better.
    StoppedEarly,
}
