//! Sensitivity where the specificity is fixed, and the other way round, for each class (or group of
//! classes) against the rest. Thresholds are chosen on other samples than those that are judged.

use dermflow_core::StageError;

use super::cases::Cases;
use super::grounds::Known;
use super::parameters::{ChooseOn, EvaluateParameters};
use super::targets::Target;
use crate::scores::confusion::OneClass;
use crate::scores::ranking::{Ranking, Step};
use crate::sliced::Take;

/// Which of the two rates is fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// The share of the rest that is told to be the rest.
    Specificity,
    /// The share of the class that is found.
    Sensitivity,
}

impl Fixed {
    /// As the tables write it.
    pub fn name(self) -> &'static str {
        match self {
            Fixed::Specificity => "specificity",
            Fixed::Sensitivity => "sensitivity",
        }
    }

    /// Where along falling thresholds the rate is at least `level`: for the specificity the last
    /// such step, none where even the highest threshold lets too many pass; for the sensitivity
    /// the first one. None at all where the samples at hand don't define the rate.
    fn choose(self, steps: &[Step], level: f64) -> Option<Option<Step>> {
        let whole = steps.last()?;
        let (positives, negatives) = (whole.true_positives, whole.false_positives);
        let rate = |part: u64, all: u64| part as f64 / all as f64;
        match self {
            Fixed::Specificity => {
                let enough = |step: &Step| rate(negatives - step.false_positives, negatives) >= level;
                (negatives > 0).then(|| steps[..steps.partition_point(enough)].last().copied())
            }
            Fixed::Sensitivity => {
                let short = |step: &Step| rate(step.true_positives, positives) < level;
                (positives > 0).then(|| steps.get(steps.partition_point(short)).copied())
            }
        }
    }
}

/// A rate that is fixed for a target, and the threshold.
pub struct Rate {
    /// The number of the target.
    pub target: usize,
    /// Which rate.
    pub fixed: Fixed,
    /// How high it is at least.
    pub level: f64,
    /// A sample counts as the target where its probability is this or more; infinite where none
    /// does.
    pub threshold: f64,
    /// On how many samples it was chosen.
    pub chosen_on: u64,
    /// Which these were: `validation`.
    pub chosen_among: String,
    /// Whether these are the judged ones. Each slice and each resample chooses for itself then.
    of_judged: bool,
}

impl Rate {
    /// `sensitivity-at-specificity-0.9`, of one of its figures.
    pub fn figure(&self, figure: &str) -> String {
        format!("{figure}-at-{}-{}", self.fixed.name(), self.level)
    }
}

/// The rates that the parameters ask for, target by target. Where there is nothing to choose on
/// there are none.
///
/// # Errors
/// Where there is no sample to choose on.
pub fn choose(
    parameters: &EvaluateParameters,
    known: &Known<'_>,
    targets: &[Target],
) -> Result<Vec<Rate>, StageError> {
    let of = |fixed: Fixed, levels: &[f64]| -> Vec<(Fixed, f64)> {
        levels.iter().map(|level| (fixed, *level)).collect()
    };
    let wanted = [
        of(Fixed::Specificity, &parameters.sensitivity_at_specificity),
        of(Fixed::Sensitivity, &parameters.specificity_at_sensitivity),
    ]
    .concat();
    let Some(grounds) = known
        .samples("choose-on", None, parameters)?
        .filter(|_| !wanted.is_empty())
    else {
        return Ok(Vec::new());
    };
    let mut rates = Vec::new();
    for (number, target) in targets.iter().enumerate() {
        let counted: Vec<(f64, bool)> = grounds
            .samples
            .iter()
            .filter_map(|sample| {
                let holds = target.holds(grounds.cases, *sample)?;
                Some((target.score(grounds.cases, *sample), holds))
            })
            .collect();
        let scores: Vec<f64> = counted.iter().map(|(score, _)| *score).collect();
        let steps = Ranking::new(&scores, |sample| counted[sample].1).steps(&vec![1; scores.len()]);
        for (fixed, level) in &wanted {
            let Some(chosen) = fixed.choose(&steps, *level) else {
                continue;
            };
            rates.push(Rate {
                target: number,
                fixed: *fixed,
                level: *level,
                threshold: chosen.map_or(f64::INFINITY, |step| scores[step.sample]),
                chosen_on: scores.len() as u64,
                chosen_among: grounds.name.clone(),
                of_judged: grounds.on == ChooseOn::Judged,
            });
        }
    }
    Ok(rates)
}

/// One target against the rest, over some samples.
pub struct OneAgainstRest {
    name: String,
    /// By falling probability of the target.
    pub ranking: Ranking,
    /// Which samples count.
    counted: Vec<bool>,
    is_group: bool,
    rates: Vec<Here>,
}

/// A rate over these samples.
struct Here {
    fixed: Fixed,
    level: f64,
    /// How many samples in order lie at or above the threshold; none where it is chosen anew.
    cut: Option<usize>,
    names: [String; 4],
}

impl OneAgainstRest {
    /// The target number `number` over the samples `samples`.
    pub fn new(
        cases: &Cases,
        samples: &[usize],
        number: usize,
        target: &Target,
        rates: &[Rate],
    ) -> OneAgainstRest {
        let scores: Vec<f64> = samples
            .iter()
            .map(|sample| target.score(cases, *sample))
            .collect();
        let holds: Vec<Option<bool>> = samples
            .iter()
            .map(|sample| target.holds(cases, *sample))
            .collect();
        let ranking = Ranking::new(&scores, |sample| holds[sample] == Some(true));
        let here = |rate: &Rate| Here {
            fixed: rate.fixed,
            level: rate.level,
            cut: (!rate.of_judged).then(|| ranking.at_least(&scores, rate.threshold)),
            names: [
                "sensitivity",
                "specificity",
                "positive-likelihood-ratio",
                "negative-likelihood-ratio",
            ]
            .map(|figure| rate.figure(figure)),
        };
        OneAgainstRest {
            name: target.name.clone(),
            is_group: target.is_group(),
            rates: rates
                .iter()
                .filter(|rate| rate.target == number)
                .map(here)
                .collect(),
            counted: holds.iter().map(Option::is_some).collect(),
            ranking,
        }
    }

    /// The weights of the samples that count.
    pub fn counting(&self, weights: &[u32]) -> Vec<u32> {
        let both = weights.iter().zip(&self.counted);
        both.map(|(weight, counted)| weight * u32::from(*counted))
            .collect()
    }

    /// What each rate's threshold gives, in order; none where no threshold can be chosen.
    /// `weights` are those that count.
    pub fn at_rates(&self, weights: &[u32]) -> Vec<Option<OneClass>> {
        if self.rates.is_empty() {
            return Vec::new();
        }
        let all = weights.len();
        let cuts: Vec<usize> = self
            .rates
            .iter()
            .map(|rate| rate.cut.unwrap_or(0))
            .chain([all])
            .collect();
        let mut above = self.ranking.first(&cuts, weights);
        let [positives, negatives] = above.pop().unwrap_or_default();
        let anew = self.rates.iter().any(|rate| rate.cut.is_none());
        let steps = if anew {
            self.ranking.steps(weights)
        } else {
            Vec::new()
        };
        let of = |(rate, above): (&Here, [u64; 2])| {
            let [true_positives, false_positives] = match rate.cut {
                Some(_) => above,
                None => {
                    let step = rate.fixed.choose(&steps, rate.level)?.unwrap_or_default();
                    [step.true_positives, step.false_positives]
                }
            };
            Some(OneClass {
                true_positives,
                false_positives,
                false_negatives: positives - true_positives,
                true_negatives: negatives - false_positives,
            })
        };
        self.rates.iter().zip(above).map(of).collect()
    }

    /// Every figure of it; of a class, the plain ones of its ranking are told elsewhere.
    pub fn figures<'s>(&'s self, weights: &[u32], take: Take<'s, '_>) {
        if self.rates.is_empty() && !self.is_group {
            return;
        }
        let weights = self.counting(weights);
        let class = Some(self.name.as_str());
        if self.is_group {
            let figures = self.ranking.figures(&weights);
            let n = weights.iter().map(|weight| u64::from(*weight)).sum();
            take("auroc", class, n, figures.auroc);
            take("average-precision", class, n, figures.average_precision);
        }
        for (rate, cells) in self.rates.iter().zip(self.at_rates(&weights)) {
            let [sensitivity, specificity, positive, negative] = &rate.names;
            let counted = cells.unwrap_or_default();
            let positives = counted.true_positives + counted.false_negatives;
            let negatives = counted.true_negatives + counted.false_positives;
            let all = positives + negatives;
            let value = |of: fn(&OneClass) -> Option<f64>| cells.as_ref().and_then(of);
            take(sensitivity, class, positives, value(OneClass::sensitivity));
            take(specificity, class, negatives, value(OneClass::specificity));
            take(positive, class, all, value(OneClass::positive_likelihood_ratio));
            take(negative, class, all, value(OneClass::negative_likelihood_ratio));
        }
    }
}
