//! One training loop for everything that is trained.
//!
//! What is learned is an [`Objective`], what it is learned from a source of [`Batches`]; the
//! loop adds the rest: batches made ahead on other threads, accumulation, clipping, the
//! optimiser, the moving average, history, the best weights, early stopping, and checkpoints
//! from which a killed training goes on **to the same bytes**. It must not know of images,
//! labels, networks or tables.
//!
//! Everything random is drawn from the seed and the position, so that a position is the whole
//! random state. No clock enters the result: how long an epoch took is told apart from the
//! history, and a time budget that runs out leaves a checkpoint and no result.

mod checkpoint;
mod control;
mod error;
mod exact;
mod history;
mod objective;
mod prefetch;
mod run;
mod selection;
mod settings;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod trained;

pub use control::{BATCHES_HELD, Control, Event, PREFETCH_AHEAD, PREFETCH_THREADS, Start};
pub use error::TrainingError;
pub use history::HistoryRow;
pub use objective::{Batches, Better, Evaluation, Objective, ObjectiveError, Outcome, Score, StepContext};
pub use run::train;
pub use settings::{EarlyStopping, TrainingSettings};
pub use state::Snapshot;
pub use trained::{Best, Ending, Trained};
