//! `verify` against every way to tamper with every sort of file in a store.

use std::path::{Path, PathBuf};

use dermflow_tests::Project;
use serde_json::Value;

use super::ran;
use crate::project::{chain, copy, files_below, put_in_place};

/// Problems as `sort what: reason`.
fn problems(project: &Project, more: &[&str]) -> Vec<String> {
    let arguments: Vec<&str> = ["verify", "--json"].iter().chain(more).copied().collect();
    let ended = project.ended(&arguments);
    let told: Value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let text = |value: &Value| value.as_str().unwrap().to_string();
    let problems: Vec<String> = told["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            format!(
                "{} {}: {}",
                text(&one["sort"]),
                text(&one["what"]),
                text(&one["reason"])
            )
        })
        .collect();
    assert_eq!(told["sound"].as_bool().unwrap(), problems.is_empty());
    problems
}

/// A store with two runs of the chain, and one that is not damaged beside it.
struct Kept(Project);

impl Kept {
    fn new() -> Kept {
        let project = chain(40);
        project.run(&["run"]);
        project.run(&["run", "--set", "youngest=40"]);
        project.run(&["run", "--set", "youngest=50"]);
        assert_eq!(problems(&project, &[]), Vec::<String>::new());
        copy(&project.at(".dermflow"), &project.at("kept"));
        copy(&project.at("results"), &project.at("kept-results"));
        Kept(project)
    }

    fn restore(&self) {
        for (kept, name) in [("kept", ".dermflow"), ("kept-results", "results")] {
            let _ = std::fs::remove_dir_all(self.0.at(name));
            copy(&self.0.at(kept), &self.0.at(name));
        }
    }

    fn files(&self, folder: &str) -> Vec<PathBuf> {
        self.restore();
        let found = files_below(&self.0.at(".dermflow").join(folder));
        assert!(!found.is_empty(), "the store has no {folder}");
        found
    }

    /// The problems name all of these words.
    fn sees(&self, what: &str, words: &[&str]) {
        let found = problems(&self.0, &[]);
        let fits = |problem: &&String| words.iter().all(|word| problem.contains(word));
        assert!(
            found.iter().any(|problem| fits(&problem)),
            "{what}: {words:?} not in {found:#?}"
        );
    }

    /// What can be set aside is, and the next runs make it again.
    fn heals(&self, what: &str) {
        self.0.ended(&["verify", "--repair"]);
        for youngest in [18, 40, 50] {
            self.0.run(&["run", "--set", &format!("youngest={youngest}")]);
        }
        assert_eq!(problems(&self.0, &[]), Vec::<String>::new(), "{what}");
    }
}

fn digest_of(path: &Path) -> String {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let shard = path
        .parent()
        .unwrap()
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    format!("{shard}{}", name.trim_end_matches(".json"))
}

#[test]
fn a_bit_that_flips_in_any_blob_is_seen() {
    let kept = Kept::new();
    for blob in kept.files("blobs") {
        kept.restore();
        let mut bytes = std::fs::read(&blob).unwrap();
        if bytes.is_empty() {
            bytes.push(0);
        }
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        put_in_place(&blob, &bytes);
        kept.sees("flip", &["blob", &digest_of(&blob)]);
    }
    kept.heals("flip");
}

#[test]
fn a_blob_that_is_gone_swapped_or_renamed_is_seen() {
    let kept = Kept::new();
    let blobs = kept.files("blobs");
    for (at, blob) in blobs.iter().enumerate() {
        kept.restore();
        let other = std::fs::read(&blobs[(at + 1) % blobs.len()]).unwrap();
        put_in_place(blob, &other);
        kept.sees("swap", &["blob", &digest_of(blob)]);
    }
    kept.restore();
    let blob = largest(&blobs);
    std::fs::remove_file(&blob).unwrap();
    kept.sees("removal", &["record", "missing"]);
    kept.heals("removal");
    kept.restore();
    std::fs::rename(&blob, blob.with_file_name("renamed")).unwrap();
    kept.sees("renaming", &["record", "missing"]);
    let notices = kept.0.ended(&["verify"]).out;
    assert!(notices.contains("renamed belongs to nothing"), "{notices}");
}

fn largest(files: &[PathBuf]) -> PathBuf {
    let size = |path: &&PathBuf| std::fs::metadata(path).unwrap().len();
    files.iter().max_by_key(size).unwrap().clone()
}

/// Changes the JSON of a file and writes it back.
fn edit(path: &Path, change: impl Fn(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let before = value.clone();
    change(&mut value);
    assert_ne!(value, before, "{}", path.display());
    put_in_place(path, &serde_json::to_vec(&value).unwrap());
}

#[test]
fn an_edited_record_is_seen_whatever_was_edited() {
    let kept = Kept::new();
    let records = kept.files("actions");
    let partitions: Vec<String> = records
        .iter()
        .flat_map(|path| {
            let record: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            let parts = record["making"]["partitions"].as_array().unwrap().clone();
            parts.into_iter().map(|part| part.as_str().unwrap().to_string())
        })
        .collect();
    for record in &records {
        let key = digest_of(record);
        let short = &key[..12];
        kept.restore();
        edit(record, |record| record["manifest"]["version"] = 7.into());
        kept.sees("manifest", &["record", &key[2..]]);

        // A partition's times and figures stand in no journal: what it gave is compared instead.
        if !partitions.contains(&key) {
            kept.restore();
            edit(record, |record| record["making"]["seconds"] = 1e6.into());
            kept.sees("times", &["record", short]);
            kept.restore();
            edit(record, |record| {
                record["making"]["metrics"]["accuracy"] = 0.99.into()
            });
            kept.sees("figures", &["record", short]);
        }
        kept.restore();
        put_in_place(record, b"{");
        kept.sees("nonsense", &["record", &key[2..]]);
    }
    kept.heals("nonsense");
}

#[test]
fn a_record_that_points_to_another_result_is_seen() {
    let kept = Kept::new();
    let records = kept.files("actions");
    // Outputs of another action of the same kind, all of them whole and in the store.
    let read = |path: &PathBuf| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let filters: Vec<&PathBuf> = records
        .iter()
        .filter(|path| read(path)["manifest"]["kind"] == "filter")
        .collect();
    let mut swapped = 0;
    for one in &filters {
        for other in &filters {
            kept.restore();
            let (mine, theirs) = (read(one), read(other));
            if mine["outputs"] == theirs["outputs"]
                || mine["outputs"]["table"]["table"]["columns"]
                    != theirs["outputs"]["table"]["table"]["columns"]
            {
                continue;
            }
            edit(one, |record| record["outputs"] = theirs["outputs"].clone());
            assert!(
                !problems(&kept.0, &[]).is_empty(),
                "{} as {}",
                one.display(),
                other.display()
            );
            swapped += 1;
        }
    }
    assert!(swapped >= 6, "only {swapped} records could be swapped");
    kept.heals("swapped outputs");
}

#[test]
fn a_record_that_is_gone_is_seen_while_a_newest_run_needs_it() {
    let kept = Kept::new();
    let mut seen = 0;
    for record in kept.files("actions") {
        kept.restore();
        std::fs::remove_file(&record).unwrap();
        let ended = kept.0.ended(&["verify"]);
        let told = ended.out.contains("not in the store");
        seen += usize::from(ended.code == Some(1) && told);
        // Those of older runs are told, as `gc` removes them, too.
        assert!(told || ended.out.contains("no longer on record"), "{}", ended.out);
    }
    assert!(seen >= 4, "{seen}");
    kept.heals("removal");
}

#[test]
fn journals_can_not_be_changed_removed_reordered_or_renamed() {
    let kept = Kept::new();
    let journals: Vec<PathBuf> = kept
        .files("runs")
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .collect();
    assert_eq!(journals.len(), 3);
    let stem = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    for (at, journal) in journals.iter().enumerate() {
        let text = std::fs::read_to_string(journal).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        for what in [
            "entry removed",
            "entries swapped",
            "entry changed",
            "journal removed",
            "renamed",
        ] {
            kept.restore();
            let mut changed = lines.clone();
            match what {
                "entry removed" => drop(changed.remove(1)),
                "entries swapped" => changed.swap(1, 2),
                _ => {}
            }
            let text = changed.join("\n") + "\n";
            match what {
                "entry changed" => put_in_place(journal, text.replace("executed", "hit").as_bytes()),
                "journal removed" => std::fs::remove_file(journal).unwrap(),
                "renamed" => {
                    let name = journal.to_string_lossy().replace(".jsonl", "");
                    // The name ends with a digit of its own; the other one has another.
                    let digit = if name.ends_with('0') { '1' } else { '0' };
                    let other = format!("{}{digit}.jsonl", &name[..name.len() - 1]);
                    std::fs::rename(journal, other).unwrap();
                }
                _ => put_in_place(journal, text.as_bytes()),
            }
            let word = match what {
                "journal removed" => "missing".to_string(),
                "renamed" => "was called".to_string(),
                _ if text == lines.join("\n") + "\n"
                    && what == "entry changed"
                    && !text.contains("executed") =>
                {
                    continue;
                }
                _ => stem(journal),
            };
            kept.sees(&format!("{what} of {at}"), &["journal", &word]);
        }
        lines.clear();
    }
    kept.restore();
    let away = journals[0].with_extension("away");
    std::fs::rename(&journals[0], &away).unwrap();
    std::fs::rename(&journals[1], &journals[0]).unwrap();
    std::fs::rename(&away, &journals[1]).unwrap();
    kept.sees("reordered", &["journal", "was called"]);
}

#[test]
fn every_index_that_is_damaged_is_seen_and_made_again() {
    let kept = Kept::new();
    for name in ["sources", "runs/head"] {
        kept.restore();
        let path = kept.0.at(".dermflow").join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes.truncate(middle);
        put_in_place(&path, &bytes);
        kept.sees(name, &["index", name]);
        kept.heals(name);
    }
    for folder in ["memos", "latest", "families"] {
        for path in kept.files(folder) {
            kept.restore();
            put_in_place(&path, b"nonsense");
            kept.sees(folder, &["index", &path.file_name().unwrap().to_string_lossy()]);
        }
        kept.heals(folder);
    }
}

#[test]
fn results_that_were_changed_renamed_or_forged_are_seen() {
    let kept = Kept::new();
    kept.restore();
    let path = kept.0.at("results/chain/names.csv");
    std::fs::rename(&path, path.with_file_name("mine.csv")).unwrap();
    kept.sees("renamed", &["result", "names.csv", "removed or renamed"]);

    kept.restore();
    let text = std::fs::read_to_string(&path)
        .unwrap()
        .replace("ISIC_0", "ISIC_9");
    std::fs::write(&path, &text).unwrap();
    kept.sees("changed", &["result", "names.csv", "changed"]);

    // Whoever changes a result can change the index beside it; the store knows better.
    let index = kept.0.at("results/chain/.published.json");
    let forged = dermflow_core::Digest::of(text.as_bytes()).hex();
    edit(&index, |index| {
        index["names.csv"]["files"][""] = forged.clone().into()
    });
    kept.sees("forged", &["result", "names.csv", "not what the store would lay"]);
    kept.heals("results");
}

#[test]
fn a_sound_store_of_every_sort_of_stage_is_found_sound_and_stays_untouched() {
    let project = ran();
    let listing = |project: &Project| -> Vec<(PathBuf, Vec<u8>)> {
        let files = files_below(&project.at(".dermflow")).into_iter();
        files
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect()
    };
    let before = listing(&project);
    let told = project.done(&["verify"]).out;
    assert!(
        told.contains("nothing is wrong") && told.contains("newest seal: number 1"),
        "{told}"
    );
    assert_eq!(listing(&project), before);
}
