//! `inject-noise`: labels made wrong on purpose, with the truth kept.
//!
//! What experiments on dirty data need (`method.md` D1, E2): how much noise there is, and of
//! what sort, is known. Each label draws by its sample's id alone, so adding samples flips no
//! other label. Must not know what the images show.

mod noise;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, StringBuilder};
use arrow::datatypes::SchemaRef;
use dermflow_core::{
    Arity, Column, ColumnType, Contract, InputPort, InputTypes, Inputs, OutputPort, PortType, Problem,
    StageContext, StageError, StageKind, TableReader, TableType, TableWriter,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::{ids_of, typed_column};
use noise::{Noise, check_confusion};

/// See the module.
pub struct InjectNoise;

/// What `inject-noise` is told under `with:`. One of `share` and `confusion` at the most.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "InjectNoise")]
pub struct InjectNoiseParameters {
    /// The share of labels to flip. Each label is flipped or not by its own draw, so the count
    /// is near the share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    share: Option<f64>,
    /// Which of the other classes a flipped label becomes: each alike, or in proportion to
    /// how frequent it is (people and crawlers err toward what they see most).
    #[serde(default)]
    to: Target,
    /// By true class, the probability of each wrong label: `{melanoma: {nevus: 0.3, wart:
    /// 0.1}}` leaves 60 % of the melanomas right and every other class alone. In place of
    /// `share`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confusion: Option<BTreeMap<String, BTreeMap<String, f64>>>,
    /// What becomes of the images wired to `foreign`.
    #[serde(default)]
    foreign: Foreign,
}

/// Which class a wrong label names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Target {
    /// Each class alike.
    #[default]
    Uniform,
    /// In proportion to the classes' counts.
    Frequent,
}

/// Images that belong to no class and are filed under one.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Foreign {
    /// The share of the foreign images that is filed; the others are left out.
    #[serde(default = "all")]
    #[schemars(range(min = 0.0, max = 1.0))]
    share: f64,
    /// Which class they are filed under.
    #[serde(default)]
    to: Target,
    /// Their label in the truth.
    #[serde(default = "foreign_truth")]
    truth: String,
}

fn all() -> f64 {
    1.0
}

fn foreign_truth() -> String {
    "foreign".to_string()
}

impl Default for Foreign {
    fn default() -> Foreign {
        Foreign {
            share: all(),
            to: Target::default(),
            truth: foreign_truth(),
        }
    }
}

impl StageKind for InjectNoise {
    type Parameters = InjectNoiseParameters;
    const NAME: &'static str = "inject-noise";
    const VERSION: u32 = 1;
    const ABOUT: &'static str =
        "Flips a seeded share of the labels, files foreign images under a class, and keeps the truth.";
    const EXAMPLE: &'static str = "\
name: inject-noise-example
seed: 20
stages:
  clean:
    kind: import-table
    with: {path: labels.csv, key: image, columns: {label: text}}
  holidays:
    kind: list-files
    with: {path: holidays}
  dirty:
    kind: inject-noise
    in: {labels: clean.table, foreign: holidays.files}
    with: {share: 0.2, to: frequent, foreign: {share: 0.5, to: uniform, truth: not skin}}
  confused:
    kind: inject-noise
    in: {labels: clean.table}
    with: {confusion: {melanoma: {nevus: 0.3, wart: 0.1}}}
outputs:
  labels: dirty.labels
  truth: dirty.truth
  confused: confused.labels
";
    const RANDOM: bool = true;

    fn inputs(_: &InjectNoiseParameters) -> Inputs {
        let labels = TableType {
            open: true,
            ..TableType::exactly([Column::nullable("label", ColumnType::Text)])
        };
        let labels = InputPort::one(
            "labels",
            PortType::Table(labels),
            "the true labels; rows without one are left out",
        );
        let foreign = InputPort::one(
            "foreign",
            PortType::Table(TableType::any()),
            "images that belong to no class",
        );
        Inputs {
            ports: vec![
                labels.reading(["label"]),
                foreign.with_arity(Arity::Optional).reading([""; 0]),
            ],
            open: false,
        }
    }

    fn outputs(_: &InjectNoiseParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        Ok(vec![
            OutputPort::new(
                "labels",
                PortType::Table(labels_type()),
                "the labels with noise, those of foreign images among them",
            ),
            OutputPort::new(
                "truth",
                PortType::Table(truth_type()),
                "the true label, the one given, and which noise it is: none, flipped or foreign",
            ),
        ])
    }

    fn check(parameters: &InjectNoiseParameters) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(confusion) = &parameters.confusion {
            check_confusion(confusion, &mut problems);
            if parameters.share.is_some() {
                let problem = Problem::new("share", "`confusion` says how often each class is flipped");
                problems.push(problem.with_help("give one of `share` and `confusion`"));
            }
            if parameters.to != Target::default() {
                problems.push(Problem::new("to", "`confusion` says what each class becomes"));
            }
        }
        problems
    }

    fn run(parameters: &InjectNoiseParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let noise = Noise::new(parameters, context)?;
        let mut out = Out {
            labels: context.write_table("labels", labels_type().schema())?,
            truth: context.write_table("truth", truth_type().schema())?,
            schemas: [labels_type().schema(), truth_type().schema()],
        };
        let labels = context.table("labels")?;
        let total = labels.rows();
        let counts = flip(&noise, labels, &mut out, context)?;
        let filed = match context.has_input("foreign") {
            true => file(&noise, context.table("foreign")?, &mut out, context)?,
            false => 0,
        };
        context.progress(total, Some(total));
        context.metric("labels", counts[0] as f64);
        context.metric("flipped", counts[1] as f64);
        context.metric("foreign", filed as f64);
        out.labels.finish()?;
        out.truth.finish()
    }
}

fn labels_type() -> TableType {
    // The contract is in the constant list of contracts; `any` only keeps this total.
    let mut table = Contract::named("Labels").map_or_else(TableType::any, TableType::of);
    table.open = false;
    table
}

fn truth_type() -> TableType {
    TableType::exactly(["label", "given", "noise"].map(|name| Column::new(name, ColumnType::Text)))
}

/// The outputs at work.
struct Out {
    labels: Box<dyn TableWriter>,
    truth: Box<dyn TableWriter>,
    schemas: [SchemaRef; 2],
}

/// Rows for both outputs.
#[derive(Default)]
struct Rows {
    true_label: StringBuilder,
    given: StringBuilder,
    noise: StringBuilder,
}

impl Rows {
    fn add(&mut self, true_label: &str, given: &str, noise: &str) {
        self.true_label.append_value(true_label);
        self.given.append_value(given);
        self.noise.append_value(noise);
    }
}

impl Out {
    /// Writes rows for these of a batch's samples.
    fn write(&mut self, batch: &RecordBatch, kept: Vec<bool>, mut rows: Rows) -> Result<(), StageError> {
        let ids = arrow::compute::filter(ids_of(batch)?, &kept.into())?;
        let given: ArrayRef = Arc::new(rows.given.finish());
        let labels = RecordBatch::try_new(self.schemas[0].clone(), vec![ids.clone(), given.clone()])?;
        self.labels.write(&labels)?;
        let [label, noise] =
            [rows.true_label.finish(), rows.noise.finish()].map(|texts| -> ArrayRef { Arc::new(texts) });
        let truth = RecordBatch::try_new(self.schemas[1].clone(), vec![ids, label, given, noise])?;
        self.truth.write(&truth)
    }
}

/// The labels with their noise; gives how many there are and how many were flipped.
fn flip(
    noise: &Noise<'_>,
    labels: Box<dyn TableReader>,
    out: &mut Out,
    context: &dyn StageContext,
) -> Result<[u64; 2], StageError> {
    let total = labels.rows();
    let mut occurrence = Occurrence::default();
    let (mut counts, mut done) = ([0; 2], 0);
    for batch in labels {
        let batch = batch?;
        if context.cancelled() {
            return Err(StageError::cancelled());
        }
        let ids = ids_of(&batch)?;
        let given: &StringArray = typed_column(&batch, "label")?;
        let mut rows = Rows::default();
        let mut kept = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let number = occurrence.of(ids.value(row));
            kept.push(!given.is_null(row));
            if given.is_null(row) {
                continue;
            }
            let label = given.value(row);
            counts[0] += 1;
            match noise.flipped(ids.value(row), number, label) {
                Some(wrong) => {
                    counts[1] += 1;
                    rows.add(label, wrong, "flipped");
                }
                None => rows.add(label, label, "none"),
            }
        }
        out.write(&batch, kept, rows)?;
        done += batch.num_rows() as u64;
        context.progress(done, Some(total));
    }
    Ok(counts)
}

/// The foreign images under the classes they draw; gives how many are filed.
fn file(
    noise: &Noise<'_>,
    foreign: Box<dyn TableReader>,
    out: &mut Out,
    context: &dyn StageContext,
) -> Result<u64, StageError> {
    let mut occurrence = Occurrence::default();
    let mut filed = 0;
    for batch in foreign {
        let batch = batch?;
        if context.cancelled() {
            return Err(StageError::cancelled());
        }
        let ids = ids_of(&batch)?;
        let mut rows = Rows::default();
        let mut kept = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            // Several files of one content are one image.
            let first = occurrence.of(ids.value(row)) == 0;
            let class = first.then(|| noise.filed(ids.value(row))).flatten();
            kept.push(class.is_some());
            if let Some(class) = class {
                filed += 1;
                rows.add(noise.foreign_truth(), class, "foreign");
            }
        }
        out.write(&batch, kept, rows)?;
    }
    Ok(filed)
}

/// Numbers the rows of a sample, across batches.
#[derive(Default)]
struct Occurrence {
    last: Vec<u8>,
    number: u64,
}

impl Occurrence {
    fn of(&mut self, id: &[u8]) -> u64 {
        match self.last == id {
            true => self.number += 1,
            false => {
                self.last = id.to_vec();
                self.number = 0;
            }
        }
        self.number
    }
}
