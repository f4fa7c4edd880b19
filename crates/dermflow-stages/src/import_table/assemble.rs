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
use dermflow_core::sample_ids;
use dermflow_core::{ColumnType, Contract, SampleId, StageContext, StageError, TableType, TableWriter};

use super::parameters::ImportTableParameters;

/// How many rows a batch has.
pub const BATCH: usize = 8192;

/// The two outputs while they are written, and what they count.
pub struct Outputs {
    table: Box<dyn TableWriter>,
    rejects: Box<dyn TableWriter>,
    rejects_schema: SchemaRef,
    file: String,
    refused: Vec<(SampleId, String, String)>,
    seen: Option<HashSet<SampleId>>,
    rows: u64,
    refusals: u64,
}

impl Outputs {
    pub fn open(
        parameters: &ImportTableParameters,
        path: &Path,
        schema: SchemaRef,
        context: &mut dyn StageContext,
    ) -> Result<Outputs, StageError> {
        let written = Path::new(&parameters.path).file_name().or(path.file_name());
        // The contract is in the constant list of contracts; `any` only keeps this total.
        let rejects_schema = Contract::named("Rejects")
            .map_or_else(TableType::any, TableType::of)
            .schema();
        Ok(Outputs {
            table: context.write_table("table", schema)?,
            rejects: context.write_table("rejects", rejects_schema.clone())?,
            rejects_schema,
            file: written.unwrap_or_default().to_string_lossy().into_owned(),
            refused: Vec::new(),
            seen: parameters.unique.then(HashSet::new),
            rows: 0,
            refusals: 0,
        })
    }

    /// Whether a sample is new, where it has to be.
    ///
    /// # Errors
    /// The reason for its refusal.
    pub fn admit(&mut self, id: SampleId) -> Result<(), String> {
        if self.seen.as_mut().is_none_or(|seen| seen.insert(id)) {
            return Ok(());
        }
        Err("an earlier row has the same sample id, and `unique: true` allows one row each".to_string())
    }

    /// Refuses the row at `place` (such as `line 18`). Without an id of its own it gets one
    /// from its place.
    pub fn refuse(&mut self, id: Option<SampleId>, place: &str, reason: String) -> Result<(), StageError> {
        let source = format!("{} {place}", self.file);
        let id = id.unwrap_or_else(|| SampleId::of_key(&source));
        self.refused.push((id, source, reason));
        self.refusals += 1;
        match self.refused.len() < BATCH {
            true => Ok(()),
            false => self.write_refused(),
        }
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        self.rows += batch.num_rows() as u64;
        self.table.write(batch)
    }

    fn write_refused(&mut self) -> Result<(), StageError> {
        let mut sources = StringBuilder::new();
        let mut reasons = StringBuilder::new();
        let mut ids = Vec::with_capacity(self.refused.len());
        for (id, source, reason) in self.refused.drain(..) {
            ids.push(id);
            sources.append_value(source);
            reasons.append_value(reason);
        }
        let columns: Vec<ArrayRef> = vec![
            sample_ids(&ids),
            Arc::new(sources.finish()),
            Arc::new(reasons.finish()),
        ];
        self.rejects
            .write(&RecordBatch::try_new(self.rejects_schema.clone(), columns)?)
    }

    pub fn finish(mut self, context: &mut dyn StageContext) -> Result<(), StageError> {
        self.write_refused()?;
        if self.refusals > 0 {
            let (refused, all, file) = (self.refusals, self.rows + self.refusals, &self.file);
            context.log(&format!(
                "{refused} of {all} rows of {file} were refused: see the output `rejects`"
            ));
        }
        context.metric("rows", self.rows as f64);
        context.metric("rejects", self.refusals as f64);
        self.table.finish()?;
        self.rejects.finish()
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
