//! `join-files`: a list of files (from a CSV, Parquet or JSON-lines table) joined, by name, with
//! the files that are there.
//!
//! A list says which files count and what is known of them. Put before `ingest`, only listed
//! files are decoded, and a change of what is known of one decodes that one again. Put behind
//! it, no change of the list decodes anything, but the pictures are written again. A listed
//! file that is not there becomes a reject. Must not know what is in the files.

mod names;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter, take};
use arrow::datatypes::SchemaRef;
use dermflow_core::{
    Column, ColumnType, InputPort, InputTypes, Inputs, OutputPort, PortType, Problem, StageContext,
    StageError, StageKind, TableType,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::{failure, in_words, wired_table};
use crate::rejects::Rejects;
use names::{NamedBy, Names};

/// See the module.
pub struct JoinFiles;

/// What `join-files` is told under `with:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JoinFiles")]
pub struct JoinFilesParameters {
    /// The column of `list` that names a file.
    column: String,
    /// How it names it.
    #[serde(default, rename = "match")]
    named_by: NamedBy,
    /// The column of `list` that becomes `label`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// The column of `list` that becomes `group` (the patient).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// Further columns of `list` that come along.
    #[serde(default)]
    columns: Vec<String>,
    /// What becomes of files that are not listed.
    #[serde(default)]
    unlisted: Unlisted,
}

/// What becomes of files that are not listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Unlisted {
    /// They are left out.
    #[default]
    Drop,
    /// They stay, and what the list would say of them is missing.
    Keep,
}

impl JoinFilesParameters {
    /// The columns taken from the list, as `(in the list, in the output)`.
    fn taken(&self) -> Vec<(&str, &str)> {
        let named = [(&self.label, "label"), (&self.group, "group")];
        let renamed = named
            .into_iter()
            .filter_map(|(from, to)| Some((from.as_deref()?, to)));
        renamed
            .chain(self.columns.iter().map(|name| (name.as_str(), name.as_str())))
            .collect()
    }

    /// The list's columns that are read.
    fn read(&self) -> Vec<String> {
        let mut read: Vec<String> = self
            .taken()
            .into_iter()
            .map(|(from, _)| from.to_string())
            .collect();
        read.push(self.column.clone());
        read.sort();
        read.dedup();
        read
    }

    /// The output's columns: those of the files, with what the list says in their place or
    /// behind them.
    fn joined(&self, files: &TableType, list: &TableType) -> Result<TableType, Problem> {
        let find = |parameter: &str, name: &str| match list.column(name) {
            None if list.open => Ok(Column::nullable(name, ColumnType::Text)),
            None => {
                let message = format!("the list has no column `{name}`; {}", in_words(list));
                Err(Problem::new(parameter, message))
            }
            Some(column) => Ok(column.clone()),
        };
        let text = |parameter: &str, column: Column| match column.column_type {
            ColumnType::Text => Ok(column),
            other => Err(Problem::new(
                parameter,
                format!("the column `{}` is {other}, not text", column.name),
            )),
        };
        text("column", find("column", &self.column)?)?;
        let mut joined = files.clone();
        joined.open |= list.open;
        for (from, to) in self.taken() {
            let filled = to == "label" || to == "group";
            let parameter = if filled { to } else { "columns" };
            let mut column = find(parameter, from)?;
            column.nullable |= filled || self.unlisted == Unlisted::Keep;
            if filled {
                column = text(parameter, column)?;
            }
            column.name = to.to_string();
            match joined.columns.iter_mut().find(|other| other.name == to) {
                Some(there) if filled => *there = column,
                Some(_) => {
                    let message = format!("the files have a column `{to}` already");
                    return Err(Problem::new(parameter, message));
                }
                None => joined.columns.push(column),
            }
        }
        Ok(joined)
    }
}

impl StageKind for JoinFiles {
    type Parameters = JoinFilesParameters;
    const NAME: &'static str = "join-files";
    const VERSION: u32 = 1;
    const ABOUT: &'static str =
        "Joins a list of files, by their names, with the files or pictures that are there.";
    const EXAMPLE: &'static str = "\
name: join-files-example
stages:
  found:
    kind: list-files
    with: {path: photos}
  list:
    kind: import-table
    with:
      path: list.csv
      key: file
      columns: {file: text, diagnosis: text, patient: text, age: integer}
  listed:
    kind: join-files
    in: {files: found.files, list: list.table}
    with:
      column: file
      match: file-name
      label: diagnosis
      group: patient
      columns: [age]
      unlisted: drop
  photos:
    kind: ingest
    in: {files: listed.files}
    with: {root: photos, size: 224}
outputs:
  photos: photos.samples
  missing: listed.rejects
";

    fn inputs(parameters: &JoinFilesParameters) -> Inputs {
        let mut named = TableType::exactly([Column::new("source", ColumnType::Text)]);
        named.open = true;
        let files = InputPort::one(
            "files",
            PortType::Table(named),
            "files, or pictures, with their names in `source`",
        );
        let list = InputPort::one(
            "list",
            PortType::Table(TableType::any()),
            "what is known of them, one row a file",
        );
        Inputs {
            ports: vec![files, list.reading(parameters.read())],
            open: false,
        }
    }

    fn outputs(parameters: &JoinFilesParameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        let joined = parameters.joined(&wired_table(wired, "files"), &wired_table(wired, "list"))?;
        Ok(vec![
            OutputPort::new(
                "files",
                PortType::Table(joined),
                "the files with what the list says of them",
            ),
            Rejects::port("rows of the list that name no file, or one that is named already"),
        ])
    }

    fn check(parameters: &JoinFilesParameters) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (at, name) in parameters.columns.iter().enumerate() {
            let place = format!("columns.{at}");
            if parameters.columns[..at].contains(name) {
                problems.push(Problem::new(place, format!("`{name}` stands twice")));
            } else if ["label", "group"].contains(&name.as_str()) {
                problems.push(Problem::new(
                    place,
                    format!("write `{name}: {name}`, so that it is filled in"),
                ));
            }
        }
        problems
    }

    fn run(parameters: &JoinFilesParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let (files, list) = (context.table("files")?, context.table("list")?);
        let known = |schema: SchemaRef| TableType::from_schema("Table", &schema).map_err(StageError::new);
        let joined = parameters
            .joined(&known(files.schema())?, &known(list.schema())?)
            .map_err(failure)?;
        let list_schema = list.schema();
        let list: Vec<RecordBatch> = list.collect::<Result<_, _>>()?;
        let list = concat_batches(&list_schema, &list)?;
        let mut rejects = Rejects::open(context)?;
        let missing = |name: &str| StageError::new(format!("a table came without its column `{name}`"));
        let named = list
            .column_by_name(&parameters.column)
            .and_then(|named| named.as_string_opt::<i32>());
        let mut names = Names::new(
            named.ok_or_else(|| missing(&parameters.column))?,
            parameters.named_by,
            &mut rejects,
        )?;
        let schema = joined.schema();
        let mut out = context.write_table("files", schema.clone())?;
        let (mut done, total) = (0, files.rows());
        for batch in files {
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            let batch = batch?;
            let sources = batch
                .column_by_name("source")
                .and_then(|sources| sources.as_string_opt::<i32>());
            let sources = sources.ok_or_else(|| missing("source"))?;
            let rows: UInt32Array = sources.iter().map(|source| names.find(source?)).collect();
            let mut columns: Vec<ArrayRef> = Vec::with_capacity(joined.columns.len());
            for column in &joined.columns {
                let taken = parameters.taken().into_iter().find(|(_, to)| *to == column.name);
                columns.push(match taken {
                    Some((from, _)) => take(
                        list.column_by_name(from).ok_or_else(|| missing(from))?,
                        &rows,
                        None,
                    )?,
                    None => batch
                        .column_by_name(&column.name)
                        .ok_or_else(|| missing(&column.name))?
                        .clone(),
                });
            }
            done += batch.num_rows() as u64;
            context.progress(done, Some(total));
            let listed: BooleanArray = (0..rows.len()).map(|row| Some(rows.is_valid(row))).collect();
            match parameters.unlisted {
                Unlisted::Keep => out.write(&RecordBatch::try_new(schema.clone(), columns)?)?,
                Unlisted::Drop => {
                    let columns = columns.iter().map(|column| filter(column, &listed));
                    let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
                    out.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
                }
            }
        }
        names.refuse_unused(&mut rejects)?;
        out.finish()?;
        if rejects.count() > 0 {
            context.log(&format!(
                "{} rows of the list were refused: see `rejects`",
                rejects.count()
            ));
        }
        rejects.finish()
    }
}
