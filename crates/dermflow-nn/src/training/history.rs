//! The row that an epoch leaves in the history, and the sums that it is made of.

use serde::{Deserialize, Serialize};

use super::exact;

/// What is known after an epoch. Nothing in it depends on a clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// The epoch, counted from 1.
    pub epoch: u64,
    /// How many times the weights were changed so far.
    pub step: u64,
    /// The learning rate of the epoch's last step.
    #[serde(with = "exact")]
    pub learning_rate: f64,
    /// The mean loss over the epoch's samples, each at the time it was seen.
    #[serde(with = "exact")]
    pub loss: f64,
    /// The mean length of the gradient over the epoch's steps, before clipping.
    #[serde(with = "exact")]
    pub gradient_norm: f64,
    /// Means of what [`super::Objective::figures`] names.
    #[serde(with = "exact::list")]
    pub figures: Vec<f64>,
    /// What [`super::Objective::scores`] names.
    #[serde(with = "exact::list")]
    pub scores: Vec<f64>,
}

/// The sums of an epoch that isn't over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sums {
    samples: u64,
    steps: u64,
    #[serde(with = "exact")]
    loss: f64,
    #[serde(with = "exact")]
    gradient_norm: f64,
    #[serde(with = "exact")]
    learning_rate: f64,
    #[serde(with = "exact::list")]
    figures: Vec<f64>,
}

impl Sums {
    pub(super) fn batch(&mut self, samples: usize, loss: f64, figures: &[f64]) {
        self.samples += samples as u64;
        self.loss += loss * samples as f64;
        self.figures.resize(figures.len(), 0.0);
        for (sum, figure) in self.figures.iter_mut().zip(figures) {
            *sum += figure * samples as f64;
        }
    }

    pub(super) fn step(&mut self, learning_rate: f64, gradient_norm: f64) {
        self.steps += 1;
        self.learning_rate = learning_rate;
        self.gradient_norm += gradient_norm;
    }

    pub(super) fn row(&self, epoch: u64, step: u64, scores: Vec<f64>) -> HistoryRow {
        let samples = self.samples.max(1) as f64;
        HistoryRow {
            epoch: epoch + 1,
            step,
            learning_rate: self.learning_rate,
            loss: self.loss / samples,
            gradient_norm: self.gradient_norm / self.steps.max(1) as f64,
            figures: self.figures.iter().map(|sum| sum / samples).collect(),
            scores,
        }
    }
}
