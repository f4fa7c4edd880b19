//! The one way in which a partition is written as Parquet: equal rows give equal bytes.
//!
//! Rows reach the encoder in chunks that depend on content alone, because where Parquet ends
//! a page depends on how rows are handed over.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use dermflow_core::{BlobRef, Column, ColumnHasher, ColumnType, Digest};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::Store;
use crate::blob::BlobWriter;
use crate::error::{StoreError, writing};

/// Rows of a chunk, at most.
const CHUNK_ROWS: usize = 4096;
/// Bytes from which a chunk is full.
const CHUNK_BYTES: u64 = 4 << 20;
/// Bytes from which a row group is full: what the encoder holds in memory.
const GROUP_BYTES: u64 = 64 << 20;

/// A Parquet file that is being written, with the digests of its columns.
pub(crate) struct ParquetFile {
    writer: ArrowWriter<BlobWriter>,
    hashers: Vec<ColumnHasher>,
    schema: SchemaRef,
    chunk: Vec<RecordBatch>,
    chunk_rows: usize,
    chunk_bytes: u64,
    group_bytes: u64,
    store: Store,
}

impl ParquetFile {
    pub(crate) fn create(
        store: &Store,
        columns: &[Column],
        schema: &SchemaRef,
    ) -> Result<ParquetFile, StoreError> {
        let options = ArrowWriterOptions::new()
            .with_properties(properties(columns)?)
            // Columns say all that there is to know; an encoded Arrow schema could change its
            // bytes with the library.
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(store.blob_writer(), schema.clone(), options)
            .map_err(|error| writing(store.root(), &error))?;
        let hashers = columns
            .iter()
            .map(|column| ColumnHasher::new(&column.column_type));
        Ok(ParquetFile {
            writer,
            hashers: hashers.collect(),
            schema: schema.clone(),
            chunk: Vec::new(),
            chunk_rows: 0,
            chunk_bytes: 0,
            group_bytes: 0,
            store: store.clone(),
        })
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
        let wrong = |error: ParquetError| writing(self.store.root(), &error);
        self.writer.write(&rows).map_err(wrong)?;
        if self.group_bytes >= GROUP_BYTES {
            self.writer.flush().map_err(wrong)?;
            self.group_bytes = 0;
        }
        Ok(())
    }

    /// Completes the file: its blob and the digest of each column.
    pub(crate) fn finish(mut self) -> Result<(BlobRef, Vec<Digest>), StoreError> {
        self.encode_chunk()?;
        let root = self.store.root();
        let blob = self.writer.into_inner().map_err(|error| writing(root, &error))?;
        let digests = self.hashers.into_iter().map(ColumnHasher::finish).collect();
        Ok((blob.finish()?, digests))
    }
}

fn properties(columns: &[Column]) -> Result<WriterProperties, StoreError> {
    let level = ZstdLevel::try_new(1).map_err(|error| StoreError::invalid(error.to_string()))?;
    let mut properties = WriterProperties::builder()
        .set_created_by("dermflow table 1".to_string())
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(None);
    for column in columns {
        let path = ColumnPath::new(vec![column.name.clone()]);
        // Hashes and pictures have neither repetitions to name nor bounds worth keeping; pictures
        // hardly shrink, and zstd would take more than half of all time that reading photos in does.
        match column.column_type {
            ColumnType::SampleId => {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_compression(path, Compression::UNCOMPRESSED);
            }
            ColumnType::Binary => {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_compression(path.clone(), Compression::LZ4_RAW)
                    .set_column_statistics_enabled(path, EnabledStatistics::None);
            }
            _ => {}
        }
    }
    Ok(properties.build())
}
