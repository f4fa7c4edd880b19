//! `card`: counts against the tables, figures against the metrics, and honest checklists.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{PATIENT, json, ran};
use crate::project::digests;

/// Rows of a table as CSV, by the id of their sample.
fn table(project: &dermflow_tests::Project, name: &str) -> BTreeMap<String, Vec<String>> {
    project.done(&["export", name, "--to", "table.csv"]);
    let text = project.read("table.csv");
    let rows = text
        .lines()
        .skip(1)
        .map(|line| line.split(',').map(str::to_string).collect());
    rows.map(|row: Vec<String>| (row[0].clone(), row[1..].to_vec()))
        .collect()
}

#[test]
fn a_card_counts_what_the_tables_hold() {
    let project = ran();
    let card = json(&project, &["card", "classifier.model", "--json"]);
    let (labels, folds) = (table(&project, "labels.labels"), table(&project, "split.splits"));
    let mut expected: BTreeMap<(String, String), u64> = BTreeMap::new();
    for (id, row) in &labels {
        *expected
            .entry((folds[id][0].clone(), row[0].clone()))
            .or_default() += 1;
    }
    for ((fold, label), count) in &expected {
        assert_eq!(
            card["data"]["folds"][fold]["classes"][label], *count,
            "{fold} {label}"
        );
    }
    let told: u64 = card["data"]["folds"]
        .as_object()
        .unwrap()
        .values()
        .map(|fold| fold["samples"].as_u64().unwrap())
        .sum();
    assert_eq!(told, labels.len() as u64);
    assert!(card["data"]["folds"]["train"]["groups"].as_u64().unwrap() > 1);
    assert_eq!(card["data"]["pseudo_labels"], false);
    let ages = &card["data"]["columns"]["age"];
    let present = ages["present"].as_u64().unwrap() + ages["missing"].as_u64().unwrap();
    assert_eq!(present, labels.len() as u64, "{ages}");

    assert_eq!(
        card["evidence"]["model"],
        digests(&project)["classifier.model"].as_str()
    );
    assert!(card["network"]["parameters"].as_u64().unwrap() > 1_000);
    assert!(card["network"]["multiply_adds"].as_u64().unwrap() > 10_000);
    assert_eq!(card["training"]["seed"], 7);
    assert_eq!(card["training"]["parameters"]["training"]["epochs"], 1);
    assert!(card["training"]["energy_joules"].is_null(), "nothing measured it");

    let metrics = card["metrics"].as_array().unwrap();
    let accuracy = metrics
        .iter()
        .find(|one| one["name"] == "accuracy" && one["class"].is_null() && one["slice"].is_null())
        .unwrap_or_else(|| panic!("{metrics:#?}"));
    assert!(accuracy["low"].as_f64().unwrap() <= accuracy["value"].as_f64().unwrap());
    let flow = card["data"]["flow"].as_array().unwrap();
    let photos = flow.iter().find(|one| one["stage"] == "photos").unwrap();
    assert!(photos["gave"]["samples"].as_u64().unwrap() > 0);
}

#[test]
fn checklists_are_filled_where_records_speak_and_nowhere_else() {
    let project = ran();
    let card = json(&project, &["card", "classifier.model", "--json"]);
    let lists = card["checklists"].as_array().unwrap();
    let names: Vec<&str> = lists.iter().map(|list| list["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["CLAIM 2024", "CLEAR Derm", "TRIPOD+AI"]);
    for list in lists {
        for item in list["items"].as_array().unwrap() {
            let told = !item["answer"].as_str().unwrap().is_empty();
            match item["status"].as_str().unwrap() {
                "filled" => assert!(told && !item["found"].as_str().unwrap().is_empty(), "{item}"),
                "needs-the-author" => assert!(!told, "{item}"),
                "not-applicable" => assert!(told, "{item}"),
                other => panic!("{other}"),
            }
        }
    }
    let status = |list: usize, number: &str| -> Value {
        let items = lists[list]["items"].as_array().unwrap();
        items.iter().find(|item| item["number"] == number).unwrap()["status"].clone()
    };
    // Partitions and the network are on record; funding, skin tone and limits are not.
    for (list, number) in [
        (0, "19"),
        (0, "20"),
        (0, "22"),
        (0, "37"),
        (1, "11"),
        (1, "21"),
        (2, "23a"),
    ] {
        assert_eq!(status(list, number), "filled", "{list} {number}");
    }
    for (list, number) in [
        (0, "44"),
        (0, "40"),
        (0, "33"),
        (1, "8"),
        (1, "18"),
        (2, "17"),
        (2, "14"),
        (2, "18f"),
    ] {
        assert_eq!(status(list, number), "needs-the-author", "{list} {number}");
    }
    assert_eq!(status(1, "5"), "not-applicable");
    assert_eq!(status(2, "12f"), "not-applicable");
}

#[test]
fn a_card_is_a_page_and_a_file_and_says_whom_the_model_should_not_know() {
    let project = ran();
    project.done(&["card", "classifier.model", "--to", "skin"]);
    let page = project.read("skin.md");
    for words in [
        "# Model card: classifier.model",
        "# Data card",
        "## CLAIM 2024",
        "**needs the author**",
        "could not be had",
        "Not for diagnosis",
        "pseudo labels",
        "| train |",
    ] {
        let there = page.contains(words) || words == "pseudo labels" && page.contains("no model had a part");
        assert!(there, "{words}");
    }
    // Every row of a table has as many cells as its heading.
    let mut cells = None;
    for line in page.lines() {
        match line.starts_with('|') {
            true => {
                let count = line.replace("\\|", "").matches('|').count();
                assert_eq!(*cells.get_or_insert(count), count, "{line}");
            }
            false => cells = None,
        }
    }
    serde_json::from_str::<Value>(&project.read("skin.json")).unwrap();
    let ended = project.ended(&["card", "labels.labels"]);
    assert!(
        ended.code == Some(1) && ended.err.contains("a card is of a model"),
        "{}",
        ended.err
    );

    let model = digests(&project)["classifier.model"].clone();
    project.done(&["forget", PATIENT, "--yes"]);
    assert!(project.done(&["card", &model]).out.contains("forgotten since"));
    project.run(&["run"]);
    assert!(
        !project
            .done(&["card", "classifier.model"])
            .out
            .contains("forgotten since")
    );
}
