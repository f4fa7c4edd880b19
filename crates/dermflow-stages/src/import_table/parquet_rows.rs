//! Parquet files, batch by batch. Knows how to read them, and not what they become.

use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter};
use arrow::datatypes::{DataType, SchemaRef};
use dermflow_core::sample_ids;
use dermflow_core::{Column, SampleId, StageContext, StageError};

use super::assemble::{BATCH, Place, TakesRows};
use super::parameters::{IdFrom, ImportTableParameters};
use super::plan::{self, Plan};
use crate::coerce;
use crate::foreign_parquet::ForeignParquet;

/// Draws up the plan from the file's schema.
pub fn plan(parameters: &ImportTableParameters, path: &Path) -> Result<Plan, StageError> {
    let schema = ForeignParquet::open(path, BATCH)?.schema();
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    plan::plan(parameters, &names, |rest| {
        rest.iter().map(|name| inferred(&schema, name)).collect()
    })
}

fn inferred(schema: &SchemaRef, name: &str) -> Result<Column, StageError> {
    let field = schema.field_with_name(name)?;
    match coerce::natural(field.data_type()) {
        Some(column_type) => Ok(Column::nullable(name, column_type)),
        None => Err(wrong_column(name, &coerce::unsupported(field.data_type()))
            .with_help("declare the columns that you want under `columns`; the others are left out")),
    }
}

fn wrong_column(name: &str, refusal: &str) -> StageError {
    StageError::new(format!("the file's column `{name}`: {refusal}"))
}

/// Reads all rows into the outputs.
pub fn read(
    plan: &Plan,
    path: &Path,
    rows: &mut dyn TakesRows,
    context: &dyn StageContext,
) -> Result<(), StageError> {
    let file = ForeignParquet::open(path, BATCH)?;
    let total = file.rows();
    let mut first = 0;
    for batch in file {
        let batch = batch?;
        if context.cancelled() {
            return Err(StageError::cancelled());
        }
        read_batch(plan, &batch, first, rows)?;
        first += batch.num_rows() as u64;
        context.progress(first, Some(total));
    }
    Ok(())
}

/// `first` rows came in the batches before.
fn read_batch(
    plan: &Plan,
    batch: &RecordBatch,
    first: u64,
    rows: &mut dyn TakesRows,
) -> Result<(), StageError> {
    let columns = &plan.table.columns[1..];
    let arrays = columns.iter().zip(&plan.from).map(|(column, from)| {
        let name = &plan.wanted[*from];
        coerce::to_column(wanted(batch, name)?, &column.column_type)
            .map_err(|refusal| wrong_column(name, &refusal))
    });
    let arrays: Vec<ArrayRef> = arrays.collect::<Result<_, _>>()?;
    let ids = row_ids(plan, wanted(batch, plan.id.column())?)?;
    let mut kept = Vec::with_capacity(batch.num_rows());
    let mut kept_ids = Vec::with_capacity(batch.num_rows());
    let mut places = Vec::with_capacity(batch.num_rows());
    for (row, id) in ids.into_iter().enumerate() {
        let known = id.as_ref().ok().copied();
        let gap = columns
            .iter()
            .zip(&arrays)
            .find(|(column, array)| !column.nullable && array.is_null(row));
        let admitted = match (id, gap) {
            (Err(reason), _) => Err(format!("`{}`: {reason}", plan.id.column())),
            (Ok(_), Some((column, _))) => Err(format!("`{}` is missing", column.name)),
            (Ok(id), None) => rows.admit(id).map(|()| id),
        };
        let place = Place::Row(first + row as u64 + 1);
        kept.push(admitted.is_ok());
        match admitted {
            Ok(id) => {
                kept_ids.push(id);
                places.push(place);
            }
            Err(reason) => rows.refuse(known, place, reason)?,
        }
    }
    let mask = BooleanArray::from(kept);
    let mut kept_arrays = vec![sample_ids(&kept_ids)];
    for array in &arrays {
        kept_arrays.push(filter(array, &mask)?);
    }
    rows.take(&RecordBatch::try_new(plan.table.schema(), kept_arrays)?, &places)
}

fn wanted<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, StageError> {
    batch
        .column_by_name(name)
        .ok_or_else(|| StageError::new(format!("the file's rows lack its column `{name}`")))
}

/// The sample id of each row, or why it has none.
fn row_ids(plan: &Plan, array: &ArrayRef) -> Result<Vec<Result<SampleId, String>>, StageError> {
    let name = plan.id.column();
    if let IdFrom::Id(_) = plan.id {
        return coerce::sample_ids(array).map_err(|refusal| wrong_column(name, &refusal));
    }
    let plain = coerce::natural(array.data_type());
    let plain = plain.ok_or_else(|| wrong_column(name, &coerce::unsupported(array.data_type())))?;
    use dermflow_core::ColumnType::{Boolean, Integer, Text};
    if !matches!(plain, Text | Integer | Boolean) {
        let refusal = format!("{plain} makes no key; text, integer and boolean do");
        return Err(wrong_column(name, &refusal));
    }
    let texts = cast(array, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>().iter();
    Ok(texts
        .map(|text| {
            text.map(SampleId::of_key)
                .ok_or_else(|| "it is missing".to_string())
        })
        .collect())
}
