//! What `rank-resample` costs in time and memory, beside a sort of everything in memory.
//!
//! `cargo bench -p dermflow-benches --bench resample -- --rows 50000000` for another number of
//! rows. Predictions are made on the way and the selection is only counted, so that what is
//! measured is the stage.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float32Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use dermflow_benches::{tell, wanted};
use dermflow_core::memory::{MemoryContext, batch};
use dermflow_core::{
    Column, ColumnType, NamedFile, SampleId, StageContext, StageError, TableFiles, TableReader, TableType,
    TableWriter, sample_ids,
};

const BATCH: u64 = 8192;
const CLASSES: [&str; 8] = [
    "acne",
    "eczema",
    "melanoma",
    "nevus",
    "psoriasis",
    "rosacea",
    "vitiligo",
    "wart",
];

fn main() {
    if !wanted() {
        return;
    }
    let rows = std::env::args().skip_while(|word| word != "--rows").nth(1);
    let rows: u64 = rows.map_or(2_000_000, |rows| rows.parse().expect("a number of rows"));
    let read = timed(|| Predictions::new(rows).for_each(|batch| drop(batch.expect("rows that are made"))));
    tell("predictions made, twice", read * 2, rows as usize);
    for with in [
        "ratio: 0.1",
        "ratio: 0.1\norder: random",
        "ratio: 1\nshort: leave",
    ] {
        let taken = timed(|| resample(rows, with));
        tell(
            &format!("rank-resample, {}", with.replace('\n', ", ")),
            taken,
            rows as usize,
        );
        println!(
            "{:<60} {:>9} MiB",
            "  peak of the process so far",
            peak_mebibytes()
        );
    }
    let sorted = timed(|| sort_everything(rows));
    tell("a sort of everything in memory", sorted, rows as usize);
    println!(
        "{:<60} {:>9} MiB",
        "  peak of the process so far",
        peak_mebibytes()
    );
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// The most memory that the process had, where the system tells it.
fn peak_mebibytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or(0) / 1024
}

fn resample(rows: u64, with: &str) {
    let registry = dermflow_stages::registry();
    let kind = registry.get("rank-resample").expect("a registered kind");
    let with = serde_yaml::from_str(with).expect("YAML");
    let parameters = kind.parse(&with).expect("right parameters");
    let scratch = tempfile::tempdir().expect("a folder");
    let keys: Vec<String> = (0..800).map(|key| key.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let labels: StringArray = (0..800_usize)
        .map(|key| Some(CLASSES[(key * key / 97) % 8]))
        .collect();
    let mut inner = MemoryContext::default();
    inner.add_table(
        "training",
        batch(&keys, [("label", Arc::new(labels) as ArrayRef)]),
    );
    inner.scratch = scratch.path().to_path_buf();
    let mut context = Streaming {
        rows,
        inner,
        written: Arc::default(),
    };
    kind.run(&parameters, &mut context).expect("room on the disk");
    assert!(context.written.load(Ordering::Relaxed) > 0);
}

/// What a plain program would do.
fn sort_everything(rows: u64) {
    // At once: growing would take twice the memory for a moment.
    let mut all: Vec<(u8, std::cmp::Reverse<u32>, [u8; 32])> = Vec::with_capacity(rows as usize);
    for row in 0..rows {
        all.push((
            class(row),
            std::cmp::Reverse(probability(row).to_bits()),
            *id(row).as_bytes(),
        ));
    }
    all.sort_unstable();
    std::hint::black_box(&all);
}

/// Rising with the row.
fn id(row: u64) -> SampleId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(row << 20).to_be_bytes());
    SampleId::from_bytes(bytes)
}

fn mixed(row: u64) -> u64 {
    let mixed = (row ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

fn class(row: u64) -> u8 {
    (mixed(row) >> 61) as u8
}

/// Mostly near 1, as models are.
fn probability(row: u64) -> f32 {
    let share = (mixed(row + (1 << 40)) >> 40) as f32 / (1 << 24) as f32;
    1.0 - share * share * share
}

struct Predictions {
    row: u64,
    rows: u64,
    schema: SchemaRef,
}

impl Predictions {
    fn new(rows: u64) -> Predictions {
        let columns = [
            Column::new("label", ColumnType::Text),
            Column::new("probability", ColumnType::Float32),
        ];
        Predictions {
            row: 0,
            rows,
            schema: TableType::exactly(columns).schema(),
        }
    }
}

impl Iterator for Predictions {
    type Item = Result<RecordBatch, StageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.row..(self.row + BATCH).min(self.rows);
        if rows.is_empty() {
            return None;
        }
        self.row = rows.end;
        let ids: Vec<SampleId> = rows.clone().map(id).collect();
        let labels: StringArray = rows
            .clone()
            .map(|row| Some(CLASSES[usize::from(class(row))]))
            .collect();
        let probabilities: Float32Array = rows.map(|row| Some(probability(row))).collect();
        let columns: Vec<ArrayRef> = vec![sample_ids(&ids), Arc::new(labels), Arc::new(probabilities)];
        Some(RecordBatch::try_new(self.schema.clone(), columns).map_err(StageError::from))
    }
}

impl TableReader for Predictions {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    fn rows(&self) -> u64 {
        self.rows
    }
}

/// Counts rows and forgets them.
struct Counted(Arc<AtomicU64>);

impl TableWriter for Counted {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        self.0.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        Ok(())
    }
    fn finish(self: Box<Self>) -> Result<(), StageError> {
        Ok(())
    }
}

/// A context whose predictions are made on the way and whose outputs are counted.
struct Streaming {
    rows: u64,
    inner: MemoryContext,
    written: Arc<AtomicU64>,
}

impl StageContext for Streaming {
    fn has_input(&self, port: &str) -> bool {
        port == "predictions" || self.inner.has_input(port)
    }
    fn table(&self, port: &str) -> Result<Box<dyn TableReader>, StageError> {
        match port {
            "predictions" => Ok(Box::new(Predictions::new(self.rows))),
            _ => self.inner.table(port),
        }
    }
    fn tables(&self, port: &str) -> Result<Vec<Box<dyn TableReader>>, StageError> {
        Ok(vec![self.table(port)?])
    }
    fn table_files(&self, port: &str) -> Result<Vec<TableFiles>, StageError> {
        self.inner.table_files(port)
    }
    fn model(&self, port: &str) -> Result<std::path::PathBuf, StageError> {
        self.inner.model(port)
    }
    fn files(&self, port: &str) -> Result<Vec<NamedFile>, StageError> {
        self.inner.files(port)
    }
    fn wired(&self) -> Vec<(String, &'static str)> {
        self.inner.wired()
    }
    fn source(&self, parameter: &str) -> Result<std::path::PathBuf, StageError> {
        self.inner.source(parameter)
    }
    fn source_files(&self, parameter: &str) -> Result<Vec<NamedFile>, StageError> {
        self.inner.source_files(parameter)
    }
    fn tool(&self) -> Option<std::path::PathBuf> {
        None
    }
    fn write_table(&mut self, _: &str, _: SchemaRef) -> Result<Box<dyn TableWriter>, StageError> {
        Ok(Box::new(Counted(self.written.clone())))
    }
    fn write_model(&mut self, port: &str, path: &Path) -> Result<(), StageError> {
        self.inner.write_model(port, path)
    }
    fn write_files(&mut self, port: &str, files: &[NamedFile]) -> Result<(), StageError> {
        self.inner.write_files(port, files)
    }
    fn scratch(&self) -> &Path {
        self.inner.scratch()
    }
    fn seed(&self) -> u64 {
        self.inner.seed()
    }
    fn threads(&self) -> usize {
        1
    }
    fn progress(&self, _: u64, _: Option<u64>) {}
    fn log(&self, line: &str) {
        println!("  {line}");
    }
    fn metric(&mut self, _: &str, _: f64) {}
    fn cancelled(&self) -> bool {
        false
    }
}
