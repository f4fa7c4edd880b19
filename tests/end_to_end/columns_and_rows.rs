//! What is finer than a stage: columns of inputs, and rows of maps.

use serde_json::Value;

use crate::project::{CHAIN, chain, digests, empty, lesions};

fn of_stage<'a>(events: &'a dermflow_tests::Events, stage: &str) -> &'a Value {
    let all = events.of("stage-executed");
    all.into_iter()
        .find(|event| event["stage"] == stage)
        .unwrap_or_else(|| panic!("`{stage}` was not computed"))
}

fn rows(events: &dermflow_tests::Events, stage: &str) -> (u64, u64) {
    let event = of_stage(events, stage);
    (
        event["rows_computed"].as_u64().unwrap(),
        event["rows_reused"].as_u64().unwrap(),
    )
}

#[test]
fn relabelling_does_not_rerun_what_reads_another_column_only() {
    let project = chain(40);
    project.run(&["run"]);
    // Row 4 is of an adult, so the filter before gives another table, too.
    project.write(
        "data/lesions.csv",
        lesions(40).replace("ISIC_00004,nevus", "ISIC_00004,wart"),
    );
    assert_eq!(project.run(&["run"]).computed(), ["adults", "lesions"]);
}

#[test]
fn a_column_that_a_condition_reads_counts_though_it_is_not_kept() {
    let project = chain(40);
    let pipeline = CHAIN.replace(
        "{columns: [image]}",
        "{columns: [image], where: {column: diagnosis, equals: nevus}}",
    );
    project.write("dermflow.yaml", pipeline);
    project.run(&["run"]);
    project.write(
        "data/lesions.csv",
        lesions(40).replace("ISIC_00004,nevus", "ISIC_00004,wart"),
    );
    assert_eq!(
        project.run(&["run"]).computed(),
        ["adults", "lesions", "names", "report"]
    );
}

#[test]
fn one_changed_row_recomputes_one_row_of_a_filter() {
    let project = chain(300);
    project.run(&["run"]);
    project.write(
        "data/lesions.csv",
        lesions(300).replace("ISIC_00004,nevus,28", "ISIC_00004,nevus,29"),
    );
    let second = project.run(&["run"]);
    assert_eq!(second.computed(), ["adults", "lesions"]);
    assert_eq!(rows(&second, "adults"), (1, 299));
}

#[test]
fn an_added_and_a_removed_row_cost_one_row() {
    let project = chain(300);
    project.run(&["run"]);
    project.write(
        "data/lesions.csv",
        lesions(301).replace("ISIC_00002,nevus,14\n", ""),
    );
    let second = project.run(&["run"]);
    assert_eq!(rows(&second, "adults"), (1, 299));
    let taken_over = digests(&project);
    std::fs::remove_dir_all(project.at(".dermflow")).unwrap();
    project.run(&["run"]);
    assert_eq!(
        digests(&project),
        taken_over,
        "rows taken over are the rows that would be computed"
    );
}

#[test]
fn a_changed_parameter_takes_no_rows_over() {
    let project = chain(300);
    project.run(&["run"]);
    let second = project.run(&["run", "--set", "youngest=19"]);
    assert_eq!(rows(&second, "adults"), (300, 0));
}

#[test]
fn one_changed_file_of_many_is_read_alone() {
    let project = empty();
    project.write(
        "dermflow.yaml",
        "name: notes\nstages:\n  notes: {kind: list-files, with: {path: notes, content: true}}\n",
    );
    for at in 0..60 {
        project.write(&format!("notes/{at}.txt"), format!("note {at}"));
    }
    assert_eq!(rows(&project.run(&["run"]), "notes"), (60, 0));
    project.write("notes/7.txt", "another");
    assert_eq!(rows(&project.run(&["run"]), "notes"), (1, 59));
    std::fs::remove_file(project.at("notes/8.txt")).unwrap();
    assert_eq!(rows(&project.run(&["run"]), "notes"), (0, 59));
    let taken_over = digests(&project);
    std::fs::remove_dir_all(project.at(".dermflow")).unwrap();
    assert_eq!(rows(&project.run(&["run"]), "notes"), (59, 0));
    assert_eq!(digests(&project), taken_over);
}

#[test]
fn a_forced_map_takes_nothing_over() {
    let project = chain(300);
    project.run(&["run"]);
    let forced = project.run(&["run", "--force", "adults"]);
    assert_eq!(forced.computed(), ["adults"]);
    assert_eq!(rows(&forced, "adults"), (300, 0));
    assert_eq!(forced.of("nondeterminism").len(), 0);
}

#[test]
fn rows_are_taken_over_by_processes_of_their_own_too() {
    let project = chain(300);
    project.run(&["run", "--isolate"]);
    project.write(
        "data/lesions.csv",
        lesions(300).replace("ISIC_00004,nevus,28", "ISIC_00004,nevus,29"),
    );
    let second = project.run(&["run", "--isolate"]);
    assert_eq!(rows(&second, "adults"), (1, 299));
}
