//! The outputs: the chosen samples, what each class gave, and distances between class shares.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::SchemaRef;
use dermflow_core::{
    Column, ColumnType, Contract, OutputPort, PortType, SampleId, StageContext, StageError, TableType,
    TableWriter, sample_ids,
};

use super::candidates::{Candidates, Rows};
use super::quotas::{Quota, share_distance};
use super::ranked::{Ranked, Sorter};
use crate::metric_rows::{MetricRow, write_metrics};
use crate::scores::share;

/// How many samples are sorted in memory: 48 MiB.
const SORTED_IN_MEMORY: usize = 1 << 20;

/// How many rows are gathered before they are written.
const GATHERED: usize = 8192;

fn selection_type() -> TableType {
    let columns = Contract::named("Selection")
        .map(Contract::columns)
        .unwrap_or_default();
    TableType {
        contract: "Selection".to_string(),
        columns,
        open: false,
    }
}

/// The output port `selection`.
pub fn selection_port() -> OutputPort {
    let about = "the chosen samples, with their rank within the class, from 1";
    OutputPort::new("selection", PortType::Table(selection_type()), about)
}

fn quota_type() -> TableType {
    TableType::exactly([
        Column::new("class", ColumnType::Text),
        Column::new("training", ColumnType::Integer),
        Column::nullable("training_share", ColumnType::Float64),
        Column::new("predicted", ColumnType::Integer),
        Column::new("available", ColumnType::Integer),
        Column::new("wanted", ColumnType::Integer),
        Column::new("taken", ColumnType::Integer),
        Column::nullable("taken_share", ColumnType::Float64),
        Column::nullable("difference", ColumnType::Float64),
        Column::new("short", ColumnType::Boolean),
    ])
}

/// The output port `quota`.
pub fn quota_port() -> OutputPort {
    let about = "a row a class: its share in training and in the selection, and what was there";
    OutputPort::new("quota", PortType::Table(quota_type()), about)
}

/// The second pass: sorts what may be taken, and writes what is.
///
/// # Errors
/// Where the run is interrupted, or the disk is full.
pub fn write_selection(
    candidates: &Candidates,
    quotas: &[Quota],
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let bounds = candidates.bounds(quotas);
    let mut sorter = Sorter::new(context.scratch(), SORTED_IN_MEMORY);
    let predictions = context.table("predictions")?;
    let total = predictions.rows();
    let mut done = 0;
    for batch in predictions {
        let batch = batch?;
        if context.cancelled() {
            return Err(StageError::cancelled());
        }
        let rows = Rows::of(&batch)?;
        for row in 0..batch.num_rows() {
            let (id, label, probability) = rows.row(row);
            let Some(bound) = bounds.get(label).filter(|_| candidates.is_likely(probability)) else {
                continue;
            };
            let place = candidates.ordering.place(id, probability);
            if place.step <= bound.last_step {
                let mut bytes = [0; 32];
                bytes.copy_from_slice(id);
                sorter.push(Ranked {
                    class: bound.number,
                    place: place.exact,
                    id: bytes,
                    probability,
                })?;
            }
        }
        done += batch.num_rows() as u64;
        context.progress((total + done) / 2, Some(total));
    }
    let schema = selection_type().schema();
    let mut selection = Selection {
        quotas,
        out: context.write_table("selection", schema.clone())?,
        schema,
        gathered: Vec::new(),
    };
    selection.take_all(sorter, context)?;
    selection.write()?;
    selection.out.finish()
}

/// Rows on their way to the output.
struct Selection<'a> {
    quotas: &'a [Quota],
    schema: SchemaRef,
    out: Box<dyn TableWriter>,
    gathered: Vec<(Ranked, u64)>,
}

impl Selection<'_> {
    fn take_all(&mut self, sorter: Sorter, context: &dyn StageContext) -> Result<(), StageError> {
        let mut sorted = sorter.finish()?;
        let (mut class, mut rank) = (None, 0);
        while let Some(ranked) = sorted.next()? {
            rank = if class == Some(ranked.class) { rank + 1 } else { 1 };
            class = Some(ranked.class);
            if rank > self.quotas[ranked.class as usize].taken {
                continue;
            }
            self.gathered.push((ranked, rank));
            if self.gathered.len() == GATHERED {
                if context.cancelled() {
                    return Err(StageError::cancelled());
                }
                self.write()?;
            }
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), StageError> {
        let rows = std::mem::take(&mut self.gathered);
        let ids: Vec<SampleId> = rows
            .iter()
            .map(|(ranked, _)| SampleId::from_bytes(ranked.id))
            .collect();
        let class = |ranked: &Ranked| Some(self.quotas[ranked.class as usize].class.as_str());
        let labels: StringArray = rows.iter().map(|(ranked, _)| class(ranked)).collect();
        let probabilities: Float32Array = rows.iter().map(|(ranked, _)| Some(ranked.probability)).collect();
        let ranks: Int64Array = rows.iter().map(|(_, rank)| Some(*rank as i64)).collect();
        let columns: Vec<ArrayRef> = vec![
            sample_ids(&ids),
            Arc::new(labels),
            Arc::new(probabilities),
            Arc::new(ranks),
        ];
        self.out
            .write(&RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

/// Writes what each class gave.
///
/// # Errors
/// Where the output can't be written.
pub fn write_quota(quotas: &[Quota], context: &mut dyn StageContext) -> Result<(), StageError> {
    let ids: Vec<SampleId> = quotas
        .iter()
        .map(|quota| SampleId::of_key(&format!("class\0{}", quota.class)))
        .collect();
    let [training, taken] = [|quota: &Quota| quota.training, |quota: &Quota| quota.taken];
    let total = |of: fn(&Quota) -> u64| quotas.iter().map(of).sum::<u64>();
    let share_of = |quota: &Quota, of: fn(&Quota) -> u64| share(of(quota), total(of));
    let integers = |of: fn(&Quota) -> u64| -> ArrayRef {
        Arc::new(
            quotas
                .iter()
                .map(|quota| Some(of(quota) as i64))
                .collect::<Int64Array>(),
        )
    };
    let floats = |of: &dyn Fn(&Quota) -> Option<f64>| -> ArrayRef {
        Arc::new(quotas.iter().map(of).collect::<Float64Array>())
    };
    let classes: StringArray = quotas.iter().map(|quota| Some(quota.class.as_str())).collect();
    let short: BooleanArray = quotas.iter().map(|quota| Some(quota.is_short())).collect();
    let columns: Vec<ArrayRef> = vec![
        sample_ids(&ids),
        Arc::new(classes),
        integers(training),
        floats(&|quota| share_of(quota, training)),
        integers(|quota| quota.predicted),
        integers(|quota| quota.available),
        integers(|quota| quota.wanted),
        integers(taken),
        floats(&|quota| share_of(quota, taken)),
        floats(&|quota| Some(share_of(quota, taken)? - share_of(quota, training)?)),
        Arc::new(short),
    ];
    let schema = quota_type().schema();
    let mut out = context.write_table("quota", schema.clone())?;
    out.write(&RecordBatch::try_new(schema, columns)?)?;
    out.finish()
}

/// Writes the distances between class shares (requirement E5) and the counts beside them.
///
/// # Errors
/// Where the output can't be written.
pub fn write_distances(quotas: &[Quota], context: &mut dyn StageContext) -> Result<(), StageError> {
    let all = |of: fn(&Quota) -> u64| -> Vec<u64> { quotas.iter().map(of).collect() };
    let training = all(|quota| quota.training);
    let (predicted, taken) = (all(|quota| quota.predicted), all(|quota| quota.taken));
    let row = |name: &str, value: Option<f64>, n: u64| {
        value.map(|value| MetricRow {
            name: name.to_string(),
            value,
            n,
            ..MetricRow::default()
        })
    };
    let [of_predicted, of_taken]: [u64; 2] = [predicted.iter().sum(), taken.iter().sum()];
    let short = quotas.iter().filter(|quota| quota.is_short()).count();
    let rows = [
        row(
            "class-share-distance",
            share_distance(&taken, &training),
            of_taken,
        ),
        row(
            "class-share-distance-of-predictions",
            share_distance(&predicted, &training),
            of_predicted,
        ),
        row("selected", Some(of_taken as f64), of_taken),
        row("short-classes", Some(short as f64), quotas.len() as u64),
    ];
    write_metrics(context, &rows.into_iter().flatten().collect::<Vec<_>>())
}
