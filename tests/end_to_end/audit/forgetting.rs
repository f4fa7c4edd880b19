//! `forget`: what it says, what it removes, and that the next run is the run that never knew.

mod naming;

use std::collections::BTreeMap;

use dermflow_tests::Project;
use serde_json::Value;

use super::{OTHER, PATIENT, files_of, json, ran, written};
use crate::project::{digests, empty, files_below, journals_are_sound};

/// Bytes of any stored file that name a patient or hold a photo of theirs.
fn traces(project: &Project, patient: &str, photos: &[Vec<u8>]) -> Vec<String> {
    let mut found = Vec::new();
    for path in files_below(&project.at(".dermflow")) {
        let bytes = std::fs::read(&path).unwrap();
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        if holds(patient.as_bytes()) || photos.iter().any(|photo| holds(photo)) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn a_forgetting_is_told_first_and_nothing_is_touched() {
    let project = ran();
    let before: Vec<_> = files_below(&project.at(".dermflow"));
    for arguments in [vec!["forget", PATIENT], vec!["forget", PATIENT, "--dry-run"]] {
        let told = project.done(&arguments).out;
        for words in [
            "would remove",
            "holds rows of them",
            "would mark",
            "labels.csv",
            "nothing was removed",
            PATIENT,
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }
    assert_eq!(files_below(&project.at(".dermflow")), before);
    assert!(!project.at("forgotten.json").exists());
}

#[test]
fn what_a_shared_store_holds_is_told_and_forgotten_there_when_asked() {
    let project = ran();
    let share = tempfile::tempdir().unwrap();
    let team = share.path().join("team");
    let team = team.to_str().unwrap();
    project.run(&["run", "--remote", team]);
    let holds = |folder: &std::path::Path| {
        files_below(folder).iter().any(|path| {
            let bytes = std::fs::read(path).unwrap();
            bytes
                .windows(PATIENT.len())
                .any(|window| window == PATIENT.as_bytes())
        })
    };
    assert!(holds(share.path()));
    let told = project.done(&["forget", PATIENT, "--yes", "--remote", team]).err;
    assert!(told.contains("is not touched") && told.contains(team), "{told}");
    assert!(holds(share.path()));
    // Nothing comes back from there: keys are others now.
    project.run(&["run", "--remote", team]);
    let trace = json(&project, &["trace", &files_of(&project, PATIENT)[0], "--json"]);
    let reached = trace["reached"].as_array().unwrap();
    assert!(reached.iter().all(|one| one["level"] != "rows"), "{trace}");
    project.done(&["forget", PATIENT, "--yes", "--store", team]);
    assert!(!holds(share.path()));
}

#[test]
fn forget_then_run_is_the_run_without_them_from_scratch() {
    let project = ran();
    let before = digests(&project);
    project.done(&["forget", PATIENT, "--yes"]);
    let run = project.run(&["run"]);
    assert!(run.executed() > 0);
    let fresh = written(Some(PATIENT));
    fresh.run(&["run"]);
    let (now, expected) = (digests(&project), digests(&fresh));
    assert_eq!(now, expected);
    assert_ne!(now, before);
    // And nothing more is to be done, nor does anything come back.
    assert_eq!(project.run(&["run"]).executed(), 0);
    assert_eq!(project.run(&["run", "--rehash"]).executed(), 0);
    assert_eq!(digests(&project), expected);
    let verified = project.ended(&["verify"]);
    assert_eq!(verified.code, Some(0), "{}", verified.out);
    journals_are_sound(&project);
    let trace = json(&project, &["trace", &files_of(&project, PATIENT)[0], "--json"]);
    assert!(
        trace["reached"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["level"] != "rows"),
        "{trace:#}"
    );
}

#[test]
fn nothing_in_the_store_names_or_shows_whom_was_forgotten() {
    let project = ran();
    let photos: Vec<Vec<u8>> = files_of(&project, PATIENT)
        .iter()
        .map(|name| std::fs::read(project.at(name)).unwrap())
        .collect();
    project.done(&["forget", PATIENT, "--yes"]);
    project.run(&["run"]);
    // The index of source files names those that lie in the folders still, which are the user's.
    let left: Vec<String> = traces(&project, PATIENT, &photos)
        .into_iter()
        .filter(|path| !path.ends_with("/sources"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    assert!(
        !traces(&project, OTHER, &[]).is_empty(),
        "the search finds nobody"
    );
}

/// Programs that are given a folder of pictures: one of the machine's, one of the user's own, and
/// one that takes what that made.
const GIVEN: &str = "\
name: given
stages:
  copy:
    kind: process
    with: {command: 'cp photos/* outputs/o/', files: [photos], outputs: {o: files}}
  own:
    kind: process
    with: {command: [./own.sh], files: [own.sh, photos], outputs: {o: files}}
  all:
    kind: process
    in: {given: own.o}
    with: {command: 'cat inputs/given/all.txt inputs/given/all.txt > outputs/o/twice.txt', outputs: {o: files}}
outputs: {copy: copy.o, all: all.o}
";

#[test]
fn what_a_program_found_in_a_declared_folder_goes_and_does_not_come_back() {
    let project = empty();
    for number in 1..=3 {
        project.write(&format!("photos/p{number}.txt"), format!("PICTURE-{number}\n"));
    }
    project.write("own.sh", "#!/bin/sh\ncat photos/* > outputs/o/all.txt\n");
    let executable: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(project.at("own.sh"), executable).unwrap();
    project.write("dermflow.yaml", GIVEN);
    project.run(&["run"]);
    assert!(traces(&project, "PICTURE-1", &[]).len() >= 3);
    let trace = json(&project, &["trace", "photos/p1.txt", "--json"]);
    let reached: Vec<&str> = trace["reached"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    for name in ["copy.o", "own.o", "all.o"] {
        assert!(reached.contains(&name), "{name} in {reached:?}");
    }

    project.done(&["forget", "photos/p1.txt", "--yes"]);
    assert_eq!(traces(&project, "PICTURE-1", &[]), Vec::<String>::new());
    assert_eq!(project.run(&["run"]).executed(), 3);
    assert_eq!(traces(&project, "PICTURE-1", &[]), Vec::<String>::new());
    assert_eq!(
        project.read("results/given/all/twice.txt"),
        "PICTURE-2\nPICTURE-3\nPICTURE-2\nPICTURE-3\n"
    );
    assert!(project.at("photos/p1.txt").exists(), "it is the user's");
    assert_eq!(project.run(&["run"]).executed(), 0);
    assert_eq!(project.ended(&["verify"]).code, Some(0));
}

#[test]
fn the_certificate_says_what_went_what_stays_and_what_came_instead() {
    let project = ran();
    let before = digests(&project);
    project.done(&["forget", PATIENT, "--yes", "--certificate", "paper.json"]);
    let read = |project: &Project| -> Value { serde_json::from_str(&project.read("paper.json")).unwrap() };
    let certificate = read(&project);
    assert_eq!(certificate["asked"], serde_json::json!([PATIENT]));
    assert_eq!(certificate["chain_is_sound"], true);
    assert_eq!(certificate["all_absent"], true);
    assert!(certificate["removed"].as_array().unwrap().len() >= 8);
    let outside = certificate["outside"].to_string();
    assert!(
        outside.contains("labels.csv") && outside.contains(PATIENT),
        "{outside}"
    );
    let replaced = certificate["replaced"].as_array().unwrap();
    assert!(replaced.iter().all(|one| one["now"].is_null()));

    project.run(&["run"]);
    let tombstone = certificate["tombstone"].as_str().unwrap();
    project.done(&["forget", &tombstone[..12], "--certificate", "paper.json"]);
    let after = digests(&project);
    let replaced = read(&project)["replaced"].as_array().unwrap().clone();
    let mut checked = BTreeMap::new();
    for one in &replaced {
        let name = one["name"].as_str().unwrap();
        if let (Some(was), Some(now)) = (before.get(name), after.get(name)) {
            assert_eq!(one["was"], was.as_str(), "{name}");
            assert_eq!(one["now"], now.as_str(), "{name}");
            checked.insert(name, one["became"].as_str().unwrap());
        }
    }
    assert_eq!(checked.get("labels.labels"), Some(&"removed"), "{replaced:#?}");
    assert_eq!(checked.get("report.text"), Some(&"removed"));
    assert_eq!(checked.get("scores.metrics"), Some(&"marked"));
}

#[test]
fn a_model_that_knows_them_is_marked_or_goes_with_them() {
    for models in [false, true] {
        let project = ran();
        let model = digests(&project)["classifier.model"].clone();
        let reached = json(&project, &["trace", PATIENT, "--json"]);
        let learned = reached["reached"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["name"] == "classifier.model" && one["level"] == "from");
        assert!(learned, "the test needs a patient whom the model learns from");
        let mut arguments = vec!["forget", PATIENT, "--yes"];
        arguments.extend(models.then_some("--models"));
        project.done(&arguments);
        let shown = project.done(&["show", &model]).out;
        assert!(shown.contains("forgotten"), "{shown}");
        let blob = project.at(".dermflow/blobs").join(&model[..2]).join(&model[2..]);
        assert_eq!(blob.exists(), !models);
        // Its lineage is still there to be asked for.
        assert!(
            project
                .done(&["lineage", &model])
                .out
                .contains("classifier-train")
        );
    }
}

#[test]
fn whoever_was_forgotten_stays_out_when_files_are_moved_renamed_or_listed_anew() {
    let project = ran();
    project.done(&["forget", PATIENT, "--yes"]);
    project.run(&["run"]);
    let sound = digests(&project);
    let photos = files_of(&project, PATIENT);
    for name in &photos {
        std::fs::copy(
            project.at(name),
            project.at("photos/isic2017").join("harmless.jpg"),
        )
        .unwrap();
    }
    let text = project.read("labels.csv");
    project.write("labels.csv", format!("{text}\n"));
    project.run(&["run"]);
    let now = digests(&project);
    for table in ["photos.samples", "all.table", "truth.table", "labels.labels"] {
        assert_eq!(now[table], sound[table], "{table}");
    }
}

#[test]
fn a_lost_or_damaged_tombstone_is_seen_before_anybody_comes_back() {
    let project = ran();
    project.done(&["forget", PATIENT, "--yes"]);
    let stones = files_below(&project.at(".dermflow/forgotten"));
    assert_eq!(stones.len(), 1);
    let text = std::fs::read_to_string(&stones[0]).unwrap();
    std::fs::write(&stones[0], text.replacen('a', "b", 1)).unwrap();
    let ended = project.try_run(&["run"]);
    assert_eq!(ended.code, Some(1));
    assert!(format!("{:?}", ended.all).contains("tombstone") || ended.err.contains("tombstone"));
    assert_eq!(project.ended(&["verify"]).code, Some(1));
    std::fs::remove_file(&stones[0]).unwrap();
    let told = project.ended(&["verify"]);
    assert!(
        told.code == Some(1) && told.out.contains("is missing"),
        "{}",
        told.out
    );
}

#[test]
fn gc_after_a_forgetting_keeps_the_newest_run() {
    let project = ran();
    project.done(&["forget", PATIENT, "--yes"]);
    project.run(&["run"]);
    project.done(&["forget", OTHER, "--yes"]);
    project.run(&["run"]);
    let now = digests(&project);
    project.done(&["gc", "--keep-runs", "1", "--yes"]);
    assert_eq!(project.run(&["run"]).executed(), 0);
    assert_eq!(digests(&project), now);
    let verified = project.ended(&["verify"]);
    assert_eq!(verified.code, Some(0), "{}", verified.out);
}

/// The same JPEG with a comment in it: another file, another id, the same picture.
fn with_comment(photo: &[u8]) -> Vec<u8> {
    assert_eq!(photo[..2], [0xff, 0xd8], "a JPEG starts so");
    let comment = b"exported again";
    let mut out = vec![0xff, 0xd8, 0xff, 0xfe, 0, comment.len() as u8 + 2];
    out.extend_from_slice(comment);
    out.extend_from_slice(&photo[2..]);
    out
}

#[test]
fn the_same_photo_in_another_file_is_named_and_left_to_the_one_who_asks() {
    let project = ran();
    let photos = files_of(&project, PATIENT);
    let photo = std::fs::read(project.at(&photos[0])).unwrap();
    project.write("more/pad_ufes20/again.jpg", with_comment(&photo));
    project.run(&["run"]);
    let told = project.done(&["forget", PATIENT, "--dry-run"]).out;
    assert!(
        told.contains("look the same: forget them too?") || told.contains("looks the same"),
        "{told}"
    );
    assert!(told.contains("again.jpg"), "{told}");
    let plan = json(&project, &["forget", PATIENT, "--json"]);
    let similar = plan["plan"]["similar"].as_array().unwrap();
    let copy = &similar[0];
    assert_eq!(
        (copy["bits"].as_u64(), copy["of"].is_string()),
        (Some(0), true),
        "{plan}"
    );
    let bits: Vec<u64> = similar.iter().map(|one| one["bits"].as_u64().unwrap()).collect();
    assert!(bits.is_sorted() && bits.iter().all(|bits| *bits <= 4), "{bits:?}");
    let without = json(&project, &["forget", PATIENT, "--json", "--no-similar"]);
    assert_eq!(without["plan"]["similar"].as_array().unwrap().len(), 0);

    // The certificate names it, then and later; the store keeps no name of a file.
    let certificate = json(&project, &["forget", PATIENT, "--yes", "--json"]);
    let named = certificate["similar"].as_array().unwrap();
    let id = copy["sample"].as_str().unwrap();
    assert!(named.iter().any(|one| one["sample"] == id), "{certificate}");
    let tombstone = certificate["tombstone"].as_str().unwrap();
    let later = json(&project, &["forget", tombstone, "--json"]);
    let mut kept = named.clone();
    for one in &mut kept {
        one.as_object_mut().unwrap().remove("source");
    }
    assert_eq!(later["similar"].as_array().unwrap(), &kept);
    assert_eq!(later["statement"], certificate["statement"]);

    // It stays, and goes when it is asked for by the id that was told.
    project.run(&["run"]);
    let reached = |name: &str| {
        json(&project, &["trace", name, "--json"])["reached"]
            .as_array()
            .unwrap()
            .len()
    };
    assert!(reached(id) > 0);
    project.done(&["forget", id, "--yes"]);
    project.run(&["run"]);
    let table = json(&project, &["trace", id, "--json"]);
    let rows = table["reached"].as_array().unwrap().iter();
    assert_eq!(rows.filter(|one| one["level"] == "rows").count(), 0, "{table}");
}
