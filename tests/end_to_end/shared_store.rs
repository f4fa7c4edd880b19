//! A store that a team shares: what one computes nobody else does, and whatever is wrong with
//! the share costs nothing but that.

use std::time::Duration;

use dermflow_tests::{Events, Project};

use crate::project::{CHAIN_STAGES, chain, contents, digests, files_below, lesions, put_in_place};

/// Two checkouts of one pipeline, and where their shared store lies.
struct Team {
    share: tempfile::TempDir,
    one: Project,
    other: Project,
}

impl Team {
    fn new() -> Team {
        Team {
            share: tempfile::tempdir().unwrap(),
            one: chain(300),
            other: chain(300),
        }
    }

    fn remote(&self) -> String {
        self.share.path().join("team").to_str().unwrap().to_string()
    }

    fn run(&self, project: &Project, more: &[&str]) -> Events {
        let remote = self.remote();
        let mut arguments = vec!["run", "--remote", &remote];
        arguments.extend(more);
        project.run(&arguments)
    }
}

fn count(events: &Events, name: &str) -> u64 {
    events.number(name)
}

#[test]
fn a_second_checkout_executes_nothing() {
    let team = Team::new();
    let first = team.run(&team.one, &[]);
    assert_eq!(first.executed(), 4);
    assert_eq!(first.of("remote-pushed").len(), 1);
    assert!(
        first.of("remote-note")[0]["message"]
            .as_str()
            .unwrap()
            .contains("made a new shared store")
    );

    let remote = team.remote();
    let planned = team.other.done(&["plan", "--remote", &remote]).out;
    assert_eq!(planned.matches("hit (remote)").count(), 4, "{planned}");
    let second = team.run(&team.other, &[]);
    assert_eq!((second.executed(), second.hit()), (0, 4));
    assert!(second.of("stage-hit").iter().all(|event| event["remote"] == true));
    assert_eq!(
        second.of("remote-pushed").len() + second.of("remote-note").len(),
        0
    );
    assert_eq!(digests(&team.other), digests(&team.one));
    assert_eq!(
        contents(&team.other.at("results")),
        contents(&team.one.at("results"))
    );
    // What nobody read lies in the remote still, and can be asked for.
    let shown = team
        .other
        .done(&["show", "lesions.table", "--remote", &remote])
        .out;
    assert!(shown.contains("300 rows"), "{shown}");
    // Without the remote what was taken is there, and what was not is computed.
    let alone = team.other.run(&["run"]);
    assert_eq!(count(&alone, "failed"), 0);
    assert_eq!(digests(&team.other), digests(&team.one));
}

#[test]
fn a_row_that_one_changes_is_the_row_that_the_other_computes() {
    let team = Team::new();
    team.run(&team.one, &[]);
    let edited = lesions(300).replace("ISIC_00004,nevus,28", "ISIC_00004,nevus,29");
    team.other.write("data/lesions.csv", edited);
    let run = team.run(&team.other, &[]);
    assert_eq!(run.computed(), ["adults", "lesions"]);
    let adults = run
        .of("stage-executed")
        .into_iter()
        .find(|event| event["stage"] == "adults")
        .unwrap();
    assert_eq!(
        (adults["rows_computed"].as_u64(), adults["rows_reused"].as_u64()),
        (Some(1), Some(299))
    );
}

#[test]
fn results_from_before_the_remote_are_pushed_by_a_run_with_nothing_to_do() {
    let team = Team::new();
    team.one.run(&["run"]);
    team.one.run(&["run"]);
    let run = team.run(&team.one, &[]);
    assert_eq!((run.executed(), run.of("remote-pushed").len()), (0, 1));
    assert_eq!(team.run(&team.one, &[]).of("remote-pushed").len(), 0);
    assert_eq!(team.run(&team.other, &[]).executed(), 0);
}

#[test]
fn processes_of_their_own_share_as_well() {
    let team = Team::new();
    team.run(&team.one, &["--isolate"]);
    assert_eq!(team.run(&team.other, &["--isolate"]).executed(), 0);
    // The inputs of what is computed now lie in the remote alone.
    std::fs::remove_dir_all(team.other.at(".dermflow")).unwrap();
    let run = team.run(&team.other, &["--isolate", "--set", "youngest=30"]);
    assert!(run.computed().contains(&"adults".to_string()));
    assert_eq!(team.run(&team.one, &["--set", "youngest=30"]).executed(), 0);
}

#[test]
fn a_damaged_blob_of_the_remote_is_computed_again_and_healed() {
    let team = Team::new();
    team.run(&team.one, &[]);
    let blobs = files_below(&team.share.path().join("team/blobs"));
    assert!(!blobs.is_empty());
    for blob in &blobs {
        let mut bytes = std::fs::read(blob).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        put_in_place(blob, &bytes);
    }
    let second = team.run(&team.other, &[]);
    assert!(second.executed() > 0);
    assert!(!second.of("remote-note").is_empty());
    assert_eq!(
        contents(&team.other.at("results")),
        contents(&team.one.at("results"))
    );
    // A third finds it whole: what was not needed is not looked at.
    let third = chain(300);
    team.run(&third, &[]);
    assert_eq!(contents(&third.at("results")), contents(&team.one.at("results")));
    let fourth = chain(300);
    let run = team.run(&fourth, &[]);
    assert_eq!((run.executed(), run.of("remote-note").len()), (0, 0));
}

#[test]
fn the_remote_is_set_once_or_named_by_the_environment() {
    let team = Team::new();
    let remote = team.remote();
    assert!(team.one.done(&["remote"]).out.contains("no remote"));
    let said = team.one.done(&["remote", &remote]);
    assert!(
        said.out.contains(&remote) && said.err.contains("made a new shared store"),
        "{said:?}"
    );
    assert_eq!(team.one.run(&["run"]).of("remote-pushed").len(), 1);
    let planned = team
        .other
        .command(&["plan"])
        .env("DERMFLOW_REMOTE", &remote)
        .output()
        .unwrap();
    let planned = String::from_utf8(planned.stdout).unwrap();
    assert_eq!(planned.matches("hit (remote)").count(), 4, "{planned}");
    // Empty is none.
    let none = team
        .one
        .command(&["remote"])
        .env("DERMFLOW_REMOTE", "")
        .output()
        .unwrap();
    assert!(String::from_utf8(none.stdout).unwrap().contains("no remote"));
    team.one.done(&["remote", "--forget"]);
    assert!(team.one.done(&["remote"]).out.contains("no remote"));
    let failed = team.one.ended(&["remote", "not/mounted"]);
    assert_eq!(failed.code, Some(1));
    assert!(failed.err.contains("is not used"), "{}", failed.err);
}

#[test]
fn without_its_remote_a_run_goes_on() {
    let team = Team::new();
    let run = team.one.run(&["run", "--remote", "not/mounted"]);
    assert_eq!(run.executed(), 4);
    assert!(
        run.of("remote-note")[0]["message"]
            .as_str()
            .unwrap()
            .contains("is not used")
    );
    assert!(!team.one.at("not").exists());
    // One that can be read and not written.
    team.run(&team.one, &[]);
    std::fs::remove_dir(team.share.path().join("team/tmp")).unwrap();
    std::fs::write(team.share.path().join("team/tmp"), "").unwrap();
    let run = team.run(&team.other, &["--set", "youngest=30"]);
    assert_eq!(count(&run, "failed"), 0);
    assert!(run.hit() >= 1 && run.executed() >= 1);
    let notes = run.of("remote-note");
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(
        notes[0]["message"]
            .as_str()
            .unwrap()
            .contains("nothing more is pushed")
    );
}

#[test]
fn cleaning_a_store_leaves_the_remote_alone_and_the_remote_can_be_cleaned_by_name() {
    let team = Team::new();
    let remote = team.remote();
    team.run(&team.one, &[]);
    let before = files_below(&team.share.path().join("team/blobs"));
    team.one.done(&["remote", &remote]);
    team.one.done(&["gc", "--max-size", "0", "--yes"]);
    std::fs::remove_dir_all(team.one.at(".dermflow/blobs")).unwrap();
    assert_eq!(files_below(&team.share.path().join("team/blobs")), before);
    assert_eq!(team.run(&team.one, &[]).executed(), 0);

    let refused = team
        .one
        .ended(&["gc", "--store", &remote, "--keep-runs", "1", "--yes"]);
    assert!(
        refused.code == Some(1) && refused.err.contains("--keep-newer"),
        "{refused:?}"
    );
    team.one
        .done(&["gc", "--store", &remote, "--keep-newer", "1d", "--yes"]);
    assert_eq!(files_below(&team.share.path().join("team/blobs")), before);
    team.one
        .done(&["gc", "--store", &remote, "--max-size", "0", "--yes"]);
    assert!(files_below(&team.share.path().join("team/blobs")).is_empty());
    let third = chain(300);
    assert_eq!(team.run(&third, &[]).computed(), CHAIN_STAGES);
}

/// What `verify` says of the shared store, as `what: reason`, and whether it ended well.
fn verified(team: &Team, more: &[&str]) -> (Vec<String>, serde_json::Value) {
    let remote = team.remote();
    let mut arguments = vec!["verify", "--json", "--shared", "--remote", &remote];
    arguments.extend(more);
    let ended = team.one.ended(&arguments);
    let told: serde_json::Value =
        serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let problems: Vec<String> = told["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            assert_eq!(one["sort"], "shared", "{one}");
            format!(
                "{}: {}",
                one["what"].as_str().unwrap(),
                one["reason"].as_str().unwrap()
            )
        })
        .collect();
    let left = told["left"].as_u64().unwrap();
    assert_eq!(ended.code, Some(i32::from(left > 0)), "{ended:?}");
    (problems, told)
}

#[test]
fn verify_looks_into_the_shared_store_and_what_is_set_aside_there_is_pushed_again() {
    let team = Team::new();
    let far = team.share.path().join("team");
    let none = team.one.ended(&["verify", "--shared"]);
    assert_eq!(none.code, Some(1));
    team.run(&team.one, &[]);
    let none = team.one.ended(&["verify", "--shared"]);
    assert!(none.err.contains("no shared store"), "{none:?}");

    let (problems, told) = verified(&team, &[]);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(told["notices"].as_array().unwrap().len(), 0, "{told}");
    assert!(told["checked"]["shared_records"].as_u64().unwrap() >= 4, "{told}");
    let blobs = files_below(&far.join("blobs"));
    assert_eq!(told["checked"]["shared_blobs"].as_u64(), Some(blobs.len() as u64));

    // One blob with a flipped bit, one that is gone, one record that is none.
    let mut bytes = std::fs::read(&blobs[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    put_in_place(&blobs[0], &bytes);
    std::fs::remove_file(&blobs[1]).unwrap();
    let records = files_below(&far.join("actions"));
    put_in_place(&records[0], b"{}");
    let name = |path: &std::path::Path| {
        let rest = path.file_name().unwrap().to_string_lossy().into_owned();
        let shard = path
            .parent()
            .unwrap()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        format!("{shard}{rest}")
    };
    let (problems, _) = verified(&team, &[]);
    assert_eq!(problems.len(), 3, "{problems:#?}");
    let told = |what: &str, reason: &str| {
        problems
            .iter()
            .any(|one| one.contains(what) && one.contains(reason))
    };
    assert!(told(&name(&blobs[0])[..8], "holds the bytes of"), "{problems:#?}");
    assert!(told(&name(&blobs[1])[..8], "is missing"), "{problems:#?}");
    assert!(told(&name(&records[0])[..8], "record"), "{problems:#?}");
    // The store here is whole, and nobody else is bothered.
    team.one.done(&["verify"]);

    let (problems, _) = verified(&team, &["--repair"]);
    assert_eq!(problems.len(), 3);
    team.run(&team.one, &[]);
    let (problems, told) = verified(&team, &[]);
    assert_eq!(
        (problems, told["notices"].as_array().unwrap().len()),
        (Vec::new(), 0),
        "{told}"
    );
    assert!(!files_below(&far.join("damaged")).is_empty());
    assert_eq!(team.run(&team.other, &[]).executed(), 0);

    // What was never pushed is named, and isn't wrong.
    team.one.run(&["run", "--set", "youngest=30"]);
    let (problems, told) = verified(&team, &[]);
    assert_eq!(problems, Vec::<String>::new());
    let notices = told["notices"].to_string();
    assert!(
        notices.contains("are not in the shared store") && notices.contains("adults"),
        "{notices}"
    );
}

/// Many runs with a store of their own each, all killed at some instant, push to one remote.
#[test]
fn killed_pushes_leave_nothing_that_is_believed_and_is_wrong() {
    let team = Team::new();
    let expected = {
        team.one.run(&["run"]);
        digests(&team.one)
    };
    let remote = team.remote();
    for kill in 0..40u64 {
        let store = format!("stores/{}", kill % 5);
        let mut child = team
            .other
            .command(&["run", "--store", &store, "--remote", &remote])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(10 + kill * 7 % 190));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // All that is filed is true.
    if let Ok(far) = dermflow_store::Store::open_existing(&remote) {
        for key in far.records() {
            let record = far.get_record(&key).unwrap().unwrap();
            for blob in record.outputs.values().flat_map(|artifact| artifact.blobs()) {
                far.read_blob(&blob).unwrap();
            }
        }
    }
    team.run(&team.other, &[]);
    assert_eq!(digests(&team.other), expected);
    let third = chain(300);
    assert_eq!(team.run(&third, &[]).executed(), 0);
}
