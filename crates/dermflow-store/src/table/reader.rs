//! [`TableReader`]: the rows of a table, batch by batch, checked against the manifest.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use dermflow_core::{Column, Partition, SampleId, StageError, TableManifest};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};

use super::columns::{Ids, schema_of};
use crate::Store;
use crate::error::StoreError;

/// Rows of a batch, at most.
const ROWS: u64 = 8192;
/// Bytes of a batch, about.
const BYTES: u64 = 8 << 20;

/// Reads some or all partitions of a table in order.
pub struct TableReader {
    store: Store,
    columns: Vec<Column>,
    /// Which columns come.
    chosen: Vec<usize>,
    schema: SchemaRef,
    rows: u64,
    waiting: VecDeque<Partition>,
    open: Option<PartitionReader>,
    failed: bool,
}

impl TableReader {
    /// A reader of all rows, with these columns or with all. The sample id always comes; the
    /// order is the table's.
    ///
    /// # Errors
    /// Where the table has no such column.
    pub fn open(
        store: &Store,
        table: &TableManifest,
        columns: Option<&[String]>,
    ) -> Result<TableReader, StoreError> {
        TableReader::open_partitions(store, table, 0..table.partitions.len(), columns)
    }

    /// The same for some of the partitions.
    ///
    /// # Errors
    /// As [`TableReader::open`], and where there are fewer partitions.
    pub fn open_partitions(
        store: &Store,
        table: &TableManifest,
        partitions: Range<usize>,
        columns: Option<&[String]>,
    ) -> Result<TableReader, StoreError> {
        let chosen = choose(&table.columns, columns)?;
        let Some(partitions) = table.partitions.get(partitions.clone()) else {
            return Err(StoreError::invalid(format!(
                "partitions {partitions:?} were asked for, and the table has {}",
                table.partitions.len()
            )));
        };
        let columns: Vec<Column> = chosen.iter().map(|at| table.columns[*at].clone()).collect();
        Ok(TableReader {
            store: store.clone(),
            schema: schema_of(&columns),
            columns: table.columns.clone(),
            chosen,
            rows: partitions
                .iter()
                .fold(0, |rows, partition| partition.rows.saturating_add(rows)),
            waiting: partitions.iter().cloned().collect(),
            open: None,
            failed: false,
        })
    }

    /// The columns that come.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// How many rows come in all.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn next_batch(&mut self) -> Option<Result<RecordBatch, StoreError>> {
        if self.failed {
            return None;
        }
        let batch = self.advance().transpose();
        self.failed = matches!(batch, Some(Err(_)));
        batch
    }

    fn advance(&mut self) -> Result<Option<RecordBatch>, StoreError> {
        loop {
            if let Some(open) = &mut self.open {
                if let Some(batch) = open.next_batch()? {
                    return Ok(Some(batch));
                }
                self.open = None;
            }
            let Some(partition) = self.waiting.pop_front() else {
                return Ok(None);
            };
            let reader = PartitionReader::open(&self.store, &self.columns, &self.chosen, partition, None)?;
            self.open = Some(reader);
        }
    }
}

impl Iterator for TableReader {
    type Item = Result<RecordBatch, StageError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.next_batch()?.map_err(StageError::from))
    }
}

impl dermflow_core::TableReader for TableReader {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    fn rows(&self) -> u64 {
        self.rows
    }
}

/// Positions of the columns asked for, the sample id always among them.
pub(super) fn choose(columns: &[Column], asked: Option<&[String]>) -> Result<Vec<usize>, StoreError> {
    let Some(asked) = asked else {
        return Ok((0..columns.len()).collect());
    };
    for name in asked {
        if !columns.iter().any(|column| column.name == *name) {
            let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            return Err(StoreError::invalid(format!(
                "the table has no column `{name}`; it has {}",
                names.join(", ")
            )));
        }
    }
    let chosen = |at: &usize| *at == 0 || asked.contains(&columns[*at].name);
    Ok((0..columns.len()).filter(chosen).collect())
}

/// Reads one partition, and doubts it: the hash says that the bytes are those that the
/// manifest names, not that the manifest tells the truth about them.
pub(crate) struct PartitionReader {
    partition: Partition,
    schema: SchemaRef,
    reader: ParquetRecordBatchReader,
    /// Set if all rows come, so that they can be counted.
    whole: bool,
    rows: u64,
    last: Option<SampleId>,
    done: bool,
}

impl PartitionReader {
    /// A reader of all rows, or of those selected.
    pub(crate) fn open(
        store: &Store,
        columns: &[Column],
        chosen: &[usize],
        partition: Partition,
        selection: Option<RowSelection>,
    ) -> Result<PartitionReader, StoreError> {
        let path = store.blob_path(&partition.blob)?;
        let file = File::open(&path).map_err(|error| StoreError::io("reading", &path, error))?;
        let whole = selection.is_none();
        let reader = guarded(|| build(file, columns, chosen, &partition, selection));
        let wrong = |reason| unfit(&partition, reason);
        let reader = reader.map_err(wrong)?;
        let columns: Vec<Column> = chosen.iter().map(|at| columns[*at].clone()).collect();
        Ok(PartitionReader {
            partition,
            schema: schema_of(&columns),
            reader,
            whole,
            rows: 0,
            last: None,
            done: false,
        })
    }

    pub(crate) fn next_batch(&mut self) -> Result<Option<RecordBatch>, StoreError> {
        if self.done {
            return Ok(None);
        }
        let batch = guarded(|| match self.reader.next() {
            Some(Ok(batch)) => Ok(Some(batch)),
            Some(Err(error)) => Err(error.to_string()),
            None => Ok(None),
        });
        let checked = batch.and_then(|batch| match batch {
            Some(batch) => self.check(batch).map(Some),
            None => self.check_end().map(|()| None),
        });
        self.done = !matches!(checked, Ok(Some(_)));
        checked.map_err(|reason| unfit(&self.partition, reason))
    }

    fn check(&mut self, batch: RecordBatch) -> Result<RecordBatch, String> {
        let arrays = batch.columns().to_vec();
        // Nulls where none may be, and types that differ, end here.
        let batch = RecordBatch::try_new(self.schema.clone(), arrays).map_err(|error| error.to_string())?;
        let ids = Ids::of(&batch).map_err(|error| error.message())?;
        if ids.len() == 0 {
            return Ok(batch);
        }
        let (first, last) = (ids.id(0), ids.id(ids.len() - 1));
        let follows = self.last.is_none_or(|before| before <= first);
        let within = self.partition.first <= first && last <= self.partition.last;
        let starts = !self.whole || self.last.is_some() || first == self.partition.first;
        if !(follows && within && starts && ids.are_sorted()) {
            return Err("its sample ids are not those of the manifest".to_string());
        }
        self.last = Some(last);
        self.rows += ids.len() as u64;
        Ok(batch)
    }

    fn check_end(&self) -> Result<(), String> {
        if self.whole && (self.rows != self.partition.rows || self.last != Some(self.partition.last)) {
            return Err(format!("it holds {} rows", self.rows));
        }
        Ok(())
    }
}

pub(super) fn unfit(partition: &Partition, reason: String) -> StoreError {
    StoreError::Damaged {
        blob: partition.blob,
        reason: format!(
            "does not hold the {} rows that its table claims: {reason}",
            partition.rows
        ),
    }
}

fn build(
    file: File,
    columns: &[Column],
    chosen: &[usize],
    partition: &Partition,
    selection: Option<RowSelection>,
) -> Result<ParquetRecordBatchReader, String> {
    let mut options = ArrowReaderOptions::new().with_schema(schema_of(columns));
    if selection.is_some() {
        // Says where pages lie, so that those without a selected row are not decoded.
        options = options.with_offset_index_policy(parquet::file::metadata::PageIndexPolicy::Optional);
    }
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
        .map_err(|error| error.to_string())?;
    let groups = builder.metadata().row_groups();
    let rows = groups.iter().try_fold(0u64, |sum, group| {
        sum.checked_add(u64::try_from(group.num_rows()).ok()?)
    });
    if rows != Some(partition.rows) {
        return Err("its rows are not as many".to_string());
    }
    let bytes = groups.iter().fold(0u64, |sum, group| {
        sum.saturating_add(u64::try_from(group.total_byte_size()).unwrap_or(0))
    });
    let each = (bytes / partition.rows.max(1)).max(1);
    let mask = ProjectionMask::roots(builder.parquet_schema(), chosen.iter().copied());
    let mut builder = builder
        .with_projection(mask)
        .with_batch_size((BYTES / each).clamp(1, ROWS) as usize);
    if let Some(selection) = selection {
        builder = builder.with_row_selection(selection);
    }
    builder.build().map_err(|error| error.to_string())
}

/// Runs the Parquet decoder, which was not written for hostile files: a panic in it is an
/// error of the file.
pub(super) fn guarded<T>(decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(result) => result,
        Err(_) => Err("its Parquet can't be decoded".to_string()),
    }
}
