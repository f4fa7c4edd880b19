//! A process that writes to a store is killed at random moments. Whatever it leaves, the store
//! never claims what it doesn't have. The test binary is that process: it runs itself.

mod common;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dermflow_store::{Journal, SourceIndex, Store};
use serde_json::{Value, json};

const FOLDER: &str = "DERMFLOW_KILL_TEST_FOLDER";

/// Not a test of its own: what the child does until it is killed.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let store = Store::open(folder.join("store")).unwrap();
    let journal = Journal::start(&store, json!({"run": "child"})).unwrap();
    let sources = SourceIndex::load(&store);
    let start = store.records().count() as i64;
    for number in start..start + 100_000 {
        let key = common::key(number.into());
        let lock = store.lock_key(&key, &|| false).unwrap();
        std::fs::write(lock.folder().join("checkpoint"), "x").unwrap();
        let record = common::act(&store, number, 50).unwrap();
        let ticket = store.commit(record).unwrap();
        journal.append(&json!({"key": key})).unwrap();
        if number % 3 == 0 {
            ticket.wait().unwrap();
            lock.done().unwrap();
            sources.digest_file(&folder.join("source")).unwrap();
            sources.save().unwrap();
            store.set_family(&key.digest(), &key).unwrap();
        }
        // The next folder of scratch comes from an earlier attempt now and then.
        if number % 50 == 49 {
            Journal::start(&store, Value::Null)
                .unwrap()
                .seal(Value::Null)
                .unwrap();
        }
    }
}

fn spawn(folder: &std::path::Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_store_whose_writers_are_killed_never_lies() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("source"), "x").unwrap();
    let root = folder.path().join("store");
    let mut records = 0;
    // More on a machine that is so busy that little is done before a kill.
    for round in 0u64..400 {
        if round >= 40 && records > 20 {
            break;
        }
        // Two at once every third time: they share the store.
        let mut children: Vec<Child> = (0..1 + u64::from(round % 3 == 2))
            .map(|_| spawn(folder.path()))
            .collect();
        std::thread::sleep(Duration::from_millis(8 + round * 37 % 90));
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        if !root.join("format").exists() {
            continue;
        }
        let now = common::assert_tells_the_truth(&root);
        assert!(now >= records, "records vanished");
        records = now;
        let store = Store::open(&root).unwrap();
        Journal::start(&store, Value::Null)
            .unwrap()
            .seal(Value::Null)
            .unwrap();
        assert_eq!(store.verify_journals().unwrap(), [""; 0], "round {round}");
    }
    assert!(records > 20, "only {records} records: the test tested little");

    // Everything that died is cleaned away, and nothing that is named.
    let store = Store::open(&root).unwrap();
    let done = dermflow_store::gc::plan(&store, Default::default())
        .unwrap()
        .apply()
        .unwrap();
    assert!(done.records.is_empty());
    drop(store);
    assert_eq!(common::assert_tells_the_truth(&root), records);
    assert_eq!(std::fs::read_dir(root.join("tmp")).unwrap().count(), 0);
}
