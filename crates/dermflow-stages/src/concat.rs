//! `concat`: the rows of several tables with the same columns, as one table.
//!
//! A merge of sorted streams in bounded memory (a batch of each). Must not know what the
//! columns mean.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::interleave_record_batch;
use dermflow_core::{
    Arity, Column, ColumnType, InputPort, InputTypes, Inputs, OutputPort, PortType, Problem, SampleId,
    StageContext, StageError, StageKind, TableType, TableWriter,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::{failure, in_words, wired_tables};
use crate::whole_samples::Cursor;

/// See the module.
pub struct Concat;

/// What `concat` is told under `with:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Concat")]
pub struct ConcatParameters {
    /// Adds a text column of this name that tells which table a row came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_column: Option<String>,
    /// What `source-column` calls the tables, in the order they are wired. Left out: `1`, `2`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_names: Option<Vec<String>>,
    /// Whether a sample that has more than one row, in one table or in several, is an error.
    #[serde(default)]
    unique: bool,
}

impl ConcatParameters {
    fn source_name(&self, position: usize) -> String {
        let given = self.source_names.as_ref().and_then(|names| names.get(position));
        given.cloned().unwrap_or_else(|| (position + 1).to_string())
    }

    /// The output's columns: those of the first table; a value may be missing where any
    /// table allows it.
    fn united(&self, tables: &[TableType]) -> Result<TableType, Problem> {
        let mut united = tables.first().cloned().unwrap_or_else(TableType::any);
        for (position, table) in tables.iter().enumerate().skip(1) {
            agree(&united, table, position)?;
            for column in &mut united.columns {
                column.nullable |= table.column(&column.name).is_none_or(|other| other.nullable);
            }
            united.open |= table.open;
            if table.contract != united.contract {
                united.contract = "Table".to_string();
            }
        }
        // What only some of several open tables promise is not known to be there.
        united
            .columns
            .retain(|column| tables.iter().all(|table| table.column(&column.name).is_some()));
        if let Some(name) = &self.source_column {
            if united.column(name).is_some() {
                let message = format!("the tables already have a column `{name}`");
                return Err(Problem::new("source-column", message).with_help("choose another name"));
            }
            united.columns.push(Column::new(name, ColumnType::Text));
        }
        Ok(united)
    }
}

/// Whether the columns of a table fit those before it, as far as both are known.
fn agree(before: &TableType, table: &TableType, position: usize) -> Result<(), Problem> {
    let number = position + 1;
    let refuse = |message: String| {
        let help = "make them agree with `filter` and its `columns`, or with `columns` of `import-table`";
        Err(Problem::new("", message).with_help(help))
    };
    for column in &table.columns {
        match before.column(&column.name) {
            Some(other) if other.column_type != column.column_type => {
                let (one, two) = (&other.column_type, &column.column_type);
                let name = &column.name;
                return refuse(format!(
                    "column `{name}` is {one} before, but {two} in table {number}"
                ));
            }
            None if !before.open => {
                let words = in_words(before);
                let name = &column.name;
                return refuse(format!(
                    "table {number} has a column `{name}` that those before lack; {words}"
                ));
            }
            _ => {}
        }
    }
    for column in &before.columns {
        if table.column(&column.name).is_none() && !table.open {
            let name = &column.name;
            return refuse(format!(
                "table {number} lacks the column `{name}`; {}",
                in_words(table)
            ));
        }
    }
    Ok(())
}

impl StageKind for Concat {
    type Parameters = ConcatParameters;
    const NAME: &'static str = "concat";
    const VERSION: u32 = 1;
    const ABOUT: &'static str = "Puts the rows of several tables with the same columns into one.";
    const EXAMPLE: &'static str = "\
name: concat-example
stages:
  spring:
    kind: import-table
    with: {path: spring.csv, key: image, columns: {diagnosis: text}}
  autumn:
    kind: import-table
    with: {path: autumn.csv, key: image, columns: {diagnosis: text}}
  year:
    kind: concat
    in: {tables: [spring.table, autumn.table]}
    with: {source-column: season, source-names: [spring, autumn], unique: true}
outputs:
  year: year.table
";

    fn inputs(_: &ConcatParameters) -> Inputs {
        let any = PortType::Table(TableType::any());
        let tables = InputPort::one("tables", any, "the tables, in order").with_arity(Arity::Many);
        Inputs {
            ports: vec![tables],
            open: false,
        }
    }

    fn outputs(parameters: &ConcatParameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        let tables = wired_tables(wired, "tables");
        if let Some(names) = &parameters.source_names
            && names.len() != tables.len()
        {
            let message = format!("{} names for {} tables", names.len(), tables.len());
            return Err(Problem::new("source-names", message));
        }
        let united = parameters.united(&tables)?;
        Ok(vec![OutputPort::new(
            "table",
            PortType::Table(united),
            "all rows",
        )])
    }

    fn check(parameters: &ConcatParameters) -> Vec<Problem> {
        match (&parameters.source_column, &parameters.source_names) {
            (None, Some(_)) => vec![Problem::new(
                "source-names",
                "needs a `source-column` to stand in",
            )],
            _ => Vec::new(),
        }
    }

    fn run(parameters: &ConcatParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let tables = context.tables("tables")?;
        let total = tables.iter().map(|table| table.rows()).sum();
        let types: Vec<TableType> = tables
            .iter()
            .map(|table| TableType::from_schema("Table", &table.schema()).map_err(StageError::new))
            .collect::<Result<_, _>>()?;
        let united = parameters.united(&types).map_err(failure)?;
        let own = united.columns.len() - usize::from(parameters.source_column.is_some());
        let mut merge = Merge {
            own: TableType {
                columns: united.columns[..own].to_vec(),
                ..united.clone()
            },
            united: united.clone(),
            names: (0..types.len()).map(|at| parameters.source_name(at)).collect(),
            unique: parameters.unique,
            out: context.write_table("table", united.schema())?,
            cursors: tables.into_iter().map(Cursor::new).collect::<Result<_, _>>()?,
            at_hand: Vec::new(),
            rows: Vec::new(),
        };
        merge.run(context, total)?;
        merge.out.finish()
    }
}

/// How many rows are gathered before they are written.
const GATHERED: usize = 8192;

/// The merge at work. `rows` index the batches at hand (table, row), so they are written out
/// before any cursor goes on to its next batch.
struct Merge {
    own: TableType,
    united: TableType,
    names: Vec<String>,
    unique: bool,
    out: Box<dyn TableWriter>,
    cursors: Vec<Cursor>,
    at_hand: Vec<RecordBatch>,
    rows: Vec<(usize, usize)>,
}

impl Merge {
    fn run(&mut self, context: &dyn StageContext, total: u64) -> Result<(), StageError> {
        let mut next = BinaryHeap::with_capacity(self.cursors.len());
        let mut last: Option<[u8; 32]> = None;
        let mut done = 0;
        for position in 0..self.cursors.len() {
            self.at_hand.push(self.arranged(position)?);
            next.extend(self.id(position).map(|id| Reverse((id, position))));
        }
        while let Some(Reverse((id, position))) = next.pop() {
            let rows = self.cursors[position].pass();
            done += rows.len() as u64;
            if self.unique && (rows.len() > 1 || last == Some(id)) {
                return Err(self.repeated(&id));
            }
            last = Some(id);
            self.rows.extend(rows.map(|row| (position, row)));
            if self.rows.len() >= GATHERED {
                self.write()?;
                context.progress(done, Some(total));
            }
            if self.cursors[position].exhausted() {
                self.write()?;
                if context.cancelled() {
                    return Err(StageError::cancelled());
                }
                self.cursors[position].next_batch()?;
                self.at_hand[position] = self.arranged(position)?;
            }
            next.extend(self.id(position).map(|id| Reverse((id, position))));
        }
        self.write()
    }

    fn id(&self, position: usize) -> Option<[u8; 32]> {
        self.cursors[position].id()?.try_into().ok()
    }

    /// The batch at hand with the columns in the order of the output.
    fn arranged(&self, position: usize) -> Result<RecordBatch, StageError> {
        let schema = self.own.schema();
        let Some(batch) = self.cursors[position].batch() else {
            return Ok(RecordBatch::new_empty(schema));
        };
        let columns: Vec<ArrayRef> = schema
            .fields()
            .iter()
            .map(|field| Ok(batch.column(batch.schema().index_of(field.name())?).clone()))
            .collect::<Result<_, StageError>>()?;
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    fn write(&mut self) -> Result<(), StageError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let batches: Vec<&RecordBatch> = self.at_hand.iter().collect();
        let gathered = interleave_record_batch(&batches, &self.rows)?;
        let mut columns = gathered.columns().to_vec();
        if columns.len() < self.united.columns.len() {
            let names = self.rows.iter().map(|(position, _)| Some(&self.names[*position]));
            columns.push(Arc::new(names.collect::<StringArray>()));
        }
        self.rows.clear();
        self.out
            .write(&RecordBatch::try_new(self.united.schema(), columns)?)
    }

    fn repeated(&self, id: &[u8; 32]) -> StageError {
        StageError::new(format!(
            "the sample {} has more than one row, and `unique: true` refuses that",
            SampleId::from_bytes(*id)
        ))
        .with_help("drop `unique`, or keep one row each with `filter` or `join` (`how: anti`) before")
    }
}
