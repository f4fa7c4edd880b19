//! What the store costs for each action: a record with one small blob written, and looked up.

use std::collections::BTreeMap;
use std::hint::black_box;

use dermflow_benches::{manifest, median, tell, wanted};
use dermflow_core::{Artifact, Key, Making, Record};
use dermflow_store::Store;

const COUNT: usize = 1_000;

fn main() {
    if !wanted() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for stores");
    let mut stores = 0;
    let mut fresh = || {
        stores += 1;
        Store::open(folder.path().join(stores.to_string())).expect("a new store")
    };
    let taken = median(3, &mut fresh, |store| {
        fill(&store);
    });
    tell("records with a blob, locked, written and durable", taken, COUNT);

    let store = fresh();
    let keys = fill(&store);
    let taken = median(7, || (), |()| look_up(&store, &keys));
    tell("records looked up and found complete", taken, COUNT);
}

/// What the engine does for each new result.
fn fill(store: &Store) -> Vec<Key> {
    let mut tickets = Vec::with_capacity(COUNT);
    let keys = (0..COUNT as u32).map(|number| {
        let manifest = manifest(number);
        let key = manifest.key().expect("a manifest of plain values");
        let lock = store.lock_key(&key, &|| false).expect("nobody else locks it");
        let blob = store.put_bytes(&number.to_le_bytes()).expect("room on the disk");
        let files = BTreeMap::from([("number".to_string(), blob)]);
        let record = Record {
            manifest,
            outputs: BTreeMap::from([("files".to_string(), Artifact::Files(files))]),
            ancestry: BTreeMap::new(),
            making: Making::default(),
        };
        tickets.push((store.commit(record).expect("a record with a key"), lock));
        key
    });
    let keys: Vec<Key> = keys.collect();
    for (ticket, lock) in tickets {
        ticket.wait().expect("room on the disk");
        lock.done().expect("a scratch folder that can be removed");
    }
    keys
}

fn look_up(store: &Store, keys: &[Key]) {
    for key in keys {
        let record = store.get_record(key).expect("a store that can be read");
        let record = record.expect("a record that was written");
        assert!(black_box(store.is_complete(&record)));
    }
}
