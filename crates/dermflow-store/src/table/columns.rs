//! Arrow schemas and columns: what a batch must be to enter a table.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use dermflow_core::{Column, ColumnType, SampleId};

use crate::error::StoreError;

/// The columns that an Arrow schema has.
///
/// # Errors
/// Where a type is outside of [`ColumnType`], a name stands twice, or the first column is no
/// sample id.
pub fn columns_of(schema: &Schema) -> Result<Vec<Column>, StoreError> {
    let mut columns: Vec<Column> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let Some(column_type) = ColumnType::from_arrow(field.data_type()) else {
            return Err(StoreError::invalid(format!(
                "the column `{}` is {}, which no table can hold",
                field.name(),
                field.data_type()
            )));
        };
        if columns.iter().any(|column| column.name == *field.name()) {
            return Err(StoreError::invalid(format!(
                "the column `{}` stands twice",
                field.name()
            )));
        }
        columns.push(Column {
            name: field.name().clone(),
            column_type,
            nullable: field.is_nullable(),
        });
    }
    match columns.first() == Some(&Column::sample_id()) {
        true => Ok(columns),
        false => Err(StoreError::invalid(
            "the first column of a table must be `sample_id`, 32 bytes, never null",
        )),
    }
}

/// The Arrow schema that tables with these columns have.
pub fn schema_of(columns: &[Column]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(Column::field).collect::<Vec<_>>()))
}

/// The batch in the one form that its columns have: no metadata, no nulls where none may be.
pub(crate) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, StoreError> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let theirs = batch.schema();
    let names = |schema: &Schema| -> Vec<String> {
        schema.fields().iter().map(|field| field.name().clone()).collect()
    };
    if names(&theirs) != names(schema) {
        return Err(StoreError::invalid(format!(
            "a batch has the columns {:?}, and the table {:?}",
            names(&theirs),
            names(schema)
        )));
    }
    let arrays = batch.columns().iter().zip(schema.fields());
    let arrays: Result<Vec<ArrayRef>, String> = arrays
        .map(|(array, field)| {
            conform_array(array, field.data_type())
                .map_err(|reason| format!("the column `{}` {reason}", field.name()))
        })
        .collect();
    // try_new refuses nulls in columns that have none.
    Ok(RecordBatch::try_new(
        schema.clone(),
        arrays.map_err(StoreError::invalid)?,
    )?)
}

/// Lists name and type their elements in many ways; a table knows one.
fn conform_array(array: &ArrayRef, expected: &DataType) -> Result<ArrayRef, String> {
    if array.data_type() == expected {
        return Ok(array.clone());
    }
    let (DataType::List(_), DataType::List(field)) = (array.data_type(), expected) else {
        return Err(format!("holds {}, not {expected}", array.data_type()));
    };
    let list = array.as_list::<i32>();
    // What no row refers to may hold anything.
    let (start, end) = (list.value_offsets()[0], list.value_offsets()[list.len()]);
    let values = list.values().slice(start as usize, (end - start) as usize);
    if values.null_count() > 0 {
        return Err("has lists with missing elements".to_string());
    }
    let values = conform_array(&values, field.data_type())?;
    let offsets = OffsetBuffer::from_lengths(
        list.value_offsets()
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) as usize),
    );
    let list = ListArray::try_new(field.clone(), offsets, values, list.nulls().cloned());
    Ok(Arc::new(list.map_err(|error| format!("can't be read: {error}"))?))
}

/// The sample ids of a batch, one by one.
pub(crate) struct Ids<'a>(&'a [u8]);

impl<'a> Ids<'a> {
    /// Of a batch whose first column is a sample id without nulls.
    pub(crate) fn of(batch: &'a RecordBatch) -> Result<Ids<'a>, StoreError> {
        let first = batch.columns().first();
        let ids = first.and_then(|column| column.as_fixed_size_binary_opt());
        match ids {
            Some(ids) if ids.value_length() == 32 && ids.null_count() == 0 => {
                Ok(Ids(&ids.value_data()[..32 * ids.len()]))
            }
            _ => Err(StoreError::invalid(
                "the first column of a table must be `sample_id`",
            )),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len() / 32
    }

    /// The bytes of the id in this row.
    pub(crate) fn bytes(&self, row: usize) -> &'a [u8; 32] {
        // `of` cut the data to whole ids, and callers stay below `len`.
        self.0[32 * row..][..32].try_into().unwrap_or(&[0; 32])
    }

    pub(crate) fn id(&self, row: usize) -> SampleId {
        SampleId::from_bytes(*self.bytes(row))
    }

    pub(crate) fn are_sorted(&self) -> bool {
        (1..self.len()).all(|row| self.bytes(row - 1) <= self.bytes(row))
    }
}

/// How many bytes each row counts for: a function of its values alone, however Arrow happens
/// to hold them.
pub(crate) enum RowSizes {
    /// All the same.
    Fixed(u64),
    /// Each its own.
    Each(Vec<u64>),
}

impl RowSizes {
    pub(crate) fn of(batch: &RecordBatch) -> RowSizes {
        let fixed = batch
            .columns()
            .iter()
            .filter_map(|array| width(array.data_type()));
        let fixed: u64 = fixed.sum();
        let variable: Vec<&ArrayRef> = batch
            .columns()
            .iter()
            .filter(|array| width(array.data_type()).is_none())
            .collect();
        if variable.is_empty() {
            return RowSizes::Fixed(fixed);
        }
        let mut sizes = vec![fixed; batch.num_rows()];
        for array in variable {
            for (row, size) in sizes.iter_mut().enumerate() {
                *size += value_size(array, row);
            }
        }
        RowSizes::Each(sizes)
    }

    pub(crate) fn at(&self, row: usize) -> u64 {
        match self {
            RowSizes::Fixed(size) => *size,
            RowSizes::Each(sizes) => sizes[row],
        }
    }

    pub(crate) fn total(&self, rows: usize) -> u64 {
        match self {
            RowSizes::Fixed(size) => *size * rows as u64,
            RowSizes::Each(sizes) => sizes.iter().sum(),
        }
    }
}

/// The size of a value where all of its type have one.
fn width(data_type: &DataType) -> Option<u64> {
    match data_type {
        DataType::FixedSizeBinary(width) => Some(*width as u64),
        DataType::Boolean => Some(1),
        DataType::Float32 => Some(4),
        DataType::Int64 | DataType::Float64 => Some(8),
        _ => None,
    }
}

fn value_size(array: &ArrayRef, row: usize) -> u64 {
    if array.is_null(row) {
        return 8;
    }
    match array.data_type() {
        DataType::Utf8 => 8 + array.as_string::<i32>().value_length(row) as u64,
        DataType::Binary => 8 + array.as_binary::<i32>().value_length(row) as u64,
        DataType::List(field) => {
            let list = array.as_list::<i32>();
            let length = list.value_length(row) as u64;
            let elements = match width(field.data_type()) {
                Some(width) => width * length,
                None => {
                    let start = list.value_offsets()[row] as usize;
                    let places = start..start + length as usize;
                    places.map(|at| value_size(list.values(), at)).sum()
                }
            };
            8 + elements
        }
        other => width(other).unwrap_or(8),
    }
}
