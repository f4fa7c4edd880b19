use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use dermflow_core::{Artifact, BlobRef, Column, Digest, Key, Partition, Record, SampleId, TableManifest};

use crate::testing::{key, record, store};
use crate::{PutOutcome, Store};

fn path_of(store: &Store, key: &Key) -> PathBuf {
    let hex = key.hex();
    store
        .root()
        .join("actions")
        .join(&hex[..2])
        .join(format!("{}.json", &hex[2..]))
}

/// Puts bytes where a record belongs, as a hostile or broken program would.
fn plant(store: &Store, key: &Key, bytes: &[u8]) {
    let path = path_of(store, key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = fs::remove_file(&path);
    fs::write(path, bytes).unwrap();
}

fn plant_record(store: &Store, key: &Key, record: &Record) {
    plant(store, key, &serde_json::to_vec(record).unwrap());
}

#[test]
fn a_record_is_written_once_and_comes_back() {
    let (_folder, store) = store();
    let one = record(&store, 1, b"one");
    assert_eq!(store.get_record(&key(1)).unwrap(), None);
    assert_eq!(store.put_record(&one).unwrap(), PutOutcome::New);
    assert_eq!(store.put_record(&one).unwrap(), PutOutcome::Same);
    assert_eq!(store.get_record(&key(1)).unwrap(), Some(one.clone()));
    assert!(store.is_complete(&one));
    assert_eq!(store.records().collect::<Vec<_>>(), [key(1)]);
}

#[test]
fn another_result_under_one_key_is_told_and_the_first_stays() {
    let (_folder, store) = store();
    let (first, second) = (record(&store, 1, b"first"), record(&store, 1, b"second"));
    store.put_record(&first).unwrap();
    let outcome = store.put_record(&second).unwrap();
    assert_eq!(outcome, PutOutcome::Different(Box::new(first.clone())));
    assert_eq!(store.get_record(&key(1)).unwrap(), Some(first));
}

#[test]
fn a_record_whose_blobs_are_gone_gives_way() {
    let (_folder, store) = store();
    let (first, second) = (record(&store, 1, b"first"), record(&store, 1, b"second"));
    store.put_record(&first).unwrap();
    store.set_aside(&first.outputs["model"].blobs()[0], "for the test");
    assert!(!store.is_complete(&first));
    let outcome = store.put_record(&second).unwrap();
    assert_eq!(outcome, PutOutcome::Different(Box::new(first)));
    assert_eq!(store.get_record(&key(1)).unwrap(), Some(second));
}

#[test]
fn an_invalidated_record_is_missing_and_can_be_put_again() {
    let (_folder, store) = store();
    let one = record(&store, 1, b"one");
    store.put_record(&one).unwrap();
    store.invalidate_record(&key(1), "poisoned");
    assert_eq!(store.get_record(&key(1)).unwrap(), None);
    assert_eq!(store.put_record(&one).unwrap(), PutOutcome::New);
}

#[test]
fn hostile_records_are_set_aside_and_count_as_missing() {
    let (_folder, store) = store();
    let good = record(&store, 1, b"one");
    let with = |artifact: Artifact| Record {
        outputs: BTreeMap::from([("out".to_string(), artifact)]),
        ..good.clone()
    };
    let blob = good.outputs["model"].blobs()[0];
    let files = |name: &str| with(Artifact::Files(BTreeMap::from([(name.to_string(), blob)])));
    let table = |rows: u64, total: u64, blob: BlobRef| {
        let id = SampleId::of_key("a");
        let partition = Partition {
            rows,
            first: id,
            last: id,
            blob,
            digests: vec![Digest::of(b"")],
        };
        let mut table = TableManifest::new("Table", vec![Column::sample_id()], vec![partition]);
        table.rows = total;
        with(Artifact::Table(table))
    };
    let hostile = [
        files("../../etc/passwd"),
        files("/etc/passwd"),
        files("a/../../b"),
        files(""),
        table(1, u64::MAX, blob),
        table(0, 0, blob),
    ];
    for (number, record) in hostile.iter().enumerate() {
        plant_record(&store, &key(1), record);
        assert_eq!(store.get_record(&key(1)).unwrap(), None, "number {number}");
        assert!(
            !path_of(&store, &key(1)).exists(),
            "number {number} was not set aside"
        );
    }
    plant_record(&store, &key(2), &good);
    assert_eq!(store.get_record(&key(2)).unwrap(), None, "under another key");
    // A size that can't be is believed by nobody, but breaks nothing either.
    plant_record(
        &store,
        &key(1),
        &with(Artifact::Model(BlobRef {
            bytes: u64::MAX,
            ..blob
        })),
    );
    let absurd = store.get_record(&key(1)).unwrap().unwrap();
    assert!(!store.is_complete(&absurd));
}

#[test]
fn bytes_that_are_no_record_are_set_aside() {
    let (_folder, store) = store();
    let deep = ["{\"manifest\":", &"[".repeat(100_000)].concat();
    for bytes in [&b""[..], b"{", b"null", b"\xff\xfe", deep.as_bytes(), &[0; 4096]] {
        plant(&store, &key(1), bytes);
        assert_eq!(store.get_record(&key(1)).unwrap(), None);
        assert!(!path_of(&store, &key(1)).exists());
    }
    let path = path_of(&store, &key(1));
    symlink("/etc/passwd", &path).unwrap();
    assert_eq!(store.get_record(&key(1)).unwrap(), None);
    fs::create_dir(&path).unwrap();
    assert_eq!(store.get_record(&key(1)).unwrap(), None);
    let sparse = fs::File::create(&path).unwrap();
    sparse.set_len(1 << 40).unwrap();
    assert_eq!(store.get_record(&key(1)).unwrap(), None);
    // Whatever lay there, the true record finds its place.
    symlink("/nowhere", &path).unwrap();
    let one = record(&store, 1, b"one");
    assert_eq!(store.put_record(&one).unwrap(), PutOutcome::New);
    assert_eq!(store.get_record(&key(1)).unwrap(), Some(one));
}

#[test]
fn threads_that_put_one_record_agree_on_who_was_first() {
    let (_folder, store) = store();
    for round in 0..20 {
        let outcomes: Vec<PutOutcome> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    // Each as a process of its own would: with its own committer.
                    let store = Store::open(store.root()).unwrap();
                    scope.spawn(move || {
                        let bytes = format!("{round} {}", thread % 2);
                        store
                            .put_record(&record(&store, round, bytes.as_bytes()))
                            .unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let new = outcomes
            .iter()
            .filter(|outcome| **outcome == PutOutcome::New)
            .count();
        let same = outcomes
            .iter()
            .filter(|outcome| **outcome == PutOutcome::Same)
            .count();
        assert_eq!((new, same), (1, 1), "{outcomes:?}");
        let stays = store.get_record(&key(round)).unwrap().unwrap();
        for outcome in outcomes {
            if let PutOutcome::Different(first) = outcome {
                assert_eq!(first.outputs, stays.outputs);
            }
        }
    }
}

#[test]
fn committed_records_are_there_after_a_flush_and_after_the_store_is_dropped() {
    let (_folder, store) = store();
    let root = store.root().to_path_buf();
    for number in 0..50 {
        store
            .commit(record(&store, number, &number.to_le_bytes()))
            .unwrap();
    }
    store.flush().unwrap();
    let other = Store::open(&root).unwrap();
    assert_eq!(other.records().count(), 50);
    for number in 50..100 {
        store
            .commit(record(&store, number, &number.to_le_bytes()))
            .unwrap();
    }
    drop(store);
    assert_eq!(other.records().count(), 100);
    for number in 0..100 {
        let record = other.get_record(&key(number)).unwrap().unwrap();
        assert!(other.is_complete(&record));
    }
}

#[test]
fn families_and_prefixes_lead_to_records() {
    let (_folder, store) = store();
    let one = record(&store, 1, b"one");
    store.put_record(&one).unwrap();
    let family = Digest::of(b"family");
    assert_eq!(store.get_family(&family), None);
    store.set_family(&family, &key(1)).unwrap();
    assert_eq!(store.get_family(&family), Some(key(1)));

    let name = one.outputs["model"].name();
    let found = store.find_artifact(&name.hex()[..12]).unwrap();
    let artifact = crate::Found::Artifact {
        name,
        key: key(1),
        port: "model".to_string(),
    };
    // A model's name is its blob's.
    assert_eq!(
        found,
        [artifact, crate::Found::Blob(one.outputs["model"].blobs()[0])]
    );
    let found = store.find_artifact(&key(1).hex()[..12]).unwrap();
    assert_eq!(found, [crate::Found::Action(key(1))]);
    for wrong in ["", "abc", "../..", "ABCD", "xyzw"] {
        assert!(store.find_artifact(wrong).is_err(), "{wrong}");
    }
}
