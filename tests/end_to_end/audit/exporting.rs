//! `export-lineage`: each form against its published schema, or the rules of its profile.

mod openlineage;
mod profile;

use std::collections::BTreeSet;

use dermflow_tests::Project;
use jsonschema::Validator;
use profile::{Crate, RULES, by_id, refers_to, types};
use serde_json::{Value, json};

use super::{json, ran};
use crate::project::digests;

/// A schema, with its formats (dates, addresses) checked as well.
fn schema(text: &str) -> Validator {
    let schema: Value = serde_json::from_str(text).unwrap();
    let options = jsonschema::options().should_validate_formats(true);
    options.build(&schema).unwrap()
}

/// What is wrong with a document by a schema.
fn errors(validator: &Validator, document: &Value) -> Vec<String> {
    let errors = validator.iter_errors(document);
    errors
        .map(|error| format!("{}: {error}", error.instance_path))
        .collect()
}

/// The schema that was published with PROV-JSON; see `schemas/README.md`.
const PROV: &str = include_str!("schemas/prov-json.schema.json");

#[test]
fn prov_json_fits_its_schema_and_names_nothing_that_it_does_not_declare() {
    let project = ran();
    let document = json(
        &project,
        &["export-lineage", "scores.metrics", "--format", "prov"],
    );
    assert_eq!(errors(&schema(PROV), &document), Vec::<String>::new());
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
    // The schema lets these pass: names outside of the document, and times that are none.
    for activity in document["activity"].as_object().unwrap().values() {
        assert_eq!(activity["prov:type"]["type"], "prov:QUALIFIED_NAME");
        for time in ["prov:startTime", "prov:endTime"] {
            let text = activity[time].as_str().unwrap();
            assert!(
                text.len() == 24 && text.ends_with('Z') && &text[10..11] == "T",
                "{text}"
            );
        }
        let of_ours = |name: &str| name.split_once(':').map(|(prefix, _)| prefix.to_string());
        for attribute in activity.as_object().unwrap().keys() {
            let prefix = of_ours(attribute).unwrap();
            assert!(prefix == "prov" || prefixes.contains_key(&prefix), "{attribute}");
        }
    }
    // A document that breaks a rule is seen to: the schema is not empty.
    let mut broken = document.clone();
    broken["used"]["_:u1"] = json!({"prov:activity": "action:1"});
    assert!(!errors(&schema(PROV), &broken).is_empty());
}

/// The results of three sorts, in a crate.
fn exported(project: &Project) -> Crate {
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
    let again = project.ended(&arguments);
    assert_eq!(
        again.code,
        Some(1),
        "a folder with things in it is not overwritten"
    );
    Crate::read(&project.at("crate"))
}

#[test]
fn a_crate_keeps_every_rule_of_the_profiles_that_it_claims() {
    let project = ran();
    let written = exported(&project);
    for (profile, must, rule) in RULES {
        assert_eq!(rule.wrong(&written), Vec::<String>::new(), "{profile}: {must}");
    }
    // A crate that breaks a rule is seen to: no rule is empty.
    for (profile, must, rule) in RULES {
        for metadata in rule.broken(&written) {
            let folder = written.folder.clone();
            let broken = Crate { metadata, folder };
            assert!(
                !rule.wrong(&broken).is_empty(),
                "{profile}: {must}: broken, and not seen"
            );
        }
    }
}

#[test]
fn a_crate_names_its_licence_and_authors_where_they_are_told() {
    let project = ran();
    fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
        let words = ["export-lineage", "scores.metrics", "--format", "ro-crate", "--to"];
        [&words[..], more].concat()
    }
    let licence = "https://creativecommons.org/publicdomain/zero/1.0/";
    let orcid = "https://orcid.org/0000-0002-1825-0097";
    let josiah = format!("Josiah Carberry <{orcid}>");
    project.done(&with(&[
        "told",
        "--licence",
        licence,
        "--author",
        &josiah,
        "--author",
        "A. N. Other",
    ]));
    let told = Crate::read(&project.at("told"));
    for (profile, must, rule) in RULES {
        assert_eq!(rule.wrong(&told), Vec::<String>::new(), "{profile}: {must}");
    }
    let all = by_id(&told);
    assert_eq!(refers_to(all["./"], "license"), [licence]);
    assert_eq!(refers_to(all["./"], "author"), [orcid, "#author-A.%20N.%20Other"]);
    assert_eq!(all[orcid]["name"], "Josiah Carberry");
    // Nobody is made up.
    project.done(&with(&["untold"]));
    let untold = Crate::read(&project.at("untold"));
    assert!(untold.of_type("Person").is_empty());
    assert_eq!(by_id(&untold)["#licence"]["name"], "not stated");
    for wrong in [
        "",
        "<https://orcid.org/0>",
        "Name <orcid>",
        "Name <https://orcid.org/0",
    ] {
        let ended = project.ended(&with(&["never", "--author", wrong]));
        assert_eq!(ended.code, Some(2), "{wrong}: {ended:?}");
    }
    assert!(!project.at("never").exists());
}

#[test]
fn a_crate_tells_every_action_and_holds_what_it_says() {
    let project = ran();
    let written = exported(&project);
    let all = by_id(&written);
    let main = all["workflow.json"];
    let (steps, tools) = (refers_to(main, "step"), refers_to(main, "hasPart"));
    assert!(
        steps.len() > tools.len() && tools.len() > 3,
        "{steps:?} {tools:?}"
    );
    let controls = written.of_type("ControlAction");
    assert_eq!(controls.len(), steps.len());
    assert_eq!(written.of_type("CreateAction").len(), steps.len() + 1);
    let engines = written.of_type("OrganizeAction");
    assert_eq!(engines.len(), 1);
    assert_eq!(refers_to(engines[0], "object").len(), controls.len());
    assert_eq!(refers_to(engines[0], "result"), ["#run"]);
    assert_eq!(refers_to(all["#run"], "result").len(), 3);
    for id in refers_to(all["#run"], "result") {
        let parameter = refers_to(all[&id], "exampleOfWork");
        assert_eq!(
            refers_to(all[&parameter[0]], "workExample"),
            [id.as_str()],
            "they point to each other"
        );
        assert!(types(all[&id]).contains(&all[&parameter[0]]["additionalType"].as_str().unwrap()));
    }
    let model = all
        .values()
        .find(|entity| entity["name"] == "classifier.model")
        .unwrap();
    let bytes = std::fs::read(project.at("crate").join(model["@id"].as_str().unwrap())).unwrap();
    let digest = dermflow_core::Digest::of(&bytes);
    assert_eq!(model["identifier"], format!("blake3:{digest}"));
}

/// No document names an address that isn't the program's own.
#[test]
fn no_document_invents_an_address_for_the_program() {
    let project = ran();
    exported(&project);
    let mut documents = vec![project.read("crate/ro-crate-metadata.json")];
    for format in ["prov", "openlineage"] {
        documents.push(
            project
                .done(&["export-lineage", "scores.metrics", "--format", format])
                .out,
        );
    }
    let known = [
        "http://schema.org/",
        "http://www.w3.org/",
        "https://w3id.org/",
        "https://openlineage.io/",
    ];
    for document in documents {
        for (at, _) in document.match_indices("http") {
            let address = document[at..].split('"').next().unwrap();
            assert!(known.iter().any(|start| address.starts_with(start)), "{address}");
        }
        assert!(document.contains("urn:dermflow:"));
    }
}

/// Tables of what was refused are empty, and so one: two results, one file.
#[test]
fn results_with_the_same_content_are_one_file_of_a_crate() {
    let project = ran();
    let words = [
        "export-lineage",
        "photos.rejects",
        "more.rejects",
        "--format",
        "ro-crate",
        "--to",
    ];
    project.done(&[&words[..], &["crate"]].concat());
    let written = Crate::read(&project.at("crate"));
    for (profile, must, rule) in RULES {
        assert_eq!(rule.wrong(&written), Vec::<String>::new(), "{profile}: {must}");
    }
    let all = by_id(&written);
    let file = "data/photos.rejects.parquet";
    assert_eq!(
        refers_to(all[file], "exampleOfWork"),
        ["#output-photos-rejects", "#output-more-rejects"]
    );
    let files = crate::project::files_below(&project.at("crate/data"));
    assert_eq!(files, [project.at("crate").join(file)]);
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
    assert_eq!(errors(&schema(PROV), &document), Vec::<String>::new());
    let stages = super::PIPELINE.matches("kind:").count();
    assert_eq!(document["activity"].as_object().unwrap().len(), stages);
}
