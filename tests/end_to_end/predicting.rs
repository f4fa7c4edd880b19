//! `predict`: what a trained classifier says of files, as in the pipeline that trained it.

use dermflow_tests::Project;
use serde_json::Value;

use crate::classifying::{photo, two_classes};

/// JSON lines by the last part of the file's path.
fn lines(text: &str) -> Vec<(String, Value)> {
    text.lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let name = value["path"]
                .as_str()
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap()
                .to_string();
            (name, value)
        })
        .collect()
}

fn trained() -> Project {
    let project = two_classes();
    project.run(&["run"]);
    project
}

#[test]
fn a_model_says_of_files_what_it_says_in_the_pipeline_by_whatever_name() {
    let project = trained();
    let by_stage = project.done(&[
        "predict",
        "--model",
        "classifier.model",
        "photos",
        "--format",
        "json",
    ]);
    let said = lines(&by_stage.out);
    assert_eq!(said.len(), 60);
    // The digest of the same model, and its file among the results.
    let listed = project.done(&["ls", "--json"]);
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    let all = listed.as_array().unwrap();
    let of = |name: &str| {
        let found = all.iter().find(|artifact| artifact["name"] == name);
        found.unwrap_or_else(|| panic!("{name}"))["artifact"]
            .as_str()
            .unwrap()
            .to_string()
    };
    let digest = of("classifier.model");
    let file = "results/shades/model.safetensors";
    for model in [&digest[..12], file] {
        let again = project.done(&["predict", "-m", model, "photos/**/*.bmp", "--format", "json"]);
        let paths = |out: &str| -> Vec<Value> { lines(out).into_iter().map(|(_, value)| value).collect() };
        assert_eq!(paths(&again.out), paths(&by_stage.out), "{model}");
    }
    let soft = [
        "predict", "-m", file, "photos", "--filter", "box", "--size", "12", "--format", "json",
    ];
    assert_ne!(project.done(&soft).out, by_stage.out);
    // The pipeline's own predictions, by sample.
    project.done(&["export", "said.predictions", "--to", "said.csv"]);
    let table = project.read("said.csv");
    let mut rows = table.lines();
    let heading: Vec<&str> = rows.next().unwrap().split(',').collect();
    let at = |name: &str| heading.iter().position(|own| *own == name).unwrap();
    let (sample, label, probability) = (at("sample_id"), at("label"), at("probability"));
    let mut compared = 0;
    for row in rows {
        let cells: Vec<&str> = row.split(',').collect();
        let (_, value) = said
            .iter()
            .find(|(_, value)| value["sample"] == cells[sample])
            .unwrap_or_else(|| panic!("{row}"));
        assert_eq!(value["class"], cells[label]);
        let told = value["probability"].as_f64().unwrap() as f32;
        assert_eq!(told, cells[probability].parse::<f32>().unwrap(), "{row}");
        compared += 1;
    }
    assert_eq!(compared, 60);
}

#[test]
fn files_that_are_no_pictures_are_told_and_the_others_done() {
    let project = trained();
    project.write("new/a.bmp", photo(30, 900));
    project.write("new/b.jpg", "no picture at all");
    project.write("new/c.bmp", photo(160, 901));
    let arguments = [
        "predict",
        "--model",
        "classifier.model",
        "new",
        "gone.png",
        "new/*.tiff",
        "--format",
        "csv",
    ];
    let ended = project.ended(&arguments);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    for (name, reason) in [
        ("new/b.jpg", "no JPEG, PNG"),
        ("gone.png", "no such file"),
        ("new/*.tiff", "no file fits"),
    ] {
        let line = ended.err.lines().find(|line| line.starts_with(name));
        assert!(
            line.is_some_and(|line| line.contains(reason)),
            "{name}: {}",
            ended.err
        );
    }
    assert!(ended.err.contains("2 pictures, and 3"), "{}", ended.err);
    let rows: Vec<&str> = ended.out.lines().collect();
    assert_eq!(rows.len(), 6, "{}", ended.out);
    assert!(rows[0].starts_with("path,sample,class,probability,energy,rejected,error,probability of dark"));
    assert!(
        rows[1].starts_with("new/a.bmp,") && rows[2].contains("no JPEG"),
        "{}",
        ended.out
    );
}

#[test]
fn the_model_says_that_it_does_not_know_below_a_threshold_or_an_operating_point() {
    let project = trained();
    let rejected = |more: &[&str]| -> Vec<bool> {
        let mut arguments = vec![
            "predict",
            "--model",
            "classifier.model",
            "photos",
            "--format",
            "json",
        ];
        arguments.extend(more);
        let out = project.done(&arguments).out;
        lines(&out)
            .iter()
            .map(|(_, value)| value["rejected"].as_bool().unwrap())
            .collect()
    };
    assert!(
        rejected(&["--reject-below", "0"])
            .iter()
            .all(|rejected| !rejected)
    );
    let sure = rejected(&["--reject-below", "0.99"]);
    let by_name = rejected(&["--operating-point", "scores.operating-points", "--point", "sure"]);
    assert_eq!(by_name, sure);
    let file = "results/shades/points.parquet";
    assert_eq!(rejected(&["--operating-point", file, "--point", "sure"]), sure);
    let several = project.ended(&[
        "predict",
        "-m",
        "classifier.model",
        "photos",
        "--operating-point",
        file,
    ]);
    assert_eq!(several.code, Some(1));
    assert!(several.err.contains("`cautious`, `sure`"), "{}", several.err);
}

#[test]
fn pictures_show_where_the_model_looks_and_tables_can_be_written() {
    let project = trained();
    let painted = project.done(&[
        "predict",
        "-m",
        "classifier.model",
        "photos/dark",
        "--format",
        "pictures",
        "--to",
        "looks",
        "--views",
        "flips",
    ]);
    assert_eq!(painted.out.lines().count(), 31, "{}", painted.out);
    let files: Vec<_> = std::fs::read_dir(project.at("looks")).unwrap().collect();
    assert_eq!(files.len(), 30);
    let bytes = std::fs::read(files[0].as_ref().unwrap().path()).unwrap();
    assert!(bytes.starts_with(b"\x89PNG"));
    project.done(&[
        "predict",
        "-m",
        "classifier.model",
        "photos",
        "--format",
        "parquet",
        "--to",
        "said.parquet",
    ]);
    let bytes = std::fs::read(project.at("said.parquet")).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    let needed = project.ended(&[
        "predict",
        "-m",
        "classifier.model",
        "photos",
        "--format",
        "parquet",
    ]);
    assert!(
        needed.code == Some(1) && needed.err.contains("--to"),
        "{}",
        needed.err
    );
}

#[test]
fn what_is_no_classifier_is_refused_in_words() {
    let project = trained();
    for (model, words) in [
        ("said.predictions", "a model was expected"),
        ("nonsense", "no stage of a run"),
        ("labels.csv", "labels.csv"),
    ] {
        let ended = project.ended(&["predict", "--model", model, "photos"]);
        assert_eq!(ended.code, Some(1), "{model}");
        assert!(ended.err.contains(words), "{model}: {}", ended.err);
    }
    let elsewhere = project.ended(&["predict", "--model", "m.safetensors", "photos", "--store", "none"]);
    assert!(elsewhere.err.contains("is no file"), "{}", elsewhere.err);
    assert_eq!(project.ended(&["predict", "--model", "m"]).code, Some(2));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    use std::io::{BufRead, BufReader, Read};
    let project = trained();
    let mut child = project.spawn(&["predict", "-m", "classifier.model", "photos", "--format", "json"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("\"class\""));
    drop(lines);
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}
