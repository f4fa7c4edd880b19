//! Merging sorted runs: on disk, in memory, or partitions written before disorder was met.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, Seek};

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;

use super::columns::Ids;
use super::reader::TableReader;
use super::sort::{Sink, fair_rows, for_each_sorted, spill};
use crate::Store;
use crate::disk::Temporary;
use crate::error::StoreError;

/// Most runs that are merged at once: each holds an open file and a batch.
const WIDTH: usize = 64;

/// Rows in order of their ids.
pub(crate) struct Run(Source);

enum Source {
    File {
        reader: StreamReader<BufReader<File>>,
        _temporary: Temporary,
    },
    Table(Box<TableReader>),
    Memory(std::vec::IntoIter<RecordBatch>),
}

impl Run {
    /// Of a file that was written whole.
    pub(crate) fn file(mut file: File, temporary: Temporary) -> Result<Run, StoreError> {
        file.rewind()
            .map_err(|error| StoreError::io("reading", temporary.path(), error))?;
        let reader = StreamReader::try_new(BufReader::with_capacity(64 << 10, file), None)?;
        Ok(Run(Source::File {
            reader,
            _temporary: temporary,
        }))
    }

    /// Of a table.
    pub(crate) fn table(reader: TableReader) -> Run {
        Run(Source::Table(Box::new(reader)))
    }

    /// Of batches in any order.
    pub(crate) fn memory(schema: &SchemaRef, batches: Vec<RecordBatch>) -> Result<Run, StoreError> {
        let mut sorted = Vec::new();
        for_each_sorted(schema, &batches, &mut |batch| {
            sorted.push(batch.clone());
            Ok(())
        })?;
        Ok(Run(Source::Memory(sorted.into_iter())))
    }

    fn next(&mut self) -> Option<Result<RecordBatch, StoreError>> {
        match &mut self.0 {
            Source::File { reader, .. } => Some(reader.next()?.map_err(StoreError::from)),
            Source::Table(reader) => reader.next_batch(),
            Source::Memory(batches) => batches.next().map(Ok),
        }
    }
}

/// Gives the rows of all runs in order; of equal ids those of an earlier run first.
pub(crate) fn merge(
    store: &Store,
    schema: &SchemaRef,
    mut runs: Vec<Run>,
    sink: &mut Sink<'_>,
) -> Result<(), StoreError> {
    while runs.len() > WIDTH {
        let mut wider = Vec::new();
        let mut rest = runs.into_iter();
        loop {
            // Neighbours are merged, so that earlier rows stay before later ones.
            let mut group: Vec<Run> = rest.by_ref().take(WIDTH).collect();
            match group.len() {
                0 => break,
                1 => wider.append(&mut group),
                _ => {
                    let mut group = Some(group);
                    wider.push(spill(store, schema, &mut |sink| {
                        merge_few(group.take().unwrap_or_default(), sink)
                    })?);
                }
            }
        }
        runs = wider;
    }
    merge_few(runs, sink)
}

/// Where a run stands: a batch of the merge's list, and a row in it.
struct Cursor {
    run: Run,
    batch: usize,
    row: usize,
    rows: usize,
}

fn merge_few(runs: Vec<Run>, sink: &mut Sink<'_>) -> Result<(), StoreError> {
    let mut merge = Merge::default();
    for run in runs {
        merge.add(run)?;
    }
    while let Some(Reverse((_, at))) = merge.heap.pop() {
        let cursor = &mut merge.cursors[at];
        merge.places.push((cursor.batch, cursor.row));
        cursor.row += 1;
        if cursor.row == cursor.rows {
            // Its batch may not be forgotten before its last rows are given.
            merge.advance(at)?;
        }
        merge.queue(at)?;
        if merge.places.len() >= merge.size {
            merge.give(sink)?;
        }
    }
    merge.give(sink)
}

#[derive(Default)]
struct Merge {
    cursors: Vec<Cursor>,
    heap: BinaryHeap<Reverse<([u8; 32], usize)>>,
    /// Batches that cursors or places refer to.
    batches: Vec<RecordBatch>,
    places: Vec<(usize, usize)>,
    /// Rows of a batch that is given.
    size: usize,
}

impl Merge {
    fn add(&mut self, run: Run) -> Result<(), StoreError> {
        self.cursors.push(Cursor {
            run,
            batch: 0,
            row: 0,
            rows: 0,
        });
        let at = self.cursors.len() - 1;
        self.advance(at)?;
        self.queue(at)
    }

    /// Takes the next batch of a run; none leaves it with no rows.
    fn advance(&mut self, at: usize) -> Result<(), StoreError> {
        let cursor = &mut self.cursors[at];
        (cursor.row, cursor.rows) = (0, 0);
        while let Some(batch) = cursor.run.next() {
            let batch = batch?;
            if batch.num_rows() > 0 {
                (cursor.batch, cursor.rows) = (self.batches.len(), batch.num_rows());
                let fair = fair_rows(std::slice::from_ref(&batch));
                self.size = if self.size == 0 { fair } else { self.size.min(fair) };
                self.batches.push(batch);
                break;
            }
        }
        Ok(())
    }

    fn queue(&mut self, at: usize) -> Result<(), StoreError> {
        let cursor = &self.cursors[at];
        if cursor.row < cursor.rows {
            let id = *Ids::of(&self.batches[cursor.batch])?.bytes(cursor.row);
            self.heap.push(Reverse((id, at)));
        }
        Ok(())
    }

    /// Gives the rows collected, and lets go of batches that no cursor stands in.
    fn give(&mut self, sink: &mut Sink<'_>) -> Result<(), StoreError> {
        if self.places.is_empty() {
            return Ok(());
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        sink(&interleave_record_batch(&batches, &self.places)?)?;
        self.places.clear();
        let mut kept = Vec::new();
        for cursor in self.cursors.iter_mut().filter(|cursor| cursor.row < cursor.rows) {
            kept.push(self.batches[cursor.batch].clone());
            cursor.batch = kept.len() - 1;
        }
        self.batches = kept;
        Ok(())
    }
}
