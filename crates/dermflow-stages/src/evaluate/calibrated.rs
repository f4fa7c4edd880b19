//! Losses of probabilities, and what of them at the fitted temperature is measured.

use crate::scores::calibration::{self, equal_count, equal_width, equal_width_bin};
use crate::scores::ranking::Ranking;
use crate::scores::temperature::scaled;

/// A probability of 0 would make the log-loss infinite: it counts as the step of float32 at 1,
/// as in scikit-learn.
const LEAST_PROBABILITY: f64 = f32::EPSILON as f64;

/// What of the probabilities at the fitted temperature is measured.
pub struct Calibrated {
    by_confidence: Ranking,
    confidence: Vec<f64>,
    bin: Vec<u32>,
    /// Of each sample.
    pub log_loss: Vec<f64>,
    /// Of each sample.
    pub brier: Vec<f64>,
}

impl Calibrated {
    /// Of these samples' probabilities. Samples of unseen classes get zeros, which no figure counts.
    pub fn new(rows: &[&[f32]], truth: &[u32], right: &[bool], bins: usize, temperature: f64) -> Calibrated {
        let mut calibrated = Calibrated {
            by_confidence: Ranking::new(&[], |_| false),
            confidence: Vec::with_capacity(rows.len()),
            bin: Vec::with_capacity(rows.len()),
            log_loss: Vec::with_capacity(rows.len()),
            brier: Vec::with_capacity(rows.len()),
        };
        for (row, truth) in rows.iter().zip(truth) {
            let row = scaled(row, temperature);
            let confidence = row.iter().copied().fold(0.0, f64::max).min(1.0);
            calibrated.confidence.push(confidence);
            calibrated.bin.push(equal_width_bin(confidence, bins) as u32);
            let seen = (*truth as usize) < row.len();
            let of =
                |figure: fn(&[f64], usize) -> f64| if seen { figure(&row, *truth as usize) } else { 0.0 };
            calibrated.log_loss.push(of(log_loss_of));
            calibrated.brier.push(of(brier_of));
        }
        calibrated.by_confidence = Ranking::new(&calibrated.confidence, |sample| !right[sample]);
        calibrated
    }

    /// Bins of equal width and of equal count over samples with these weights.
    pub fn reliability(&self, bins: usize, right: &[bool], seen: &[u32]) -> [Vec<calibration::Bin>; 2] {
        let width = equal_width(bins, &self.bin, &self.confidence, right, seen);
        let count = equal_count(bins, &self.by_confidence, &self.confidence, right, seen);
        [width, count]
    }
}

/// Minus the logarithm of the true class's probability.
pub fn log_loss(row: &[f32], truth: usize) -> f64 {
    log_loss_of(&as_doubles(row), truth)
}

fn log_loss_of(row: &[f64], truth: usize) -> f64 {
    -libm::log(row[truth].clamp(LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY))
}

/// The squared distance to the one-hot vector, from 0 to 2.
pub fn brier(row: &[f32], truth: usize) -> f64 {
    brier_of(&as_doubles(row), truth)
}

/// The squared distance to the one-hot vector, from 0 to 2.
fn brier_of(row: &[f64], truth: usize) -> f64 {
    let distance = |(class, share): (usize, &f64)| {
        let distance = share - if class == truth { 1.0 } else { 0.0 };
        distance * distance
    };
    row.iter().enumerate().map(distance).sum()
}

fn as_doubles(row: &[f32]) -> Vec<f64> {
    row.iter().map(|share| f64::from(*share)).collect()
}
