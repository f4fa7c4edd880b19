//! What a reject option keeps and rejects. Must not know how its threshold was chosen.

use super::cases::Cases;
use super::parameters::Score;
use super::points::Point;
use crate::scores::share;
use crate::sliced::Take;

/// Which samples a reject option keeps.
pub struct Kept {
    names: [String; 4],
    kept: Vec<bool>,
}

/// Some samples, whether the model knows their class and whether it is right.
#[derive(Clone, Copy)]
pub struct Judged<'a> {
    /// Whether the model knows the class.
    pub seen: &'a [bool],
    /// Whether it is right.
    pub right: &'a [bool],
}

/// What a reject option does to some samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejection {
    /// Seen samples.
    pub seen: u64,
    /// Those of them that are kept.
    pub kept: u64,
    /// Those of the kept that are wrong.
    pub wrong: u64,
    /// Unseen samples.
    pub unseen: u64,
    /// Those of them that are rejected.
    pub rejected: u64,
}

impl Rejection {
    /// The share of the seen samples that is kept.
    pub fn coverage(&self) -> Option<f64> {
        share(self.kept, self.seen)
    }
    /// The share of errors among the kept seen samples.
    pub fn risk(&self) -> Option<f64> {
        share(self.wrong, self.kept)
    }
    /// The share of the unseen samples that is rejected.
    pub fn unseen_rejected(&self) -> Option<f64> {
        share(self.rejected, self.unseen)
    }
    /// The share of errors among all that are kept: every kept unseen sample is one.
    pub fn risk_with_unseen(&self) -> Option<f64> {
        let unseen = self.unseen - self.rejected;
        share(self.wrong + unseen, self.kept + unseen)
    }
}

/// Whether a sample so sure is kept. Probabilities are float32, and so is the threshold that they are
/// held against: 0.7 as it is written is above the nearest float32.
fn reaches(point: &Point, sure: f64) -> bool {
    match point.by {
        Score::Probability => sure as f32 >= point.threshold as f32,
        Score::Energy => sure >= point.threshold,
    }
}

impl Kept {
    /// What the point keeps of these samples.
    pub fn new(cases: &Cases, samples: &[usize], point: &Point) -> Kept {
        let kept = |sample: &usize| {
            let sure = cases.sureness(point.by, *sample);
            sure.is_some_and(|sure| reaches(point, sure))
        };
        Kept {
            names: ["coverage", "risk", "unseen-rejected", "risk-with-unseen"]
                .map(|figure| format!("{figure}-at-{}", point.name)),
            kept: samples.iter().map(kept).collect(),
        }
    }

    /// What it does to samples of these weights.
    pub fn rejection(&self, of: Judged<'_>, weights: &[u32]) -> Rejection {
        let mut rejection = Rejection::default();
        for (sample, weight) in weights.iter().enumerate() {
            let (kept, weight) = (self.kept[sample], u64::from(*weight));
            if of.seen[sample] {
                rejection.seen += weight;
                rejection.kept += weight * u64::from(kept);
                rejection.wrong += weight * u64::from(kept && !of.right[sample]);
            } else {
                rejection.unseen += weight;
                rejection.rejected += weight * u64::from(!kept);
            }
        }
        rejection
    }

    /// Every figure with these weights.
    pub fn figures<'s>(&'s self, of: Judged<'_>, weights: &[u32], take: Take<'s, '_>) {
        let rejection = self.rejection(of, weights);
        let [coverage, risk, rejected, with_unseen] = &self.names;
        take(coverage, None, rejection.seen, rejection.coverage());
        take(risk, None, rejection.kept, rejection.risk());
        take(rejected, None, rejection.unseen, rejection.unseen_rejected());
        let kept = rejection.kept + rejection.unseen - rejection.rejected;
        take(with_unseen, None, kept, rejection.risk_with_unseen());
    }
}
