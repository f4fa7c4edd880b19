//! Chooses the suspects and ranks them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use dermflow_core::{StageContext, StageError};

use super::joint::Joint;
use super::pairs::{Pair, Pairs};
use super::{Score, Suspicion};

/// A label that is likely wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect {
    /// Its sample.
    pub id: [u8; 32],
    /// The index of its label.
    pub given: u32,
    /// The class that it likely is of.
    pub suggested: u32,
    /// The probability of its label.
    pub self_confidence: f32,
    /// As [`Pair::margin`].
    pub margin: f64,
    /// The probability of the suggested class.
    pub probability: f32,
}

/// The suspects, the likeliest wrong ones first.
pub struct Suspects {
    /// In order of their rank.
    pub ranked: Vec<Suspect>,
    ranks: BTreeMap<[u8; 32], u64>,
}

impl Suspects {
    /// Chooses and ranks them.
    ///
    /// # Errors
    /// As [`Pairs::each`].
    pub fn find(
        suspicion: Suspicion,
        rank_by: Score,
        pairs: &Pairs,
        joint: &Joint,
        context: &dyn StageContext,
    ) -> Result<Suspects, StageError> {
        let mut found = Found::new(suspicion, joint, pairs.classes.len());
        pairs.each(2, context, |pair| {
            if let Some(given) = pair.given {
                found.look_at(&pair, given, joint);
            }
            Ok(())
        })?;
        let mut ranked = found.finish();
        ranked.retain(|suspect| suspect.suggested != suspect.given);
        let score = |suspect: &Suspect| match rank_by {
            Score::Margin => suspect.margin,
            Score::SelfConfidence => f64::from(suspect.self_confidence),
        };
        ranked.sort_by(|left, right| score(left).total_cmp(&score(right)).then(left.id.cmp(&right.id)));
        let ranks = (1..)
            .zip(&ranked)
            .map(|(rank, suspect)| (suspect.id, rank))
            .collect();
        Ok(Suspects { ranked, ranks })
    }

    /// The rank of a sample that is suspected, from 1.
    pub fn rank(&self, id: &[u8]) -> Option<u64> {
        self.ranks.get(id).copied()
    }
}

/// A suspect by how strongly it is one: the strongest is the largest, of equal ones the first by
/// sample id.
#[derive(PartialEq)]
struct Weighed(f64, Suspect);

impl Eq for Weighed {}
impl Ord for Weighed {
    fn cmp(&self, other: &Weighed) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0).then(other.1.id.cmp(&self.1.id))
    }
}
impl PartialOrd for Weighed {
    fn partial_cmp(&self, other: &Weighed) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Keeps the strongest so many.
struct Strongest {
    most: u64,
    kept: BinaryHeap<Reverse<Weighed>>,
}

impl Strongest {
    fn new(most: u64) -> Strongest {
        Strongest {
            most,
            kept: BinaryHeap::new(),
        }
    }

    fn offer(&mut self, weighed: Weighed) {
        if (self.kept.len() as u64) < self.most {
            self.kept.push(Reverse(weighed));
        } else if self
            .kept
            .peek()
            .is_some_and(|Reverse(weakest)| weighed > *weakest)
        {
            self.kept.pop();
            self.kept.push(Reverse(weighed));
        }
    }
}

/// What the third pass keeps.
struct Found {
    suspicion: Suspicion,
    classes: usize,
    /// For each (label, other class), the largest differences of their probabilities.
    by_noise_rate: Vec<Strongest>,
    /// For each label, the lowest probabilities of it.
    by_class: Vec<Strongest>,
    /// What needs no comparison.
    sure: Vec<Suspect>,
}

impl Found {
    fn new(suspicion: Suspicion, joint: &Joint, classes: usize) -> Found {
        let counts: Vec<Vec<u64>> = (0..classes).map(|given| joint.counts(given)).collect();
        let off_diagonal =
            |given: usize, likely: usize| if given == likely { 0 } else { counts[given][likely] };
        let cells = (0..classes).flat_map(|given| (0..classes).map(move |likely| (given, likely)));
        let wrong = |given: usize| (0..classes).map(|likely| off_diagonal(given, likely)).sum();
        Found {
            suspicion,
            classes,
            by_noise_rate: cells
                .map(|(given, likely)| Strongest::new(off_diagonal(given, likely)))
                .collect(),
            by_class: (0..classes).map(|given| Strongest::new(wrong(given))).collect(),
            sure: Vec::new(),
        }
    }

    /// A sample labelled as class `given`.
    fn look_at(&mut self, pair: &Pair<'_>, given: u32, joint: &Joint) {
        let own = f64::from(pair.self_confidence(given));
        if matches!(self.suspicion, Suspicion::NoiseRate | Suspicion::Both) {
            for (class, share) in pair
                .probabilities
                .iter()
                .enumerate()
                .filter(|(class, _)| *class != given as usize)
            {
                let cell = &mut self.by_noise_rate[given as usize * self.classes + class];
                cell.offer(Weighed(f64::from(*share) - own, suspect(pair, given)));
            }
        }
        match self.suspicion {
            Suspicion::Class | Suspicion::Both => {
                self.by_class[given as usize].offer(Weighed(-own, suspect(pair, given)));
            }
            Suspicion::ConfidentJoint if joint.counted_as(pair).is_some_and(|counted| counted != given) => {
                self.sure.push(suspect(pair, given));
            }
            Suspicion::Predicted => self.sure.push(suspect(pair, given)),
            _ => {}
        }
    }

    fn finish(self) -> Vec<Suspect> {
        let all = |cells: Vec<Strongest>| -> Vec<Suspect> {
            let kept = cells.into_iter().flat_map(|cell| cell.kept);
            let mut suspects: Vec<Suspect> = kept.map(|Reverse(Weighed(_, suspect))| suspect).collect();
            suspects.sort_by_key(|suspect| suspect.id);
            suspects.dedup_by_key(|suspect| suspect.id);
            suspects
        };
        match self.suspicion {
            Suspicion::NoiseRate => all(self.by_noise_rate),
            Suspicion::Class => all(self.by_class),
            Suspicion::Both => {
                let others: BTreeSet<[u8; 32]> =
                    all(self.by_class).iter().map(|suspect| suspect.id).collect();
                let mut both = all(self.by_noise_rate);
                both.retain(|suspect| others.contains(&suspect.id));
                both
            }
            Suspicion::ConfidentJoint | Suspicion::Predicted => self.sure,
        }
    }
}

fn suspect(pair: &Pair<'_>, given: u32) -> Suspect {
    let mut id = [0; 32];
    id.copy_from_slice(pair.id);
    Suspect {
        id,
        given,
        suggested: pair.predicted,
        self_confidence: pair.self_confidence(given),
        margin: pair.margin(given),
        probability: pair.probabilities[pair.predicted as usize],
    }
}
