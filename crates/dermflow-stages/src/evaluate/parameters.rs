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
    /// Classes that were left out of all training, to see how well the model tells that it doesn't
    /// know them. The run fails where the model knows one of them, or no judged sample is of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<String>,
    /// What thresholds are chosen and the temperature is fitted on, where they don't name a fold
    /// of their own: `validation`, a fold of `splits` (`{fold: valid}`), or `judged`. Left out:
    /// `validation`, where that is wired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choose_on: Option<ChooseOn>,
    /// Classes that count as one, by a name: `{malignant: [melanoma, carcinoma]}`. Each group is told
    /// from the rest by the sum of its probabilities. It may have classes that the model doesn't
    /// know, which count where they are the true ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub class_groups: BTreeMap<String, Vec<String>>,
    /// For each class and each of `class-groups` against the rest: chooses, on what `choose-on` says,
    /// the threshold with the highest sensitivity at which the specificity is at least this, and
    /// tells both on the judged samples. Nothing is told where there is nothing to choose on.
    #[serde(default = "default_rates")]
    #[schemars(inner(range(min = 0.01, max = 1.0)))]
    pub sensitivity_at_specificity: Vec<f64>,
    /// The same with the threshold of the highest specificity at which the sensitivity is at least
    /// this.
    #[serde(default = "default_rates")]
    #[schemars(inner(range(min = 0.01, max = 1.0)))]
    pub specificity_at_sensitivity: Vec<f64>,
    /// The threshold probabilities of `decision-curves`.
    #[serde(default)]
    pub decision_curves: DecisionCurves,
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

fn default_rates() -> Vec<f64> {
    vec![0.8, 0.9, 0.95]
}

/// Which threshold probabilities the net benefit is told for (Vickers and Elkin 2006): so many,
/// evenly from the first to the last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DecisionCurves {
    /// The first.
    #[schemars(range(min = 0.0001, max = 0.9999))]
    pub from: f64,
    /// The last.
    #[schemars(range(min = 0.0001, max = 0.9999))]
    pub to: f64,
    /// How many.
    #[schemars(range(min = 2, max = 1000))]
    pub points: u32,
}

impl Default for DecisionCurves {
    fn default() -> DecisionCurves {
        DecisionCurves {
            from: 0.01,
            to: 0.99,
            points: 99,
        }
    }
}

impl DecisionCurves {
    /// All threshold probabilities, rising.
    pub fn thresholds(&self) -> Vec<f64> {
        let step = (self.to - self.from) / f64::from(self.points - 1);
        (0..self.points)
            .map(|at| self.from + step * f64::from(at))
            .collect()
    }
}

/// The samples that something is chosen on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChooseOn {
    /// Those with a true label in the table wired to `validation`.
    Validation,
    /// A fold of `splits`, never the one that is judged.
    Fold(String),
    /// The very samples that are judged, which makes what is chosen look better than it is: for
    /// describing a curve, not for a threshold that is to be used.
    Judged,
}

impl std::fmt::Display for ChooseOn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ChooseOn::Validation => f.write_str("validation"),
            ChooseOn::Fold(fold) => write!(f, "fold {fold}"),
            ChooseOn::Judged => f.write_str("judged"),
        }
    }
}

/// Where the temperature is fitted: `{fold: valid}`, or `{}` for what `choose-on` says.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Temperature {
    /// The fold of `splits` that it is fitted on; never the one that is judged. Left out: what
    /// `choose-on` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<String>,
}

/// A reject option: `{by: energy, coverage: 0.95}` or `{threshold: 0.6}`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoint {
    /// What is held against the threshold.
    #[serde(default)]
    pub by: Score,
    /// The fold of `splits` that the threshold is chosen on; never the one that is judged. Left
    /// out: what `choose-on` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<String>,
    /// The share that the threshold keeps of the seen samples that it is chosen on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0001, max = 1.0))]
    pub coverage: Option<f64>,
    /// A threshold that was chosen elsewhere, in place of `coverage`. Kept are
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
    /// What is chosen on: an own fold, what `choose-on` says, or `validation` where that is wired.
    pub fn grounds(&self, own: Option<&str>, validation: bool) -> Option<ChooseOn> {
        let own = own.map(|fold| ChooseOn::Fold(fold.to_string()));
        own.or_else(|| self.choose_on.clone())
            .or(validation.then_some(ChooseOn::Validation))
    }

    /// Everything that is chosen on samples, as its parameter, with the fold that it names.
    fn choices(&self) -> Vec<(String, Option<&str>)> {
        let points = self.operating_points.iter();
        let points = points.filter(|(_, point)| point.coverage.is_some());
        let points = points.map(|(name, point)| (format!("operating-points.{name}"), point.fold.as_deref()));
        let temperature = self.temperature.iter();
        let temperature = temperature.map(|one| ("temperature".to_string(), one.fold.as_deref()));
        points.chain(temperature).collect()
    }

    /// Every fold that something is chosen on, with its parameter.
    fn folds(&self) -> Vec<(String, &str)> {
        let own = self.choices().into_iter();
        let own = own.filter_map(|(parameter, fold)| Some((format!("{parameter}.fold"), fold?)));
        let shared = match &self.choose_on {
            Some(ChooseOn::Fold(fold)) => Some(("choose-on.fold".to_string(), fold.as_str())),
            _ => None,
        };
        own.chain(shared).collect()
    }

    /// What types and ranges can't express.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = check_names(&self.classes);
        problems.extend(check_slices(&self.slices));
        problems.extend(self.problems_of_targets());
        for (name, point) in &self.operating_points {
            let here = format!("operating-points.{name}");
            match (point.threshold, &point.fold, point.coverage) {
                (Some(threshold), None, None) if threshold.is_finite() => {}
                (None, _, Some(_)) => {}
                (Some(threshold), None, None) => {
                    let message = format!("{threshold} is no threshold");
                    problems.push(Problem::new(format!("{here}.threshold"), message));
                }
                _ => problems.push(
                    Problem::new(here.clone(), "a threshold is given, or chosen by `coverage`")
                        .with_help("write `{threshold: 0.6}` or `{fold: valid, coverage: 0.95}`"),
                ),
            }
        }
        for (parameter, fold) in self.folds() {
            if Some(fold) == self.fold.as_deref() {
                let message = "it would be chosen on the samples that it is judged on";
                problems.push(Problem::new(parameter, message).with_help("choose it on a validation fold"));
            } else if self.fold.is_none() {
                let message = format!(
                    "`{parameter}` names a fold to choose on, so `fold` must say which one is judged"
                );
                problems.push(Problem::new("fold", message).with_help("write `fold: test`"));
            }
        }
        problems
    }

    /// What is wrong with groups of classes, fixed rates and decision curves.
    fn problems_of_targets(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, members) in &self.class_groups {
            let here = format!("class-groups.{name}");
            if members.is_empty() {
                problems.push(Problem::new(here.clone(), "the group has no class"));
            }
            if self.classes.contains(name) {
                problems.push(Problem::new(here, "a class is called so already"));
            }
        }
        for (name, levels) in [
            ("sensitivity-at-specificity", &self.sensitivity_at_specificity),
            ("specificity-at-sensitivity", &self.specificity_at_sensitivity),
        ] {
            for (at, level) in levels.iter().enumerate() {
                if levels[..at].contains(level) {
                    let message = format!("{level} stands there twice");
                    problems.push(Problem::new(format!("{name}.{at}"), message));
                }
            }
        }
        if self.decision_curves.from >= self.decision_curves.to {
            let message = "the first threshold probability must be below the last";
            problems.push(Problem::new("decision-curves.from", message));
        }
        problems
    }

    /// That folds are named only where `splits` tells them, and that there is something to choose
    /// thresholds on.
    ///
    /// # Errors
    /// Names the parameter and what to wire.
    pub fn check_grounds(&self, splits: bool, validation: bool) -> Result<(), Problem> {
        let folds = self.folds().into_iter().map(|(parameter, _)| parameter);
        let judged = self.fold.iter().map(|_| "fold".to_string());
        if let Some(parameter) = judged.chain(folds).next().filter(|_| !splits) {
            let message = "nothing is wired to `splits`, which tells the folds";
            return Err(Problem::new(parameter, message));
        }
        if self.choose_on == Some(ChooseOn::Validation) && !validation {
            return Err(Problem::new("choose-on", "nothing is wired to `validation`"));
        }
        let homeless = |(_, own): &(String, Option<&str>)| self.grounds(*own, validation).is_none();
        match self.choices().into_iter().find(homeless) {
            Some((parameter, _)) => {
                let message = "it is not said which samples it is chosen on";
                Err(Problem::new(parameter, message).with_help(
                    "wire true labels of other samples to `validation`, or name a `fold` of `splits`",
                ))
            }
            None => Ok(()),
        }
    }
}
