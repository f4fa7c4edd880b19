//! How a run behaves: failures, choices of stages, processes of their own, interruptions.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use dermflow_tests::{Ended, Events, Project};

use crate::project::{chain, contents, counted, digests, empty};

/// `bad` fails once `good` has begun; `after` needs it, `aside` and `then` don't.
fn failing() -> Project {
    let project = empty();
    let process =
        |command: &str| format!("kind: process, with: {{command: '{command}', outputs: {{text: files}}}}");
    project.write(
        "dermflow.yaml",
        format!(
            "name: failing
stages:
  bad: {{{}}}
  after: {{{}, in: {{bad: bad.text}}}}
  aside: {{{}}}
  then: {{{}, in: {{aside: aside.text}}}}
outputs: {{then: then.text}}
",
            process("echo out of luck; echo and out of time >&2; exit 3"),
            process("echo after > outputs/text/after"),
            process("echo aside > outputs/text/aside"),
            process("echo then > outputs/text/then"),
        ),
    );
    project
}

#[test]
fn a_failed_stage_ends_the_run_with_1_and_shows_the_last_output() {
    let project = failing();
    let run = project.try_run(&["run", "-j", "1"]);
    assert_eq!((run.code, run.number("failed")), (Some(1), 1));
    assert_eq!(run.stages("stage-failed"), ["bad"]);
    assert!(run.stages("stage-skipped").contains(&"after".to_string()));
    assert!(
        !run.computed().contains(&"then".to_string()),
        "what had not begun is not started"
    );
    let message = run.of("stage-failed")[0]["message"].as_str().unwrap();
    for words in ["out of luck", "and out of time", "3"] {
        assert!(message.contains(words), "{message}");
    }
    let ended = project.ended(&["run"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("out of luck"), "{}", ended.err);
}

#[test]
fn with_keep_going_all_that_does_not_need_the_failed_stage_runs() {
    let project = failing();
    let run = project.try_run(&["run", "--keep-going"]);
    assert_eq!(run.code, Some(1));
    assert_eq!(run.computed(), ["aside", "then"]);
    assert_eq!((run.number("failed"), run.number("skipped")), (1, 1));
    assert_eq!(project.read("results/failing/then/then"), "then\n");
    let again = project.try_run(&["run", "--keep-going"]);
    assert_eq!(
        (again.code, again.executed(), again.hit(), again.number("failed")),
        (Some(1), 0, 2, 1)
    );
}

#[test]
fn a_failure_is_not_kept_so_the_stage_is_tried_again() {
    let project = failing();
    project.try_run(&["run"]);
    let text = project
        .read("dermflow.yaml")
        .replace("exit 3", "touch outputs/text/x");
    project.write("dermflow.yaml", text);
    let run = project.run(&["run"]);
    assert!(run.computed().contains(&"bad".to_string()) && run.computed().contains(&"after".to_string()));
}

#[test]
fn until_runs_a_stage_and_what_it_needs() {
    let project = chain(20);
    assert_eq!(
        project.run(&["run", "--until", "adults"]).computed(),
        ["adults", "lesions"]
    );
    let whole = project.run(&["run"]);
    assert_eq!(
        (whole.computed(), whole.hit()),
        (vec!["names".to_string(), "report".to_string()], 2)
    );
}

#[test]
fn force_computes_a_stage_and_the_same_content_stops_there() {
    let project = chain(20);
    project.run(&["run"]);
    let before = digests(&project);
    let forced = project.run(&["run", "--force", "lesions"]);
    assert_eq!(
        (forced.computed(), forced.hit()),
        (vec!["lesions".to_string()], 3)
    );
    assert_eq!(digests(&project), before);
}

#[test]
fn a_stage_that_does_not_exist_can_be_neither_forced_nor_run() {
    let project = chain(20);
    for option in ["--until", "--force"] {
        let ended = project.ended(&["run", option, "adlts"]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.err.contains("adlts"), "{}", ended.err);
        assert!(!project.at("results").exists());
    }
}

#[test]
fn a_wrong_pipeline_ends_with_2_and_starts_nothing() {
    let project = chain(20);
    let text = project
        .read("dermflow.yaml")
        .replace("kind: filter", "kind: fitler");
    project.write("dermflow.yaml", text);
    let ended = project.ended(&["run"]);
    assert_eq!(ended.code, Some(2));
    assert_eq!(
        ended.err.matches("did you mean").count(),
        2,
        "both places are told: {}",
        ended.err
    );
    assert!(
        ended.err.contains("dermflow.yaml:") && ended.err.contains("^^^^^^"),
        "{}",
        ended.err
    );
    assert!(!project.at(".dermflow").exists(), "nothing was started");
    assert_eq!(project.ended(&["run", "no-such-file.yaml"]).code, Some(2));
    assert_eq!(project.ended(&["run", "--no-such-option"]).code, Some(2));
}

#[test]
fn isolated_stages_give_what_stages_in_the_process_give() {
    let (alone, together) = (chain(300), chain(300));
    let events = alone.run(&["run", "--isolate"]);
    assert_eq!(events.computed(), ["adults", "lesions", "names", "report"]);
    together.run(&["run"]);
    assert_eq!(digests(&alone), digests(&together));
    assert_eq!(contents(&alone.at("results")), contents(&together.at("results")));
    assert_eq!(alone.run(&["run"]).executed(), 0, "one finds what the other made");
    assert_eq!(together.run(&["run", "--isolate"]).executed(), 0);
}

#[test]
fn an_isolated_stage_that_is_killed_fails_alone_and_shows_its_last_output() {
    for signal in ["KILL", "ABRT"] {
        let project = empty();
        // The program's parent is the process that the stage has for itself.
        let kill = format!("echo last words; sleep 0.3; kill -{signal} $PPID; sleep 5");
        project.write(
            "dermflow.yaml",
            format!(
                "name: killed\nstages:\n  \
                 bad: {{kind: process, with: {{command: '{kill}', outputs: {{text: files}}}}}}\n  \
                 good: {{kind: process, with: {{command: 'echo good > outputs/text/good', outputs: {{text: files}}}}}}\n"
            ),
        );
        let run = project.try_run(&["run", "--isolate", "--keep-going"]);
        assert_eq!(
            (run.code, run.computed()),
            (Some(1), vec!["good".to_string()]),
            "{run:#?}"
        );
        let message = run.of("stage-failed")[0]["message"].as_str().unwrap();
        assert!(
            message.contains("signal") && message.contains("last words"),
            "{message}"
        );
    }
}

/// Runs until the stage has begun, and sends these signals, each after the one before was heard.
fn interrupt(project: &Project, arguments: &[&str], signals: &[rustix::process::Signal]) -> Events {
    let mut child = project.spawn(arguments);
    while !project.at("begun").exists() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ended before it was interrupted"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = rustix::process::Pid::from_child(&child);
    let mut heard = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    for signal in signals {
        rustix::process::kill_process(id, *signal).unwrap();
        // The first is answered; after the second, standard error just ends.
        heard
            .by_ref()
            .find(|line| line.contains("once more to stop at once"));
    }
    Events::from(Ended::from(child.wait_with_output().unwrap()))
}

/// `slow`, between two others, is slow the first time only; `patience` is what it says to being stopped.
fn slow(patience: &str) -> Project {
    let project = empty();
    let (begun, log) = (
        project.at("begun").display().to_string(),
        project.at("log").display().to_string(),
    );
    let slow = format!(
        "echo slow >> {log}; {patience} if mkdir {begun} 2>/dev/null; then sleep 8 & wait $!; sleep 2; fi; echo done > outputs/text/done"
    );
    let process = |input: &str, command: &str| {
        format!(
            "{{kind: process, in: {{{input}}}, with: {{command: \"{command}\", outputs: {{text: files}}}}}}"
        )
    };
    project.write(
        "dermflow.yaml",
        format!(
            "name: slow\nstages:\n  quick: {}\n  slow: {}\n  last: {}\noutputs: {{last: last.text}}\n",
            process("", &format!("echo quick >> {log}; echo 1 > outputs/text/1")),
            process("quick: quick.text", &slow),
            process("slow: slow.text", "cp inputs/slow/done outputs/text/"),
        ),
    );
    project
}

fn is_completed_later(project: &Project) {
    let later = project.run(&["run"]);
    assert_eq!(later.computed(), ["last", "slow"]);
    assert_eq!(project.read("results/slow/last/done"), "done\n");
    let counts: Vec<(String, usize)> = counted(project, "log").into_iter().collect();
    assert_eq!(counts, [("quick".to_string(), 1), ("slow".to_string(), 2)]);
}

#[test]
fn an_interrupted_run_ends_with_130_and_a_later_one_completes_it() {
    use rustix::process::Signal;
    for (arguments, signal) in [
        (&["run", "--json"][..], Signal::INT),
        (&["run", "--json"], Signal::TERM),
        (&["run", "--json", "--isolate"], Signal::INT),
    ] {
        let project = slow("");
        let run = interrupt(&project, arguments, &[signal]);
        assert_eq!(run.code, Some(130), "{run:#?}");
        assert_eq!(run.all.last().unwrap()["interrupted"], true);
        assert_eq!(
            (run.computed(), run.number("failed")),
            (vec!["quick".to_string()], 0)
        );
        is_completed_later(&project);
    }
}

#[test]
fn a_second_interruption_does_not_wait_for_a_stage_that_will_not_stop() {
    use rustix::process::Signal;
    let project = slow("trap '' INT TERM;");
    let run = interrupt(&project, &["run", "--json"], &[Signal::INT, Signal::INT]);
    assert_eq!(run.code, Some(130), "{run:#?}");
    assert_ne!(run.all.last().unwrap()["event"], "run-finished", "it waited");
    // `quick` runs again where its record was not on the disk yet.
    let later = project.run(&["run"]).computed();
    assert!(
        later.ends_with(&["slow".to_string()]) && later.contains(&"last".to_string()),
        "{later:?}"
    );
    assert_eq!(project.read("results/slow/last/done"), "done\n");
    assert_eq!(project.run(&["run"]).executed(), 0);
}

#[test]
fn plain_lines_say_what_was_done_where_there_is_no_terminal() {
    let project = chain(20);
    let first = project.done(&["run"]);
    for words in [
        "run      adults [filter]",
        "done     report",
        "output   names",
        "4 executed, 0 hit",
    ] {
        assert!(first.err.contains(words), "`{words}` is not in {}", first.err);
    }
    assert_eq!(first.out, "");
    assert!(project.done(&["run"]).err.contains("0 executed, 4 hit"));
}

#[test]
fn events_begin_with_the_start_and_end_with_the_sums() {
    let project = chain(20);
    let run = project.run(&["run"]);
    assert_eq!(run.all[0]["event"], "run-started");
    assert_eq!(run.all[0]["stages"], 4);
    let last = run.all.last().unwrap();
    for field in ["executed", "hit", "failed", "rows_computed", "rows_reused"] {
        assert!(last[field].is_u64(), "{field} in {last}");
    }
}

#[test]
fn a_program_sees_nothing_of_the_environment_but_what_is_declared() {
    let project = empty();
    project.write(
        "dermflow.yaml",
        "name: clean\nstages:\n  clean: {kind: process, with: {command: 'env > outputs/text/env', environment: {TOLD: yes it is}, \
         outputs: {text: files}}}\noutputs: {clean: clean.text}\n",
    );
    let ended = project
        .command(&["run"])
        .env("SECRET_OF_THE_RUN", "1")
        .output()
        .unwrap();
    assert!(ended.status.success());
    let seen = project.read("results/clean/clean/env");
    assert!(
        seen.contains("TOLD=yes it is") && !seen.contains("SECRET_OF_THE_RUN"),
        "{seen}"
    );
    let other = project
        .command(&["run", "--json"])
        .env("SECRET_OF_THE_RUN", "2")
        .output()
        .unwrap();
    assert_eq!(Events::from(Ended::from(other)).executed(), 0);
}

#[test]
fn outputs_that_break_their_promise_fail_the_stage() {
    for (command, outputs, words) in [
        ("true", "{t: {table: {a: text}}}", "t"),
        (
            "echo no parquet > outputs/t.parquet",
            "{t: {table: {a: text}}}",
            "t",
        ),
        (
            "ln -s / outputs/f/x",
            "{f: files}",
            "outputs/f/x is neither a file nor a folder",
        ),
        (
            "ln -s nowhere outputs/f/x",
            "{f: files}",
            "outputs/f/x is neither a file nor a folder",
        ),
        (
            "mkfifo outputs/f/x",
            "{f: files}",
            "outputs/f/x is neither a file nor a folder",
        ),
        ("true", "{f: files}", "missing at outputs/f"),
    ] {
        let project = empty();
        let stage = format!("{{kind: process, with: {{command: '{command}', outputs: {outputs}}}}}");
        project.write(
            "dermflow.yaml",
            format!("name: broken\nstages:\n  broken: {stage}\n"),
        );
        let run = project.try_run(&["run"]);
        assert_eq!(
            (run.code, run.stages("stage-failed")),
            (Some(1), vec!["broken".to_string()]),
            "{command}"
        );
        let message = run.of("stage-failed")[0]["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    }
}
