//! Data that nobody could learn much from, or that doesn't fit together: a clear error, or a
//! behaviour that is stated here.

use dermflow_tests::{Events, Project};
use serde_json::{Value, json};

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

/// How many rows a table of the newest run has.
fn rows(project: &Project, artifact: &str) -> u64 {
    let shown = project.done(&["show", artifact, "--json"]).out;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    shown["rows"].as_u64().unwrap()
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
    assert_eq!(rows(&project, "labels.rejects"), 2);
}

#[test]
fn a_label_that_is_nan_or_none_is_missing_unless_told_otherwise() {
    let project = two_classes();
    // All three photos are among those that are learned from.
    relabel(&project, |at, line| match at {
        1 | 2 => label(line, "NaN"),
        6 => label(line, "None"),
        _ => line.to_string(),
    });
    project.run(&["run"]);
    assert_eq!(
        (rows(&project, "labels.labels"), rows(&project, "labels.rejects")),
        (57, 3)
    );
    assert_eq!(rows(&project, "classifier.classes"), 2);

    project.run(&["run", "--set", "stages.labels.with.null=['']"]);
    assert_eq!(
        (rows(&project, "labels.labels"), rows(&project, "labels.rejects")),
        (60, 0)
    );
    assert_eq!(rows(&project, "classifier.classes"), 4);
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

const BOXED: &str = "\
name: boxed
seed: 3
stages:
  photos: {kind: ingest, with: {root: photos, size: 32}}
  labels: {kind: import-labels, in: {samples: photos.samples}, with: {path: labels.csv}}
  boxes:
    kind: import-boxes
    in: {samples: photos.samples}
    with: {path: boxes.csv, label: label, unit: fractions, box: {corner-and-size: [x, y, w, h]}}
  heat: {kind: box-to-heatmap, in: {samples: photos.samples, boxes: boxes.boxes}}
  regressor:
    kind: regressor-train
    in: {samples: photos.samples, heatmaps: heat.heatmaps}
    with:
      architecture: {published: {name: efficientnetv2-b0, width: 0.15, depth: 0.2}}
      side: 32
      batches: {size: 8}
      training: {epochs: 1, schedule: {learning-rate: 0.003}}
  found: {kind: regressor-infer, in: {samples: photos.samples, model: regressor.model}}
  pale: {kind: filter, in: {table: labels.labels}, with: {where: {column: label, equals: pale}}}
  of-pale: {kind: join, in: {left: found.foreground, right: pale.table}, with: {how: semi}}
";

/// The classes of the newest run's regressor, as the header of its file names them.
fn regressor_classes(project: &Project) -> Value {
    project.done(&["export", "regressor.model", "--to", "regressor.safetensors"]);
    let bytes = std::fs::read(project.at("regressor.safetensors")).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let text = header["__metadata__"]["dermflow-model"].as_str().unwrap();
    let told: Value = serde_json::from_str(text).unwrap();
    told["classes"].clone()
}

#[test]
fn a_class_without_boxes_is_not_learned_by_the_annotator_which_annotates_its_photos_all_the_same() {
    let project = two_classes();
    project.write("boxed.yaml", BOXED);
    // Both classes have labels, and one has boxes.
    let boxes = (0..60).step_by(2);
    let boxes: String = boxes
        .map(|number| format!("dark/{number:02}.bmp,dark,0.2,0.3,0.5,0.4\n"))
        .collect();
    project.write("boxes.csv", format!("image,label,x,y,w,h\n{boxes}"));
    project.run(&["run", "boxed.yaml"]);
    assert_eq!(rows(&project, "labels.labels"), 60);
    assert_eq!(rows(&project, "heat.heatmaps"), 30);
    assert_eq!(regressor_classes(&project), json!(["dark"]));
    assert_eq!(rows(&project, "of-pale.table"), 30);

    // A class that is asked for without a box learns that it is nowhere.
    let asked = "stages.regressor.with.classes=[dark, pale]";
    project.run(&["run", "boxed.yaml", "--set", asked]);
    assert_eq!(regressor_classes(&project), json!(["dark", "pale"]));
    assert_eq!(rows(&project, "of-pale.table"), 30);
}
