//! `sample`: a seeded choice of samples, whole ones always.
//!
//! Each sample draws a number from the seed and its id alone, so that the choice for one
//! sample never depends on which others there are. Must not know what the columns mean.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BinaryHeap};

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use dermflow_core::{
    ColumnType, InputPort, InputTypes, Inputs, OutputPort, PortType, Problem, SAMPLE_ID, Shape, StageContext,
    StageError, StageKind, TableReader, TableType,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::{ids_of, in_words, wired_table};
use crate::draws::Draws;

/// See the module.
pub struct Sample;

/// What `sample` is told under `with:`. Exactly one of `share` and `rows`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Sample")]
pub struct SampleParameters {
    /// The share of the samples to take. Each sample is taken or not by its own draw, so the
    /// count is near the share, and adding rows changes the choice for no other sample. With
    /// `by`, the count within each value is exact (rounded, half up).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    share: Option<f64>,
    /// How many samples to take (with `by`: of each value), fewer where there are fewer. A
    /// sample that has several rows counts once and keeps all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    rows: Option<u64>,
    /// Chooses within each value of this column; missing values are a group of their own. A
    /// sample with several rows counts under the value of its first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
}

impl StageKind for Sample {
    type Parameters = SampleParameters;
    const NAME: &'static str = "sample";
    const VERSION: u32 = 1;
    const ABOUT: &'static str =
        "Takes a seeded share or number of the samples, if asked within each value of a column.";
    const EXAMPLE: &'static str = "\
name: sample-example
seed: 20
stages:
  lesions:
    kind: import-table
    with: {path: lesions.csv, key: image, columns: {diagnosis: text}}
  some:
    kind: sample
    in: {table: lesions.table}
    with: {rows: 50, by: diagnosis}
outputs:
  some: some.table
";
    const RANDOM: bool = true;

    fn inputs(_: &SampleParameters) -> Inputs {
        let any = PortType::Table(TableType::any());
        Inputs {
            ports: vec![InputPort::one("table", any, "the rows to choose from")],
            open: false,
        }
    }

    fn outputs(parameters: &SampleParameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        let table = wired_table(wired, "table");
        if let Some(by) = &parameters.by {
            match table.column(by) {
                Some(column) => groupable(by, &column.column_type)?,
                None if table.open => {}
                None => {
                    let message = format!("the input has no column `{by}`; {}", in_words(&table));
                    return Err(Problem::new("by", message));
                }
            }
        }
        Ok(vec![OutputPort::new(
            "table",
            PortType::Table(table),
            "the rows of the chosen samples",
        )])
    }

    fn check(parameters: &SampleParameters) -> Vec<Problem> {
        let mut problems = Vec::new();
        if parameters.share.is_some() == parameters.rows.is_some() {
            let problem = Problem::new("", "exactly one of `share` and `rows` is needed");
            problems.push(problem.with_help("write `share: 0.1` or `rows: 100`"));
        }
        if parameters
            .share
            .is_some_and(|share| !(0.0..=1.0).contains(&share))
        {
            problems.push(Problem::new("share", "must lie between 0 and 1"));
        }
        if parameters.rows == Some(0) {
            problems.push(Problem::new("rows", "must be 1 or more"));
        }
        if parameters.by.as_deref() == Some(SAMPLE_ID) {
            problems.push(Problem::new("by", "every sample is a group of its own by its id"));
        }
        problems
    }

    fn shape(parameters: &SampleParameters) -> Shape {
        match (parameters.share, &parameters.by) {
            (Some(_), None) => Shape::Map {
                over: "table".to_string(),
            },
            _ => Shape::Whole,
        }
    }

    fn run(parameters: &SampleParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let draw = Draws::new("dermflow sample choice v1", context.seed());
        let choice = match (parameters.share, parameters.rows, &parameters.by) {
            (Some(share), _, None) => Choice::Below(share_bound(share)),
            (share, rows, by) => Choice::AtMost(largest_chosen(share, rows, by.as_deref(), &draw, context)?),
        };
        let table = context.table("table")?;
        let total = table.rows();
        let mut out = context.write_table("table", table.schema())?;
        let mut grouping = Grouping::new(parameters.by.as_deref());
        let mut done = 0;
        for batch in table {
            let batch = batch?;
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            let mut chosen = Vec::with_capacity(batch.num_rows());
            grouping.walk(&batch, &draw, |_, drawn, group| {
                chosen.push(choice.takes(drawn, group))
            })?;
            out.write(&filter_record_batch(&batch, &BooleanArray::from(chosen))?)?;
            done += batch.num_rows() as u64;
            context.progress(done, Some(total));
        }
        out.finish()
    }
}

/// Only values that can be told apart exactly make groups.
fn groupable(name: &str, column_type: &ColumnType) -> Result<(), Problem> {
    match column_type {
        ColumnType::Text | ColumnType::Integer | ColumnType::Boolean => Ok(()),
        other => Err(Problem::new(
            "by",
            format!("column `{name}` is {other}; groups are made by text, integer or boolean"),
        )),
    }
}

/// How many of the 2^64 draws are below the share.
fn share_bound(share: f64) -> u128 {
    (share * 18_446_744_073_709_551_616.0) as u128
}

/// Which draws are taken.
enum Choice {
    Below(u128),
    /// The largest draw that is taken, by group; a group without one takes nothing.
    AtMost(BTreeMap<Option<String>, u64>),
}

impl Choice {
    fn takes(&self, drawn: u64, group: &Option<String>) -> bool {
        match self {
            Choice::Below(bound) => u128::from(drawn) < *bound,
            Choice::AtMost(largest) => largest.get(group).is_some_and(|largest| drawn <= *largest),
        }
    }
}

/// Walks rows and tells each one's draw and group, those of its sample's first row. Keeps
/// its place between batches.
struct Grouping<'a> {
    by: Option<&'a str>,
    last: Option<([u8; 32], u64, Option<String>)>,
}

impl<'a> Grouping<'a> {
    fn new(by: Option<&'a str>) -> Grouping<'a> {
        Grouping { by, last: None }
    }

    /// Calls `each` with whether the row starts a sample, its draw and its group.
    fn walk(
        &mut self,
        batch: &RecordBatch,
        draw: &Draws,
        mut each: impl FnMut(bool, u64, &Option<String>),
    ) -> Result<(), StageError> {
        let ids = ids_of(batch)?;
        let values = match self.by {
            Some(by) => Some(group_column(batch, by)?),
            None => None,
        };
        let options = FormatOptions::default();
        let format = match &values {
            Some(values) => Some((values, ArrayFormatter::try_new(values.as_ref(), &options)?)),
            None => None,
        };
        for row in 0..batch.num_rows() {
            let id = ids.value(row);
            let starts = self.last.as_ref().is_none_or(|(last, _, _)| last[..] != *id);
            if starts {
                let group = format
                    .as_ref()
                    .and_then(|(values, text)| (!values.is_null(row)).then(|| text.value(row).to_string()));
                let mut bytes = [0; 32];
                bytes.copy_from_slice(id);
                self.last = Some((bytes, draw.of(id), group));
            }
            if let Some((_, drawn, group)) = &self.last {
                each(starts, *drawn, group);
            }
        }
        Ok(())
    }
}

fn group_column(batch: &RecordBatch, by: &str) -> Result<ArrayRef, StageError> {
    let column = batch
        .column_by_name(by)
        .ok_or_else(|| StageError::new(format!("`by`: the input has no column `{by}`")))?;
    let column_type = ColumnType::from_arrow(column.data_type())
        .ok_or_else(|| StageError::new(format!("`by`: column `{by}` has no type of tables here")))?;
    groupable(by, &column_type).map_err(crate::columns::failure)?;
    Ok(column.clone())
}

/// First pass: the largest draw to take in each group. Memory for `rows`: as many draws a
/// group; for a share: the draw of every sample, 8 bytes each.
fn largest_chosen(
    share: Option<f64>,
    rows: Option<u64>,
    by: Option<&str>,
    draw: &Draws,
    context: &dyn StageContext,
) -> Result<BTreeMap<Option<String>, u64>, StageError> {
    let table: Box<dyn TableReader> = context.table("table")?;
    let mut groups: BTreeMap<Option<String>, Drawn> = BTreeMap::new();
    let mut grouping = Grouping::new(by);
    for batch in table {
        if context.cancelled() {
            return Err(StageError::cancelled());
        }
        grouping.walk(&batch?, draw, |starts, drawn, group| {
            if !starts {
                return;
            }
            match groups.get_mut(group) {
                Some(draws) => draws.take(drawn),
                None => {
                    let mut draws = Drawn::new(rows);
                    draws.take(drawn);
                    groups.insert(group.clone(), draws);
                }
            }
        })?;
    }
    let chosen = groups.into_iter();
    Ok(chosen
        .filter_map(|(group, draws)| Some((group, draws.largest_chosen(share)?)))
        .collect())
}

/// The draws of one group that may be taken.
enum Drawn {
    /// The smallest so many, the largest of them on top.
    Smallest(BinaryHeap<u64>, u64),
    All(Vec<u64>),
}

impl Drawn {
    fn new(rows: Option<u64>) -> Drawn {
        match rows {
            Some(most) => Drawn::Smallest(BinaryHeap::new(), most),
            None => Drawn::All(Vec::new()),
        }
    }

    fn take(&mut self, drawn: u64) {
        match self {
            Drawn::All(draws) => draws.push(drawn),
            Drawn::Smallest(heap, most) => {
                if (heap.len() as u64) < *most {
                    heap.push(drawn);
                } else if heap.peek().is_some_and(|largest| drawn < *largest) {
                    heap.pop();
                    heap.push(drawn);
                }
            }
        }
    }

    fn largest_chosen(self, share: Option<f64>) -> Option<u64> {
        match self {
            Drawn::Smallest(heap, _) => heap.peek().copied(),
            Drawn::All(mut draws) => {
                let wanted = (share.unwrap_or(1.0) * draws.len() as f64 + 0.5).floor() as usize;
                let last = wanted.min(draws.len()).checked_sub(1)?;
                Some(*draws.select_nth_unstable(last).1)
            }
        }
    }
}
