//! A [`StageContext`] in memory: how kinds are tested without a store or a pipeline.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use tempfile::TempDir;

use crate::context::{NamedFile, StageContext, StageError, TableFiles, TableReader, TableWriter};
use crate::contract::{Column, ColumnType};
use crate::sample_id::{SampleId, sample_ids};

/// Rows whose sample ids are derived from `keys`, with these columns besides.
///
/// # Panics
/// In a test only: where lengths differ or a type is outside of [`ColumnType`].
pub fn batch<'a>(keys: &[&str], columns: impl IntoIterator<Item = (&'a str, ArrayRef)>) -> RecordBatch {
    let ids: Vec<SampleId> = keys.iter().map(|key| SampleId::of_key(key)).collect();
    let mut fields = vec![Column::sample_id().field()];
    let mut arrays = vec![sample_ids(&ids)];
    for (name, array) in columns {
        fields.push(Field::new(
            name,
            array.data_type().clone(),
            array.null_count() > 0,
        ));
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("a test's columns fit together")
}

/// Rows in order of their sample ids, rows of one sample in the order they were.
///
/// # Errors
/// Where the first column is no sample id.
pub fn sorted(batch: &RecordBatch) -> Result<RecordBatch, StageError> {
    let first = batch
        .columns()
        .first()
        .map(|column| ColumnType::from_arrow(column.data_type()));
    if first != Some(Some(ColumnType::SampleId)) {
        return Err(StageError::new("the first column of a table must be `sample_id`"));
    }
    let ids = batch.column(0).as_fixed_size_binary();
    let mut order: Vec<u32> = (0..ids.len() as u32).collect();
    order.sort_by_key(|row| ids.value(*row as usize));
    Ok(take_record_batch(batch, &UInt32Array::from(order))?)
}

/// Inputs, sources and outputs of one stage, in memory.
pub struct MemoryContext {
    tables: BTreeMap<String, Vec<RecordBatch>>,
    table_files: BTreeMap<String, Vec<TableFiles>>,
    models: BTreeMap<String, PathBuf>,
    files: BTreeMap<String, Vec<NamedFile>>,
    sources: BTreeMap<String, (PathBuf, Vec<NamedFile>)>,
    outputs: Arc<Mutex<BTreeMap<String, RecordBatch>>>,
    /// Model files that the stage wrote, by port.
    pub output_models: BTreeMap<String, Vec<u8>>,
    /// Files that the stage wrote, by port and name.
    pub output_files: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Figures that the stage reported.
    pub metrics: BTreeMap<String, f64>,
    /// Lines that the stage logged.
    pub lines: Mutex<Vec<String>>,
    /// What [`StageContext::seed`] gives.
    pub seed: u64,
    /// What [`StageContext::threads`] gives.
    pub threads: usize,
    /// What [`StageContext::scratch`] gives: at first a folder of this context's own, which goes
    /// with it.
    pub scratch: PathBuf,
    /// Keeps that folder.
    _own_scratch: Option<TempDir>,
    /// Set it to interrupt the stage.
    pub cancel: Arc<AtomicBool>,
    /// What [`StageContext::tool`] gives.
    pub tool: Option<PathBuf>,
    /// How many rows a batch has that a reader gives; small values find stages that trust
    /// batch borders.
    pub batch_rows: usize,
}

impl Default for MemoryContext {
    fn default() -> MemoryContext {
        let own_scratch = tempfile::tempdir().ok();
        let scratch = own_scratch
            .as_ref()
            .map_or_else(std::env::temp_dir, |folder| folder.path().to_path_buf());
        MemoryContext {
            tables: BTreeMap::new(),
            table_files: BTreeMap::new(),
            models: BTreeMap::new(),
            files: BTreeMap::new(),
            sources: BTreeMap::new(),
            outputs: Arc::default(),
            output_models: BTreeMap::new(),
            output_files: BTreeMap::new(),
            metrics: BTreeMap::new(),
            lines: Mutex::default(),
            seed: 0,
            threads: 1,
            scratch,
            _own_scratch: own_scratch,
            cancel: Arc::default(),
            tool: None,
            batch_rows: 8192,
        }
    }
}

impl MemoryContext {
    /// Wires a table to a port; again, for a port that takes many.
    pub fn add_table(&mut self, port: &str, table: RecordBatch) {
        self.tables.entry(port.to_string()).or_default().push(table);
    }

    /// Gives the tables wired to a port as Parquet files too, for kinds that hand files on.
    pub fn add_table_files(&mut self, port: &str, files: TableFiles) {
        self.table_files.entry(port.to_string()).or_default().push(files);
    }

    /// Wires a model file to a port.
    pub fn add_model(&mut self, port: &str, path: impl Into<PathBuf>) {
        self.models.insert(port.to_string(), path.into());
    }

    /// Wires files to a port.
    pub fn add_files(&mut self, port: &str, files: Vec<NamedFile>) {
        self.files.insert(port.to_string(), files);
    }

    /// Gives a source to a parameter: where it lies, and its files.
    pub fn add_source(&mut self, parameter: &str, path: impl Into<PathBuf>, files: Vec<NamedFile>) {
        self.sources.insert(parameter.to_string(), (path.into(), files));
    }

    /// The table that the stage wrote to a port, sorted.
    ///
    /// # Panics
    /// In a test only: where it wrote none.
    pub fn output(&self, port: &str) -> RecordBatch {
        let outputs = self.outputs.lock().expect("no test thread panicked");
        outputs
            .get(port)
            .cloned()
            .unwrap_or_else(|| panic!("the stage wrote no `{port}`"))
    }

    fn nothing(port: &str) -> StageError {
        StageError::new(format!("nothing of that sort is wired to the input `{port}`"))
    }
}

impl StageContext for MemoryContext {
    fn has_input(&self, port: &str) -> bool {
        self.wired().iter().any(|(name, _)| name == port)
    }

    fn table(&self, port: &str) -> Result<Box<dyn TableReader>, StageError> {
        let mut tables = self.tables(port)?;
        match tables.len() {
            1 => Ok(tables.remove(0)),
            _ => Err(Self::nothing(port)),
        }
    }

    fn tables(&self, port: &str) -> Result<Vec<Box<dyn TableReader>>, StageError> {
        let tables = self.tables.get(port).ok_or_else(|| Self::nothing(port))?;
        tables
            .iter()
            .map(|table| {
                Ok(Box::new(MemoryReader {
                    table: sorted(table)?,
                    at: 0,
                    step: self.batch_rows.max(1),
                }) as Box<dyn TableReader>)
            })
            .collect()
    }

    fn table_files(&self, port: &str) -> Result<Vec<TableFiles>, StageError> {
        self.table_files
            .get(port)
            .cloned()
            .ok_or_else(|| StageError::new(format!("the table at `{port}` is in memory, not in files")))
    }

    fn model(&self, port: &str) -> Result<PathBuf, StageError> {
        self.models.get(port).cloned().ok_or_else(|| Self::nothing(port))
    }

    fn files(&self, port: &str) -> Result<Vec<NamedFile>, StageError> {
        self.files.get(port).cloned().ok_or_else(|| Self::nothing(port))
    }

    fn wired(&self) -> Vec<(String, &'static str)> {
        let tables = self.tables.keys().map(|port| (port.clone(), "table"));
        let models = self.models.keys().map(|port| (port.clone(), "model"));
        let files = self.files.keys().map(|port| (port.clone(), "files"));
        tables.chain(models).chain(files).collect()
    }

    fn source(&self, parameter: &str) -> Result<PathBuf, StageError> {
        let source = self
            .sources
            .get(parameter)
            .ok_or_else(|| Self::nothing(parameter))?;
        Ok(source.0.clone())
    }

    fn source_files(&self, parameter: &str) -> Result<Vec<NamedFile>, StageError> {
        let source = self
            .sources
            .get(parameter)
            .ok_or_else(|| Self::nothing(parameter))?;
        Ok(source.1.clone())
    }

    fn tool(&self) -> Option<PathBuf> {
        self.tool.clone()
    }

    fn write_table(&mut self, port: &str, schema: SchemaRef) -> Result<Box<dyn TableWriter>, StageError> {
        Ok(Box::new(MemoryWriter {
            port: port.to_string(),
            schema,
            batches: Vec::new(),
            outputs: self.outputs.clone(),
        }))
    }

    fn write_model(&mut self, port: &str, path: &Path) -> Result<(), StageError> {
        let bytes = std::fs::read(path).map_err(|error| StageError::io("reading", path, &error))?;
        self.output_models.insert(port.to_string(), bytes);
        Ok(())
    }

    fn write_files(&mut self, port: &str, files: &[NamedFile]) -> Result<(), StageError> {
        let mut contents = BTreeMap::new();
        for file in files {
            let bytes =
                std::fs::read(&file.path).map_err(|error| StageError::io("reading", &file.path, &error))?;
            contents.insert(file.name.clone(), bytes);
        }
        self.output_files.insert(port.to_string(), contents);
        Ok(())
    }

    fn scratch(&self) -> &Path {
        &self.scratch
    }
    fn seed(&self) -> u64 {
        self.seed
    }
    fn threads(&self) -> usize {
        self.threads
    }
    fn progress(&self, _done: u64, _total: Option<u64>) {}
    fn log(&self, line: &str) {
        self.lines
            .lock()
            .expect("no test thread panicked")
            .push(line.to_string());
    }
    fn metric(&mut self, name: &str, value: f64) {
        self.metrics.insert(name.to_string(), value);
    }
    fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

struct MemoryReader {
    table: RecordBatch,
    at: usize,
    step: usize,
}

impl Iterator for MemoryReader {
    type Item = Result<RecordBatch, StageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let length = self.step.min(self.table.num_rows() - self.at);
        let part = (length > 0).then(|| Ok(self.table.slice(self.at, length)));
        self.at += length;
        part
    }
}

impl TableReader for MemoryReader {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }
    fn rows(&self) -> u64 {
        self.table.num_rows() as u64
    }
}

struct MemoryWriter {
    port: String,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    outputs: Arc<Mutex<BTreeMap<String, RecordBatch>>>,
}

impl TableWriter for MemoryWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        if batch.schema().fields() != self.schema.fields() {
            return Err(StageError::new(format!(
                "a batch for `{}` has other columns than the table",
                self.port
            )));
        }
        self.batches.push(batch.clone());
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), StageError> {
        let whole = sorted(&concat_batches(&self.schema, &self.batches)?)?;
        let mut outputs = self.outputs.lock().expect("no test thread panicked");
        outputs.insert(self.port, whole);
        Ok(())
    }
}
