//! What the input `labels` says of each image. Must not know which images are shown.

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Float32Type, Float64Type, Int64Type};
use dermflow_core::{ColumnType, InputTypes, Problem, StageContext, StageError, TableReader};

use super::ContactSheetParameters;
use crate::columns::{ids_of, in_words, typed_column, wired_table};

/// What the input `labels` says of an image; nothing where it lacks the image, or isn't wired.
#[derive(Debug, Default)]
pub struct Said {
    /// Its label.
    pub label: Option<String>,
    /// What `second-label` asks for.
    pub second: Option<String>,
    /// The number that `order` asks for.
    pub number: Option<f64>,
}

/// The columns of `labels` that are read besides its labels.
pub fn columns(parameters: &ContactSheetParameters) -> impl Iterator<Item = &str> {
    let second = parameters.second_label.as_deref();
    parameters.order.column().into_iter().chain(second)
}

/// That these columns are there, and hold what they should.
///
/// # Errors
/// Names the parameter and what is missing.
pub fn check(parameters: &ContactSheetParameters, wired: &InputTypes) -> Result<(), Problem> {
    let numbers = [ColumnType::Integer, ColumnType::Float32, ColumnType::Float64];
    let texts = [ColumnType::Text];
    let order = parameters.order.column();
    let order = order.map(|name| ("order", name, &numbers[..], "a number"));
    let second = parameters.second_label.as_deref();
    let second = second.map(|name| ("second-label", name, &texts[..], "text"));
    for (parameter, name, expected, in_short) in order.into_iter().chain(second) {
        if !wired.contains_key("labels") {
            let message = format!("`{name}` is a column of `labels`, to which nothing is wired");
            return Err(Problem::new(parameter, message));
        }
        let labels = wired_table(wired, "labels");
        let message = match labels.column(name).map(|column| &column.column_type) {
            Some(found) if expected.contains(found) => continue,
            None if labels.open => continue,
            Some(found) => format!("column `{name}` of `labels` is {found}; {in_short} was expected"),
            None => format!("`labels` has no column `{name}`; {}", in_words(&labels)),
        };
        return Err(Problem::new(parameter, message));
    }
    Ok(())
}

/// Reads the input `labels`, asked for in order of ids.
pub struct Labels<'a> {
    parameters: &'a ContactSheetParameters,
    table: Option<Box<dyn TableReader>>,
    batch: Option<RecordBatch>,
    row: usize,
}

impl<'a> Labels<'a> {
    /// Before the first image.
    ///
    /// # Errors
    /// Where the table can't be read.
    pub fn open(
        parameters: &'a ContactSheetParameters,
        context: &dyn StageContext,
    ) -> Result<Labels<'a>, StageError> {
        let table = context.has_input("labels").then(|| context.table("labels"));
        Ok(Labels {
            parameters,
            table: table.transpose()?,
            batch: None,
            row: 0,
        })
    }

    /// What the first row of this id says, which is not below the one asked for before.
    ///
    /// # Errors
    /// Where the table can't be read, or a column holds something else than it should.
    pub fn of(&mut self, id: &[u8]) -> Result<Said, StageError> {
        loop {
            if let Some(batch) = &self.batch
                && self.row < batch.num_rows()
            {
                let found = ids_of(batch)?.value(self.row);
                if found == id {
                    return said(self.parameters, batch, self.row);
                }
                if found > id {
                    return Ok(Said::default());
                }
                self.row += 1;
                continue;
            }
            match self.table.as_mut().and_then(Iterator::next) {
                Some(batch) => (self.batch, self.row) = (Some(batch?), 0),
                None => return Ok(Said::default()),
            }
        }
    }
}

fn said(parameters: &ContactSheetParameters, batch: &RecordBatch, row: usize) -> Result<Said, StageError> {
    let mut said = Said {
        label: text(batch, "label", row)?,
        ..Said::default()
    };
    if let Some(column) = &parameters.second_label {
        said.second = text(batch, column, row)?;
    }
    if let Some(column) = parameters.order.column() {
        said.number = number(batch, column, row)?;
    }
    Ok(said)
}

/// A text, none where it is missing.
fn text(batch: &RecordBatch, name: &str, row: usize) -> Result<Option<String>, StageError> {
    let texts: &StringArray = typed_column(batch, name)?;
    Ok((!texts.is_null(row)).then(|| texts.value(row).to_string()))
}

/// A number, none where it is missing.
fn number(batch: &RecordBatch, name: &str, row: usize) -> Result<Option<f64>, StageError> {
    let column = batch
        .column_by_name(name)
        .ok_or_else(|| StageError::new(format!("`labels` has no column `{name}`")))?;
    if column.is_null(row) {
        return Ok(None);
    }
    let number = if let Some(integers) = column.as_primitive_opt::<Int64Type>() {
        integers.value(row) as f64
    } else if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
        floats.value(row)
    } else if let Some(floats) = column.as_primitive_opt::<Float32Type>() {
        f64::from(floats.value(row))
    } else {
        return Err(StageError::new(format!(
            "column `{name}` of `labels` holds no numbers"
        )));
    };
    Ok(Some(number).filter(|number| !number.is_nan()))
}
