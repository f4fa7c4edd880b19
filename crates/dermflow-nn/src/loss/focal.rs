//! The focal softmax loss as one operation with its own gradient.
//!
//! dfdx's operations can express the value, but not the gradient at p = 1, where the power's
//! derivative is infinite for exponents below 1 though the product is 0.

use dfdx::shapes::{HasShape, Rank0};
use dfdx::tensor::{Cpu, CpuError, Tape, Tensor};

use super::tape::scalar;

/// −Σ k (1 − p)^γ ln p over all elements, with `k` the coefficients and p the softmax of each
/// row.
pub(super) fn focal<T: Tape<f32, Cpu>>(
    logits: Tensor<(usize, usize), f32, Cpu, T>,
    coefficients: &[f32],
    gamma: f64,
) -> Result<Tensor<Rank0, f32, Cpu, T>, CpuError> {
    let classes = logits.shape().1;
    let values = logits.as_vec();
    let mut gradient = vec![0.0; values.len()];
    let mut total = 0.0;
    let rows = values
        .chunks_exact(classes.max(1))
        .zip(coefficients.chunks_exact(classes.max(1)));
    for ((row, coefficients), gradient) in rows.zip(gradient.chunks_exact_mut(classes.max(1))) {
        total += focal_row(row, coefficients, gamma, gradient);
    }
    scalar(logits, total as f32, gradient)
}

/// One sample's loss; writes its gradient.
fn focal_row(logits: &[f32], coefficients: &[f32], gamma: f64, gradient: &mut [f32]) -> f64 {
    let largest = logits
        .iter()
        .fold(f32::NEG_INFINITY, |most, &logit| most.max(logit));
    let shifted = |logit: f32| f64::from(logit) - f64::from(largest);
    let normaliser: f64 = logits.iter().map(|&logit| shifted(logit).exp()).sum();
    let log_probability = |logit: f32| shifted(logit) - normaliser.ln();
    let mut loss = 0.0;
    // p times the derivative of each term by p; the softmax's own derivative follows below.
    let mut slopes_total = 0.0;
    let mut slopes = Vec::with_capacity(logits.len());
    for (&logit, &coefficient) in logits.iter().zip(coefficients) {
        let log_p = log_probability(logit);
        let p = log_p.exp();
        let rest = -log_p.exp_m1();
        let power = rest.powf(gamma);
        let coefficient = f64::from(coefficient);
        loss -= coefficient * power * log_p;
        // p ln p / (1 − p) tends to −1 as p tends to 1.
        let bent = if rest > 0.0 { p * log_p / rest } else { -1.0 };
        let slope = coefficient * power * (gamma * bent - 1.0);
        slopes.push(slope);
        slopes_total += slope;
    }
    for ((element, &logit), slope) in gradient.iter_mut().zip(logits).zip(slopes) {
        *element = (slope - log_probability(logit).exp() * slopes_total) as f32;
    }
    loss
}
