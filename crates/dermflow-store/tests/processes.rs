//! Several processes write the same and overlapping results to one store at once.

mod common;

use std::path::PathBuf;
use std::process::Command;

use dermflow_store::{PutOutcome, Store};

const FOLDER: &str = "DERMFLOW_PROCESSES_TEST_FOLDER";

/// Not a test of its own: what each child does.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let store = Store::open(folder).unwrap();
    for number in 0..40 {
        let record = common::act(&store, number, 20).unwrap();
        let outcome = store.put_record(&record).unwrap();
        assert!(
            matches!(outcome, PutOutcome::New | PutOutcome::Same),
            "{outcome:?}"
        );
        let back = store.get_record(&common::key(number.into())).unwrap().unwrap();
        assert_eq!(back.outputs, record.outputs);
        assert!(store.is_complete(&back));
    }
    store.flush().unwrap();
}

#[test]
fn eight_processes_that_make_the_same_results_agree() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let children: Vec<_> = (0..8)
        .map(|_| {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", "child"]).env(FOLDER, &root);
            child.spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(common::assert_tells_the_truth(&root), 40);
    assert_eq!(std::fs::read_dir(root.join("tmp")).unwrap().count(), 0);
}
