//! Figures of an order of samples by score: AUROC, average precision, error at a rate.
//!
//! The order is found once; each set of weights is then one walk over it.

use super::share;

/// Samples in falling order of a score, and which of them are positive.
#[derive(Clone, Debug)]
pub struct Ranking {
    /// Sample numbers, the highest score first, equal scores by number.
    order: Vec<u32>,
    /// Whether the next in order has a lower score, so that a threshold may lie behind.
    last_of_score: Vec<bool>,
    positive: Vec<bool>,
}

/// A threshold at a distinct score, and what lies at or above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// A sample that has the score.
    pub sample: usize,
    /// Positive samples at or above it.
    pub true_positives: u64,
    /// Negative samples at or above it.
    pub false_positives: u64,
}

/// What one walk over a [`Ranking`] gives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RankingFigures {
    /// The chance that a positive sample has a higher score than a negative one; equal scores
    /// count half (Mann–Whitney).
    pub auroc: Option<f64>,
    /// The precision at each threshold, weighted by the rise of the recall there.
    pub average_precision: Option<f64>,
    /// The share of the negatives at or above the highest threshold that keeps at least 95 % of
    /// the positives.
    pub false_positive_rate_at_95: Option<f64>,
}

impl Ranking {
    /// Orders `scores`, none of which is NaN.
    pub fn new(scores: &[f64], positive: impl Fn(usize) -> bool) -> Ranking {
        let mut order: Vec<u32> = (0..scores.len() as u32).collect();
        let score = |sample: u32| scores[sample as usize];
        order.sort_by(|left, right| score(*right).total_cmp(&score(*left)).then(left.cmp(right)));
        let last_of_score = (0..order.len())
            .map(|at| {
                order
                    .get(at + 1)
                    .is_none_or(|next| score(*next) < score(order[at]))
            })
            .collect();
        let positive = order.iter().map(|sample| positive(*sample as usize)).collect();
        Ranking {
            order,
            last_of_score,
            positive,
        }
    }

    /// Sample numbers, the lowest score first.
    pub fn rising(&self) -> impl Iterator<Item = usize> {
        self.order.iter().rev().map(|sample| *sample as usize)
    }

    /// Every distinct score as a threshold, the highest first, each sample counting by its weight.
    /// Scores that weigh nothing are left out.
    pub fn steps(&self, weights: &[u32]) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        self.walk_samples(weights, |sample, positives, negatives| {
            let before = steps.last().copied().unwrap_or_default();
            steps.push(Step {
                sample,
                true_positives: before.true_positives + positives,
                false_positives: before.false_positives + negatives,
            });
        });
        steps
    }

    /// How many samples have this score or a higher one, by the scores that it was made of.
    pub fn at_least(&self, scores: &[f64], threshold: f64) -> usize {
        let above = |sample: &u32| scores[*sample as usize] >= threshold;
        self.order.partition_point(above)
    }

    /// The weight of the positive and of the negative samples among the first so many in order, for
    /// each of `cuts`.
    pub fn first(&self, cuts: &[usize], weights: &[u32]) -> Vec<[u64; 2]> {
        let mut rising: Vec<usize> = (0..cuts.len()).collect();
        rising.sort_by_key(|at| cuts[*at]);
        let mut found = vec![[0; 2]; cuts.len()];
        let (mut sums, mut from) = ([0_u64; 2], 0);
        for at in rising {
            let to = cuts[at].min(self.order.len());
            for place in from..to {
                let weight = u64::from(weights[self.order[place] as usize]);
                sums[usize::from(!self.positive[place])] += weight;
            }
            (from, found[at]) = (to, sums);
        }
        found
    }

    /// Calls `each` for every distinct score, the highest first, with the weight of the positive
    /// and the negative samples that have it. Scores that weigh nothing are left out.
    pub fn walk(&self, weights: &[u32], mut each: impl FnMut(u64, u64)) {
        self.walk_samples(weights, |_, positives, negatives| each(positives, negatives));
    }

    fn walk_samples(&self, weights: &[u32], mut each: impl FnMut(usize, u64, u64)) {
        let (mut positives, mut negatives) = (0, 0);
        for ((sample, last), positive) in self.order.iter().zip(&self.last_of_score).zip(&self.positive) {
            let weight = u64::from(weights[*sample as usize]);
            match positive {
                true => positives += weight,
                false => negatives += weight,
            }
            if *last && positives + negatives > 0 {
                each(*sample as usize, positives, negatives);
                (positives, negatives) = (0, 0);
            }
        }
    }

    /// The figures with these weights, one for each sample.
    pub fn figures(&self, weights: &[u32]) -> RankingFigures {
        let (mut all_positives, mut all_negatives) = (0, 0);
        self.walk(weights, |positives, negatives| {
            all_positives += positives;
            all_negatives += negatives;
        });
        // Twice the pairs in the right order, so that a half pair is whole: exact.
        let mut pairs = 0_u128;
        let (mut true_positives, mut false_positives) = (0_u64, 0_u64);
        let mut precisions = 0.0;
        let mut at_95 = None;
        self.walk(weights, |positives, negatives| {
            pairs += u128::from(negatives) * u128::from(2 * true_positives + positives);
            true_positives += positives;
            false_positives += negatives;
            if positives > 0 {
                let precision = true_positives as f64 / (true_positives + false_positives) as f64;
                precisions += positives as f64 * precision;
            }
            let enough = u128::from(true_positives) * 20 >= u128::from(all_positives) * 19;
            if at_95.is_none() && enough && true_positives > 0 {
                at_95 = share(false_positives, all_negatives);
            }
        });
        let all_pairs = u128::from(all_positives) * u128::from(all_negatives);
        RankingFigures {
            auroc: (all_pairs > 0).then(|| pairs as f64 / 2.0 / all_pairs as f64),
            average_precision: (all_positives > 0).then(|| precisions / all_positives as f64),
            false_positive_rate_at_95: at_95.filter(|_| all_pairs > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn auroc_is_the_share_of_pairs_in_order(
            samples in proptest::collection::vec((0_u8..6, any::<bool>(), 0_u32..4), 0..25)
        ) {
            let scores: Vec<f64> = samples.iter().map(|(score, _, _)| f64::from(*score)).collect();
            let weights: Vec<u32> = samples.iter().map(|(_, _, weight)| *weight).collect();
            let figures = Ranking::new(&scores, |sample| samples[sample].1).figures(&weights);
            let (mut right, mut all) = (0.0, 0.0);
            for (score, positive, weight) in &samples {
                for (other, other_positive, other_weight) in &samples {
                    if *positive && !other_positive {
                        let pairs = f64::from(weight * other_weight);
                        all += pairs;
                        right += match score.cmp(other) {
                            std::cmp::Ordering::Greater => pairs,
                            std::cmp::Ordering::Equal => pairs / 2.0,
                            std::cmp::Ordering::Less => 0.0,
                        };
                    }
                }
            }
            prop_assert_eq!(figures.auroc, (all > 0.0).then(|| right / all));
            for figure in [figures.average_precision, figures.false_positive_rate_at_95] {
                prop_assert!(figure.is_none_or(|figure| (0.0..=1.0 + 1e-12).contains(&figure)));
            }
        }

        #[test]
        fn the_area_under_the_steps_is_the_auroc_and_their_mean_precision_the_average(
            samples in proptest::collection::vec((0_u8..6, any::<bool>(), 0_u32..4), 0..25)
        ) {
            let scores: Vec<f64> = samples.iter().map(|(score, _, _)| f64::from(*score)).collect();
            let weights: Vec<u32> = samples.iter().map(|(_, _, weight)| *weight).collect();
            let ranking = Ranking::new(&scores, |sample| samples[sample].1);
            let (figures, steps) = (ranking.figures(&weights), ranking.steps(&weights));
            let all = steps.last().copied().unwrap_or_default();
            let (mut area, mut precision, mut before) = (0.0, 0.0, Step::default());
            for step in &steps {
                let across = (step.false_positives - before.false_positives) as f64;
                area += across * (step.true_positives + before.true_positives) as f64 / 2.0;
                let risen = (step.true_positives - before.true_positives) as f64;
                precision += risen * step.true_positives as f64 / (step.true_positives + step.false_positives) as f64;
                before = *step;
            }
            if let Some(auroc) = figures.auroc {
                prop_assert!((area / (all.true_positives * all.false_positives) as f64 - auroc).abs() < 1e-12);
            }
            if let Some(average) = figures.average_precision {
                prop_assert!((precision / all.true_positives as f64 - average).abs() < 1e-12);
            }
            prop_assert!(steps.windows(2).all(|pair| scores[pair[0].sample] > scores[pair[1].sample]));
        }

        #[test]
        fn what_lies_at_or_above_a_threshold_is_what_the_step_there_says(
            samples in proptest::collection::vec((0_u8..6, any::<bool>(), 1_u32..4), 1..25)
        ) {
            let scores: Vec<f64> = samples.iter().map(|(score, _, _)| f64::from(*score)).collect();
            let weights: Vec<u32> = samples.iter().map(|(_, _, weight)| *weight).collect();
            let ranking = Ranking::new(&scores, |sample| samples[sample].1);
            // From the lowest threshold, so that cuts come in falling order.
            let steps: Vec<Step> = ranking.steps(&weights).into_iter().rev().collect();
            let cuts: Vec<usize> =
                steps.iter().map(|step| ranking.at_least(&scores, scores[step.sample])).collect();
            let found = ranking.first(&cuts, &weights);
            for (step, found) in steps.iter().zip(found) {
                prop_assert_eq!([step.true_positives, step.false_positives], found);
            }
            prop_assert_eq!(ranking.at_least(&scores, f64::INFINITY), 0);
        }

        #[test]
        fn a_weight_is_the_same_as_repeating_the_sample(
            samples in proptest::collection::vec((0_u8..6, any::<bool>(), 0_u32..4), 0..25)
        ) {
            let repeated: Vec<(u8, bool)> = samples
                .iter()
                .flat_map(|(score, positive, weight)| vec![(*score, *positive); *weight as usize])
                .collect();
            let of = |scores: Vec<f64>, positive: Vec<bool>, weights: &[u32]| {
                Ranking::new(&scores, |sample| positive[sample]).figures(weights)
            };
            let weighted = of(
                samples.iter().map(|sample| f64::from(sample.0)).collect(),
                samples.iter().map(|sample| sample.1).collect(),
                &samples.iter().map(|sample| sample.2).collect::<Vec<_>>(),
            );
            let plain = of(
                repeated.iter().map(|sample| f64::from(sample.0)).collect(),
                repeated.iter().map(|sample| sample.1).collect(),
                &vec![1; repeated.len()],
            );
            prop_assert_eq!(weighted, plain);
        }
    }
}
