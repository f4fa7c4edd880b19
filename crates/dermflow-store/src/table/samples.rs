//! [`take_samples`]: the rows of some samples, reading only what holds them.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use dermflow_core::{Column, Partition, SampleId, StageError, TableManifest};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use super::columns::{Ids, schema_of};
use super::reader::PartitionReader;
use crate::Store;
use crate::error::StoreError;

/// The rows of these samples, in order, with all columns. Ids that the table doesn't have are
/// passed over.
///
/// # Errors
/// Where the ids are not sorted, or stand twice.
pub fn take_samples(
    store: &Store,
    table: &TableManifest,
    ids: &[SampleId],
) -> Result<SampleRows, StoreError> {
    if ids.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(StoreError::invalid(
            "the samples to take are not sorted, or one stands twice",
        ));
    }
    let mut waiting = VecDeque::new();
    for partition in &table.partitions {
        let start = ids.partition_point(|id| *id < partition.first);
        let end = ids.partition_point(|id| *id <= partition.last);
        if start < end {
            waiting.push_back((partition.clone(), ids[start..end].to_vec()));
        }
    }
    Ok(SampleRows {
        store: store.clone(),
        schema: schema_of(&table.columns),
        columns: table.columns.clone(),
        waiting,
        open: None,
        failed: false,
    })
}

/// Batches of the rows of some samples.
pub struct SampleRows {
    store: Store,
    columns: Vec<Column>,
    schema: SchemaRef,
    waiting: VecDeque<(Partition, Vec<SampleId>)>,
    open: Option<PartitionReader>,
    failed: bool,
}

impl SampleRows {
    /// The columns that come.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn advance(&mut self) -> Result<Option<RecordBatch>, StoreError> {
        loop {
            if let Some(open) = &mut self.open {
                if let Some(batch) = open.next_batch()? {
                    return Ok(Some(batch));
                }
                self.open = None;
            }
            let Some((partition, ids)) = self.waiting.pop_front() else {
                return Ok(None);
            };
            let selection = self.select(&partition, &ids)?;
            if selection.row_count() == 0 {
                continue;
            }
            let chosen: Vec<usize> = (0..self.columns.len()).collect();
            let all = selection.row_count() as u64 == partition.rows;
            let selection = (!all).then_some(selection);
            let reader = PartitionReader::open(&self.store, &self.columns, &chosen, partition, selection)?;
            self.open = Some(reader);
        }
    }

    /// Which rows of a partition belong to the ids; reads its column of ids alone.
    fn select(&self, partition: &Partition, ids: &[SampleId]) -> Result<RowSelection, StoreError> {
        let mut rows = PartitionReader::open(&self.store, &self.columns, &[0], partition.clone(), None)?;
        let mut selectors: Vec<RowSelector> = Vec::new();
        let mut wanted = ids.iter().peekable();
        while let Some(batch) = rows.next_batch()? {
            let found = Ids::of(&batch)?;
            for row in 0..found.len() {
                let id = found.id(row);
                while wanted.next_if(|wanted| **wanted < id).is_some() {}
                let skip = wanted.peek() != Some(&&id);
                match selectors.last_mut() {
                    Some(last) if last.skip == skip => last.row_count += 1,
                    _ => selectors.push(RowSelector { row_count: 1, skip }),
                }
            }
        }
        Ok(selectors.into())
    }
}

impl Iterator for SampleRows {
    type Item = Result<RecordBatch, StageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let batch = self.advance().transpose();
        self.failed = matches!(batch, Some(Err(_)));
        Some(batch?.map_err(StageError::from))
    }
}
