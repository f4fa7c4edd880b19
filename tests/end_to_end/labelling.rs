//! Labels and boxes on their way to honest splits, through the program.

use std::collections::{BTreeMap, BTreeSet};

use dermflow_tests::Project;

use crate::project::empty;

const PIPELINE: &str = "\
name: labels
seed: 5
stages:
  photos:
    kind: import-table
    with:
      path: photos.csv
      key: source
      columns: {source: text, group: text, original_width: integer, original_height: integer}
  labels:
    kind: import-labels
    in: {samples: photos.table}
    with: {path: labels.csv, columns: {group: {type: text, from: patient}}}
  merged:
    kind: merge-classes
    in: {table: labels.labels}
    with: {groups: {malignant: [mel, bcc]}, map: {nv: benign}}
  boxes:
    kind: import-boxes
    in: {samples: photos.table, labels: merged.table}
    with: {path: yolo, format: yolo, classes: [lesion]}
  split:
    kind: split
    in: {samples: merged.table}
    with: {shares: {train: 0.6, test: 0.4}, exact: true}
  leaks:
    kind: check-leakage
    in: {samples: merged.table, splits: split.splits}
  next:
    kind: select-for-labelling
    in: {samples: photos.table, labelled: labels.labels}
    with: {budget: 5}
outputs:
  labels: labels.labels
  refused: labels.rejects
  boxes: boxes.boxes
  splits: split.splits
  leaks: leaks.pairs
  next: next.selection
";

/// 60 photos of 20 patients, the first 50 of them labelled, the first 10 with a box.
fn project() -> Project {
    let project = empty();
    project.write("dermflow.yaml", PIPELINE);
    let mut photos = "source,group,original_width,original_height\n".to_string();
    let mut labels = "image,label,patient\n".to_string();
    for at in 0..60 {
        photos += &format!("photos/{at}.jpg,p{},400,300\n", at % 20);
        if at < 50 {
            labels += &format!("{at}.jpg,{},p{}\n", ["nv", "mel", "bcc"][at % 3], at % 20);
        }
        if at < 10 {
            project.write(&format!("yolo/{at}.txt"), "0 0.5 0.5 0.25 0.5\n");
        }
    }
    labels += "nowhere.jpg,nv,p1\n";
    project.write("photos.csv", photos);
    project.write("labels.csv", labels);
    project
}

fn rows(project: &Project, name: &str) -> Vec<Vec<String>> {
    let text = project.read(&format!("results/labels/{name}.csv"));
    let rows = text.lines().skip(1);
    rows.map(|line| line.split(',').map(str::to_string).collect())
        .collect()
}

/// The fold of each sample.
fn folds(project: &Project) -> BTreeMap<String, String> {
    rows(project, "splits")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect()
}

#[test]
fn labels_boxes_and_patients_end_in_splits_without_leaks() {
    let project = project();
    project.run(&["run"]);
    let labels = rows(&project, "labels");
    assert_eq!(labels.len(), 50);
    let refused = project.read("results/labels/refused.csv");
    assert!(
        refused.contains("labels.csv line 52,no sample is called `nowhere.jpg`"),
        "{refused}"
    );
    let boxes = rows(&project, "boxes");
    assert!(
        boxes.len() == 10
            && boxes
                .iter()
                .all(|row| row[1..] == ["lesion", "0.375", "0.25", "0.25", "0.5"])
    );
    assert_eq!(rows(&project, "leaks").len(), 0);
    let folds = folds(&project);
    let mut of_patient: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in &labels {
        of_patient.entry(&row[2]).or_default().insert(&folds[&row[0]]);
    }
    assert!(
        of_patient.len() == 20 && of_patient.values().all(|folds| folds.len() == 1),
        "{of_patient:?}"
    );
    let labelled: BTreeSet<&str> = labels.iter().map(|row| row[0].as_str()).collect();
    let next = rows(&project, "next");
    assert!(next.len() == 5 && next.iter().all(|row| !labelled.contains(row[0].as_str())));
    assert_eq!(project.run(&["run"]).executed(), 0);
}

#[test]
fn a_split_by_image_leaks_patients_and_the_check_says_whose() {
    let project = project();
    let by_image = PIPELINE.replace("exact: true}", "group: null}");
    project.write("dermflow.yaml", by_image);
    let run = project.try_run(&["run"]);
    assert_ne!(run.code, Some(0));
    let failed = run.of("stage-failed");
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["stage"], "leaks");
    let told = failed[0].to_string();
    assert!(
        told.contains("same-group") && told.contains("both of `p"),
        "{told}"
    );
}

#[test]
fn a_misspelt_column_of_patients_is_told_where_it_stands_before_anything_runs() {
    let project = project();
    let split = ("exact: true}", "group: grop}");
    let leaks = (
        "splits: split.splits}\n",
        "splits: split.splits}\n    with: {group: grop}\n",
    );
    for (right, wrong) in [split, leaks] {
        assert_eq!(PIPELINE.matches(right).count(), 1, "{right}");
        project.write("dermflow.yaml", PIPELINE.replace(right, wrong));
        let ended = project.ended(&["check"]);
        assert_eq!(ended.code, Some(2), "{}", ended.err);
        for told in [
            "no column `grop`",
            "`group` (text)",
            "group: grop}",
            "group: null",
        ] {
            assert!(ended.err.contains(told), "{told}: {}", ended.err);
        }
    }
}

#[test]
fn added_photos_move_no_fold_where_chance_alone_decides() {
    let project = project();
    project.write("dermflow.yaml", PIPELINE.replace(", exact: true", ""));
    project.run(&["run"]);
    let before = folds(&project);
    let mut photos = project.read("photos.csv");
    let mut labels = project.read("labels.csv");
    for at in 60..90 {
        photos += &format!("photos/{at}.jpg,p{},400,300\n", at % 27);
        labels += &format!("{at}.jpg,nv,p{}\n", at % 27);
    }
    project.write("photos.csv", photos);
    project.write("labels.csv", labels);
    project.run(&["run"]);
    let after = folds(&project);
    assert_eq!((before.len(), after.len()), (50, 80));
    assert!(before.iter().all(|(sample, fold)| after[sample] == *fold));
}

#[test]
fn a_class_that_nobody_named_stops_the_run_with_its_count() {
    let project = project();
    project.write(
        "dermflow.yaml",
        PIPELINE.replace("map: {nv: benign}", "map: {nevus: benign}"),
    );
    let run = project.try_run(&["run"]);
    let told = run
        .of("stage-failed")
        .iter()
        .map(|event| event.to_string())
        .collect::<String>();
    assert!(told.contains("`nv` (17 rows)"), "{told}");
}
