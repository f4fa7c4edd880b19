//! [`concatenate`]: a table as one Parquet file for people, without decoding its rows.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use dermflow_core::{Partition, TableManifest};
use parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::columns::schema_of;
use super::reader::{guarded, unfit};
use crate::Store;
use crate::error::{StoreError, writing};

/// Writes all rows of a table to `sink` as one Parquet file, and gives the sink back: the encoded
/// columns of its partitions as they lie in the store, one partition after the other, each in row
/// groups of its own. Pictures are then not unpacked to be packed again. Errors call the sink
/// `path`.
///
/// # Errors
/// Where a blob is damaged, or the sink takes no more.
pub fn concatenate<W: Write + Send>(
    store: &Store,
    table: &TableManifest,
    sink: W,
    path: &Path,
) -> Result<W, StoreError> {
    let fail = |error: ParquetError| writing(path, &error);
    let schema = schema_of(&table.columns);
    let mut properties = WriterProperties::builder().build();
    add_encoded_arrow_schema_to_metadata(&schema, &mut properties);
    let converted = ArrowSchemaConverter::new().convert(&schema).map_err(fail)?;
    let mut writer =
        SerializedFileWriter::new(sink, converted.root_schema_ptr(), Arc::new(properties)).map_err(fail)?;
    for partition in &table.partitions {
        append(store, partition, &mut writer, path)?;
    }
    writer.into_inner().map_err(fail)
}

/// Copies a partition's row groups.
fn append<W: Write + Send>(
    store: &Store,
    partition: &Partition,
    writer: &mut SerializedFileWriter<W>,
    path: &Path,
) -> Result<(), StoreError> {
    let blob = store.blob_path(&partition.blob)?;
    let file = File::open(&blob).map_err(|error| StoreError::io("reading", &blob, error))?;
    let metadata = guarded(|| footer(&file, partition)).map_err(|reason| unfit(partition, reason))?;
    let copied = guarded(|| Ok(copy_groups(&file, &metadata, writer)));
    let copied = copied.map_err(|reason| unfit(partition, reason))?;
    copied.map_err(|error| match writing(path, &error) {
        // The sink has nothing to say, so the partition is wrong.
        StoreError::Invalid { message, .. } => unfit(partition, message),
        other => other,
    })
}

fn copy_groups<W: Write + Send>(
    file: &File,
    metadata: &ParquetMetaData,
    writer: &mut SerializedFileWriter<W>,
) -> Result<(), ParquetError> {
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let mut copy = writer.next_row_group()?;
        for (at, column) in group.columns().iter().enumerate() {
            let index = metadata.page_index();
            let close = ColumnCloseResult {
                bytes_written: column.compressed_size().max(0) as u64,
                rows_written: group.num_rows().max(0) as u64,
                metadata: column.clone(),
                bloom_filter: None,
                column_index: index.and_then(|index| index.column_index(number, at)).cloned(),
                offset_index: index.and_then(|index| index.offset_index(number, at)).cloned(),
            };
            copy.append_column(file, close)?;
        }
        copy.close()?;
    }
    Ok(())
}

/// What the end of a partition's file says, if that can be: as many rows as the manifest claims, in
/// columns within the file.
fn footer(file: &File, partition: &Partition) -> Result<ParquetMetaData, String> {
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    let metadata = reader.parse_and_finish(file).map_err(|error| error.to_string())?;
    let rows = metadata.row_groups().iter().map(|group| group.num_rows());
    if rows.sum::<i64>() != partition.rows as i64 {
        return Err("its rows are not as many".to_string());
    }
    let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    for (start, length) in columns.map(|column| column.byte_range()) {
        if start
            .checked_add(length)
            .is_none_or(|end| end > partition.blob.bytes)
        {
            return Err("its columns lie outside of it".to_string());
        }
    }
    Ok(metadata)
}
