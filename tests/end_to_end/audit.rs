//! What a reviewer asks: lineage, samples, verification, forgetting, reproduction, papers. On a
//! pipeline with the demo's photos: two folders brought together, a table without photos, labels,
//! folds, a classifier that is trained for a moment, its predictions and scores, and a program.

mod cards;
mod comparing;
mod exporting;
mod forgetting;
mod reproducing;
mod signing;
mod tracing;
mod verifying;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use dermflow_tests::Project;
use serde_json::Value;

use crate::project::{COUNT, copy, empty};

/// The patient of the demo with photos in both folders, whom the tests ask about.
pub const PATIENT: &str = "PAT_286";

/// A patient whom nothing is done to.
pub const OTHER: &str = "PAT_1547";

/// Photos of a set, taken in the order of their names.
const PHOTOS: usize = 14;

pub const PIPELINE: &str = "\
name: audit
seed: 7
params: {oldest: 60, epochs: 1}
stages:
  photos: {kind: ingest, with: {root: photos, size: 24, pattern: '{set}/*'}}
  more: {kind: ingest, with: {root: more, size: 24, pattern: '{set}/*'}}
  all: {kind: concat, in: {tables: [photos.samples, more.samples]}, with: {unique: true}}
  truth:
    kind: import-table
    with:
      path: labels.csv
      key: file
      columns: {file: text, label: text, patient: text, age: {type: integer, nullable: true}}
      unique: true
  labels:
    kind: import-labels
    in: {samples: all.table}
    with:
      path: labels.csv
      image: file
      columns: {patient: text, age: {type: integer, nullable: true}}
  split:
    kind: split
    in: {samples: labels.labels}
    with: {shares: {train: 0.6, valid: 0.2, test: 0.2}, group: patient}
  young:
    kind: filter
    in: {table: labels.labels}
    with: {where: {column: age, below: '${oldest}'}}
  some: {kind: sample, in: {table: labels.labels}, with: {rows: 8}}
  dated: {kind: join, in: {left: labels.labels, right: split.splits}}
  report:
    kind: process
    in: {names: truth.table}
    with: {command: [/bin/sh, count.sh], files: [count.sh], outputs: {text: files}}
  other-report:
    kind: process
    in: {names: young.table}
    with: {command: [/bin/sh, count.sh], files: [count.sh], outputs: {text: files}}
  classifier:
    kind: classifier-train
    in: {samples: all.table, labels: labels.labels, splits: split.splits}
    with:
      architecture: {published: {name: efficientnetv2-b0, width: 0.15, depth: 0.2}}
      side: 24
      batches: {size: 8}
      training: {epochs: '${epochs}', schedule: {learning-rate: 0.002}}
  predicted: {kind: classifier-infer, in: {samples: all.table, model: classifier.model}}
  scores:
    kind: evaluate
    in: {predictions: predicted.predictions, truth: labels.labels, classes: classifier.classes}
    with: {bootstrap: {resamples: 20}}
variants:
  elder: {oldest: 80}
outputs:
  truth: truth.table
  model: classifier.model
  metrics: scores.metrics
  report: report.text
";

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("pipelines/demo")
}

/// Every row of the demo's labels, by file: `file,label,patient,age`.
fn rows() -> Vec<[String; 4]> {
    let text = std::fs::read_to_string(demo().join("labels.csv")).unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        [0, 1, 2, 3].map(|at| cells[at].to_string())
    };
    text.lines().skip(1).map(row).collect()
}

/// A project with some photos of each set, all those of the two patients among them, the first of
/// each in `photos/` and the others in `more/`; without the patient that is left out.
pub fn written(without: Option<&str>) -> Project {
    let project = empty();
    let mut kept: Vec<[String; 4]> = Vec::new();
    let mut of_set: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows() {
        let [file, _, patient, _] = &row;
        let set = file.split('/').next().unwrap().to_string();
        let count = of_set.entry(set).or_default();
        let asked = [PATIENT, OTHER].contains(&patient.as_str());
        if asked || *count < PHOTOS {
            *count += usize::from(!asked);
            kept.push(row);
        }
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut table = "file,label,patient,age\n".to_string();
    for [file, label, patient, age] in &kept {
        let number = seen.entry(patient.clone()).or_default();
        *number += 1;
        if without == Some(patient.as_str()) {
            continue;
        }
        let folder = if *number == 1 { "photos" } else { "more" };
        let bytes = std::fs::read(demo().join("images").join(file)).unwrap();
        project.write(&format!("{folder}/{file}"), bytes);
        table += &format!("{file},{label},{patient},{age}\n");
    }
    project.write("labels.csv", table);
    project.write("count.sh", COUNT);
    project.write("dermflow.yaml", PIPELINE);
    project
}

/// A project in which the pipeline ran; made once, and copied.
pub fn ran() -> Project {
    static FIRST: OnceLock<Project> = OnceLock::new();
    let first = FIRST.get_or_init(|| {
        let project = written(None);
        project.run(&["run"]);
        project
    });
    let project = empty();
    for name in [
        "photos",
        "more",
        "labels.csv",
        "count.sh",
        "dermflow.yaml",
        ".dermflow",
        "results",
    ] {
        copy(&first.at(name), &project.at(name));
    }
    project
}

pub fn json(project: &Project, arguments: &[&str]) -> Value {
    let out = project.done(arguments).out;
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// The names of files of a patient, below the two folders.
pub fn files_of(project: &Project, patient: &str) -> Vec<String> {
    let all = crate::project::files_below(project.path());
    let of_patient = all.into_iter().filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(&format!("{patient}_")) && !path.starts_with(project.at("results"))
    });
    of_patient
        .map(|path| {
            path.strip_prefix(project.path())
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}
