//! Results that are asked for by stage, where no journal tells of them.

use serde_json::Value;

use dermflow_tests::Project;

use crate::project::{chain, digests};

fn artifact(project: &Project, arguments: &[&str]) -> String {
    let mut all = vec!["show"];
    all.extend(arguments);
    all.push("--json");
    let shown: Value = serde_json::from_str(&project.done(&all).out).unwrap();
    shown["artifact"].as_str().unwrap().to_string()
}

#[test]
fn without_journals_a_stage_is_found_by_the_plan_of_its_pipeline() {
    let project = chain(40);
    project.run(&["run"]);
    let by_journal = digests(&project);
    assert_eq!(by_journal.len(), 5, "lesions has two");
    for folder in ["runs", "latest"] {
        std::fs::remove_dir_all(project.at(".dermflow").join(folder)).unwrap();
    }
    assert_eq!(digests(&project), by_journal);
    for (name, digest) in &by_journal {
        assert_eq!(artifact(&project, &[name]), *digest);
    }
    project.done(&["export", "adults", "--to", "adults.csv"]);
    let unknown = project.ended(&["show", "adolts.table"]);
    assert!(
        unknown.code == Some(1) && unknown.err.contains("no stage"),
        "{unknown:?}"
    );
}

#[test]
fn a_named_pipeline_is_taken_as_it_is_written_now() {
    let project = chain(40);
    project.run(&["run"]);
    let written = artifact(&project, &["adults.table"]);
    project.run(&["run", "--set", "youngest=30"]);
    let newest = artifact(&project, &["adults.table"]);
    assert_ne!(written, newest);
    let named = ["adults.table", "--pipeline", "dermflow.yaml"];
    assert_eq!(artifact(&project, &named), written);
    let set = [&named[..], &["--set", "youngest=30"]].concat();
    assert_eq!(artifact(&project, &set), newest);
    let listed = project.done(&["ls", "--pipeline", "dermflow.yaml", "--json"]).out;
    assert!(listed.contains(&written) && !listed.contains(&newest));

    let other = [&named[..], &["--set", "youngest=31"]].concat();
    let missing = project.ended(&[&["show"], &other[..]].concat());
    assert!(
        missing.err.contains("has no result as it is written now"),
        "{}",
        missing.err
    );
    let misspelt = project.ended(&["show", "adolts.table", "--pipeline", "dermflow.yaml"]);
    assert!(misspelt.err.contains("did you mean `adults`"), "{}", misspelt.err);
    project.write("dermflow.yaml", "name: [");
    let wrong = project.ended(&["show", "adults.table", "--pipeline", "dermflow.yaml"]);
    assert_eq!(wrong.code, Some(2));
    assert_eq!(
        artifact(&project, &["adults.table"]),
        newest,
        "the newest run needs no pipeline"
    );
}

#[test]
fn what_a_colleague_made_can_be_shown_before_anything_runs_here() {
    let (one, other) = (chain(40), chain(40));
    let share = tempfile::tempdir().unwrap();
    let remote = share.path().join("team");
    let remote = remote.to_str().unwrap();
    one.run(&["run", "--remote", remote]);
    other.done(&["remote", remote]);
    assert_eq!(
        artifact(&other, &["adults.table"]),
        artifact(&one, &["adults.table"])
    );
    assert_eq!(digests(&other), digests(&one));
}
