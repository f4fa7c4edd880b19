//! The one way in which a partition is written as Parquet: equal rows give equal bytes.
//!
//! Rows reach the encoder in chunks that depend on content alone, because where Parquet ends
//! a page depends on how rows are handed over. The first chunk decides which columns are worth
//! compressing.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use dermflow_core::{BlobRef, Column, ColumnHasher, ColumnType, Digest};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::shrinking::shrinks;
use crate::Store;
use crate::blob::BlobWriter;
use crate::error::{StoreError, writing};

/// Rows of a chunk, at most.
const CHUNK_ROWS: usize = 4096;
/// Bytes from which a chunk is full: what a processor's cache holds while it is hashed, encoded and
/// written.
const CHUNK_BYTES: u64 = 1 << 20;
/// Bytes from which a row group is full: what the encoder holds in memory.
const GROUP_BYTES: u64 = 16 << 20;

/// A Parquet file that is being written, with the digests of its columns.
pub(crate) struct ParquetFile {
    /// Made when the first chunk is there.
    writer: Option<ArrowWriter<BlobWriter>>,
    hashers: Vec<ColumnHasher>,
    columns: Vec<Column>,
    schema: SchemaRef,
    chunk: Vec<RecordBatch>,
    chunk_rows: usize,
    chunk_bytes: u64,
    group_bytes: u64,
    store: Store,
}

impl ParquetFile {
    pub(crate) fn new(store: &Store, columns: &[Column], schema: &SchemaRef) -> ParquetFile {
        let hashers = columns
            .iter()
            .map(|column| ColumnHasher::new(&column.column_type));
        ParquetFile {
            writer: None,
            hashers: hashers.collect(),
            columns: columns.to_vec(),
            schema: schema.clone(),
            chunk: Vec::new(),
            chunk_rows: 0,
            chunk_bytes: 0,
            group_bytes: 0,
            store: store.clone(),
        }
    }

    /// How many more rows may be counted before the chunk has to be taken.
    pub(crate) fn is_full(&self, pending_rows: usize, pending_bytes: u64) -> bool {
        self.chunk_rows + pending_rows >= CHUNK_ROWS || self.chunk_bytes + pending_bytes >= CHUNK_BYTES
    }

    /// Takes rows of `bytes` bytes; the caller asks [`ParquetFile::is_full`] after every row.
    pub(crate) fn take(&mut self, rows: RecordBatch, bytes: u64) -> Result<(), StoreError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.chunk_rows += rows.num_rows();
        self.chunk_bytes += bytes;
        self.chunk.push(rows);
        match self.is_full(0, 0) {
            true => self.encode_chunk(),
            false => Ok(()),
        }
    }

    fn encode_chunk(&mut self) -> Result<(), StoreError> {
        let rows = match self.chunk.len() {
            0 => return Ok(()),
            1 => self.chunk[0].clone(),
            _ => concat_batches(&self.schema, &self.chunk)?,
        };
        self.group_bytes += self.chunk_bytes;
        self.chunk.clear();
        (self.chunk_rows, self.chunk_bytes) = (0, 0);
        for (hasher, array) in self.hashers.iter_mut().zip(rows.columns()) {
            hasher.update(array).map_err(StoreError::invalid)?;
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(writer_of(&self.store, &self.columns, &self.schema, &rows)?),
        };
        let wrong = |error: ParquetError| writing(self.store.root(), &error);
        writer.write(&rows).map_err(wrong)?;
        if self.group_bytes >= GROUP_BYTES {
            writer.flush().map_err(wrong)?;
            self.group_bytes = 0;
        }
        Ok(())
    }

    /// Completes the file: its blob and the digest of each column.
    pub(crate) fn finish(mut self) -> Result<(BlobRef, Vec<Digest>), StoreError> {
        self.encode_chunk()?;
        // A partition is begun by its first row.
        let writer = self
            .writer
            .ok_or_else(|| StoreError::invalid("a partition has no rows"))?;
        let root = self.store.root();
        let blob = writer.into_inner().map_err(|error| writing(root, &error))?;
        let digests = self.hashers.into_iter().map(ColumnHasher::finish).collect();
        Ok((blob.finish()?, digests))
    }
}

fn writer_of(
    store: &Store,
    columns: &[Column],
    schema: &SchemaRef,
    first: &RecordBatch,
) -> Result<ArrowWriter<BlobWriter>, StoreError> {
    let options = ArrowWriterOptions::new()
        .with_properties(properties(columns, first)?)
        // Columns say all that there is to know; an encoded Arrow schema could change its
        // bytes with the library.
        .with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(store.blob_writer(), schema.clone(), options)
        .map_err(|error| writing(store.root(), &error))
}

/// How a partition of these columns is written that begins with these rows.
fn properties(columns: &[Column], first: &RecordBatch) -> Result<WriterProperties, StoreError> {
    let level = ZstdLevel::try_new(1).map_err(|error| StoreError::invalid(error.to_string()))?;
    let mut properties = WriterProperties::builder()
        .set_created_by("dermflow table 1".to_string())
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(None);
    for (column, array) in columns.iter().zip(first.columns()) {
        let path = ColumnPath::new(vec![column.name.clone()]);
        // Hashes and pictures have neither repetitions to name nor bounds worth keeping. Pictures
        // hardly shrink: zstd would take more than half of all time that reading photos in does,
        // and LZ4 a fourth, so that goes only to what shrinks: maps, drawings, bars.
        match column.column_type {
            ColumnType::SampleId => {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_compression(path, Compression::UNCOMPRESSED);
            }
            ColumnType::Binary => {
                let compression = match array.as_binary_opt().is_some_and(shrinks) {
                    true => Compression::LZ4_RAW,
                    false => Compression::UNCOMPRESSED,
                };
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_compression(path.clone(), compression)
                    .set_column_statistics_enabled(path, EnabledStatistics::None);
            }
            _ => {}
        }
    }
    Ok(properties.build())
}
