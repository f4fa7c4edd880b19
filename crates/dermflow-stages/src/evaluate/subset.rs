//! All figures of some of the samples: prepared once, then computed for any weights.

use super::cases::Cases;
use super::curves::Curve;
use super::fitted::Fitted;
use super::parameters::{EvaluateParameters, Score};
use super::points::Point;
use crate::scores::calibration::{equal_count, equal_width, equal_width_bin, expected_calibration_error};
use crate::scores::confusion::{Confusion, OneClass};
use crate::scores::ranking::Ranking;
use crate::scores::selective::area_under_risk_coverage;
use crate::scores::temperature::scaled;
use crate::scores::{calibration, mean, share, weighted_mean};
use crate::sliced::{Part, Take};

/// A probability of 0 would make the log-loss infinite: it counts as the step of float32 at 1,
/// as in scikit-learn.
const LEAST_PROBABILITY: f64 = f32::EPSILON as f64;

/// Some samples, numbered from 0 here.
pub struct Subset {
    classes: Vec<String>,
    bins: usize,
    truth: Vec<u32>,
    predicted: Vec<u32>,
    seen: Vec<bool>,
    group: Vec<u32>,
    /// One class against the rest by its probability, class by class.
    by_class: Vec<Ranking>,
    /// By confidence, errors being positive.
    by_confidence: Ranking,
    confidence: Vec<f64>,
    right: Vec<bool>,
    bin: Vec<u32>,
    log_loss: Vec<f64>,
    brier: Vec<f64>,
    /// How many classes are likelier than the true one.
    likelier: Vec<u32>,
    tops: Vec<(String, u32)>,
    unseen: Vec<Unseen>,
    points: Vec<Kept>,
    scaled: Option<Calibrated>,
}

/// What of the probabilities at the fitted temperature is measured.
struct Calibrated {
    by_confidence: Ranking,
    confidence: Vec<f64>,
    bin: Vec<u32>,
    log_loss: Vec<f64>,
    brier: Vec<f64>,
}

/// Seen against unseen samples by one score.
struct Unseen {
    by: Score,
    names: [String; 4],
    seen_first: Ranking,
    unseen_first: Ranking,
}

/// Which samples a reject option keeps.
struct Kept {
    names: [String; 4],
    kept: Vec<bool>,
}

impl Subset {
    /// The samples `samples` of `cases`.
    pub fn new(
        cases: &Cases,
        samples: &[u32],
        parameters: &EvaluateParameters,
        points: &[Point],
        fitted: Option<Fitted>,
    ) -> Subset {
        let (bins, top) = (parameters.bins, &parameters.top);
        let classes = cases.classes.len();
        let all: Vec<usize> = samples.iter().map(|sample| *sample as usize).collect();
        let truth: Vec<u32> = all.iter().map(|sample| cases.truth[*sample]).collect();
        let predicted: Vec<u32> = all.iter().map(|sample| cases.predicted[*sample]).collect();
        let seen: Vec<bool> = all.iter().map(|sample| cases.is_seen(*sample)).collect();
        let confidence: Vec<f64> = all.iter().map(|sample| cases.confidence[*sample]).collect();
        let right: Vec<bool> = truth
            .iter()
            .zip(&predicted)
            .map(|(truth, predicted)| truth == predicted)
            .collect();
        let rows: Vec<&[f32]> = all
            .iter()
            .map(|sample| &cases.probabilities[sample * classes..][..classes])
            .collect();
        let by_class = (0..classes).map(|class| {
            let scores: Vec<f64> = rows.iter().map(|row| f64::from(row[class])).collect();
            Ranking::new(&scores, |sample| truth[sample] as usize == class)
        });
        let of_truth = |of: &dyn Fn(&[f32], usize) -> f64| -> Vec<f64> {
            let both = rows.iter().zip(&truth);
            both.map(|(row, truth)| {
                if (*truth as usize) < classes {
                    of(row, *truth as usize)
                } else {
                    0.0
                }
            })
            .collect()
        };
        let bin = |confidence: &f64| equal_width_bin(*confidence, bins as usize) as u32;
        let scaled =
            fitted.map(|fitted| Calibrated::new(&rows, &truth, &right, bins as usize, fitted.temperature));
        Subset {
            scaled,
            classes: cases.classes.names().to_vec(),
            bins: bins as usize,
            by_class: by_class.collect(),
            by_confidence: Ranking::new(&confidence, |sample| !right[sample]),
            bin: confidence.iter().map(bin).collect(),
            log_loss: of_truth(&log_loss),
            brier: of_truth(&brier),
            likelier: of_truth(&likelier)
                .into_iter()
                .map(|count| count as u32)
                .collect(),
            tops: top
                .iter()
                .map(|top| (format!("top-{top}-accuracy"), *top))
                .collect(),
            unseen: unseen(cases, &all, &seen),
            points: points.iter().map(|point| Kept::new(cases, &all, point)).collect(),
            group: all.iter().map(|sample| cases.attributes.group[*sample]).collect(),
            truth,
            predicted,
            seen,
            confidence,
            right,
        }
    }

    /// How many samples.
    fn len(&self) -> usize {
        self.truth.len()
    }

    /// Each sample counts once.
    fn unit_weights(&self) -> Vec<u32> {
        vec![1; self.len()]
    }

    fn seen_weights(&self, weights: &[u32]) -> Vec<u32> {
        let both = weights.iter().zip(&self.seen);
        both.map(|(weight, seen)| weight * u32::from(*seen)).collect()
    }

    /// Figures of the predicted class alone.
    fn decisions<'s>(&'s self, seen: &[u32], n: u64, take: Take<'s, '_>) {
        let mut confusion = Confusion::new(self.classes.len());
        for (sample, weight) in seen.iter().enumerate().filter(|(_, weight)| **weight > 0) {
            confusion.add(self.truth[sample], self.predicted[sample], *weight);
        }
        take("accuracy", None, n, confusion.accuracy());
        take("balanced-accuracy", None, n, confusion.balanced_accuracy());
        take("macro-f1", None, n, confusion.macro_f1());
        take("weighted-f1", None, n, confusion.weighted_f1());
        take("matthews-correlation", None, n, confusion.matthews_correlation());
        take("cohen-kappa", None, n, confusion.cohen_kappa());
        for (class, one) in self.classes.iter().zip(confusion.one_class_each()) {
            let OneClass {
                true_positives,
                false_positives,
                false_negatives,
                true_negatives,
            } = one;
            let of = Some(class.as_str());
            take(
                "sensitivity",
                of,
                true_positives + false_negatives,
                one.sensitivity(),
            );
            take(
                "specificity",
                of,
                true_negatives + false_positives,
                one.specificity(),
            );
            take("precision", of, true_positives + false_positives, one.precision());
            let negative = true_negatives + false_negatives;
            take(
                "negative-predictive-value",
                of,
                negative,
                one.negative_predictive_value(),
            );
            take("f1", of, true_positives + false_negatives, one.f1());
        }
    }

    /// Figures of the probabilities.
    fn probabilities<'s>(&'s self, seen: &[u32], n: u64, take: Take<'s, '_>) {
        let of_classes: Vec<_> = self
            .by_class
            .iter()
            .map(|ranking| ranking.figures(seen))
            .collect();
        take(
            "macro-auroc",
            None,
            n,
            mean(of_classes.iter().filter_map(|figures| figures.auroc)),
        );
        let precisions = of_classes.iter().filter_map(|figures| figures.average_precision);
        take("macro-average-precision", None, n, mean(precisions));
        for (class, figures) in self.classes.iter().zip(of_classes) {
            take("auroc", Some(class), n, figures.auroc);
            take("average-precision", Some(class), n, figures.average_precision);
        }
        for (name, top) in &self.tops {
            let among: u64 = self
                .likelier
                .iter()
                .zip(seen)
                .filter(|(likelier, _)| *likelier < top)
                .map(|(_, weight)| u64::from(*weight))
                .sum();
            take(name, None, n, share(among, n));
        }
        take("log-loss", None, n, weighted_mean(&self.log_loss, seen));
        take("brier", None, n, weighted_mean(&self.brier, seen));
        let [width, count] = self.reliability(seen);
        take(
            "expected-calibration-error",
            None,
            n,
            expected_calibration_error(&width),
        );
        take(
            "adaptive-calibration-error",
            None,
            n,
            expected_calibration_error(&count),
        );
        let risk = area_under_risk_coverage(&self.by_confidence, seen);
        take("area-under-risk-coverage", None, n, risk);
        if let Some(scaled) = &self.scaled {
            let [width, count] = scaled.reliability(self.bins, &self.right, seen);
            let errors = [&width, &count].map(|bins| expected_calibration_error(bins));
            take("log-loss-scaled", None, n, weighted_mean(&scaled.log_loss, seen));
            take("brier-scaled", None, n, weighted_mean(&scaled.brier, seen));
            take("expected-calibration-error-scaled", None, n, errors[0]);
            take("adaptive-calibration-error-scaled", None, n, errors[1]);
        }
    }

    /// Bins of equal width and of equal count over seen samples with these weights.
    fn reliability(&self, seen: &[u32]) -> [Vec<calibration::Bin>; 2] {
        let width = equal_width(self.bins, &self.bin, &self.confidence, &self.right, seen);
        let count = equal_count(
            self.bins,
            &self.by_confidence,
            &self.confidence,
            &self.right,
            seen,
        );
        [width, count]
    }

    /// Bins of equal width and of equal count over the seen samples.
    pub fn reliability_bins(&self) -> [Vec<calibration::Bin>; 2] {
        self.reliability(&self.seen_weights(&self.unit_weights()))
    }

    /// The same with the probabilities at the fitted temperature, where one was fitted.
    pub fn scaled_reliability_bins(&self) -> Option<[Vec<calibration::Bin>; 2]> {
        let seen = self.seen_weights(&self.unit_weights());
        let scaled = self.scaled.as_ref()?;
        Some(scaled.reliability(self.bins, &self.right, &seen))
    }

    /// Each class against the rest over the seen samples, and seen against unseen ones; `samples`
    /// are those that the subset was made of.
    pub fn curves(&self, cases: &Cases, samples: &[u32]) -> Vec<Curve> {
        let seen = self.seen_weights(&self.unit_weights());
        let classes = self.classes.len();
        let all: Vec<usize> = samples.iter().map(|sample| *sample as usize).collect();
        let of_class = |(class, ranking): (usize, &Ranking)| Curve {
            class: Some(self.classes[class].clone()),
            by: Score::Probability.name(),
            scores: all
                .iter()
                .map(|sample| f64::from(cases.probabilities[sample * classes + class]))
                .collect(),
            steps: ranking.steps(&seen),
        };
        let mut curves: Vec<Curve> = self.by_class.iter().enumerate().map(of_class).collect();
        curves.extend(self.unseen.iter().map(|unseen| {
            Curve {
                class: None,
                by: unseen.by.name(),
                scores: all
                    .iter()
                    .map(|sample| {
                        unseen
                            .by
                            .surer(cases.sureness(unseen.by, *sample).unwrap_or(f64::NAN))
                    })
                    .collect(),
                steps: unseen.seen_first.steps(&self.unit_weights()),
            }
        }));
        curves
    }
}

impl Part for Subset {
    fn figures<'p>(&'p self, groups: &[u32], take: Take<'p, '_>) {
        let weights: Vec<u32> = self.group.iter().map(|group| groups[*group as usize]).collect();
        let seen = self.seen_weights(&weights);
        let total = |weights: &[u32]| -> u64 { weights.iter().map(|weight| u64::from(*weight)).sum() };
        let (all, known) = (total(&weights), total(&seen));
        take("coverage", None, all, share(known, all));
        self.decisions(&seen, known, take);
        self.probabilities(&seen, known, take);
        for unseen in &self.unseen {
            unseen.figures(&weights, all, take);
        }
        if !self.unseen.is_empty() {
            let others: Vec<u32> = weights.iter().zip(&seen).map(|(all, seen)| all - seen).collect();
            let of_unseen = weighted_mean(&self.confidence, &others);
            take(
                "mean-probability-of-seen",
                None,
                known,
                weighted_mean(&self.confidence, &seen),
            );
            take("mean-probability-of-unseen", None, all - known, of_unseen);
        }
        for point in &self.points {
            point.figures(self, &weights, take);
        }
    }
}

impl Calibrated {
    /// Of these samples' probabilities. Samples of unseen classes get zeros, which no figure counts.
    fn new(rows: &[&[f32]], truth: &[u32], right: &[bool], bins: usize, temperature: f64) -> Calibrated {
        let mut calibrated = Calibrated {
            by_confidence: Ranking::new(&[], |_| false),
            confidence: Vec::with_capacity(rows.len()),
            bin: Vec::with_capacity(rows.len()),
            log_loss: Vec::with_capacity(rows.len()),
            brier: Vec::with_capacity(rows.len()),
        };
        for (row, truth) in rows.iter().zip(truth) {
            let row = scaled(row, temperature);
            let confidence = row.iter().copied().fold(0.0, f64::max).min(1.0);
            calibrated.confidence.push(confidence);
            calibrated.bin.push(equal_width_bin(confidence, bins) as u32);
            let seen = (*truth as usize) < row.len();
            let of =
                |figure: fn(&[f64], usize) -> f64| if seen { figure(&row, *truth as usize) } else { 0.0 };
            calibrated.log_loss.push(of(log_loss_of));
            calibrated.brier.push(of(brier_of));
        }
        calibrated.by_confidence = Ranking::new(&calibrated.confidence, |sample| !right[sample]);
        calibrated
    }

    fn reliability(&self, bins: usize, right: &[bool], seen: &[u32]) -> [Vec<calibration::Bin>; 2] {
        let width = equal_width(bins, &self.bin, &self.confidence, right, seen);
        let count = equal_count(bins, &self.by_confidence, &self.confidence, right, seen);
        [width, count]
    }
}

fn log_loss(row: &[f32], truth: usize) -> f64 {
    log_loss_of(&as_doubles(row), truth)
}

fn log_loss_of(row: &[f64], truth: usize) -> f64 {
    -libm::log(row[truth].clamp(LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY))
}

fn brier(row: &[f32], truth: usize) -> f64 {
    brier_of(&as_doubles(row), truth)
}

/// The squared distance to the one-hot vector, from 0 to 2.
fn brier_of(row: &[f64], truth: usize) -> f64 {
    let distance = |(class, share): (usize, &f64)| {
        let distance = share - if class == truth { 1.0 } else { 0.0 };
        distance * distance
    };
    row.iter().enumerate().map(distance).sum()
}

fn as_doubles(row: &[f32]) -> Vec<f64> {
    row.iter().map(|share| f64::from(*share)).collect()
}

/// How many classes are likelier; of equal ones the first in the list comes first.
fn likelier(row: &[f32], truth: usize) -> f64 {
    let before =
        |(class, share): (usize, &f32)| *share > row[truth] || (*share == row[truth] && class < truth);
    row.iter().enumerate().filter(|one| before(*one)).count() as f64
}

/// None where all samples are seen or all are unseen.
fn unseen(cases: &Cases, samples: &[usize], seen: &[bool]) -> Vec<Unseen> {
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
    fn figures<'s>(&'s self, weights: &[u32], n: u64, take: Take<'s, '_>) {
        let figures = self.seen_first.figures(weights);
        let unseen_first = self.unseen_first.figures(weights);
        let [auroc, at_95, of_seen, of_unseen] = &self.names;
        take(auroc, None, n, figures.auroc);
        take(at_95, None, n, figures.false_positive_rate_at_95);
        take(of_seen, None, n, figures.average_precision);
        take(of_unseen, None, n, unseen_first.average_precision);
    }
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

impl Kept {
    fn new(cases: &Cases, samples: &[usize], point: &Point) -> Kept {
        let kept = |sample: &usize| {
            let sure = cases.sureness(point.by, *sample);
            sure.is_some_and(|sure| sure >= point.threshold)
        };
        Kept {
            names: ["coverage", "risk", "unseen-rejected", "risk-with-unseen"]
                .map(|figure| format!("{figure}-at-{}", point.name)),
            kept: samples.iter().map(kept).collect(),
        }
    }

    fn rejection(&self, subset: &Subset, weights: &[u32]) -> Rejection {
        let mut rejection = Rejection::default();
        for (sample, weight) in weights.iter().enumerate() {
            let (kept, weight) = (self.kept[sample], u64::from(*weight));
            if subset.seen[sample] {
                rejection.seen += weight;
                rejection.kept += weight * u64::from(kept);
                rejection.wrong += weight * u64::from(kept && !subset.right[sample]);
            } else {
                rejection.unseen += weight;
                rejection.rejected += weight * u64::from(!kept);
            }
        }
        rejection
    }

    fn figures<'s>(&'s self, subset: &Subset, weights: &[u32], take: Take<'s, '_>) {
        let rejection = self.rejection(subset, weights);
        let [coverage, risk, rejected, with_unseen] = &self.names;
        take(coverage, None, rejection.seen, rejection.coverage());
        take(risk, None, rejection.kept, rejection.risk());
        take(rejected, None, rejection.unseen, rejection.unseen_rejected());
        let kept = rejection.kept + rejection.unseen - rejection.rejected;
        take(with_unseen, None, kept, rejection.risk_with_unseen());
    }
}

impl Subset {
    /// What each reject option does, in the order that they were given in.
    pub fn rejections(&self) -> Vec<Rejection> {
        let weights = self.unit_weights();
        self.points
            .iter()
            .map(|point| point.rejection(self, &weights))
            .collect()
    }
}
