//! Pipelines and looks at results that several modules share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dermflow_tests::Project;
use serde_json::Value;

/// An empty project, for the program under test.
pub fn empty() -> Project {
    Project::new(env!("CARGO_BIN_EXE_dermflow-under-test"))
}

/// What a stage is told to do for one row of its table: the number of rows, as text.
pub const COUNT: &str = r#"sed -n 's/^ *"rows": *\([0-9]*\).*/\1/p' "$DERMFLOW_CONTEXT" > outputs/text/rows.txt
"#;

/// A chain of four stages, from a CSV file to a text.
pub const CHAIN: &str = "\
name: chain
params: {youngest: 18}
stages:
  lesions:
    kind: import-table
    with:
      path: data/lesions.csv
      key: image
      columns: {image: text, diagnosis: text, age: {type: integer, nullable: true}}
  adults:
    kind: filter
    in: {table: lesions.table}
    with: {where: {column: age, at-least: '${youngest}'}}
  names:
    kind: filter
    in: {table: adults.table}
    with: {columns: [image]}
  report:
    kind: process
    in: {names: names.table}
    with: {command: [/bin/sh, count.sh], files: [count.sh], outputs: {text: files}}
outputs: {names: names.table, report: report.text}
";

/// Its stages, in order of their names.
pub const CHAIN_STAGES: [&str; 4] = ["adults", "lesions", "names", "report"];

/// The chain with a table of this many rows.
pub fn chain(rows: usize) -> Project {
    let project = empty();
    project.write("dermflow.yaml", CHAIN);
    project.write("count.sh", COUNT);
    project.write("data/lesions.csv", lesions(rows));
    project
}

/// Rows `image,diagnosis,age`; ages go from 0 to 79 and around again.
pub fn lesions(rows: usize) -> String {
    let row = |at: usize| format!("ISIC_{at:05},{},{}\n", ["nevus", "melanoma"][at % 2], at * 7 % 80);
    let rows: String = (0..rows).map(row).collect();
    format!("image,diagnosis,age\n{rows}")
}

/// Names and digests of the artifacts of the newest run.
pub fn digests(project: &Project) -> BTreeMap<String, String> {
    let listed: Value = serde_json::from_str(&project.done(&["ls", "--json"]).out).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_string();
    listed
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (text(&row["name"]), text(&row["artifact"])))
        .collect()
}

/// Every regular file below a folder, in order.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(Result::unwrap)
    {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files_below(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found.sort();
    found
}

/// Names and contents of all files below a folder, but for hidden ones.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let shown = |path: &PathBuf| !path.file_name().unwrap().to_string_lossy().starts_with('.');
    let read = |path: PathBuf| {
        (
            path.strip_prefix(folder).unwrap().to_path_buf(),
            std::fs::read(&path).unwrap(),
        )
    };
    files_below(folder).into_iter().filter(shown).map(read).collect()
}

/// Puts other bytes in the place of a file, which may be read-only.
pub fn put_in_place(path: &Path, bytes: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// A copy of a folder, with links as links.
pub fn copy(from: &Path, to: &Path) {
    let done = std::process::Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(done.success());
}

/// The number of lines of a file in which stages count themselves.
pub fn counted(project: &Project, name: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(project.at(name))
        .unwrap_or_default()
        .lines()
    {
        *counts.entry(line.to_string()).or_insert(0) += 1;
    }
    counts
}

/// Every sealed journal is whole, and so is the chain between them.
pub fn journals_are_sound(project: &Project) {
    let store = dermflow_store::Store::open_existing(project.at(".dermflow")).unwrap();
    assert!(!store.list_journals().is_empty());
    assert_eq!(store.verify_journals().unwrap(), Vec::<String>::new());
}
