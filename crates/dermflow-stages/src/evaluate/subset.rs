//! All figures of some of the samples: prepared once, then computed for any weights.

use super::calibrated::{Calibrated, brier, log_loss};
use super::cases::Cases;
use super::curves::Curve;
use super::fitted::Fitted;
use super::parameters::{EvaluateParameters, Score};
use super::points::Point;
use super::rates::{OneAgainstRest, Rate};
use super::rejection::{Judged, Kept, Rejection};
use super::targets::Target;
use super::unseen::{Unseen, unseen};
use crate::scores::calibration::{equal_count, equal_width, equal_width_bin, expected_calibration_error};
use crate::scores::confusion::{Confusion, OneClass};
use crate::scores::ranking::Ranking;
use crate::scores::selective::area_under_risk_coverage;
use crate::scores::{calibration, mean, share, weighted_mean};
use crate::sliced::{Part, Take};

/// What is measured, and how, with all that was chosen beforehand.
pub struct Setup<'a> {
    /// As they are written.
    pub parameters: &'a EvaluateParameters,
    /// The reject options.
    pub points: Vec<Point>,
    /// The temperature.
    pub fitted: Option<Fitted>,
    /// What is told from the rest: the model's classes, and groups of classes.
    pub targets: Vec<Target>,
    /// Rates that are fixed.
    pub rates: Vec<Rate>,
}

/// Some samples, numbered from 0 here.
pub struct Subset {
    classes: Vec<String>,
    bins: usize,
    truth: Vec<u32>,
    predicted: Vec<u32>,
    seen: Vec<bool>,
    group: Vec<u32>,
    /// Each class against the rest by its probability, then each group of classes.
    targets: Vec<OneAgainstRest>,
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

impl Subset {
    /// The samples `samples` of `cases`.
    pub fn new(cases: &Cases, samples: &[u32], setup: &Setup<'_>) -> Subset {
        let Setup {
            parameters, fitted, ..
        } = setup;
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
        let targets = setup.targets.iter().enumerate();
        let targets =
            targets.map(|(number, target)| OneAgainstRest::new(cases, &all, number, target, &setup.rates));
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
            targets: targets.collect(),
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
            points: setup
                .points
                .iter()
                .map(|point| Kept::new(cases, &all, point))
                .collect(),
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
            .by_class()
            .map(|target| target.ranking.figures(seen))
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

    /// The model's classes against the rest.
    fn by_class(&self) -> impl Iterator<Item = &OneAgainstRest> {
        self.targets.iter().take(self.classes.len())
    }

    /// What each fixed rate's threshold gives, in the order of `setup.rates`.
    pub fn at_rates(&self) -> Vec<Option<OneClass>> {
        let weights = self.unit_weights();
        let of = |target: &OneAgainstRest| target.at_rates(&target.counting(&weights));
        self.targets.iter().flat_map(of).collect()
    }

    /// Each class, and each group of classes, against the rest, and seen against unseen samples;
    /// `samples` are those that the subset was made of, with `setup`.
    pub fn curves(&self, cases: &Cases, samples: &[u32], setup: &Setup<'_>) -> Vec<Curve> {
        let weights = self.unit_weights();
        let all: Vec<usize> = samples.iter().map(|sample| *sample as usize).collect();
        let of_target = |(target, own): (&Target, &OneAgainstRest)| Curve {
            class: Some(target.name.clone()),
            by: Score::Probability.name(),
            scores: all.iter().map(|sample| target.score(cases, *sample)).collect(),
            steps: own.ranking.steps(&own.counting(&weights)),
        };
        let targets = setup.targets.iter().zip(&self.targets);
        let mut curves: Vec<Curve> = targets.map(of_target).collect();
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
        for target in &self.targets {
            target.figures(&weights, take);
        }
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
            point.figures(self.judged(), &weights, take);
        }
    }
}

/// How many classes are likelier; of equal ones the first in the list comes first.
fn likelier(row: &[f32], truth: usize) -> f64 {
    let before =
        |(class, share): (usize, &f32)| *share > row[truth] || (*share == row[truth] && class < truth);
    row.iter().enumerate().filter(|one| before(*one)).count() as f64
}

impl Subset {
    fn judged(&self) -> Judged<'_> {
        Judged {
            seen: &self.seen,
            right: &self.right,
        }
    }

    /// What each reject option does, in the order that they were given in.
    pub fn rejections(&self) -> Vec<Rejection> {
        let weights = self.unit_weights();
        self.points
            .iter()
            .map(|point| point.rejection(self.judged(), &weights))
            .collect()
    }
}
