//! In the shipped pipelines, what is learned from, what the best epoch and thresholds are chosen by,
//! and what is tested on have no picture and no patient in common.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dermflow_tests::{Events, Project};

use crate::project::{copy, empty};
use crate::whole_method::{demo, rows, small};

/// A pipeline of a project, with its settings, and how its results are named.
struct Shipped<'a> {
    project: &'a Project,
    file: &'a str,
    settings: Vec<String>,
    variant: Option<&'a str>,
}

impl Shipped<'_> {
    /// Runs up to these stages, however that ends.
    fn until(&self, stages: &[&str]) -> Events {
        let mut arguments = vec!["run", self.file];
        arguments.extend(self.settings.iter().map(String::as_str));
        if let Some(variant) = self.variant {
            arguments.extend(["--variant", variant]);
        }
        for stage in stages {
            arguments.extend(["--until", *stage]);
        }
        self.project.try_run(&arguments)
    }

    /// The samples of a stage's artifact, each with the value of a column.
    fn column(&self, artifact: &str, column: &str) -> BTreeMap<String, String> {
        let named = match self.variant {
            Some(variant) => format!("{variant}:{artifact}"),
            None => artifact.to_string(),
        };
        let rows = rows(self.project, &named);
        let pair = |row: BTreeMap<String, String>| (row["sample_id"].clone(), row[column].clone());
        rows.into_iter().map(pair).collect()
    }

    /// The samples of a stage's table.
    fn samples(&self, stage: &str) -> BTreeSet<String> {
        let all = self.column(&format!("{stage}.table"), "sample_id");
        assert!(!all.is_empty(), "{} has no {stage}", self.file);
        all.into_keys().collect()
    }

    /// Whether `learned`, the validation fold and the test are apart, by pictures and by patients.
    fn are_apart(&self, learned: &[&str], patients: &BTreeMap<String, String>) {
        let stages: Vec<&str> = learned.iter().copied().chain(["clean-valid", "test"]).collect();
        let run = self.until(&stages);
        assert_eq!(run.number("failed"), 0, "{:#?}", run.of("stage-failed"));
        let (valid, test) = (self.samples("clean-valid"), self.samples("test"));
        let of = |samples: &BTreeSet<String>| -> BTreeSet<String> {
            let known = samples.iter().filter_map(|sample| patients.get(sample));
            known.cloned().collect()
        };
        assert!(!of(&valid).is_empty() && !of(&test).is_empty(), "{}", self.file);
        let apart = |one: &BTreeSet<String>, other: &BTreeSet<String>, what: &str| {
            let cell = self.variant.unwrap_or("base");
            let both: Vec<&String> = one.intersection(other).collect();
            assert!(
                both.is_empty(),
                "{} {cell}: pictures of {what}: {both:?}",
                self.file
            );
            let (one, other) = (of(one), of(other));
            let both: Vec<&String> = one.intersection(&other).collect();
            assert!(
                both.is_empty(),
                "{} {cell}: patients of {what}: {both:?}",
                self.file
            );
        };
        apart(&valid, &test, "validation and test");
        for stage in learned {
            let samples = self.samples(stage);
            apart(&samples, &valid, &format!("{stage} and validation"));
            apart(&samples, &test, &format!("{stage} and test"));
        }
    }
}

/// The settings that make trainings small, and more.
fn small_and(more: &[&str]) -> Vec<String> {
    let mut settings = small();
    for setting in more {
        settings.extend(["--set".to_string(), (*setting).to_string()]);
    }
    settings
}

#[test]
fn the_demo_and_what_it_is_compared_with_learn_from_neither_validation_nor_test() {
    let project = demo();
    let mut shipped = Shipped {
        project: &project,
        file: "pipelines/demo.yaml",
        settings: small(),
        variant: None,
    };
    shipped.until(&["truth", "dirty", "clean-valid"]);
    let patients = shipped.column("truth.labels", "patient");
    // There is something to keep out: validation pictures have labels as found, and their patients
    // have further pictures.
    let (dirty, valid) = (shipped.samples("dirty"), shipped.samples("clean-valid"));
    assert!(!dirty.is_disjoint(&valid));
    let of_valid: BTreeSet<&String> = valid.iter().map(|sample| &patients[sample]).collect();
    let further = |sample: &String| !valid.contains(sample) && of_valid.contains(&patients[sample]);
    assert!(dirty.iter().any(further));

    shipped.are_apart(&["clean-train", "learned-labels", "plain-labels"], &patients);
    shipped.file = "pipelines/ablation.yaml";
    for variant in [None, Some("dirty-only"), Some("all-true"), Some("teacher-only")] {
        shipped.variant = variant;
        shipped.are_apart(&["clean-train", "learned-labels"], &patients);
    }
}

#[test]
fn made_up_photos_to_validate_and_test_by_are_not_learned_from() {
    let project = demo();
    let few = ["images=120", "held-out=30", "clean-rows=60", "boxed-rows=20"];
    let mut shipped = Shipped {
        project: &project,
        file: "pipelines/scenes.yaml",
        settings: small_and(&few),
        variant: None,
    };
    for variant in [None, Some("dirty-only"), Some("all-true"), Some("teacher-only")] {
        shipped.variant = variant;
        shipped.until(&["patients", "unlike-patients"]);
        let mut patients = shipped.column("patients.table", "group");
        // The two sets are drawn apart, so one number in both is not one patient.
        let others = shipped.column("unlike-patients.table", "group");
        patients.extend(
            others
                .into_iter()
                .map(|(sample, patient)| (sample, format!("held out {patient}"))),
        );
        shipped.are_apart(&["clean-train", "learned-labels"], &patients);
    }
}

/// The demo's labels with another value in a column of one photo.
fn relabelled(project: &Project, photo: &str, column: &str, value: &str) {
    const LABELS: &str = "pipelines/demo/labels.csv";
    let text = project.read(LABELS);
    let names: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let at = names.iter().position(|name| *name == column).unwrap();
    let mut changed = 0;
    let lines = text.lines().map(|line| {
        let mut cells: Vec<&str> = line.split(',').collect();
        if cells[0] == photo {
            changed += 1;
            cells[at] = value;
        }
        cells.join(",") + "\n"
    });
    let lines: String = lines.collect();
    assert_eq!(changed, 1, "{photo}");
    project.write(LABELS, lines);
}

/// A held-out photo of the demo, and a clean one, each of a patient of its own.
const HELD_OUT: &str = "pad_ufes20/PAT_112_168_360.jpg";
const CLEAN: &str = "isic2017/ISIC_0000004.jpg";

#[test]
fn a_test_picture_that_stands_in_the_lists_of_your_own_data_is_not_learned_from() {
    let project = demo();
    let dirty = project.read("pipelines/demo/dirty.csv");
    assert!(!dirty.contains(HELD_OUT));
    project.write(
        "pipelines/demo/dirty.csv",
        format!("{dirty}{HELD_OUT},basal_cell_carcinoma,PAT_112\n"),
    );
    relabelled(&project, HELD_OUT, "clean", "true");
    let shipped = Shipped {
        project: &project,
        file: "pipelines/patent.yaml",
        settings: small(),
        variant: None,
    };
    let run = shipped.until(&["truth", "as-found", "test", "boxes", "dirty", "candidates"]);
    assert_eq!(run.number("failed"), 0, "{:#?}", run.of("stage-failed"));
    let both: Vec<String> = {
        let found = shipped.column("as-found.labels", "label");
        let test = shipped.samples("test");
        found.into_keys().filter(|sample| test.contains(sample)).collect()
    };
    assert_eq!(both.len(), 1, "the test picture has a label as found");
    let doctors = shipped.column("truth.labels", "clean");
    assert_eq!(doctors[&both[0]], "true");
    for stage in ["boxes", "dirty", "candidates", "clean", "learnable"] {
        assert!(!shipped.samples(stage).contains(&both[0]), "{stage}");
    }
    let patients = shipped.column("truth.labels", "patient");
    shipped.are_apart(&["clean-train", "learned-labels"], &patients);
}

#[test]
fn a_patient_of_the_test_of_whom_something_is_learned_ends_the_run() {
    let project = demo();
    let shipped = Shipped {
        project: &project,
        file: "pipelines/patent.yaml",
        settings: small(),
        variant: None,
    };
    assert_eq!(shipped.until(&["patients-apart"]).number("failed"), 0);
    relabelled(&project, CLEAN, "patient", "PAT_112");
    let run = shipped.until(&["patients-apart"]);
    assert_eq!(run.code, Some(1));
    let failed = run.of("stage-failed");
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!(failed[0]["stage"], "patients-apart");
    assert!(failed[0].to_string().contains("PAT_112"), "{failed:#?}");
}

/// The two real sets, where they are there: up to the tables, which needs no training.
#[test]
fn on_real_sets_validation_and_test_are_not_learned_from() {
    let shared = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared"));
    let sets = ["isic2017", "pad_ufes20", "pad_cutouts"];
    let there = sets.iter().all(|set| shared.join("data").join(set).is_dir());
    let (Ok(shared), true) = (shared.canonicalize(), there) else {
        eprintln!("skipped: the pictures below ../shared/data are not there");
        return;
    };
    let project = empty();
    let pipelines = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../pipelines"));
    copy(pipelines, &project.at("pipelines"));
    let weights = shared.join("weights/tf_efficientnet_lite0.imagenet.safetensors");
    let places = [
        "size=32".to_string(),
        format!("data={}", shared.join("data").display()),
        format!("weights={}", weights.display()),
    ];
    let settings: Vec<String> = places
        .into_iter()
        .flat_map(|setting| ["--set".to_string(), setting])
        .collect();
    for (file, truth) in [("pad", "truth.table"), ("isic", "truth.labels")] {
        let file = format!("pipelines/{file}.yaml");
        for variant in ["dirty-only", "all-true", "clean-only"] {
            let shipped = Shipped {
                project: &project,
                file: &file,
                settings: settings.clone(),
                variant: Some(variant),
            };
            let (stage, _) = truth.split_once('.').unwrap();
            shipped.until(&[stage]);
            let patients = shipped.column(truth, "patient");
            shipped.are_apart(&["clean-train", "learned-labels"], &patients);
        }
    }
}
