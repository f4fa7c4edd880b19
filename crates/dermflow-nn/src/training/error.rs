//! Why a training ended without a result.

use std::fmt;

/// Why a training ended without a result, or didn't begin.
#[derive(Clone, Debug, PartialEq)]
pub enum TrainingError {
    /// The settings, or what they are applied to, don't fit.
    Settings(String),
    /// A loss or gradient was infinite or not a number.
    NonFinite {
        /// What it was: `the loss`, `the gradient`.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The epoch, counted from 0.
        epoch: u64,
        /// The batches of the epoch that the step took.
        batches: std::ops::Range<usize>,
        /// Their samples, as the source of batches numbers them.
        samples: Vec<usize>,
    },
    /// A batch could not be made.
    Batch {
        /// The epoch, counted from 0.
        epoch: u64,
        /// Which batch of it.
        index: usize,
        /// Why.
        message: String,
    },
    /// The objective failed.
    Objective(String),
    /// A checkpoint could not be read or written.
    Checkpoint(String),
    /// The checkpoint that is there belongs to another configuration.
    ForeignCheckpoint(String),
    /// The training was interrupted; a checkpoint holds everything up to here.
    Cancelled,
    /// The time budget ran out; a checkpoint holds everything up to here.
    OutOfTime {
        /// How many epochs are complete.
        epochs_done: u64,
    },
}

impl fmt::Display for TrainingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrainingError::Settings(message)
            | TrainingError::Objective(message)
            | TrainingError::Checkpoint(message)
            | TrainingError::ForeignCheckpoint(message) => f.write_str(message),
            TrainingError::NonFinite {
                what,
                value,
                epoch,
                batches,
                samples,
            } => {
                let shown = samples
                    .iter()
                    .take(16)
                    .map(usize::to_string)
                    .collect::<Vec<_>>()
                    .join(", ");
                let more = samples.len().saturating_sub(16);
                write!(f, "{what} is {value} in epoch {}, batch ", epoch + 1)?;
                match batches.len() {
                    1 => write!(f, "{}", batches.start)?,
                    _ => write!(f, "{} to {}", batches.start, batches.end.saturating_sub(1))?,
                }
                write!(f, ", of samples {shown}")?;
                if more > 0 {
                    write!(f, " and {more} more")?;
                }
                f.write_str("; try a smaller learning rate, a longer warm-up, or `clip`")
            }
            TrainingError::Batch {
                epoch,
                index,
                message,
            } => write!(f, "epoch {}, batch {index}: {message}", epoch + 1),
            TrainingError::Cancelled => f.write_str("interrupted; the checkpoint is kept"),
            TrainingError::OutOfTime { epochs_done } => write!(
                f,
                "the time budget ran out after {epochs_done} whole epochs; the checkpoint is kept: raise the \
                 budget to go on from here"
            ),
        }
    }
}

impl std::error::Error for TrainingError {}
