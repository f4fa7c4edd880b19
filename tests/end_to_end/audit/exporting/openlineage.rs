//! OpenLineage events: against a schema of ours with what the specification asks, and against the
//! published schemas themselves where a copy of them is at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dermflow_tests::Project;
use jsonschema::Resource;
use serde_json::{Value, json};

use super::super::ran;
use super::{errors, schema};

/// What the specification asks, in a schema of ours; see `schemas/README.md`.
const OURS: &str = include_str!("../schemas/openlineage.json");

fn events(project: &Project) -> Vec<Value> {
    let arguments = ["export-lineage", "classifier.model", "--format", "openlineage"];
    let out = project.done(&arguments).out;
    let parsed = out.lines().map(serde_json::from_str);
    parsed.collect::<Result<_, _>>().unwrap()
}

/// Every facet of an event, with the name that it has there.
fn facets(event: &Value) -> Vec<(String, Value)> {
    let datasets = ["inputs", "outputs"].into_iter();
    let datasets = datasets.flat_map(|side| event[side].as_array().into_iter().flatten());
    let places = [&event["run"]["facets"], &event["job"]["facets"]].into_iter();
    let places =
        places.chain(datasets.flat_map(|one| [&one["facets"], &one["inputFacets"], &one["outputFacets"]]));
    let all = places.filter_map(Value::as_object).flatten();
    all.map(|(name, facet)| (name.clone(), facet.clone())).collect()
}

#[test]
fn events_fit_what_the_specification_asks_and_come_in_order() {
    let project = ran();
    let events = events(&project);
    let ours = schema(OURS);
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut last = String::new();
    for event in &events {
        assert_eq!(errors(&ours, event), Vec::<String>::new());
        let text = |value: &Value| value.as_str().unwrap().to_string();
        assert!(last <= text(&event["eventTime"]));
        last = text(&event["eventTime"]);
        seen.entry(text(&event["run"]["runId"]))
            .or_default()
            .push(text(&event["eventType"]));
        let is_start = event["eventType"] == "START";
        assert_eq!(
            event["outputs"].as_array().unwrap().is_empty(),
            is_start,
            "{event}"
        );
    }
    assert!(seen.len() >= 6);
    assert!(
        seen.values().all(|sorts| sorts == &["START", "COMPLETE"]),
        "{seen:?}"
    );
}

#[test]
fn events_name_what_went_in_what_came_out_and_with_which_parameters() {
    let project = ran();
    let events = events(&project);
    let training = events
        .iter()
        .rfind(|event| event["job"]["name"] == "classifier")
        .unwrap();
    let inputs: Vec<&str> = training["inputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(inputs, ["labels.labels", "all.table", "split.splits"]);
    let first = &training["inputs"][1]["facets"]["schema"]["fields"][0];
    assert_eq!(
        (&first["name"], &first["ordinal_position"]),
        (&json!("sample_id"), &json!(1))
    );
    let model = training["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "classifier.model")
        .unwrap();
    assert_eq!(model["facets"]["datasetType"]["datasetType"], "MODEL");
    assert_eq!(model["outputFacets"]["outputStatistics"]["fileCount"], 1);
    let facets = &training["run"]["facets"];
    let told = facets["executionParameters"]["parameters"].as_array().unwrap();
    let epochs = told.iter().find(|one| one["key"] == "training.epochs").unwrap();
    assert_eq!(epochs["value"], "1");
    assert_eq!(facets["dermflow_action"]["seed"], 7);
}

#[test]
fn broken_events_are_seen_to() {
    let project = ran();
    let ours = schema(OURS);
    let all = events(&project);
    let sound = all
        .iter()
        .rfind(|event| event["job"]["name"] == "classifier")
        .unwrap();
    let breaking: [fn(&mut Value); 7] = [
        |event| drop(event["run"].as_object_mut().unwrap().remove("runId")),
        |event| event["run"]["runId"] = json!("first"),
        |event| event["eventTime"] = json!("27 November"),
        |event| event["producer"] = json!("dermflow"),
        |event| event["run"]["facets"]["processing_engine"]["version"] = Value::Null,
        |event| event["inputs"][0]["facets"]["version"] = json!({"datasetVersion": "1"}),
        |event| event["outputs"][0]["outputFacets"]["outputStatistics"]["size"] = json!("much"),
    ];
    for (at, change) in breaking.iter().enumerate() {
        let mut broken = sound.clone();
        change(&mut broken);
        assert!(!errors(&ours, &broken).is_empty(), "{at}");
    }
}

/// A copy of the folder `spec` of the OpenLineage repository: where `DERMFLOW_OPENLINEAGE_SPEC`
/// says, or beside this repository.
fn published() -> Option<PathBuf> {
    let told = std::env::var_os("DERMFLOW_OPENLINEAGE_SPEC").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/schemas/openlineage");
    let folder = told.unwrap_or(beside);
    folder.join("OpenLineage.json").is_file().then_some(folder)
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn events_fit_the_published_schemas() {
    let Some(folder) = published() else {
        eprintln!("skipped: there is no copy of OpenLineage's specification; see schemas/README.md");
        return;
    };
    let paths = std::fs::read_dir(folder.join("facets")).unwrap();
    let paths = paths.map(|entry| entry.unwrap().path());
    let schemas: Vec<Value> = paths
        .chain([folder.join("OpenLineage.json")])
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .map(|path| read(&path))
        .collect();
    let id = |schema: &Value| schema["$id"].as_str().unwrap().to_string();
    let known: BTreeSet<String> = schemas.iter().map(id).collect();
    // A schema by its address, as a consumer finds it by what the event itself says.
    let validator = |address: &str| {
        let resources = schemas
            .iter()
            .map(|one| (id(one), Resource::from_contents(one.clone()).unwrap()));
        let options = jsonschema::options()
            .should_validate_formats(true)
            .with_resources(resources);
        let refers = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": address});
        options.build(&refers).unwrap()
    };
    let project = ran();
    let mut validators = BTreeMap::new();
    let mut checked = BTreeSet::new();
    for event in events(&project) {
        let address = event["schemaURL"].as_str().unwrap().to_string();
        let whole = validators
            .entry(address.clone())
            .or_insert_with(|| validator(&address));
        assert_eq!(errors(whole, &event), Vec::<String>::new());
        for (name, facet) in facets(&event) {
            let address = facet["_schemaURL"].as_str().unwrap().to_string();
            if name.starts_with("dermflow_") {
                continue;
            }
            let file = address.split('#').next().unwrap();
            assert!(
                known.contains(file),
                "`{name}` says that it is by {file}, which is not among {known:?}"
            );
            let one = validators
                .entry(address.clone())
                .or_insert_with(|| validator(&address));
            assert_eq!(errors(one, &facet), Vec::<String>::new(), "{name}");
            checked.insert(name);
        }
    }
    assert!(checked.len() >= 7, "{checked:?}");
}
