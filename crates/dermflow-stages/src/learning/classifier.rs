//! [`ClassifierObjective`]: a classifier's loss, and its scores on samples that it doesn't
//! learn from.
//!
//! Must not know where batches come from.

use std::sync::Arc;

use dermflow_nn::loss::SoftmaxLoss;
use dermflow_nn::network::{Draw, Images, Inference, Mode, Network, NetworkError};
use dermflow_nn::training::{Better, Evaluation, Objective, ObjectiveError, Outcome, Score, StepContext};
use dermflow_nn::{Parameters, TrainingTape};
use dermflow_vision::augment::Augmentation;

use super::batches::PictureBatch;
use super::normalise::Normalise;
use super::order::share;
use super::pictures::Grids;

/// How many pictures are scored at once.
const SCORED_AT_ONCE: usize = 32;

/// What a classifier learns.
pub struct ClassifierObjective {
    /// The network.
    pub network: Network,
    /// The loss.
    pub loss: SoftmaxLoss,
    /// Stages that are not trained, counted from the picture.
    pub frozen_stages: usize,
    /// What is measured on.
    pub valid: Measured,
}

/// Samples that are measured on.
pub struct Measured {
    /// Their pictures.
    pub pictures: Arc<Grids>,
    /// Each sample's picture and class.
    pub samples: Vec<(usize, usize)>,
    /// Height and width of the network's pictures.
    pub side: usize,
    /// From bytes to numbers.
    pub normalise: Normalise,
    /// How many classes there are.
    pub classes: usize,
}

impl Objective for ClassifierObjective {
    type Batch = PictureBatch;

    fn loss(
        &self,
        batch: PictureBatch,
        parameters: &Parameters,
        statistics: &mut [f32],
        context: &StepContext,
        tape: TrainingTape,
    ) -> Result<Outcome, ObjectiveError> {
        let images = Images {
            pixels: &batch.pixels,
            count: batch.keys.len(),
            height: batch.side,
            width: batch.side,
        };
        let mode = Mode::Train(Draw {
            seed: context.seed,
            samples: &batch.keys,
            dropout: batch.dropout,
            frozen_stages: self.frozen_stages,
        });
        let logits = self
            .network
            .logits(images, parameters, statistics, mode, tape)
            .map_err(failed)?;
        Ok(Outcome {
            loss: self.loss.of(logits, &batch.targets)?,
            samples: batch.keys.len(),
            figures: Vec::new(),
        })
    }

    fn scores(&self) -> Vec<Score> {
        if self.valid.samples.is_empty() {
            return Vec::new();
        }
        let score = |name: &str, better| Score {
            name: name.to_string(),
            better,
        };
        vec![
            score("valid_balanced_accuracy", Better::Higher),
            score("valid_accuracy", Better::Higher),
            score("valid_cross_entropy", Better::Lower),
        ]
    }

    fn evaluate(
        &self,
        parameters: &Parameters,
        statistics: &[f32],
        evaluation: &Evaluation<'_>,
    ) -> Result<Vec<f64>, ObjectiveError> {
        if self.valid.samples.is_empty() {
            return Ok(Vec::new());
        }
        let network = self.network.inference(parameters, statistics).map_err(failed)?;
        let scores = self.valid.scores(&network, evaluation.cancelled);
        // The steps that follow need their memory, not that of weights laid out anew.
        drop(network);
        self.network.release_memory();
        scores
    }
}

fn failed(error: NetworkError) -> ObjectiveError {
    ObjectiveError::Failed(error.to_string())
}

impl Measured {
    /// Balanced accuracy (the mean over the classes that occur), accuracy, mean cross entropy.
    fn scores(&self, network: &Inference, cancelled: &dyn Fn() -> bool) -> Result<Vec<f64>, ObjectiveError> {
        let mut right = vec![0u64; self.classes];
        let mut all = vec![0u64; self.classes];
        let mut entropy = 0.0;
        let batches = self.samples.len().div_ceil(SCORED_AT_ONCE);
        for index in 0..batches {
            if cancelled() {
                return Err(ObjectiveError::Cancelled);
            }
            let samples = &self.samples[share(self.samples.len(), SCORED_AT_ONCE, index)];
            let mut pixels = Vec::new();
            for (picture, _) in samples {
                let picture = self.pictures.picture(*picture).map_err(ObjectiveError::Failed)?;
                let resized = Augmentation::resized(&picture, [self.side; 2]);
                self.normalise.append(&resized.picture, &mut pixels);
            }
            let images = Images {
                pixels: &pixels,
                count: samples.len(),
                height: self.side,
                width: self.side,
            };
            let logits = network.logits(images).map_err(failed)?;
            for ((_, class), logits) in samples.iter().zip(logits.chunks_exact(self.classes)) {
                let probabilities = softmax(logits);
                all[*class] += 1;
                right[*class] += u64::from(highest(logits) == *class);
                entropy -= f64::from(probabilities[*class].max(f32::MIN_POSITIVE)).ln();
            }
        }
        let occurring = all.iter().zip(&right).filter(|(all, _)| **all > 0);
        let rates: Vec<f64> = occurring
            .map(|(all, right)| *right as f64 / *all as f64)
            .collect();
        let samples = self.samples.len() as f64;
        Ok(vec![
            rates.iter().sum::<f64>() / rates.len().max(1) as f64,
            right.iter().sum::<u64>() as f64 / samples,
            entropy / samples,
        ])
    }
}

/// Probabilities of one sample's logits.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// The place of the highest number, the first of equal ones.
pub fn highest(numbers: &[f32]) -> usize {
    let mut best = 0;
    for (place, number) in numbers.iter().enumerate() {
        if *number > numbers[best] {
            best = place;
        }
    }
    best
}

/// −ln Σ exp(logit): low where a sample is like those learned from (Liu et al. 2020, "Energy-based
/// out-of-distribution detection", at temperature 1).
pub fn energy(logits: &[f32]) -> f32 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - most).exp()).sum();
    -(most + sum.ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_and_energy_of_large_logits_stay_finite() {
        let logits = [1000.0, 999.0, -1000.0];
        let probabilities = softmax(&logits);
        assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((probabilities[0] - 0.731_058_6).abs() < 1e-6);
        assert!((energy(&logits) + 1_000.313_3).abs() < 1e-3);
        assert_eq!(highest(&[0.5, 2.0, 2.0]), 1);
    }
}
