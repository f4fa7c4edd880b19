//! Verbs other than `run`.

use serde_json::Value;

use crate::project::{chain, contents, digests, empty, files_below, lesions};

fn json(project: &dermflow_tests::Project, arguments: &[&str]) -> Value {
    let out = project.done(arguments).out;
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

#[test]
fn check_needs_no_store_and_tells_all_problems_as_json() {
    let project = chain(20);
    let ended = project.done(&["check"]);
    assert!(
        ended.err.contains("4 stages in 1 cells are right"),
        "{}",
        ended.err
    );
    assert_eq!(json(&project, &["check", "--json"]), Value::Array(vec![]));
    let text = project
        .read("dermflow.yaml")
        .replace("at-least", "atleast")
        .replace("key: image", "kee: image");
    project.write("dermflow.yaml", text);
    let ended = project.ended(&["check", "--json"]);
    assert_eq!(ended.code, Some(2));
    let problems: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(problems.as_array().unwrap().len(), 2, "{problems:#}");
    assert!(!project.at(".dermflow").exists());
}

#[test]
fn plan_tells_of_every_stage_what_a_run_would_do_and_does_nothing() {
    let project = chain(20);
    let planned = json(&project, &["plan", "--json"]);
    let stages = planned.as_array().unwrap();
    assert_eq!(stages.len(), 4);
    assert_eq!(stages[0]["stage"], "lesions");
    assert_eq!(
        (&stages[0]["kind"], &stages[0]["status"]),
        (&Value::from("import-table"), &Value::from("miss"))
    );
    assert_eq!(stages[0]["key"].as_str().unwrap().len(), 64);
    assert_eq!(stages[0]["reasons"][0], "never run");
    assert!(
        stages[1..]
            .iter()
            .all(|stage| stage["status"] == "waits" && stage["key"].is_null())
    );
    project.run(&["run"]);
    let planned = json(&project, &["plan", "--json"]);
    assert!(
        planned
            .as_array()
            .unwrap()
            .iter()
            .all(|stage| stage["status"] == "hit" && stage["key"].is_string())
    );
    let forced = json(&project, &["plan", "--json", "--force", "adults"]);
    assert_eq!(forced[1]["reasons"][0], "forced");
    project.write("data/lesions.csv", lesions(21));
    let before = digests(&project);
    assert!(
        project
            .done(&["plan"])
            .out
            .contains("0 hit, 1 miss, 3 wait for a miss, 0 blocked")
    );
    assert_eq!(digests(&project), before);
}

#[test]
fn what_plan_says_is_what_run_does() {
    let project = chain(40);
    for arguments in [
        &[][..],
        &[],
        &["--set", "youngest=40"],
        &["--set", "youngest=41"],
        &[],
    ] {
        let with = |verb: &[&'static str]| -> Vec<&str> { verb.iter().chain(arguments).copied().collect() };
        let planned = json(&project, &with(&["plan", "--json"]));
        let run = project.run(&with(&["run"]));
        for stage in planned.as_array().unwrap() {
            let name = stage["stage"].as_str().unwrap().to_string();
            match stage["status"].as_str().unwrap() {
                "hit" => assert!(run.stages("stage-hit").contains(&name), "{name}"),
                "miss" => assert!(run.computed().contains(&name), "{name}"),
                _ => {}
            }
        }
    }
}

#[test]
fn why_names_the_line_that_causes_a_rerun() {
    let project = chain(40);
    project.run(&["run"]);
    let told = project.done(&["why", "report"]).out;
    assert!(told.starts_with("hit      report"), "{told}");
    let text = project
        .read("dermflow.yaml")
        .replace("youngest: 18", "youngest: 40");
    project.write("dermflow.yaml", text);
    let told = project.done(&["why", "report"]).out;
    assert!(
        told.contains("waits    report") && told.contains("miss     adults"),
        "{told}"
    );
    assert!(
        told.contains("where.at-least: 18 -> 40 (dermflow.yaml:"),
        "{told}"
    );
    project.run(&["run"]);
    project.write("data/lesions.csv", lesions(41));
    let told = project.done(&["why", "names"]).out;
    assert!(told.contains("the content of `lesions.csv` changed"), "{told}");
    let ended = project.ended(&["why", "rports"]);
    assert!(ended.code == Some(2) && ended.err.contains("rports"), "{ended:?}");
}

#[test]
fn a_changed_file_of_a_folder_is_named_by_why() {
    let project = empty();
    project.write(
        "dermflow.yaml",
        "name: notes\nstages:\n  notes: {kind: list-files, with: {path: notes}}\n",
    );
    project.write("notes/a.txt", "a");
    project.write("notes/b.txt", "b");
    project.run(&["run"]);
    project.write("notes/b.txt", "c");
    assert!(
        project
            .done(&["why", "notes"])
            .out
            .contains("changed `b.txt`; 2 files now")
    );
}

#[test]
fn ls_names_what_show_export_and_lineage_take() {
    let project = chain(20);
    project.run(&["run"]);
    let listed = json(&project, &["ls", "--json"]);
    let names: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "lesions.rejects",
            "lesions.table",
            "adults.table",
            "names.table",
            "report.text"
        ]
    );
    for row in listed.as_array().unwrap() {
        let (name, digest) = (row["name"].as_str().unwrap(), row["artifact"].as_str().unwrap());
        for artifact in [name, digest, &digest[..12]] {
            let shown = json(&project, &["show", artifact, "--json"]);
            assert_eq!(
                (&shown["artifact"], &shown["rows"]),
                (&row["artifact"], &row["rows"]),
                "{artifact}"
            );
            let lineage = json(&project, &["lineage", artifact, "--json"]);
            assert_eq!(lineage["artifact"], row["artifact"], "{artifact}");
        }
    }
    project.run(&["run", "--set", "youngest=40"]);
    let all = json(&project, &["ls", "--all", "--json"]);
    assert!(all.as_array().unwrap().len() > names.len());
}

#[test]
fn show_tells_schema_rows_and_a_sample_of_them() {
    let project = chain(20);
    project.run(&["run"]);
    let shown = project.done(&["show", "lesions.table", "--rows", "2"]).out;
    for words in [
        "20 rows in 1 partition",
        "diagnosis",
        "integer",
        "nullable",
        "ISIC_000",
    ] {
        assert!(shown.contains(words), "`{words}` is not in {shown}");
    }
    assert_eq!(shown.matches("ISIC_000").count(), 2);
    assert!(project.done(&["show", "report"]).out.contains("rows.txt"));
    for (artifact, words) in [
        ("lesions", "`rejects`"),
        ("nothing.table", "nothing.table"),
        ("dead0", "dead0"),
        ("data/lesions.csv", "no"),
    ] {
        let ended = project.ended(&["show", artifact]);
        assert_eq!(ended.code, Some(1), "{artifact}");
        assert!(ended.err.contains(words), "{}", ended.err);
    }
}

#[test]
fn export_writes_csv_parquet_and_folders() {
    let project = chain(20);
    project.run(&["run"]);
    project.done(&["export", "lesions.table", "--to", "out/lesions.csv"]);
    let text = project.read("out/lesions.csv");
    assert_eq!(text.lines().next(), Some("sample_id,age,diagnosis,image"));
    assert_eq!(text.lines().count(), 21);
    assert!(text.contains(",28,nevus,ISIC_00004"), "{text}");
    project.done(&["export", "names", "--to", "out/names.parquet"]);
    assert_eq!(
        std::fs::read(project.at("out/names.parquet")).unwrap()[..4],
        *b"PAR1"
    );
    project.done(&["export", "report.text", "--to", "out/report"]);
    assert_eq!(
        project.read("out/report/rows.txt"),
        project.read("results/chain/report/rows.txt")
    );
    assert_eq!(
        project.ended(&["export", "names", "--to", "out/names.xlsx"]).code,
        Some(1)
    );
    // What was exported can be imported again.
    project.write(
        "back.yaml",
        "name: back\nstages:\n  back: {kind: import-table, with: {path: out/lesions.csv, columns: {image: text, diagnosis: text, \
         age: {type: integer, nullable: true}}}}\n",
    );
    let before = digests(&project)["lesions.table"].clone();
    project.run(&["run", "back.yaml"]);
    assert_eq!(digests(&project)["back.table"], before);
}

#[test]
fn export_never_takes_a_folder_of_other_things_away() {
    let project = chain(20);
    project.run(&["run"]);
    project.write("mine/thesis.txt", "years of work");
    project.write("mine/report.old/thesis.txt", "years of work");
    let ended = project.ended(&["export", "report.text", "--to", "mine"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.err.contains("is a folder with other things in it"),
        "{}",
        ended.err
    );
    project.done(&["export", "report.text", "--to", "mine/report"]);
    project.done(&["export", "names.table", "--to", "mine/names.csv"]);
    project.done(&["export", "names.table", "--to", "mine/names.csv"]);
    let left = [
        "names.csv",
        "report/rows.txt",
        "report.old/thesis.txt",
        "thesis.txt",
    ];
    let found: Vec<String> = files_below(&project.at("mine"))
        .iter()
        .map(|path| {
            path.strip_prefix(project.at("mine"))
                .unwrap()
                .display()
                .to_string()
        })
        .collect();
    assert_eq!(found, left);
}

#[test]
fn lineage_goes_from_a_result_file_down_to_the_sources() {
    let project = chain(20);
    project.run(&["run"]);
    for name in [
        "names.table",
        "results/chain/names.parquet",
        "results/chain/names.csv",
    ] {
        let tree = project.done(&["lineage", name]).out;
        let at: Vec<Option<usize>> = [
            "filter v1",
            "filter v1",
            "import-table v1",
            "source path: lesions.csv",
        ]
        .iter()
        .map(|words| tree.find(words))
        .collect();
        assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{name}: {tree}");
        let told = json(&project, &["lineage", name, "--json"]);
        assert_eq!(told["port"], "table");
        let actions = told["actions"].as_object().unwrap();
        assert_eq!(actions.len(), 3, "{name}");
        let kinds: Vec<&str> = actions
            .values()
            .map(|action| action["manifest"]["kind"].as_str().unwrap())
            .collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == "filter").count(), 2);
        assert!(actions.contains_key(told["action"].as_str().unwrap()));
    }
    let tree = project.done(&["lineage", "results/chain/report"]).out;
    assert!(tree.contains("process v1") && tree.contains("count.sh"), "{tree}");
    project.write("results/chain/stranger.csv", "a,b\n");
    let ended = project.ended(&["lineage", "results/chain/stranger.csv"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("not a result"), "{}", ended.err);
}

#[test]
fn lineage_names_its_actions_by_the_keys_of_the_plan() {
    let project = chain(20);
    project.run(&["run"]);
    let told = json(&project, &["lineage", "report.text", "--json"]);
    for stage in json(&project, &["plan", "--json"]).as_array().unwrap() {
        assert!(
            told["actions"]
                .as_object()
                .unwrap()
                .contains_key(stage["key"].as_str().unwrap()),
            "{stage}"
        );
    }
}

#[test]
fn graphs_come_in_three_languages_and_name_every_stage() {
    let project = chain(20);
    for (format, start) in [("dot", "digraph"), ("mermaid", "flowchart"), ("svg", "<svg")] {
        let drawn = project.done(&["graph", "--format", format]).out;
        assert!(
            drawn.trim_start().trim_start_matches("<?xml").contains(start),
            "{drawn}"
        );
        for stage in crate::project::CHAIN_STAGES {
            assert!(drawn.contains(stage), "{stage} is not in {drawn}");
        }
    }
    assert!(!project.at(".dermflow").exists());
}

#[test]
fn a_clean_up_says_first_what_it_would_remove_and_keeps_what_kept_runs_need() {
    let project = chain(40);
    project.run(&["run", "--set", "youngest=40"]);
    project.run(&["run"]);
    let (before, results) = (digests(&project), contents(&project.at("results")));
    let files = files_below(&project.at(".dermflow/blobs"));
    assert_eq!(project.ended(&["gc"]).code, Some(1), "what to keep must be said");
    let dry = json(&project, &["gc", "--keep-runs", "1", "--json"]);
    assert_eq!(dry["removed"], false);
    assert!(
        dry["records"].as_u64().unwrap() > 0 && dry["blobs"].as_u64().unwrap() > 0,
        "{dry}"
    );
    assert_eq!(
        files_below(&project.at(".dermflow/blobs")),
        files,
        "a dry run removes nothing"
    );
    let told = project.done(&["gc", "--keep-runs", "1"]).out;
    assert!(told.contains("would remove") && told.contains("--yes"), "{told}");
    assert_eq!(
        json(&project, &["gc", "--keep-runs", "2", "--json"])["records"],
        0
    );
    assert_eq!(
        json(&project, &["gc", "--keep-newer", "1h", "--json"])["records"],
        0
    );
    let done = json(&project, &["gc", "--keep-runs", "1", "--json", "--yes"]);
    assert_eq!(
        (&done["records"], &done["removed"]),
        (&dry["records"], &Value::Bool(true))
    );
    assert!(files_below(&project.at(".dermflow/blobs")).len() < files.len());
    for name in before.keys() {
        project.done(&[
            "export",
            name,
            "--to",
            if name == "report.text" {
                "out/text"
            } else {
                "out/table.csv"
            },
        ]);
        project.done(&["lineage", name]);
    }
    assert_eq!(project.run(&["run"]).executed(), 0);
    assert_eq!(
        (digests(&project), contents(&project.at("results"))),
        (before, results)
    );
    assert_eq!(
        project.run(&["run", "--set", "youngest=40"]).computed(),
        ["adults", "names", "report"]
    );
}

#[test]
fn a_clean_up_by_size_removes_the_oldest_first_and_never_the_newest_run() {
    let project = chain(40);
    for age in ["30", "40", "50"] {
        project.run(&["run", "--set", &format!("youngest={age}")]);
    }
    assert_eq!(
        json(&project, &["gc", "--max-size", "100", "--json"])["records"],
        0,
        "it is small enough"
    );
    project.done(&["gc", "--max-size", "0", "--yes"]);
    assert_eq!(project.run(&["run", "--set", "youngest=50"]).executed(), 0);
    assert_eq!(
        project.run(&["run", "--set", "youngest=40"]).computed(),
        ["adults", "names", "report"]
    );
}

#[test]
fn the_schema_is_one_of_json_schema_and_names_every_kind() {
    let project = empty();
    let schema = json(&project, &["schema"]);
    assert!(
        schema["$schema"].as_str().unwrap().contains("json-schema.org"),
        "{}",
        schema["$schema"]
    );
    let text = schema.to_string();
    for line in project.done(&["stages"]).out.lines().skip(1) {
        let kind = line.split_whitespace().next().unwrap();
        assert!(
            text.contains(&format!("\"{kind}\"")),
            "{kind} is not in the schema"
        );
        let told = project.done(&["stages", kind]).out;
        assert!(
            told.starts_with(&format!("{kind} (version "))
                && told.contains("\noutputs\n")
                && told.contains("parameters")
                && told.contains("example"),
            "{told}"
        );
    }
    let ended = project.ended(&["stages", "fitler"]);
    assert!(
        matches!(ended.code, Some(1 | 2)) && ended.err.contains("fitler"),
        "{ended:?}"
    );
}

#[test]
fn init_writes_a_pipeline_that_runs_and_replaces_nothing() {
    let project = empty();
    project.done(&["init", "mine"]);
    let run = project.run(&["run", "mine/starter.yaml"]);
    assert!(run.executed() >= 5);
    assert_eq!(project.run(&["run", "mine/starter.yaml"]).executed(), 0);
    serde_json::from_str::<Value>(&project.read("mine/dermflow.schema.json")).unwrap();
    let before = contents(&project.at("mine"));
    let ended = project.ended(&["init", "mine"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("is there already"), "{}", ended.err);
    assert_eq!(contents(&project.at("mine")), before);
}

#[test]
fn completions_are_written_for_every_shell() {
    let project = empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let written = project.done(&["completions", shell]).out;
        assert!(
            written.contains("dermflow") && written.contains("lineage"),
            "{shell}"
        );
    }
}

#[test]
fn help_and_version_are_there_and_looks_at_no_store_say_so() {
    let project = empty();
    assert!(project.done(&["--version"]).out.starts_with("dermflow "));
    for verb in [
        "init",
        "check",
        "plan",
        "why",
        "run",
        "ls",
        "show",
        "export",
        "lineage",
        "graph",
        "gc",
        "schema",
        "stages",
        "completions",
    ] {
        assert!(project.done(&["--help"]).out.contains(verb), "{verb}");
        assert!(project.done(&[verb, "--help"]).out.contains("Usage"), "{verb}");
    }
    for arguments in [
        &["ls"][..],
        &["show", "a.b"],
        &["lineage", "a.b"],
        &["gc", "--keep-runs", "1"],
    ] {
        let ended = project.ended(arguments);
        assert_eq!(ended.code, Some(1), "{arguments:?}");
        assert!(ended.err.contains("there is no store"), "{}", ended.err);
        assert!(!project.at(".dermflow").exists(), "{arguments:?} made a store");
    }
}

#[test]
fn a_wrong_command_line_starts_nothing_and_is_told_with_what_was_meant() {
    let project = chain(20);
    for arguments in [
        &["why", "reprot"][..],
        &["run", "--until", "reprot"],
        &["plan", "--force", "reprot"],
        &["stages", "fitler"],
    ] {
        let ended = project.ended(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}");
        assert!(
            ended.err.contains("did you mean `"),
            "{arguments:?}: {}",
            ended.err
        );
    }
    // Where none is near, those that there are.
    let ended = project.ended(&["run", "--force", "nope"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.err.contains("known stages: `adults`, `lesions`"),
        "{}",
        ended.err
    );
    let ended = project.ended(&["check", "--matrix", "nope"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.err.contains("there are no matrices at all"),
        "{}",
        ended.err
    );
    for option in [&["gc", "--yes", "--max-size"][..], &["run", "--memory"]] {
        let ended = project.ended(&[option, &["17592186044416"]].concat());
        assert_eq!(ended.code, Some(2), "{option:?}");
        assert!(ended.err.contains("are too many"), "{}", ended.err);
    }
    assert!(!project.at(".dermflow").exists(), "something was started");
}
