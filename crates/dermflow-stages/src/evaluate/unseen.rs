//! How well unseen samples are told from seen ones, by a score of how sure the model is.

use super::cases::Cases;
use super::parameters::Score;
use crate::scores::ranking::Ranking;
use crate::sliced::Take;

/// Seen against unseen samples by one score.
pub struct Unseen {
    /// The score.
    pub by: Score,
    names: [String; 4],
    /// By falling sureness, seen samples being positive.
    pub seen_first: Ranking,
    unseen_first: Ranking,
}

/// By each score that there is; none where all samples are seen or all are unseen.
pub fn unseen(cases: &Cases, samples: &[usize], seen: &[bool]) -> Vec<Unseen> {
    if seen.iter().all(|seen| *seen) || !seen.iter().any(|seen| *seen) {
        return Vec::new();
    }
    let by = |score: Score| {
        let sure: Option<Vec<f64>> = samples
            .iter()
            .map(|sample| cases.sureness(score, *sample))
            .collect();
        let sure = sure?;
        let unsure: Vec<f64> = sure.iter().map(|sure| -sure).collect();
        let figures = [
            "auroc",
            "false-positive-rate-at-95",
            "average-precision-of-seen",
            "average-precision-of-unseen",
        ];
        Some(Unseen {
            by: score,
            names: figures.map(|figure| format!("unseen-{figure}-by-{}", score.name())),
            seen_first: Ranking::new(&sure, |sample| seen[sample]),
            unseen_first: Ranking::new(&unsure, |sample| !seen[sample]),
        })
    };
    [Score::Probability, Score::Energy]
        .into_iter()
        .filter_map(by)
        .collect()
}

impl Unseen {
    /// Every figure with these weights; `n` samples weigh something.
    pub fn figures<'s>(&'s self, weights: &[u32], n: u64, take: Take<'s, '_>) {
        let figures = self.seen_first.figures(weights);
        let unseen_first = self.unseen_first.figures(weights);
        let [auroc, at_95, of_seen, of_unseen] = &self.names;
        take(auroc, None, n, figures.auroc);
        take(at_95, None, n, figures.false_positive_rate_at_95);
        take(of_seen, None, n, figures.average_precision);
        take(of_unseen, None, n, unseen_first.average_precision);
    }
}
