//! Which samples an epoch has and in what order.
//!
//! An order is a function of the seed, the epoch and the samples' own keys: each sample draws
//! its place by itself, so that adding or removing a sample moves no other one past a third,
//! and a resumed training sees what it would have seen. Nothing here knows what a sample is.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How often the samples of a class come in an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClassSampling {
    /// Every sample comes once.
    #[default]
    Proportional,
    /// Classes come in proportion to the square roots of their sizes.
    SquareRoot,
    /// Every class comes equally often.
    Balanced,
}

/// Draws the order of each epoch.
///
/// ```
/// use dermflow_nn::sampling::{ClassSampling, Sampler};
///
/// let keys: Vec<[u8; 32]> = (0..100u8).map(|at| [at; 32]).collect();
/// let classes: Vec<u32> = (0..100).map(|at| u32::from(at >= 90)).collect();
/// let sampler = Sampler::new(7, &keys, Some((&classes, ClassSampling::Balanced)))?;
/// let order = sampler.epoch(0);
/// assert_eq!(order.len(), 100);
/// assert_eq!(order.iter().filter(|&&sample| sample >= 90).count(), 50);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sampler {
    seed: u64,
    keys: Vec<[u8; 32]>,
    /// The samples of each class, and how many of it an epoch has.
    classes: Vec<(Vec<usize>, usize)>,
}

impl Sampler {
    /// A sampler of samples with these keys (unlike ones), and, if wanted, of these classes.
    /// An epoch has as many samples as there are.
    ///
    /// # Errors
    /// Where there isn't one class a sample.
    pub fn new(
        seed: u64,
        keys: &[[u8; 32]],
        classes: Option<(&[u32], ClassSampling)>,
    ) -> Result<Sampler, String> {
        let all = || (0..keys.len()).collect::<Vec<usize>>();
        let classes = match classes {
            None | Some((_, ClassSampling::Proportional)) => vec![(all(), keys.len())],
            Some((classes, _)) if classes.len() != keys.len() => {
                return Err(format!("{} classes for {} samples", classes.len(), keys.len()));
            }
            Some((classes, rule)) => {
                let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
                for (sample, &class) in classes.iter().enumerate() {
                    members.entry(class).or_default().push(sample);
                }
                let weights: Vec<f64> = members.values().map(|class| rule.weight(class.len())).collect();
                let quotas = shares(keys.len(), &weights);
                members.into_values().zip(quotas).collect()
            }
        };
        Ok(Sampler {
            seed,
            keys: keys.to_vec(),
            classes,
        })
    }

    /// How many samples an epoch has.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is nothing to draw from.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many samples of each of so many classes an epoch has, where `class` tells a sample's.
    pub fn of_classes(&self, classes: usize, class: impl Fn(usize) -> usize) -> Vec<u64> {
        let mut counts = vec![0; classes];
        for (members, quota) in &self.classes {
            for sample in members.iter().cycle().take(*quota) {
                counts[class(*sample)] += 1;
            }
        }
        counts
    }

    /// The samples of an epoch in order, as indices into the keys. Where a class comes more
    /// often than it has samples, each of its samples comes again before any comes a third
    /// time; where less often, other ones come in other epochs.
    pub fn epoch(&self, epoch: u64) -> Vec<usize> {
        let draw = Draw::new(self.seed, epoch);
        let mut order: Vec<([u8; 16], usize)> = Vec::with_capacity(self.len());
        for (members, quota) in &self.classes {
            for round in 0..quota.div_ceil(members.len().max(1)) {
                let round_key = round as u64;
                let mut drawn: Vec<([u8; 16], usize)> = members
                    .iter()
                    .map(|&sample| (draw.of(b"choice", &self.keys[sample], round_key), sample))
                    .collect();
                let left = quota - round * members.len();
                if left < members.len() {
                    drawn.sort_unstable();
                    drawn.truncate(left);
                }
                let places = drawn
                    .into_iter()
                    .map(|(_, sample)| (draw.of(b"place", &self.keys[sample], round_key), sample));
                order.extend(places);
            }
        }
        order.sort_unstable();
        order.into_iter().map(|(_, sample)| sample).collect()
    }
}

impl ClassSampling {
    fn weight(self, samples: usize) -> f64 {
        match self {
            ClassSampling::Balanced => 1.0,
            ClassSampling::SquareRoot => (samples as f64).sqrt(),
            ClassSampling::Proportional => samples as f64,
        }
    }
}

/// `total` cut in proportion to the weights: whole parts first, then one more for the largest
/// remainders, the first of equals.
fn shares(total: usize, weights: &[f64]) -> Vec<usize> {
    let sum: f64 = weights.iter().sum();
    if sum <= 0.0 {
        return vec![0; weights.len()];
    }
    let exact: Vec<f64> = weights.iter().map(|weight| total as f64 * weight / sum).collect();
    let mut shares: Vec<usize> = exact.iter().map(|share| share.floor() as usize).collect();
    let mut by_rest: Vec<usize> = (0..weights.len()).collect();
    by_rest.sort_by(|&a, &b| {
        let rest = |at: usize| exact[at] - exact[at].floor();
        rest(b).total_cmp(&rest(a)).then(a.cmp(&b))
    });
    let missing = total.saturating_sub(shares.iter().sum());
    by_rest
        .iter()
        .cycle()
        .take(missing)
        .for_each(|&at| shares[at] += 1);
    shares
}

/// What samples draw in one epoch.
struct Draw([u8; 32]);

impl Draw {
    fn new(seed: u64, epoch: u64) -> Draw {
        let mut material = seed.to_le_bytes().to_vec();
        material.extend(epoch.to_le_bytes());
        Draw(blake3::derive_key("dermflow epoch order v1", &material))
    }

    fn of(&self, what: &[u8], key: &[u8; 32], round: u64) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(key).update(&round.to_le_bytes()).update(what);
        let mut drawn = [0; 16];
        drawn.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        drawn
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(count: usize) -> Vec<[u8; 32]> {
        (0..count)
            .map(|at| *blake3::hash(&at.to_le_bytes()).as_bytes())
            .collect()
    }

    fn counts(order: &[usize], samples: usize) -> Vec<usize> {
        let mut counts = vec![0; samples];
        order.iter().for_each(|&sample| counts[sample] += 1);
        counts
    }

    #[test]
    fn every_epoch_has_every_sample_once_in_an_order_of_its_own() {
        let sampler = Sampler::new(3, &keys(50), None).unwrap();
        let (first, second) = (sampler.epoch(0), sampler.epoch(1));
        assert_eq!(counts(&first, 50), [1; 50]);
        assert_ne!(first, second);
        assert_eq!(first, Sampler::new(3, &keys(50), None).unwrap().epoch(0));
        assert_ne!(first, Sampler::new(4, &keys(50), None).unwrap().epoch(0));
    }

    #[test]
    fn a_new_sample_moves_no_other_one_past_a_third() {
        let before = Sampler::new(3, &keys(50), None).unwrap().epoch(2);
        let mut after = Sampler::new(3, &keys(51), None).unwrap().epoch(2);
        after.retain(|&sample| sample != 50);
        assert_eq!(before, after);
    }

    #[test]
    fn balanced_epochs_show_all_of_a_small_class_and_change_the_choice_of_a_large_one() {
        let classes: Vec<u32> = (0..60).map(|at| u32::from(at < 10)).collect();
        let sampler = Sampler::new(5, &keys(60), Some((&classes, ClassSampling::Balanced))).unwrap();
        assert_eq!(sampler.of_classes(2, |sample| classes[sample] as usize), [30, 30]);
        let all = Sampler::new(5, &keys(60), None).unwrap();
        assert_eq!(all.of_classes(2, |sample| classes[sample] as usize), [50, 10]);
        let mut seen = vec![0; 60];
        for epoch in 0..20 {
            let counts = counts(&sampler.epoch(epoch), 60);
            assert!(counts[..10].iter().all(|&count| count == 3), "{counts:?}");
            assert!(counts[10..].iter().all(|&count| count <= 1), "{counts:?}");
            assert_eq!(counts[10..].iter().sum::<usize>(), 30);
            seen.iter_mut()
                .zip(&counts)
                .for_each(|(seen, count)| *seen += count);
        }
        assert!(seen[10..].iter().all(|&seen| seen > 3), "{seen:?}");
    }

    #[test]
    fn square_roots_lie_between() {
        let classes: Vec<u32> = (0..100).map(|at| u32::from(at < 10)).collect();
        let sampler = Sampler::new(5, &keys(100), Some((&classes, ClassSampling::SquareRoot))).unwrap();
        let small: usize = counts(&sampler.epoch(0), 100)[..10].iter().sum();
        // 100 · √10 / (√10 + √90) = 25.
        assert_eq!(small, 25);
    }

    #[test]
    fn classes_that_do_not_fit_and_empty_sets_are_handled() {
        assert!(Sampler::new(1, &keys(3), Some((&[0, 1], ClassSampling::Balanced))).is_err());
        assert!(Sampler::new(1, &[], None).unwrap().epoch(0).is_empty());
        let gap = Sampler::new(1, &keys(2), Some((&[0, u32::MAX], ClassSampling::Balanced))).unwrap();
        assert_eq!(gap.epoch(0).len(), 2);
    }

    proptest! {
        #[test]
        fn an_epoch_has_as_many_samples_as_there_are_and_even_rounds(
            classes in proptest::collection::vec(0u32..5, 1..80),
            epoch in 0u64..5,
        ) {
            for rule in [ClassSampling::Proportional, ClassSampling::SquareRoot, ClassSampling::Balanced] {
                let sampler = Sampler::new(9, &keys(classes.len()), Some((&classes, rule))).unwrap();
                let order = sampler.epoch(epoch);
                prop_assert_eq!(order.len(), classes.len());
                let counts = counts(&order, classes.len());
                for class in 0..5 {
                    let of: Vec<usize> = (0..classes.len())
                        .filter(|&at| classes[at] == class)
                        .map(|at| counts[at])
                        .collect();
                    if let (Some(least), Some(most)) = (of.iter().min(), of.iter().max()) {
                        prop_assert!(most - least <= 1);
                    }
                }
            }
        }
    }
}
