//! `evaluate-detections`: how well predicted lesion boxes meet the true ones: average precision
//! at an overlap, and how far the centres are off (requirements H4 and E3 of the method).
//!
//! Both sorts of boxes are fractions of the original picture, so no picture is needed: overlaps
//! and distances in units of the true box are the same in any resized one. Must not know how
//! boxes are found.

mod judged;
mod matching;
mod report;
#[cfg(test)]
mod tests;

use dermflow_core::{
    Arity, Column, ColumnType, Contract, InputPort, InputSizes, InputTypes, Inputs, OutputPort, PortType,
    Problem, Resources, StageContext, StageError, StageKind, TableType,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attributes::{self, SliceBy};
use crate::bootstrap::Bootstrap;
use crate::boxes::BoxRows;
use crate::metric_rows::metrics_port;
use judged::Judged;

/// See the module.
pub struct EvaluateDetections;

/// What `evaluate-detections` is told under `with:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "EvaluateDetections")]
pub struct EvaluateDetectionsParameters {
    /// A detection meets a true box where their intersection over union is at least this.
    #[serde(default = "half")]
    #[schemars(range(min = 0.01, max = 1.0))]
    overlap: f64,
    /// Judges only the images of this fold of `splits`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fold: Option<String>,
    /// The column of `attributes` whose values stay together in a resample, such as the patient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// Tells every figure for each value of these columns of `attributes` too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    slices: Vec<SliceBy>,
    /// A slice of fewer images is told by its size only.
    #[serde(default = "twenty")]
    #[schemars(range(min = 1))]
    min_samples: u64,
    /// How intervals are made.
    #[serde(default)]
    bootstrap: Bootstrap,
}

fn half() -> f64 {
    0.5
}

fn twenty() -> u64 {
    20
}

impl StageKind for EvaluateDetections {
    type Parameters = EvaluateDetectionsParameters;
    const NAME: &'static str = "evaluate-detections";
    const VERSION: u32 = 2;
    const ABOUT: &'static str =
        "Measures predicted lesion boxes against true ones: average precision and distance of the centres.";
    const EXAMPLE: &'static str = "\
name: evaluate-detections-example
seed: 20
stages:
  detections:
    kind: import-table
    with:
      path: detections.csv
      key: image
      columns: {label: text, x: float64, y: float64, w: float64, h: float64, probability: float32}
  boxes:
    kind: import-table
    with: {path: boxes.csv, key: image, columns: {label: text, x: float64, y: float64, w: float64, h: float64}}
  patients:
    kind: import-table
    with: {path: patients.csv, key: image, columns: {patient: text, device: text}}
  folds:
    kind: import-table
    with: {path: folds.csv, key: image, columns: {fold: text}}
  scores:
    kind: evaluate-detections
    in: {detections: detections.table, boxes: boxes.table, attributes: patients.table, splits: folds.table}
    with:
      overlap: 0.5
      fold: test
      group: patient
      slices: [device]
      min-samples: 30
      bootstrap: {resamples: 2000, level: 0.9}
outputs:
  metrics: scores.metrics
";
    const RANDOM: bool = true;

    fn inputs(parameters: &EvaluateDetectionsParameters) -> Inputs {
        let boxes = Contract::named("Boxes").map_or_else(TableType::any, TableType::of);
        let mut detections = boxes.clone();
        detections
            .columns
            .push(Column::new("probability", ColumnType::Float32));
        let about = "the boxes that were found, with how sure each is, in fractions of the original picture";
        let detections = InputPort::one("detections", PortType::Table(detections), about)
            .reading(BoxRows::COLUMNS.into_iter().chain(["probability"]));
        let about = "the true boxes, in fractions of the original picture";
        let boxes = InputPort::one("boxes", PortType::Table(boxes), about).reading(BoxRows::COLUMNS);
        let about = "the images that were looked through for lesions; without it, those that have a true box";
        let samples = InputPort::one("samples", PortType::Table(TableType::any()), about)
            .with_arity(Arity::Optional)
            .reading([""; 0]);
        let [attributes, splits] = attributes::ports(parameters.group.as_deref(), &parameters.slices);
        Inputs {
            ports: vec![detections, boxes, samples, attributes, splits],
            open: false,
        }
    }

    fn outputs(
        parameters: &EvaluateDetectionsParameters,
        wired: &InputTypes,
    ) -> Result<Vec<OutputPort>, Problem> {
        attributes::check_columns(parameters.group.as_deref(), &parameters.slices, wired)?;
        if parameters.fold.is_some() && !wired.contains_key("splits") {
            return Err(Problem::new(
                "fold",
                "nothing is wired to `splits`, which tells the folds",
            ));
        }
        Ok(vec![
            metrics_port("every figure, of lesions whatever their class, and for each class"),
            report::matches_port(),
        ])
    }

    fn check(parameters: &EvaluateDetectionsParameters) -> Vec<Problem> {
        attributes::check_slices(&parameters.slices)
    }

    fn resources(_: &EvaluateDetectionsParameters, inputs: &InputSizes) -> Resources {
        Resources {
            memory: (256 << 20) + 200 * inputs.rows,
            threads: 0,
        }
    }

    fn run(
        parameters: &EvaluateDetectionsParameters,
        context: &mut dyn StageContext,
    ) -> Result<(), StageError> {
        let judged = Judged::read(parameters, context)?;
        let images = judged.images_of_fold(parameters)?;
        report::metrics(parameters, &judged, &images, context)?;
        report::write_matches(&judged, &images, context)
    }
}
