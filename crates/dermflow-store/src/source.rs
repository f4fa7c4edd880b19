//! Source files: their digests, remembered by what `stat` says of them.
//!
//! The rule is git's: a file whose device, inode, size, mtime and ctime are those of the entry
//! is taken to be unchanged, unless the entry is *racy*: made so soon after the file's own
//! times that a later change could have left them as they are. ctime can't be set back by a
//! user, so an edit of the same size with its mtime restored is seen.

mod index_file;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use dermflow_core::Digest;
use rayon::prelude::*;

use crate::Store;
use crate::blob::{hash_reader, open_regular, sort_of};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::stat::{Stat, now};
use index_file::{Entry, IndexFile};

pub use walk::walk;

/// How often a file is read anew that changes while it is read.
const ATTEMPTS: usize = 5;

/// Digests of source files by absolute path.
#[derive(Debug)]
pub struct SourceIndex {
    disk: Arc<Disk>,
    known: IndexFile,
    changed: Mutex<BTreeMap<PathBuf, Entry>>,
    rehash: bool,
    hashed: AtomicU64,
}

impl SourceIndex {
    /// The store's index. Damage to it costs reading the files again, nothing else.
    pub fn load(store: &Store) -> SourceIndex {
        SourceIndex {
            disk: store.disk().clone(),
            known: IndexFile::read(&store.disk().at("sources")),
            changed: Mutex::default(),
            rehash: false,
            hashed: AtomicU64::new(0),
        }
    }

    /// With `true` nothing is trusted that an earlier process recorded.
    #[must_use]
    pub fn with_rehash(self, rehash: bool) -> SourceIndex {
        SourceIndex { rehash, ..self }
    }

    /// The files whose content had one of these digests when they were last looked at, with
    /// that digest, in order of their paths. Those that changed since are among them.
    pub fn files_of(&self, digests: &BTreeSet<Digest>) -> Vec<(PathBuf, Digest)> {
        let mut found = self.known.files_of(digests);
        for (path, entry) in &*self.lock_changed() {
            found.retain(|(known, _)| known != path);
            if digests.contains(&entry.digest) {
                found.push((path.clone(), entry.digest));
            }
        }
        found.sort();
        found
    }

    /// How many files were read since it was loaded.
    pub fn files_hashed(&self) -> u64 {
        self.hashed.load(Ordering::Relaxed)
    }

    /// The blake3 and size of a file, read only where it may have changed.
    ///
    /// # Errors
    /// Where it can't be read, is no regular file, or changes whenever it is read.
    pub fn digest_file(&self, path: &Path) -> Result<(Digest, u64), StoreError> {
        let absolute = std::path::absolute(path).map_err(|error| StoreError::io("finding", path, error))?;
        let metadata = fs::metadata(&absolute).map_err(|error| StoreError::io("reading", path, error))?;
        if !metadata.is_file() {
            return Err(refuse(path, &metadata));
        }
        let stat = Stat::of(&metadata);
        if let Some(entry) = self.entry(&absolute)
            && entry.holds_for(&stat)
        {
            return Ok((entry.digest, stat.size));
        }
        let entry = self.hash(path, &absolute)?;
        self.lock_changed().insert(absolute, entry);
        Ok((entry.digest, entry.stat.size))
    }

    /// The same for many files, on all cores; answers come in the order of the paths.
    ///
    /// # Errors
    /// The first file's, in that order.
    pub fn digest_files(&self, paths: &[PathBuf]) -> Result<Vec<(Digest, u64)>, StoreError> {
        let digests: Vec<Result<(Digest, u64), StoreError>> = paths
            .par_iter()
            .with_min_len(16)
            .map(|path| self.digest_file(path))
            .collect();
        digests.into_iter().collect()
    }

    /// Writes what was learnt, together with what other processes wrote meanwhile.
    ///
    /// # Errors
    /// Where the disk is full or can't be written.
    pub fn save(&self) -> Result<(), StoreError> {
        let changed = std::mem::take(&mut *self.lock_changed());
        if changed.is_empty() {
            return Ok(());
        }
        let saved = index_file::merge_into(&self.disk, &changed);
        if saved.is_err() {
            let mut again = self.lock_changed();
            for (path, entry) in changed {
                again.entry(path).or_insert(entry);
            }
        }
        saved
    }

    fn entry(&self, absolute: &Path) -> Option<Entry> {
        if let Some(entry) = self.lock_changed().get(absolute) {
            return Some(*entry);
        }
        match self.rehash {
            true => None,
            false => self.known.get(absolute.as_os_str().as_bytes()),
        }
    }

    /// Reads the file until it is the same before and after.
    fn hash(&self, path: &Path, absolute: &Path) -> Result<Entry, StoreError> {
        let wrong = |error| StoreError::io("reading", path, error);
        for _ in 0..ATTEMPTS {
            let recorded = now();
            let (mut file, metadata) = open_regular(absolute, true)?;
            let before = Stat::of(&metadata);
            let (digest, bytes) = hash_reader(&mut file).map_err(wrong)?;
            self.hashed.fetch_add(1, Ordering::Relaxed);
            // The path as well: the file may have been replaced by another.
            let after = Stat::of(&file.metadata().map_err(wrong)?);
            let named = fs::metadata(absolute).map(|metadata| Stat::of(&metadata));
            if before == after && named.is_ok_and(|named| named == before) && bytes == before.size {
                return Ok(Entry {
                    stat: before,
                    recorded,
                    digest,
                });
            }
        }
        Err(StoreError::SourceChanged {
            path: path.to_path_buf(),
        })
    }

    fn lock_changed(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Entry>> {
        // Entries are inserted whole, so a thread that panicked left the map whole.
        self.changed
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn refuse(path: &Path, metadata: &fs::Metadata) -> StoreError {
    StoreError::Invalid {
        message: format!("{} is {}, not a file", path.display(), sort_of(metadata)),
        help: Some("name a regular file".to_string()),
    }
}

/// Whether the index is there and can't be read: it would be made anew.
pub(crate) fn is_damaged(disk: &Disk) -> bool {
    IndexFile::is_damaged(&disk.at("sources"))
}

/// Drops entries of files of this content; how many.
pub(crate) fn forget_content(disk: &Disk, digests: &BTreeSet<Digest>) -> Result<usize, StoreError> {
    index_file::retain(disk, |_, digest| !digests.contains(digest))
}

/// Drops entries of files that are gone; how many.
pub(crate) fn forget_missing(disk: &Disk) -> Result<usize, StoreError> {
    index_file::retain(disk, |path, _| fs::symlink_metadata(path).is_ok())
}
