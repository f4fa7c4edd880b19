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
fn a_column_that_may_no_longer_be_empty_is_another_input() {
    let project = chain(300);
    project.run(&["run"]);
    let sure = CHAIN.replace("{type: integer, nullable: true}", "integer");
    project.write("dermflow.yaml", sure);
    let run = project.run(&["run"]);
    assert!(run.computed().contains(&"adults".to_string()), "{run:#?}");
    let started = run.of("stage-started");
    let adults = started.iter().find(|event| event["stage"] == "adults");
    let reason = adults.unwrap()["reasons"].to_string();
    assert!(reason.contains("no value may be missing any more"), "{reason}");
    let incremental = digests(&project);
    std::fs::remove_dir_all(project.at(".dermflow")).unwrap();
    project.run(&["run"]);
    assert_eq!(digests(&project), incremental);
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

/// The n-th number of a fixed sequence that looks random.
fn draw(at: u64) -> u64 {
    let mut state = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for _ in 0..3 {
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= state >> 27;
    }
    state
}

#[test]
fn runs_after_random_edits_give_what_runs_from_nothing_give() {
    let project = empty();
    project.write(
        "dermflow.yaml",
        "name: edits
seed: 5
stages:
  rows: {kind: import-table, with: {path: rows.csv, key: image, columns: {a: integer, b: {type: text, nullable: true}}}}
  notes: {kind: list-files, with: {path: notes, matching: ['*.txt'], content: true}}
  kept: {kind: filter, in: {table: rows.table}, with: {where: {column: a, at-least: 20}}}
  letters: {kind: filter, in: {table: kept.table}, with: {columns: [b]}}
  some: {kind: sample, in: {table: kept.table}, with: {share: 0.5}}
  both: {kind: join, in: {left: kept.table, right: some.table}, with: {how: left, prefix: some_}}
  all: {kind: concat, in: {tables: [kept.table, some.table]}}
  again: {kind: filter, in: {table: all.table}, with: {where: {column: b, equals: x}}}
",
    );
    // Keys come several times, so samples have several rows in an order that counts.
    let mut rows: Vec<String> = (0..600)
        .map(|at| format!("k{},{},x", at % 400, at % 50))
        .collect();
    let mut reused = 0;
    for round in 0..12u64 {
        for edit in 0..1 + draw(round) % 4 {
            let number = draw(round * 100 + edit + 1);
            let at = (number >> 8) as usize % rows.len();
            match number % 5 {
                0 => rows[at] = format!("k{},{},y", number % 500, number % 60),
                1 => drop(rows.remove(at)),
                2 => rows.insert(at, format!("k{},{},", number % 450, number % 60)),
                3 => rows.swap(at, 0),
                _ => rows.push(rows[at].clone()),
            }
            project.write(
                &format!("notes/{}.txt", number % 9),
                format!("note {}", number % 3),
            );
        }
        project.write("rows.csv", format!("image,a,b\n{}\n", rows.join("\n")));
        let run = project.run(&["run"]);
        reused += run.number("rows_reused");
        let taken_over = digests(&project);
        project.run(&["run", "--store", "fresh/store"]);
        let fresh = project.done(&["ls", "--json", "--store", "fresh/store"]).out;
        for (name, digest) in taken_over {
            assert!(fresh.contains(&digest), "{name} after edit {round}");
        }
        std::fs::remove_dir_all(project.at("fresh")).unwrap();
    }
    assert!(reused > 0, "no row was ever taken over");
}
