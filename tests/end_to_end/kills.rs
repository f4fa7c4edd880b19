//! Kills at random instants: what was there stays, what was half is made again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use dermflow_tests::Project;

use crate::project::{COUNT, contents, digests, empty, journals_are_sound, lesions};

/// How many runs are killed.
const KILLS: usize = 210;
/// How many of them go by before one is left to end.
const IN_A_ROW: usize = 7;

/// Eight stages: tables, maps, programs, files.
fn short() -> Project {
    let project = empty();
    project.write("lesions.csv", lesions(400));
    project.write("count.sh", COUNT);
    for at in 0..20 {
        project.write(&format!("notes/{at}.txt"), format!("note {at}\n"));
    }
    project.write(
        "dermflow.yaml",
        "name: short
params: {youngest: 0}
stages:
  lesions: {kind: import-table, with: {path: lesions.csv, key: image, columns: {image: text, age: integer}}}
  notes: {kind: list-files, with: {path: notes, content: true}}
  adults: {kind: filter, in: {table: lesions.table}, with: {where: {column: age, at-least: '${youngest}'}}}
  some: {kind: sample, in: {table: adults.table}, with: {share: 0.5}}
  both: {kind: join, in: {left: adults.table, right: some.table}, with: {how: left, prefix: some_}}
  words: {kind: process, with: {command: 'for i in 1 2 3; do echo $i ${youngest} > outputs/text/$i; done', outputs: {text: files}}}
  counted:
    kind: process
    in: {both: both.table, words: words.text}
    with: {command: 'cp inputs/words/1 outputs/text/1; sleep 0.01; . ./count.sh', files: [count.sh], outputs: {text: files}}
  last: {kind: filter, in: {table: both.table}, with: {columns: [image]}}
outputs: {both: both.table, notes: notes.files, counted: counted.text, last: last.table}
",
    );
    project
}

type Results = (BTreeMap<String, String>, BTreeMap<PathBuf, Vec<u8>>);

fn results(project: &Project) -> Results {
    (digests(project), contents(&project.at("results")))
}

/// The n-th number of a fixed sequence that looks random.
pub fn draw(at: usize) -> u64 {
    let mut state = at as u64 ^ 0x9e37_79b9_7f4a_7c15;
    for _ in 0..3 {
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= state >> 27;
    }
    state
}

/// Starts a run and kills it after a delay, unless it ended first. True if it was killed.
fn kill(project: &Project, arguments: &[&str], delay: Duration) -> bool {
    let mut command = project.command(arguments);
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap().code().is_none()
}

#[test]
fn runs_killed_at_hundreds_of_instants_leave_a_store_that_gives_the_uninterrupted_result() {
    let (project, reference) = (short(), short());
    let mut longest = {
        let started = std::time::Instant::now();
        reference.run(&["run", "--set", "youngest=-1"]);
        started.elapsed()
    };
    let (mut killed, mut tried, mut round) = (0, 0, 0);
    while killed < KILLS {
        let set = format!("youngest={round}");
        let run = ["run", "--set", &set];
        for _ in 0..IN_A_ROW {
            let mut arguments = run.to_vec();
            arguments.extend(match draw(tried) % 5 {
                0 => &["--isolate"][..],
                1 => &["-j", "1"],
                _ => &[],
            });
            let delay = longest.mul_f64((draw(tried + 1_000_000) % 1000) as f64 / 1000.0);
            match kill(&project, &arguments, delay) {
                true => killed += 1,
                // It was faster than the first: look where it happens.
                false => longest = longest.mul_f64(0.9).max(Duration::from_millis(20)),
            }
            tried += 1;
        }
        project.run(&run);
        reference.run(&run);
        assert!(
            results(&project) == results(&reference),
            "after {killed} kills, with {set}"
        );
        assert_eq!(
            project.run(&run).executed(),
            0,
            "after {killed} kills, with {set}"
        );
        round += 1;
    }
    let before = results(&project);
    let set = format!("youngest={}", round - 1);
    project.done(&["gc", "--keep-runs", "1", "--yes"]);
    assert_eq!(
        project.run(&["run", "--set", &set]).executed(),
        0,
        "a kept run is whole after a clean-up"
    );
    assert!(results(&project) == before);
    project.done(&["gc", "--keep-runs", "0", "--yes"]);
    assert_eq!(project.run(&["run", "--set", &set]).executed(), 8);
    assert!(results(&project) == before, "and so is a store that forgot all");
    journals_are_sound(&project);
}

#[test]
fn clean_ups_killed_at_random_instants_leave_a_sound_store() {
    let project = short();
    project.run(&["run"]);
    let before = results(&project);
    for at in 0..25 {
        let set = format!("youngest={}", at + 1);
        project.run(&["run", "--set", &set]);
        project.run(&["run"]);
        let delay = Duration::from_micros(draw(at) % 40_000);
        kill(&project, &["gc", "--keep-runs", "1", "--yes"], delay);
        assert_eq!(project.run(&["run"]).executed(), 0, "after clean-up {at}");
        assert!(results(&project) == before, "after clean-up {at}");
    }
}

#[test]
fn a_program_that_outlives_its_killed_run_does_not_get_into_the_next_ones_result() {
    let project = empty();
    let flags = project.at("flags");
    std::fs::create_dir(&flags).unwrap();
    let flags = flags.display();
    // The first one stays until the second has written its output, and then writes over it.
    project.write(
        "dermflow.yaml",
        format!(
            "name: stale
stages:
  stale:
    kind: process
    with:
      command: |
        out=$PWD/outputs/text
        wait_for() {{ n=0; until [ -e {flags}/$1 ] || [ $n -gt 300 ]; do sleep 0.1; n=$((n+1)); done; }}
        if mkdir {flags}/first 2>/dev/null; then
          wait_for second; echo stale > $out/a.txt; echo stale > $out/b.txt; touch {flags}/wrote
        else
          echo fresh > $out/a.txt; touch {flags}/second; wait_for wrote
        fi
      outputs: {{text: files}}
outputs: {{text: stale.text}}
"
        ),
    );
    let mut child = project.spawn(&["run"]);
    while !project.at("flags/first").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    project.run(&["run"]);
    let text = contents(&project.at("results/stale/text"));
    assert_eq!(
        text,
        BTreeMap::from([(PathBuf::from("a.txt"), b"fresh\n".to_vec())])
    );
}
