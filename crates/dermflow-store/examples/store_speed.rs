//! Prints how fast the store is: `cargo run --release -p dermflow-store --example store_speed`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use dermflow_core::canonical::Value;
use dermflow_core::memory::batch;
use dermflow_core::sample_ids;
use dermflow_core::{Artifact, Column, Key, Making, Manifest, Record, SampleId};
use dermflow_store::{SourceIndex, Store, TableReader, TableWriter};

fn main() {
    let folder = tempfile::tempdir().expect("a folder for the store");
    let store = Store::open(folder.path().join("store")).expect("a new store");
    let keys = cold(&store, 1000);
    warm(&store, &keys);
    sources(&store, folder.path());
    let rows = std::env::args()
        .nth(1)
        .and_then(|rows| rows.parse().ok())
        .unwrap_or(10_000_000);
    for sorted in [true, false] {
        table(&store, rows, sorted);
    }
}

fn timed<T>(what: &str, count: usize, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{what}: {seconds:.3} s, {:.2} us each; peak {} MiB",
        seconds / count as f64 * 1e6,
        peak()
    );
    result
}

/// The most memory that this process had, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) / 1024
}

fn cold(store: &Store, actions: i128) -> Vec<Key> {
    let keys = timed(
        "cold: actions with a table, a lock and a record",
        actions as usize,
        || {
            let keys: Vec<Key> = (0..actions).map(|number| act(store, number)).collect();
            timed("  of which the last flush", 1, || {
                store.flush().expect("room on the disk")
            });
            keys
        },
    );
    assert_eq!(store.records().count(), keys.len());
    keys
}

fn act(store: &Store, number: i128) -> Key {
    let manifest = Manifest {
        kind: "speed".to_string(),
        version: 1,
        parameters: Value::Map(BTreeMap::from([("number".to_string(), Value::Integer(number))])),
        seed: None,
        inputs: BTreeMap::new(),
        sources: BTreeMap::new(),
        tool: None,
        salt: None,
    };
    let key = manifest.key().expect("a manifest has a key");
    let lock = store.lock_key(&key, &|| false).expect("nobody else locks");
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![number as i64; 4]));
    let rows = batch(&["a", "b", "c", "d"], [("number", numbers)]);
    let mut writer = TableWriter::new(store, "Table", rows.schema()).expect("a good schema");
    writer.write(&rows).expect("good rows");
    let record = Record {
        manifest,
        outputs: BTreeMap::from([("out".to_string(), Artifact::Table(writer.finish().expect("room")))]),
        ancestry: BTreeMap::new(),
        making: Making::default(),
    };
    store.commit(record).expect("a record has a key");
    lock.done().expect("scratch can be removed");
    key
}

fn warm(store: &Store, keys: &[Key]) {
    let store = Store::open(store.root()).expect("the store is there");
    for _ in 0..3 {
        timed("no-op: get_record and is_complete", keys.len(), || {
            for key in keys {
                let record = store.get_record(key).expect("readable").expect("there");
                assert!(store.is_complete(&record));
            }
        });
    }
}

fn sources(store: &Store, folder: &std::path::Path) {
    let folder = folder.join("sources");
    std::fs::create_dir(&folder).expect("a folder");
    let count = 50_000;
    for number in 0..count {
        std::fs::write(folder.join(format!("{number}.png")), format!("{number}")).expect("room");
    }
    std::thread::sleep(std::time::Duration::from_millis(100));
    let names = timed("sources: walk", count, || {
        dermflow_store::walk(&folder, &[]).expect("a good folder")
    });
    let paths: Vec<_> = names.iter().map(|name| folder.join(name)).collect();
    for _ in 0..2 {
        let index = timed("sources: load the index", 1, || SourceIndex::load(store));
        timed("sources: digests", count, || {
            index.digest_files(&paths).expect("readable")
        });
        println!("  files read: {}", index.files_hashed());
        timed("sources: save the index", 1, || index.save().expect("room"));
    }
}

/// Rows of (id, number, short text) through the writer and the reader.
fn table(store: &Store, rows: usize, sorted: bool) {
    let schema = Arc::new(Schema::new(vec![
        Column::sample_id().field(),
        Field::new("number", DataType::Int64, false),
        Field::new("text", DataType::Utf8, false),
    ]));
    let name = if sorted { "in order" } else { "in any order" };
    let table = timed(&format!("table: write {rows} rows {name}"), rows, || {
        let mut writer = TableWriter::new(store, "Table", schema.clone()).expect("a good schema");
        for start in (0..rows).step_by(8192) {
            let numbers = start as u64..rows.min(start + 8192) as u64;
            writer
                .write(&some_rows(&schema, numbers, rows as u64, sorted))
                .expect("good rows");
        }
        writer.finish().expect("room")
    });
    println!(
        "  partitions: {}, bytes: {}",
        table.partitions.len(),
        Artifact::Table(table.clone()).bytes()
    );
    let fresh = Store::open(store.root()).expect("the store is there");
    let read = timed("table: read it", rows, || {
        let reader = TableReader::open(&fresh, &table, None).expect("all columns");
        reader
            .map(|batch| batch.expect("good rows").num_rows())
            .sum::<usize>()
    });
    assert_eq!(read, rows);
}

fn some_rows(schema: &Arc<Schema>, numbers: std::ops::Range<u64>, rows: u64, sorted: bool) -> RecordBatch {
    let id = |number: u64| {
        let mut bytes = [0; 32];
        let spread = match sorted {
            true => number * (u64::MAX / rows),
            false => number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        };
        bytes[..8].copy_from_slice(&spread.to_be_bytes());
        SampleId::from_bytes(bytes)
    };
    let ids: Vec<SampleId> = numbers.clone().map(id).collect();
    let texts = numbers.clone().map(|number| format!("label {}", number % 1000));
    let arrays: Vec<ArrayRef> = vec![
        sample_ids(&ids),
        Arc::new(Int64Array::from_iter_values(numbers.map(|number| number as i64))),
        Arc::new(StringArray::from_iter_values(texts)),
    ];
    RecordBatch::try_new(schema.clone(), arrays).expect("columns of one length")
}
