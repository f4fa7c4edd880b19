//! Cleaning a store: what may go, looked at first and removed then.
//!
//! Kept is every action that a kept run used, the actions of its partitions, and everything
//! that led to them: the lineage of a kept run is never broken. Journals are never removed;
//! they are the sealed chain. Records go before the blobs that they name, so a kill half-way
//! leaves blobs that nobody names, never a record that lies.

mod mark;
mod survey;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dermflow_core::{BlobRef, Digest, Key};

use crate::Store;
use crate::disk::Disk;
use crate::error::StoreError;
use crate::journal::JournalName;

/// What to keep. A run is kept if either rule keeps it; with neither, all runs are kept
/// (the newest alone, if there is a size to keep to).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Keep this many of the newest runs.
    pub keep_runs: Option<usize>,
    /// Keep runs that started less than this ago, and results that were made since, whoever
    /// uses them.
    pub keep_newer_than: Option<Duration>,
    /// Remove results of runs that aren't kept only until the blobs have at most this many
    /// bytes, those unused for longest first. Without it they all go.
    pub max_bytes: Option<u64>,
}

/// What a clean-up removes.
#[derive(Clone, Debug)]
pub struct Plan {
    store: Store,
    policy: Policy,
    /// Runs whose results stay whole.
    pub kept_runs: Vec<JournalName>,
    /// Runs whose results may go. Their journals stay.
    pub released_runs: Vec<JournalName>,
    /// Records that go.
    pub records: Vec<Key>,
    /// Blobs that go.
    pub blobs: Vec<BlobRef>,
    /// Half-written files, trash, damaged files and memos of more than a week ago, and scratch
    /// folders of actions that are done or that nobody touched for a week.
    pub leftovers: Vec<PathBuf>,
    /// The bytes of the blobs that go.
    pub bytes: u64,
    /// The bytes of the blobs that stay.
    pub kept_bytes: u64,
    families: Vec<Digest>,
}

/// Looks what a clean-up by this policy would remove. Nothing is touched.
///
/// # Errors
/// Where a journal of a kept run can't be read: what it used is not known then.
pub fn plan(store: &Store, policy: Policy) -> Result<Plan, StoreError> {
    let runs = survey::runs(store, policy)?;
    let graph = mark::Graph::read(store)?;
    if policy.keep_runs.is_some() && runs.is_unknown() && !graph.is_empty() {
        let message = format!(
            "no run is known in {}, so none can be kept: other stores use it as their remote",
            store.root().display()
        );
        return Err(StoreError::Invalid {
            message,
            help: Some(
                "keep what is young (--keep-newer) or as much as there is room for (--max-size)".to_string(),
            ),
        });
    }
    let mut kept_keys = runs.kept_keys;
    if let Some(age) = policy.keep_newer_than {
        kept_keys.extend(graph.younger_than(age));
    }
    let kept = graph.reach(&kept_keys);
    let mut records = match runs.may_release {
        true => graph.others_by_age(&kept, &runs.last_use),
        false => Vec::new(),
    };
    let blobs = survey::blobs(store);
    if let Some(most) = policy.max_bytes {
        graph.spare(&mut records, &blobs, most);
    }
    let gone: BTreeSet<Key> = records.iter().copied().collect();
    let named = graph.blobs_without(&gone);
    let (staying, going): (Vec<BlobRef>, Vec<BlobRef>) =
        blobs.into_iter().partition(|blob| named.contains(&blob.digest));
    let total = |blobs: &[BlobRef]| blobs.iter().map(|blob| blob.bytes).sum();
    Ok(Plan {
        kept_runs: runs.kept,
        released_runs: runs.released,
        bytes: total(&going),
        kept_bytes: total(&staying),
        leftovers: survey::leftovers(store, &graph),
        families: survey::families_of(store, &gone, &graph),
        blobs: going,
        records,
        store: store.clone(),
        policy,
    })
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.blobs.is_empty() && self.leftovers.is_empty()
    }

    /// Removes it. The plan is made anew when the store is held alone, since a run may have
    /// used more meanwhile; what was in fact removed is given back.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another process has the store open; otherwise where a file
    /// can't be removed.
    pub fn apply(self) -> Result<Plan, StoreError> {
        let disk = self.store.disk().clone();
        let _alone = Alone::with(&disk)?;
        let plan = plan(&self.store, self.policy)?;
        for key in &plan.records {
            remove(&disk.sharded("actions", &key.digest(), ".json"))?;
        }
        for family in &plan.families {
            remove(&disk.sharded("families", family, ""))?;
        }
        for blob in &plan.blobs {
            remove(&disk.blob_path(blob))?;
            forget(&disk, &blob.digest);
        }
        for path in &plan.leftovers {
            remove_leftover(&disk, path)?;
        }
        crate::source::forget_missing(&disk)?;
        Ok(plan)
    }
}

/// The store held by this process alone; shared again when dropped.
pub(crate) struct Alone<'a>(&'a Disk);

impl Alone<'_> {
    pub(crate) fn with(disk: &Disk) -> Result<Alone<'_>, StoreError> {
        let in_use = || StoreError::InUse {
            path: disk.root().to_path_buf(),
        };
        let Some(users) = &disk.users else {
            return Err(StoreError::invalid(format!(
                "the store {} can't be written",
                disk.root().display()
            )));
        };
        let wrong = |error| StoreError::io("locking", &disk.at("gc.lock"), error);
        users.unlock().map_err(wrong)?;
        match users.try_lock() {
            Ok(()) => Ok(Alone(disk)),
            Err(error) => {
                // Another clean-up may hold it; it lasts moments.
                users.lock_shared().map_err(wrong)?;
                match error {
                    fs::TryLockError::WouldBlock => Err(in_use()),
                    fs::TryLockError::Error(error) => Err(wrong(error)),
                }
            }
        }
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        if let Some(users) = &self.0.users {
            // Where that fails the store is merely unprotected from another clean-up, which
            // removes nothing that a kept run names.
            let _ = users.unlock().and_then(|()| users.lock_shared());
        }
    }
}

pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("removing", path, error)),
        _ => Ok(()),
    }
}

pub(crate) fn forget(disk: &Disk, digest: &Digest) {
    for set in [&disk.trusted, &disk.unsynced] {
        // A set of plain values is whole even where a thread panicked.
        set.lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .remove(digest);
    }
}

pub(crate) fn remove_leftover(disk: &Disk, path: &Path) -> Result<(), StoreError> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    // Other files there tell a process what to do; it is gone, since the store is held alone.
    let is_of_lock = metadata.is_dir() || name.ends_with(".lock");
    if path.parent() == Some(&disk.at("work")) && is_of_lock {
        let name = name.strip_suffix(".lock").unwrap_or(name);
        return match crate::lock::try_lock(disk, name)? {
            Some(lock) => lock.done(),
            None => Ok(()),
        };
    }
    match metadata.is_dir() {
        true => fs::remove_dir_all(path).map_err(|error| StoreError::io("removing", path, error)),
        false => remove(path),
    }
}
