//! A memo is believed where nothing changed, and nowhere else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use dermflow_graph::{Request, load};
use tempfile::TempDir;

use super::*;
use crate::event::{Event, Summary};
use crate::interrupt::Interrupt;
use crate::plan::plan;
use crate::recall;
use crate::run::{Options, run};

const PIPELINE: &str = "\
name: memo
include: more.yaml
stages:
  all: {kind: list-files, with: {path: data}}
  made:
    kind: process
    with: {command: [tool], files: [one.txt], environment: {PATH: FOLDER/first:FOLDER/second:/bin}, outputs: {pages: files}}
outputs: {all: all.files, made: made.pages}
variants: {other: {stages.made.salt: again}}
";

const MORE: &str = "\
stages:
  some: {kind: filter, in: {table: all.files}, with: {columns: [source]}}
outputs: {some: some.table}
";

const TOOL: &str = "#!/bin/sh\ncp one.txt outputs/pages/page.txt\n";

struct World {
    folder: TempDir,
    store: Store,
}

impl World {
    /// With one run behind it, long enough ago for all times to be settled.
    fn after_a_run() -> World {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join(".dermflow")).unwrap();
        let world = World { folder, store };
        world.write("dermflow.yaml", &world.pipeline());
        world.write("more.yaml", MORE);
        world.write("second/tool", TOOL);
        world.write("one.txt", "one");
        world.write("data/a.txt", "a lesion");
        world.write("data/b.txt", "another");
        fs::set_permissions(world.at("second/tool"), fs::Permissions::from_mode(0o755)).unwrap();
        std::thread::sleep(Duration::from_millis(60));
        assert_eq!(world.run(&CellSelection::Base).executed, 3);
        std::thread::sleep(Duration::from_millis(60));
        assert!(world.holds(), "nothing changed");
        world
    }

    fn pipeline(&self) -> String {
        PIPELINE.replace("FOLDER", &self.folder.path().display().to_string())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        fs::write(self.at(name), text).unwrap();
    }

    fn with<T>(&self, cells: &CellSelection, act: impl FnOnce(&Invocation<'_>) -> T) -> T {
        act(&Invocation {
            file: &self.at("dermflow.yaml"),
            overrides: &[],
            cells,
            until: &[],
        })
    }

    fn load(&self, cells: &CellSelection) -> Loaded {
        let registry = dermflow_stages::registry();
        let request = Request {
            file: &self.at("dermflow.yaml"),
            registry: &registry,
            overrides: &[],
            cells: cells.clone(),
        };
        load(&request).unwrap()
    }

    fn options(&self) -> Options {
        Options {
            results: Some(self.at("results")),
            ..Options::default()
        }
    }

    /// The long way.
    fn run(&self, cells: &CellSelection) -> Summary {
        self.run_telling(cells, &|_| {})
    }

    fn run_telling(&self, cells: &CellSelection, sink: &crate::Sink<'_>) -> Summary {
        let before = self.with(cells, Remember::before_loading).unwrap();
        let loaded = self.load(cells);
        let options = Options {
            remember: Some(before.loaded(&loaded)),
            ..self.options()
        };
        let sources = Sources::new(&self.store, false);
        let interrupt = Interrupt::new();
        run(
            &loaded.pipelines,
            &self.store,
            &sources,
            &options,
            sink,
            &interrupt,
        )
        .unwrap()
    }

    fn recall(&self, cells: &CellSelection) -> Option<recall::Recalled> {
        let sources = Sources::new(&self.store, false);
        self.with(cells, |invocation| {
            recall::recall(&self.store, &sources, invocation)
        })
    }

    fn holds(&self) -> bool {
        self.recall(&CellSelection::Base).is_some()
    }

    /// Where the store keeps something of one sort.
    fn stored(&self, folder: &str) -> Vec<PathBuf> {
        let shards = fs::read_dir(self.at(".dermflow").join(folder)).unwrap();
        let files = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
        let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    }

    /// The file of a record that the memo names.
    fn record(&self, at: usize) -> PathBuf {
        let hex = self.memo().actions[at].key.hex();
        let folder = self.at(".dermflow/actions").join(&hex[..2]);
        folder.join(format!("{}.json", &hex[2..]))
    }

    fn name(&self) -> Digest {
        self.with(&CellSelection::Base, |invocation| invocation.name().unwrap())
    }

    fn memo(&self) -> Memo {
        postcard::from_bytes(&self.store.read_memo(&self.name()).unwrap()).unwrap()
    }

    fn put(&self, memo: &Memo) {
        let said = postcard::to_stdvec(memo).unwrap();
        self.store.write_memo(&self.name(), &said).unwrap();
    }
}

fn told(events: impl FnOnce(&crate::Sink<'_>)) -> Vec<String> {
    let lines = std::sync::Mutex::new(Vec::new());
    events(&|event: &Event| {
        let mut told = serde_json::to_value(event).unwrap();
        if let Some(seconds) = told.get_mut("seconds") {
            *seconds = 0.into();
        }
        lines.lock().unwrap().push(told.to_string());
    });
    let mut lines = lines.into_inner().unwrap();
    lines.sort();
    lines
}

#[test]
fn what_is_recalled_is_what_the_long_way_tells() {
    let world = World::after_a_run();
    let base = CellSelection::Base;
    let long = told(|sink| assert_eq!(world.run_telling(&base, sink).hit, 3));
    let recalled = world.recall(&base).unwrap();
    let sources = Sources::new(&world.store, false);
    let short = told(|sink| {
        let ran = recalled
            .run(&world.store, &sources, &world.options(), sink)
            .unwrap();
        assert_eq!(ran.unwrap().hit, 3);
    });
    assert_eq!(short, long);
    let loaded = world.load(&base);
    let planned = plan(&loaded.pipelines[0], &world.store, &sources, &[]).unwrap();
    let text = |planned: &Vec<PlannedStage>| serde_json::to_string(planned).unwrap();
    assert_eq!(text(&recalled.plan(&world.store)), text(&planned));
    let journals: Vec<_> = world.store.list_journals();
    let lines = |at: usize| {
        let lines = world.store.read_journal(&journals[at]).unwrap();
        let mut lines: Vec<String> = lines[..4].iter().map(ToString::to_string).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(2), lines(1), "header and stages of both journals");
    assert_eq!(world.store.verify_journals().unwrap(), Vec::<String>::new());
}

#[test]
fn a_plan_of_hits_leaves_a_memo_too() {
    let world = World::after_a_run();
    fs::remove_dir_all(world.at(".dermflow/memos")).unwrap();
    assert!(!world.holds());
    let base = CellSelection::Base;
    let before = world.with(&base, Remember::before_loading).unwrap();
    let loaded = world.load(&base);
    let sources = Sources::new(&world.store, false);
    let planned = plan(&loaded.pipelines[0], &world.store, &sources, &[]).unwrap();
    before
        .loaded(&loaded)
        .plans(&world.store, &loaded.pipelines, &[planned]);
    assert!(world.holds());
}

#[test]
fn a_plan_with_a_miss_leaves_none() {
    let world = World::after_a_run();
    world.write("one.txt", "two");
    fs::remove_dir_all(world.at(".dermflow/memos")).unwrap();
    let base = CellSelection::Base;
    let before = world.with(&base, Remember::before_loading).unwrap();
    let loaded = world.load(&base);
    let sources = Sources::new(&world.store, false);
    let planned = plan(&loaded.pipelines[0], &world.store, &sources, &[]).unwrap();
    before
        .loaded(&loaded)
        .plans(&world.store, &loaded.pipelines, &[planned]);
    assert!(!world.at(".dermflow/memos").exists());
}

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

#[test]
fn invocations_keep_memos_of_their_own() {
    let world = World::after_a_run();
    let other = CellSelection::Variant("other".to_string());
    assert!(world.recall(&other).is_none());
    let ran = world.run(&other);
    assert_eq!((ran.executed, ran.hit), (1, 2));
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(
        world.recall(&other).unwrap().plan(&world.store)[0]
            .label
            .cell
            .as_deref(),
        Some("other")
    );
    assert_eq!(
        world.recall(&CellSelection::Base).unwrap().plan(&world.store)[0]
            .label
            .cell,
        None
    );
    let path = world.at("dermflow.yaml");
    let cells = CellSelection::Base;
    let of = |overrides: &[String], until: &[String]| {
        let invocation = Invocation {
            file: &path,
            overrides,
            cells: &cells,
            until,
        };
        invocation.name().unwrap()
    };
    let (one, two) = (["a=1".to_string()], ["a=1".to_string(), "b=2".to_string()]);
    let names = [
        of(&[], &[]),
        of(&one, &[]),
        of(&two, &[]),
        of(&[], &one),
        of(&one, &one),
    ];
    for (at, name) in names.iter().enumerate() {
        assert!(!names[..at].contains(name), "invocation {at}");
    }
}

#[test]
fn a_run_that_failed_or_was_partial_leaves_no_memo_of_a_whole_one() {
    let world = World::after_a_run();
    fs::remove_dir_all(world.at(".dermflow/memos")).unwrap();
    world.write("second/tool", "#!/bin/sh\nexit 3\n");
    let ran = world.run(&CellSelection::Base);
    assert_eq!((ran.failed, ran.hit), (1, 2));
    assert!(!world.at(".dermflow/memos").exists());
}

/// The stages whose results are known before anything is looked up, in order.
fn known(world: &World) -> Vec<String> {
    let remember = world
        .with(&CellSelection::Base, Remember::before_loading)
        .unwrap();
    let loaded = world.load(&CellSelection::Base);
    let sources = Sources::new(&world.store, false);
    let head_start = HeadStart::find(&world.store, &sources, &remember, &loaded.pipelines);
    let stages = loaded.pipelines[0].stages.iter().enumerate();
    let known = stages.filter(|(at, _)| head_start.result(0, *at).is_some());
    let mut names: Vec<String> = known.map(|(_, stage)| stage.name.clone()).collect();
    names.sort();
    names
}

#[test]
fn stages_that_a_file_says_as_before_have_a_head_start_and_others_have_none() {
    let world = World::after_a_run();
    let pipeline = world.pipeline();
    assert_eq!(known(&world), ["all", "made", "some"]);
    // Comments, and stages that nobody knows.
    let more = format!("{pipeline}# a remark\n");
    world.write("dermflow.yaml", &more);
    assert!(!world.holds());
    assert_eq!(known(&world), ["all", "made", "some"]);
    // A parameter, a salt, an environment, and what is behind.
    let edited = |from: &str, to: &str| {
        let text = pipeline.replace(from, to);
        assert_ne!(text, pipeline);
        world.write("dermflow.yaml", &text);
        known(&world)
    };
    assert_eq!(edited("{PATH: ", "{SHADE: dark, PATH: "), ["all", "some"]);
    assert_eq!(edited("{path: data}", "{path: data, content: true}"), ["made"]);
    assert_eq!(
        edited("all: {kind: list-files, ", "all: {kind: list-files, salt: x, "),
        ["made"]
    );
    assert_eq!(edited("name: memo", "name: memo\nseed: 5"), Vec::<String>::new());
    world.write("dermflow.yaml", &pipeline);
    world.write("more.yaml", &MORE.replace("[source]", "[source, bytes]"));
    assert_eq!(known(&world), ["all", "made"]);
}

#[test]
fn what_lies_outside_and_in_the_store_must_be_as_it_was_for_a_head_start() {
    let world = World::after_a_run();
    world.write("dermflow.yaml", &format!("{}# edited\n", world.pipeline()));
    world.write("data/c.txt", "one more");
    assert_eq!(known(&world), ["made"]);
    fs::remove_file(world.at("data/c.txt")).unwrap();
    assert_eq!(known(&world), ["all", "made", "some"]);
    world.write("one.txt", "two");
    assert_eq!(known(&world), ["all", "some"]);
    world.write("one.txt", "one");
    // Another program of the name comes first.
    world.write("first/tool", TOOL.replace("one", "cat one").as_str());
    fs::set_permissions(world.at("first/tool"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(known(&world), ["all", "some"]);
    fs::remove_dir_all(world.at("first")).unwrap();
    assert_eq!(known(&world).len(), 3);
    // A record that is another file now, though its bytes are the same.
    let of = |stage: &str| {
        let memo = world.memo();
        let stages = &memo.pipelines[0].stages;
        let action = stages.iter().find(|known| known.name == stage).unwrap().action;
        world.record(action)
    };
    let (path, bytes) = (of("all"), fs::read(of("all")).unwrap());
    fs::remove_file(&path).unwrap();
    assert_eq!(known(&world), ["made"]);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(known(&world), ["made"], "its times are other ones");
    // A blob that is gone.
    for blob in world.stored("blobs") {
        let size = fs::metadata(&blob).unwrap().len();
        if size == 3 {
            fs::remove_file(blob).unwrap();
        }
    }
    assert_eq!(known(&world), Vec::<String>::new());
}

#[test]
fn a_run_with_a_head_start_leaves_a_memo_that_holds() {
    let world = World::after_a_run();
    let edited = world.pipeline().replace("{PATH: ", "{SHADE: dark, PATH: ");
    world.write("dermflow.yaml", &edited);
    let ran = world.run(&CellSelection::Base);
    assert_eq!((ran.executed, ran.hit), (1, 2));
    std::thread::sleep(Duration::from_millis(60));
    assert!(world.holds());
    // All that was read from outside is in it still.
    world.write("data/a.txt", "a mole");
    assert!(!world.holds());
    world.write("data/a.txt", "a lesion");
    assert!(world.holds());
    world.write("second/tool", &TOOL.replace("cp", "cat one.txt > /dev/null; cp"));
    assert!(!world.holds());
}

#[test]
fn a_record_that_goes_while_the_run_is_at_work_is_made_again() {
    let world = World::after_a_run();
    world.write("more.yaml", &MORE.replace("[source]", "[source, bytes]"));
    let path = {
        let memo = world.memo();
        let all = memo.pipelines[0].stages.iter().find(|known| known.name == "all");
        world.record(all.unwrap().action)
    };
    // Seen to be there, told as a hit, and gone before the stage behind it reads it.
    let ran = world.run_telling(&CellSelection::Base, &|event| {
        if matches!(event, Event::StageHit { label, .. } if label.stage == "all") {
            let _ = fs::remove_file(&path);
        }
    });
    assert_eq!((ran.failed, ran.skipped), (0, 0));
    assert!(path.exists());
    assert!(
        fs::read_to_string(world.at("results/memo/some.csv"))
            .unwrap()
            .contains("bytes")
    );
}
