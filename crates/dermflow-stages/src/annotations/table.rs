//! Tables of annotations: the readers of `import-table`, with the columns that importers need
//! set aside from those that only come along.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::Float64Type;
use dermflow_core::{ColumnType, SampleId, StageContext, StageError};

use super::file::{AnnotationFile, AnnotationFormat};
use super::{ImageName, Refused};
use crate::import_table::{Format, ImportTableParameters, ImportedColumn, Place, TableFile, TakesRows};

/// A row of a table: its image, and values of the wanted columns in their order.
pub struct ForeignRow<'a> {
    /// Where it stands.
    pub place: String,
    /// The image.
    pub image: ImageName,
    /// The batch that it lies in, and its row there.
    pub batch: &'a RecordBatch,
    /// The row.
    pub row: usize,
}

impl ForeignRow<'_> {
    /// The text in a column of the file, where there is one.
    pub fn text(&self, column: &str) -> Option<&str> {
        let column = self
            .batch
            .column_by_name(&text_column(column))?
            .as_string_opt::<i32>()?;
        (!column.is_null(self.row)).then(|| column.value(self.row))
    }

    /// The number in a column of the file, where there is one.
    pub fn number(&self, column: &str) -> Option<f64> {
        let column = self.batch.column_by_name(&number_column(column))?;
        let column = column.as_primitive_opt::<Float64Type>()?;
        (!column.is_null(self.row)).then(|| column.value(self.row))
    }
}

/// Takes the rows of a batch, those that can't be read included.
pub type EachBatch<'a> = &'a mut dyn FnMut(Result<Vec<ForeignRow<'_>>, Refused>) -> Result<(), StageError>;

/// Reads a table's rows.
///
/// # Errors
/// Where the file can't be read, lacks a column, or `each` fails.
pub fn read_table(
    file: AnnotationFile<'_>,
    layout: &TableLayout<'_>,
    context: &dyn StageContext,
    each: EachBatch<'_>,
) -> Result<(), StageError> {
    let parameters = layout.parameters(file);
    let path = context.source("path")?;
    let mut rows = Rows {
        file: file.name(&path),
        image: layout.image,
        each,
    };
    TableFile::open(&parameters, &path, context)?.read(&mut rows, context)
}

/// How the columns of a table are called.
pub struct TableLayout<'a> {
    /// The column that names the image.
    pub image: &'a str,
    /// Columns of texts that may be missing.
    pub texts: Vec<&'a str>,
    /// Columns of numbers that may be missing.
    pub numbers: Vec<&'a str>,
    /// Columns that come along, by the names that they get.
    pub columns: &'a BTreeMap<String, ImportedColumn>,
    /// Spellings of a missing value.
    pub null: &'a Option<Vec<String>>,
    /// What stands between values.
    pub delimiter: Option<char>,
}

/// What the file's text column `name` is called on its way, beside columns that come along; a
/// name that nobody gives a column. Messages leave out what makes it one.
fn text_column(name: &str) -> String {
    format!("\u{0}\u{0}{name}")
}

/// The same of a column of numbers.
fn number_column(name: &str) -> String {
    format!("\u{0}{name}")
}

impl TableLayout<'_> {
    /// As `import-table` is told.
    pub fn parameters(&self, file: AnnotationFile<'_>) -> ImportTableParameters {
        let column = |column_type: ColumnType, from: &str, nullable: bool| ImportedColumn {
            column_type,
            from: Some(from.to_string()),
            nullable,
        };
        let mut columns = self.columns.clone();
        for name in &self.numbers {
            columns.insert(number_column(name), column(ColumnType::Float64, name, true));
        }
        for name in &self.texts {
            columns.insert(text_column(name), column(ColumnType::Text, name, true));
        }
        columns.insert(
            text_column(self.image),
            column(ColumnType::Text, self.image, false),
        );
        ImportTableParameters {
            path: file.path.to_string(),
            format: match file.format {
                AnnotationFormat::Csv => Format::Csv,
                AnnotationFormat::Tsv => Format::Tsv,
                AnnotationFormat::Json => Format::Json,
                AnnotationFormat::JsonLines => Format::JsonLines,
                AnnotationFormat::Parquet => Format::Parquet,
                _ => Format::Auto,
            },
            key: Some(self.image.to_string()),
            sample_id: None,
            contract: None,
            columns: Some(columns),
            null: self.null.clone(),
            delimiter: self.delimiter,
            unique: false,
        }
    }
}

/// Turns batches into rows.
struct Rows<'a> {
    file: String,
    image: &'a str,
    each: EachBatch<'a>,
}

impl TakesRows for Rows<'_> {
    fn admit(&mut self, _: SampleId) -> Result<(), String> {
        Ok(())
    }

    fn refuse(&mut self, _: Option<SampleId>, place: Place, reason: String) -> Result<(), StageError> {
        let place = format!("{} {place}", self.file);
        let reason = reason.replace('\u{0}', "");
        (self.each)(Err(Refused { place, reason }))
    }

    fn take(&mut self, batch: &RecordBatch, places: &[Place]) -> Result<(), StageError> {
        let images: &ArrayRef = batch
            .column_by_name(&text_column(self.image))
            .ok_or_else(|| StageError::new("the rows came without the name of their image"))?;
        let images = images.as_string::<i32>();
        let rows = places.iter().enumerate().map(|(row, place)| ForeignRow {
            place: format!("{} {place}", self.file),
            image: ImageName::new(images.value(row)),
            batch,
            row,
        });
        (self.each)(Ok(rows.collect()))
    }
}
