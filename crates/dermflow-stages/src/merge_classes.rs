//! `merge-classes`: labels mapped, grouped or dropped by a table of classes.
//!
//! For any table with a text column of labels: labels, boxes, samples. A label that the table
//! doesn't name is told with how often it occurs. Must not know what the classes mean.

mod classes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use dermflow_core::{
    Column, ColumnType, InputPort, InputTypes, Inputs, OutputPort, PortType, Problem, SampleId, Source,
    StageContext, StageError, StageKind, TableType, Take, sample_ids,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::{failure, in_words, wired_table};
use classes::Classes;

/// See the module.
pub struct MergeClasses;

/// What `merge-classes` is told under `with:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "MergeClasses")]
pub struct MergeClassesParameters {
    /// Labels and what they become: `{nv: nevus, mel: melanoma}`.
    #[serde(default)]
    map: BTreeMap<String, String>,
    /// New labels, each with those that become it: `{malignant: [mel, bcc]}`.
    #[serde(default)]
    groups: BTreeMap<String, Vec<String>>,
    /// Labels whose rows are dropped.
    #[serde(default)]
    drop: Vec<String>,
    /// A CSV file with more of the same, relative to the pipeline file: a line of column names,
    /// then a label and what it becomes on each line; nothing in the second place drops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// The column of the labels.
    #[serde(default = "label")]
    column: String,
    /// Labels that nothing is said of.
    #[serde(default)]
    unknown: Unknown,
    /// Rows without a label.
    #[serde(default)]
    missing: Missing,
    /// Whether upper and lower case, and space before and behind, make no difference between
    /// labels of the table at hand and those named here.
    #[serde(default)]
    ignore_case: bool,
}

fn label() -> String {
    "label".to_string()
}

/// What becomes of a label that nothing is said of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Unknown {
    /// The stage fails, and lists them with their counts.
    #[default]
    Fail,
    /// It stays.
    Keep,
    /// Its rows are dropped.
    Drop,
}

/// What becomes of a row without a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Missing {
    /// It stays, without a label.
    #[default]
    Keep,
    /// It is dropped.
    Drop,
}

impl MergeClassesParameters {
    /// The input's type, where its labels are dropped when missing.
    fn merged(&self, given: &TableType) -> Result<TableType, Problem> {
        let mut merged = given.clone();
        match merged
            .columns
            .iter_mut()
            .find(|column| column.name == self.column)
        {
            Some(column) if column.column_type == ColumnType::Text => {
                column.nullable &= self.missing == Missing::Keep;
                Ok(merged)
            }
            Some(column) => {
                let message = format!("`{}` is {}, and labels are text", self.column, column.column_type);
                Err(Problem::new("column", message))
            }
            None if given.open => Ok(merged),
            None => {
                let message = format!("the input has no column `{}`; {}", self.column, in_words(given));
                Err(Problem::new("column", message))
            }
        }
    }

    fn classes(&self) -> Result<Classes, Problem> {
        let mut classes = Classes::new(self.ignore_case);
        for (from, to) in &self.map {
            let problem = |problem| Problem::new(format!("map.{from}"), problem);
            classes.add(from, Some(to.as_str())).map_err(problem)?;
        }
        for (to, members) in &self.groups {
            for from in members {
                let problem = |problem| Problem::new(format!("groups.{to}"), problem);
                classes.add(from, Some(to.as_str())).map_err(problem)?;
            }
        }
        for from in &self.drop {
            classes
                .add(from, None)
                .map_err(|problem| Problem::new("drop", problem))?;
        }
        Ok(classes)
    }
}

impl StageKind for MergeClasses {
    type Parameters = MergeClassesParameters;
    const NAME: &'static str = "merge-classes";
    const VERSION: u32 = 1;
    const ABOUT: &'static str =
        "Maps, groups or drops labels by a table of classes; labels it doesn't name are told.";
    const EXAMPLE: &'static str = "\
name: merge-classes-example
stages:
  lesions:
    kind: import-table
    with: {path: lesions.csv, key: image, columns: {diagnosis: text}}
  merged:
    kind: merge-classes
    in: {table: lesions.table}
    with:
      column: diagnosis
      map: {nv: nevus}
      groups: {malignant: [mel, bcc, scc]}
      drop: [unsure]
      unknown: keep
      missing: drop
      ignore-case: true
  by-file:
    kind: merge-classes
    in: {table: lesions.table}
    with: {column: diagnosis, file: classes.csv}
outputs:
  merged: merged.table
  counts: merged.counts
  by-file: by-file.table
";

    fn inputs(_: &MergeClassesParameters) -> Inputs {
        let any = PortType::Table(TableType::any());
        Inputs {
            ports: vec![InputPort::one("table", any, "rows with labels")],
            open: false,
        }
    }

    fn outputs(parameters: &MergeClassesParameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        let merged = parameters.merged(&wired_table(wired, "table"))?;
        let counts = PortType::Table(counts_type());
        Ok(vec![
            OutputPort::new("table", PortType::Table(merged), "the rows that stay"),
            OutputPort::new("counts", counts, "each label found, what it became, and its rows"),
        ])
    }

    fn check(parameters: &MergeClassesParameters) -> Vec<Problem> {
        match parameters.classes() {
            Err(problem) => vec![problem],
            Ok(classes) if classes.is_empty() && parameters.file.is_none() => {
                let problem = Problem::new("", "it names no class: nothing would be merged");
                vec![problem.with_help("write `map`, `groups`, `drop` or a `file`")]
            }
            Ok(_) => Vec::new(),
        }
    }

    fn sources(parameters: &MergeClassesParameters) -> Vec<Source> {
        let source = |path: &String| Source {
            parameter: "file".to_string(),
            path: path.clone(),
            take: Take::File,
        };
        parameters.file.iter().map(source).collect()
    }

    fn run(parameters: &MergeClassesParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let mut classes = parameters.classes().map_err(failure)?;
        if parameters.file.is_some() {
            classes.read(&context.source("file")?)?;
        }
        let table = context.table("table")?;
        let given = TableType::from_schema("Table", &table.schema()).map_err(StageError::new)?;
        let schema = parameters.merged(&given).map_err(failure)?.schema();
        let total = table.rows();
        let mut out = context.write_table("table", schema.clone())?;
        let mut merging = Merging {
            parameters,
            classes: &classes,
            counts: BTreeMap::new(),
        };
        let mut done = 0;
        for batch in table {
            let batch = batch?;
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            done += batch.num_rows() as u64;
            let (columns, kept) = merging.merge(&batch)?;
            let kept = filter_record_batch(&RecordBatch::try_new(batch.schema(), columns)?, &kept)?;
            // Without missing labels the column is no longer nullable.
            out.write(&RecordBatch::try_new(schema.clone(), kept.columns().to_vec())?)?;
            context.progress(done, Some(total));
        }
        merging.tell_unknown(context)?;
        out.finish()?;
        let counts = merging.counts()?;
        let mut out = context.write_table("counts", counts.schema())?;
        out.write(&counts)?;
        out.finish()
    }
}

fn counts_type() -> TableType {
    TableType::exactly([
        Column::nullable("label", ColumnType::Text),
        Column::nullable("becomes", ColumnType::Text),
        Column::new("known", ColumnType::Boolean),
        Column::new("rows", ColumnType::Integer),
    ])
}

/// What became of a label.
struct Became {
    to: Option<String>,
    known: bool,
    rows: i64,
}

/// The work on batches, and what it counts.
struct Merging<'a> {
    parameters: &'a MergeClassesParameters,
    classes: &'a Classes,
    counts: BTreeMap<Option<String>, Became>,
}

impl Merging<'_> {
    /// The batch's columns with labels merged, and which rows stay.
    fn merge(&mut self, batch: &RecordBatch) -> Result<(Vec<ArrayRef>, BooleanArray), StageError> {
        let name = &self.parameters.column;
        let at = batch.schema().index_of(name)?;
        let labels = batch.column(at).as_string_opt::<i32>();
        let labels = labels.ok_or_else(|| StageError::new(format!("the column `{name}` is not text")))?;
        let mut merged: Vec<Option<String>> = Vec::with_capacity(labels.len());
        let mut kept = Vec::with_capacity(labels.len());
        for label in labels {
            let became = match self.counts.get_mut(&label.map(str::to_string)) {
                Some(became) => became,
                None => {
                    let became = self.became(label);
                    self.counts.entry(label.map(str::to_string)).or_insert(became)
                }
            };
            became.rows += 1;
            let stays = became.to.is_some() || (label.is_none() && self.parameters.missing == Missing::Keep);
            kept.push(stays);
            merged.push(became.to.clone());
        }
        let mut columns = batch.columns().to_vec();
        // Rows that are dropped may have no label, so what is not nullable gets a filler there.
        let nullable = batch.schema().field(at).is_nullable();
        let filled = merged.into_iter().map(|label| match nullable {
            true => label,
            false => Some(label.unwrap_or_default()),
        });
        columns[at] = Arc::new(filled.collect::<StringArray>());
        Ok((columns, BooleanArray::from(kept)))
    }

    fn became(&self, label: Option<&str>) -> Became {
        let (to, known) = match label {
            None => (None, true),
            Some(label) => match (self.classes.of(label), self.parameters.unknown) {
                (Some(to), _) => (to.map(str::to_string), true),
                (None, Unknown::Drop) => (None, false),
                (None, Unknown::Keep | Unknown::Fail) => (Some(label.to_string()), false),
            },
        };
        Became { to, known, rows: 0 }
    }

    /// Fails or logs where there were labels that nothing is said of.
    fn tell_unknown(&self, context: &mut dyn StageContext) -> Result<(), StageError> {
        let mut unknown: Vec<(&str, i64)> = self
            .counts
            .iter()
            .filter(|(_, became)| !became.known)
            .filter_map(|(label, became)| Some((label.as_deref()?, became.rows)))
            .collect();
        unknown.sort_by_key(|(_, rows)| -rows);
        context.metric("unknown_labels", unknown.len() as f64);
        if unknown.is_empty() {
            return Ok(());
        }
        let shown = unknown.iter().take(20).map(|(label, rows)| {
            let label: String = label.chars().take(60).collect();
            format!("`{label}` ({rows} rows)")
        });
        let mut listed = shown.collect::<Vec<_>>().join(", ");
        if unknown.len() > 20 {
            listed += &format!(" and {} more", unknown.len() - 20);
        }
        match self.parameters.unknown {
            Unknown::Fail => {
                let message = format!("nothing is said of the labels {listed}");
                let help = "name them under `map`, `groups` or `drop`, or write `unknown: keep` or `drop`";
                return Err(StageError::new(message).with_help(help));
            }
            Unknown::Keep => context.log(&format!("nothing is said of these labels, which stay: {listed}")),
            Unknown::Drop => context.log(&format!("nothing is said of these labels, now dropped: {listed}")),
        }
        Ok(())
    }

    fn counts(&self) -> Result<RecordBatch, StageError> {
        let ids: Vec<SampleId> = self
            .counts
            .keys()
            .map(|label| SampleId::of_key(label.as_deref().unwrap_or("\u{0}missing")))
            .collect();
        let labels: StringArray = self.counts.keys().map(Option::as_deref).collect();
        let becomes: StringArray = self.counts.values().map(|became| became.to.as_deref()).collect();
        let known: BooleanArray = self.counts.values().map(|became| Some(became.known)).collect();
        let rows = Int64Array::from_iter_values(self.counts.values().map(|became| became.rows));
        let columns: Vec<ArrayRef> = vec![
            sample_ids(&ids),
            Arc::new(labels),
            Arc::new(becomes),
            Arc::new(known),
            Arc::new(rows),
        ];
        Ok(RecordBatch::try_new(counts_type().schema(), columns)?)
    }
}
