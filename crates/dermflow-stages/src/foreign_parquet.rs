//! Reads a Parquet file that another program wrote, trusting nothing in it: whatever its
//! bytes are, the outcome is batches or an error in words.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use dermflow_core::StageError;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

/// The batches of a file, in the order of the file.
pub struct ForeignParquet {
    path: PathBuf,
    schema: SchemaRef,
    rows: u64,
    /// None once it ended or failed.
    reader: Option<ParquetRecordBatchReader>,
}

impl ForeignParquet {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// Where it is missing, or no Parquet file.
    pub fn open(path: &Path, batch_rows: usize) -> Result<ForeignParquet, StageError> {
        let file = File::open(path).map_err(|error| StageError::io("reading", path, &error))?;
        let opened = guarded(path, || {
            let builder =
                ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| error.to_string())?;
            let rows = builder.metadata().file_metadata().num_rows();
            let schema = builder.schema().clone();
            let reader = builder.with_batch_size(batch_rows).build();
            Ok((rows, schema, reader.map_err(|error| error.to_string())?))
        });
        let (rows, schema, reader) = opened?;
        Ok(ForeignParquet {
            path: path.to_path_buf(),
            schema,
            rows: u64::try_from(rows).unwrap_or_default(),
            reader: Some(reader),
        })
    }

    /// Its columns as Arrow sees them.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// How many rows it claims to have.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl Iterator for ForeignParquet {
    type Item = Result<RecordBatch, StageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = self.reader.take()?;
        let read = guarded(&self.path, || {
            let batch = reader.next().transpose().map_err(|error| error.to_string())?;
            Ok((batch, reader))
        });
        match read {
            Ok((batch, reader)) => {
                self.reader = Some(reader);
                batch.map(Ok)
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// Runs a step of the Parquet reader, which panics on some damaged files. What it worked on
/// is dropped then, so nothing half-changed is seen again.
fn guarded<T>(path: &Path, step: impl FnOnce() -> Result<T, String>) -> Result<T, StageError> {
    let outcome = catch_unwind(AssertUnwindSafe(step));
    let refusal = match outcome {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(refusal)) => refusal,
        Err(_) => "its bytes are damaged".to_string(),
    };
    Err(StageError::new(format!(
        "{} is no Parquet file that can be read: {refusal}",
        path.display()
    )))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use dermflow_core::memory::batch;
    use parquet::arrow::ArrowWriter;
    use proptest::prelude::*;

    use super::*;

    fn file() -> Vec<u8> {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("ab"), None, Some("c")]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let rows = batch(&["a", "b", "c"], [("t", texts), ("n", numbers)]);
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        writer.into_inner().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<usize, StageError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        std::fs::write(&path, bytes).unwrap();
        let mut rows = 0;
        for batch in ForeignParquet::open(&path, 2)? {
            rows += batch?.num_rows();
        }
        Ok(rows)
    }

    #[test]
    fn a_sound_file_is_read_whole_and_cut_ones_are_refused() {
        let bytes = file();
        assert_eq!(read(&bytes).unwrap(), 3);
        for length in 0..bytes.len() {
            assert!(
                read(&bytes[..length]).is_err(),
                "{length} of {} bytes",
                bytes.len()
            );
        }
        assert!(ForeignParquet::open(Path::new("/nowhere.parquet"), 1).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn damage_anywhere_gives_rows_or_words_and_never_a_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = file();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = read(&bytes);
        }
    }
}
