//! What a program left, checked before it is believed. Knows nothing of how it ran.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use dermflow_core::artifact::safe_relative_path;
use dermflow_core::sample_ids;
use dermflow_core::{Column, NamedFile, SAMPLE_ID, SampleId, StageContext, StageError, TableType};

use super::folder::Folder;
use super::parameters::{Output, PlainOutput, TableOutput};
use crate::coerce;
use crate::foreign_parquet::ForeignParquet;

const BATCH: usize = 8192;

/// Takes one output.
pub fn take(
    name: &str,
    output: &Output,
    folder: &Folder,
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let path = folder.output(name, output);
    let shown = path.strip_prefix(&folder.work).unwrap_or(&path);
    let missing = || {
        let message = format!(
            "the program ended well, but its output `{name}` is missing at {}",
            shown.display()
        );
        StageError::new(message)
            .with_help("that path is in the context, and relative to the program's folder")
    };
    match output {
        Output::Table(table) => {
            if !path.is_file() {
                return Err(missing());
            }
            take_table(name, table, &path, context).map_err(|error| StageError {
                message: format!("the output `{name}`: {}", error.message),
                ..error
            })
        }
        Output::Plain(PlainOutput::Model) => {
            if !path.is_file() {
                return Err(missing());
            }
            context.write_model(name, &path)
        }
        Output::Plain(PlainOutput::Files) => {
            let mut files = Vec::new();
            if path.is_dir() {
                list(&path, "", &mut files)?;
            }
            if files.is_empty() {
                return Err(missing().with_help("write at least one file into that folder; it may be empty"));
            }
            files.sort_by(|a, b| a.name.cmp(&b.name));
            context.write_files(name, &files)
        }
    }
}

/// The files below a folder. Links to files count as files; links to folders are refused,
/// because they may turn in circles.
fn list(folder: &Path, prefix: &str, files: &mut Vec<NamedFile>) -> Result<(), StageError> {
    let failed = |error: std::io::Error| StageError::io("reading", folder, &error);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let part = entry.file_name();
        let refuse = |why: &str| StageError::new(format!("the output file {} {why}", path.display()));
        let part = part
            .to_str()
            .ok_or_else(|| refuse("has a name that is not UTF-8"))?;
        let name = format!("{prefix}{part}");
        safe_relative_path(&name).map_err(StageError::new)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            list(&path, &format!("{name}/"), files)?;
        } else if std::fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            files.push(NamedFile { name, path });
        } else {
            return Err(refuse("is neither a file nor a folder"));
        }
    }
    Ok(())
}

fn take_table(
    name: &str,
    output: &TableOutput,
    path: &Path,
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let wanted = output.table.table_type("").map_err(crate::columns::failure)?;
    let file = ForeignParquet::open(path, BATCH)?;
    let table = arrange(&wanted, &file.schema())?;
    let mut out = context.write_table(name, table.schema())?;
    let mut first = 0;
    for batch in file {
        let batch = batch?;
        if context.cancelled() {
            return Err(StageError::cancelled());
        }
        out.write(&fitted(&table, &batch, first)?)?;
        first += batch.num_rows() as u64;
    }
    out.finish()
}

/// The columns that the table will have: the wanted ones, then those that came besides.
fn arrange(wanted: &TableType, given: &SchemaRef) -> Result<TableType, StageError> {
    let mut wrong = Vec::new();
    let mut columns = wanted.columns.clone();
    for column in &columns {
        if given.column_with_name(&column.name).is_none() {
            wrong.push(format!(
                "it has no column `{}` ({})",
                column.name, column.column_type
            ));
        }
    }
    for (at, field) in given.fields().iter().enumerate() {
        let name = field.name();
        if given.fields()[..at].iter().any(|other| other.name() == name) {
            wrong.push(format!("column `{name}` stands twice"));
        } else if wanted.column(name).is_some() {
            continue;
        } else if !wanted.open {
            wrong.push(format!("its column `{name}` is not among those declared"));
        } else {
            match coerce::natural(field.data_type()) {
                None => wrong.push(format!(
                    "column `{name}`: {}",
                    coerce::unsupported(field.data_type())
                )),
                Some(column_type) => columns.push(Column {
                    name: name.clone(),
                    column_type,
                    nullable: field.is_nullable(),
                }),
            }
        }
    }
    match wrong.is_empty() {
        true => Ok(TableType {
            contract: wanted.contract.clone(),
            columns,
            open: false,
        }),
        false => Err(StageError::new(wrong.join("; "))),
    }
}

/// The rows of a batch with the columns of the table; `first` rows came before.
fn fitted(table: &TableType, batch: &RecordBatch, first: u64) -> Result<RecordBatch, StageError> {
    let arrays = table.columns.iter().map(|column| {
        let wrong = |refusal: String| StageError::new(format!("column `{}`: {refusal}", column.name));
        let given = batch
            .column_by_name(&column.name)
            .ok_or_else(|| wrong("its rows lack it".to_string()))?;
        if column.name == SAMPLE_ID {
            return id_column(given, first).map_err(wrong);
        }
        let array = coerce::to_column(given, &column.column_type).map_err(wrong)?;
        match (0..array.len()).find(|row| !column.nullable && array.is_null(*row)) {
            Some(row) => Err(wrong(format!(
                "the value in row {} is missing",
                first + row as u64 + 1
            ))),
            None => Ok(array),
        }
    });
    let arrays: Vec<ArrayRef> = arrays.collect::<Result<_, _>>()?;
    Ok(RecordBatch::try_new(Arc::clone(&table.schema()), arrays)?)
}

fn id_column(given: &ArrayRef, first: u64) -> Result<ArrayRef, String> {
    let ids = coerce::sample_ids(given)?.into_iter().enumerate();
    let ids: Vec<SampleId> = ids
        .map(|(row, id)| id.map_err(|refusal| format!("row {}: {refusal}", first + row as u64 + 1)))
        .collect::<Result<_, _>>()?;
    Ok(sample_ids(&ids))
}
