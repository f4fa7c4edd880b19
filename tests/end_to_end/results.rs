//! What lies in the results folder is what the pipeline gives now.

use std::path::PathBuf;

use crate::project::{CHAIN, chain, contents, empty, lesions};

const OUTPUTS: &str = "outputs: {names: names.table, report: report.text}";

/// The chain with other outputs.
fn chain_with(outputs: &str) -> String {
    assert!(CHAIN.contains(OUTPUTS));
    CHAIN.replace(OUTPUTS, &format!("outputs: {{{outputs}}}"))
}

#[test]
fn what_no_output_gives_any_more_is_removed_and_told() {
    let project = chain(20);
    project.run(&["run"]);
    project.write("results/chain/report/notes.txt", "mine");
    // One output is laid in another format, and one has another name.
    let outputs = "names: report.text, counted: report.text";
    project.write("dermflow.yaml", chain_with(outputs));
    let run = project.run(&["run"]);
    assert_eq!((run.executed(), run.of("output-published").len()), (0, 2));
    let removed = run.of("output-removed");
    let removed = removed.iter().map(|event| event["path"].as_str().unwrap());
    let removed: Vec<&str> = removed.filter_map(|path| path.rsplit('/').next()).collect();
    assert_eq!(removed, ["names.csv", "names.parquet", "report"]);
    let there: Vec<PathBuf> = contents(&project.at("results/chain")).into_keys().collect();
    let wanted = ["counted/rows.txt", "names/rows.txt", "report/notes.txt"];
    assert_eq!(there, wanted.map(PathBuf::from));
    project.done(&["verify"]);
    assert_eq!(project.run(&["run"]).of("output-removed").len(), 0);
}

#[test]
fn results_that_were_not_wanted_or_are_of_another_file_or_were_changed_stay() {
    let project = chain(20);
    project.run(&["run"]);
    let all = contents(&project.at("results"));
    project.write("other.yaml", chain_with("names: names.table"));
    for arguments in [&["run", "--until", "names"][..], &["run", "other.yaml"]] {
        let run = project.run(arguments);
        assert_eq!(run.of("output-removed").len(), 0, "{arguments:?}");
        assert!(contents(&project.at("results")) == all, "{arguments:?}");
    }
    project.write("results/chain/names.csv", "edited");
    project.write("dermflow.yaml", chain_with("report: report.text"));
    assert_eq!(project.run(&["run"]).of("output-removed").len(), 1);
    assert_eq!(project.read("results/chain/names.csv"), "edited");
    assert!(!project.at("results/chain/names.parquet").exists());
}

#[test]
fn cells_over_paths_have_folders_side_by_side() {
    let project = empty();
    project.write("data/a.csv", lesions(20));
    project.write("data/b.csv", lesions(30));
    project.write(
        "dermflow.yaml",
        "name: many
params: {table: data/a.csv}
stages:
  a: {kind: import-table, with: {path: '${table}', key: image, columns: {age: integer}}}
matrix:
  files: {table: [data/a.csv, ./data/../data/b.csv]}
outputs: {a: a.table}
",
    );
    project.run(&["run", "--matrix", "files"]);
    let there = contents(&project.at("results/many"));
    let there: Vec<String> = there.keys().map(|path| path.display().to_string()).collect();
    assert_eq!(
        there,
        [
            "@files[table=.%2Fdata%2F..%2Fdata%2Fb.csv]/a.csv",
            "@files[table=.%2Fdata%2F..%2Fdata%2Fb.csv]/a.parquet",
            "@files[table=data%2Fa.csv]/a.csv",
            "@files[table=data%2Fa.csv]/a.parquet",
        ]
    );
    // They are found again, so damage to them is.
    project.write("results/many/@files[table=data%2Fa.csv]/a.csv", "edited");
    assert_ne!(project.ended(&["verify"]).code, Some(0));
}
