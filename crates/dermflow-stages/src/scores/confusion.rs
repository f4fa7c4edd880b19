//! Figures that follow from how often each class was taken for each.

use super::{mean, share};

/// Counts of (true class, predicted class).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// Row by row: `truth * classes + predicted`.
    counts: Vec<u64>,
}

/// One class against the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OneClass {
    /// Of the class and taken for it.
    pub true_positives: u64,
    /// Of another and taken for it.
    pub false_positives: u64,
    /// Of the class and taken for another.
    pub false_negatives: u64,
    /// Of another and taken for another.
    pub true_negatives: u64,
}

impl OneClass {
    /// The share of the class that was found; also called recall.
    pub fn sensitivity(&self) -> Option<f64> {
        share(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// The share of the others that was taken for another.
    pub fn specificity(&self) -> Option<f64> {
        share(self.true_negatives, self.true_negatives + self.false_positives)
    }

    /// The share of what was taken for the class that is of it; the positive predictive value.
    pub fn precision(&self) -> Option<f64> {
        share(self.true_positives, self.true_positives + self.false_positives)
    }

    /// The share of what was taken for another that is of another.
    pub fn negative_predictive_value(&self) -> Option<f64> {
        share(self.true_negatives, self.true_negatives + self.false_negatives)
    }

    /// How many times as often the class is taken for it as another is; none where no other is.
    pub fn positive_likelihood_ratio(&self) -> Option<f64> {
        let taken = share(self.false_positives, self.false_positives + self.true_negatives)?;
        (taken > 0.0).then_some(self.sensitivity()? / taken)
    }

    /// How many times as often the class is taken for another as another is; none where no other
    /// is.
    pub fn negative_likelihood_ratio(&self) -> Option<f64> {
        let missed = share(self.false_negatives, self.true_positives + self.false_negatives)?;
        let specificity = self.specificity().filter(|share| *share > 0.0)?;
        Some(missed / specificity)
    }

    /// The harmonic mean of sensitivity and precision.
    pub fn f1(&self) -> Option<f64> {
        let twice = 2 * self.true_positives;
        share(twice, twice + self.false_positives + self.false_negatives)
    }
}

impl Confusion {
    /// Nothing counted yet.
    pub fn new(classes: usize) -> Confusion {
        Confusion {
            classes,
            counts: vec![0; classes * classes],
        }
    }

    /// Counts one pair `weight` times. Both are below the number of classes.
    pub fn add(&mut self, truth: u32, predicted: u32, weight: u32) {
        self.counts[truth as usize * self.classes + predicted as usize] += u64::from(weight);
    }

    fn row(&self, truth: usize) -> u64 {
        self.counts[truth * self.classes..][..self.classes].iter().sum()
    }

    fn column(&self, predicted: usize) -> u64 {
        let cells = self.counts.iter().skip(predicted).step_by(self.classes);
        cells.sum()
    }

    /// How many pairs there are.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn right(&self) -> u64 {
        (0..self.classes)
            .map(|class| self.counts[class * (self.classes + 1)])
            .sum()
    }

    /// Every class against the rest, in order.
    pub fn one_class_each(&self) -> Vec<OneClass> {
        let total = self.total();
        let one = |class: usize| {
            let true_positives = self.counts[class * (self.classes + 1)];
            let false_negatives = self.row(class) - true_positives;
            let false_positives = self.column(class) - true_positives;
            OneClass {
                true_positives,
                false_positives,
                false_negatives,
                true_negatives: total - true_positives - false_positives - false_negatives,
            }
        };
        (0..self.classes).map(one).collect()
    }

    /// The share that is right.
    pub fn accuracy(&self) -> Option<f64> {
        share(self.right(), self.total())
    }

    /// The mean sensitivity of the classes that some sample has.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        mean(self.one_class_each().iter().filter_map(OneClass::sensitivity))
    }

    /// The mean F1 of the classes that some sample has or was taken for.
    pub fn macro_f1(&self) -> Option<f64> {
        mean(self.one_class_each().iter().filter_map(OneClass::f1))
    }

    /// The mean F1, each class counted by how many samples have it.
    pub fn weighted_f1(&self) -> Option<f64> {
        let classes = self.one_class_each();
        let weighted = classes.iter().map(|class| {
            let support = class.true_positives + class.false_negatives;
            class.f1().unwrap_or(0.0) * support as f64
        });
        let sum: f64 = weighted.sum();
        (self.total() > 0).then(|| sum / self.total() as f64)
    }

    /// Matthews' correlation of truth and prediction, for any number of classes (Gorodkin
    /// 2004). 0 where either is of one class only, as is the custom.
    pub fn matthews_correlation(&self) -> Option<f64> {
        let total = self.total() as f64;
        let (mut together, mut true_squares, mut predicted_squares) = (0.0, 0.0, 0.0);
        for class in 0..self.classes {
            let (row, column) = (self.row(class) as f64, self.column(class) as f64);
            together += row * column;
            true_squares += row * row;
            predicted_squares += column * column;
        }
        if total == 0.0 {
            return None;
        }
        let spread = (total * total - true_squares) * (total * total - predicted_squares);
        match spread > 0.0 {
            true => Some((self.right() as f64 * total - together) / spread.sqrt()),
            false => Some(0.0),
        }
    }

    /// Cohen's kappa: agreement beyond what the classes' shares give by chance.
    pub fn cohen_kappa(&self) -> Option<f64> {
        let total = self.total() as f64;
        let by_chance: f64 = (0..self.classes)
            .map(|class| self.row(class) as f64 * self.column(class) as f64)
            .sum();
        let room = total * total - by_chance;
        (room > 0.0).then(|| (self.right() as f64 * total - by_chance) / room)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_worked_example_of_two_classes() {
        let mut confusion = Confusion::new(2);
        for (truth, predicted, count) in [(0, 0, 50), (0, 1, 10), (1, 0, 5), (1, 1, 35)] {
            confusion.add(truth, predicted, count);
        }
        assert_eq!(confusion.accuracy(), Some(0.85));
        let second = confusion.one_class_each()[1];
        assert_eq!(second.sensitivity(), Some(35.0 / 40.0));
        assert_eq!(second.specificity(), Some(50.0 / 60.0));
        assert_eq!(second.precision(), Some(35.0 / 45.0));
        assert_eq!(second.negative_predictive_value(), Some(50.0 / 55.0));
        // The two-class formula of Matthews' correlation.
        let expected = (35.0 * 50.0 - 10.0 * 5.0) / (45.0_f64 * 40.0 * 60.0 * 55.0).sqrt();
        assert!((confusion.matthews_correlation().unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_defined_is_none_and_a_constant_prediction_has_no_correlation() {
        let mut confusion = Confusion::new(3);
        assert_eq!(confusion.accuracy(), None);
        assert_eq!(confusion.matthews_correlation(), None);
        confusion.add(0, 0, 3);
        confusion.add(1, 0, 1);
        assert_eq!(confusion.matthews_correlation(), Some(0.0));
        assert_eq!(confusion.one_class_each()[1].precision(), None);
        assert_eq!(confusion.one_class_each()[2].f1(), None);
        assert_eq!(confusion.balanced_accuracy(), Some(0.5));
        assert_eq!(confusion.cohen_kappa(), Some(0.0));
    }

    proptest! {
        #[test]
        fn every_figure_is_within_its_bounds(cells in proptest::collection::vec((0_u32..4, 0_u32..4, 0_u32..9), 1..30)) {
            let mut confusion = Confusion::new(4);
            for (truth, predicted, weight) in cells {
                confusion.add(truth, predicted, weight);
            }
            let shares = [
                confusion.accuracy(),
                confusion.balanced_accuracy(),
                confusion.macro_f1(),
                confusion.weighted_f1(),
            ];
            for share in shares.into_iter().flatten() {
                prop_assert!((0.0..=1.0 + 1e-12).contains(&share));
            }
            for figure in [confusion.matthews_correlation(), confusion.cohen_kappa()].into_iter().flatten() {
                prop_assert!((-1.0 - 1e-12..=1.0 + 1e-12).contains(&figure));
            }
        }
    }
}
