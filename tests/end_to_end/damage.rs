//! Damage to the store costs time, never answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dermflow_tests::Project;

use crate::project::{
    CHAIN_STAGES, chain, contents, copy, digests, empty, files_below, lesions, put_in_place,
};

/// A store with the chain's results, and the artifacts of the next run: another age.
struct Sound {
    project: Project,
    next: BTreeMap<String, String>,
    results: BTreeMap<PathBuf, Vec<u8>>,
}

const NEXT: [&str; 3] = ["run", "--set", "youngest=40"];

fn sound() -> Sound {
    let project = chain(40);
    project.run(&["run"]);
    copy(&project.at(".dermflow"), &project.at("kept"));
    std::fs::remove_dir_all(project.at("results")).unwrap();
    project.run(&NEXT);
    let (next, results) = (digests(&project), contents(&project.at("results")));
    Sound {
        project,
        next,
        results,
    }
}

impl Sound {
    /// The store as it was before the next run, and no results.
    fn restore(&self) {
        for name in [".dermflow", "results"] {
            let _ = std::fs::remove_dir_all(self.project.at(name));
        }
        copy(&self.project.at("kept"), &self.project.at(".dermflow"));
    }

    fn files(&self, folder: &str) -> Vec<PathBuf> {
        self.restore();
        let found = files_below(&self.project.at(".dermflow").join(folder));
        assert!(!found.is_empty(), "the store has no {folder}");
        found
    }

    /// The next run gives what it would have given, and so does the first one.
    fn heals(&self, what: &str) {
        self.heals_with(&NEXT, what);
    }

    fn heals_with(&self, arguments: &[&str], what: &str) {
        self.project.run(arguments);
        assert_eq!(digests(&self.project), self.next, "{what}");
        assert_eq!(contents(&self.project.at("results")), self.results, "{what}");
        self.project.run(&["run"]);
        assert_eq!(self.project.run(&["run"]).executed(), 0, "{what}");
        assert_eq!(self.project.run(&NEXT).executed(), 0, "{what}");
    }
}

fn damage_every_blob(damage: &dyn Fn(&Path)) {
    let sound = sound();
    for blob in sound.files("blobs") {
        sound.restore();
        damage(&blob);
        sound.heals(&blob.display().to_string());
    }
}

#[test]
fn truncated_blobs_are_made_again() {
    damage_every_blob(&|blob| {
        let bytes = std::fs::read(blob).unwrap();
        put_in_place(blob, &bytes[..bytes.len() / 2]);
    });
}

#[test]
fn flipped_blobs_are_made_again() {
    damage_every_blob(&|blob| {
        let mut bytes = std::fs::read(blob).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        put_in_place(blob, &bytes);
    });
}

#[test]
fn blobs_flipped_before_stages_run_in_processes_of_their_own_are_made_again() {
    let sound = sound();
    for blob in sound.files("blobs") {
        sound.restore();
        let mut bytes = std::fs::read(&blob).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        put_in_place(&blob, &bytes);
        sound.heals_with(
            &["run", "--set", "youngest=40", "--isolate"],
            &blob.display().to_string(),
        );
    }
}

#[test]
fn a_damaged_blob_is_told_set_aside_and_made_again_by_one_run() {
    let project = chain(20);
    project.run(&["run"]);
    let before = digests(&project);
    for blob in files_below(&project.at(".dermflow/blobs")) {
        let bytes = std::fs::read(&blob).unwrap();
        put_in_place(&blob, &vec![0; bytes.len()]);
    }
    std::fs::remove_dir_all(project.at("results")).unwrap();
    let run = project.run(&["run"]);
    assert!(!run.of("damaged").is_empty());
    assert_eq!(run.executed() + run.hit(), 4, "{run:#?}");
    assert!(run.computed().contains(&"names".to_string()) && run.computed().contains(&"report".to_string()));
    assert_eq!(digests(&project), before);
    let listed = project.done(&["ls"]).out;
    assert_eq!(listed.matches("names.table").count(), 1, "{listed}");
    assert!(!files_below(&project.at(".dermflow/damaged")).is_empty());
    assert_eq!(project.run(&["run"]).executed(), 0);
}

#[test]
fn a_run_that_made_one_result_again_forgets_none_of_the_others() {
    let project = empty();
    project.write(
        "dermflow.yaml",
        "name: two
stages:
  a: {kind: import-table, with: {path: a.csv, key: id, columns: {id: text, v: integer}}}
  b: {kind: import-table, with: {path: b.csv, key: id, columns: {id: text, v: integer}}}
outputs: {a: a.table, b: b.table}
",
    );
    project.write("a.csv", "id,v\nx,1\n");
    project.write("b.csv", "id,v\ny,2\n");
    project.run(&["run", "--until", "a"]);
    let of_a = files_below(&project.at(".dermflow/blobs"));
    project.run(&["run"]);
    let before = contents(&project.at("results"));
    for blob in of_a {
        let length = std::fs::metadata(&blob).unwrap().len();
        put_in_place(&blob, &vec![0; length as usize]);
    }
    std::fs::remove_file(project.at("results/two/a.csv")).unwrap();
    project.run(&["run"]);
    assert_eq!(contents(&project.at("results")), before);
    let again = project.run(&["run"]);
    assert_eq!((again.executed(), again.hit()), (0, 2), "{again:#?}");
    project.write("b.csv", "id,v\ny,3\n");
    assert_eq!(project.run(&["run"]).computed(), ["b"]);
}

#[test]
fn deleted_blobs_are_made_again() {
    damage_every_blob(&|blob| std::fs::remove_file(blob).unwrap());
}

#[test]
fn blobs_replaced_by_links_are_made_again() {
    damage_every_blob(&|blob| {
        let other = blob.with_extension("elsewhere");
        std::fs::rename(blob, &other).unwrap();
        std::os::unix::fs::symlink(&other, blob).unwrap();
    });
}

#[test]
fn blobs_replaced_by_folders_or_by_longer_files_are_made_again() {
    damage_every_blob(&|blob| {
        std::fs::remove_file(blob).unwrap();
        std::fs::create_dir(blob).unwrap();
    });
    damage_every_blob(&|blob| {
        let mut bytes = std::fs::read(blob).unwrap();
        bytes.push(0);
        put_in_place(blob, &bytes);
    });
}

#[test]
fn damaged_records_are_set_aside_and_their_stages_run_again() {
    let sound = sound();
    let records = sound.files("actions");
    let other = std::fs::read(&records[0]).unwrap();
    for record in &records {
        let bytes = std::fs::read(record).unwrap();
        let half = &bytes[..bytes.len() / 2];
        for (how, damaged) in [
            ("half", half),
            ("empty", b""),
            ("another", &other),
            ("no JSON", b"\xff\0{}"),
        ] {
            if damaged == bytes {
                continue;
            }
            sound.restore();
            put_in_place(record, damaged);
            sound.heals(&format!("{how}: {}", record.display()));
        }
    }
}

#[test]
fn files_that_only_save_time_may_be_damaged_without_any_rerun() {
    let sound = sound();
    sound.restore();
    let root = sound.project.at(".dermflow");
    for path in files_below(&root) {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        if name.starts_with("blobs")
            || name.starts_with("actions")
            || name == "format"
            || name.ends_with("lock")
        {
            continue;
        }
        for damaged in [&b""[..], b"{", b"\xff\xfe\0garbage\n\n{}\n"] {
            sound.restore();
            put_in_place(&path, damaged);
            let run = sound.project.run(&["run"]);
            assert_eq!(run.executed(), 0, "{name} with {damaged:?}");
            sound.heals(&name);
        }
    }
}

#[test]
fn leftovers_in_the_store_are_in_nobodys_way() {
    let sound = sound();
    sound.restore();
    let root = sound.project.at(".dermflow");
    for name in [
        "tmp/0000-1",
        "blobs/zz",
        "blobs/00/short",
        "actions/00/short.json",
        "work/nothing/scratch/x",
        "journals/x",
    ] {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
    }
    sound.heals("leftovers");
    sound.project.done(&["gc", "--keep-runs", "1", "--yes"]);
    assert_eq!(sound.project.run(&NEXT).executed(), 0);
}

#[test]
fn a_store_of_a_newer_format_is_refused_and_left_alone() {
    let project = chain(20);
    project.run(&["run"]);
    std::fs::write(project.at(".dermflow/format"), "dermflow store 2\n").unwrap();
    let before = contents(&project.at(".dermflow"));
    for arguments in [
        &["run"][..],
        &["plan"],
        &["ls"],
        &["gc", "--keep-runs", "0", "--yes"],
        &["show", "names.table"],
    ] {
        let ended = project.ended(arguments);
        assert_eq!(ended.code, Some(1), "{arguments:?}");
        assert!(
            ended.err.contains("dermflow store 2") && ended.err.contains("nothing was touched"),
            "{}",
            ended.err
        );
    }
    assert_eq!(contents(&project.at(".dermflow")), before);
}

#[test]
fn a_folder_that_is_no_store_is_refused_and_left_alone() {
    let project = chain(20);
    project.write("thesis/chapter.txt", "years of work");
    let ended = project.ended(&["run", "--store", "thesis"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("is no store"), "{}", ended.err);
    assert_eq!(
        files_below(&project.at("thesis")),
        [project.at("thesis/chapter.txt")]
    );
}

#[test]
fn a_lost_store_costs_a_run() {
    let sound = sound();
    std::fs::remove_dir_all(sound.project.at(".dermflow")).unwrap();
    assert_eq!(sound.project.run(&NEXT).computed(), CHAIN_STAGES);
    assert_eq!(digests(&sound.project), sound.next);
}

#[test]
fn results_that_people_changed_or_removed_are_laid_out_again_without_computing() {
    let sound = sound();
    let project = &sound.project;
    std::fs::remove_file(project.at("results/chain/names.csv")).unwrap();
    std::fs::remove_dir_all(project.at("results/chain/report")).unwrap();
    let run = project.run(&NEXT);
    assert_eq!((run.executed(), run.of("output-published").len()), (0, 2));
    assert!(contents(&project.at("results")) == sound.results);
    project.write("results/chain/names.parquet", "mine now");
    let ended = project.ended(&["lineage", "results/chain/names.parquet"]);
    assert_eq!(ended.code, Some(1), "what people wrote came from no stage");
    assert!(ended.err.contains("was changed since"), "{}", ended.err);
    assert_eq!(project.run(&NEXT).of("output-published").len(), 1);
    assert!(contents(&project.at("results")) == sound.results);
}

/// Twelve stages that read one table and one folder of files at the same time, behind stages that
/// give on what they were given: all hold the same blobs.
fn wide() -> Project {
    let project = empty();
    project.write("lesions.csv", lesions(3000));
    let mut stages = String::new();
    for at in 0..3 {
        let from = ["lesions", "same0", "same1"][at];
        stages += &format!(
            "  same{at}: {{kind: filter, in: {{table: {from}.table}}, with: {{where: {{column: age, at-least: 0}}}}}}\n"
        );
        let from = ["words", "copy0", "copy1"][at];
        stages += &format!(
            "  copy{at}: {{kind: process, in: {{words: {from}.text}}, with: {{command: 'cp inputs/words/1 outputs/text/', outputs: {{text: files}}}}}}\n"
        );
    }
    let mut outputs = String::new();
    for at in 0..12 {
        stages += &format!(
            "  read{at}: {{kind: filter, in: {{table: same2.table}}, with: {{where: {{column: age, at-least: '${{youngest}}', below: {}}}}}}}\n",
            40 + at
        );
        stages += &format!(
            "  tell{at}: {{kind: process, in: {{words: copy2.text}}, with: {{command: 'cat inputs/words/1 > outputs/text/${{youngest}}-{at}', \
             outputs: {{text: files}}}}}}\n"
        );
        outputs += &format!("  read{at}: read{at}.table\n  tell{at}: tell{at}.text\n");
    }
    project.write(
        "dermflow.yaml",
        format!(
            "name: wide\nparams: {{youngest: 1}}\nstages:\n  \
             lesions: {{kind: import-table, with: {{path: lesions.csv, key: image, columns: {{age: integer}}}}}}\n  \
             words: {{kind: process, with: {{command: 'echo word > outputs/text/1', outputs: {{text: files}}}}}}\n\
             {stages}outputs:\n{outputs}"
        ),
    );
    project
}

#[test]
fn many_stages_that_meet_the_same_damage_at_once_all_heal() {
    let project = wide();
    project.run(&["run"]);
    let blobs = files_below(&project.at(".dermflow/blobs"));
    let kept = project.at("kept");
    copy(&project.at(".dermflow"), &kept);
    for (round, arguments) in [
        &["-j", "1"][..],
        &["-j", "8"],
        &["-j", "8", "--isolate"],
        &["-j", "8", "--keep-going"],
    ]
    .iter()
    .enumerate()
    {
        std::fs::remove_dir_all(project.at(".dermflow")).unwrap();
        copy(&kept, &project.at(".dermflow"));
        for blob in &blobs {
            let bytes = std::fs::read(blob).unwrap();
            put_in_place(blob, &vec![1; bytes.len()]);
        }
        let set = format!("youngest={}", round + 2);
        let mut run = vec!["run", "--set", &set];
        run.extend(*arguments);
        project.run(&run);
        let healed = digests(&project);
        std::fs::remove_dir_all(project.at(".dermflow")).unwrap();
        project.run(&["run", "--set", &set]);
        assert_eq!(digests(&project), healed, "{arguments:?}");
    }
}
