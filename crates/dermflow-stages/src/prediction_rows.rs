//! Rows of a `Predictions` table as kinds that predict write them: the likeliest class, its
//! probability, those of all classes, and the energy. Must not know where the numbers come from.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float32Builder, ListBuilder, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, SchemaRef};
use dermflow_core::{Column, ColumnType, Contract, StageError, TableType};

use crate::learning::classifier::highest;

/// The type of the table, with or without energies.
pub fn predictions_type(energy: bool) -> TableType {
    // The contract is in the constant list of contracts; `any` only keeps this total.
    let mut predictions = Contract::named("Predictions").map_or_else(TableType::any, TableType::of);
    predictions.open = false;
    if energy {
        predictions
            .columns
            .push(Column::new("energy", ColumnType::Float32));
    }
    predictions
}

/// Rows of samples in order of their ids. `probabilities` has those of all `classes` for one sample
/// after another; `schema` is that of [`predictions_type`], with energies if they are given.
///
/// # Errors
/// Where there are not as many of each as there are ids.
pub fn prediction_rows(
    schema: &SchemaRef,
    ids: ArrayRef,
    classes: &[String],
    probabilities: &[f32],
    energies: Option<Vec<f32>>,
) -> Result<RecordBatch, StageError> {
    let samples = || probabilities.chunks_exact(classes.len().max(1));
    let best: Vec<usize> = samples().map(highest).collect();
    let labels = best.iter().map(|class| Some(classes[*class].as_str()));
    let probability = samples().zip(&best).map(|(all, class)| Some(all[*class]));
    let item = Field::new("item", DataType::Float32, false);
    let mut lists = ListBuilder::new(Float32Builder::new()).with_field(item);
    for all in samples() {
        lists.values().append_slice(all);
        lists.append(true);
    }
    let mut columns: Vec<ArrayRef> = vec![
        ids,
        Arc::new(labels.collect::<StringArray>()),
        Arc::new(probability.collect::<Float32Array>()),
        Arc::new(lists.finish()),
    ];
    columns.extend(energies.map(|energies| Arc::new(Float32Array::from(energies)) as ArrayRef));
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}
