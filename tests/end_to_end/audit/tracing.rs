//! `trace` against a scan of everything, and against what is known of the pipeline.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::Array;
use dermflow_core::{Artifact, SampleId};
use dermflow_store::{Store, TableReader};
use serde_json::Value;

use super::{OTHER, PATIENT, files_of, json, ran};

/// For each table that any record names: how many rows of these samples it has, by reading all.
fn scanned(store: &Store, ids: &BTreeSet<SampleId>) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for key in store.records() {
        let record = store.get_record(&key).unwrap().unwrap();
        for artifact in record.outputs.values() {
            let Artifact::Table(table) = artifact else {
                continue;
            };
            let mut rows = 0;
            for batch in TableReader::open(store, table, None).unwrap() {
                let batch = batch.unwrap();
                let column = batch.column(0).to_data();
                let bytes = column.buffers()[0].as_slice();
                let start = 32 * column.offset();
                for id in bytes[start..start + 32 * batch.num_rows()].chunks_exact(32) {
                    rows += u64::from(ids.contains(&SampleId::from_bytes(id.try_into().unwrap())));
                }
            }
            if rows > 0 {
                found.insert(artifact.name().hex(), rows);
            }
        }
    }
    found
}

fn rows_of(trace: &Value) -> BTreeMap<String, u64> {
    let reached = trace["reached"].as_array().unwrap().iter();
    let with_rows = reached.filter(|one| one["level"] == "rows");
    with_rows
        .map(|one| {
            let name = one["artifact"].as_str().unwrap().to_string();
            (name, one["rows"].as_u64().unwrap())
        })
        .collect()
}

fn ids_of(trace: &Value) -> BTreeSet<SampleId> {
    let ids = trace["samples"]["ids"].as_object().unwrap().keys();
    ids.map(|id| id.parse().unwrap()).collect()
}

fn names(trace: &Value, level: &str) -> BTreeSet<String> {
    let reached = trace["reached"].as_array().unwrap().iter();
    let at = reached.filter(|one| one["level"] == level);
    at.map(|one| one["name"].as_str().unwrap().to_string()).collect()
}

/// Only tables of stages are shown, and those of a map's partitions as the map.
fn of_stages(store: &Store, scanned: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut shown = BTreeSet::new();
    for journal in store.list_journals() {
        for line in store.read_journal(&journal).unwrap() {
            for name in line["outputs"]
                .as_object()
                .into_iter()
                .flat_map(|outputs| outputs.iter())
            {
                if !name.0.starts_with('.') {
                    shown.insert(name.1.as_str().unwrap().to_string());
                }
            }
        }
    }
    scanned
        .into_iter()
        .filter(|(name, _)| shown.contains(name))
        .collect()
}

#[test]
fn a_trace_names_the_tables_that_a_scan_of_everything_names() {
    let project = ran();
    let store = Store::open_existing(project.at(".dermflow")).unwrap();
    for patient in [PATIENT, OTHER] {
        let trace = json(&project, &["trace", patient, "--json"]);
        let ids = ids_of(&trace);
        let photos = files_of(&project, patient).len();
        // Each photo by its content and by its row of the table without photos.
        assert_eq!(ids.len(), 2 * photos, "{trace:#}");
        let expected = of_stages(&store, scanned(&store, &ids));
        assert_eq!(rows_of(&trace), expected, "{patient}");
        assert!(expected.len() >= 8, "{expected:?}");
    }
}

#[test]
fn a_photo_is_found_by_its_file_its_id_its_digits_its_name_and_its_patient() {
    let project = ran();
    let photos = files_of(&project, PATIENT);
    let photo = &photos[0];
    let by_file = json(&project, &["trace", photo, "--json"]);
    let ids = ids_of(&by_file);
    assert_eq!(ids.len(), 2, "{by_file:#}");
    let content = SampleId::of_content(&std::fs::read(project.at(photo)).unwrap()).to_string();
    let name = photo.split_once('/').unwrap().1;
    for asked in [content.as_str(), &content[..10], name] {
        let trace = json(&project, &["trace", asked, "--json"]);
        assert_eq!(ids_of(&trace), ids, "{asked}");
        assert_eq!(rows_of(&trace), rows_of(&by_file), "{asked}");
    }
    let column = format!("patient={PATIENT}");
    let all = json(&project, &["trace", &column, "--json"]);
    assert_eq!(
        ids_of(&all),
        ids_of(&json(&project, &["trace", PATIENT, "--json"]))
    );
    let several: Vec<&str> = std::iter::once("trace")
        .chain(photos.iter().map(String::as_str))
        .chain(["--json"])
        .collect();
    assert_eq!(ids_of(&json(&project, &several)), ids_of(&all));
}

#[test]
fn beyond_rows_a_trace_says_what_was_made_from_them_and_through_what() {
    let project = ran();
    let trace = json(&project, &["trace", PATIENT, "--json"]);
    let rows = names(&trace, "rows");
    for table in [
        "photos.samples",
        "more.samples",
        "all.table",
        "truth.table",
        "labels.labels",
        "split.splits",
    ] {
        assert!(rows.contains(table), "{table}: {rows:?}");
    }
    let made = names(&trace, "from");
    assert!(made.contains("report.text"), "a program's result: {made:?}");
    let report = trace["reached"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "report.text");
    assert!(report.unwrap()["why"].as_str().unwrap().contains("can't be seen"));
    // The truth is scored on all folds, so the patient is in the scores whatever the fold.
    assert!(made.contains("scores.metrics"), "{made:?}");

    // A photo is in one fold, and the model knows those that it learns from or chooses by.
    for photo in files_of(&project, PATIENT)
        .iter()
        .chain(&files_of(&project, OTHER))
    {
        let trace = json(&project, &["trace", photo, "--json"]);
        let fold = fold_of(&project, photo);
        let made = names(&trace, "from").contains("classifier.model");
        assert_eq!(made, fold != "test", "{photo} in {fold}");
        let unused = trace["unused"].as_array().unwrap();
        assert_eq!(unused.is_empty(), fold != "test", "{unused:?}");
        if made {
            assert!(names(&trace, "from").contains("classifier.history"));
        }
    }
    let told = project.done(&["trace", PATIENT]).out;
    assert!(
        told.contains("tables with rows of them") && told.contains("import-table"),
        "{told}"
    );
}

fn fold_of(project: &dermflow_tests::Project, photo: &str) -> String {
    project.done(&["export", "split.splits", "--to", "folds.csv"]);
    let id = SampleId::of_content(&std::fs::read(project.at(photo)).unwrap()).to_string();
    let folds = project.read("folds.csv");
    let line = folds.lines().find(|line| line.starts_with(&id)).unwrap();
    line.split(',').nth(1).unwrap().to_string()
}

#[test]
fn what_is_no_sample_is_refused_with_the_ways_to_name_one() {
    let project = ran();
    for nothing in ["PAT_0", "label=none", "ffffffffffffffff"] {
        let ended = project.ended(&["trace", nothing]);
        assert_eq!(ended.code, Some(1), "{nothing}");
        assert!(ended.err.contains("no sample of this store"), "{}", ended.err);
    }
    // An image that was never ingested has an id, which nothing holds.
    project.write("stranger.jpg", "not among them");
    assert!(
        project
            .done(&["trace", "stranger.jpg"])
            .out
            .contains("nothing on record")
    );
}
