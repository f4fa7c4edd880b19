//! Stages that are not deterministic, and runs that must be.

use crate::project::{chain, contents, digests, empty};

#[test]
fn a_stage_that_gives_another_result_is_told_and_the_first_result_stays() {
    let project = empty();
    project.write(
        "dermflow.yaml",
        "name: odd\nstages:\n  odd: {kind: process, with: {command: 'echo $$ $(date +%s%N) > outputs/text/odd.txt', outputs: {text: files}}}\n\
         outputs: {odd: odd.text}\n",
    );
    project.run(&["run"]);
    let (before, text) = (digests(&project), project.read("results/odd/odd/odd.txt"));
    let forced = project.run(&["run", "--force", "odd"]);
    assert_eq!(forced.computed(), ["odd"]);
    let told = forced.of("nondeterminism");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["kept"].as_str(), Some(before["odd.text"].as_str()));
    assert_ne!(told[0]["found"], told[0]["kept"]);
    assert_eq!(
        (digests(&project), project.read("results/odd/odd/odd.txt")),
        (before.clone(), text)
    );
    let isolated = project.run(&["run", "--force", "odd", "--isolate"]);
    assert_eq!(
        isolated.of("nondeterminism").len(),
        1,
        "also where it runs in a process of its own"
    );
    assert_eq!(project.run(&["run"]).executed(), 0);
    assert_eq!(digests(&project), before);
}

#[test]
fn the_number_of_threads_and_processes_of_their_own_change_no_result() {
    let mut all = Vec::new();
    for arguments in [
        &["run", "-j", "1"][..],
        &["run", "-j", "4"],
        &["run", "--isolate"],
        &["run", "--memory", "1"],
    ] {
        let project = chain(5000);
        assert_eq!(project.run(arguments).executed(), 4, "{arguments:?}");
        all.push((digests(&project), contents(&project.at("results"))));
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:#?}");
}
