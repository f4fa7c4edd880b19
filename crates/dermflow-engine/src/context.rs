//! [`StoreContext`]: what a stage that runs here sees of the store. Only what the action's
//! manifest covers can be reached through it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use dermflow_core::{
    Artifact, NamedFile, OutputPort, PortType, SampleId, StageContext, StageError, TableFiles, TableManifest,
    TableReader, TableType, TableWriter,
};
use dermflow_store::table::schema_of;
use dermflow_store::{Store, TableWriter as StoredTableWriter};

use crate::action::{Action, BoundInput, readable};
use crate::event::{Event, Sink};
use crate::interrupt::Interrupt;
use crate::rows::Rows;
use crate::spare::{Sharing, Spare};

/// What calls of one action share: outputs as they come, figures, progress.
pub struct StoreContext<'a> {
    store: &'a Store,
    action: &'a Action,
    over: Option<(String, Rows)>,
    /// The samples at hand, for side tables.
    samples: Option<Vec<SampleId>>,
    declared: Vec<OutputPort>,
    outputs: Arc<Mutex<BTreeMap<String, Artifact>>>,
    metrics: BTreeMap<String, f64>,
    scratch: PathBuf,
    threads: usize,
    /// For a part of a map: its share of threads that have nothing to do.
    sharing: Option<Sharing<'a>>,
    interrupt: &'a Interrupt,
    sink: &'a Sink<'a>,
    quiet: bool,
}

/// What the call of a kind left behind.
pub struct Produced {
    /// The artifact at each output port that was written.
    pub outputs: BTreeMap<String, Artifact>,
    /// Reported figures.
    pub metrics: BTreeMap<String, f64>,
}

impl<'a> StoreContext<'a> {
    /// A context for one call of an action's kind.
    ///
    /// # Errors
    /// What the kind says of its outputs, now that the inputs are known in full.
    pub fn new(
        store: &'a Store,
        action: &'a Action,
        scratch: PathBuf,
        threads: usize,
        interrupt: &'a Interrupt,
        sink: &'a Sink<'a>,
    ) -> Result<StoreContext<'a>, StageError> {
        Ok(StoreContext {
            store,
            action,
            over: None,
            samples: None,
            declared: action.output_ports()?,
            outputs: Arc::default(),
            metrics: BTreeMap::new(),
            scratch,
            threads,
            sharing: None,
            interrupt,
            sink,
            quiet: false,
        })
    }

    /// The same, with only these rows of the input `port`, and a share of spare threads. The engine
    /// tells the progress of the whole map, so the kind's own is not told.
    pub fn over(mut self, port: &str, rows: Rows, spare: &'a Spare) -> StoreContext<'a> {
        self.over = Some((port.to_string(), rows));
        self.sharing = Some(spare.join());
        self.quiet = true;
        self
    }

    /// The same, with only the rows of these samples, which are sorted, of every side table.
    pub fn at_samples(mut self, samples: Vec<SampleId>) -> StoreContext<'a> {
        self.samples = Some(samples);
        self
    }

    /// Ends the call: every declared output must be there.
    ///
    /// # Errors
    /// Names the output that the kind did not write.
    pub fn finish(self) -> Result<Produced, StageError> {
        let outputs = std::mem::take(&mut *self.outputs.lock().unwrap_or_else(PoisonError::into_inner));
        for port in &self.declared {
            if !outputs.contains_key(&port.name) {
                return Err(StageError::new(format!(
                    "the kind `{}` ended without writing its output `{}`",
                    self.action.kind.name(),
                    port.name
                )));
            }
        }
        Ok(Produced {
            outputs,
            metrics: self.metrics,
        })
    }

    fn inputs(&self, port: &str) -> Result<&'a [BoundInput], StageError> {
        let inputs = self.action.inputs.get(port).map(Vec::as_slice);
        inputs.ok_or_else(|| StageError::new(format!("nothing is wired to the input `{port}`")))
    }

    /// What may be seen of a table that is wired.
    fn rows_of(&self, input: &BoundInput, table: &TableManifest) -> Result<Rows, StageError> {
        Ok(match (&self.samples, input.side_table()?) {
            (Some(samples), Some(side)) => Rows::OfSamples(side.clone(), samples.clone()),
            _ => Rows::All(table.clone()),
        })
    }

    fn one<T>(port: &str, mut all: Vec<T>) -> Result<T, StageError> {
        match all.len() {
            1 => Ok(all.remove(0)),
            many => Err(StageError::new(format!(
                "{many} artifacts are wired to the input `{port}`, one is expected"
            ))),
        }
    }

    fn declared(&self, port: &str) -> Result<&OutputPort, StageError> {
        let found = self.declared.iter().find(|output| output.name == port);
        found.ok_or_else(|| {
            StageError::new(format!(
                "the kind `{}` declares no output `{port}`",
                self.action.kind.name()
            ))
        })
    }

    fn keep(&self, port: &str, artifact: Artifact) {
        let mut outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        outputs.insert(port.to_string(), artifact);
    }

    fn blob_file(&self, name: &str, blob: &dermflow_core::BlobRef) -> Result<NamedFile, StageError> {
        Ok(NamedFile {
            name: name.to_string(),
            path: self.store.blob_path(blob)?,
        })
    }
}

fn wrong_sort(port: &str, wanted: &str, found: &Artifact) -> StageError {
    StageError::new(format!(
        "the input `{port}` holds a {}, not {wanted}",
        found.sort()
    ))
}

impl StageContext for StoreContext<'_> {
    fn has_input(&self, port: &str) -> bool {
        self.action.inputs.contains_key(port) || self.over.as_ref().is_some_and(|(over, _)| over == port)
    }

    fn table(&self, port: &str) -> Result<Box<dyn TableReader>, StageError> {
        Self::one(port, self.tables(port)?)
    }

    fn tables(&self, port: &str) -> Result<Vec<Box<dyn TableReader>>, StageError> {
        if let Some((over, rows)) = &self.over
            && over == port
        {
            let reads = self
                .action
                .inputs
                .get(port)
                .and_then(|inputs| inputs.first()?.reads.clone());
            return Ok(vec![rows.read(self.store, &reads)?]);
        }
        let read = |input: &BoundInput| match input.artifact()? {
            Artifact::Table(table) => self.rows_of(input, table)?.read(self.store, &input.reads),
            other => Err(wrong_sort(port, "a table", other)),
        };
        self.inputs(port)?.iter().map(read).collect()
    }

    fn table_files(&self, port: &str) -> Result<Vec<TableFiles>, StageError> {
        let files = |input: &BoundInput| match input.artifact()? {
            Artifact::Table(table) => {
                let Rows::All(table) = self.rows_of(input, table)? else {
                    return Err(StageError::new(format!(
                        "the input `{port}` is read sample by sample, and its files hold other samples too"
                    )));
                };
                let paths = table
                    .partitions
                    .iter()
                    .map(|partition| self.store.blob_path(&partition.blob));
                Ok(TableFiles {
                    schema: schema_of(&readable(&table, &input.reads)),
                    parquet: paths.collect::<Result<_, _>>()?,
                    rows: table.rows,
                })
            }
            other => Err(wrong_sort(port, "a table", other)),
        };
        self.inputs(port)?.iter().map(files).collect()
    }

    fn model(&self, port: &str) -> Result<PathBuf, StageError> {
        let model = |input: &BoundInput| match input.artifact()? {
            Artifact::Model(blob) => Ok(self.store.blob_path(blob)?),
            other => Err(wrong_sort(port, "a model", other)),
        };
        Self::one(
            port,
            self.inputs(port)?.iter().map(model).collect::<Result<_, _>>()?,
        )
    }

    fn files(&self, port: &str) -> Result<Vec<NamedFile>, StageError> {
        let files = |input: &BoundInput| match input.artifact()? {
            Artifact::Files(files) => files
                .iter()
                .map(|(name, blob)| self.blob_file(name, blob))
                .collect::<Result<Vec<_>, _>>(),
            other => Err(wrong_sort(port, "files", other)),
        };
        Self::one(
            port,
            self.inputs(port)?.iter().map(files).collect::<Result<_, _>>()?,
        )
    }

    fn wired(&self) -> Vec<(String, &'static str)> {
        let sort = |inputs: &[BoundInput]| {
            inputs
                .first()
                .and_then(|input| Some(input.artifact().ok()?.sort()))
        };
        let all = self.action.inputs.iter();
        all.filter_map(|(port, inputs)| Some((port.clone(), sort(inputs)?)))
            .collect()
    }

    fn source(&self, parameter: &str) -> Result<PathBuf, StageError> {
        let source = self.action.sources.get(parameter);
        let source =
            source.ok_or_else(|| StageError::new(format!("the kind declares no source `{parameter}`")))?;
        Ok(source.path.clone())
    }

    fn source_files(&self, parameter: &str) -> Result<Vec<NamedFile>, StageError> {
        let source = self.action.sources.get(parameter);
        let source =
            source.ok_or_else(|| StageError::new(format!("the kind declares no source `{parameter}`")))?;
        Ok(source.named_files())
    }

    fn tool(&self) -> Option<PathBuf> {
        self.action.tool.clone()
    }

    fn write_table(&mut self, port: &str, schema: SchemaRef) -> Result<Box<dyn TableWriter>, StageError> {
        let declared = self.declared(port)?;
        let PortType::Table(wanted) = &declared.port_type else {
            return Err(StageError::new(format!(
                "the output `{port}` is declared as {}",
                declared.port_type
            )));
        };
        let given = TableType::from_schema(&wanted.contract, &schema)
            .map_err(|why| StageError::new(format!("the output `{port}`: {why}")))?;
        wanted.accepts(&given).map_err(|why| {
            StageError::new(format!(
                "the output `{port}` does not fit {}: {why}",
                wanted.contract
            ))
        })?;
        let mut writer = StoredTableWriter::new(self.store, &wanted.contract, schema)?;
        if self.over.is_some() {
            // What comes sample by sample goes sample by sample.
            writer = writer.expecting_order();
        }
        Ok(Box::new(OutputWriter {
            port: port.to_string(),
            writer,
            forgotten: self.action.forgotten.clone(),
            outputs: self.outputs.clone(),
        }))
    }

    fn write_model(&mut self, port: &str, path: &Path) -> Result<(), StageError> {
        self.declared(port)?;
        let blob = self.store.put_file(path)?;
        self.keep(port, Artifact::Model(blob));
        Ok(())
    }

    fn write_files(&mut self, port: &str, files: &[NamedFile]) -> Result<(), StageError> {
        self.declared(port)?;
        let mut blobs = BTreeMap::new();
        for file in files {
            dermflow_core::artifact::safe_relative_path(&file.name).map_err(StageError::new)?;
            blobs.insert(file.name.clone(), self.store.put_file(&file.path)?);
        }
        self.keep(port, Artifact::Files(blobs));
        Ok(())
    }

    fn scratch(&self) -> &Path {
        // Made when it is first asked for: most actions need none. Where it can't be made, the
        // stage learns so when it writes there.
        let _ = std::fs::create_dir_all(&self.scratch);
        &self.scratch
    }

    fn seed(&self) -> u64 {
        self.action.manifest.stage_seed()
    }

    fn threads(&self) -> usize {
        self.threads
    }

    fn spare_threads(&self) -> usize {
        match &self.sharing {
            Some(sharing) => sharing.threads(),
            None => self.threads.saturating_sub(1),
        }
    }

    fn progress(&self, done: u64, total: Option<u64>) {
        if !self.quiet {
            let label = self.action.label.clone();
            (self.sink)(&Event::StageProgress { label, done, total });
        }
    }

    fn log(&self, line: &str) {
        (self.sink)(&Event::StageLog {
            label: self.action.label.clone(),
            line: line.to_string(),
        });
    }

    fn metric(&mut self, name: &str, value: f64) {
        self.metrics.insert(name.to_string(), value);
    }

    fn cancelled(&self) -> bool {
        self.interrupt.asked()
    }
}

struct OutputWriter {
    port: String,
    writer: StoredTableWriter,
    forgotten: Option<Arc<BTreeSet<SampleId>>>,
    outputs: Arc<Mutex<BTreeMap<String, Artifact>>>,
}

impl TableWriter for OutputWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        match &self.forgotten {
            Some(forgotten) => Ok(self.writer.write(&without(batch, forgotten)?)?),
            None => Ok(self.writer.write(batch)?),
        }
    }

    fn finish(self: Box<Self>) -> Result<(), StageError> {
        let table = self.writer.finish()?;
        let mut outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        outputs.insert(self.port, Artifact::Table(table));
        Ok(())
    }
}

/// The rows of other samples than these. A refusal has no sample's id, so of refusals those go
/// that name a forgotten sample: `no sample is called `a/b.jpg``.
fn without(batch: &RecordBatch, forgotten: &BTreeSet<SampleId>) -> Result<RecordBatch, StageError> {
    let ids = batch
        .columns()
        .first()
        .and_then(|ids| ids.as_fixed_size_binary_opt());
    let Some(ids) = ids else {
        // The writer refuses it in its own words.
        return Ok(batch.clone());
    };
    let stays = |id: Option<&[u8]>| {
        let id = id.and_then(|id| <[u8; 32]>::try_from(id).ok());
        id.is_none_or(|id| !forgotten.contains(&SampleId::from_bytes(id)))
    };
    let reasons = batch
        .column_by_name("reason")
        .and_then(|column| column.as_string_opt::<i32>());
    let names = |row: usize| {
        let reason = reasons
            .filter(|reasons| reasons.is_valid(row))
            .map(|reasons| reasons.value(row));
        let mut quoted = reason.unwrap_or_default().split('`').skip(1).step_by(2);
        quoted.any(|name| forgotten.contains(&SampleId::of_key(name)))
    };
    let rows = ids.iter().enumerate();
    let kept: BooleanArray = rows.map(|(row, id)| Some(stays(id) && !names(row))).collect();
    Ok(arrow::compute::filter_record_batch(batch, &kept)?)
}
