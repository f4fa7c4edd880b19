//! What reruns, and what doesn't.

use std::time::{Duration, SystemTime};

use crate::project::{CHAIN, CHAIN_STAGES, chain, digests, empty, lesions};

#[test]
fn a_second_run_computes_nothing_and_publishes_nothing() {
    let project = chain(20);
    let first = project.run(&["run"]);
    assert_eq!(first.computed(), CHAIN_STAGES);
    assert_eq!(first.of("output-published").len(), 2);
    let second = project.run(&["run"]);
    assert_eq!(
        (second.computed(), second.executed(), second.hit()),
        (vec![], 0, 4)
    );
    assert_eq!(second.of("output-published").len(), 0);
    assert_eq!(
        (second.number("rows_computed"), second.number("rows_reused")),
        (0, 0)
    );
}

#[test]
fn comments_order_formatting_and_spelled_out_defaults_never_rerun() {
    let project = chain(20);
    project.run(&["run"]);
    project.write(
        "dermflow.yaml",
        r#"# Written by another hand.
outputs:
  report: report.text
  names: names.table
stages:
  report:
    description: counts
    with:
      outputs:
        text: files   # a folder
      environment: {}
      parameters: {}
      files:
      - "count.sh"
      command: ["/bin/sh", 'count.sh']
    in: {names: names.table}
    kind: process
  names: {kind: filter, with: {columns: ['image']}, in: {table: adults.table}}
  adults:
    kind: "filter"
    in:
      table: lesions.table
    with:
      where:
        at-least: ${youngest}
        column: age
  lesions:
    with:
      unique: false
      format: auto
      key: image
      path: ./data/../data/lesions.csv
      columns:
        age: {nullable: true, type: integer}
        diagnosis: text
        image: {type: text}
    kind: import-table
params:
  youngest: 0x12
name: chain
"#,
    );
    let second = project.run(&["run"]);
    assert_eq!(
        second.computed(),
        ["lesions"; 0],
        "{:#?}",
        second.of("stage-started")
    );
    assert_eq!(second.hit(), 4);
}

#[test]
fn touching_and_rewriting_a_source_with_the_same_bytes_reruns_nothing() {
    let project = chain(20);
    project.run(&["run"]);
    let file = std::fs::File::options()
        .write(true)
        .open(project.at("data/lesions.csv"))
        .unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(100))
        .unwrap();
    assert_eq!(project.run(&["run"]).executed(), 0);
    std::fs::remove_file(project.at("data/lesions.csv")).unwrap();
    project.write("data/lesions.csv", lesions(20));
    assert_eq!(project.run(&["run"]).executed(), 0);
}

#[test]
fn a_parameter_reruns_its_stage_and_what_follows_and_putting_it_back_reruns_nothing() {
    let project = chain(40);
    project.run(&["run"]);
    let before = digests(&project);
    assert_eq!(
        project.run(&["run", "--set", "youngest=40"]).computed(),
        ["adults", "names", "report"]
    );
    assert_ne!(digests(&project), before);
    let back = project.run(&["run"]);
    assert_eq!(back.executed(), 0);
    assert_eq!(
        back.of("output-published").len(),
        2,
        "the results folder holds what this run gives"
    );
    assert_eq!(digests(&project), before);
    assert_eq!(project.run(&["run", "--set", "youngest=40"]).executed(), 0);
}

#[test]
fn a_changed_program_reruns_its_stage_alone() {
    let project = chain(20);
    project.run(&["run"]);
    project.write("count.sh", "echo many > outputs/text/rows.txt\n");
    assert_eq!(project.run(&["run"]).computed(), ["report"]);
    assert_eq!(project.read("results/chain/report/rows.txt"), "many\n");
}

#[test]
fn a_change_at_the_root_reruns_the_chain() {
    let project = chain(20);
    project.run(&["run"]);
    project.write("data/lesions.csv", lesions(30));
    assert_eq!(project.run(&["run"]).computed(), CHAIN_STAGES);
}

#[test]
fn the_same_content_from_other_work_stops_the_wave_of_reruns() {
    let project = chain(20);
    project.run(&["run"]);
    // Rows in another order, and a blank at the end: other bytes, the same table.
    let text = lesions(20);
    let mut lines: Vec<&str> = text.lines().collect();
    lines[1..].reverse();
    project.write("data/lesions.csv", lines.join("\n"));
    assert_eq!(project.run(&["run"]).computed(), ["lesions"]);
    // A salt forces one stage to run; what it gives is the same.
    project.write(
        "dermflow.yaml",
        CHAIN.replace("  adults:\n", "  adults:\n    salt: once more\n"),
    );
    assert_eq!(project.run(&["run"]).computed(), ["adults"]);
}

#[test]
fn only_random_kinds_depend_on_the_seed() {
    let project = chain(40);
    let stages = CHAIN.split("outputs: {names").next().unwrap();
    let pipeline =
        format!("{stages}  some: {{kind: sample, in: {{table: adults.table}}, with: {{share: 0.5}}}}\n");
    project.write("dermflow.yaml", format!("seed: 1\n{pipeline}"));
    assert_eq!(
        project.run(&["run"]).computed(),
        ["adults", "lesions", "names", "report", "some"]
    );
    let before = digests(&project);
    project.write("dermflow.yaml", format!("seed: 2\n{pipeline}"));
    assert_eq!(project.run(&["run"]).computed(), ["some"]);
    assert_ne!(digests(&project)["some.table"], before["some.table"]);
    assert_eq!(project.run(&["run", "--set", "seed=1"]).executed(), 0);
}

#[test]
fn moving_the_whole_project_reruns_nothing() {
    let project = chain(20);
    let home = project.path().join("elsewhere");
    let run = |folder: &std::path::Path| {
        let output = project
            .command(&["run", "--json"])
            .current_dir(folder)
            .output()
            .unwrap();
        dermflow_tests::Events::from(dermflow_tests::Ended::from(output))
    };
    assert_eq!(run(project.path()).executed(), 4);
    std::fs::create_dir(&home).unwrap();
    for name in ["dermflow.yaml", "count.sh", "data", ".dermflow"] {
        std::fs::rename(project.at(name), home.join(name)).unwrap();
    }
    let moved = run(&home);
    assert_eq!((moved.executed(), moved.hit()), (0, 4));
    assert_eq!(
        std::fs::read(home.join("results/chain/report/rows.txt")).unwrap(),
        project.read("results/chain/report/rows.txt").into_bytes()
    );
}

#[test]
fn renaming_a_folder_of_sources_reruns_nothing_and_renaming_a_file_in_it_does() {
    let project = empty();
    let pipeline = "name: notes\nstages:\n  notes: {kind: list-files, with: {path: notes}}\n";
    project.write("dermflow.yaml", pipeline);
    project.write("notes/a.txt", "a");
    project.write("notes/deep/b.txt", "b");
    assert_eq!(project.run(&["run"]).computed(), ["notes"]);
    std::fs::rename(project.at("notes"), project.at("moved")).unwrap();
    project.write("dermflow.yaml", pipeline.replace("path: notes", "path: moved"));
    assert_eq!(project.run(&["run"]).executed(), 0);
    std::fs::rename(project.at("moved/a.txt"), project.at("moved/c.txt")).unwrap();
    assert_eq!(project.run(&["run"]).computed(), ["notes"]);
}

#[test]
fn renaming_a_stage_reruns_nothing_because_its_name_is_no_part_of_what_it_does() {
    let project = chain(20);
    project.run(&["run"]);
    project.write("dermflow.yaml", CHAIN.replace("adults", "grown"));
    assert_eq!(project.run(&["run"]).executed(), 0);
}

#[test]
fn another_store_knows_nothing_and_gives_the_same_artifacts() {
    let project = chain(20);
    project.run(&["run"]);
    let first = digests(&project);
    std::fs::rename(project.at(".dermflow"), project.at("old-store")).unwrap();
    assert_eq!(project.run(&["run"]).computed(), CHAIN_STAGES);
    assert_eq!(digests(&project), first);
}
