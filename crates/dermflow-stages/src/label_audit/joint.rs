//! Estimates how many samples of each class are labelled as each: the confident joint.
//!
//! A sample counts as of class `j` where its probability of `j` is at least the mean probability
//! of `j` among the samples labelled `j`; of several such classes the likeliest one counts.

use std::collections::BTreeMap;

use dermflow_core::{StageContext, StageError};

use super::pairs::{Pair, Pairs};
use crate::apportion::apportion;

/// What two passes over the samples give.
pub struct Joint {
    classes: usize,
    /// How many samples have each label that the model knows.
    pub given: Vec<u64>,
    /// The mean probability of each class among the samples labelled so; above 1 for a class
    /// that no sample is labelled as, which nothing reaches.
    pub thresholds: Vec<f64>,
    /// How many samples labelled as the first class were counted as the second.
    confident: Vec<u64>,
    /// How many samples have each (given label, predicted class), labels that the model doesn't
    /// know too.
    pub disagreement: BTreeMap<(String, u32), u64>,
}

impl Joint {
    /// Walks the samples twice.
    ///
    /// # Errors
    /// As [`Pairs::each`].
    pub fn estimate(pairs: &Pairs, context: &dyn StageContext) -> Result<Joint, StageError> {
        let classes = pairs.classes.len();
        let mut joint = Joint {
            classes,
            given: vec![0; classes],
            thresholds: vec![0.0; classes],
            confident: vec![0; classes * classes],
            disagreement: BTreeMap::new(),
        };
        pairs.each(0, context, |pair| {
            let cell = (pair.label.to_string(), pair.predicted);
            *joint.disagreement.entry(cell).or_default() += 1;
            if let Some(given) = pair.given {
                joint.given[given as usize] += 1;
                joint.thresholds[given as usize] += f64::from(pair.self_confidence(given));
            }
            Ok(())
        })?;
        for (threshold, count) in joint.thresholds.iter_mut().zip(&joint.given) {
            *threshold = if *count > 0 {
                *threshold / *count as f64
            } else {
                2.0
            };
        }
        pairs.each(1, context, |pair| {
            if let (Some(given), Some(counted)) = (pair.given, joint.counted_as(&pair)) {
                joint.confident[given as usize * classes + counted as usize] += 1;
            }
            Ok(())
        })?;
        // A class is taken to have one right label at least, so that its row is never empty.
        for class in 0..classes {
            let right = &mut joint.confident[class * classes + class];
            *right = (*right).max(1);
        }
        Ok(joint)
    }

    /// The class that a sample counts as, if it is sure enough of any.
    pub fn counted_as(&self, pair: &Pair<'_>) -> Option<u32> {
        let sure = (0_u32..)
            .zip(pair.probabilities.iter().zip(&self.thresholds))
            // Rounding of the mean must not leave out samples that all have that probability.
            .filter(|(_, (share, threshold))| f64::from(**share) >= **threshold - 1e-6);
        let best = sure.fold(None, |best: Option<(u32, f32)>, (class, (share, _))| match best {
            Some((_, highest)) if highest >= *share => best,
            _ => Some((class, *share)),
        });
        best.map(|(class, _)| class)
    }

    /// How many samples labelled as class `given` were counted as each class.
    pub fn confident(&self, given: usize) -> &[u64] {
        &self.confident[given * self.classes..][..self.classes]
    }

    /// The same, brought to the number of samples labelled so, in whole samples. Where rounding
    /// leaves a choice, the label is thought to be right.
    pub fn counts(&self, given: usize) -> Vec<u64> {
        let mut row = self.confident(given).to_vec();
        row[..=given].rotate_right(1);
        let mut counts = apportion(&row, self.given[given]);
        counts[..=given].rotate_left(1);
        counts
    }

    /// The estimated share of all samples that is labelled as class `given` and is of class
    /// `likely`.
    pub fn share(&self, given: usize, likely: usize) -> Option<f64> {
        let all: u64 = self.given.iter().sum();
        let row = self.confident(given);
        let of_row = row[likely] as f64 / row.iter().sum::<u64>() as f64;
        (all > 0).then(|| of_row * self.given[given] as f64 / all as f64)
    }

    /// The estimated share of the labels of a class that is wrong; of all labels for none.
    pub fn noise_rate(&self, given: Option<usize>) -> Option<f64> {
        match given {
            Some(given) => {
                let row = self.confident(given);
                let wrong = row.iter().sum::<u64>() - row[given];
                (self.given[given] > 0).then(|| wrong as f64 / row.iter().sum::<u64>() as f64)
            }
            None => (0..self.classes)
                .map(|class| self.share(class, class))
                .sum::<Option<f64>>()
                .map(|right| 1.0 - right),
        }
    }
}
