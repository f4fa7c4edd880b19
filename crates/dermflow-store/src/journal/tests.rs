use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use dermflow_core::Digest;
use serde_json::{Value, json};

use crate::testing::store;
use crate::{Journal, JournalName, Store};

/// Three sealed journals.
fn three(store: &Store) -> Vec<JournalName> {
    (0..3)
        .map(|number| {
            let journal = Journal::start(store, json!({"run": number})).unwrap();
            journal.append(&json!({"key": "a"})).unwrap();
            let name = journal.name().clone();
            journal.seal(json!({"exit": 0})).unwrap();
            // Names carry milliseconds; the order of the tests must not hang on them.
            std::thread::sleep(std::time::Duration::from_millis(3));
            name
        })
        .collect()
}

fn path(store: &Store, name: &JournalName) -> PathBuf {
    store.root().join("runs").join(format!("{name}.jsonl"))
}

fn edit(store: &Store, name: &JournalName, change: impl Fn(String) -> String) {
    let path = path(store, name);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed);
    fs::write(&path, changed).unwrap();
}

fn problems(store: &Store) -> String {
    store.verify_journals().unwrap().join("\n")
}

#[test]
fn sealed_journals_form_a_chain_that_verifies() {
    let (_folder, store) = store();
    assert_eq!(problems(&store), "");
    let names = three(&store);
    assert_eq!(store.list_journals(), names);
    assert_eq!(problems(&store), "");
    let lines: Vec<Vec<Value>> = names
        .iter()
        .map(|name| store.read_journal(name).unwrap())
        .collect();
    assert_eq!(lines[1][0], json!({"run": 1}));
    assert_eq!(lines[1][1], json!({"key": "a"}));
    let seal = &lines[1][2]["seal"];
    assert_eq!(seal["previous"], lines[0][2]["seal"]["digest"]);
    assert_eq!(seal["footer"], json!({"exit": 0}));
    assert_eq!(seal["interrupted"], json!(false));
}

#[test]
fn a_changed_line_a_changed_seal_and_a_lost_line_are_seen() {
    let changes: [fn(String) -> String; 4] = [
        |text| text.replace("\"key\":\"a\"", "\"key\":\"b\""),
        |text| text.replace("\"exit\":0", "\"exit\":1"),
        |text| text.split_inclusive('\n').skip(1).collect(),
        |text| text.trim_end().to_string(),
    ];
    for change in changes {
        for at in 0..3 {
            let (_folder, store) = store();
            let names = three(&store);
            edit(&store, &names[at], change);
            assert!(
                problems(&store).contains(names[at].as_str()),
                "{}",
                problems(&store)
            );
        }
    }
}

#[test]
fn a_missing_journal_is_seen_wherever_it_was() {
    for at in 0..3 {
        let (_folder, store) = store();
        let names = three(&store);
        fs::remove_file(path(&store, &names[at])).unwrap();
        assert!(
            problems(&store).contains("is missing"),
            "{at}: {}",
            problems(&store)
        );
        // And it stays seen after the next run.
        three(&store);
        assert!(
            problems(&store).contains("is missing"),
            "{at}: {}",
            problems(&store)
        );
    }
}

#[test]
fn swapped_and_renamed_journals_are_seen() {
    let (_folder, store) = store();
    let names = three(&store);
    let (a, b) = (path(&store, &names[0]), path(&store, &names[1]));
    let away = store.root().join("away");
    fs::rename(&a, &away).unwrap();
    fs::rename(&b, &a).unwrap();
    fs::rename(&away, &b).unwrap();
    assert!(problems(&store).contains("was called"), "{}", problems(&store));
}

#[test]
fn a_rewritten_journal_breaks_the_chain_after_it() {
    let (_folder, store) = store();
    let names = three(&store);
    let (_other, forge) = self::store();
    let forged = three(&forge);
    // A journal that is whole in itself, taken from another store.
    let path = path(&store, &names[1]);
    fs::remove_file(&path).unwrap();
    fs::copy(self::path(&forge, &forged[1]), &path).unwrap();
    let problems = problems(&store);
    assert!(problems.contains(names[2].as_str()), "{problems}");
}

#[test]
fn a_lost_index_is_rebuilt() {
    let (_folder, store) = store();
    three(&store);
    fs::remove_file(store.root().join("runs").join("head")).unwrap();
    three(&store);
    assert_eq!(problems(&store), "");
    let numbers: Vec<Value> = store
        .list_journals()
        .iter()
        .map(|name| store.read_journal(name).unwrap()[2]["seal"]["number"].clone())
        .collect();
    assert_eq!(json!(numbers), json!([1, 2, 3, 4, 5, 6]));
}

#[test]
fn a_run_that_died_is_sealed_as_interrupted_by_the_next() {
    let (_folder, store) = store();
    let died = Journal::start(&store, json!({"run": 0})).unwrap();
    let name = died.name().clone();
    died.append(&json!({"key": "a"})).unwrap();
    drop(died);
    // Half a line, as a kill leaves it.
    let open = store.root().join("runs").join(format!("{name}.open.jsonl"));
    let text = fs::read_to_string(&open).unwrap();
    fs::write(&open, format!("{text}{{\"key\":\"b")).unwrap();
    assert_eq!(store.read_journal(&name).unwrap().len(), 2);

    let living = Journal::start(&store, json!({"run": 1})).unwrap();
    let other = Journal::start(&store, json!({"run": 2})).unwrap();
    let lines = store.read_journal(&name).unwrap();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[2]["seal"]["interrupted"], json!(true));
    assert!(
        store
            .root()
            .join("runs")
            .join(format!("{}.open.jsonl", living.name()))
            .exists()
    );
    living.seal(Value::Null).unwrap();
    other.seal(Value::Null).unwrap();
    assert_eq!(problems(&store), "");
}

/// A kill can fall between any two steps of sealing; whoever comes next mends each.
#[test]
fn a_kill_while_sealing_leaves_a_chain_that_verifies() {
    for (indexed, seals_first) in [(false, true), (true, true), (true, false)] {
        let (_folder, store) = store();
        let head = store.root().join("runs").join("head");
        let living = Journal::start(&store, Value::Null).unwrap();
        three(&store);
        let before = fs::read(&head).unwrap();
        let name = three(&store).swap_remove(0);
        // As if the fourth was sealed, and perhaps indexed, but not named; and nothing since.
        for later in &store.list_journals()[5..] {
            fs::remove_file(path(&store, later)).unwrap();
        }
        let seal = store.read_journal(&name).unwrap()[2]["seal"].clone();
        let after = json!({"name": name, "number": seal["number"], "digest": seal["digest"]});
        fs::write(
            &head,
            if indexed {
                after.to_string().into_bytes()
            } else {
                before
            },
        )
        .unwrap();
        let path = path(&store, &name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::rename(
            &path,
            store.root().join("runs").join(format!("{name}.open.jsonl")),
        )
        .unwrap();

        // The next to come is a run that ends, or one that starts.
        if seals_first {
            living.seal(Value::Null).unwrap();
        }
        let next = Journal::start(&store, Value::Null).unwrap();
        next.seal(Value::Null).unwrap();
        assert_eq!(problems(&store), "", "indexed: {indexed}");
        let lines = store.read_journal(&name).unwrap();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[2]["seal"]["interrupted"], json!(!indexed));
    }
}

#[test]
fn lines_reach_the_disk_without_being_asked_for() {
    let (_folder, store) = store();
    let journal = Journal::start(&store, Value::Null).unwrap();
    journal.append(&json!({"key": "a"})).unwrap();
    let start = std::time::Instant::now();
    while store.read_journal(journal.name()).unwrap().len() < 2 {
        assert!(start.elapsed().as_secs() < 10, "the line never came");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn many_threads_write_whole_lines_and_many_runs_seal_one_chain() {
    let (_folder, store) = store();
    std::thread::scope(|scope| {
        for run in 0..4 {
            let store = &store;
            scope.spawn(move || {
                let journal = Journal::start(store, json!({"run": run})).unwrap();
                std::thread::scope(|scope| {
                    for thread in 0..3 {
                        let journal = &journal;
                        scope.spawn(move || {
                            for line in 0..500 {
                                journal.append(&json!({"thread": thread, "line": line})).unwrap();
                            }
                        });
                    }
                });
                journal.seal(Value::Null).unwrap();
            });
        }
    });
    assert_eq!(problems(&store), "");
    for name in store.list_journals() {
        assert_eq!(store.read_journal(&name).unwrap().len(), 1502);
    }
}

#[test]
fn the_newest_journal_of_a_pipeline_is_found() {
    let (_folder, store) = store();
    let names = three(&store);
    let pipeline = Digest::of(b"pipeline");
    assert_eq!(store.get_latest(&pipeline), None);
    store.set_latest(&pipeline, &names[2]).unwrap();
    assert_eq!(store.get_latest(&pipeline), Some(names[2].clone()));
    fs::write(
        store.root().join("latest").join(pipeline.hex()),
        "../../../etc/passwd",
    )
    .unwrap();
    assert_eq!(store.get_latest(&pipeline), None);
}
