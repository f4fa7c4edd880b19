//! The cutter: sorted rows in, partitions out.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use dermflow_core::{Column, Partition, SampleId, TableManifest};

use super::columns::{Ids, RowSizes, schema_of};
use super::parquet_file::ParquetFile;
use crate::Store;
use crate::error::StoreError;

/// Where a partition ends at the latest (at the next change of id).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// 2^bits rows are in a partition on average.
    pub(crate) bits: u32,
    /// Rows since the last border.
    pub(crate) rows: u64,
    /// Bytes since the last border, as [`RowSizes`] counts them.
    pub(crate) bytes: u64,
}

impl Limits {
    pub(crate) fn of(columns: &[Column]) -> Limits {
        let bits = TableManifest::partition_bits(columns);
        Limits {
            bits,
            rows: 16 << bits,
            bytes: 256 << 20,
        }
    }
}

/// Cuts rows that come in order of their ids.
pub(crate) struct Cutter {
    store: Store,
    columns: Vec<Column>,
    schema: SchemaRef,
    limits: Limits,
    open: Option<Open>,
    done: Vec<Partition>,
}

/// The partition that is being written.
struct Open {
    file: ParquetFile,
    first: SampleId,
    last: SampleId,
    rows: u64,
    bytes: u64,
}

impl Cutter {
    pub(crate) fn new(store: &Store, columns: &[Column], limits: Limits) -> Cutter {
        Cutter {
            store: store.clone(),
            columns: columns.to_vec(),
            schema: schema_of(columns),
            limits,
            open: None,
            done: Vec::new(),
        }
    }

    /// Takes rows whose ids are not below those taken before.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let ids = Ids::of(batch)?;
        let sizes = RowSizes::of(batch);
        // Rows from `start` on are counted, but not yet handed to the file.
        let (mut start, mut pending) = (0, 0);
        for row in 0..ids.len() {
            let same = self
                .open
                .as_ref()
                .is_some_and(|open| open.last.as_bytes() == ids.bytes(row));
            if !same {
                if self.at_border() {
                    self.hand_over(batch, start, row, pending)?;
                    (start, pending) = (row, 0);
                    self.cut()?;
                }
                self.next_id(ids.id(row))?;
            }
            let size = sizes.at(row);
            pending += size;
            let Some(open) = &mut self.open else { continue };
            open.rows += 1;
            open.bytes += size;
            if open.file.is_full(row + 1 - start, pending) {
                self.hand_over(batch, start, row + 1, pending)?;
                (start, pending) = (row + 1, 0);
            }
        }
        self.hand_over(batch, start, ids.len(), pending)
    }

    fn hand_over(
        &mut self,
        batch: &RecordBatch,
        start: usize,
        end: usize,
        bytes: u64,
    ) -> Result<(), StoreError> {
        match &mut self.open {
            Some(open) if end > start => open.file.take(batch.slice(start, end - start), bytes),
            _ => Ok(()),
        }
    }

    /// Another id comes: a partition is opened if none is.
    fn next_id(&mut self, id: SampleId) -> Result<(), StoreError> {
        let before = self.open.as_ref().map(|open| open.last);
        let before = before.or(self.done.last().map(|partition| partition.last));
        if before.is_some_and(|before| before >= id) {
            return Err(StoreError::invalid(
                "rows came out of the order of their sample ids",
            ));
        }
        match &mut self.open {
            Some(open) => open.last = id,
            None => {
                self.open = Some(Open {
                    file: ParquetFile::new(&self.store, &self.columns, &self.schema),
                    first: id,
                    last: id,
                    rows: 0,
                    bytes: 0,
                });
            }
        }
        Ok(())
    }

    /// Whether the partition ends before the next id, whatever that is.
    pub(crate) fn at_border(&self) -> bool {
        self.open.as_ref().is_some_and(|open| {
            open.rows >= self.limits.rows
                || open.bytes >= self.limits.bytes
                || open.last.ends_partition(self.limits.bits)
        })
    }

    /// Whether no partition is being written.
    pub(crate) fn is_closed(&self) -> bool {
        self.open.is_none()
    }

    /// Ends the partition that is being written.
    pub(crate) fn cut(&mut self) -> Result<(), StoreError> {
        if let Some(open) = self.open.take() {
            let (blob, digests) = open.file.finish()?;
            self.done.push(Partition {
                rows: open.rows,
                first: open.first,
                last: open.last,
                blob,
                digests,
            });
        }
        Ok(())
    }

    /// Takes a whole partition as it is; none may be open.
    pub(crate) fn adopt(&mut self, partition: Partition) {
        self.done.push(partition);
    }

    /// The partitions of everything that was pushed.
    pub(crate) fn finish(mut self) -> Result<Vec<Partition>, StoreError> {
        self.cut()?;
        Ok(self.done)
    }
}
