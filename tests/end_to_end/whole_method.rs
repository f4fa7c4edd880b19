//! The whole method on the demo's photos, with networks so small that it takes seconds: what runs,
//! and what runs again after a change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dermflow_tests::{Events, Project};
use serde_json::Value;

use crate::project::{copy, digests, empty};

/// Settings with which pipelines that include `parts/method.yaml` learn next to nothing, fast.
pub fn small() -> Vec<String> {
    let network = "{published: {name: efficientnetv2-b0, width: 0.15, depth: 0.2}}";
    let settings = [
        ("size", "32"),
        ("classifier-size", "32"),
        ("chosen", "null"),
        ("progressive", "null"),
        ("network", network),
        ("annotator", network),
        ("annotator-epochs", "1"),
        ("classifier-epochs", "1"),
        ("epochs", "1"),
    ];
    let words = settings.map(|(name, value)| ["--set".to_string(), format!("{name}={value}")]);
    words.into_iter().flatten().collect()
}

/// A project with the repository's pipelines and the demo's photos.
pub fn demo() -> Project {
    let project = empty();
    let pipelines = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../pipelines"));
    copy(pipelines, &project.at("pipelines"));
    project
}

fn run(project: &Project, more: &[&str]) -> Events {
    let small = small();
    let mut arguments = vec!["run", "pipelines/demo.yaml"];
    arguments.extend(small.iter().map(String::as_str));
    arguments.extend(more);
    project.run(&arguments)
}

/// The first event of a sort about a stage.
fn event<'a>(events: &'a Events, sort: &str, stage: &str) -> &'a Value {
    let all = events.of(sort);
    let found = all.into_iter().find(|event| event["stage"] == stage);
    found.unwrap_or_else(|| panic!("{stage} did not run"))
}

/// How many rows a stage computed, and how many it took over.
fn row_counts(events: &Events, stage: &str) -> (u64, u64) {
    let executed = event(events, "stage-executed", stage);
    let count = |name: &str| executed[name].as_u64().unwrap();
    (count("rows_computed"), count("rows_reused"))
}

/// How many partitions a stage has that works row by row, and how many of them the store had.
fn partitions(events: &Events, stage: &str) -> (u64, u64) {
    let told = &event(events, "stage-started", stage)["partitions"];
    (told[0].as_u64().unwrap(), told[1].as_u64().unwrap())
}

const PHOTOS: &str = "pipelines/demo/images/isic2017";

/// Photos with a label as found alone: nobody cleaned it, drew a box or tests on them. Tables with
/// pixels have two partitions here, and all of these photos lie in the second.
const MORE: [&str; 10] = [
    "ISIC_0000030.jpg",
    "ISIC_0000054.jpg",
    "ISIC_0000082.jpg",
    "ISIC_0000116.jpg",
    "ISIC_0000139.jpg",
    "ISIC_0000198.jpg",
    "ISIC_0000225.jpg",
    "ISIC_0000293.jpg",
    "ISIC_0000310.jpg",
    "ISIC_0000331.jpg",
];

#[test]
fn what_runs_again_is_what_a_change_can_reach() {
    let project = demo();
    let (there, aside) = (project.at(PHOTOS), project.at("aside"));
    std::fs::create_dir_all(&aside).unwrap();
    let truth = project.read("pipelines/demo/labels.csv");
    for photo in MORE {
        let row = truth.lines().find(|row| row.contains(photo)).unwrap();
        // Whether it is in `test`, `clean` and `boxed`.
        assert!(row.ends_with(",false,false,false"), "{row}");
        std::fs::rename(there.join(photo), aside.join(photo)).unwrap();
    }
    let first = run(&project, &[]);
    assert_eq!(first.hit(), 0);
    assert_eq!(row_counts(&first, "photos"), (1062, 0));
    assert!(first.executed() > 30, "{}", first.executed());
    assert_eq!(run(&project, &[]).executed(), 0);

    // One parameter of one stage: it, and what reads its model.
    let prior = run(&project, &["--set", "prior=0.25"]);
    let behind = ["after", "attention", "finer-attention", "retrained", "scores"];
    assert_eq!(prior.computed(), behind);

    // Five labels as found: nothing that learned from doctors' labels, and no picture, is looked
    // at again. Whether a label was found counts for the method, what it says does not.
    relabel(&project, "pipelines/demo/dirty.csv", 5);
    let relabelled = run(&project, &[]);
    let mut computed = relabelled.computed();
    // Whether other labels are suspected then is for the networks to say.
    computed.retain(|stage| stage != "wrong-labels-sheet");
    assert_eq!(
        computed,
        [
            "as-found",
            "as-found-known",
            "audit",
            "dirty",
            "plain",
            "plain-labels",
            "plain-predictions",
            "plain-scores"
        ]
    );
    for stage in ["as-found-known", "dirty", "plain-labels"] {
        assert_eq!(row_counts(&relabelled, stage), (5, 853), "{stage}");
    }
    // Another model says something else of every photo.
    assert_eq!(row_counts(&relabelled, "plain-predictions"), (1062, 0));
    assert_eq!(partitions(&relabelled, "plain-predictions"), (2, 0));

    // Ten more photos: they are decoded, labelled and annotated, and no other is.
    let before = digests(&project);
    for photo in MORE {
        std::fs::rename(aside.join(photo), there.join(photo)).unwrap();
    }
    let more = run(&project, &[]);
    for stage in ["boxed", "clean", "foreground", "photos", "predictions", "test"] {
        assert_eq!(row_counts(&more, stage), (10, 1062), "{stage}");
    }
    for stage in [
        "foreground",
        "photos",
        "predictions",
        "test-foreground",
        "test-photos",
    ] {
        assert_eq!(partitions(&more, stage), (2, 1), "{stage}");
    }
    // Neither network learns from any of the ten, and neither is trained again.
    let after = digests(&project);
    for model in ["regressor.model", "classifier.model"] {
        assert_eq!(before[model], after[model], "{model}");
    }
    // Whether these run hangs on what the models say of the ten.
    let perhaps = [
        "attention",
        "finer-attention",
        "learned-labels",
        "pseudo",
        "strong",
        "test-detections",
        "unlabelled",
    ];
    let mut ran = more.computed();
    ran.retain(|stage| !perhaps.contains(&stage.as_str()));
    assert_eq!(
        ran,
        [
            "after",
            "all-boxes",
            "as-found",
            "as-found-known",
            "audit",
            "boxed",
            "boxed-photos",
            "boxes",
            "candidates",
            "clean",
            "clean-photos",
            "dirty",
            "first-scores",
            "foreground",
            "foreground-sheet",
            "known",
            "known-folds",
            "learnable",
            "not-learned",
            "photos",
            "plain",
            "plain-labels",
            "plain-predictions",
            "plain-scores",
            "predictions",
            "resample",
            "retrained",
            "scores",
            "test",
            "test-boxes",
            "test-foreground",
            "test-photos",
            "truth",
            "valid-fold",
            "wrong-labels-sheet",
        ]
    );
    let mut found = more.stages("stage-hit");
    found.retain(|stage| !perhaps.contains(&stage.as_str()));
    assert_eq!(
        found,
        [
            "classifier",
            "clean-labels",
            "clean-train",
            "clean-valid",
            "detection-scores",
            "folds",
            "foreground-scores",
            "heatmaps",
            "regressor",
            "train-fold",
        ]
    );
}

/// The rows of an artifact, such as `unseen-melanoma:test.table`, by their columns' names.
pub fn rows(project: &Project, artifact: &str) -> Vec<BTreeMap<String, String>> {
    project.done(&["export", artifact, "--to", "exported.csv"]);
    let text = project.read("exported.csv");
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_string));
    let names: Vec<String> = lines.next().unwrap().collect();
    lines
        .map(|cells| names.iter().cloned().zip(cells).collect())
        .collect()
}

/// One class is held out of all that is learned from, and stays in the test (E4).
#[test]
fn of_a_class_that_is_left_out_nothing_is_learned_and_the_scores_say_whether_the_model_tells() {
    let project = demo();
    let small = small();
    let run = |more: &[&str]| {
        let mut arguments = vec!["run", "pipelines/ablation.yaml"];
        arguments.extend(small.iter().map(String::as_str));
        arguments.extend(more);
        project.try_run(&arguments)
    };
    let misspelt = run(&["--set", "left-out=[melanom]", "--until", "scores"]);
    let failed = misspelt.of("stage-failed");
    assert!(
        failed[0]
            .to_string()
            .contains("no judged sample is of the class `melanom`"),
        "{failed:?}"
    );

    let left_out = run(&["--variant", "unseen-melanoma"]);
    assert_eq!(left_out.number("failed"), 0);
    let rows = |artifact: &str| rows(&project, &format!("unseen-melanoma:{artifact}"));
    let truth = rows("truth.labels");
    let melanomas: Vec<&BTreeMap<String, String>> =
        truth.iter().filter(|row| row["label"] == "melanoma").collect();
    assert_eq!(melanomas.len(), 236);
    let melanomas: BTreeSet<&str> = melanomas.iter().map(|row| row["sample_id"].as_str()).collect();
    for learned in ["dirty", "clean", "boxes", "strong", "clean-valid", "full-true"] {
        let rows = rows(&format!("{learned}.table"));
        assert!(rows.len() > 10, "{learned}");
        assert!(rows.iter().all(|row| row["label"] != "melanoma"), "{learned}");
        assert!(
            rows.iter()
                .all(|row| !melanomas.contains(row["sample_id"].as_str())),
            "{learned}"
        );
    }
    assert_eq!(rows("retrained.classes").len(), 5);

    let test = rows("test.table");
    let unseen = test.iter().filter(|row| row["label"] == "melanoma").count();
    let metrics = rows("scores.metrics");
    let figure = |name: &str| -> f64 {
        let found = metrics
            .iter()
            .find(|row| row["name"] == name && row["class"].is_empty() && row["slice"].is_empty());
        found.unwrap_or_else(|| panic!("{name}"))["value"]
            .parse()
            .unwrap()
    };
    assert!(unseen > 10);
    assert_eq!(figure("samples-of-unseen-classes"), unseen as f64);
    let points = rows("scores.operating-points");
    for by in ["probability", "energy"] {
        assert!((0.0..=1.0).contains(&figure(&format!("unseen-auroc-by-{by}"))));
        let point = points.iter().find(|point| point["by"] == by).unwrap();
        assert_eq!(
            (point["chosen_among"].as_str(), point["unseen"].as_str()),
            ("validation", unseen.to_string().as_str())
        );
        let rejected: f64 = point["unseen_rejected"].parse().unwrap();
        assert!(
            (figure(&format!("unseen-rejected-at-sure-by-{by}")) - rejected / unseen as f64).abs() < 1e-9
        );
    }
}

/// The labels of a table by sample.
fn labels(project: &Project, artifact: &str) -> BTreeMap<String, String> {
    let rows = rows(project, artifact).into_iter();
    rows.map(|row| (row["sample_id"].clone(), row["label"].clone()))
        .collect()
}

/// The demo's labels as found, some of which get other names.
fn renamed(project: &Project, name: impl Fn(usize, &str) -> Option<&'static str>) {
    const FOUND: &str = "pipelines/demo/dirty.csv";
    let text = project.read(FOUND);
    let lines = text.lines().enumerate().map(|(at, line)| {
        let mut cells: Vec<&str> = line.split(',').collect();
        if let Some(other) = name(at, cells[1]) {
            cells[1] = other;
        }
        cells.join(",") + "\n"
    });
    project.write(FOUND, lines.collect::<String>());
}

#[test]
fn where_the_first_classifier_agrees_the_label_as_found_is_what_it_says() {
    let project = demo();
    renamed(&project, |at, _| (at > 0 && at % 3 == 0).then_some("unsure"));
    let small = small();
    let mut arguments = vec!["run", "pipelines/ablation.yaml", "--until", "agreeing"];
    arguments.extend(small.iter().map(String::as_str));
    project.run(&arguments);
    let found = labels(&project, "dirty.table");
    let said = labels(&project, "candidates.table");
    let unsure = said.keys().filter(|sample| found[*sample] == "unsure").count();
    assert!(unsure > 100, "{unsure}");
    let same: BTreeMap<String, String> = said
        .into_iter()
        .filter(|(sample, label)| found[sample] == *label)
        .collect();
    assert!(!same.is_empty());
    assert_eq!(labels(&project, "agreeing.table"), same);
}

#[test]
fn a_class_that_is_left_out_of_your_own_data_is_out_under_all_its_names() {
    let project = demo();
    renamed(&project, |at, label| {
        (label == "nevus").then_some(["nevus", "naevus", "mole"][at % 3])
    });
    let small = small();
    let run = |more: &[&str]| -> BTreeSet<String> {
        let mut arguments = vec!["run", "pipelines/patent.yaml", "--until", "dirty"];
        arguments.extend(small.iter().map(String::as_str));
        arguments.extend(more);
        project.run(&arguments);
        labels(&project, "dirty.table").into_values().collect()
    };
    let diseases = [
        "actinic_keratosis",
        "basal_cell_carcinoma",
        "melanoma",
        "nevus",
        "seborrheic_keratosis",
        "squamous_cell_carcinoma",
    ];
    let mut names = BTreeSet::from(diseases.map(str::to_string));
    assert_eq!(run(&[]), names);
    names.remove("nevus");
    assert_eq!(run(&["--set", "left-out=[nevus]"]), names);
}

/// Gives the last rows of a table of file, label, … the label `melanoma`, or `nevus` where they
/// have that.
fn relabel(project: &Project, table: &str, rows: usize) {
    let text = project.read(table);
    let unchanged = text.lines().count() - rows;
    let changed = text.lines().enumerate().map(|(at, line)| {
        let mut cells: Vec<&str> = line.split(',').collect();
        if at >= unchanged {
            cells[1] = if cells[1] == "melanoma" {
                "nevus"
            } else {
                "melanoma"
            };
        }
        cells.join(",") + "\n"
    });
    project.write(table, changed.collect::<String>());
}
