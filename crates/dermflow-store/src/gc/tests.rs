use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use dermflow_core::Key;
use serde_json::{Value, json};

use super::{Policy, plan};
use crate::testing::{key, record, record_after, store};
use crate::{Journal, Store, StoreError};

/// A run that names these actions.
fn run(store: &Store, keys: &[Key]) {
    let journal = Journal::start(store, Value::Null).unwrap();
    for key in keys {
        journal.append(&json!({"stage": "s", "key": key})).unwrap();
    }
    journal.seal(Value::Null).unwrap();
    std::thread::sleep(Duration::from_millis(3));
}

fn keep_runs(runs: usize) -> Policy {
    Policy {
        keep_runs: Some(runs),
        ..Policy::default()
    }
}

fn keys(store: &Store) -> BTreeSet<Key> {
    store.records().collect()
}

/// Actions 1 → 2 → 3, the last with a partition 4; 5 → 6 of an older run.
fn lineage(store: &Store) {
    store.put_record(&record(store, 1, b"1")).unwrap();
    store.put_record(&record_after(store, 2, b"2", key(1))).unwrap();
    let mut third = record_after(store, 3, b"3", key(2));
    third.making.partitions.push(key(4));
    store.put_record(&third).unwrap();
    store.put_record(&record(store, 4, b"4")).unwrap();
    store.put_record(&record(store, 5, b"5")).unwrap();
    store.put_record(&record_after(store, 6, b"6", key(5))).unwrap();
    run(store, &[key(5), key(6)]);
    // The newest run names only its last action.
    run(store, &[key(3)]);
}

#[test]
fn the_lineage_of_a_kept_run_stays_whole_and_the_rest_goes() {
    let (_folder, store) = store();
    lineage(&store);
    let orphan = store.put_bytes(b"nobody names it").unwrap();
    let planned = plan(&store, keep_runs(1)).unwrap();
    assert_eq!(
        planned.records.iter().copied().collect::<BTreeSet<_>>(),
        BTreeSet::from([key(5), key(6)])
    );
    assert_eq!(planned.blobs.len(), 3);
    assert_eq!(planned.bytes, 2 + 15);
    assert_eq!((planned.kept_runs.len(), planned.released_runs.len()), (1, 1));
    // A plan touches nothing.
    assert_eq!(keys(&store).len(), 6);
    assert!(store.has_blob(&orphan));

    let done = planned.apply().unwrap();
    assert_eq!(done.records.len(), 2);
    assert_eq!(keys(&store), (1..=4).map(key).collect());
    for number in 1..=4 {
        let record = store.get_record(&key(number)).unwrap().unwrap();
        assert!(store.is_complete(&record));
    }
    assert!(!store.has_blob(&orphan));
    assert_eq!(store.list_journals().len(), 2);
    assert!(store.verify_journals().unwrap().is_empty());
    assert!(plan(&store, keep_runs(1)).unwrap().is_empty());
}

#[test]
fn without_rules_only_what_nobody_names_goes() {
    let (_folder, store) = store();
    lineage(&store);
    let orphan = store.put_bytes(b"nobody names it").unwrap();
    let done = plan(&store, Policy::default()).unwrap().apply().unwrap();
    assert_eq!((done.records.len(), done.blobs), (0, vec![orphan]));
    assert_eq!(keys(&store).len(), 6);
}

#[test]
fn runs_are_kept_by_age() {
    let (_folder, store) = store();
    lineage(&store);
    let newer_than = |age| Policy {
        keep_newer_than: Some(age),
        ..Policy::default()
    };
    let planned = plan(&store, newer_than(Duration::from_secs(3600))).unwrap();
    assert_eq!((planned.kept_runs.len(), planned.records.len()), (2, 0));
    let planned = plan(&store, newer_than(Duration::ZERO)).unwrap();
    assert_eq!((planned.kept_runs.len(), planned.records.len()), (0, 6));
}

#[test]
fn by_size_the_longest_unused_go_first_and_kept_ones_never() {
    let (_folder, store) = store();
    for number in 1..=4 {
        store
            .put_record(&record(&store, number, &[number as u8; 1000]))
            .unwrap();
        run(&store, &[key(number)]);
    }
    // Used again, though it is the oldest.
    run(&store, &[key(1)]);
    run(&store, &[key(4)]);
    let within = |bytes| Policy {
        max_bytes: Some(bytes),
        ..Policy::default()
    };
    assert!(plan(&store, within(4000)).unwrap().records.is_empty());
    assert_eq!(plan(&store, within(3000)).unwrap().records, [key(2)]);
    assert_eq!(plan(&store, within(2999)).unwrap().records, [key(2), key(3)]);
    let all = plan(&store, within(0)).unwrap();
    assert_eq!(all.records, [key(2), key(3), key(1)]);
    assert_eq!(all.kept_bytes, 1000);
}

#[test]
fn a_blob_that_another_record_shares_stays() {
    let (_folder, store) = store();
    store.put_record(&record(&store, 1, b"shared")).unwrap();
    run(&store, &[key(1)]);
    store.put_record(&record(&store, 2, b"shared")).unwrap();
    run(&store, &[key(2)]);
    let done = plan(&store, keep_runs(1)).unwrap().apply().unwrap();
    assert_eq!((done.records.as_slice(), done.blobs.len()), (&[key(1)][..], 0));
    let kept = store.get_record(&key(2)).unwrap().unwrap();
    assert!(store.is_complete(&kept));
}

#[test]
fn an_open_journal_counts_as_a_run() {
    let (_folder, store) = store();
    lineage(&store);
    let journal = Journal::start(&store, Value::Null).unwrap();
    journal.append(&json!({"key": key(6)})).unwrap();
    journal.flush().unwrap();
    let planned = plan(&store, keep_runs(1)).unwrap();
    assert_eq!(
        planned.records.iter().copied().collect::<BTreeSet<_>>(),
        (1..=4).map(key).collect()
    );
}

#[test]
fn a_store_in_use_is_not_cleaned() {
    let (_folder, store) = store();
    lineage(&store);
    let other = Store::open(store.root()).unwrap();
    let planned = plan(&store, keep_runs(1)).unwrap();
    assert!(matches!(planned.clone().apply(), Err(StoreError::InUse { .. })));
    assert_eq!(keys(&store).len(), 6);
    drop(other);
    planned.apply().unwrap();
    // And it is shared again.
    Store::open(store.root()).unwrap();
}

#[test]
fn leftovers_go_but_not_those_in_use_or_worth_keeping() {
    let (_folder, store) = store();
    lineage(&store);
    fs::write(store.root().join("tmp").join("half"), "x").unwrap();
    let scratch = |number| {
        let lock = store.try_lock_key(&key(number)).unwrap().unwrap();
        fs::write(lock.folder().join("checkpoint"), "x").unwrap();
        lock
    };
    drop(scratch(1));
    let running = scratch(2);
    // Not done, and touched just now: a training that will go on.
    drop(scratch(77));
    let family = dermflow_core::Digest::of(b"family");
    store.set_family(&family, &key(6)).unwrap();
    let done = plan(&store, keep_runs(1)).unwrap().apply().unwrap();
    let names: Vec<String> = done
        .leftovers
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(
        names,
        ["half".to_string(), key(1).hex(), format!("{}.lock", key(1))]
    );
    assert!(!store.root().join("work").join(key(1).hex()).exists());
    assert_eq!(crate::find::names_in(&store.root().join("tmp")), [""; 0]);
    assert!(running.folder_path().exists());
    assert!(store.root().join("work").join(key(77).hex()).exists());
    assert_eq!(store.get_family(&family), None);
}

#[test]
fn a_kept_journal_that_can_not_be_read_stops_the_plan() {
    let (_folder, store) = store();
    lineage(&store);
    let newest = store.list_journals().pop().unwrap();
    let path = store.root().join("runs").join(format!("{newest}.jsonl"));
    fs::remove_file(&path).unwrap();
    fs::write(&path, "{\"key\":\n").unwrap();
    assert!(plan(&store, keep_runs(1)).is_err());
}
