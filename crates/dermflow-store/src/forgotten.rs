//! Samples that were forgotten: tombstones, which later runs honour, and the removal of what
//! holds them.
//!
//! A tombstone is an immutable file `forgotten/<blake3>.json`. It holds sample ids and digests,
//! no content. One that is damaged is an error, never passed over: a sample must not come back
//! because a file was lost.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dermflow_core::{BlobRef, Digest, Key, SampleId};
use serde::{Deserialize, Serialize};

use crate::Store;
use crate::committer::blobs_of;
use crate::error::StoreError;
use crate::find::{digests_in, names_in};
use crate::gc::{Alone, forget, remove};

/// What was forgotten at one time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tombstone {
    /// The samples. Source files of that content, and rows of that id, are passed over by
    /// every later run.
    pub samples: BTreeSet<SampleId>,
    /// Blobs that held them and were removed.
    pub blobs: BTreeSet<Digest>,
    /// Artifacts that stay and were made from them.
    pub marks: Vec<Mark>,
}

/// An artifact that was made from forgotten samples, and does not hold their rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The artifact's name.
    pub artifact: Digest,
    /// The action that made it.
    pub action: Key,
    /// The output port.
    pub port: String,
    /// `table`, `model` or `files`.
    pub sort: String,
}

/// What is removed besides what the tombstone names.
#[derive(Clone, Debug, Default)]
pub struct Erasure {
    /// Blobs.
    pub blobs: Vec<BlobRef>,
}

impl Store {
    /// All tombstones, by the digest of their files.
    ///
    /// # Errors
    /// Where one can't be read, or is not what its name says.
    pub fn tombstones(&self) -> Result<Vec<(Digest, Tombstone)>, StoreError> {
        let folder = self.disk().at("forgotten");
        let mut tombstones = Vec::new();
        for name in names_in(&folder) {
            let path = folder.join(&name);
            let damaged = |reason: String| StoreError::Invalid {
                message: format!("the tombstone {} {reason}", path.display()),
                help: Some(
                    "restore it from a copy; without it, samples that were forgotten would come back"
                        .to_string(),
                ),
            };
            let bytes = std::fs::read(&path).map_err(|error| StoreError::io("reading", &path, error))?;
            let digest = Digest::of(&bytes);
            if name != format!("{digest}.json") {
                return Err(damaged("has other bytes than its name says".to_string()));
            }
            let tombstone =
                serde_json::from_slice(&bytes).map_err(|error| damaged(format!("is none: {error}")))?;
            tombstones.push((digest, tombstone));
        }
        Ok(tombstones)
    }

    /// Every sample that was forgotten.
    ///
    /// # Errors
    /// As [`Store::tombstones`].
    pub fn forgotten(&self) -> Result<BTreeSet<SampleId>, StoreError> {
        let all = self.tombstones()?.into_iter();
        Ok(all.flat_map(|(_, tombstone)| tombstone.samples).collect())
    }

    /// Every blob that was removed for what it held; `None` where nothing was ever forgotten.
    ///
    /// # Errors
    /// As [`Store::tombstones`].
    pub(crate) fn erased_blobs(&self) -> Result<Option<BTreeSet<Digest>>, StoreError> {
        let all = self.tombstones()?;
        let blobs = |all: Vec<(Digest, Tombstone)>| all.into_iter().flat_map(|(_, one)| one.blobs).collect();
        Ok((!all.is_empty()).then(|| blobs(all)))
    }

    /// Puts a tombstone up, and then removes what it and `erasure` name, with what may hold
    /// traces of it: blobs that no record names, scratch folders of actions that did not finish,
    /// half-written files, trash, memos, set-aside copies, entries of source files.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another process has the store open; otherwise where a file
    /// can't be written or removed. Doing it again finishes it.
    pub fn erase(&self, tombstone: &Tombstone, erasure: &Erasure) -> Result<Digest, StoreError> {
        let disk = self.disk().clone();
        let _alone = Alone::with(&disk)?;
        let bytes = serde_json::to_vec_pretty(tombstone)
            .map_err(|error| StoreError::invalid(format!("a tombstone can't be JSON: {error}")))?;
        let digest = Digest::of(&bytes);
        let path = disk.at("forgotten").join(format!("{digest}.json"));
        disk.replace_durably(&path, &bytes)?;
        let mut gone = self.unnamed_blobs()?;
        gone.extend(erasure.blobs.iter().map(|blob| blob.digest));
        for digest in &gone {
            remove(&disk.sharded("blobs", digest, ""))?;
            forget(&disk, digest);
        }
        // The store is held alone, so nobody works in a scratch folder; what an action that failed
        // left there may be copies of all that it read.
        for folder in ["tmp", "memos", "trash", "work"] {
            for name in names_in(&disk.at(folder)) {
                remove_whole(&disk.at(folder).join(name))?;
            }
        }
        let gone: BTreeSet<String> = gone.iter().map(Digest::hex).collect();
        for name in names_in(&disk.at("damaged")) {
            if name.get(..64).is_some_and(|start| gone.contains(start)) {
                remove(&disk.at("damaged").join(name))?;
            }
        }
        let contents = tombstone.samples.iter();
        let contents = contents.map(|sample| Digest::from_bytes(*sample.as_bytes()));
        crate::source::forget_content(&disk, &contents.collect())?;
        Ok(digest)
    }

    /// Blobs that no record names: of actions that failed or were killed before they had one.
    fn unnamed_blobs(&self) -> Result<BTreeSet<Digest>, StoreError> {
        let all = digests_in(&self.disk().at("blobs"), "");
        let mut unnamed: BTreeSet<Digest> = all.into_iter().collect();
        for key in self.records() {
            for digest in self.get_record(&key)?.iter().flat_map(blobs_of) {
                unnamed.remove(&digest);
            }
        }
        Ok(unnamed)
    }
}

/// Removes a file, or a folder with all in it, also where a program made parts of it read-only.
fn remove_whole(path: &Path) -> Result<(), StoreError> {
    if !fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
        return remove(path);
    }
    let removed = fs::remove_dir_all(path).or_else(|_| {
        unlock(path);
        fs::remove_dir_all(path)
    });
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("removing", path, error)),
        _ => Ok(()),
    }
}

/// Makes a folder and those in it such that they can be emptied, where that is allowed.
fn unlock(folder: &Path) {
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|sort| sort.is_dir()) {
            unlock(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{key, record, store};

    #[test]
    fn a_tombstone_stays_and_what_it_names_goes() {
        let (_folder, store) = store();
        assert!(store.forgotten().unwrap().is_empty());
        let finished = record(&store, 1, b"kept");
        let kept = finished.outputs["model"].blobs()[0];
        store.commit(finished).unwrap().wait().unwrap();
        let gone = store.put_bytes(b"gone").unwrap();
        let sample = SampleId::of_content(b"a picture");
        let tombstone = Tombstone {
            samples: BTreeSet::from([sample]),
            blobs: BTreeSet::from([gone.digest]),
            marks: Vec::new(),
        };
        store.write_memo(&Digest::of(b"memo"), b"something").unwrap();
        let erasure = Erasure { blobs: vec![gone] };
        let digest = store.erase(&tombstone, &erasure).unwrap();
        assert_eq!(store.erase(&tombstone, &erasure).unwrap(), digest);
        assert_eq!(store.blobs(), [kept]);
        assert_eq!(store.forgotten().unwrap(), BTreeSet::from([sample]));
        assert_eq!(store.read_memo(&Digest::of(b"memo")), None);

        let path = store.root().join("forgotten").join(format!("{digest}.json"));
        let text = std::fs::read_to_string(&path).unwrap().replace("  ", " ");
        std::fs::write(&path, text).unwrap();
        assert!(store.forgotten().is_err());
    }

    #[test]
    fn what_unfinished_actions_left_goes_as_well() {
        let (_folder, store) = store();
        let finished = record(&store, 1, b"kept");
        let kept = finished.outputs["model"].blobs()[0];
        store.commit(finished).unwrap().wait().unwrap();
        store.put_bytes(b"of an action that was killed").unwrap();
        let lock = store.try_lock_key(&key(2)).unwrap().unwrap();
        let attempt = lock.folder().join("attempt");
        drop(lock);
        fs::create_dir(&attempt).unwrap();
        fs::write(attempt.join("rows"), "a copy").unwrap();
        fs::set_permissions(&attempt, Permissions::from_mode(0o500)).unwrap();
        fs::create_dir_all(store.root().join("trash/left")).unwrap();
        fs::write(store.root().join("trash/left/rows"), "a copy").unwrap();

        store.erase(&Tombstone::default(), &Erasure::default()).unwrap();
        assert_eq!(store.blobs(), [kept]);
        for folder in ["work", "trash", "tmp"] {
            assert!(names_in(&store.root().join(folder)).is_empty(), "{folder}");
        }
    }
}
