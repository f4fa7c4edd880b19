//! `evaluate-foreground`: how well a grid of heat meets the lesion boxes of its image
//! (requirements H5 and E3 of the method).
//!
//! The grid is a `Foreground`, at stride 8 of the stored picture: the foreground annotator's, or
//! any other map in that form, such as a class activation. Every figure is one number an image,
//! and their mean is told: an image with a large lesion counts no more than another. An image whose
//! heat is 0 everywhere counts in the pointing game like any other whose cells are equally hot, and
//! `blank-heat` tells how many such there are; it has no `energy-in-lesion`. Must not know how the heat
//! is made.

mod grid;
mod judged;
#[cfg(test)]
mod tests;

use dermflow_core::{
    Contract, InputPort, InputSizes, InputTypes, Inputs, OutputPort, PortType, Problem, Resources,
    StageContext, StageError, StageKind, TableType,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attributes::{self, SliceBy};
use crate::bootstrap::Bootstrap;
use crate::boxes::{BoxRows, Geometry};
use crate::metric_rows::{metrics_port, write_metrics};
use crate::sliced::Sliced;
use grid::Region;
use judged::{Images, Judged};

/// See the module.
pub struct EvaluateForeground;

/// What `evaluate-foreground` is told under `with:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "EvaluateForeground")]
pub struct EvaluateForegroundParameters {
    /// A cell is foreground where its heat, from 0 to 1, is at least this: for the overlap.
    #[serde(default = "half")]
    #[schemars(range(min = 0.001, max = 1.0))]
    threshold: f64,
    /// Which part of a box is lesion.
    #[serde(default)]
    region: Region,
    /// How many pixels of the stored picture a cell is wide and high.
    #[serde(default = "eight")]
    #[schemars(range(min = 1, max = 1024))]
    stride: u32,
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

fn eight() -> u32 {
    8
}

fn twenty() -> u64 {
    20
}

impl StageKind for EvaluateForeground {
    type Parameters = EvaluateForegroundParameters;
    const NAME: &'static str = "evaluate-foreground";
    const VERSION: u32 = 3;
    const ABOUT: &'static str =
        "Measures foreground heat against lesion boxes: overlap, AUROC, energy and peak.";
    const EXAMPLE: &'static str = "\
name: evaluate-foreground-example
seed: 20
stages:
  heat:
    kind: import-table
    with: {path: foreground.parquet, key: image, columns: {height: integer, width: integer, heat: binary}}
  boxes:
    kind: import-table
    with: {path: boxes.csv, key: image, columns: {label: text, x: float64, y: float64, w: float64, h: float64}}
  photos:
    kind: import-table
    with:
      path: photos.csv
      key: image
      columns:
        width: integer
        height: integer
        placed_left: float64
        placed_top: float64
        placed_width: float64
        placed_height: float64
  patients:
    kind: import-table
    with: {path: patients.csv, key: image, columns: {patient: text, device: text}}
  folds:
    kind: import-table
    with: {path: folds.csv, key: image, columns: {fold: text}}
  scores:
    kind: evaluate-foreground
    in:
      foreground: heat.table
      boxes: boxes.table
      samples: photos.table
      attributes: patients.table
      splits: folds.table
    with:
      threshold: 0.4
      region: ellipse
      stride: 8
      fold: test
      group: patient
      slices: [device]
      min-samples: 30
      bootstrap: {resamples: 2000, level: 0.9}
outputs:
  metrics: scores.metrics
";
    const RANDOM: bool = true;

    fn inputs(parameters: &EvaluateForegroundParameters) -> Inputs {
        let contract =
            |name: &str| PortType::Table(Contract::named(name).map_or_else(TableType::any, TableType::of));
        let samples = TableType {
            contract: "Samples".to_string(),
            open: true,
            ..TableType::exactly(Geometry::columns())
        };
        let about = "the heat of each image";
        let foreground =
            InputPort::one("foreground", contract("Foreground"), about).reading(["height", "width", "heat"]);
        let about = "the true boxes, in fractions of the original picture";
        let boxes = InputPort::one("boxes", contract("Boxes"), about).reading(BoxRows::COLUMNS);
        let about = "how large each stored picture is, and where in it the original lies";
        let samples = InputPort::one("samples", PortType::Table(samples), about).reading(Geometry::COLUMNS);
        let [attributes, splits] = attributes::ports(parameters.group.as_deref(), &parameters.slices);
        Inputs {
            ports: vec![foreground, boxes, samples, attributes, splits],
            open: false,
        }
    }

    fn outputs(
        parameters: &EvaluateForegroundParameters,
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
            metrics_port("every figure, over the images that have both a box and heat"),
            judged::images_port(),
        ])
    }

    fn check(parameters: &EvaluateForegroundParameters) -> Vec<Problem> {
        attributes::check_slices(&parameters.slices)
    }

    fn resources(_: &EvaluateForegroundParameters, inputs: &InputSizes) -> Resources {
        Resources {
            memory: (256 << 20) + 200 * inputs.rows,
            threads: 0,
        }
    }

    fn run(
        parameters: &EvaluateForegroundParameters,
        context: &mut dyn StageContext,
    ) -> Result<(), StageError> {
        let judged = Judged::read(parameters, context)?;
        let all: Vec<u32> = match &parameters.fold {
            Some(fold) => judged.attributes.of_fold("fold", fold)?,
            None => (0..judged.images.len() as u32).collect(),
        };
        let sliced = Sliced {
            attributes: &judged.attributes,
            min_samples: parameters.min_samples,
            bootstrap: &parameters.bootstrap,
            compared: &["overlap", "auroc"],
        };
        let mut rows = sliced.rows(&all, |images| Images::new(&judged, images), context)?;
        rows.push(judged.without_heat());
        write_metrics(context, &rows)?;
        judged::write_images(&judged, context)
    }
}
