//! [`take_samples`]: the rows of some samples, reading only what holds them.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use dermflow_core::{Column, Partition, SampleId, StageError, TableManifest};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use super::columns::{Ids, schema_of};
use super::reader::{PartitionReader, choose};
use crate::Store;
use crate::error::StoreError;

/// The rows of these samples, in order, with these columns or with all; the sample id always
/// comes. Ids that the table doesn't have are passed over. Which rows they are is known at once:
/// the ids of the partitions that may hold them are read here.
///
/// # Errors
/// Where the ids are not sorted, or stand twice, the table has no such column, or a blob is
/// damaged.
pub fn take_samples(
    store: &Store,
    table: &TableManifest,
    ids: &[SampleId],
    columns: Option<&[String]>,
) -> Result<SampleRows, StoreError> {
    if ids.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(StoreError::invalid(
            "the samples to take are not sorted, or one stands twice",
        ));
    }
    let chosen = choose(&table.columns, columns)?;
    let (mut waiting, mut rows) = (VecDeque::new(), 0);
    for partition in &table.partitions {
        let start = ids.partition_point(|id| *id < partition.first);
        let end = ids.partition_point(|id| *id <= partition.last);
        if start == end {
            continue;
        }
        let selection = select(store, &table.columns, partition, &ids[start..end])?;
        let selected = selection.row_count() as u64;
        if selected > 0 {
            rows += selected;
            let some = (selected < partition.rows).then_some(selection);
            waiting.push_back((partition.clone(), some));
        }
    }
    let coming: Vec<Column> = chosen.iter().map(|at| table.columns[*at].clone()).collect();
    Ok(SampleRows {
        store: store.clone(),
        schema: schema_of(&coming),
        columns: table.columns.clone(),
        chosen,
        rows,
        waiting,
        open: None,
        failed: false,
    })
}

/// Batches of the rows of some samples.
pub struct SampleRows {
    store: Store,
    columns: Vec<Column>,
    /// Which columns come.
    chosen: Vec<usize>,
    schema: SchemaRef,
    rows: u64,
    /// Partitions with their rows that come; all, where none are named.
    waiting: VecDeque<(Partition, Option<RowSelection>)>,
    open: Option<PartitionReader>,
    failed: bool,
}

impl SampleRows {
    /// The columns that come.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// How many rows come in all.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn advance(&mut self) -> Result<Option<RecordBatch>, StoreError> {
        loop {
            if let Some(open) = &mut self.open {
                if let Some(batch) = open.next_batch()? {
                    return Ok(Some(batch));
                }
                self.open = None;
            }
            let Some((partition, selection)) = self.waiting.pop_front() else {
                return Ok(None);
            };
            let reader =
                PartitionReader::open(&self.store, &self.columns, &self.chosen, partition, selection)?;
            self.open = Some(reader);
        }
    }
}

/// Which rows of a partition belong to the ids; reads its column of ids alone.
fn select(
    store: &Store,
    columns: &[Column],
    partition: &Partition,
    ids: &[SampleId],
) -> Result<RowSelection, StoreError> {
    let mut rows = PartitionReader::open(store, columns, &[0], partition.clone(), None)?;
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

impl dermflow_core::TableReader for SampleRows {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    fn rows(&self) -> u64 {
        self.rows
    }
}
