//! How much each class counts, from how often it occurs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much a class counts in the loss. The weights are scaled so that an average training
/// sample counts 1, which leaves the learning rate's meaning alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClassWeights {
    /// Every sample counts the same.
    #[default]
    None,
    /// One over the class's number of samples: every class counts the same.
    Balanced,
    /// One over the square root of the class's number of samples.
    SquareRoot,
    /// One over the effective number of samples, (1 − βⁿ) / (1 − β) (Cui et al. 2019); β near
    /// 1, such as 0.999, is near `balanced`, 0 is `none`.
    EffectiveNumber(#[schemars(range(min = 0.0, max = 0.999_999))] f64),
}

impl ClassWeights {
    /// One weight a class, given how many training samples each has. A class without samples
    /// gets the weight of one with one sample.
    pub fn of(&self, counts: &[u64]) -> Vec<f32> {
        let raw: Vec<f64> = counts
            .iter()
            .map(|&count| self.raw(count.max(1) as f64))
            .collect();
        let samples: f64 = counts.iter().map(|&count| count as f64).sum();
        let total: f64 = raw
            .iter()
            .zip(counts)
            .map(|(weight, &count)| weight * count as f64)
            .sum();
        let scale = if total > 0.0 { samples / total } else { 1.0 };
        raw.iter().map(|weight| (weight * scale) as f32).collect()
    }

    fn raw(&self, count: f64) -> f64 {
        match *self {
            ClassWeights::None => 1.0,
            ClassWeights::Balanced => 1.0 / count,
            ClassWeights::SquareRoot => 1.0 / count.sqrt(),
            ClassWeights::EffectiveNumber(beta) => (1.0 - beta) / (1.0 - beta.powf(count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_sample_counts_one_and_rare_classes_count_more() {
        let counts = [90, 9, 1];
        for rule in [
            ClassWeights::None,
            ClassWeights::Balanced,
            ClassWeights::SquareRoot,
            ClassWeights::EffectiveNumber(0.99),
        ] {
            let weights = rule.of(&counts);
            let total: f64 = weights
                .iter()
                .zip(counts)
                .map(|(w, n)| f64::from(*w) * n as f64)
                .sum();
            assert!((total - 100.0).abs() < 1e-4, "{rule:?}: {total}");
            assert!(
                weights.windows(2).all(|pair| pair[0] <= pair[1]),
                "{rule:?}: {weights:?}"
            );
        }
        let balanced = ClassWeights::Balanced.of(&counts);
        assert!((balanced[2] / balanced[0] - 90.0).abs() < 1e-3);
        let root = ClassWeights::SquareRoot.of(&counts);
        assert!((root[2] / root[1] - 3.0).abs() < 1e-5);
    }

    #[test]
    fn a_class_without_samples_has_a_finite_weight() {
        assert!(ClassWeights::Balanced.of(&[10, 0]).iter().all(|w| w.is_finite()));
        assert_eq!(ClassWeights::Balanced.of(&[0, 0]), [1.0, 1.0]);
        assert_eq!(ClassWeights::EffectiveNumber(0.0).of(&[5, 1]), [1.0, 1.0]);
    }
}
