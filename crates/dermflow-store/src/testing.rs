//! What the tests of this crate share: a store in a folder that goes, and small records.

use std::collections::BTreeMap;

use dermflow_core::canonical::Value;
use dermflow_core::{Ancestor, Artifact, Key, Making, Manifest, Record};
use tempfile::TempDir;

use crate::Store;

/// A store, and the folder that holds it.
pub(crate) fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join(".dermflow")).unwrap();
    (folder, store)
}

/// A manifest that differs by `number` alone.
pub(crate) fn manifest(number: i128) -> Manifest {
    Manifest {
        kind: "test".to_string(),
        version: 1,
        parameters: Value::Map(BTreeMap::from([("number".to_string(), Value::Integer(number))])),
        seed: None,
        inputs: BTreeMap::new(),
        sources: BTreeMap::new(),
        tool: None,
        salt: None,
    }
}

pub(crate) fn key(number: i128) -> Key {
    manifest(number).key().unwrap()
}

/// A record whose one output is a blob of these bytes, which is put as well.
pub(crate) fn record(store: &Store, number: i128, bytes: &[u8]) -> Record {
    let blob = store.put_bytes(bytes).unwrap();
    Record {
        manifest: manifest(number),
        outputs: BTreeMap::from([("model".to_string(), Artifact::Model(blob))]),
        ancestry: BTreeMap::new(),
        making: Making {
            started: number as f64,
            ..Making::default()
        },
    }
}

/// The same with the action `before` as its input.
pub(crate) fn record_after(store: &Store, number: i128, bytes: &[u8], before: Key) -> Record {
    let mut record = record(store, number, bytes);
    let ancestor = Ancestor {
        artifact: dermflow_core::Digest::of(b""),
        action: Some(before),
        port: "model".to_string(),
    };
    record.ancestry.insert("input".to_string(), vec![ancestor]);
    record
}
