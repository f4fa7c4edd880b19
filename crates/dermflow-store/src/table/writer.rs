//! [`TableWriter`]: rows in any order and number, in bounded memory.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use dermflow_core::{Column, SampleId, TableManifest};

use super::columns::{Ids, RowSizes, columns_of, conform, schema_of};
use super::cut::{Cutter, Limits};
use super::merge::{Run, merge};
use super::reader::TableReader;
use super::sort::{for_each_sorted, spill_sorted};
use crate::Store;
use crate::error::StoreError;

/// Bytes of rows that are held before something is written.
const BUDGET: u64 = 64 << 20;

/// Takes the rows of a table in any order. They are sorted by sample id, rows of one id
/// staying in the order they came.
///
/// Up to a budget rows are held in memory. Beyond it, rows that came in order stream on to
/// their partitions; others are spilled as sorted runs, and merged at the end.
pub struct TableWriter {
    store: Store,
    contract: String,
    columns: Vec<Column>,
    schema: SchemaRef,
    limits: Limits,
    budget: u64,
    held: Vec<RecordBatch>,
    held_bytes: u64,
    held_sorted: bool,
    last: Option<SampleId>,
    streaming: Option<Cutter>,
    runs: Vec<Run>,
}

impl TableWriter {
    /// A writer of a table with this schema; `contract` is what the manifest will name.
    ///
    /// # Errors
    /// Where the schema is none that a table can have (see [`super::columns_of`]).
    pub fn new(store: &Store, contract: &str, schema: SchemaRef) -> Result<TableWriter, StoreError> {
        let columns = columns_of(&schema)?;
        Ok(TableWriter {
            store: store.clone(),
            contract: contract.to_string(),
            schema: schema_of(&columns),
            limits: Limits::of(&columns),
            columns,
            budget: BUDGET,
            held: Vec::new(),
            held_bytes: 0,
            held_sorted: true,
            last: None,
            streaming: None,
            runs: Vec::new(),
        })
    }

    /// The same for rows that should come in order: they go to their partitions at once, and are
    /// not held. Where they come out of order after all, the table is the same, for more work.
    #[must_use]
    pub fn expecting_order(mut self) -> TableWriter {
        self.streaming = Some(Cutter::new(&self.store, &self.columns, self.limits));
        self
    }

    /// The same with another budget and other limits, so that tests need no large tables.
    #[cfg(test)]
    pub(crate) fn with(self, budget: u64, limits: Limits) -> TableWriter {
        TableWriter {
            budget,
            limits,
            ..self
        }
    }

    /// Takes rows.
    ///
    /// # Errors
    /// Where the batch has other columns, a value is missing that must be there, or the disk
    /// is full.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = conform(batch, &self.schema)?;
        let ids = Ids::of(&batch)?;
        let in_order = self.last.is_none_or(|last| last <= ids.id(0)) && ids.are_sorted();
        self.last = Some(ids.id(ids.len() - 1));
        if let Some(cutter) = &mut self.streaming {
            if in_order {
                return cutter.push(&batch);
            }
            self.stop_streaming()?;
        }
        let bytes = RowSizes::of(&batch).total(batch.num_rows());
        self.held_sorted &= in_order;
        self.held_bytes += bytes;
        self.held.push(compact(batch, bytes)?);
        match self.held_bytes > self.budget {
            true => self.make_room(),
            false => Ok(()),
        }
    }

    /// The budget is spent: what is held goes to partitions, or to a run.
    fn make_room(&mut self) -> Result<(), StoreError> {
        let held = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        if self.held_sorted && self.runs.is_empty() {
            let mut cutter = Cutter::new(&self.store, &self.columns, self.limits);
            held.iter().try_for_each(|batch| cutter.push(batch))?;
            self.streaming = Some(cutter);
            return Ok(());
        }
        self.runs.push(spill_sorted(&self.store, &self.schema, &held)?);
        // The next row starts a run of its own.
        self.held_sorted = true;
        self.last = None;
        Ok(())
    }

    /// A row came out of order after others went to partitions: those are the first run.
    fn stop_streaming(&mut self) -> Result<(), StoreError> {
        if let Some(cutter) = self.streaming.take() {
            let columns = self.columns.clone();
            let table = TableManifest::new("", columns, cutter.finish()?);
            let reader = TableReader::open(&self.store, &table, None)?;
            self.runs.push(Run::table(reader));
            self.held_sorted = true;
        }
        Ok(())
    }

    /// Completes the table.
    ///
    /// # Errors
    /// Where the disk is full.
    pub fn finish(mut self) -> Result<TableManifest, StoreError> {
        let mut cutter = match self.streaming.take() {
            Some(cutter) => cutter,
            None => Cutter::new(&self.store, &self.columns, self.limits),
        };
        let held = std::mem::take(&mut self.held);
        if self.runs.is_empty() {
            match self.held_sorted {
                true => held.iter().try_for_each(|batch| cutter.push(batch))?,
                false => for_each_sorted(&self.schema, &held, &mut |batch| cutter.push(batch))?,
            }
        } else {
            let mut runs = std::mem::take(&mut self.runs);
            runs.push(Run::memory(&self.schema, held)?);
            merge(&self.store, &self.schema, runs, &mut |batch| cutter.push(batch))?;
        }
        Ok(TableManifest::new(self.contract, self.columns, cutter.finish()?))
    }
}

/// A batch that holds little of much (a slice of a large one) is copied, so that the rest can go.
fn compact(batch: RecordBatch, bytes: u64) -> Result<RecordBatch, StoreError> {
    let holds = batch.get_array_memory_size() as u64;
    if holds <= 2 * bytes + 4096 {
        return Ok(batch);
    }
    // Interleaving one batch with itself copies just its rows, even where concatenation of a
    // single batch would share its buffers.
    let rows: Vec<(usize, usize)> = (0..batch.num_rows()).map(|row| (0, row)).collect();
    match arrow::compute::interleave_record_batch(&[&batch], &rows) {
        Ok(copy) => Ok(copy),
        Err(_) => Ok(concat_batches(batch.schema_ref(), [&batch])?),
    }
}
