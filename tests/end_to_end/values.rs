//! Values that other tools take for one another. Each test runs every value once, and then
//! all of them again: each must be computed the first time and found the second time.

use dermflow_tests::Project;

use crate::project::{digests, empty};

/// A process that is told something, and says what it was told.
fn told(parameters: &str) -> String {
    format!(
        "name: told\nstages:\n  told:\n    kind: process\n    with:\n      command: 'sed -n \"/\\\"parameters\\\"/,/\\\"scratch\\\"/p\" \
         \"$DERMFLOW_CONTEXT\" | grep -v scratch > outputs/text/told.txt'\n      outputs: {{text: files}}\n      parameters: {parameters}\n"
    )
}

fn are_all_told_apart(project: &Project, pipelines: &[String]) {
    for round in 0..2 {
        for (at, pipeline) in pipelines.iter().enumerate() {
            project.write("dermflow.yaml", pipeline);
            let executed = project.run(&["run"]).executed();
            assert_eq!(executed, 1 - round, "round {round} of {at}: {pipeline}");
        }
    }
}

fn parameters_are_told_apart(all: &[&str]) {
    let pipelines: Vec<String> = all.iter().map(|parameters| told(parameters)).collect();
    are_all_told_apart(&empty(), &pipelines);
}

#[test]
fn a_parameter_named_size_is_a_parameter_like_others() {
    parameters_are_told_apart(&[
        "{size: 1}",
        "{size: 2}",
        "{hash: 1}",
        "{md5: 1}",
        "{key: 1}",
        "{path: 1}",
        "{path: 2}",
    ]);
}

#[test]
fn names_and_values_do_not_run_into_one_another() {
    parameters_are_told_apart(&[
        "{a: 1, b: 2}",
        "{a1b: 2}",
        "{a: '1,b=2'}",
        "{a: 1b, '': 2}",
        "{a: [ab, c]}",
        "{a: [a, bc]}",
        "{a: [abc]}",
        "{a: [[a], b]}",
        "{a: [a, [b]]}",
        "{a: {b: c}}",
        "{a.b: c}",
    ]);
}

#[test]
fn absent_null_and_empty_are_four_things() {
    parameters_are_told_apart(&[
        "{}",
        "{x: null}",
        "{x: ''}",
        "{x: []}",
        "{x: {}}",
        "{x: false}",
        "{x: 0}",
        "{x: 'null'}",
    ]);
}

#[test]
fn numbers_and_their_spellings_are_told_apart() {
    parameters_are_told_apart(&[
        "{x: 1}",
        "{x: '1'}",
        "{x: true}",
        "{x: 'true'}",
        "{x: 0.0}",
        "{x: -0.0}",
    ]);
}

#[test]
fn a_number_that_is_none_is_the_same_each_time_or_refused_before_anything_runs() {
    let project = empty();
    project.write("dermflow.yaml", told("{x: .nan}"));
    let first = project.ended(&["run"]);
    match first.code {
        Some(0) => assert_eq!(project.run(&["run"]).executed(), 0),
        other => assert_eq!(
            (other, project.at(".dermflow").exists()),
            (Some(2), false),
            "{}",
            first.err
        ),
    }
}

#[test]
fn inputs_of_two_ports_are_not_exchangeable() {
    let project = empty();
    project.write("a.csv", "key,a\nx,1\ny,2\n");
    project.write("b.csv", "key,b\ny,3\nz,4\n");
    let pipeline = |left: &str, right: &str| {
        format!(
            "name: two\nstages:\n  a: {{kind: import-table, with: {{path: a.csv, key: key, columns: {{a: integer}}}}}}\n  \
             b: {{kind: import-table, with: {{path: b.csv, key: key, columns: {{b: integer}}}}}}\n  \
             both: {{kind: join, in: {{left: {left}.table, right: {right}.table}}, with: {{how: left}}}}\n"
        )
    };
    project.write("dermflow.yaml", pipeline("a", "b"));
    assert_eq!(project.run(&["run"]).computed(), ["a", "b", "both"]);
    let before = digests(&project);
    project.write("dermflow.yaml", pipeline("b", "a"));
    assert_eq!(project.run(&["run"]).computed(), ["both"]);
    assert_ne!(digests(&project)["both.table"], before["both.table"]);
}

#[test]
fn the_order_of_several_inputs_of_one_port_counts() {
    let project = empty();
    project.write("a.csv", "key,v\nx,1\n");
    project.write("b.csv", "key,v\nx,2\n");
    let pipeline = |order: &str| {
        format!(
            "name: two\nstages:\n  a: {{kind: import-table, with: {{path: a.csv, key: key, columns: {{v: integer}}}}}}\n  \
             b: {{kind: import-table, with: {{path: b.csv, key: key, columns: {{v: integer}}}}}}\n  \
             both: {{kind: concat, in: {{tables: [{order}]}}}}\n"
        )
    };
    project.write("dermflow.yaml", pipeline("a.table, b.table"));
    assert_eq!(project.run(&["run"]).computed(), ["a", "b", "both"]);
    project.write("dermflow.yaml", pipeline("b.table, a.table"));
    assert_eq!(project.run(&["run"]).computed(), ["both"]);
}

#[test]
fn minus_zero_missing_and_no_number_are_told_apart_in_tables() {
    let project = empty();
    let pipeline = "\
name: zeros
stages:
  numbers: {kind: import-table, with: {path: numbers.csv, key: key, columns: {x: {type: float64, nullable: true}}}}
  copy: {kind: filter, in: {table: numbers.table}, with: {columns: [x]}}
";
    project.write("dermflow.yaml", pipeline);
    let mut seen = std::collections::BTreeSet::new();
    for value in ["0.0", "-0.0", "NaN", "", "1e-320"] {
        project.write("numbers.csv", format!("key,x\na,{value}\n"));
        let run = project.run(&["run"]);
        assert_eq!(run.computed(), ["copy", "numbers"], "{value}");
        assert!(
            seen.insert(digests(&project)["copy.table"].clone()),
            "{value} is taken for another"
        );
        assert_eq!(project.run(&["run"]).executed(), 0, "{value}");
    }
}

#[test]
fn names_of_files_and_their_content_do_not_run_into_one_another() {
    let project = empty();
    project.write(
        "dermflow.yaml",
        "name: notes\nstages:\n  notes: {kind: list-files, with: {path: notes}}\n",
    );
    let digest = |text: &str| dermflow_core::Digest::of(text.as_bytes()).hex();
    let folders = [
        vec![(format!("a\n{}  b", digest("2")), "1"), ("c".to_string(), "3")],
        vec![("a".to_string(), "1"), (format!("b\n{}  c", digest("3")), "2")],
        vec![(format!("a\\n{}  b", digest("2")), "1"), ("c".to_string(), "3")],
    ];
    for round in 0..2 {
        for (at, files) in folders.iter().enumerate() {
            let _ = std::fs::remove_dir_all(project.at("notes"));
            for (name, text) in files {
                project.write(&format!("notes/{name}"), text);
            }
            assert_eq!(
                project.run(&["run"]).executed(),
                1 - round,
                "folder {at}, round {round}"
            );
        }
    }
}
