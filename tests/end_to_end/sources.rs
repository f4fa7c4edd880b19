//! Files that change when nobody looks, and files that can't be read.

use std::fs::File;

use crate::project::{CHAIN_STAGES, chain, digests, empty, lesions};

#[test]
fn an_edit_of_the_same_size_with_the_time_put_back_is_seen() {
    let project = chain(20);
    let path = project.at("data/lesions.csv");
    project.run(&["run"]);
    let time = std::fs::metadata(&path).unwrap().modified().unwrap();
    project.write(
        "data/lesions.csv",
        lesions(20).replace("ISIC_00004", "ISIC_99994"),
    );
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(time)
        .unwrap();
    assert_eq!(project.run(&["run"]).computed(), CHAIN_STAGES);
}

#[test]
fn edits_right_after_runs_are_seen_however_fast_they_follow() {
    let project = chain(3);
    for round in 0..6 {
        // Always the same size, and within the clock tick of the last.
        project.write(
            "data/lesions.csv",
            format!("image,diagnosis,age\nISIC_{round},nevus,30\n"),
        );
        assert_eq!(project.run(&["run"]).computed(), CHAIN_STAGES, "round {round}");
    }
}

/// Copies its source, then adds a line to it, until it has done so `times` times.
fn eager(times: usize) -> dermflow_tests::Project {
    let project = empty();
    project.write("data.txt", "first\n");
    let (target, flag) = (project.at("data.txt"), project.at("flag"));
    let (target, flag) = (target.display(), flag.display());
    project.write(
        "dermflow.yaml",
        format!(
            "name: eager
stages:
  eager:
    kind: process
    with:
      command: |
        cat data.txt > outputs/text/copy.txt
        if [ $(cat {flag} 2>/dev/null | wc -l) -lt {times} ]; then echo x >> {flag}; echo more >> {target}; fi
      files: [data.txt]
      outputs: {{text: files}}
outputs: {{eager: eager.text}}
"
        ),
    );
    project
}

fn is_never_filed_under_the_wrong_key(arguments: &[&str]) {
    let project = eager(1);
    let run = project.run(arguments);
    assert_eq!(run.computed(), ["eager"]);
    assert_eq!(project.read("results/eager/eager/copy.txt"), "first\nmore\n");
    assert_eq!(project.run(arguments).executed(), 0);
    // What was read first has no result: it was given up when it turned out to be half of each.
    project.write("data.txt", "first\n");
    assert_eq!(project.run(arguments).computed(), ["eager"]);
    assert_eq!(project.read("results/eager/eager/copy.txt"), "first\n");
}

#[test]
fn a_source_edited_while_it_is_read_is_read_again() {
    is_never_filed_under_the_wrong_key(&["run"]);
}

#[test]
fn a_source_edited_while_another_process_reads_it_is_read_again() {
    is_never_filed_under_the_wrong_key(&["run", "--isolate"]);
}

fn a_replaced_program_is_never_filed_under_the_wrong_key(arguments: &[&str]) {
    let project = empty();
    let at = |name: &str| project.at(name).display().to_string();
    let (program, next, flag) = (at("program"), at("next"), at("flag"));
    // The first time that it runs it puts the next one in its place.
    let first = format!(
        "#!/bin/sh\nif [ ! -e {flag} ]; then : > {flag}; mv {next} {program}; fi\necho first > outputs/text/told.txt\n"
    );
    project.write("program", &first);
    project.write("next", "#!/bin/sh\necho second > outputs/text/told.txt\n");
    for path in [&program, &next] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    project.write(
        "dermflow.yaml",
        format!(
            "name: told\nstages:\n  told: {{kind: process, with: {{command: ['{program}'], outputs: {{text: files}}}}}}\n\
             outputs: {{told: told.text}}\n"
        ),
    );
    assert_eq!(project.run(arguments).computed(), ["told"]);
    assert_eq!(project.read("results/told/told/told.txt"), "second\n");
    assert_eq!(project.run(arguments).executed(), 0);
    // What the first one gave was not kept under any key.
    project.write("program", &first);
    assert_eq!(project.run(arguments).computed(), ["told"]);
    assert_eq!(project.read("results/told/told/told.txt"), "first\n");
}

#[test]
fn a_program_replaced_while_it_runs_runs_again() {
    a_replaced_program_is_never_filed_under_the_wrong_key(&["run"]);
}

#[test]
fn a_program_replaced_while_another_process_runs_it_runs_again() {
    a_replaced_program_is_never_filed_under_the_wrong_key(&["run", "--isolate"]);
}

#[test]
fn a_source_that_never_stays_the_same_fails_with_words() {
    let project = eager(1000);
    let run = project.try_run(&["run"]);
    assert_eq!((run.code, run.number("failed")), (Some(1), 1));
    let message = run.of("stage-failed")[0]["message"].as_str().unwrap().to_string();
    assert!(
        message.contains("data.txt") && message.contains("changed"),
        "{message}"
    );
    assert_eq!(project.try_run(&["run"]).code, Some(1), "nothing was kept");
}

#[test]
fn a_source_that_vanished_fails_with_its_path_and_costs_nothing_when_it_is_back() {
    let project = chain(20);
    project.run(&["run"]);
    std::fs::rename(project.at("data"), project.at("away")).unwrap();
    let ended = project.ended(&["run"]);
    assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
    assert!(ended.err.contains("lesions.csv"), "{}", ended.err);
    std::fs::rename(project.at("away"), project.at("data")).unwrap();
    assert_eq!(project.run(&["run"]).executed(), 0);
}

#[test]
fn a_folder_in_the_place_of_a_file_fails_with_words() {
    let project = chain(20);
    std::fs::remove_file(project.at("data/lesions.csv")).unwrap();
    std::fs::create_dir(project.at("data/lesions.csv")).unwrap();
    let ended = project.ended(&["run"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended
            .err
            .contains("names the folder `data/lesions.csv`, and takes a file"),
        "{}",
        ended.err
    );
}

#[test]
fn a_source_that_may_not_be_read_fails_with_its_path() {
    use std::os::unix::fs::PermissionsExt;
    let project = chain(20);
    let path = project.at("data/lesions.csv");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if File::open(&path).is_ok() {
        eprintln!("skipped: this user may read every file");
        return;
    }
    let run = project.ended(&["run"]);
    assert_eq!(run.code, Some(1));
    assert!(run.err.contains("lesions.csv"), "{}", run.err);
}

#[test]
fn a_run_told_to_rehash_reads_sources_again_and_finds_them_the_same() {
    let project = chain(20);
    project.run(&["run"]);
    let before = digests(&project);
    assert_eq!(project.run(&["run", "--rehash"]).executed(), 0);
    assert_eq!(digests(&project), before);
}

#[test]
fn a_broken_index_of_sources_is_never_believed() {
    let project = chain(20);
    project.run(&["run"]);
    for path in crate::project::files_below(&project.at(".dermflow")) {
        let name = path
            .strip_prefix(project.at(".dermflow"))
            .unwrap()
            .to_string_lossy()
            .into_owned();
        if name.starts_with("sources") {
            let bytes = std::fs::read(&path).unwrap();
            crate::project::put_in_place(&path, &bytes[..bytes.len() / 2]);
        }
    }
    assert_eq!(project.run(&["run"]).executed(), 0);
    project.write("data/lesions.csv", lesions(21));
    assert_eq!(project.run(&["run"]).computed(), CHAIN_STAGES);
}

#[test]
fn a_source_that_breaks_while_it_is_read_fails_with_its_path() {
    // Opens for everybody, and gives an error when it is read.
    let broken = std::path::Path::new("/proc/self/mem");
    if !broken.exists() {
        eprintln!("skipped: there is no {}", broken.display());
        return;
    }
    let project = chain(20);
    project.run(&["run"]);
    std::fs::remove_file(project.at("data/lesions.csv")).unwrap();
    std::os::unix::fs::symlink(broken, project.at("data/lesions.csv")).unwrap();
    let run = project.ended(&["run"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.err.contains("lesions.csv") && !run.err.contains("panicked"),
        "{}",
        run.err
    );
    let planned = project.done(&["plan"]).out;
    assert!(planned.contains("blocked"), "{planned}");
}

#[test]
fn links_that_run_in_a_circle_end_with_words() {
    let project = empty();
    project.write(
        "dermflow.yaml",
        "name: notes\nstages:\n  notes: {kind: list-files, with: {path: notes}}\n",
    );
    project.write("notes/a.txt", "a");
    std::os::unix::fs::symlink("..", project.at("notes/up")).unwrap();
    let run = project.ended(&["run"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.err.contains("circle"), "{}", run.err);
}
