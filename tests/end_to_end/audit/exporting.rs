//! `export-lineage`: each form against a schema of it, or the rules of its profile.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{json, ran};
use crate::project::digests;

/// What is wrong with a document by a schema of `schemas/`.
fn errors(schema: &str, document: &Value) -> Vec<String> {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors = validator.iter_errors(document);
    errors
        .map(|error| format!("{}: {error}", error.instance_path))
        .collect()
}

const PROV: &str = include_str!("schemas/prov-json.json");
const OPENLINEAGE: &str = include_str!("schemas/openlineage.json");

#[test]
fn prov_json_fits_its_schema_and_names_nothing_that_it_does_not_declare() {
    let project = ran();
    let document = json(
        &project,
        &["export-lineage", "scores.metrics", "--format", "prov"],
    );
    assert_eq!(errors(PROV, &document), Vec::<String>::new());
    let declared: BTreeSet<&String> = ["entity", "activity", "agent"]
        .iter()
        .flat_map(|part| document[part].as_object().unwrap().keys())
        .collect();
    let prefixes = document["prefix"].as_object().unwrap();
    for name in &declared {
        assert!(prefixes.contains_key(name.split(':').next().unwrap()), "{name}");
    }
    let mut relations = 0;
    for part in ["wasGeneratedBy", "used", "wasDerivedFrom", "wasAssociatedWith"] {
        for relation in document[part].as_object().unwrap().values() {
            for (field, value) in relation.as_object().unwrap() {
                if [
                    "prov:entity",
                    "prov:activity",
                    "prov:agent",
                    "prov:generatedEntity",
                    "prov:usedEntity",
                ]
                .contains(&field.as_str())
                {
                    assert!(
                        declared.contains(&value.as_str().unwrap().to_string()),
                        "{part}: {value}"
                    );
                    relations += 1;
                }
            }
        }
    }
    assert!(relations > 40, "{relations}");
    let metrics = &digests(&project)["scores.metrics"];
    assert!(
        document["entity"]
            .as_object()
            .unwrap()
            .contains_key(&format!("artifact:{metrics}"))
    );
    // A document that breaks a rule is seen to: the schema is not empty.
    let mut broken = document.clone();
    broken["used"]["_:u1"] = json!({"prov:entity": "artifact:1"});
    assert!(!errors(PROV, &broken).is_empty());
}

#[test]
fn openlineage_events_fit_the_specification_and_come_in_order() {
    let project = ran();
    let out = project
        .done(&["export-lineage", "classifier.model", "--format", "openlineage"])
        .out;
    let events: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut last = String::new();
    for event in &events {
        assert_eq!(errors(OPENLINEAGE, event), Vec::<String>::new());
        let text = |value: &Value| value.as_str().unwrap().to_string();
        assert!(last <= text(&event["eventTime"]));
        last = text(&event["eventTime"]);
        seen.entry(text(&event["run"]["runId"]))
            .or_default()
            .push(text(&event["eventType"]));
    }
    assert!(seen.len() >= 6);
    assert!(
        seen.values().all(|sorts| sorts == &["START", "COMPLETE"]),
        "{seen:?}"
    );
    let training = events
        .iter()
        .find(|event| event["job"]["name"] == "classifier")
        .unwrap();
    let inputs: Vec<&str> = training["inputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(inputs, ["labels.labels", "all.table", "split.splits"]);
    assert_eq!(
        training["inputs"][1]["facets"]["schema"]["fields"][0]["name"],
        "sample_id"
    );
    let mut broken = training.clone();
    broken["run"].as_object_mut().unwrap().remove("runId");
    assert!(!errors(OPENLINEAGE, &broken).is_empty());
}

/// Entities by their ids.
fn entities(metadata: &Value) -> BTreeMap<String, Value> {
    let graph = metadata["@graph"].as_array().unwrap().iter();
    let mut found = BTreeMap::new();
    for entity in graph {
        let id = entity["@id"].as_str().unwrap().to_string();
        assert!(
            found.insert(id.clone(), entity.clone()).is_none(),
            "{id} stands twice"
        );
    }
    found
}

fn types(entity: &Value) -> Vec<&str> {
    match &entity["@type"] {
        Value::String(one) => vec![one],
        many => many
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one.as_str().unwrap())
            .collect(),
    }
}

/// The ids that a property refers to.
fn refers(entity: &Value, property: &str) -> Vec<String> {
    let ids = |value: &Value| value["@id"].as_str().map(str::to_string);
    match &entity[property] {
        Value::Array(all) => all.iter().filter_map(ids).collect(),
        one => ids(one).into_iter().collect(),
    }
}

fn of_type<'a>(all: &'a BTreeMap<String, Value>, wanted: &str) -> Vec<&'a Value> {
    all.values()
        .filter(|entity| types(entity).contains(&wanted))
        .collect()
}

/// The MUSTs of RO-Crate 1.1 and of the profiles Process, Workflow and Provenance Run Crate 0.5.
#[test]
fn a_crate_keeps_the_rules_of_ro_crate_and_of_the_provenance_run_profile() {
    let project = ran();
    let arguments = [
        "export-lineage",
        "scores.metrics",
        "classifier.model",
        "report.text",
        "--format",
        "ro-crate",
        "--to",
        "crate",
    ];
    project.done(&arguments);
    assert_eq!(
        project.ended(&arguments).code,
        Some(1),
        "a folder with things in it is not overwritten"
    );
    let metadata: Value = serde_json::from_str(&project.read("crate/ro-crate-metadata.json")).unwrap();
    let all = entities(&metadata);
    assert_eq!(metadata["@context"][0], "https://w3id.org/ro/crate/1.1/context");

    // RO-Crate 1.1: the descriptor, the root, and that nothing refers to nowhere.
    let descriptor = &all["ro-crate-metadata.json"];
    assert_eq!(types(descriptor), ["CreativeWork"]);
    assert_eq!(refers(descriptor, "about"), ["./"]);
    assert!(refers(descriptor, "conformsTo").contains(&"https://w3id.org/ro/crate/1.1".to_string()));
    let root = &all["./"];
    assert_eq!(types(root), ["Dataset"]);
    for property in ["name", "description", "datePublished", "license"] {
        assert!(!root[property].is_null(), "{property}");
    }
    for entity in all.values() {
        for (property, value) in entity.as_object().unwrap() {
            let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            for id in values.iter().filter_map(|value| value["@id"].as_str()) {
                let outside = id.starts_with("http");
                assert!(
                    outside || all.contains_key(id),
                    "{} {property} {id}",
                    entity["@id"]
                );
            }
        }
    }
    for part in refers(root, "hasPart") {
        let path = project.at("crate").join(&part);
        assert!(path.exists(), "{part} is no file of the crate");
        let sort = if part.ends_with('/') { "Dataset" } else { "File" };
        assert!(types(&all[&part]).contains(&sort), "{part}");
    }

    // The profiles that the root claims are described.
    for (name, version) in [("process", "0.5"), ("workflow", "0.5"), ("provenance", "0.5")] {
        let id = format!("https://w3id.org/ro/wfrun/{name}/{version}");
        assert!(refers(root, "conformsTo").contains(&id));
        assert_eq!(all[&id]["version"], version);
    }

    // Workflow RO-Crate: the main entity.
    let main = &all[&refers(root, "mainEntity")[0]];
    for sort in ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"] {
        assert!(types(main).contains(&sort), "{sort}");
    }
    let language = &all[&refers(main, "programmingLanguage")[0]];
    assert_eq!(types(language), ["ComputerLanguage"]);
    for parameter in refers(main, "input").iter().chain(&refers(main, "output")) {
        assert_eq!(types(&all[parameter]), ["FormalParameter"]);
        assert!(!all[parameter]["additionalType"].is_null());
    }

    // Workflow Run Crate: the action that ran the main entity.
    let actions = of_type(&all, "CreateAction");
    let runs: Vec<&&Value> = actions
        .iter()
        .filter(|action| refers(action, "instrument") == refers(root, "mainEntity"))
        .collect();
    assert_eq!(runs.len(), 1);
    assert!(refers(root, "mentions").contains(&runs[0]["@id"].as_str().unwrap().to_string()));
    assert_eq!(refers(runs[0], "result").len(), 3);

    // Provenance Run Crate: tools, steps, and what ties them together.
    let tools = refers(main, "hasPart");
    let steps = refers(main, "step");
    let controls = of_type(&all, "ControlAction");
    assert_eq!(controls.len(), steps.len());
    assert_eq!(actions.len(), steps.len() + 1);
    for action in actions.iter().filter(|action| action["@id"] != runs[0]["@id"]) {
        assert!(tools.contains(&refers(action, "instrument")[0]), "{action}");
        assert!(!action["endTime"].is_null());
    }
    for step in &steps {
        assert_eq!(types(&all[step]), ["HowToStep"]);
        assert!(tools.contains(&refers(&all[step], "workExample")[0]));
    }
    for control in &controls {
        assert!(steps.contains(&refers(control, "instrument")[0]));
        let done = &all[&refers(control, "object")[0]];
        assert_eq!(types(done), ["CreateAction"]);
    }
    let engines = of_type(&all, "OrganizeAction");
    assert_eq!(engines.len(), 1);
    assert_eq!(
        types(&all[&refers(engines[0], "instrument")[0]]),
        ["SoftwareApplication"]
    );
    assert_eq!(refers(engines[0], "result"), [runs[0]["@id"].as_str().unwrap()]);
    assert_eq!(refers(engines[0], "object").len(), controls.len());

    // What is in the crate is what its digest says.
    let model = all
        .values()
        .find(|entity| entity["name"] == "classifier.model")
        .unwrap();
    let bytes = std::fs::read(project.at("crate").join(model["@id"].as_str().unwrap())).unwrap();
    let digest = dermflow_core::Digest::of(&bytes);
    assert_eq!(model["identifier"], format!("blake3:{digest}"));
}

#[test]
fn a_whole_run_is_told_by_its_journal() {
    let project = ran();
    let journal = crate::project::files_below(&project.at(".dermflow/runs"))
        .into_iter()
        .find(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .unwrap();
    let run = journal.file_stem().unwrap().to_string_lossy().into_owned();
    let document = json(&project, &["export-lineage", &run, "--format", "prov"]);
    assert_eq!(errors(PROV, &document), Vec::<String>::new());
    let stages = super::PIPELINE.matches("kind:").count();
    assert_eq!(document["activity"].as_object().unwrap().len(), stages);
}
