//! Data that nobody could learn much from, or that doesn't fit together: a clear error, or a
//! behaviour that is stated here.

use dermflow_tests::{Events, Project};

use crate::classifying::two_classes;

/// The one stage that failed, and what was said of it.
fn failure(run: &Events) -> (String, String) {
    assert_eq!(run.code, Some(1), "{}", run.err);
    let failed = run.of("stage-failed");
    let first = failed.first().unwrap_or_else(|| panic!("nothing failed"));
    (first["stage"].as_str().unwrap().to_string(), first.to_string())
}

fn relabel(project: &Project, change: impl Fn(usize, &str) -> String) {
    let text = project.read("labels.csv");
    let lines = text.lines().enumerate().map(|(at, line)| match at {
        0 => line.to_string(),
        _ => change(at, line),
    });
    let changed: Vec<String> = lines.collect();
    project.write("labels.csv", changed.join("\n") + "\n");
}

fn label(line: &str, label: &str) -> String {
    format!("{},{label}", line.split(',').next().unwrap())
}

#[test]
fn one_class_alone_can_not_be_learned() {
    let project = two_classes();
    relabel(&project, |_, line| label(line, "dark"));
    let (stage, said) = failure(&project.try_run(&["run"]));
    assert_eq!(stage, "classifier");
    assert!(said.contains("class") && said.contains("dark"), "{said}");
}

#[test]
fn a_class_of_one_photo_is_a_class() {
    let project = two_classes();
    // The first photo is one of those that are learned from.
    relabel(&project, |at, line| match at {
        1 => label(line, "rare"),
        _ => line.to_string(),
    });
    project.run(&["run"]);
    let shown = project.done(&["show", "classifier.classes"]).out;
    assert!(shown.contains("rare"), "{shown}");
}

#[test]
fn a_row_without_a_label_is_refused_and_the_others_are_learned_from() {
    let project = two_classes();
    relabel(&project, |at, line| match at {
        1 | 2 => label(line, ""),
        _ => line.to_string(),
    });
    project.run(&["run"]);
    let refused = project.done(&["show", "labels.rejects", "--json"]).out;
    let refused: serde_json::Value = serde_json::from_str(&refused).unwrap();
    assert_eq!(refused["rows"], 2, "{refused}");
}

#[test]
fn classes_that_are_not_the_models_are_named() {
    let project = two_classes();
    project.run(&["run"]);
    let asked = "stages.classifier.with.classes=[dark, green]";
    let (stage, said) = failure(&project.try_run(&["run", "--set", asked]));
    assert_eq!(stage, "classifier");
    assert!(said.contains("pale"), "{said}");
    let few = "stages.scores.in.classes=null";
    let list = "stages.scores.with.classes=[dark]";
    let (stage, said) = failure(&project.try_run(&["run", "--set", few, "--set", list]));
    assert_eq!(stage, "scores");
    assert!(said.contains("probabilities"), "{said}");
}

#[test]
fn pictures_smaller_than_the_networks_stride_are_learned_from() {
    let project = two_classes();
    let side = "stages.classifier.with.side=8";
    let run = project.run(&["run", "--set", side, "--set", "stages.photos.with.size=5"]);
    assert!(run.executed() > 0);
}

#[test]
fn labels_without_any_photo_leave_nothing_to_learn_from() {
    let project = two_classes();
    relabel(&project, |at, _| {
        format!("gone/{at}.bmp,{}", ["dark", "pale"][at % 2])
    });
    let (stage, said) = failure(&project.try_run(&["run"]));
    assert_eq!(stage, "classifier");
    assert!(said.contains("2 classes are needed, and there is none"), "{said}");
}
