//! The remote: a shelf behind the store's own, which a team shares (a store's folder on a mounted
//! share).
//!
//! What is not here is looked for there. A record is taken over with all that it names or not at
//! all; its blobs follow one by one, when they are read, and are verified on their way. What is
//! made here is pushed by a thread of its own, blobs before the record that names them.
//!
//! The store here never depends on it: whatever is wrong with the remote is noted for people,
//! and the work goes on as if it were not there.

mod both;
mod far;
mod known;
mod pusher;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use dermflow_core::{BlobRef, Digest, Key, Record};

use crate::Store;
use crate::disk::Disk;
use crate::error::StoreError;
use crate::record::{is_complete, load, place_record};
use crate::shelf::Shelf;
use both::Both;
use far::Far;
pub use pusher::Pushed;
use pusher::Pusher;

/// How a remote is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteUse {
    /// Whether results are pushed to it.
    pub push: bool,
    /// Whether it is made where there is none; the folder above it must be there.
    pub create: bool,
}

/// Something about the remote that people should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteNote {
    /// What was found, and what that means.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// Notes on their way to people.
pub(crate) type Notes = Arc<Mutex<Vec<RemoteNote>>>;

pub(crate) fn note(notes: &Notes, message: String, help: Option<String>) {
    let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    notes.push(RemoteNote { message, help });
}

impl Store {
    /// The same store with a remote behind it. Where that can't be used, a note says why.
    #[must_use]
    pub fn with_remote(&self, path: &Path, remote_use: RemoteUse) -> Store {
        let notes = Notes::default();
        let opened = self
            .erased_blobs()
            .and_then(|erased| Remote::open(self.disk(), path, remote_use, &notes, erased));
        let remote = match opened {
            Ok(remote) => Some(remote),
            Err(error) => {
                let message = format!("the remote {} is not used: {}", path.display(), error.message());
                let help = "results are kept here; a later run that reaches the remote pushes them";
                note(&notes, message, error.help().or(Some(help.to_string())));
                None
            }
        };
        Store::of(self.disk().clone(), remote, notes)
    }

    /// Where the remote lies, if one is used.
    pub fn remote_path(&self) -> Option<&Path> {
        self.remote().map(|remote| remote.far().path.as_path())
    }

    /// What there is to say of the remote since this was asked last.
    pub fn take_remote_notes(&self) -> Vec<RemoteNote> {
        let mut notes = self.notes().lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *notes)
    }

    /// Pushes a record that is in this store, with its blobs and the records of its partitions,
    /// soon and in another thread. Nothing is done for one that the remote is known to have.
    pub fn share(&self, key: &Key, record: &Record) {
        if let Some(remote) = self.remote() {
            remote.push(key, record);
        }
    }

    /// Whether a record would be pushed by [`Store::share`].
    pub fn is_unshared(&self, key: &Key) -> bool {
        let far = self.remote().map(Remote::far);
        far.is_some_and(|far| far.writes() && !far.known.has(key))
    }

    /// Tells the remote the latest action of a family, once what is being pushed is there.
    pub fn share_family(&self, family: &Digest, key: &Key) {
        if let Some(remote) = self.remote() {
            remote.push_family(family, key);
        }
    }

    /// Waits until all that was shared is in the remote, or until `stop` says so: what is left
    /// is then pushed by a later run. Gives what was pushed so far.
    pub fn finish_sharing(&self, stop: &dyn Fn() -> bool) -> Pushed {
        self.remote()
            .map_or(Pushed::default(), |remote| remote.finish(stop))
    }

    /// Forgets which records remotes are known to have: the next run asks them, and pushes what
    /// they lack.
    pub fn ask_remotes_again(&self) {
        // Where the index can't be removed, what a remote lacks stays away until it can.
        let _ = std::fs::remove_dir_all(self.disk().at("remotes"));
    }

    /// Whether any of these blobs of a complete record lies in the remote and not here.
    pub fn is_elsewhere(&self, blobs: impl IntoIterator<Item = BlobRef>) -> bool {
        self.remote().is_some() && !blobs.into_iter().all(|blob| self.has_own_blob(&blob))
    }
}

/// The remote with the thread that pushes to it.
#[derive(Debug)]
pub(crate) struct Remote {
    far: Arc<Far>,
    pusher: Pusher,
}

impl Remote {
    fn open(
        near: &Arc<Disk>,
        path: &Path,
        remote_use: RemoteUse,
        notes: &Notes,
        erased: Option<BTreeSet<Digest>>,
    ) -> Result<Remote, StoreError> {
        let path = std::path::absolute(path).map_err(|error| StoreError::io("finding", path, error))?;
        if path == *near.root() || same_folder(&path, near.root()) {
            return Err(StoreError::invalid("it is the store itself"));
        }
        let made = remote_use.create && make_folder(&path)?;
        let disk = Disk::open_shared(&path, remote_use.create)?;
        if made {
            note(
                notes,
                format!("made a new shared store in {}", path.display()),
                None,
            );
        }
        let far = Arc::new(Far::new(near, disk, path, remote_use.push, notes, erased));
        let pusher = Pusher::new(far.clone());
        Ok(Remote { far, pusher })
    }

    pub(crate) fn far(&self) -> &Far {
        &self.far
    }

    /// The record, if the remote has it and all that it names is there or here. It is filed here.
    pub(crate) fn take_record(&self, near: &Disk, key: &Key) -> Result<Option<Record>, StoreError> {
        let far = &self.far;
        if !far.reads() || far.was_absent(key) {
            return Ok(None);
        }
        let found = load(&far.shelf, key).and_then(|record| match record {
            Some(record) if is_complete(&Both { near, far }, &record)? => Ok(Some(record)),
            _ => Ok(None),
        });
        let Some(record) = found.unwrap_or_else(|error| far.stop_reading(&error)) else {
            far.remember_absent(key);
            return Ok(None);
        };
        // A store that can only be read does without its own copy.
        let _ = place_record(&Both { near, far }, key, &record);
        far.known.add(key);
        Ok(Some(record))
    }

    pub(crate) fn has_blob(&self, blob: &BlobRef) -> bool {
        self.far.has_blob(blob)
    }

    /// Brings a blob here; `false` where the remote can't give it.
    pub(crate) fn fetch_blob(&self, near: &Disk, blob: &BlobRef) -> Result<bool, StoreError> {
        self.far.fetch_blob(near, blob)
    }

    /// Where samples were forgotten, no row is taken over from what others made last: theirs may
    /// still hold them.
    pub(crate) fn family(&self, family: &Digest) -> Option<Key> {
        (self.far.reads() && self.far.erased.is_none())
            .then(|| self.far.shelf.read_family(family))
            .flatten()
    }

    fn push(&self, key: &Key, record: &Record) {
        let far = &self.far;
        if far.writes() && (!far.known.has(key) || far.holds_wrong(record)) {
            self.pusher.record(record);
        }
    }

    fn push_family(&self, family: &Digest, key: &Key) {
        if self.far.writes() {
            self.pusher.family(family, key);
        }
    }

    fn finish(&self, stop: &dyn Fn() -> bool) -> Pushed {
        self.pusher.finish(stop)
    }
}

/// Makes the folder, but not the one above: where a share is not mounted, nothing is made.
fn make_folder(path: &Path) -> Result<bool, StoreError> {
    match std::fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(StoreError::io("making", path, error)),
    }
}

fn same_folder(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}
