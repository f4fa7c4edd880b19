//! A reader that has seen enough, such as `head`, and one that can take no more.

use std::fs::OpenOptions;

use dermflow_tests::{Ended, Project};

use crate::project::chain;

/// Ends the program whose standard output, or with `both` standard error too, nobody reads.
fn unread(project: &Project, arguments: &[&str], both: bool) -> Ended {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = project.command(arguments);
    if both {
        command.stderr(writer.try_clone().unwrap());
    }
    command.stdout(writer);
    Ended::from(command.output().unwrap())
}

#[test]
fn every_verb_ends_quietly_where_nobody_reads() {
    let project = chain(20);
    project.run(&["run"]);
    for arguments in [
        &["schema"][..],
        &["stages"],
        &["stages", "process"],
        &["completions", "bash"],
        &["plan"],
        &["why", "report"],
        &["ls", "--json"],
        &["show", "names.table"],
        &["graph"],
        &["verify"],
        &["run", "--json"],
    ] {
        for both in [false, true] {
            let ended = unread(&project, arguments, both);
            assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.err);
            assert!(!ended.err.contains("panicked"), "{arguments:?}: {}", ended.err);
        }
    }
    let wrong = unread(&project, &["why", "nope"], true);
    assert_eq!(wrong.code, Some(2));
}

#[test]
fn what_was_asked_for_is_done_though_nobody_reads_of_it() {
    let project = chain(20);
    project.run(&["run"]);
    let forget = ["forget", "ISIC_00003", "--yes", "--certificate", "proof.json"];
    let ended = unread(&project, &forget, false);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(project.read("proof.json").contains("all_absent"));
    project.run(&["run", "--set", "youngest=40"]);
    project.run(&["run", "--set", "youngest=50"]);
    let ended = unread(&project, &["gc", "--keep-runs", "1", "--yes"], false);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let again = project.run(&["run", "--set", "youngest=40"]);
    assert!(again.executed() > 0, "nothing was removed");
}

#[test]
fn output_that_could_not_be_written_is_a_failure() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let project = chain(20);
    let ended = Ended::from(project.command(&["schema"]).stdout(full).output().unwrap());
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("writing to standard output"), "{}", ended.err);
}
