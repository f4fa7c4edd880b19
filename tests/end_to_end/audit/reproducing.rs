//! `reproduce`: the same again, from records alone; and where it isn't, at which action.

use super::{json, ran};
use crate::project::{digests, empty};

#[test]
fn a_model_and_its_scores_come_out_the_same_without_the_pipeline_file() {
    let project = ran();
    // A run in this place tells the store where the files lie now.
    project.run(&["run"]);
    std::fs::remove_file(project.at("dermflow.yaml")).unwrap();
    let told = json(&project, &["reproduce", "scores.metrics", "--json"]);
    assert_eq!(told["same"], true, "{told:#}");
    let stages: Vec<&str> = told["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["stage"].as_str().unwrap())
        .collect();
    for stage in [
        "photos",
        "more",
        "all",
        "labels",
        "split",
        "classifier",
        "predicted",
        "scores",
    ] {
        assert!(stages.contains(&stage), "{stages:?}");
    }
    assert_eq!(
        json(&project, &["reproduce", "report.text", "--json"])["same"],
        true
    );
}

/// A project whose store knows of no files but its own: the first one's lie still where they were.
fn known_here() -> dermflow_tests::Project {
    let project = ran();
    std::fs::remove_file(project.at(".dermflow/sources")).unwrap();
    assert_eq!(project.run(&["run"]).executed(), 0);
    project
}

#[test]
fn one_action_alone_takes_its_inputs_from_the_store() {
    let project = known_here();
    for name in ["photos", "more"] {
        std::fs::remove_dir_all(project.at(name)).unwrap();
    }
    let told = json(&project, &["reproduce", "classifier.model", "--only", "--json"]);
    assert_eq!(
        (told["same"].as_bool(), told["steps"].as_array().unwrap().len()),
        (Some(true), 1)
    );
    let ended = project.ended(&["reproduce", "classifier.model"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("--sources"), "{}", ended.err);
}

#[test]
fn moved_files_are_found_by_content() {
    let project = known_here();
    std::fs::create_dir(project.at("elsewhere")).unwrap();
    for name in ["photos", "more", "labels.csv", "count.sh"] {
        std::fs::rename(project.at(name), project.at("elsewhere").join(name)).unwrap();
    }
    let told = json(
        &project,
        &["reproduce", "dated.table", "--sources", "elsewhere", "--json"],
    );
    assert_eq!(told["same"], true, "{told:#}");
    // What was found is what was there, or it isn't taken.
    let text = project.read("elsewhere/labels.csv");
    project.write("elsewhere/labels.csv", text.replacen("nevus", "melanoma", 1));
    let ended = project.ended(&["reproduce", "dated.table", "--sources", "elsewhere"]);
    assert!(
        ended.code == Some(1) && ended.err.contains("labels.csv"),
        "{}",
        ended.err
    );
}

#[test]
fn the_first_action_that_gives_something_else_is_named() {
    let project = empty();
    project.write("data.csv", "image,label\na,1\nb,2\n");
    project.write("clock.sh", "date +%N > outputs/text/now.txt\n");
    project.write("after.sh", "ls inputs > outputs/text/listing.txt 2>&1 || true\n");
    project.write(
        "dermflow.yaml",
        "name: clock
stages:
  rows: {kind: import-table, with: {path: data.csv, key: image, columns: {label: integer}}}
  clock: {kind: process, in: {rows: rows.table}, with: {command: [/bin/sh, clock.sh], files: [clock.sh], outputs: {text: files}}}
  after: {kind: process, in: {clock: clock.text}, with: {command: [/bin/sh, after.sh], files: [after.sh], outputs: {text: files}}}
outputs: {after: after.text}
",
    );
    project.run(&["run"]);
    let ended = project.ended(&["reproduce", "after.text"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.out.contains("same     rows"), "{}", ended.out);
    assert!(ended.out.contains("DIFFERS  clock"), "{}", ended.out);
    assert!(ended.out.contains("1 after it were not run"), "{}", ended.out);
    // The store itself is as it was.
    assert_eq!(project.run(&["run"]).executed(), 0);
    assert!(digests(&project).contains_key("after.text"));
}
