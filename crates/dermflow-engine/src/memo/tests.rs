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

mod changes;
mod head_start;

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
