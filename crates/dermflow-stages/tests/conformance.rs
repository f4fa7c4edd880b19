//! What every registered kind must do. A kind takes part by one line in [`cases`]; one
//! without a line fails the suite.

#[path = "conformance/cases.rs"]
mod cases;
#[path = "conformance/changes.rs"]
mod changes;
#[path = "conformance/exported.rs"]
mod exported;
#[path = "conformance/histories.rs"]
mod histories;
#[path = "conformance/pictures.rs"]
mod pictures;
#[path = "conformance/predicted.rs"]
mod predicted;
#[path = "conformance/settings.rs"]
mod settings;
#[path = "conformance/views.rs"]
mod views;
#[path = "conformance/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use changes::{at, at_mut, changes, leaves};
use dermflow_core::{
    Arity, Cause, ColumnHasher, ColumnType, Digest, FILES_PORT, InputTypes, Kind, OutputPort, Parameters,
    PortType, Shape, SideRows, StageError, TableType, memory,
};
use world::World;

/// One kind with parameters and inputs, and what it makes of them.
pub struct Case {
    /// Its name.
    pub kind: &'static str,
    /// Its parameters as YAML.
    pub with: &'static str,
    /// Makes the inputs in a folder: with rows, or without.
    pub prepare: fn(&mut World, bool),
    /// The kind's version, and the digest of its outputs at that version.
    pub golden: (u32, &'static str),
}

/// A case ready to run.
struct Ready {
    name: String,
    kind: Arc<dyn Kind>,
    parameters: Parameters,
    world: World,
}

fn ready(case: &Case, rows: bool) -> Ready {
    let registry = dermflow_stages::registry();
    let name = format!("{} {}", case.kind, case.with);
    let kind = registry
        .get(case.kind)
        .unwrap_or_else(|| panic!("{name}: no such kind"))
        .clone();
    let parameters = kind
        .parse(&serde_yaml::from_str(case.with).unwrap())
        .unwrap_or_else(|problem| panic!("{name}: {problem:?}"));
    assert_eq!(kind.check(&parameters), [], "{name}");
    let mut world = World::default();
    (case.prepare)(&mut world, rows);
    Ready {
        name,
        kind,
        parameters,
        world,
    }
}

impl Ready {
    /// The output ports for what is wired in, which must pass the kind's own input types.
    fn ports(&self) -> Vec<OutputPort> {
        let mut wired = InputTypes::new();
        // The engine lists the files of a map over files by itself.
        let listed = self.kind.shape(&self.parameters) == Shape::MapFiles;
        let is_wired = |port: &str| !(listed && port == FILES_PORT);
        for (port, table) in self.world.tables.iter().filter(|(port, _)| is_wired(port)) {
            let known = TableType::from_schema("Table", &table.schema()).unwrap();
            wired
                .entry(port.clone())
                .or_default()
                .push(PortType::Table(known));
        }
        for (port, _) in &self.world.files {
            wired.entry(port.clone()).or_default().push(PortType::Files);
        }
        for (port, kind, _) in &self.world.models {
            let model = PortType::Model(Some((*kind).to_string()));
            wired.entry(port.clone()).or_default().push(model);
        }
        let inputs = self.kind.inputs(&self.parameters);
        for port in &inputs.ports {
            let given = match wired.get(&port.name) {
                Some(given) => given,
                None if port.arity == Arity::Optional => continue,
                None => panic!("{}: {} is not wired", self.name, port.name),
            };
            given
                .iter()
                .for_each(|given| port.port_type.accepts(given).unwrap());
        }
        let known = |name: &String| inputs.open || inputs.ports.iter().any(|port| port.name == *name);
        assert!(
            wired.keys().all(known),
            "{}: a wired port doesn't exist",
            self.name
        );
        self.kind
            .outputs(&self.parameters, &wired)
            .unwrap_or_else(|problem| panic!("{}: {problem:?}", self.name))
    }

    /// The numbers of the tables that are read sample by sample.
    fn side_tables(&self) -> Vec<usize> {
        let ports = self.kind.inputs(&self.parameters).ports;
        let is_side = |name: &String| {
            let port = ports.iter().find(|port| port.name == *name);
            port.is_some_and(|port| port.side_rows == SideRows::SameSample)
        };
        let tables = self.world.tables.iter().enumerate();
        tables
            .filter(|(_, (port, _))| is_side(port))
            .map(|(number, _)| number)
            .collect()
    }

    /// Runs it; gives a digest of each output.
    fn run(&self, threads: usize, batch_rows: usize) -> Vec<(String, Digest)> {
        let mut context = self.world.context(threads, batch_rows);
        self.kind
            .run(&self.parameters, &mut context)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let ports = self.ports();
        let digests = ports.iter().map(|port| {
            let digest = match &port.port_type {
                PortType::Table(promised) => {
                    let table = context.output(&port.name);
                    let given = TableType::from_schema("Table", &table.schema()).unwrap();
                    promised
                        .accepts(&given)
                        .unwrap_or_else(|refusal| panic!("{}: {refusal}", self.name));
                    let exact = promised.open || promised.columns == given.columns;
                    assert!(exact, "{}: {promised:?} was promised, {given:?} came", self.name);
                    digest_of(&table)
                }
                PortType::Files => {
                    let mut bytes = Vec::new();
                    for (name, content) in &context.output_files[&port.name] {
                        bytes.extend_from_slice(Digest::of(name.as_bytes()).as_bytes());
                        bytes.extend_from_slice(Digest::of(content).as_bytes());
                    }
                    Digest::of(&bytes)
                }
                _ => Digest::of(&context.output_models[&port.name]),
            };
            (port.name.clone(), digest)
        });
        digests.collect()
    }
}

fn digest_of(table: &RecordBatch) -> Digest {
    let mut bytes = Vec::new();
    for (field, column) in table.schema().fields().iter().zip(table.columns()) {
        let mut hasher = ColumnHasher::new(&ColumnType::from_arrow(field.data_type()).unwrap());
        hasher.update(column).unwrap();
        bytes.extend_from_slice(
            Digest::of(format!("{}\0{}", field.name(), field.is_nullable()).as_bytes()).as_bytes(),
        );
        bytes.extend_from_slice(hasher.finish().as_bytes());
    }
    Digest::of(&bytes)
}

#[test]
fn every_registered_kind_has_a_case() {
    let covered: BTreeSet<&str> = cases::cases().iter().map(|case| case.kind).collect();
    let registered: BTreeSet<&str> = dermflow_stages::registry()
        .iter()
        .map(|kind| kind.name())
        .collect();
    assert_eq!(
        registered, covered,
        "each kind needs a line in tests/conformance/cases.rs"
    );
}

#[test]
fn results_depend_neither_on_threads_nor_on_batches() {
    for case in cases::cases() {
        let ready = ready(&case, true);
        let expected = ready.run(1, 8192);
        for (threads, batch_rows) in [(1, 1), (4, 3), (4, 8192)] {
            assert_eq!(
                ready.run(threads, batch_rows),
                expected,
                "{}: {threads} threads, {batch_rows} rows",
                ready.name
            );
        }
    }
}

#[test]
fn empty_inputs_give_outputs_of_the_promised_type() {
    for case in cases::cases() {
        ready(&case, false).run(1, 8192);
    }
}

#[test]
fn an_interrupted_kind_ends_soon() {
    for case in cases::cases() {
        let ready = ready(&case, true);
        let mut context = ready.world.context(1, 1);
        context.cancel.store(true, Ordering::Relaxed);
        let started = Instant::now();
        let outcome = ready.kind.run(&ready.parameters, &mut context);
        let fine = outcome.is_ok()
            || matches!(
                outcome,
                Err(StageError {
                    cause: Cause::Cancelled,
                    ..
                })
            );
        assert!(fine, "{}: {outcome:?}", ready.name);
        assert!(started.elapsed() < Duration::from_secs(10), "{}", ready.name);
    }
}

#[test]
fn a_map_gives_the_same_sample_by_sample() {
    let mut maps = 0;
    for case in cases::cases() {
        let ready = ready(&case, true);
        let over = match ready.kind.shape(&ready.parameters) {
            Shape::Whole => continue,
            Shape::Map { over } => over,
            Shape::MapFiles => FILES_PORT.to_string(),
        };
        maps += 1;
        let at = ready
            .world
            .tables
            .iter()
            .position(|(port, _)| *port == over)
            .unwrap();
        let sides = ready.side_tables();
        let whole = memory::sorted(&ready.world.tables[at].1).unwrap();
        let mut parts: Vec<Vec<RecordBatch>> = Vec::new();
        for rows in samples(&whole) {
            let id = whole.column(0).slice(rows.start, 1);
            let mut instead: BTreeMap<usize, RecordBatch> = sides
                .iter()
                .map(|side| (*side, rows_of(&ready.world.tables[*side].1, &id)))
                .collect();
            instead.insert(at, whole.slice(rows.start, rows.len()));
            let mut context = ready.world.context_with(&instead);
            ready.kind.run(&ready.parameters, &mut context).unwrap();
            parts.push(
                ready
                    .ports()
                    .iter()
                    .map(|port| context.output(&port.name))
                    .collect(),
            );
        }
        let mut context = ready.world.context(1, 8192);
        ready.kind.run(&ready.parameters, &mut context).unwrap();
        for (number, port) in ready.ports().iter().enumerate() {
            let expected = context.output(&port.name);
            let united = concat_batches(&expected.schema(), parts.iter().map(|part| &part[number])).unwrap();
            assert_eq!(
                memory::sorted(&united).unwrap(),
                expected,
                "{}: `{}`",
                ready.name,
                port.name
            );
        }
    }
    assert!(maps >= 3, "only {maps} maps were tried");
}

/// The rows of one sample.
fn rows_of(table: &RecordBatch, id: &ArrayRef) -> RecordBatch {
    let (ids, wanted) = (table.column(0).as_fixed_size_binary(), id.as_fixed_size_binary());
    let mask: BooleanArray = (0..ids.len())
        .map(|row| Some(ids.value(row) == wanted.value(0)))
        .collect();
    filter_record_batch(table, &mask).unwrap()
}

/// What is read sample by sample must be a table of a map, and not the one that it is cut over.
#[test]
fn side_rows_are_said_of_side_tables_of_maps_only() {
    let mut sides = 0;
    for case in cases::cases() {
        let ready = ready(&case, true);
        let over = match ready.kind.shape(&ready.parameters) {
            Shape::Whole => None,
            Shape::Map { over } => Some(over),
            Shape::MapFiles => Some(FILES_PORT.to_string()),
        };
        let ports = ready.kind.inputs(&ready.parameters).ports;
        for port in ports.iter().filter(|port| port.side_rows == SideRows::SameSample) {
            sides += 1;
            assert!(
                over.as_ref().is_some_and(|over| *over != port.name),
                "{}",
                ready.name
            );
            assert!(matches!(port.port_type, PortType::Table(_)), "{}", ready.name);
        }
    }
    assert!(sides >= 2, "only {sides} side tables are read sample by sample");
}

/// The runs of rows with one id.
fn samples(table: &RecordBatch) -> Vec<std::ops::Range<usize>> {
    let ids = table.column(0).as_fixed_size_binary();
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for row in 0..ids.len() {
        match runs.last_mut() {
            Some(run) if ids.value(run.start) == ids.value(row) => run.end = row + 1,
            _ => runs.push(row..row + 1),
        }
    }
    runs
}

#[test]
fn every_parameter_of_the_example_moves_the_key() {
    for kind in dermflow_stages::registry().iter() {
        let example: serde_yaml::Value = serde_yaml::from_str(kind.example()).unwrap();
        let stages = example["stages"]
            .as_mapping()
            .unwrap_or_else(|| panic!("{}: no example", kind.name()));
        let uses = stages.values().filter(|stage| stage["kind"] == kind.name());
        let mut tried = 0;
        for with in uses.map(|stage| &stage["with"]) {
            let parameters = kind
                .parse(with)
                .unwrap_or_else(|problem| panic!("{}: {problem:?}", kind.name()));
            assert_eq!(kind.check(&parameters), [], "{}", kind.name());
            let mut places = Vec::new();
            leaves(with, &mut Vec::new(), &mut places);
            for place in places {
                let moved = changes(kind.as_ref(), at(with, &place))
                    .into_iter()
                    .find_map(|change| {
                        let mut changed = with.clone();
                        *at_mut(&mut changed, &place) = change;
                        kind.parse(&changed).ok()
                    });
                let moved = moved.unwrap_or_else(|| panic!("{}: {place:?} can't be changed", kind.name()));
                assert_ne!(moved.value(), parameters.value(), "{}: {place:?}", kind.name());
                tried += 1;
            }
        }
        assert!(tried > 0, "{}: its example sets no parameter", kind.name());
    }
}

#[test]
fn parameters_come_back_from_their_value() {
    for case in cases::cases() {
        let ready = ready(&case, true);
        let again = ready.kind.parse(&ready.parameters.value().to_yaml());
        let again = again.unwrap_or_else(|problem| panic!("{}: {problem:?}", ready.name));
        assert_eq!(again.value(), ready.parameters.value(), "{}", ready.name);
    }
}

#[test]
fn a_result_changes_only_with_the_version() {
    let mut wrong = Vec::new();
    for case in cases::cases() {
        let ready = ready(&case, true);
        let mut bytes = Vec::new();
        for (port, digest) in ready.run(1, 8192) {
            bytes.extend_from_slice(Digest::of(port.as_bytes()).as_bytes());
            bytes.extend_from_slice(digest.as_bytes());
        }
        let given = (ready.kind.version(), Digest::of(&bytes).short());
        let (version, golden) = case.golden;
        if given != (version, golden.to_string()) {
            wrong.push(format!(
                "{}: version {version} gave {golden:?}, now {given:?}",
                ready.name
            ));
        }
    }
    let advice = "where a kind's result changed, raise its VERSION, and write both here";
    assert!(wrong.is_empty(), "{}\n{advice}", wrong.join("\n"));
}

#[test]
fn every_kind_describes_its_parameters() {
    for kind in dermflow_stages::registry().iter() {
        let mut generator = schemars::SchemaGenerator::default();
        let schema = serde_json::to_value(kind.schema(&mut generator)).unwrap();
        let fields = schema["properties"]
            .as_object()
            .unwrap_or_else(|| panic!("{}: {schema}", kind.name()));
        for (name, field) in fields {
            let described = field.get("description").is_some();
            assert!(described, "{}: `{name}` has no doc comment", kind.name());
        }
        assert_eq!(schema["additionalProperties"], false, "{}", kind.name());
        assert!(kind.about().ends_with('.') && kind.version() > 0);
    }
}

/// The example is what `dermflow stages KIND` shows and what people copy.
#[test]
fn every_example_is_a_right_pipeline_and_fits_the_json_schema() {
    let registry = dermflow_stages::registry();
    let schema = jsonschema::validator_for(&dermflow_graph::language_schema(&registry)).unwrap();
    for kind in registry.iter() {
        let loaded = dermflow_graph::load_text(kind.example(), &registry);
        let loaded = loaded.unwrap_or_else(|problems| panic!("{}:\n{problems}", kind.name()));
        let uses = |stage: &dermflow_graph::Stage| stage.kind.name() == kind.name();
        assert!(
            loaded.pipelines[0].stages.iter().any(uses),
            "{} is not in its example",
            kind.name()
        );
        let json: serde_json::Value = serde_yaml::from_str(kind.example()).unwrap();
        let wrong: Vec<String> = schema.iter_errors(&json).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{}: {wrong:?}", kind.name());
    }
}

/// A keyword of a kind's schema that `check` does not enforce would be a promise to editors
/// that the program doesn't keep.
#[test]
fn every_range_and_pattern_of_a_kind_is_enforced() {
    for kind in dermflow_stages::registry().iter() {
        let unchecked = dermflow_graph::unchecked_keywords(kind.as_ref());
        assert!(unchecked.is_empty(), "{}: {unchecked:?}", kind.name());
    }
}
