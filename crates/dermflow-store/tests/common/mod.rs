//! What the fault tests share: small actions, and a check of all that a store claims.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use dermflow_core::canonical::Value;
use dermflow_core::memory::batch;
use dermflow_core::{Artifact, Key, Making, Manifest, Record, TableManifest};
use dermflow_store::{Store, StoreError, TableWriter};

/// The manifest of action `number`.
pub fn manifest(number: i128) -> Manifest {
    Manifest {
        kind: "fault-test".to_string(),
        version: 1,
        parameters: Value::Map(BTreeMap::from([("number".to_string(), Value::Integer(number))])),
        seed: None,
        inputs: BTreeMap::new(),
        sources: BTreeMap::new(),
        tool: None,
        salt: None,
    }
}

pub fn key(number: i128) -> Key {
    manifest(number).key().unwrap()
}

/// Writes the table of action `number`: always the same for the same number.
pub fn table(store: &Store, number: i64, rows: i64) -> Result<TableManifest, StoreError> {
    let keys: Vec<String> = (0..rows).map(|row| format!("{number} {row}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row * number)));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(&keys));
    let batch = batch(&keys, [("number", numbers), ("text", texts)]);
    let mut writer = TableWriter::new(store, "Table", batch.schema())?;
    writer.write(&batch)?;
    writer.finish()
}

/// Runs action `number` and commits its record.
pub fn act(store: &Store, number: i64, rows: i64) -> Result<Record, StoreError> {
    let table = table(store, number, rows)?;
    let blob = store.put_bytes(&number.to_le_bytes().repeat(40_000))?;
    let outputs = [
        ("table", Artifact::Table(table)),
        ("model", Artifact::Model(blob)),
    ];
    let outputs = outputs.map(|(port, artifact)| (port.to_string(), artifact));
    Ok(Record {
        manifest: manifest(number.into()),
        outputs: BTreeMap::from(outputs),
        ancestry: BTreeMap::new(),
        making: Making::default(),
    })
}

/// Checks everything that a store claims: every record is complete, every blob is what its
/// name says, and every table reads to its end. Gives the number of records.
pub fn assert_tells_the_truth(root: &Path) -> usize {
    let store = Store::open(root).unwrap();
    let mut records = 0;
    for key in store.records() {
        let record = store.get_record(&key).unwrap().expect("a record was not whole");
        assert!(
            store.is_complete(&record),
            "a record names blobs that are not there"
        );
        for artifact in record.outputs.values() {
            for blob in artifact.blobs() {
                store.blob_path(&blob).expect("a blob is not what its name says");
            }
            if let Artifact::Table(table) = artifact {
                let reader = dermflow_store::TableReader::open(&store, table, None).unwrap();
                let rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
                assert_eq!(rows as u64, table.rows);
            }
        }
        records += 1;
    }
    records
}
