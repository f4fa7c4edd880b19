//! What `evaluate` is told under `with:`, and what can be wrong with it.

use std::collections::BTreeMap;

use dermflow_core::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attributes::{SliceBy, check_slices};
use crate::bootstrap::Bootstrap;
use crate::class_list::check_names;

/// What `evaluate` is told under `with:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Evaluate")]
pub struct EvaluateParameters {
    /// The model's classes in the order of `probabilities`, where no table is wired to `classes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Judges only the samples of this fold of `splits`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<String>,
    /// The column of `attributes` whose values stay together in a resample, such as the patient.
    /// Without it every sample is drawn by itself, and intervals are too narrow where one patient
    /// has several photos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Tells every figure for each value of these columns of `attributes` too (`fold` of
    /// `splits`), and how far the values are apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<SliceBy>,
    /// A slice of fewer samples is told by its size only.
    #[serde(default = "default_min_samples")]
    #[schemars(range(min = 1))]
    pub min_samples: u64,
    /// Tells how often the true class is among the so many likeliest, for each number.
    #[serde(default = "default_top")]
    #[schemars(inner(range(min = 1)))]
    pub top: Vec<u32>,
    /// How many bins of confidence the calibration is measured in.
    #[serde(default = "default_bins")]
    #[schemars(range(min = 1, max = 1000))]
    pub bins: u32,
    /// Fits one number on a validation fold by which all scores are divided (temperature scaling,
    /// Guo et al. 2017), and tells the figures of calibration once more with it. Decisions and the
    /// other figures stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<Temperature>,
    /// The most points of each curve in `curves`.
    #[serde(default = "default_curve_points")]
    #[schemars(range(min = 2, max = 1_000_000))]
    pub curve_points: u32,
    /// How intervals are made.
    #[serde(default)]
    pub bootstrap: Bootstrap,
    /// Reject options by name: below a threshold the model says that it doesn't know.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub operating_points: BTreeMap<String, OperatingPoint>,
}

fn default_min_samples() -> u64 {
    20
}

fn default_top() -> Vec<u32> {
    vec![3, 5]
}

fn default_bins() -> u32 {
    15
}

fn default_curve_points() -> u32 {
    500
}

/// Where the temperature is fitted: `{fold: valid}`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Temperature {
    /// The fold of `splits` that it is fitted on; never the one that is judged.
    pub fold: String,
}

/// A reject option: `{by: energy, fold: valid, coverage: 0.95}` or `{threshold: 0.6}`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoint {
    /// What is held against the threshold.
    #[serde(default)]
    pub by: Score,
    /// The fold of `splits` that the threshold is chosen on; never the one that is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<String>,
    /// The share of the seen samples of `fold` that the threshold keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0001, max = 1.0))]
    pub coverage: Option<f64>,
    /// A threshold that was chosen elsewhere, in place of `fold` and `coverage`. Kept are
    /// probabilities at or above it, and energies at or below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
}

/// How sure the model is that it knows a sample's class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Score {
    /// The highest probability; higher is surer.
    #[default]
    Probability,
    /// Minus the logarithm of the summed exponentials of the model's scores (Liu et al. 2020), the
    /// column `energy`; lower is surer.
    Energy,
}

impl Score {
    /// As the parameters and the tables write it.
    pub fn name(self) -> &'static str {
        match self {
            Score::Probability => "probability",
            Score::Energy => "energy",
        }
    }

    /// A threshold as written, in the direction in which higher is surer; and back.
    pub fn surer(self, value: f64) -> f64 {
        match self {
            Score::Probability => value,
            Score::Energy => -value,
        }
    }
}

impl EvaluateParameters {
    /// What types and ranges can't express.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = check_names(&self.classes);
        problems.extend(check_slices(&self.slices));
        if let Some(temperature) = &self.temperature {
            if Some(&temperature.fold) == self.fold.as_ref() {
                let message = "it would be fitted on the samples that it is judged on";
                problems
                    .push(Problem::new("temperature.fold", message).with_help("fit it on a validation fold"));
            }
            if self.fold.is_none() {
                let message = "the temperature is fitted on one fold, so `fold` must say which one is judged";
                problems.push(Problem::new("fold", message).with_help("write `fold: test`"));
            }
        }
        for (name, point) in &self.operating_points {
            let here = format!("operating-points.{name}");
            match (point.threshold, &point.fold, point.coverage) {
                (Some(threshold), None, None) if threshold.is_finite() => {}
                (None, Some(_), Some(_)) => {}
                (Some(threshold), None, None) => {
                    let message = format!("{threshold} is no threshold");
                    problems.push(Problem::new(format!("{here}.threshold"), message));
                }
                _ => problems.push(
                    Problem::new(
                        here.clone(),
                        "a threshold is given, or chosen by `fold` and `coverage`",
                    )
                    .with_help("write `{threshold: 0.6}` or `{fold: valid, coverage: 0.95}`"),
                ),
            }
            if point.fold.is_some() && point.fold == self.fold {
                let message = "the threshold would be chosen on the samples that it is judged on";
                problems.push(
                    Problem::new(format!("{here}.fold"), message).with_help("choose it on a validation fold"),
                );
            }
            if point.fold.is_some() && self.fold.is_none() {
                let message = "a threshold is chosen on one fold, so `fold` must say which one is judged";
                problems.push(Problem::new("fold", message).with_help("write `fold: test`"));
            }
        }
        problems
    }

    /// That folds are named only where `splits` tells them.
    pub fn check_folds(&self, splits: bool) -> Result<(), Problem> {
        let chosen = self
            .operating_points
            .iter()
            .find(|(_, point)| point.fold.is_some());
        let parameter = match (&self.fold, chosen) {
            (Some(_), _) => Some("fold".to_string()),
            (None, Some((name, _))) => Some(format!("operating-points.{name}.fold")),
            (None, None) => self.temperature.as_ref().map(|_| "temperature.fold".to_string()),
        };
        match parameter {
            Some(parameter) if !splits => Err(Problem::new(
                parameter,
                "nothing is wired to `splits`, which tells the folds",
            )),
            _ => Ok(()),
        }
    }
}
