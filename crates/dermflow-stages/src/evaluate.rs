//! `evaluate`: how good predictions are, with intervals, overall and for each slice
//! (requirements E2, E4 and E6 of the method).
//!
//! Three sorts of samples. Those whose true class the model knows are *seen*: accuracy, AUROC,
//! calibration and all figures of one class are over them. Those of another class are *unseen*:
//! what counts is whether they can be told from seen ones, by the highest probability or by the
//! energy. Samples without a true label, or outside of `fold`, are not judged. Must not know how
//! predictions are made.

mod calibrated;
mod cases;
mod curves;
mod decision_curves;
mod fitted;
mod fixed_rates;
mod grounds;
pub mod paired;
mod parameters;
mod points;
mod proportions;
mod rates;
mod rejection;
mod report;
mod subset;
mod tables;
mod targets;
#[cfg(test)]
mod tests;
mod unseen;

use dermflow_core::{
    Arity, Contract, InputPort, InputSizes, InputTypes, Inputs, OutputPort, PortType, Problem, Resources,
    StageContext, StageError, StageKind, TableType,
};

pub use parameters::EvaluateParameters;

use crate::columns::wired_table;
use crate::{attributes, class_list, metric_rows};
use cases::Cases;
use grounds::Known;
use parameters::Score;
use subset::{Setup, Subset};
use targets::Target;

/// See the module.
pub struct Evaluate;

impl StageKind for Evaluate {
    type Parameters = EvaluateParameters;
    const NAME: &'static str = "evaluate";
    const VERSION: u32 = 5;
    const ABOUT: &'static str =
        "Measures predictions against true labels, with bootstrap intervals, overall and for each slice.";
    const EXAMPLE: &'static str = "\
name: evaluate-example
seed: 20
stages:
  predictions:
    kind: import-table
    with:
      path: predictions.parquet
      key: image
      columns: {label: text, probability: float32, probabilities: {list: float32}, energy: float32}
  truth:
    kind: import-table
    with: {path: labels.csv, key: image, columns: {label: text}}
  patients:
    kind: import-table
    with: {path: patients.csv, key: image, columns: {patient: text, skin_type: integer, age: float64}}
  folds:
    kind: import-table
    with: {path: folds.csv, key: image, columns: {fold: text}}
  scores:
    kind: evaluate
    in: {predictions: predictions.table, truth: truth.table, attributes: patients.table, splits: folds.table}
    with:
      classes: [melanoma, nevus]
      fold: test
      group: patient
      slices: [skin_type, {column: age, bounds: [40, 65]}]
      min-samples: 30
      top: [2]
      bins: 10
      temperature: {fold: valid}
      curve-points: 100
      bootstrap: {resamples: 2000, level: 0.9}
      choose-on: {fold: valid}
      class-groups: {malignant: [melanoma, carcinoma]}
      sensitivity-at-specificity: [0.9]
      specificity-at-sensitivity: [0.95]
      decision-curves: {from: 0.05, to: 0.5, points: 10}
      unseen: [carcinoma]
      operating-points:
        cautious: {by: energy, coverage: 0.95}
        fixed: {threshold: 0.6}
outputs:
  metrics: scores.metrics
  confusion: scores.confusion
";
    const RANDOM: bool = true;

    fn inputs(parameters: &EvaluateParameters) -> Inputs {
        let labels = Contract::named("Labels").map_or_else(TableType::any, TableType::of);
        let truth = InputPort::one("truth", PortType::Table(labels), "the true label of each sample")
            .reading(["label"]);
        let predictions = class_list::predictions_port("what the model said", &["energy"]);
        let [attributes, splits] = attributes::ports(parameters.group.as_deref(), &parameters.slices);
        let about = "true labels of other samples that `predictions` has, to choose thresholds on";
        let labels = Contract::named("Labels").map_or_else(TableType::any, TableType::of);
        let validation = InputPort::one("validation", PortType::Table(labels), about)
            .with_arity(Arity::Optional)
            .reading(["label"]);
        let classes = class_list::classes_port();
        Inputs {
            ports: vec![predictions, truth, classes, attributes, splits, validation],
            open: false,
        }
    }

    fn outputs(parameters: &EvaluateParameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        class_list::check_source(&parameters.classes, wired)?;
        attributes::check_columns(parameters.group.as_deref(), &parameters.slices, wired)?;
        parameters.check_grounds(wired.contains_key("splits"), wired.contains_key("validation"))?;
        let predictions = wired_table(wired, "predictions");
        for (name, point) in &parameters.operating_points {
            if point.by == Score::Energy && !predictions.open && predictions.column("energy").is_none() {
                let message = "the predictions have no column `energy`";
                return Err(Problem::new(format!("operating-points.{name}.by"), message));
            }
        }
        Ok(vec![
            metric_rows::metrics_port("every figure, overall, for each class and for each slice"),
            tables::confusion_port(),
            tables::reliability_port(),
            tables::operating_points_port(),
            curves::curves_port(),
            fixed_rates::fixed_rates_port(),
            decision_curves::decision_curves_port(),
            proportions::proportions_port(),
        ])
    }

    fn check(parameters: &EvaluateParameters) -> Vec<Problem> {
        parameters.problems()
    }

    fn resources(_: &EvaluateParameters, inputs: &InputSizes) -> Resources {
        Resources {
            // Probabilities as they are, an order of the samples for each class, and losses.
            memory: (256 << 20) + 4 * inputs.bytes + 256 * inputs.rows,
            threads: 0,
        }
    }

    fn run(parameters: &EvaluateParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let cases = Cases::read(parameters, context)?;
        let validation = Cases::read_validation(parameters, context)?;
        let judged = cases.judged(parameters)?;
        if let Some(validation) = &validation {
            cases.check_apart(&judged, validation)?;
            if !(0..validation.truth.len()).any(|sample| validation.is_seen(sample)) {
                context
                    .log("the model knows the class of no sample of `validation`: nothing is chosen on it");
            }
        }
        cases.check_unseen(&judged, &parameters.unseen)?;
        let known = Known {
            cases: &cases,
            judged: &judged,
            validation: validation.as_ref(),
        };
        let targets = Target::all(parameters, &cases.classes)?;
        let setup = Setup {
            points: points::choose(parameters, &known)?,
            fitted: fitted::fit(parameters, &known)?,
            rates: rates::choose(parameters, &known, &targets)?,
            parameters,
            targets,
        };
        let rows = report::metrics(parameters, &cases, &judged, &setup, context)?;
        let whole = Subset::new(&cases, &judged, &setup);
        let curves = whole.curves(&cases, &judged, &setup);
        curves::write_curves(&curves, parameters.curve_points as usize, context)?;
        tables::write_confusion(&cases, &judged, context)?;
        tables::write_reliability(&whole, context)?;
        tables::write_operating_points(&whole, &setup.points, context)?;
        let given = whole.at_rates();
        fixed_rates::write_fixed_rates(&setup.rates, &setup.targets, &given, &rows, context)?;
        decision_curves::write_decision_curves(parameters, &setup.targets, &cases, &judged, context)
    }
}
