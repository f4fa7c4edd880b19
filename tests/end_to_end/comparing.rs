//! `compare`: variants, seeds and runs side by side.

use serde_json::Value;

use crate::classifying::two_classes;
use crate::project::{chain, empty};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn labels(comparison: &Value) -> Vec<&str> {
    let groups = comparison["groups"].as_array().unwrap();
    groups
        .iter()
        .map(|group| group["label"].as_str().unwrap())
        .collect()
}

#[test]
fn a_variant_is_held_against_the_base_with_parameters_figures_and_paired_differences() {
    let project = two_classes();
    project.run(&["run", "--all-variants"]);
    let compared = json(&project.done(&["compare", "base", "untrained", "--json"]).out);
    assert_eq!(labels(&compared), ["base", "untrained"]);
    let differing = compared["parameters"].as_array().unwrap();
    assert_eq!(differing.len(), 1, "{differing:#?}");
    assert_eq!(differing[0]["path"], "classifier.with.training.epochs");
    assert_eq!(differing[0]["values"], json("[{\"is\": 3}, {\"is\": 1}]"));
    // The figures are those of the table that `evaluate` wrote.
    let figures = compared["figures"].as_array().unwrap();
    let accuracy = figures
        .iter()
        .find(|figure| figure["stage"] == "scores" && figure["name"] == "accuracy")
        .unwrap();
    let paired = &compared["paired"][0];
    assert_eq!(
        (&paired["stage"], &paired["groups"][0]["group"]),
        (&json("\"scores\""), &json("1"))
    );
    let found = &paired["groups"][0]["found"];
    let apart = found["differences"]
        .as_array()
        .unwrap()
        .iter()
        .find(|difference| difference["name"] == "accuracy")
        .unwrap();
    for (side, place) in [("first", 0), ("second", 1)] {
        let (told, own) = (&accuracy["groups"][place]["value"], &apart[side]);
        assert!(
            (told.as_f64().unwrap() - own.as_f64().unwrap()).abs() < 1e-12,
            "{told} {own}"
        );
    }
    assert_eq!((&found["samples"], &found["pairs"]), (&json("24"), &json("1")));
    let ends = apart["over_samples"].as_array().unwrap();
    let difference = apart["difference"].as_f64().unwrap();
    assert!(ends[0].as_f64().unwrap() <= difference && difference <= ends[1].as_f64().unwrap());
    assert!(compared["groups"][0]["seconds"].as_f64().unwrap() > 0.0);
    // The base's own training has its last score by its last step, if not before.
    let steps = compared["steps"].as_array().unwrap();
    let told = steps
        .iter()
        .find(|one| one["stage"] == "classifier" && one["measure"] == "valid_balanced_accuracy")
        .unwrap();
    let own = &told["groups"][0];
    let [reached, all] = ["steps", "baseline_steps"].map(|of| own[of].as_f64().unwrap());
    assert!(0.0 < reached && reached <= all, "{own}");
    assert_eq!(own["ratio"].as_f64().unwrap(), reached / all);
    assert!(told["groups"][1]["score"] == own["score"], "{told}");
    assert!(compared["gap"].is_null());
}

#[test]
fn cells_that_differ_in_the_seed_alone_are_one_group() {
    let project = two_classes();
    project.run(&["run", "--matrix", "seeds"]);
    let compared = json(&project.done(&["compare", "seeds", "--json"]).out);
    assert_eq!(labels(&compared), ["seeds[epochs=1]", "seeds[epochs=3]"]);
    for group in compared["groups"].as_array().unwrap() {
        let seeds: Vec<u64> = group["members"]
            .as_array()
            .unwrap()
            .iter()
            .map(|member| member["seed"].as_u64().unwrap())
            .collect();
        assert_eq!(seeds, [1, 2]);
    }
    let found = &compared["paired"][0]["groups"][0];
    assert_eq!(found["seeds"], json("[1, 2]"));
    let first = &found["found"]["differences"][0];
    assert!(
        first["over_pairs"].is_array() && first["over_samples"].is_array(),
        "{first}"
    );
    // A training of one epoch has its last score after all of its steps.
    let steps = &compared["steps"][0];
    assert_eq!(steps["stage"], "classifier");
    assert_eq!(steps["groups"][0]["ratio"].as_f64(), Some(1.0), "{steps}");
    assert_eq!(steps["groups"][1]["seeds"], json("[1, 2]"));
    // People see the same.
    let text = project.done(&["compare", "seeds"]).out;
    for word in [
        "Parameters that differ",
        "Steps of `classifier` to the last score of `seeds[epochs=1]`",
        "±",
        "over samples and seeds",
        "over the seeds 1, 2",
    ] {
        assert!(text.contains(word), "`{word}` is not in\n{text}");
    }
    let markdown = project.done(&["compare", "seeds", "--markdown"]).out;
    assert!(
        markdown.contains("| figure | seeds[epochs=1] | seeds[epochs=3] |"),
        "{markdown}"
    );
    // Seeds alone make one group, which is told.
    let alone = project.done(&["compare", "seeds[epochs=1,seed=1]", "seeds[epochs=1,seed=2]"]);
    assert!(alone.err.contains("differ only in their seed"), "{}", alone.err);
    // Shares of a gap are drawn over samples and seeds as differences are.
    project.run(&["run", "--matrix", "seeds", "--set", "sampling=proportional"]);
    let names = ["compare", "latest~1", "latest", "--json"];
    let compared = json(&project.done(&names).out);
    let groups = labels(&compared);
    let gap = format!("{}:{}", groups[0], groups[1]);
    let compared = json(&project.done(&[&names[..], &["--gap", gap.as_str()]].concat()).out);
    let closed = compared["gap"]["stages"][0]["groups"].as_array().unwrap();
    assert_eq!(closed.len(), 2, "{closed:?}");
    for one in closed {
        assert_eq!(one["seeds"], json("[1, 2]"));
        for share in one["shares"].as_array().unwrap() {
            assert!(
                share["over_pairs"].is_array() || share["blank"].is_string(),
                "{share}"
            );
        }
    }
    let shares = closed[0]["shares"].as_array().unwrap();
    let loss = shares.iter().find(|share| share["name"] == "log-loss").unwrap();
    assert!(loss["gap_over_pairs"].is_array(), "{loss}");
}

#[test]
fn variants_that_differ_only_in_which_stage_is_wired_are_two_groups() {
    let project = empty();
    let text = "\
params: {from: true-ones}
stages:
  photos: {kind: synthesize, with: {images: 20, width: 8, height: 8, classes: 3, label-noise: 0.5}}
  true-ones: {kind: filter, in: {table: photos.truth}, with: {columns: [label]}}
  dirty-ones: {kind: filter, in: {table: photos.dirty}, with: {columns: [label]}}
  drawn: {kind: sample, in: {table: '${from}'}, with: {rows: 5}}
outputs: {drawn: drawn.table}
matrix: {wired: {from: [true-ones, dirty-ones], seed: [1, 2, 3]}}
";
    project.write("dermflow.yaml", text);
    project.run(&["run", "--matrix", "wired"]);
    let compared = json(&project.done(&["compare", "wired", "--json"]).out);
    let groups = compared["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 2, "{:?}", labels(&compared));
    for group in groups {
        let members = group["members"].as_array().unwrap();
        let label = group["label"].as_str().unwrap();
        let from = ["true-ones", "dirty-ones"]
            .into_iter()
            .find(|from| label.contains(from))
            .unwrap();
        let own = |member: &Value| member["label"].as_str().unwrap().contains(from);
        assert!(members.len() == 3 && members.iter().all(own), "{group}");
    }
    let differing = compared["parameters"].as_array().unwrap();
    let wiring = differing.iter().find(|one| one["path"] == "drawn.in").unwrap();
    assert!(wiring.to_string().contains("table: dirty-ones.table"), "{wiring}");
}

#[test]
fn runs_that_differ_in_the_seed_alone_are_one_group_called_by_its_cell() {
    let project = empty();
    let text = "\
seed: 1
params: {images: 20}
stages:
  photos: {kind: synthesize, seed: 7, with: {images: '${images}', width: 8, height: 8, classes: 3}}
  half: {kind: sample, in: {table: photos.truth}, with: {share: 0.5}}
  quarter: {kind: sample, in: {table: half}, with: {share: 0.5}}
  ones: {kind: sample, in: {table: photos.truth}, with: {rows: 5}}
outputs: {quarter: quarter.table, ones: ones.table}
variants: {more: {images: 30}}
";
    project.write("dermflow.yaml", text);
    for seed in ["seed=1", "seed=2"] {
        project.run(&["run", "--set", seed]);
        project.run(&["run", "--variant", "more", "--set", seed]);
    }
    let runs = ["latest~3", "latest~2", "latest~1", "latest"];
    let compared = json(&project.done(&[&["compare"][..], &runs, &["--json"]].concat()).out);
    assert_eq!(labels(&compared), ["base", "more"]);
    for group in compared["groups"].as_array().unwrap() {
        let members = group["members"].as_array().unwrap();
        let seeds: Vec<u64> = members
            .iter()
            .map(|member| member["seed"].as_u64().unwrap())
            .collect();
        // Neither the photos' own seed, 7, nor the one that is derived for the sample of a sample.
        assert_eq!(seeds, [1, 2]);
    }
}

#[test]
fn two_runs_of_one_cell_are_told_apart_by_their_names() {
    let project = two_classes();
    project.run(&["run"]);
    project.run(&["run", "--set", "sampling=proportional"]);
    let compared = json(&project.done(&["compare", "latest~1", "latest", "--json"]).out);
    let differing = compared["parameters"].as_array().unwrap();
    assert_eq!(differing.len(), 1, "{differing:#?}");
    assert_eq!(differing[0]["path"], "classifier.with.batches.sampling");
    let labels = labels(&compared);
    assert!(
        labels.iter().all(|label| label.ends_with(":base")) && labels[0] != labels[1],
        "{labels:?}"
    );
    let run = labels[0].strip_suffix(":base").unwrap();
    let by_name = json(
        &project
            .done(&["compare", &format!("{run}:base"), "latest", "--json"])
            .out,
    );
    assert_eq!(by_name["parameters"], compared["parameters"]);
    // Of the gap from an untrained one to the first run, a share is closed by the second.
    project.run(&["run", "--variant", "untrained"]);
    let first = format!("{run}:base");
    let gap = format!("untrained:{first}");
    let names = ["compare", "untrained", first.as_str(), "latest~1", "--gap"];
    let compared = json(
        &project
            .done(&[&names[..], &[gap.as_str(), "--json"]].concat())
            .out,
    );
    let is_loss = |one: &&Value| one["stage"] == "scores" && one["name"] == "log-loss";
    let figures = compared["figures"].as_array().unwrap();
    let loss = figures.iter().find(is_loss).unwrap();
    let [low, high, own] = [0, 1, 2].map(|place| loss["groups"][place]["value"].as_f64().unwrap());
    let stages = compared["gap"]["stages"].as_array().unwrap();
    assert!(stages.len() == 1 && stages[0]["stage"] == "scores", "{stages:?}");
    let closed = stages[0]["groups"].as_array().unwrap();
    assert!(
        closed.len() == 1 && closed[0]["group"] == 2 && closed[0]["samples"] == 24,
        "{closed:?}"
    );
    // Of scores alone: those that have differences on the same samples.
    let shares = closed[0]["shares"].as_array().unwrap();
    let apart = &compared["paired"][0]["groups"][1];
    assert_eq!(apart["group"], 2);
    let differences = apart["found"]["differences"].as_array().unwrap();
    for share in shares {
        assert!(
            differences.iter().any(|one| one["name"] == share["name"]),
            "{share}"
        );
        let ends = |of: &str| -> Option<[f64; 2]> {
            let ends = share[of].as_array()?;
            Some([ends[0].as_f64()?, ends[1].as_f64()?])
        };
        // An interval where that of the gap leaves out zero; otherwise it is told why not.
        match (ends("over_samples"), ends("gap_over_samples")) {
            (Some([low, high]), Some([from, to])) => {
                assert!(low <= high && (from > 0.0 || to < 0.0), "{share}");
            }
            _ => assert!(share["blank"].is_string(), "{share}"),
        }
        assert!(share["over_pairs"].is_null(), "{share}");
    }
    let share = shares.iter().find(|share| share["name"] == "log-loss").unwrap();
    let wanted = (own - low) / (high - low);
    assert!(
        (share["share"].as_f64().unwrap() - wanted).abs() <= 1e-6 * wanted.abs().max(1.0),
        "{share} {wanted}"
    );
    let text = project.done(&[&names[..], &[gap.as_str()]].concat()).out;
    let third = compared["groups"][2]["label"].as_str().unwrap();
    let title = format!(
        "Share of the gap from `untrained` to `{first}` that `{third}` closes, as `scores` judges them"
    );
    assert!(text.contains(&title), "{text}");
    let markdown = project
        .done(&[&names[..], &[gap.as_str(), "--markdown"]].concat())
        .out;
    assert!(markdown.contains(&format!("## {title}")), "{markdown}");
    let unknown = project.ended(&[&names[..], &["untrained:nowhere"]].concat());
    assert!(
        unknown.code == Some(1) && unknown.err.contains("`nowhere`") && unknown.err.contains(&first),
        "{}",
        unknown.err
    );
}

#[test]
fn pipelines_without_figures_are_compared_and_unknown_names_told() {
    let project = chain(30);
    project.run(&["run"]);
    project.run(&["run", "--set", "youngest=20"]);
    let known = project.ended(&["compare", "bse", "base"]);
    assert_eq!(known.code, Some(1));
    assert!(
        known.err.contains("`bse`") && known.err.contains("`base`"),
        "{}",
        known.err
    );
    let one = project.ended(&["compare", "base"]);
    assert!(one.err.contains("at least two"), "{}", one.err);
    let same = project.done(&["compare", "latest~1", "latest"]);
    assert!(same.err.contains("no stage of kind `evaluate`"), "{}", same.err);
    let far = project.ended(&["compare", "latest~9", "latest"]);
    assert!(
        far.code == Some(1) && far.err.contains("only 2 runs"),
        "{}",
        far.err
    );
    let nothing = empty();
    assert_eq!(nothing.ended(&["compare", "a", "b"]).code, Some(1));
}
