//! Looking at a store without touching it: for those who verify it or ask it questions.
//!
//! What is used in a run heals itself: a damaged file is set aside as it is read. Here nothing
//! is moved and nothing written, so a look leaves the evidence where it lay.

use std::fs::File;
use std::path::{Path, PathBuf};

use dermflow_core::{BlobRef, Digest, Key, Record};

use crate::Store;
use crate::blob::{hash_reader, is_in_place};
use crate::error::StoreError;
use crate::find::{digests_in, names_in};
use crate::journal::JournalName;
use crate::stat::Stat;

/// A record, and the digest of its file.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspected {
    /// The record.
    pub record: Record,
    /// Plain blake3 of the file: what journals name, and `b3sum` gives.
    pub digest: Digest,
}

/// A file of the store that is an index, or nothing that belongs there, and what is wrong with
/// it. Losing one costs time at most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexTrouble {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// What lies directly in the folder of a store.
const KNOWN: [&str; 17] = [
    "actions",
    "blobs",
    "damaged",
    "families",
    "forgotten",
    "format",
    "gc.lock",
    "latest",
    "memos",
    "remote",
    "remotes",
    "runs",
    "sources",
    "sources.lock",
    "tmp",
    "trash",
    "work",
];

/// The digest of the file that a record is kept in.
pub fn record_digest(record: &Record) -> Digest {
    // A record that can't be written as JSON can't be committed either.
    Digest::of(&serde_json::to_vec(record).unwrap_or_default())
}

impl Store {
    /// The record under this key, if there is one.
    ///
    /// # Errors
    /// What is wrong with the file that is there.
    pub fn inspect_record(&self, key: &Key) -> Result<Option<Inspected>, String> {
        let found = crate::record::inspect(self.disk(), key)?;
        Ok(found.map(|(record, bytes)| Inspected {
            record,
            digest: Digest::of(&bytes),
        }))
    }

    /// Hashes a blob.
    ///
    /// # Errors
    /// What is wrong with it: missing, a link, of another size, of other bytes.
    pub fn inspect_blob(&self, blob: &BlobRef) -> Result<(), String> {
        let path = self.disk().blob_path(blob);
        is_in_place(&path, blob)?;
        let mut file = File::open(&path).map_err(|error| format!("can't be read: {error}"))?;
        match hash_reader(&mut file) {
            Ok((digest, _)) if digest == blob.digest => {
                // A set of plain values is whole even where a thread panicked.
                let trusted = self.disk().trusted.lock();
                trusted
                    .unwrap_or_else(|poisoned| poisoned.into_inner())
                    .insert(digest);
                Ok(())
            }
            Ok((digest, _)) => Err(format!("holds the bytes of {}", digest.short())),
            Err(error) => Err(format!("can't be read: {error}")),
        }
    }

    /// Every blob that lies in the store, by name and size, in order; none is read.
    pub fn blobs(&self) -> Vec<BlobRef> {
        let digests = digests_in(&self.disk().at("blobs"), "").into_iter();
        let sized = digests.map(|digest| {
            let path = self.disk().blob_path(&BlobRef { digest, bytes: 0 });
            let bytes = std::fs::symlink_metadata(path).map_or(0, |blob| blob.len());
            BlobRef { digest, bytes }
        });
        sized.collect()
    }

    /// The folders that records lie in, with what `stat` says of each: a record that came, went
    /// or was replaced changes that of its folder.
    pub fn record_folders(&self) -> Vec<(String, Stat)> {
        let actions = self.disk().at("actions");
        let folders = names_in(&actions).into_iter().filter_map(|name| {
            let metadata = std::fs::symlink_metadata(actions.join(&name)).ok()?;
            metadata.is_dir().then(|| (name, Stat::of(&metadata)))
        });
        folders.collect()
    }

    /// The keys of the records in one of these folders, in order.
    pub fn records_in(&self, folder: &str) -> Vec<Key> {
        let names = names_in(&self.disk().at("actions").join(folder)).into_iter();
        let keys = names.filter_map(|name| format!("{folder}{}", name.strip_suffix(".json")?).parse().ok());
        keys.collect()
    }

    /// Where the file of a record lies.
    pub fn record_path(&self, key: &Key) -> PathBuf {
        self.disk().sharded("actions", &key.digest(), ".json")
    }

    /// Indexes that can't be read or lead nowhere, in order.
    pub fn index_troubles(&self) -> Vec<IndexTrouble> {
        let mut troubles = Vec::new();
        let mut tell = |path: PathBuf, reason: &str| {
            let reason = reason.to_string();
            troubles.push(IndexTrouble { path, reason });
        };
        let at = |name: &str| self.disk().at(name);
        if crate::source::is_damaged(self.disk()) {
            tell(at("sources"), "is damaged: source files will be hashed anew");
        }
        for name in names_in(&at("memos")) {
            let sound = name.parse().is_ok_and(|name| self.read_memo(&name).is_some());
            if !sound {
                tell(at("memos").join(&name), "is damaged: it will be worked out anew");
            }
        }
        for family in digests_in(&at("families"), "") {
            if self.get_family(&family).is_none() {
                let path = self.disk().sharded("families", &family, "");
                tell(path, "names no action: rows will be computed anew");
            }
        }
        for name in names_in(&at("latest")) {
            let sound = name.parse().is_ok_and(|cell| self.get_latest(&cell).is_some());
            if !sound {
                tell(at("latest").join(&name), "names no journal that is there");
            }
        }
        let journals = self.list_journals();
        let head = at("runs").join("head");
        if head.exists() != journals.iter().any(|name| self.is_sealed(name)) || self.head_is_damaged() {
            tell(head, "does not name the newest seal: it will be made anew");
        }
        troubles.sort();
        troubles
    }

    /// Files in the store's folder that belong to nothing, in order.
    pub fn strays(&self) -> Vec<IndexTrouble> {
        let mut strays = Vec::new();
        let root = self.root().to_path_buf();
        let mut tell = |path: PathBuf| {
            let reason = "belongs to nothing in this store".to_string();
            strays.push(IndexTrouble { path, reason });
        };
        let unknown = |name: &String| !KNOWN.contains(&name.as_str());
        names_in(&root)
            .into_iter()
            .filter(unknown)
            .for_each(|name| tell(root.join(name)));
        for (folder, ending) in [("blobs", ""), ("actions", ".json"), ("families", "")] {
            for shard in names_in(&root.join(folder)) {
                for name in names_in(&root.join(folder).join(&shard)) {
                    let rest = name.strip_suffix(ending).unwrap_or("-");
                    if format!("{shard}{rest}").parse::<Digest>().is_err() {
                        tell(root.join(folder).join(&shard).join(name));
                    }
                }
            }
        }
        for name in names_in(&root.join("runs")) {
            if !is_of_runs(&name) {
                tell(root.join("runs").join(name));
            }
        }
        strays.sort();
        strays
    }

    /// Moves any file of the store to `damaged/`, with the reason beside it.
    pub fn set_file_aside(&self, path: &Path, reason: &str) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.disk().move_to_damaged(path, &name, reason);
    }

    /// Keeps the signature of a journal's seal beside it. One that is there is replaced.
    ///
    /// # Errors
    /// Where the disk is full or can't be written.
    pub fn put_signature(&self, journal: &JournalName, signature: &[u8]) -> Result<(), StoreError> {
        self.disk()
            .replace_durably(&self.signature_path(journal), signature)
    }

    /// The signature of a journal's seal, if there is one.
    pub fn signature(&self, journal: &JournalName) -> Option<Vec<u8>> {
        std::fs::read(self.signature_path(journal)).ok()
    }

    fn signature_path(&self, journal: &JournalName) -> PathBuf {
        self.disk().at("runs").join(format!("{journal}.signature.json"))
    }
}

/// Whether a name in `runs/` is one that this program gives.
fn is_of_runs(name: &str) -> bool {
    let stem = [".open.jsonl", ".jsonl", ".signature.json"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending));
    matches!(name, "head" | "lock") || stem.is_some_and(|stem| JournalName::parse(stem).is_some())
}

#[cfg(test)]
mod tests {
    use dermflow_core::BlobRef;

    use super::record_digest;
    use crate::testing::{key, record, store};

    #[test]
    fn a_look_moves_nothing_and_names_what_is_wrong() {
        let (_folder, store) = store();
        let one = record(&store, 1, b"one");
        store.commit(one.clone()).unwrap().wait().unwrap();
        let inspected = store.inspect_record(&key(1)).unwrap().unwrap();
        assert_eq!(inspected.digest, record_digest(&one));
        let blob: BlobRef = one.outputs["model"].blobs()[0];
        store.inspect_blob(&blob).unwrap();
        assert_eq!(store.blobs(), [blob]);

        let path = store.record_path(&key(1));
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "{}").unwrap();
        assert!(store.inspect_record(&key(1)).unwrap_err().contains("no record"));
        assert!(path.exists());
        let place = store.blob_path(&blob).unwrap();
        std::fs::remove_file(&place).unwrap();
        std::fs::write(&place, "two").unwrap();
        assert!(store.inspect_blob(&blob).unwrap_err().contains("bytes of"));
        assert!(place.exists());
        assert!(store.inspect_record(&key(2)).unwrap().is_none());
    }

    #[test]
    fn strays_and_broken_indexes_are_named() {
        let (_folder, store) = store();
        assert_eq!((store.strays(), store.index_troubles()), (vec![], vec![]));
        for name in [
            "note.txt",
            "blobs/ab/short",
            "runs/other.jsonl",
            "memos/x",
            "latest/y",
        ] {
            let path = store.root().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "?").unwrap();
        }
        assert_eq!(store.strays().len(), 3);
        assert_eq!(store.index_troubles().len(), 2);
    }
}
