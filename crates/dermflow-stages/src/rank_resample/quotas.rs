//! How many samples each class gives: whole numbers nearest to the shares of the training set.

use dermflow_core::StageError;

use super::Short;
use crate::apportion::apportion;

/// One class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Its name.
    pub class: String,
    /// How many labels of the training set it has.
    pub training: u64,
    /// How many samples were predicted to be of it.
    pub predicted: u64,
    /// How many of them are likely enough.
    pub available: u64,
    /// How many its share asks for.
    pub wanted: u64,
    /// How many rows are taken.
    pub taken: u64,
}

impl Quota {
    /// Whether its share asks for more than there is.
    pub fn is_short(&self) -> bool {
        self.available < self.wanted
    }
}

/// What each class gives for the largest size up to `size` at which every share is available, or,
/// of a class of which nothing is, comes to no whole sample.
fn shrunk(quotas: &[Quota], size: u64) -> Vec<u64> {
    let training: Vec<u64> = quotas.iter().map(|quota| quota.training).collect();
    let total: u128 = training.iter().map(|labels| u128::from(*labels)).sum();
    let bounds = quotas.iter().filter(|quota| quota.training > 0).map(|quota| {
        let bound = match quota.available {
            // A share of a whole sample or more is never cut to none.
            0 => (total - 1) / u128::from(quota.training),
            available => u128::from(available) * total / u128::from(quota.training),
        };
        u64::try_from(bound).unwrap_or(u64::MAX)
    });
    let most = bounds.min().unwrap_or(0).min(size);
    // Where every class has samples, the first size fits. Otherwise a smaller size may still give
    // a class one that it lacks, so that no step can be left out; there are no more of them than
    // labels in the training set.
    (0..=most)
        .rev()
        .map(|size| apportion(&training, size))
        .find(|counts| {
            counts
                .iter()
                .zip(quotas)
                .all(|(count, quota)| *count <= quota.available)
        })
        .unwrap_or_else(|| vec![0; quotas.len()])
}

/// Fills in `wanted` and `taken`.
///
/// # Errors
/// Where a class of the training set has no sample, and all others would have to shrink to nothing
/// for its share to come to none.
pub fn fill(quotas: &mut [Quota], size: u64, short: Short) -> Result<(), StageError> {
    let training: Vec<u64> = quotas.iter().map(|quota| quota.training).collect();
    let wanted = apportion(&training, size);
    quotas
        .iter_mut()
        .zip(&wanted)
        .for_each(|(quota, wanted)| quota.wanted = *wanted);
    let taken = match short {
        Short::Shrink if quotas.iter().any(Quota::is_short) => {
            let shrunk = shrunk(quotas, size);
            let empty = |quota: &&Quota| quota.training > 0 && quota.available == 0;
            if shrunk.iter().all(|taken| *taken == 0)
                && let Some(empty) = quotas.iter().find(empty)
            {
                let message = format!(
                    "no sample was predicted as class `{}` with enough probability, so shares as in the training set \
                     leave nothing to take",
                    empty.class
                );
                let help =
                    "set `short: leave`, lower `min-probability`, or leave the class out of `training`";
                return Err(StageError::new(message).with_help(help));
            }
            shrunk
        }
        _ => wanted,
    };
    for (quota, taken) in quotas.iter_mut().zip(taken) {
        quota.taken = taken.min(quota.available);
    }
    Ok(())
}

/// Half the summed differences of two sets of shares: 0 for the same, 1 for no class in common
/// (the total variation distance). None where either is empty.
pub fn share_distance(left: &[u64], right: &[u64]) -> Option<f64> {
    let (all_left, all_right): (u64, u64) = (left.iter().sum(), right.iter().sum());
    let difference = |(left, right): (&u64, &u64)| {
        (*left as f64 / all_left as f64 - *right as f64 / all_right as f64).abs()
    };
    (all_left > 0 && all_right > 0).then(|| left.iter().zip(right).map(difference).sum::<f64>() / 2.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quota(training: u64, available: u64) -> Quota {
        Quota {
            class: format!("{training} {available}"),
            training,
            predicted: available,
            available,
            wanted: 0,
            taken: 0,
        }
    }

    fn taken(classes: &[(u64, u64)], size: u64, short: Short) -> Vec<u64> {
        let mut quotas: Vec<Quota> = classes
            .iter()
            .map(|(training, available)| quota(*training, *available))
            .collect();
        fill(&mut quotas, size, short).unwrap();
        quotas.iter().map(|quota| quota.taken).collect()
    }

    #[test]
    fn a_short_class_shrinks_the_others_or_stays_short() {
        let classes = [(50, 1000), (30, 15), (20, 1000), (0, 1000)];
        assert_eq!(taken(&classes, 100, Short::Leave), [50, 15, 20, 0]);
        assert_eq!(taken(&classes, 100, Short::Shrink), [25, 15, 10, 0]);
        assert_eq!(taken(&classes, 20, Short::Shrink), [10, 6, 4, 0]);
    }

    #[test]
    fn a_class_without_a_sample_is_refused_only_where_all_would_shrink_to_nothing() {
        let classes = [(2, 0), (1, 10)];
        let mut quotas = classes.map(|(training, available)| quota(training, available));
        let refusal = fill(&mut quotas, 6, Short::Shrink).unwrap_err();
        assert!(refusal.message.contains("`2 0`"), "{refusal}");
        assert_eq!(taken(&classes, 6, Short::Leave), [0, 2]);
        assert_eq!(taken(&[], 4, Short::Shrink), Vec::<u64>::new());
        // The rare class's share comes to no sample, and the other one is short by one.
        assert_eq!(taken(&[(1000, 9), (1, 0)], 10, Short::Shrink), [9, 0]);
        assert_eq!(taken(&[(1000, 9), (1, 0)], u64::MAX, Short::Shrink), [9, 0]);
        // Beyond it, the rare class's share is nearer to a whole sample than to none.
        let many = [(99_999, u64::MAX), (1, 0)];
        assert_eq!(taken(&many, u64::MAX, Short::Shrink), [50_000, 0]);
    }

    #[test]
    fn distances_of_shares() {
        assert_eq!(share_distance(&[1, 1], &[5, 5]), Some(0.0));
        assert_eq!(share_distance(&[1, 0], &[0, 3]), Some(1.0));
        assert_eq!(share_distance(&[3, 1], &[1, 1]), Some(0.25));
        assert_eq!(share_distance(&[0, 0], &[1, 1]), None);
    }

    proptest! {
        #[test]
        fn shrinking_never_takes_more_than_there_is_and_keeps_the_shares(
            classes in proptest::collection::vec((1_u64..50, 1_u64..80), 1..8),
            size in 0_u64..500,
        ) {
            let taken = taken(&classes, size, Short::Shrink);
            let (total, all): (u64, u64) = (classes.iter().map(|class| class.0).sum(), taken.iter().sum());
            for (taken, (training, available)) in taken.iter().zip(&classes) {
                prop_assert!(taken <= available);
                let exact = *training as f64 * all as f64 / total as f64;
                prop_assert!((*taken as f64 - exact).abs() < 1.0);
            }
        }

        #[test]
        fn shrinking_gives_the_largest_size_whose_counts_are_there(
            classes in proptest::collection::vec((1_u64..50, prop_oneof![Just(0_u64), 0..80_u64]), 1..8),
            size in 1_u64..300,
        ) {
            let mut quotas: Vec<Quota> =
                classes.iter().map(|(training, available)| quota(*training, *available)).collect();
            let training: Vec<u64> = classes.iter().map(|class| class.0).collect();
            let total: u64 = training.iter().sum();
            let are_there = |size: u64, counts: &[u64]| {
                counts.iter().zip(&classes).all(|(count, (training, available))| {
                    count <= available && (*available == 0 || training * size <= available * total)
                })
            };
            let mut sizes = (0..=size).rev().map(|size| (size, apportion(&training, size)));
            let (largest, counts) = sizes.find(|(size, counts)| are_there(*size, counts)).unwrap();
            // What is asked for may be there though an exact share is a fraction above it.
            let asked = apportion(&training, size);
            let whole = asked.iter().zip(&classes).all(|(count, class)| *count <= class.1);
            match fill(&mut quotas, size, Short::Shrink) {
                Ok(()) => {
                    let taken: Vec<u64> = quotas.iter().map(|quota| quota.taken).collect();
                    prop_assert_eq!(taken, if whole { asked } else { counts });
                }
                Err(_) => prop_assert!(largest == 0 && !whole),
            }
        }
    }
}
