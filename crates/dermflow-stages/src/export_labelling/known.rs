//! What is known of samples before they are labelled: ranks, boxes and predictions. Knows no
//! tool.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float32Type, Float64Type, Int64Type};
use dermflow_core::{SampleId, StageContext, StageError};

use crate::columns::ids_of;

/// A box and its class.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownBox {
    pub label: String,
    /// x, y, w, h in fractions of the original.
    pub sides: [f64; 4],
}

/// What is wired besides the samples.
#[derive(Debug, Default)]
pub struct Known {
    /// The chosen ones, where a selection is wired, with their ranks.
    selection: Option<BTreeMap<SampleId, i64>>,
    boxes: BTreeMap<SampleId, Vec<KnownBox>>,
    predictions: BTreeMap<SampleId, (String, Option<f32>)>,
}

impl Known {
    /// Reads all of it.
    ///
    /// # Errors
    /// Where an input can't be read.
    pub fn read(context: &dyn StageContext) -> Result<Known, StageError> {
        let mut known = Known::default();
        if context.has_input("selection") {
            let mut selection = BTreeMap::new();
            each(context, "selection", |id, batch, row| {
                let ranks = batch
                    .column_by_name("rank")
                    .and_then(|ranks| ranks.as_primitive_opt::<Int64Type>());
                let rank = ranks
                    .filter(|ranks| ranks.is_valid(row))
                    .map_or(i64::MAX, |ranks| ranks.value(row));
                selection.entry(id).or_insert(rank);
                Ok(())
            })?;
            known.selection = Some(selection);
        }
        if context.has_input("boxes") {
            each(context, "boxes", |id, batch, row| {
                let side = |name: &str| -> Result<f64, StageError> {
                    let column = batch
                        .column_by_name(name)
                        .and_then(|column| column.as_primitive_opt::<Float64Type>());
                    Ok(column.ok_or_else(missing)?.value(row))
                };
                let sides = [side("x")?, side("y")?, side("w")?, side("h")?];
                let label = text(batch, "label", row).ok_or_else(missing)?;
                known.boxes.entry(id).or_default().push(KnownBox { label, sides });
                Ok(())
            })?;
        }
        if context.has_input("predictions") {
            each(context, "predictions", |id, batch, row| {
                let label = text(batch, "label", row).ok_or_else(missing)?;
                let sure = batch.column_by_name("probability");
                let sure = sure.and_then(|sure| sure.as_primitive_opt::<Float32Type>());
                let sure = sure.filter(|sure| sure.is_valid(row)).map(|sure| sure.value(row));
                known.predictions.entry(id).or_insert((label, sure));
                Ok(())
            })?;
        }
        Ok(known)
    }

    /// Whether a sample is to be labelled.
    pub fn is_chosen(&self, id: &SampleId) -> bool {
        self.selection
            .as_ref()
            .is_none_or(|selection| selection.contains_key(id))
    }

    /// Its rank, where it has one.
    pub fn rank(&self, id: &SampleId) -> Option<i64> {
        self.selection.as_ref()?.get(id).copied()
    }

    /// Its boxes.
    pub fn boxes(&self, id: &SampleId) -> &[KnownBox] {
        self.boxes.get(id).map_or(&[], Vec::as_slice)
    }

    /// Its predicted class, and how sure that is.
    pub fn prediction(&self, id: &SampleId) -> Option<(&str, Option<f32>)> {
        let (label, sure) = self.predictions.get(id)?;
        Some((label, *sure))
    }

    /// All labels that occur.
    pub fn labels(&self) -> BTreeSet<String> {
        let boxes = self.boxes.values().flatten().map(|known| known.label.clone());
        boxes
            .chain(self.predictions.values().map(|(label, _)| label.clone()))
            .collect()
    }
}

fn missing() -> StageError {
    StageError::new("an input came without a column that was declared")
}

fn text(batch: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let column = batch.column_by_name(name)?.as_string_opt::<i32>()?;
    column.is_valid(row).then(|| column.value(row).to_string())
}

/// Calls `take` for every row of a table.
fn each(
    context: &dyn StageContext,
    port: &str,
    mut take: impl FnMut(SampleId, &RecordBatch, usize) -> Result<(), StageError>,
) -> Result<(), StageError> {
    for batch in context.table(port)? {
        if context.cancelled() {
            return Err(StageError::cancelled());
        }
        let batch = batch?;
        let ids = ids_of(&batch)?;
        for row in 0..batch.num_rows() {
            let mut id = [0; 32];
            id.copy_from_slice(ids.value(row));
            take(SampleId::from_bytes(id), &batch, row)?;
        }
    }
    Ok(())
}
