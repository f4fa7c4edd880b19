//! Variants and matrix cells: one run, one store, nothing twice.

use dermflow_tests::{Events, Project};

use crate::project::{COUNT, counted, digests, empty, lesions};

fn ages() -> Project {
    let project = empty();
    project.write("lesions.csv", lesions(60));
    project.write("count.sh", COUNT);
    let log = project.at("log").display().to_string();
    project.write(
        "dermflow.yaml",
        format!(
            "name: ages
params: {{youngest: 18, luck: good}}
stages:
  lesions: {{kind: import-table, with: {{path: lesions.csv, key: image, columns: {{age: integer}}}}}}
  common: {{kind: process, with: {{command: 'echo common >> {log}; echo 1 > outputs/text/1', outputs: {{text: files}}}}}}
  adults: {{kind: filter, in: {{table: lesions.table}}, with: {{where: {{column: age, at-least: '${{youngest}}'}}}}}}
  counted:
    kind: process
    in: {{adults: adults.table, common: common.text}}
    with:
      command: 'echo counted-${{youngest}} >> {log}; test ${{luck}} = good; . ./count.sh; test ${{luck}} = good'
      files: [count.sh]
      outputs: {{text: files}}
variants:
  older: {{youngest: 40}}
  same: {{youngest: 0x12}}
  unlucky: {{youngest: 50, luck: bad}}
matrix:
  every: {{youngest: [10, 20, 30]}}
outputs: {{counted: counted.text}}
"
        ),
    );
    project
}

fn cells(events: &Events, sort: &str) -> Vec<String> {
    let of = |event: &&serde_json::Value| {
        format!(
            "{}:{}",
            event["cell"].as_str().unwrap_or(""),
            event["stage"].as_str().unwrap()
        )
    };
    let mut all: Vec<String> = events.of(sort).iter().map(of).collect();
    all.sort();
    all
}

#[test]
fn cells_of_a_matrix_share_what_they_have_in_common() {
    let project = ages();
    let run = project.run(&["run", "--matrix", "every"]);
    assert_eq!((run.executed(), run.hit()), (8, 4));
    let shared = run
        .of("stage-hit")
        .iter()
        .filter(|event| event["shared"] == true)
        .count();
    assert!(shared <= 4);
    let counts = counted(&project, "log");
    assert_eq!(counts.values().sum::<usize>(), 4, "{counts:?}");
    assert_eq!(project.run(&["run", "--matrix", "every"]).executed(), 0);
    // Another cell finds what these made.
    assert_eq!(project.run(&["run"]).computed(), ["adults", "counted"]);
}

#[test]
fn a_variant_that_changes_nothing_finds_everything_and_has_results_of_its_own() {
    let project = ages();
    project.run(&["run"]);
    let same = project.run(&["run", "--variant", "same"]);
    assert_eq!((same.executed(), same.hit()), (0, 4));
    assert_eq!(
        project.read("results/ages/@same/counted/rows.txt"),
        project.read("results/ages/counted/rows.txt")
    );
}

#[test]
fn a_cell_that_fails_does_not_stop_the_others() {
    let project = ages();
    let run = project.try_run(&["run", "--all-variants"]);
    assert_eq!((run.code, run.number("failed")), (Some(1), 1));
    assert_eq!(cells(&run, "stage-failed"), ["unlucky:counted"]);
    let published = run.of("output-published").len();
    assert_eq!(published, 6, "the base, two variants and three cells");
    assert!(
        counted(&project, "log").iter().all(|(_, count)| *count == 1),
        "{:?}",
        counted(&project, "log")
    );
    for cell in ["older", "same"] {
        assert_eq!(project.run(&["run", "--variant", cell]).executed(), 0, "{cell}");
    }
}

#[test]
fn a_cell_alone_gives_what_it_gives_among_others() {
    let (alone, among) = (ages(), ages());
    alone.run(&["run", "--variant", "older"]);
    among.try_run(&["run", "--all-variants"]);
    among.run(&["run", "--variant", "older"]);
    let tables = |project: &Project| {
        let mut all = digests(project);
        all.retain(|name, _| name.contains("adults") || name.contains("counted"));
        all
    };
    assert_eq!(tables(&alone).len(), 2);
    assert_eq!(tables(&alone), tables(&among));
}

#[test]
fn a_cell_that_does_not_exist_ends_with_2_and_a_hint() {
    let project = ages();
    let ended = project.ended(&["run", "--variant", "oldr"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.err.contains("did you mean") && ended.err.contains("older"),
        "{}",
        ended.err
    );
    assert!(!project.at(".dermflow").exists());
}
