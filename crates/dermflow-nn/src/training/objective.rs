//! What the loop is given: something to learn and something to learn from.

use std::fmt;

use dfdx::shapes::Rank0;
use dfdx::tensor::{Cpu, Tensor};

use crate::parameters::{Parameters, TrainingTape};

/// What is learned: a loss on dfdx's tape and, between epochs, scores.
pub trait Objective {
    /// What a step learns from.
    type Batch;

    /// The names of [`Outcome::figures`], in order.
    fn figures(&self) -> Vec<String> {
        Vec::new()
    }

    /// The loss of a batch, recorded on `tape`. `statistics` (batch norms' running means and
    /// variances, say) may be changed; whatever is random is drawn from `context.seed`.
    ///
    /// # Errors
    /// In words for the person who can act.
    fn loss(
        &self,
        batch: Self::Batch,
        parameters: &Parameters,
        statistics: &mut [f32],
        context: &StepContext,
        tape: TrainingTape,
    ) -> Result<Outcome, ObjectiveError>;

    /// What [`Objective::evaluate`] measures, in order.
    fn scores(&self) -> Vec<Score> {
        Vec::new()
    }

    /// Measures weights after an epoch: the averaged ones, if there is an average. Scores that
    /// have no value are not a number, and never count as the best.
    ///
    /// # Errors
    /// [`ObjectiveError::Cancelled`] where `evaluation.cancelled` became true; the epoch is then
    /// evaluated again when the training goes on.
    fn evaluate(
        &self,
        _parameters: &Parameters,
        _statistics: &[f32],
        _evaluation: &Evaluation<'_>,
    ) -> Result<Vec<f64>, ObjectiveError> {
        Ok(Vec::new())
    }
}

/// A batch's loss.
pub struct Outcome {
    /// The number to make smaller, with the tape.
    pub loss: Tensor<Rank0, f32, Cpu, TrainingTape>,
    /// How many samples the batch has: what it counts in the epoch's mean.
    pub samples: usize,
    /// Parts of the loss and the like, to be averaged into the history.
    pub figures: Vec<f64>,
}

/// A score's name and which way is better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    /// What it is called in the history.
    pub name: String,
    /// Which way is better.
    pub better: Better,
}

/// Which way a score is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Larger is better: accuracies.
    Higher,
    /// Smaller is better: losses.
    Lower,
}

/// Where in the training a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepContext {
    /// The epoch, counted from 0.
    pub epoch: u64,
    /// How many epochs there will be, unless the training stops early.
    pub epochs: u64,
    /// Which batch of the epoch.
    pub index: usize,
    /// How many times the weights were changed before.
    pub step: u64,
    /// Where everything random in this batch's loss is drawn from.
    pub seed: u64,
}

/// What an evaluation may look at besides the weights.
pub struct Evaluation<'a> {
    /// The epoch that is over, counted from 0.
    pub epoch: u64,
    /// Whether the training was interrupted.
    pub cancelled: &'a dyn Fn() -> bool,
}

/// Why an objective gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectiveError {
    /// The training was interrupted.
    Cancelled,
    /// In words for the person who can act.
    Failed(String),
}

impl fmt::Display for ObjectiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectiveError::Cancelled => f.write_str("interrupted"),
            ObjectiveError::Failed(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ObjectiveError {}

impl From<crate::loss::LossError> for ObjectiveError {
    fn from(error: crate::loss::LossError) -> ObjectiveError {
        ObjectiveError::Failed(error.to_string())
    }
}

impl From<dfdx::tensor::CpuError> for ObjectiveError {
    fn from(error: dfdx::tensor::CpuError) -> ObjectiveError {
        ObjectiveError::Failed(format!("dfdx: {error}"))
    }
}

/// What is learned from. A batch is a function of the epoch and its place in it, and of nothing
/// else: batches are made ahead, by several threads, and again after a restart.
pub trait Batches: Sync {
    /// What a step learns from.
    type Batch: Send;

    /// How many batches an epoch (from 0) has; 1 or more.
    fn batches(&self, epoch: u64) -> usize;

    /// Makes a batch.
    ///
    /// # Errors
    /// In words for the person who can act.
    fn batch(&self, epoch: u64, index: usize) -> Result<Self::Batch, String>;

    /// The samples of a batch, by numbers that mean something to whoever reads the error that
    /// names them.
    fn samples(&self, epoch: u64, index: usize) -> Vec<usize>;
}
