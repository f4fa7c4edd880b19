//! Several processes on one store at once.

use std::collections::BTreeMap;
use std::process::Child;

use dermflow_tests::{Ended, Events, Project};

use crate::project::{COUNT, counted, digests, empty, files_below, lesions};

/// Stages that say in `log` that they run, around a map.
fn counting() -> Project {
    let project = empty();
    project.write("lesions.csv", lesions(300));
    project.write("count.sh", COUNT);
    let log = project.at("log").display().to_string();
    project.write(
        "dermflow.yaml",
        format!(
            "name: counting
params: {{youngest: 18}}
stages:
  lesions: {{kind: import-table, with: {{path: lesions.csv, key: image, columns: {{age: integer}}}}}}
  first: {{kind: process, with: {{command: 'echo first >> {log}; sleep 0.1; echo 1 > outputs/text/1', outputs: {{text: files}}}}}}
  adults: {{kind: filter, in: {{table: lesions.table}}, with: {{where: {{column: age, at-least: '${{youngest}}'}}}}}}
  second:
    kind: process
    in: {{one: first.text}}
    with: {{command: 'echo second >> {log}; sleep 0.1; cp inputs/one/1 outputs/text/2', outputs: {{text: files}}}}
  counted:
    kind: process
    in: {{adults: adults.table, two: second.text}}
    with: {{command: 'echo counted-${{youngest}} >> {log}; . ./count.sh', files: [count.sh], outputs: {{text: files}}}}
variants:
  older: {{youngest: 40}}
outputs: {{counted: counted.text}}
"
        ),
    );
    project
}

fn all_end_well(children: Vec<Child>) -> Vec<Events> {
    let ended = |child: Child| {
        let events = Events::from(Ended::from(child.wait_with_output().unwrap()));
        assert_eq!(
            events.code,
            Some(0),
            "{}\n{:#?}",
            events.err,
            events.of("stage-failed")
        );
        events
    };
    children.into_iter().map(ended).collect()
}

fn once_each(names: &[&str]) -> BTreeMap<String, usize> {
    names.iter().map(|name| (name.to_string(), 1)).collect()
}

fn executed_in_all(runs: &[Events]) -> u64 {
    runs.iter().map(Events::executed).sum()
}

fn alone() -> BTreeMap<String, String> {
    let project = counting();
    project.run(&["run"]);
    digests(&project)
}

#[test]
fn two_processes_with_one_pipeline_compute_each_action_once() {
    let project = counting();
    let runs = all_end_well((0..2).map(|_| project.spawn(&["run", "--json"])).collect());
    assert_eq!(
        counted(&project, "log"),
        once_each(&["counted-18", "first", "second"])
    );
    assert_eq!(executed_in_all(&runs), 5);
    assert_eq!(digests(&project), alone());
    assert_eq!(project.run(&["run"]).executed(), 0);
}

#[test]
fn eight_processes_with_overlapping_pipelines_compute_each_action_once() {
    let project = counting();
    let arguments: [&[&str]; 4] = [
        &["run", "--json"],
        &["run", "--json", "--variant", "older"],
        &["run", "--json", "--all-variants", "-j", "1"],
        &["run", "--json", "--isolate", "--until", "second"],
    ];
    let runs = all_end_well((0..8).map(|at| project.spawn(arguments[at % 4])).collect());
    assert_eq!(
        counted(&project, "log"),
        once_each(&["counted-18", "counted-40", "first", "second"])
    );
    // An executor's driver counts what its own process found done as executed, so only the others are added up.
    let in_process: u64 = runs
        .iter()
        .enumerate()
        .filter(|(at, _)| at % 4 != 3)
        .map(|(_, run)| run.executed())
        .sum();
    assert!(in_process <= 7, "{in_process}");
    project.run(&["run"]);
    assert_eq!(digests(&project), alone());
    assert_eq!(project.run(&["run", "--all-variants"]).executed(), 0);
    project.done(&["gc", "--keep-runs", "2", "--yes"]);
    assert_eq!(project.run(&["run"]).executed(), 0);
    crate::project::journals_are_sound(&project);
}

#[test]
fn a_clean_up_waits_for_runs_or_says_that_the_store_is_in_use() {
    let project = counting();
    let running = project.spawn(&["run", "--json"]);
    let ended = project.ended(&["gc", "--keep-runs", "0", "--yes"]);
    let runs = all_end_well(vec![running]);
    assert_eq!(runs[0].hit() + runs[0].executed(), 5);
    assert!(matches!(ended.code, Some(0 | 1)), "{ended:?}");
    project.run(&["run"]);
    assert_eq!(digests(&project), alone());
}

#[test]
fn plans_and_looks_during_a_run_see_whole_things() {
    let project = counting();
    project.run(&["run", "--until", "lesions"]);
    let running = project.spawn(&["run", "--json"]);
    for _ in 0..5 {
        for arguments in [
            &["plan", "--json"][..],
            &["ls", "--all", "--json"],
            &["show", "lesions.table", "--json"],
        ] {
            let out = project.done(arguments).out;
            serde_json::from_str::<serde_json::Value>(&out).unwrap();
        }
    }
    all_end_well(vec![running]);
}

#[test]
fn processes_that_lay_out_the_same_results_at_once_take_turns() {
    let project = counting();
    project.run(&["run"]);
    let expected = crate::project::contents(&project.at("results"));
    for _ in 0..5 {
        std::fs::remove_dir_all(project.at("results")).unwrap();
        all_end_well((0..4).map(|_| project.spawn(&["run", "--json"])).collect());
        assert_eq!(crate::project::contents(&project.at("results")), expected);
    }
}

#[test]
fn a_run_that_waits_for_another_can_be_interrupted() {
    let project = empty();
    let (begun, go) = (project.at("begun"), project.at("go"));
    project.write(
        "dermflow.yaml",
        format!(
            "name: slow
stages:
  slow:
    kind: process
    with:
      command: 'touch {}; n=0; until [ -e {} ] || [ $n -gt 600 ]; do sleep 0.05; n=$((n+1)); done; echo 1 > outputs/text/1'
      outputs: {{text: files}}
",
            begun.display(),
            go.display()
        ),
    );
    let first = project.spawn(&["run", "--json"]);
    while !begun.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut second = project.spawn(&["run", "--json"]);
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(second.stdout.take().unwrap()));
    while !lines.next().unwrap().unwrap().contains("stage-started") {}
    let id = rustix::process::Pid::from_child(&second);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let last = lines.map(Result::unwrap).last().unwrap();
    assert!(
        last.contains("run-finished") && last.contains("\"interrupted\":true"),
        "{last}"
    );
    assert_eq!(second.wait().unwrap().code(), Some(130));
    std::fs::write(&go, "").unwrap();
    assert_eq!(all_end_well(vec![first])[0].executed(), 1);
}

#[test]
fn scratch_that_can_not_be_removed_fails_no_finished_action() {
    let project = empty();
    let (work, saved) = (project.at(".dermflow/work"), project.at("saved"));
    std::fs::create_dir(&saved).unwrap();
    let save = format!("cp {}/*.json {}", work.display(), saved.display());
    project.write(
        "dermflow.yaml",
        format!(
            "name: one\nstages:\n  one: {{kind: process, with: {{command: '{save}; echo 1 > outputs/text/1', \
             outputs: {{text: files}}}}}}\n"
        ),
    );
    project.run(&["run", "--isolate"]);
    let file = files_below(&saved).remove(0);
    let key = file.file_stem().unwrap().to_str().unwrap();
    // As if another process had been asked for it, and found it done when the lock was free.
    std::fs::copy(&file, work.join(format!("{key}.json"))).unwrap();
    // A file is not removed as a folder is, whoever runs this; the superuser may remove any folder.
    std::fs::write(work.join(key), "in the way").unwrap();
    project.done(&["exec", key]);
}
