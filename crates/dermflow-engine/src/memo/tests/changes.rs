//! What changed between two runs is seen.

use super::*;

/// Something that a user, another program or bad luck does between two runs.
type Change = (&'static str, fn(&World));

fn is_no_longer_believed(changes: &[Change]) {
    for (what, change) in changes {
        let world = World::after_a_run();
        change(&world);
        assert!(!world.holds(), "{what}");
    }
}

#[test]
fn a_change_of_what_was_read_is_seen() {
    is_no_longer_believed(&[
        ("a comment in the pipeline", |world| {
            world.write("dermflow.yaml", &format!("{}# a comment\n", world.pipeline()));
        }),
        ("an included file", |world| {
            world.write("more.yaml", &MORE.replace("some", "few"))
        }),
        ("an included file that is gone", |world| {
            fs::remove_file(world.at("more.yaml")).unwrap()
        }),
        ("an included file that is a copy now, behind a link", |world| {
            fs::rename(world.at("more.yaml"), world.at("copy.yaml")).unwrap();
            std::os::unix::fs::symlink(world.at("copy.yaml"), world.at("more.yaml")).unwrap();
        }),
        ("a source", |world| world.write("one.txt", "two")),
        ("a source of the same size with its time put back", |world| {
            let times = fs::metadata(world.at("one.txt")).unwrap().modified().unwrap();
            world.write("one.txt", "eno");
            let file = fs::File::options()
                .append(true)
                .open(world.at("one.txt"))
                .unwrap();
            file.set_modified(times).unwrap();
        }),
        ("a source that is gone", |world| {
            fs::remove_file(world.at("one.txt")).unwrap()
        }),
        ("a source that is a folder now", |world| {
            fs::remove_file(world.at("one.txt")).unwrap();
            fs::create_dir(world.at("one.txt")).unwrap();
        }),
        ("a file more in a folder of sources", |world| {
            world.write("data/c.txt", "third")
        }),
        ("a file less in a folder of sources", |world| {
            fs::remove_file(world.at("data/b.txt")).unwrap()
        }),
        ("an edit in a folder of sources", |world| {
            world.write("data/b.txt", "rehtona")
        }),
        ("the program of a stage", |world| {
            world.write("second/tool", &format!("{TOOL}# other\n"))
        }),
        ("a program put before that of a stage", |world| {
            world.write("first/tool", "#!/bin/sh\nexit 3\n")
        }),
    ]);
}

#[test]
fn what_gives_the_same_is_no_change() {
    let world = World::after_a_run();
    let times = fs::FileTimes::new().set_modified(std::time::SystemTime::now());
    for name in [
        "dermflow.yaml",
        "more.yaml",
        "one.txt",
        "second/tool",
        "data/a.txt",
    ] {
        let text = fs::read(world.at(name)).unwrap();
        fs::write(world.at(name), text).unwrap();
        let file = fs::File::options().append(true).open(world.at(name)).unwrap();
        file.set_times(times).unwrap();
        assert!(world.holds(), "{name}");
    }
}

#[test]
fn a_change_in_the_store_is_seen() {
    is_no_longer_believed(&[
        ("a record that is gone", |world| {
            fs::remove_file(world.record(0)).unwrap()
        }),
        ("a record with other bytes", |world| {
            let path = &world.record(1);
            let text = fs::read_to_string(path).unwrap();
            fs::remove_file(path).unwrap();
            fs::write(path, text.replace("\"started\":1", "\"started\":2")).unwrap();
        }),
        ("a record behind a link", |world| {
            let path = &world.record(2);
            let aside = path.with_extension("aside");
            fs::rename(path, &aside).unwrap();
            std::os::unix::fs::symlink(&aside, path).unwrap();
        }),
        ("all records", |world| {
            fs::remove_dir_all(world.at(".dermflow/actions")).unwrap()
        }),
        ("a blob that is gone", |world| {
            fs::remove_file(&world.stored("blobs")[0]).unwrap()
        }),
        ("blobs that are cut short", |world| {
            for path in world.stored("blobs") {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
                fs::File::options()
                    .write(true)
                    .open(path)
                    .unwrap()
                    .set_len(1)
                    .unwrap();
            }
        }),
        ("blobs that are folders", |world| {
            for path in world.stored("blobs") {
                fs::remove_file(&path).unwrap();
                fs::create_dir(&path).unwrap();
            }
        }),
        ("a memo that is cut short", |world| {
            let path = world.at(".dermflow/memos").join(world.name().hex());
            let bytes = fs::read(&path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("a memo of other words", |world| {
            world
                .store
                .write_memo(&world.name(), b"\xff\xff\xff\xff\xff\xff\xff\xff\x0f lies")
                .unwrap();
        }),
        ("an empty memo", |world| {
            world.store.write_memo(&world.name(), b"").unwrap()
        }),
    ]);
}

#[test]
fn a_memo_that_was_tampered_with_is_refused_and_breaks_nothing() {
    type Lie = fn(&mut Memo);
    let lies: [(&str, Lie); 6] = [
        ("another program", |memo| memo.program.path.push("other")),
        ("the same program, changed since", |memo| {
            let metadata = fs::metadata("/").unwrap();
            memo.program.stat = Stat::of(&metadata);
        }),
        ("a stage of no action", |memo| {
            memo.pipelines[0].stages[0].action = usize::MAX
        }),
        ("an action of another key", |memo| {
            memo.actions[0].key = memo.actions[1].key
        }),
        ("another blob", |memo| {
            let digest = Digest::of(b"never made");
            memo.actions[0].blobs.push(BlobRef { digest, bytes: 1 });
        }),
        ("another program of a stage", |memo| {
            memo.tools[0].digest = Digest::of(b"")
        }),
    ];
    let world = World::after_a_run();
    for (what, lie) in lies {
        let mut memo = world.memo();
        lie(&mut memo);
        let truth = std::mem::replace(&mut memo, world.memo());
        world.put(&truth);
        assert!(!world.holds(), "{what}");
        world.put(&memo);
        assert!(world.holds(), "after {what}");
    }
}

#[test]
fn a_record_whose_times_prove_nothing_is_read_again() {
    let world = World::after_a_run();
    let mut memo = world.memo();
    memo.actions.iter_mut().for_each(|action| action.recorded = 0);
    world.put(&memo);
    assert!(world.holds());
    assert!(
        world
            .memo()
            .actions
            .iter()
            .all(|action| action.stat.is_settled(action.recorded))
    );
    // The record says something else than what was remembered.
    memo.actions[0].outputs = Digest::of(b"other outputs");
    world.put(&memo);
    assert!(!world.holds());
}

#[test]
fn results_that_are_gone_or_edited_take_the_long_way_and_are_laid_again() {
    let edits: [Change; 5] = [
        ("all gone", |world| {
            fs::remove_dir_all(world.at("results")).unwrap()
        }),
        ("one gone", |world| {
            fs::remove_file(world.at("results/memo/all.csv")).unwrap()
        }),
        ("an edit of the same size", |world| {
            world.write("results/memo/made/page.txt", "eno")
        }),
        ("a file gone from a folder", |world| {
            fs::remove_file(world.at("results/memo/made/page.txt")).unwrap();
        }),
        ("the index gone", |world| {
            fs::remove_file(world.at("results/memo/.published.json")).unwrap()
        }),
    ];
    for (what, edit) in edits {
        let world = World::after_a_run();
        edit(&world);
        let recalled = world.recall(&CellSelection::Base).unwrap();
        let sources = Sources::new(&world.store, false);
        let journals = world.store.list_journals();
        let ran = recalled.run(&world.store, &sources, &world.options(), &|_| {});
        assert_eq!(ran.unwrap(), None, "{what}");
        assert_eq!(world.store.list_journals(), journals, "{what}: nothing was begun");
        assert_eq!(world.run(&CellSelection::Base).executed, 0, "{what}");
        assert_eq!(
            fs::read_to_string(world.at("results/memo/made/page.txt")).unwrap(),
            "one"
        );
        assert!(world.at("results/memo/all.csv").exists(), "{what}");
        let ran = recalled.run(
            &world.store,
            &Sources::new(&world.store, false),
            &world.options(),
            &|_| {},
        );
        assert_eq!(ran.unwrap().unwrap().hit, 3, "{what}");
    }
}

#[test]
fn a_file_that_people_put_beside_a_result_is_no_change() {
    let world = World::after_a_run();
    world.write("results/memo/made/notes.txt", "mine");
    let recalled = world.recall(&CellSelection::Base).unwrap();
    let sources = Sources::new(&world.store, false);
    let ran = recalled
        .run(&world.store, &sources, &world.options(), &|_| {})
        .unwrap();
    assert!(ran.is_some());
    assert_eq!(world.run(&CellSelection::Base).executed, 0);
    assert_eq!(
        fs::read_to_string(world.at("results/memo/made/notes.txt")).unwrap(),
        "mine"
    );
}
