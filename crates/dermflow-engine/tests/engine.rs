//! The engine over small kinds written here, so that tests can count what was computed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use dermflow_core::{
    Artifact, Column, ColumnType, InputPort, InputTypes, Inputs, OutputPort, PortType, Problem, Registry,
    SampleId, Shape, StageContext, StageError, StageKind, TableType,
};
use dermflow_engine::{Event, Interrupt, Options, Outlook, Sources, Summary, plan, run};
use dermflow_graph::{CellSelection, Request, load};
use dermflow_store::Store;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kinds here did, by the folder of the test that they ran for.
static CALLS: Mutex<BTreeMap<String, Vec<String>>> = Mutex::new(BTreeMap::new());

fn note(test: &str, call: String) {
    CALLS
        .lock()
        .unwrap()
        .entry(test.to_string())
        .or_default()
        .push(call);
}

fn calls(test: &str) -> Vec<String> {
    CALLS.lock().unwrap().remove(test).unwrap_or_default()
}

fn numbers_type() -> TableType {
    TableType::exactly([
        Column::new("v", ColumnType::Integer),
        Column::new("w", ColumnType::Integer),
    ])
}

/// A table from its parameters: `rows: {name: [v, w]}`.
struct Numbers;

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NumbersParameters {
    rows: BTreeMap<String, (i64, i64)>,
    #[serde(default)]
    ignored: i64,
}

impl StageKind for Numbers {
    type Parameters = NumbersParameters;
    const NAME: &'static str = "numbers";
    const VERSION: u32 = 1;
    const ABOUT: &'static str = "Gives the rows that it is told.";
    const EXAMPLE: &'static str = "";
    fn inputs(_: &NumbersParameters) -> Inputs {
        Inputs::default()
    }
    fn outputs(_: &NumbersParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        Ok(vec![OutputPort::new(
            "table",
            PortType::Table(numbers_type()),
            "the rows",
        )])
    }
    fn run(parameters: &NumbersParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let ids: Vec<SampleId> = parameters.rows.keys().map(|key| SampleId::of_key(key)).collect();
        let v = Int64Array::from_iter_values(parameters.rows.values().map(|row| row.0));
        let w = Int64Array::from_iter_values(parameters.rows.values().map(|row| row.1));
        let schema = numbers_type().schema();
        let columns = vec![
            dermflow_core::sample_ids(&ids),
            Arc::new(v) as _,
            Arc::new(w) as _,
        ];
        let mut out = context.write_table("table", schema.clone())?;
        out.write(&RecordBatch::try_new(schema, columns)?)?;
        out.finish()
    }
}

/// Doubles `v`, sample by sample, and leaves out negative ones.
struct Double;

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DoubleParameters {
    /// Whose calls these are.
    test: String,
    #[serde(default)]
    panic: bool,
}

impl StageKind for Double {
    type Parameters = DoubleParameters;
    const NAME: &'static str = "double";
    const VERSION: u32 = 1;
    const ABOUT: &'static str = "Doubles.";
    const EXAMPLE: &'static str = "";
    fn inputs(_: &DoubleParameters) -> Inputs {
        let table = InputPort::one("table", PortType::Table(numbers_type()), "what to double").reading(["v"]);
        Inputs {
            ports: vec![table],
            open: false,
        }
    }
    fn outputs(_: &DoubleParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        let table = TableType::exactly([Column::new("v", ColumnType::Integer)]);
        Ok(vec![OutputPort::new("table", PortType::Table(table), "doubled")])
    }
    fn shape(_: &DoubleParameters) -> Shape {
        Shape::Map {
            over: "table".to_string(),
        }
    }
    fn run(parameters: &DoubleParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        assert!(!parameters.panic, "told to panic");
        let table = context.table("table")?;
        let schema = Arc::new(Schema::new(vec![
            Column::sample_id().field(),
            Field::new("v", DataType::Int64, false),
        ]));
        assert_eq!(table.schema(), schema, "only declared columns are seen");
        let mut out = context.write_table("table", schema.clone())?;
        for batch in table {
            let batch = batch?;
            let values = batch.column(1).as_primitive::<Int64Type>();
            for value in values.values() {
                note(&parameters.test, value.to_string());
            }
            let kept: arrow::array::BooleanArray =
                values.iter().map(|value| value.map(|value| value >= 0)).collect();
            let batch = arrow::compute::filter_record_batch(&batch, &kept)?;
            let values = batch.column(1).as_primitive::<Int64Type>();
            let doubled: Int64Array = values.unary(|value| value * 2);
            out.write(&RecordBatch::try_new(
                schema.clone(),
                vec![batch.column(0).clone(), Arc::new(doubled)],
            )?)?;
        }
        out.finish()
    }
}

/// Adds `v` of the same sample in `weights` to `v` of `table`, 0 where that has none.
struct Weigh;

impl StageKind for Weigh {
    type Parameters = DoubleParameters;
    const NAME: &'static str = "weigh";
    const VERSION: u32 = 1;
    const ABOUT: &'static str = "Weighs.";
    const EXAMPLE: &'static str = "";
    fn inputs(_: &DoubleParameters) -> Inputs {
        let numbers =
            |name: &str| InputPort::one(name, PortType::Table(numbers_type()), "numbers").reading(["v"]);
        Inputs {
            ports: vec![numbers("table"), numbers("weights").of_same_sample()],
            open: false,
        }
    }
    fn outputs(_: &DoubleParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        let table = TableType::exactly([Column::new("v", ColumnType::Integer)]);
        Ok(vec![OutputPort::new("table", PortType::Table(table), "weighed")])
    }
    fn shape(_: &DoubleParameters) -> Shape {
        Shape::Map {
            over: "table".to_string(),
        }
    }
    fn run(parameters: &DoubleParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let weights = context.table("weights")?;
        let promised = weights.rows();
        let mut known: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        for batch in weights {
            let batch = batch?;
            let ids = batch.column(0).as_fixed_size_binary();
            let values = batch.column(1).as_primitive::<Int64Type>();
            known.extend(
                ids.iter()
                    .flatten()
                    .map(<[u8]>::to_vec)
                    .zip(values.values().iter().copied()),
            );
        }
        assert_eq!(known.len() as u64, promised);
        let table = context.table("table")?;
        let schema = table.schema();
        let mut out = context.write_table("table", schema.clone())?;
        for batch in table {
            let batch = batch?;
            let ids = batch.column(0).as_fixed_size_binary();
            let values = batch.column(1).as_primitive::<Int64Type>();
            let weighed = ids.iter().flatten().zip(values.values()).map(|(id, value)| {
                note(&parameters.test, value.to_string());
                value + known.remove(id).unwrap_or_default()
            });
            let weighed = Int64Array::from_iter_values(weighed);
            out.write(&RecordBatch::try_new(
                schema.clone(),
                vec![batch.column(0).clone(), Arc::new(weighed)],
            )?)?;
        }
        assert!(known.is_empty(), "rows of other samples were seen");
        out.finish()
    }
}

/// Gives another `v` whenever it is called, and forgets its output if told so.
struct Unsteady;

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UnsteadyParameters {
    test: String,
    #[serde(default)]
    forget: bool,
}

impl StageKind for Unsteady {
    type Parameters = UnsteadyParameters;
    const NAME: &'static str = "unsteady";
    const VERSION: u32 = 1;
    const ABOUT: &'static str = "Is not deterministic.";
    const EXAMPLE: &'static str = "";
    fn inputs(_: &UnsteadyParameters) -> Inputs {
        Inputs::default()
    }
    fn outputs(_: &UnsteadyParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        Ok(vec![OutputPort::new(
            "table",
            PortType::Table(numbers_type()),
            "a value",
        )])
    }
    fn run(parameters: &UnsteadyParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        if parameters.forget {
            return Ok(());
        }
        let calls = CALLS
            .lock()
            .unwrap()
            .entry(parameters.test.clone())
            .or_default()
            .len() as i64;
        note(&parameters.test, "called".to_string());
        let schema = numbers_type().schema();
        let ids = dermflow_core::sample_ids(&[SampleId::of_key("a")]);
        let (v, w) = (Int64Array::from(vec![calls]), Int64Array::from(vec![1]));
        let columns = vec![ids, Arc::new(v) as _, Arc::new(w) as _];
        let mut out = context.write_table("table", schema.clone())?;
        out.write(&RecordBatch::try_new(schema, columns)?)?;
        out.finish()
    }
}

struct World {
    folder: tempfile::TempDir,
    store: Store,
}

struct Ran {
    summary: Summary,
    events: Vec<Event>,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join(".dermflow")).unwrap();
        World { folder, store }
    }

    fn pipelines(&self, yaml: &str) -> Vec<dermflow_graph::Pipeline> {
        let file = self.folder.path().join("pipeline.yaml");
        std::fs::write(&file, yaml).unwrap();
        let registry = Registry::new()
            .with::<Numbers>()
            .with::<Double>()
            .with::<Weigh>()
            .with::<Unsteady>();
        let request = Request {
            file: &file,
            registry: &registry,
            overrides: &[],
            cells: CellSelection::All,
        };
        load(&request)
            .unwrap_or_else(|problems| panic!("{problems}"))
            .pipelines
    }

    fn run_with(&self, yaml: &str, options: &Options) -> Ran {
        let pipelines = self.pipelines(yaml);
        let sources = Sources::new(&self.store, false);
        let events = Mutex::new(Vec::new());
        let sink = |event: &Event| events.lock().unwrap().push(event.clone());
        let summary = run(
            &pipelines,
            &self.store,
            &sources,
            options,
            &sink,
            &Interrupt::new(),
        )
        .unwrap();
        Ran {
            summary,
            events: events.into_inner().unwrap(),
        }
    }

    fn run(&self, yaml: &str) -> Ran {
        let ran = self.run_with(yaml, &Options::default());
        assert_eq!(ran.summary.failed, 0, "{:?}", ran.events);
        ran
    }

    /// The same after the blobs of an artifact were removed. It has another store: the one before
    /// saw the blobs already.
    fn without(self, artifact: &Artifact) -> World {
        for blob in artifact.blobs() {
            let hex = blob.digest.hex();
            let path = self.store.root().join("blobs").join(&hex[..2]).join(&hex[2..]);
            std::fs::remove_file(path).unwrap();
        }
        let store = Store::open(self.store.root()).unwrap();
        World { store, ..self }
    }

    /// The name of a stage's table, which a plan must call a hit.
    fn artifact(&self, yaml: &str, stage: &str) -> Artifact {
        let pipelines = self.pipelines(yaml);
        let planned = plan(&pipelines[0], &self.store, &Sources::new(&self.store, false), &[]).unwrap();
        let found = planned
            .into_iter()
            .find(|planned| planned.label.stage == stage)
            .unwrap();
        found.finished.unwrap().output("table").unwrap().clone()
    }
}

fn doubling(test: &str, rows: &BTreeMap<String, (i64, i64)>) -> String {
    let rows = serde_json::to_string(rows).unwrap();
    format!(
        "name: doubling\nstages:\n  numbers: {{kind: numbers, with: {{rows: {rows}}}}}\n  \
         double: {{kind: double, in: {{table: numbers}}, with: {{test: {test}}}}}\n"
    )
}

fn rows(all: &[(&str, i64, i64)]) -> BTreeMap<String, (i64, i64)> {
    all.iter()
        .map(|(name, v, w)| ((*name).to_string(), (*v, *w)))
        .collect()
}

fn sorted(mut calls: Vec<String>) -> Vec<String> {
    calls.sort();
    calls
}

#[test]
fn a_changed_row_costs_one_row_and_a_column_that_is_not_read_costs_nothing() {
    let world = World::new();
    let first = world.run(&doubling(
        "rows",
        &rows(&[("a", 1, 1), ("b", 2, 1), ("c", -3, 1)]),
    ));
    assert_eq!((first.summary.executed, first.summary.hit), (2, 0));
    assert_eq!(sorted(calls("rows")), ["-3", "1", "2"]);

    let other_column = world.run(&doubling(
        "rows",
        &rows(&[("a", 1, 9), ("b", 2, 9), ("c", -3, 9)]),
    ));
    assert_eq!((other_column.summary.executed, other_column.summary.hit), (1, 1));
    assert!(calls("rows").is_empty());

    let one_row = world.run(&doubling(
        "rows",
        &rows(&[("a", 1, 1), ("b", 20, 1), ("c", -3, 1), ("d", 4, 1)]),
    ));
    assert_eq!((one_row.summary.executed, one_row.summary.hit), (2, 0));
    assert_eq!(sorted(calls("rows")), ["20", "4"]);
    assert_eq!(one_row.summary.rows_reused, 2);
}

#[test]
fn the_same_content_from_other_parameters_stops_the_wave() {
    let world = World::new();
    let yaml = doubling("cutoff", &rows(&[("a", 1, 1)]));
    world.run(&yaml);
    let again = world.run(&yaml.replace("}}\n  double", ", ignored: 7}}\n  double"));
    assert_eq!((again.summary.executed, again.summary.hit), (1, 1));
}

fn weighing(
    test: &str,
    table: &BTreeMap<String, (i64, i64)>,
    weights: &BTreeMap<String, (i64, i64)>,
) -> String {
    let json = |rows| serde_json::to_string(rows).unwrap();
    let (table, weights) = (json(table), json(weights));
    format!(
        "name: weighing\nstages:\n  numbers: {{kind: numbers, with: {{rows: {table}}}}}\n  \
         weights: {{kind: numbers, with: {{rows: {weights}}}}}\n  \
         weigh: {{kind: weigh, in: {{table: numbers, weights: weights}}, with: {{test: {test}}}}}\n"
    )
}

#[test]
fn a_changed_row_of_a_side_table_costs_the_row_of_its_sample() {
    let world = World::new();
    let table = rows(&[("a", 1, 1), ("b", 2, 1), ("c", 3, 1)]);
    let weights = |all: &[(&str, i64, i64)]| weighing("sides", &table, &rows(all));
    let first = world.run(&weights(&[("a", 10, 0), ("b", 20, 0)]));
    assert_eq!((first.summary.executed, first.summary.hit), (3, 0));
    assert_eq!(sorted(calls("sides")), ["1", "2", "3"]);
    // A column that is not read.
    let ran = world.run(&weights(&[("a", 10, 7), ("b", 20, 7)]));
    assert_eq!((ran.summary.executed, ran.summary.hit), (1, 2));
    // A sample of nobody: the partition's key is what it was.
    let ran = world.run(&weights(&[("a", 10, 0), ("b", 20, 0), ("z", 1, 0)]));
    assert_eq!((ran.summary.executed, ran.summary.hit), (2, 1));
    assert_eq!((calls("sides").len(), ran.summary.rows_reused), (0, 3));
    // One changed, one new, one gone.
    world.run(&weights(&[("a", 11, 0), ("b", 20, 0), ("z", 1, 0)]));
    assert_eq!(calls("sides"), ["1"]);
    world.run(&weights(&[("a", 11, 0), ("b", 20, 0), ("c", 30, 0)]));
    assert_eq!(calls("sides"), ["3"]);
    let last = weights(&[("b", 20, 0), ("c", 30, 0)]);
    let ran = world.run(&last);
    assert_eq!(calls("sides"), ["1"]);
    assert_eq!(ran.summary.rows_reused, 2);
    let fresh = World::new();
    fresh.run(&last);
    assert_eq!(world.artifact(&last, "weigh"), fresh.artifact(&last, "weigh"));
}

#[test]
fn any_sequence_of_edits_of_two_tables_gives_what_a_fresh_store_gives() {
    let world = World::new();
    let mut state = 11u64;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    let mut tables: [BTreeMap<String, (i64, i64)>; 2] =
        std::array::from_fn(|_| (0..200).map(|row| (format!("r{row}"), (row, 0))).collect());
    for round in 0..12 {
        for _ in 0..random(6) {
            let (name, which) = (format!("r{}", random(230)), random(2) as usize);
            match random(3) {
                0 => drop(tables[which].remove(&name)),
                _ => drop(tables[which].insert(name, (random(50) as i64 - 10, 1))),
            }
        }
        let yaml = weighing("two", &tables[0], &tables[1]);
        world.run(&yaml);
        let computed = calls("two").len();
        assert!(
            round == 0 || computed <= 6,
            "{computed} rows were computed for at most 6 edits"
        );
        let fresh = World::new();
        fresh.run(&yaml);
        calls("two");
        assert_eq!(world.artifact(&yaml, "weigh"), fresh.artifact(&yaml, "weigh"));
    }
}

/// The promise of incremental work: never another result than from scratch.
#[test]
fn any_sequence_of_edits_gives_what_a_fresh_store_gives() {
    let world = World::new();
    let mut state = 7u64;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    let mut table: BTreeMap<String, (i64, i64)> =
        (0..300).map(|row| (format!("r{row}"), (row - 20, 0))).collect();
    for _ in 0..12 {
        for _ in 0..random(6) {
            let name = format!("r{}", random(330));
            match random(3) {
                0 => drop(table.remove(&name)),
                _ => drop(table.insert(name, (random(50) as i64 - 10, 1))),
            }
        }
        let yaml = doubling("edits", &table);
        world.run(&yaml);
        let fresh = World::new();
        fresh.run(&doubling("edits", &table));
        let (mine, theirs) = (world.artifact(&yaml, "double"), fresh.artifact(&yaml, "double"));
        assert_eq!(mine.name(), theirs.name());
        assert_eq!(mine, theirs, "even the partitions and their bytes agree");
    }
}

#[test]
fn a_damaged_input_is_made_again_in_the_same_run() {
    let world = World::new();
    let yaml = doubling("damage", &rows(&[("a", 1, 1), ("b", 2, 1)]));
    let one = yaml.split("  double:").next().unwrap().to_string();
    world.run(&one);
    for blob in world.artifact(&one, "numbers").blobs() {
        let hex = blob.digest.hex();
        let path = world.store.root().join("blobs").join(&hex[..2]).join(&hex[2..]);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    // Another process: this one has checked the blob already.
    let store = Store::open(world.store.root()).unwrap();
    let world = World { store, ..world };
    let ran = world.run(&yaml);
    assert!(
        ran.events
            .iter()
            .any(|event| matches!(event, Event::Damaged { .. })),
        "{:?}",
        ran.events
    );
    assert_eq!(ran.summary.executed, 2);
    let fresh = World::new();
    fresh.run(&yaml);
    assert_eq!(world.artifact(&yaml, "double"), fresh.artifact(&yaml, "double"));
}

#[test]
fn another_result_under_the_same_key_is_told_and_the_first_stays() {
    let world = World::new();
    let yaml = "name: unsteady\nstages:\n  one: {kind: unsteady, with: {test: unsteady}}\n";
    world.run(yaml);
    let first = world.artifact(yaml, "one");
    let again = world.run_with(
        yaml,
        &Options {
            force: vec!["one".to_string()],
            ..Options::default()
        },
    );
    assert!(
        again
            .events
            .iter()
            .any(|event| matches!(event, Event::Nondeterminism { .. }))
    );
    assert_eq!((again.summary.executed, world.artifact(yaml, "one")), (1, first));
}

#[test]
fn another_result_in_the_place_of_one_that_is_gone_is_told() {
    let yaml = "name: unsteady\nstages:\n  one: {kind: unsteady, with: {test: gone}}\n";
    let world = World::new();
    world.run(yaml);
    let first = world.artifact(yaml, "one");
    let world = world.without(&first);
    let again = world.run(yaml);
    let second = world.artifact(yaml, "one");
    assert_ne!(first, second);
    let told: Vec<_> = again
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Nondeterminism {
                kept,
                found,
                replaced,
                ..
            } => Some((*kept, *found, *replaced)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(first.name(), second.name(), true)]);
    assert_eq!(world.run(yaml).summary.hit, 1);
}

#[test]
fn no_row_is_taken_over_from_a_result_whose_input_gave_another_table_since() {
    let yaml = "name: unsteady\nstages:\n  one: {kind: unsteady, with: {test: upstream}}\n  \
                double: {kind: double, in: {table: one}, with: {test: downstream}}\n";
    let world = World::new();
    world.run(yaml);
    assert_eq!(calls("downstream"), ["0"]);
    let first = world.artifact(yaml, "one");
    let world = world.without(&first);
    let only = Options {
        until: vec!["one".to_string()],
        ..Options::default()
    };
    assert_eq!(world.run_with(yaml, &only).summary.executed, 1);
    let ran = world.run(yaml);
    assert_eq!((ran.summary.executed, ran.summary.rows_reused), (1, 0));
    assert_eq!(calls("downstream"), ["1"]);
}

#[test]
fn cells_share_what_they_have_in_common() {
    let world = World::new();
    let yaml = doubling("cells", &rows(&[("a", 1, 1)]))
        + "variants:\n  same: {}\n  other: {stages.double.with.test: cells2}\n";
    let ran = world.run(&yaml);
    assert_eq!((ran.summary.executed, ran.summary.hit), (3, 3));
    assert_eq!(
        (calls("cells"), calls("cells2")),
        (vec!["1".to_string()], vec!["1".to_string()])
    );
}

#[test]
fn a_panic_and_a_forgotten_output_are_failures_in_words_and_what_is_independent_goes_on() {
    let world = World::new();
    let yaml = doubling("panic", &rows(&[("a", 1, 1)])).replace("test: panic", "test: panic, panic: true")
        + "  after: {kind: double, in: {table: forgets}, with: {test: x}}\n  \
           forgets: {kind: numbers, with: {rows: {}}}\n  unsteady: {kind: unsteady, with: {test: y, forget: true}}\n";
    let ran = world.run_with(
        &yaml,
        &Options {
            keep_going: true,
            ..Options::default()
        },
    );
    let failed: Vec<String> = ran
        .events
        .iter()
        .filter_map(|event| match event {
            Event::StageFailed { message, .. } => Some(message.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(
        failed
            .iter()
            .any(|message| message.contains("panicked: told to panic")),
        "{failed:?}"
    );
    assert!(
        failed
            .iter()
            .any(|message| message.contains("without writing its output `table`")),
        "{failed:?}"
    );
    assert_eq!((ran.summary.executed, ran.summary.failed), (3, 2));
}

#[test]
fn a_plan_says_what_a_run_would_do_and_why() {
    let world = World::new();
    let yaml = doubling("plan", &rows(&[("a", 1, 1)]));
    let look = |yaml: &str| {
        let pipelines = world.pipelines(yaml);
        let planned = plan(
            &pipelines[0],
            &world.store,
            &Sources::new(&world.store, false),
            &[],
        )
        .unwrap();
        let told =
            |reasons: &[dermflow_engine::Reason]| reasons.iter().map(ToString::to_string).collect::<Vec<_>>();
        planned
            .iter()
            .map(|stage| (stage.status, told(&stage.reasons).join("; ")))
            .collect::<Vec<_>>()
    };
    let never = look(&yaml);
    assert_eq!(never[0], (Outlook::Miss, "never run".to_string()));
    assert_eq!(
        never[1],
        (Outlook::Waits, "table: `numbers` runs first".to_string())
    );
    world.run(&yaml);
    assert!(look(&yaml).iter().all(|(status, _)| *status == Outlook::Hit));
    let changed = look(&yaml.replace("[1,1]", "[5,1]"));
    assert_eq!(changed[0].0, Outlook::Miss);
    assert!(changed[0].1.starts_with("rows.a.0: 1 -> 5 ("), "{}", changed[0].1);
    assert!(changed[0].1.contains("pipeline.yaml:3:"), "{}", changed[0].1);
    world.run(yaml.replace("[1,1]", "[5,1]").split("  double:").next().unwrap());
    let after = look(&yaml.replace("[1,1]", "[5,1]"));
    assert_eq!(after[0].0, Outlook::Hit);
    assert_eq!(
        after[1],
        (Outlook::Miss, "table.v: 1 of 1 partitions".to_string())
    );
}

/// Several partitions may be through before the scheduler has heard of the first of them.
#[test]
fn a_map_is_finished_once_however_its_partitions_come_in() {
    let eight = Options {
        jobs: 8,
        ..Options::default()
    };
    for round in 0..20 {
        let world = World::new();
        let table: BTreeMap<String, (i64, i64)> =
            (0..2000).map(|row| (format!("r{row}"), (row, round))).collect();
        let ran = world.run_with(&doubling("once", &table), &eight);
        calls("once");
        assert_eq!((ran.summary.executed, ran.summary.hit), (2, 0));
    }
}
