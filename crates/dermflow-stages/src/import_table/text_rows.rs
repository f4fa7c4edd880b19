//! CSV, TSV, JSON and JSON-lines files, row by row. Knows how rows are written, and not what they
//! become: that is the plan's.

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;

use arrow::array::{ArrayRef, RecordBatch};
use dermflow_core::sample_ids;
use dermflow_core::{Cause, Column, SampleId, StageContext, StageError};

use super::assemble::{BATCH, Builder, Parsed, Place, TakesRows, parse};
use super::infer::Seen;
use super::json_rows;
use super::parameters::{IdFrom, ImportTableParameters, TextFormat};
use super::plan::{self, Plan};

/// One value of a row.
pub struct Cell<'a> {
    pub text: Cow<'a, str>,
    /// The file says that it is text.
    pub quoted: bool,
}

/// A row: the wanted columns in their order, or the reason for which it can't be read.
pub type Row<'a> = Result<&'a [Option<Cell<'a>>], String>;

/// Takes a row and where it stands.
pub type EachRow<'a> = &'a mut dyn FnMut(Place, Row<'_>) -> Result<(), StageError>;

/// Draws up the plan, reading the whole file where types are to be inferred.
pub fn plan(
    parameters: &ImportTableParameters,
    path: &Path,
    format: TextFormat,
    context: &dyn StageContext,
) -> Result<Plan, StageError> {
    let names = names(path, format, context)?;
    let nulls = parameters.null_spellings(format);
    plan::plan(parameters, &names, |rest| {
        let mut seen = vec![Seen::default(); rest.len()];
        if !rest.is_empty() {
            each_row(path, format, rest, context, &mut |_, row| {
                for (seen, cell) in seen.iter_mut().zip(row.unwrap_or_default()) {
                    if let Some(cell) = cell
                        .as_ref()
                        .filter(|cell| !nulls.iter().any(|null| *null == cell.text))
                    {
                        seen.take(&cell.text, cell.quoted);
                    }
                }
                Ok(())
            })?;
        }
        let columns = rest.iter().zip(seen);
        Ok(columns
            .map(|(name, seen)| Column::nullable(name.clone(), seen.column_type()))
            .collect())
    })
}

/// Reads all rows into the outputs.
pub fn read(
    parameters: &ImportTableParameters,
    plan: &Plan,
    path: &Path,
    format: TextFormat,
    rows: &mut dyn TakesRows,
    context: &dyn StageContext,
) -> Result<(), StageError> {
    let nulls = parameters.null_spellings(format);
    let columns = &plan.table.columns[1..];
    let mut builders: Vec<Builder> = columns
        .iter()
        .map(|column| Builder::new(&column.column_type))
        .collect::<Result<_, _>>()?;
    let mut ids: Vec<SampleId> = Vec::new();
    let mut places: Vec<Place> = Vec::new();
    each_row(path, format, &plan.wanted, context, &mut |place, row| {
        let row = match row {
            Ok(row) => row,
            Err(reason) => return rows.refuse(None, place, reason),
        };
        let given = |at: usize| {
            let cell: Option<&Cell<'_>> = row.get(at).and_then(Option::as_ref);
            cell.filter(|cell| !nulls.iter().any(|null| *null == cell.text))
        };
        let id = match id_of(plan, given(plan.id_from)) {
            Ok(id) => id,
            Err(reason) => return rows.refuse(None, place, reason),
        };
        let mut values = Vec::with_capacity(columns.len());
        for (column, from) in columns.iter().zip(&plan.from) {
            match value_of(column, given(*from)) {
                Ok(value) => values.push(value),
                Err(reason) => return rows.refuse(Some(id), place, reason),
            }
        }
        if let Err(reason) = rows.admit(id) {
            return rows.refuse(Some(id), place, reason);
        }
        ids.push(id);
        places.push(place);
        for (builder, value) in builders.iter_mut().zip(values) {
            builder.append(value)?;
        }
        match ids.len() < BATCH {
            true => Ok(()),
            false => write(plan, &mut ids, &mut places, &mut builders, rows),
        }
    })?;
    write(plan, &mut ids, &mut places, &mut builders, rows)
}

fn write(
    plan: &Plan,
    ids: &mut Vec<SampleId>,
    places: &mut Vec<Place>,
    builders: &mut [Builder],
    rows: &mut dyn TakesRows,
) -> Result<(), StageError> {
    let mut arrays: Vec<ArrayRef> = vec![sample_ids(ids)];
    arrays.extend(builders.iter_mut().map(Builder::finish));
    ids.clear();
    let places = std::mem::take(places);
    rows.take(&RecordBatch::try_new(plan.table.schema(), arrays)?, &places)
}

fn id_of(plan: &Plan, cell: Option<&Cell<'_>>) -> Result<SampleId, String> {
    let name = plan.id.column();
    let cell = cell.ok_or_else(|| format!("`{name}`, which tells the sample, is missing"))?;
    match plan.id {
        IdFrom::Key(_) => Ok(SampleId::of_key(&cell.text)),
        IdFrom::Id(_) => cell.text.parse().map_err(|error| format!("`{name}`: {error}")),
    }
}

fn value_of<'a>(column: &Column, cell: Option<&'a Cell<'a>>) -> Result<Parsed<'a>, String> {
    match cell {
        None if column.nullable => Ok(Parsed::Missing),
        None => Err(format!("`{}` is missing", column.name)),
        Some(cell) => {
            parse(&cell.text, &column.column_type).map_err(|reason| format!("`{}`: {reason}", column.name))
        }
    }
}

/// The file's columns: its first line, or every name in any of its objects.
fn names(path: &Path, format: TextFormat, context: &dyn StageContext) -> Result<Vec<String>, StageError> {
    let TextFormat::Delimited(delimiter) = format else {
        return json_rows::names(path, format, context);
    };
    let mut reader = delimited(path, delimiter)?;
    let header = reader
        .byte_headers()
        .map_err(|error| broken(path, &error))?
        .clone();
    let mut names = Vec::with_capacity(header.len());
    for name in &header {
        let name = std::str::from_utf8(name)
            .map_err(|_| StageError::new(format!("a column name of {} is not UTF-8", path.display())))?;
        if names.iter().any(|other| other == name) && !name.is_empty() {
            let message = format!("the column `{name}` stands twice in {}", path.display());
            return Err(StageError::new(message).with_help("rename one of the two"));
        }
        names.push(name.to_string());
    }
    match names.is_empty() {
        true => Err(StageError::new(format!(
            "{} is empty: its first line must name the columns",
            path.display()
        ))),
        false => Ok(names),
    }
}

/// Calls `each` with where a row stands, and the row.
fn each_row(
    path: &Path,
    format: TextFormat,
    wanted: &[String],
    context: &dyn StageContext,
    each: EachRow<'_>,
) -> Result<(), StageError> {
    match format {
        TextFormat::Delimited(delimiter) => each_record(path, delimiter, wanted, context, each),
        TextFormat::Json | TextFormat::JsonLines => json_rows::each_row(path, format, wanted, context, each),
    }
}

fn delimited(path: &Path, delimiter: u8) -> Result<csv::Reader<File>, StageError> {
    let file = File::open(path).map_err(|error| StageError::io("reading", path, &error))?;
    let mut builder = csv::ReaderBuilder::new();
    Ok(builder
        .delimiter(delimiter)
        .flexible(true)
        .buffer_capacity(1 << 16)
        .from_reader(file))
}

fn broken(path: &Path, error: &csv::Error) -> StageError {
    StageError::new(format!("reading {}: {error}", path.display()))
}

fn each_record(
    path: &Path,
    delimiter: u8,
    wanted: &[String],
    context: &dyn StageContext,
    each: EachRow<'_>,
) -> Result<(), StageError> {
    let mut reader = delimited(path, delimiter)?;
    let header = reader
        .byte_headers()
        .map_err(|error| broken(path, &error))?
        .clone();
    let places: Vec<usize> = wanted
        .iter()
        .map(|name| header.iter().position(|other| other == name.as_bytes()))
        .collect::<Option<_>>()
        .ok_or_else(|| changed(path))?;
    let mut record = csv::ByteRecord::new();
    let mut rows = 0u64;
    while reader
        .read_byte_record(&mut record)
        .map_err(|error| broken(path, &error))?
    {
        rows += 1;
        if rows.is_multiple_of(BATCH as u64) {
            report(rows, context)?;
        }
        let line = Place::Line(record.position().map_or(0, csv::Position::line));
        if record.len() != header.len() {
            let reason = format!(
                "it has {} values, and there are {} columns",
                record.len(),
                header.len()
            );
            each(line, Err(reason))?;
            continue;
        }
        let cells: Result<Vec<Option<Cell<'_>>>, String> = places
            .iter()
            .map(|place| match std::str::from_utf8(&record[*place]) {
                Ok(text) => Ok(Some(Cell {
                    text: Cow::Borrowed(text),
                    quoted: false,
                })),
                Err(_) => Err(format!("value {} is not UTF-8", place + 1)),
            })
            .collect();
        match cells {
            Ok(cells) => each(line, Ok(&cells))?,
            Err(reason) => each(line, Err(reason))?,
        }
    }
    Ok(())
}

pub fn report(rows: u64, context: &dyn StageContext) -> Result<(), StageError> {
    context.progress(rows, None);
    match context.cancelled() {
        true => Err(StageError::cancelled()),
        false => Ok(()),
    }
}

fn changed(path: &Path) -> StageError {
    let message = format!("{} changed while it was read", path.display());
    StageError::new(message).with_cause(Cause::SourceChanged)
}
