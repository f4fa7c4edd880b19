//! `lineage` in its forms, and `diff`.

use super::{json, ran};
use crate::project::chain;

#[test]
fn lineage_names_stages_times_and_runs_both_ways() {
    let project = ran();
    let told = project.done(&["lineage", "labels.labels", "--down"]).out;
    for words in [
        "labels = import-labels v",
        "ingest v",
        "made 20",
        "used by the run",
        "went into",
        "classifier = classifier-train",
        "gave model",
        "scores = evaluate",
        "seed 7",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let told = json(&project, &["lineage", "labels.labels", "--down", "--json"]);
    let kinds = |of: &str| -> Vec<String> {
        let actions = told[of].as_object().unwrap().values();
        actions
            .map(|action| action["manifest"]["kind"].as_str().unwrap().to_string())
            .collect()
    };
    assert!(kinds("actions").contains(&"ingest".to_string()));
    assert!(kinds("used_by").contains(&"evaluate".to_string()));
    assert!(!kinds("used_by").contains(&"ingest".to_string()));
}

#[test]
fn lineage_is_drawn_in_every_form() {
    let project = ran();
    let drawn = |format: &str| {
        project
            .done(&["lineage", "scores.metrics", "--format", format, "--down"])
            .out
    };
    let dot = drawn("dot");
    assert!(
        dot.starts_with("digraph") && dot.matches("->").count() >= 9,
        "{dot}"
    );
    let mermaid = drawn("mermaid");
    assert!(
        mermaid.starts_with("flowchart LR") && mermaid.contains("<b>classifier</b>"),
        "{mermaid}"
    );
    let svg = drawn("svg");
    assert!(
        svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"),
        "{svg}"
    );
    let boxes = dot
        .lines()
        .filter(|line| line.starts_with("  b") && !line.contains(" -> b"));
    assert_eq!(svg.matches("<rect x=").count(), boxes.count());
    // The one that was asked about is drawn so that it is seen first.
    let bold = |text: &str, how: &str| text.lines().filter(|line| line.contains(how)).count();
    assert_eq!(bold(&dot, "penwidth"), 1);
    assert_eq!(bold(&svg, "stroke-width=\"2.5\""), 1);
}

#[test]
fn a_file_that_was_copied_elsewhere_is_known_by_its_content() {
    let project = ran();
    std::fs::copy(
        project.at("results/audit/model.safetensors"),
        project.at("mine.bin"),
    )
    .unwrap();
    let told = project.done(&["lineage", "mine.bin"]).out;
    assert!(told.contains("classifier-train"), "{told}");
    let report = crate::project::files_below(&project.at("results/audit/report"));
    std::fs::copy(&report[0], project.at("count.txt")).unwrap();
    assert!(project.done(&["lineage", "count.txt"]).out.contains("process v1"));
}

#[test]
fn diff_goes_back_to_the_cause_and_shows_what_follows() {
    let project = chain(40);
    project.run(&["run"]);
    let before = json(&project, &["ls", "--json"]);
    project.run(&["run", "--set", "youngest=40"]);
    let name = |listed: &serde_json::Value, of: &str| {
        let rows = listed.as_array().unwrap().iter();
        let row = rows.clone().find(|row| row["name"] == of).unwrap();
        row["artifact"].as_str().unwrap().to_string()
    };
    let (was, now) = (name(&before, "report.text"), "report.text");
    let told = json(&project, &["diff", &was, now, "--json"]);
    assert_eq!(told["same"], false);
    let pairs = told["pairs"].as_array().unwrap();
    assert_eq!(pairs[0]["stage"], "adults");
    assert_eq!(pairs[0]["cause"], true);
    assert_eq!(pairs[0]["changes"][0]["what"], "with.where.at-least");
    assert_eq!(pairs[0]["changes"][0]["from"], "18");
    assert_eq!(pairs[0]["changes"][0]["to"], "40");
    assert!(pairs[1..].iter().all(|pair| pair["cause"] == false), "{pairs:#?}");
    let text = project.done(&["diff", &was, now]).out;
    assert!(
        text.contains("with.where.at-least: 18 -> 40") && text.contains("follows"),
        "{text}"
    );
    let same = project.done(&["diff", now, now]).out;
    assert!(same.contains("hold the same"), "{same}");

    let runs: Vec<String> = crate::project::files_below(&project.at(".dermflow/runs"))
        .iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let told = json(&project, &["diff", &runs[0], &runs[1], "--json"]);
    assert_eq!(told["pairs"][0]["stage"], "adults");
    let mixed = project.ended(&["diff", &runs[0], now]);
    assert_eq!(mixed.code, Some(1));
}

#[test]
fn variants_are_compared_with_their_figures() {
    let project = ran();
    project.run(&["run", "--variant", "elder"]);
    let told = project.done(&["diff", "base", "elder"]).out;
    assert!(
        told.contains("young") && told.contains("with.where.below: 60 -> 80"),
        "{told}"
    );
    project.run(&["run", "--set", "epochs=2"]);
    let models: Vec<String> = json(&project, &["ls", "--all", "--json"])
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["sort"] == "model")
        .map(|row| row["artifact"].as_str().unwrap().to_string())
        .collect();
    assert_eq!(models.len(), 2);
    let told = project.done(&["diff", &models[1], &models[0]]).out;
    assert!(told.contains("with.training.epochs: 1 -> 2"), "{told}");
    assert!(told.contains("epochs") && told.contains("+1.000000"), "{told}");
}
