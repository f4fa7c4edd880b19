//! `join`: the rows of two tables side by side, matched by sample id.
//!
//! A merge of two sorted streams in bounded memory (a batch of each, and the rows of one
//! sample), sample by sample: a changed row joins one sample again. Must not know what the
//! columns mean.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Schema, SchemaRef};
use dermflow_core::{
    Column, InputPort, InputTypes, Inputs, OutputPort, PortType, Problem, SAMPLE_ID, Shape, StageContext,
    StageError, StageKind, TableType, TableWriter,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::{failure, wired_table};
use crate::whole_samples::Cursor;

/// See the module.
pub struct Join;

/// What `join` is told under `with:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Join")]
pub struct JoinParameters {
    /// Which samples stay. A sample with several rows on both sides gives every pair.
    #[serde(default)]
    how: How,
    /// Put before the name of every column that comes from `right`.
    #[serde(default)]
    prefix: String,
    /// Put behind the name of every column that comes from `right`.
    #[serde(default)]
    suffix: String,
}

/// Which samples stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum How {
    /// Those that both tables have.
    #[default]
    Inner,
    /// All of `left`; the columns of `right` are missing where it lacks the sample.
    Left,
    /// Rows of `left` whose sample is in `right`, without its columns.
    Semi,
    /// Rows of `left` whose sample is not in `right`.
    Anti,
}

impl How {
    /// Whether columns of `right` come along.
    fn takes_right(self) -> bool {
        matches!(self, How::Inner | How::Left)
    }
    /// Whether samples that only `left` has stay.
    fn keeps_unmatched(self) -> bool {
        matches!(self, How::Left | How::Anti)
    }
}

impl JoinParameters {
    /// The output's columns. Where `left` is open, columns may clash that are not known yet;
    /// the same check runs again over what is really there.
    fn joined(&self, left: &TableType, right: &TableType) -> Result<TableType, Problem> {
        if !self.how.takes_right() {
            return Ok(left.clone());
        }
        let mut columns = left.columns.clone();
        for column in right.columns.iter().filter(|column| column.name != SAMPLE_ID) {
            let name = format!("{}{}{}", self.prefix, column.name, self.suffix);
            if columns.iter().any(|other| other.name == name) {
                let message = format!("the joined table would have two columns `{name}`");
                let help = "give the columns of `right` a `prefix` or a `suffix`, or drop the column from one \
                            side with `filter` and its `columns`";
                return Err(Problem::new("", message).with_help(help));
            }
            columns.push(Column {
                name,
                column_type: column.column_type.clone(),
                nullable: column.nullable || self.how == How::Left,
            });
        }
        Ok(TableType {
            contract: left.contract.clone(),
            columns,
            open: left.open || right.open,
        })
    }
}

impl StageKind for Join {
    type Parameters = JoinParameters;
    const NAME: &'static str = "join";
    const VERSION: u32 = 1;
    const ABOUT: &'static str = "Sets the rows of two tables side by side where their sample ids agree.";
    const EXAMPLE: &'static str = "\
name: join-example
stages:
  lesions:
    kind: import-table
    with: {path: lesions.csv, key: image, columns: {image: text, diagnosis: text}}
  visits:
    kind: import-table
    with: {path: visits.csv, key: image, columns: {image: text, age: integer}}
  together:
    kind: join
    in: {left: lesions.table, right: visits.table}
    with: {how: left, prefix: visit_, suffix: _found}
outputs:
  together: together.table
";

    fn inputs(parameters: &JoinParameters) -> Inputs {
        let any = || PortType::Table(TableType::any());
        let left = InputPort::one("left", any(), "the rows that come first, and rule the order");
        let right = InputPort::one("right", any(), "the rows that are looked up").of_same_sample();
        let right = match parameters.how.takes_right() {
            true => right,
            false => right.reading([""; 0]),
        };
        Inputs {
            ports: vec![left, right],
            open: false,
        }
    }

    fn outputs(parameters: &JoinParameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        let joined = parameters.joined(&wired_table(wired, "left"), &wired_table(wired, "right"))?;
        Ok(vec![OutputPort::new(
            "table",
            PortType::Table(joined),
            "the joined rows",
        )])
    }

    fn check(parameters: &JoinParameters) -> Vec<Problem> {
        let named = [("prefix", &parameters.prefix), ("suffix", &parameters.suffix)];
        let useless = named
            .into_iter()
            .filter(|(_, text)| !text.is_empty() && !parameters.how.takes_right());
        useless
            .map(|(name, _)| {
                Problem::new(
                    name,
                    "with `how: semi` or `anti` no column of `right` comes along",
                )
            })
            .collect()
    }

    fn shape(_: &JoinParameters) -> Shape {
        Shape::Map {
            over: "left".to_string(),
        }
    }

    fn run(parameters: &JoinParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let (left, right) = (context.table("left")?, context.table("right")?);
        let total = left.rows();
        let known = |schema: SchemaRef| TableType::from_schema("Table", &schema).map_err(StageError::new);
        let joined = parameters
            .joined(&known(left.schema())?, &known(right.schema())?)
            .map_err(failure)?;
        let schema = joined.schema();
        let mut merge = Merge {
            how: parameters.how,
            out: context.write_table("table", schema.clone())?,
            schema,
            left: Cursor::new(left)?,
            right: Cursor::new(right)?,
            left_rows: Vec::new(),
            right_rows: Vec::new(),
            done: 0,
        };
        merge.run(context, total)?;
        merge.out.finish()
    }
}

/// How many rows are gathered before they are written.
const GATHERED: usize = 8192;

/// The merge at work. `left_rows` and `right_rows` index the batches at hand, so they are
/// written out before either cursor goes on to its next batch.
struct Merge {
    how: How,
    schema: SchemaRef,
    out: Box<dyn TableWriter>,
    left: Cursor,
    right: Cursor,
    left_rows: Vec<u32>,
    right_rows: Vec<Option<u32>>,
    done: u64,
}

impl Merge {
    fn run(&mut self, context: &dyn StageContext, total: u64) -> Result<(), StageError> {
        loop {
            if self.left.exhausted() {
                self.write()?;
                if context.cancelled() {
                    return Err(StageError::cancelled());
                }
                context.progress(self.done, Some(total));
                self.left.next_batch()?;
                if self.left.batch().is_none() {
                    return Ok(());
                }
            }
            if self.right.exhausted() && self.right.batch().is_some() {
                self.write()?;
                self.right.next_batch()?;
            }
            let order = match (self.left.id(), self.right.id()) {
                (Some(left), Some(right)) => left.cmp(right),
                (Some(_), None) => Ordering::Less,
                (None, _) => continue,
            };
            self.step(order)?;
        }
    }

    fn step(&mut self, order: Ordering) -> Result<(), StageError> {
        match order {
            Ordering::Greater => drop(self.right.pass()),
            Ordering::Less => {
                let rows = self.left.pass();
                self.done += rows.len() as u64;
                if self.how.keeps_unmatched() {
                    for row in rows {
                        self.pair(row, None)?;
                    }
                }
            }
            Ordering::Equal => {
                let (left, right) = (self.left.pass(), self.right.pass());
                self.done += left.len() as u64;
                for row in left {
                    match self.how {
                        How::Anti => {}
                        How::Semi => self.pair(row, None)?,
                        How::Inner | How::Left => {
                            for other in right.clone() {
                                self.pair(row, Some(other as u32))?;
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn pair(&mut self, left: usize, right: Option<u32>) -> Result<(), StageError> {
        self.left_rows.push(left as u32);
        self.right_rows.push(right);
        match self.left_rows.len() < GATHERED {
            true => Ok(()),
            false => self.write(),
        }
    }

    fn write(&mut self) -> Result<(), StageError> {
        let Some(left) = self.left.batch().filter(|_| !self.left_rows.is_empty()) else {
            return Ok(());
        };
        let rows = UInt32Array::from(std::mem::take(&mut self.left_rows));
        let matches = UInt32Array::from(std::mem::take(&mut self.right_rows));
        let mut columns: Vec<ArrayRef> = left
            .columns()
            .iter()
            .map(|column| take(column, &rows, None))
            .collect::<Result<_, _>>()?;
        for (at, field) in self.schema.fields().iter().enumerate().skip(columns.len()) {
            let column = match self.right.batch() {
                // Column `i` of the right table's own columns; its first is the sample id.
                Some(right) => take(right.column(at + 1 - left.num_columns()), &matches, None)?,
                None => arrow::array::new_null_array(field.data_type(), rows.len()),
            };
            columns.push(column);
        }
        let schema: Arc<Schema> = self.schema.clone();
        self.out.write(&RecordBatch::try_new(schema, columns)?)
    }
}
