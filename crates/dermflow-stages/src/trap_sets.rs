//! `trap-sets`: the same test again, once with the lesions taken out and once with every
//! background changed for another picture's. A sound classifier falls to chance on the first and
//! holds on the second; one that goes by the surroundings does the opposite (after Bissoto et al.
//! 2019, "(De)Constructing Bias on Skin Lesion Datasets").
//!
//! Rows keep their sample ids, so that true labels, folds and patients join as before. Must not
//! know of models or of labels to be predicted.

mod regions;
mod swap;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Float64Array, RecordBatch};
use dermflow_core::{
    Arity, Column, ColumnType, Contract, InputPort, InputSizes, InputTypes, Inputs, OutputPort, PortType,
    Problem, Resources, SampleId, StageContext, StageError, StageKind, TableType, TableWriter, sample_ids,
};
use dermflow_vision::picture::Picture;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::boxes::BoxRows;
use crate::learning::classifier_ports::contract;
use crate::learning::infer::{Part, Pictures};
use crate::rejects::Rejects;
use regions::Region;
use swap::{Candidates, Made};

/// See the module.
pub struct TrapSets;

/// What `trap-sets` is told under `with:`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[schemars(rename = "TrapSets")]
pub struct TrapSetsParameters {
    /// What counts as lesion.
    region: Region,
    /// How much larger a box or ellipse is taken on each side, as a share of that side: lesions
    /// reach beyond the ellipse in their box, and boxes are drawn tightly.
    #[schemars(range(min = 0.0, max = 1.0))]
    margin: f64,
    /// The least value of the foreground map, from 0 to 1, that counts as lesion, where `region`
    /// is `foreground`.
    #[schemars(range(min = 0.001, max = 1.0))]
    threshold: f64,
    /// What the place of a lesion is filled with.
    fill: Fill,
    /// Over how much of the longer side of the picture a swapped background blends into the skin
    /// around the lesion.
    #[schemars(range(min = 0.0, max = 0.5))]
    feather: f64,
    /// Whose background a lesion is put on.
    donors: Donors,
    /// A picture of which lesions cover more than this share is left out: it has no background.
    #[schemars(range(min = 0.01, max = 1.0))]
    most_area: f64,
    /// Makes only the samples of this fold of `splits`, with backgrounds from the same fold.
    #[serde(skip_serializing_if = "Option::is_none")]
    fold: Option<String>,
}

impl Default for TrapSetsParameters {
    fn default() -> TrapSetsParameters {
        TrapSetsParameters {
            region: Region::default(),
            margin: 0.1,
            threshold: 0.5,
            fill: Fill::default(),
            feather: 0.03,
            donors: Donors::default(),
            most_area: 0.9,
            fold: None,
        }
    }
}

/// What the place of a lesion is filled with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fill {
    /// The skin around it goes on over it, without an edge that would tell its shape.
    #[default]
    Smooth,
    /// The mean colour of the rest of the picture. Shape and size can still be seen.
    Mean,
    /// Black. Shape and size can still be seen.
    Black,
}

/// Whose background a lesion is put on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Donors {
    /// Any sample of another group.
    #[default]
    Any,
    /// Only one of another class, by the label of the first box: a background that goes with
    /// the class then never fits by chance.
    OtherClass,
}

impl StageKind for TrapSets {
    type Parameters = TrapSetsParameters;
    const NAME: &'static str = "trap-sets";
    const VERSION: u32 = 1;
    const ABOUT: &'static str = "Makes a test set again without its lesions, and again with its backgrounds swapped between patients.";
    const EXAMPLE: &'static str = "\
name: trap-sets-example
seed: 20
stages:
  photos:
    kind: ingest
    with: {root: photos, size: 96}
  labels:
    kind: import-labels
    in: {samples: photos.samples}
    with: {path: labels.csv}
  boxes:
    kind: import-boxes
    in: {samples: photos.samples}
    with: {path: boxes.csv, unit: fractions, box: {corners: [x0, y0, x1, y1]}}
  folds:
    kind: split
    in: {samples: photos.samples}
    with: {shares: {train: 0.8, test: 0.2}}
  classifier:
    kind: classifier-train
    in: {samples: photos.samples, labels: labels.labels, splits: folds.splits}
    with: {side: 96}
  traps:
    kind: trap-sets
    in: {samples: photos.samples, boxes: boxes.boxes, splits: folds.splits}
    with:
      region: ellipse
      margin: 0.2
      fill: smooth
      feather: 0.04
      donors: other-class
      most-area: 0.8
      fold: test
  without-lesions:
    kind: classifier-infer
    in: {samples: traps.masked, model: classifier.model}
  on-other-skin:
    kind: classifier-infer
    in: {samples: traps.swapped, model: classifier.model}
outputs:
  without-lesions: without-lesions.predictions
  on-other-skin: on-other-skin.predictions
  backgrounds: traps.swaps
";
    const RANDOM: bool = true;

    fn inputs(_: &TrapSetsParameters) -> Inputs {
        let optional = |name: &str, of: &str, about, columns: &[&str]| {
            InputPort::one(name, contract(of), about)
                .with_arity(Arity::Optional)
                .reading(columns.iter().copied())
        };
        let samples = samples_type();
        let columns = samples.columns.iter().map(|column| column.name.clone()).skip(1);
        Inputs {
            ports: vec![
                InputPort::one("samples", contract("Samples"), "the test set").reading(columns),
                optional("boxes", "Boxes", "the lesions", &BoxRows::COLUMNS),
                optional(
                    "foreground",
                    "Foreground",
                    "maps of the lesions, where `region` is `foreground`",
                    &["height", "width", "heat"],
                ),
                optional("splits", "Splits", "which fold a sample is of", &["fold"]),
            ],
            open: false,
        }
    }

    fn outputs(parameters: &TrapSetsParameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        let by_map = parameters.region == Region::Foreground;
        let (needed, parameter) = match (by_map, parameters.donors) {
            (true, _) if !wired.contains_key("foreground") => ("foreground", "region"),
            (false, _) if !wired.contains_key("boxes") => ("boxes", "region"),
            (true, Donors::OtherClass) if !wired.contains_key("boxes") => ("boxes", "donors"),
            _ => ("", ""),
        };
        if !needed.is_empty() {
            let message = format!("it needs the input `{needed}`, to which nothing is wired");
            return Err(Problem::new(parameter, message));
        }
        if parameters.fold.is_some() && !wired.contains_key("splits") {
            let message = "nothing is wired to `splits`, which tells the folds";
            return Err(Problem::new("fold", message));
        }
        let samples = |name, about| OutputPort::new(name, PortType::Table(samples_type()), about);
        Ok(vec![
            samples("masked", "the pictures with the skin around over their lesions"),
            samples("swapped", "the lesions on the background of other pictures"),
            OutputPort::new(
                "swaps",
                PortType::Table(swaps_type()),
                "whose background each sample got, and how much of it is lesion",
            ),
            Rejects::port("samples that could not be made, and why; both sets lack them"),
        ])
    }

    fn resources(_: &TrapSetsParameters, inputs: &InputSizes) -> Resources {
        Resources {
            memory: (512 << 20) + 400 * inputs.rows,
            threads: 0,
        }
    }

    fn run(parameters: &TrapSetsParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let candidates = Candidates::gather(parameters, context)?;
        let mut writers = Writers::open(context)?;
        let mut rejects = Rejects::open(context)?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(context.threads().max(1))
            .build();
        let pool = pool.map_err(|error| StageError::new(format!("starting threads: {error}")))?;
        let mut pictures = Pictures::of(context, "samples")?;
        let (total, mut done) = (pictures.rows(), 0);
        while let Some(part) = pictures.next_part()? {
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            let ids = crate::columns::ids_of(&part.rows)?;
            let wanted: Vec<usize> = (0..part.pictures.len())
                .filter(|row| candidates.is_wanted(ids.value(*row)))
                .collect();
            let one = |row: &usize| candidates.make(ids.value(*row), &part.pictures[*row], parameters);
            let made: Vec<Result<Made, String>> =
                pool.install(|| wanted.par_iter().map(one).collect::<Result<_, StageError>>())?;
            for (row, made) in wanted.into_iter().zip(made) {
                match made {
                    Ok(made) => writers.write(&part, row, made)?,
                    Err(reason) => reject(&mut rejects, &part, row, reason)?,
                }
            }
            done += part.pictures.len() as u64;
            context.progress(done, Some(total));
        }
        let refused = rejects.count();
        if refused > 0 {
            context.log(&format!(
                "{refused} samples could not be made: see the output `rejects`"
            ));
        }
        context.metric("samples left out", refused as f64);
        writers.finish()?;
        rejects.finish()
    }
}

/// Exactly the columns of the contract.
fn samples_type() -> TableType {
    // The contract is in the constant list of contracts; `any` only keeps this total.
    let mut samples = Contract::named("Samples").map_or_else(TableType::any, TableType::of);
    samples.open = false;
    samples
}

fn swaps_type() -> TableType {
    TableType::exactly([
        Column::new("donor", ColumnType::SampleId),
        Column::new("lesion_area", ColumnType::Float64),
    ])
}

fn reject(rejects: &mut Rejects, part: &Part, row: usize, reason: String) -> Result<(), StageError> {
    let mut id = [0; 32];
    id.copy_from_slice(crate::columns::ids_of(&part.rows)?.value(row));
    let source = crate::class_list::text(&part.rows, "source")?
        .value(row)
        .to_string();
    rejects.add(Some(SampleId::from_bytes(id)), source, reason)
}

/// The three tables at work.
struct Writers {
    masked: Box<dyn TableWriter>,
    swapped: Box<dyn TableWriter>,
    swaps: Box<dyn TableWriter>,
}

impl Writers {
    fn open(context: &mut dyn StageContext) -> Result<Writers, StageError> {
        Ok(Writers {
            masked: context.write_table("masked", samples_type().schema())?,
            swapped: context.write_table("swapped", samples_type().schema())?,
            swaps: context.write_table("swaps", swaps_type().schema())?,
        })
    }

    fn write(&mut self, part: &Part, row: usize, made: Made) -> Result<(), StageError> {
        let of_row = part.rows.slice(row, 1);
        self.masked.write(&with_pixels(&of_row, &made.masked)?)?;
        self.swapped.write(&with_pixels(&of_row, &made.swapped)?)?;
        let columns: Vec<ArrayRef> = vec![
            of_row.column(0).clone(),
            sample_ids(&[made.donor]),
            Arc::new(Float64Array::from(vec![made.lesion_area])),
        ];
        self.swaps
            .write(&RecordBatch::try_new(swaps_type().schema(), columns)?)
    }

    fn finish(self) -> Result<(), StageError> {
        self.masked.finish()?;
        self.swapped.finish()?;
        self.swaps.finish()
    }
}

/// A row of `Samples` with other pixels of the same size.
fn with_pixels(row: &RecordBatch, picture: &Picture) -> Result<RecordBatch, StageError> {
    let schema = samples_type().schema();
    let columns = schema.fields().iter().map(|field| {
        if field.name() == "pixels" {
            return Ok(Arc::new(BinaryArray::from_vec(vec![picture.pixels()])) as ArrayRef);
        }
        let column = row.column_by_name(field.name());
        column
            .cloned()
            .ok_or_else(|| StageError::new(format!("`samples` came without its column `{}`", field.name())))
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>, StageError>>()?;
    Ok(RecordBatch::try_new(schema, columns)?)
}
