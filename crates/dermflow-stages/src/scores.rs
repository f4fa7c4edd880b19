//! Figures of how good predictions are, from integer weights per sample: plain arithmetic.
//!
//! Every figure takes how often each sample counts, so that the figure itself (each once) and a
//! bootstrap's resamples (each as often as it was drawn) go through the same code. A figure
//! that isn't defined, such as the AUROC of a class that no sample has, is `None`. Must not
//! know of tables, names or slices.

pub mod calibration;
pub mod confusion;
pub mod ranking;
pub mod selective;
pub mod temperature;
pub mod wilson;

/// The mean of `values`, each counted `weights` times, summed in order.
pub fn weighted_mean(values: &[f64], weights: &[u32]) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_u64);
    for (value, weight) in values.iter().zip(weights) {
        sum += value * f64::from(*weight);
        count += u64::from(*weight);
    }
    (count > 0).then(|| sum / count as f64)
}

/// The plain mean; none of nothing.
pub fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_u64);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / count as f64)
}

/// `part / whole`, if there is a whole.
pub fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
