//! The whole method on the demo's photos, with networks so small that it takes seconds: what runs,
//! and what runs again after a change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dermflow_tests::{Events, Project};

use crate::project::{copy, empty};

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
fn demo() -> Project {
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

/// Rows that a stage computed, as its event tells.
fn computed_rows(events: &Events, stage: &str) -> u64 {
    let executed = events.of("stage-executed");
    let found = executed.iter().find(|event| event["stage"] == stage);
    let found = found.unwrap_or_else(|| panic!("{stage} did not run"));
    found["rows_computed"].as_u64().unwrap()
}

#[test]
fn what_runs_again_is_what_a_change_can_reach() {
    let project = demo();
    let photos: Vec<_> = files(&project.at("pipelines/demo/images/isic2017"))
        .take(10)
        .collect();
    let aside = project.at("aside");
    std::fs::create_dir_all(&aside).unwrap();
    for photo in &photos {
        std::fs::rename(photo, aside.join(photo.file_name().unwrap())).unwrap();
    }
    let first = run(&project, &[]);
    assert_eq!(first.hit(), 0);
    assert!(first.executed() > 30, "{}", first.executed());
    assert_eq!(run(&project, &[]).executed(), 0);

    // One parameter of one stage: it, and what reads its model.
    let prior = run(&project, &["--set", "prior=0.25"]);
    let behind = ["after", "attention", "retrained", "scores"];
    assert_eq!(prior.computed(), behind);

    // Five labels as found: nothing that learned from doctors' labels, and no picture, is looked
    // at again. Whether a label was found counts for the method, what it says does not.
    relabel(&project, "pipelines/demo/dirty.csv", 5);
    let relabelled = run(&project, &[]);
    assert_eq!(
        relabelled.computed(),
        [
            "as-found",
            "as-found-known",
            "audit",
            "dirty",
            "plain",
            "plain-predictions",
            "plain-scores"
        ]
    );

    // Ten more photos: they are decoded, labelled and annotated, and no other is.
    for photo in &photos {
        std::fs::rename(aside.join(photo.file_name().unwrap()), photo).unwrap();
    }
    let more = run(&project, &[]);
    assert_eq!(computed_rows(&more, "photos"), 10);
    for untouched in ["regressor", "classifier"] {
        if !more.computed().contains(&untouched.to_string()) {
            let of = if untouched == "regressor" {
                "foreground"
            } else {
                "predictions"
            };
            assert_eq!(computed_rows(&more, of), 10, "{of}");
        }
    }
}

/// The rows of a variant's artifact by their columns' names.
fn rows(project: &Project, artifact: &str) -> Vec<BTreeMap<String, String>> {
    let named = format!("unseen-melanoma:{artifact}");
    project.done(&["export", &named, "--to", "exported.csv"]);
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
    let truth = rows(&project, "truth.labels");
    let melanomas: Vec<&BTreeMap<String, String>> =
        truth.iter().filter(|row| row["label"] == "melanoma").collect();
    assert_eq!(melanomas.len(), 236);
    let melanomas: BTreeSet<&str> = melanomas.iter().map(|row| row["sample_id"].as_str()).collect();
    for learned in ["dirty", "clean", "boxes", "strong", "clean-valid", "full-true"] {
        let rows = rows(&project, &format!("{learned}.table"));
        assert!(rows.len() > 10, "{learned}");
        assert!(rows.iter().all(|row| row["label"] != "melanoma"), "{learned}");
        assert!(
            rows.iter()
                .all(|row| !melanomas.contains(row["sample_id"].as_str())),
            "{learned}"
        );
    }
    assert_eq!(rows(&project, "retrained.classes").len(), 5);

    let test = rows(&project, "test.table");
    let unseen = test.iter().filter(|row| row["label"] == "melanoma").count();
    let metrics = rows(&project, "scores.metrics");
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
    let points = rows(&project, "scores.operating-points");
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

fn files(folder: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    all.sort();
    all.into_iter()
}

/// Gives the last rows of a table of file, label, … the label `melanoma`, or `nevus` where they
/// have that. The first rows are of photos that are not there yet.
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
