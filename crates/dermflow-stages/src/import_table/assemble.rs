//! Rows on their way into the two outputs: parsed values into batches, refusals into rejects.
//! Knows nothing of file formats.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, FixedSizeBinaryBuilder, Float32Builder, Float64Builder, Int64Builder,
    RecordBatch, StringBuilder,
};
use arrow::datatypes::SchemaRef;
use dermflow_core::{ColumnType, SampleId, StageContext, StageError, TableWriter};

use super::parameters::ImportTableParameters;
use crate::rejects::Rejects;

/// How many rows a batch has.
pub const BATCH: usize = 8192;

/// Takes the rows of a file, batch by batch.
pub(crate) trait TakesRows {
    /// Whether a row of this sample is wanted.
    ///
    /// # Errors
    /// The reason for its refusal.
    fn admit(&mut self, id: SampleId) -> Result<(), String>;

    /// Refuses a row. Its id is given where it has one.
    ///
    /// # Errors
    /// Where the disk is full.
    fn refuse(&mut self, id: Option<SampleId>, place: Place, reason: String) -> Result<(), StageError>;

    /// Takes rows, and where each stood in the file.
    ///
    /// # Errors
    /// Where the disk is full.
    fn take(&mut self, batch: &RecordBatch, places: &[Place]) -> Result<(), StageError>;
}

/// Where a row stands in its file, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The line on which it starts.
    Line(u64),
    /// Its number, where lines tell nothing.
    Row(u64),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Line(line) => write!(f, "line {line}"),
            Place::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// The two outputs while they are written, and what they count.
pub struct Outputs {
    table: Box<dyn TableWriter>,
    rejects: Rejects,
    file: String,
    seen: Option<HashSet<SampleId>>,
    rows: u64,
}

/// What a file is called in messages and rejects: its name without folders, as written in the
/// pipeline.
pub(crate) fn file_name(written: &str, path: &Path) -> String {
    let name = Path::new(written).file_name().or(path.file_name());
    name.unwrap_or_default().to_string_lossy().into_owned()
}

impl Outputs {
    pub fn open(
        parameters: &ImportTableParameters,
        path: &Path,
        schema: SchemaRef,
        context: &mut dyn StageContext,
    ) -> Result<Outputs, StageError> {
        Ok(Outputs {
            table: context.write_table("table", schema)?,
            rejects: Rejects::open(context)?,
            file: file_name(&parameters.path, path),
            seen: parameters.unique.then(HashSet::new),
            rows: 0,
        })
    }

    pub fn finish(self, context: &mut dyn StageContext) -> Result<(), StageError> {
        let refused = self.rejects.count();
        if refused > 0 {
            let (all, file) = (self.rows + refused, &self.file);
            context.log(&format!(
                "{refused} of {all} rows of {file} were refused: see the output `rejects`"
            ));
        }
        context.metric("rows", self.rows as f64);
        context.metric("rejects", refused as f64);
        self.table.finish()?;
        self.rejects.finish()
    }
}

impl TakesRows for Outputs {
    fn admit(&mut self, id: SampleId) -> Result<(), String> {
        if self.seen.as_mut().is_none_or(|seen| seen.insert(id)) {
            return Ok(());
        }
        Err("an earlier row has the same sample id, and `unique: true` allows one row each".to_string())
    }

    fn refuse(&mut self, id: Option<SampleId>, place: Place, reason: String) -> Result<(), StageError> {
        self.rejects.add(id, format!("{} {place}", self.file), reason)
    }

    fn take(&mut self, batch: &RecordBatch, _: &[Place]) -> Result<(), StageError> {
        self.rows += batch.num_rows() as u64;
        self.table.write(batch)
    }
}

/// One parsed value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Parsed<'a> {
    Missing,
    Boolean(bool),
    Integer(i64),
    Float32(f32),
    Float64(f64),
    Text(&'a str),
    SampleId(SampleId),
}

/// Reads a text as a value of a column.
///
/// # Errors
/// The reason for the refusal of its row.
pub fn parse<'a>(text: &'a str, column_type: &ColumnType) -> Result<Parsed<'a>, String> {
    let refuse = || {
        let shown: String = text.chars().take(80).collect();
        format!("`{shown}` is not {column_type}")
    };
    match column_type {
        ColumnType::Text => Ok(Parsed::Text(text)),
        ColumnType::Boolean => match text {
            "true" | "True" | "TRUE" => Ok(Parsed::Boolean(true)),
            "false" | "False" | "FALSE" => Ok(Parsed::Boolean(false)),
            _ => Err(refuse()),
        },
        ColumnType::Integer => text.parse().map(Parsed::Integer).map_err(|_| refuse()),
        ColumnType::Float32 => text.parse().map(Parsed::Float32).map_err(|_| refuse()),
        ColumnType::Float64 => text.parse().map(Parsed::Float64).map_err(|_| refuse()),
        ColumnType::SampleId => text.parse().map(Parsed::SampleId).map_err(|_| refuse()),
        ColumnType::Binary | ColumnType::List(_) => {
            Err(format!("{column_type} can be read from Parquet only"))
        }
    }
}

/// A column in the making.
pub enum Builder {
    Boolean(BooleanBuilder),
    Integer(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Text(StringBuilder),
    SampleId(FixedSizeBinaryBuilder),
}

impl Builder {
    pub fn new(column_type: &ColumnType) -> Result<Builder, StageError> {
        Ok(match column_type {
            ColumnType::Boolean => Builder::Boolean(BooleanBuilder::new()),
            ColumnType::Integer => Builder::Integer(Int64Builder::new()),
            ColumnType::Float32 => Builder::Float32(Float32Builder::new()),
            ColumnType::Float64 => Builder::Float64(Float64Builder::new()),
            ColumnType::Text => Builder::Text(StringBuilder::new()),
            ColumnType::SampleId => Builder::SampleId(FixedSizeBinaryBuilder::new(32)),
            ColumnType::Binary | ColumnType::List(_) => {
                return Err(StageError::new(format!(
                    "{column_type} can be read from Parquet only"
                )));
            }
        })
    }

    pub fn append(&mut self, value: Parsed<'_>) -> Result<(), StageError> {
        match (self, value) {
            (Builder::Boolean(builder), Parsed::Boolean(value)) => builder.append_value(value),
            (Builder::Integer(builder), Parsed::Integer(value)) => builder.append_value(value),
            (Builder::Float32(builder), Parsed::Float32(value)) => builder.append_value(value),
            (Builder::Float64(builder), Parsed::Float64(value)) => builder.append_value(value),
            (Builder::Text(builder), Parsed::Text(value)) => builder.append_value(value),
            (Builder::SampleId(builder), Parsed::SampleId(value)) => {
                builder.append_value(value.as_bytes())?
            }
            (Builder::Boolean(builder), _) => builder.append_null(),
            (Builder::Integer(builder), _) => builder.append_null(),
            (Builder::Float32(builder), _) => builder.append_null(),
            (Builder::Float64(builder), _) => builder.append_null(),
            (Builder::Text(builder), _) => builder.append_null(),
            (Builder::SampleId(builder), _) => builder.append_null(),
        }
        Ok(())
    }

    pub fn finish(&mut self) -> ArrayRef {
        match self {
            Builder::Boolean(builder) => Arc::new(builder.finish()),
            Builder::Integer(builder) => Arc::new(builder.finish()),
            Builder::Float32(builder) => Arc::new(builder.finish()),
            Builder::Float64(builder) => Arc::new(builder.finish()),
            Builder::Text(builder) => Arc::new(builder.finish()),
            Builder::SampleId(builder) => Arc::new(builder.finish()),
        }
    }
}
