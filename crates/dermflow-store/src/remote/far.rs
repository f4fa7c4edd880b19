//! [`Far`]: the shelf behind a store and what is known of it: how blobs come, and how results go.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dermflow_core::{BlobRef, Digest, Key, Record};

use super::known::Known;
use super::{Notes, Pushed, note};
use crate::committer::blob_refs_of;
use crate::disk::{Disk, full_or};
use crate::error::StoreError;
use crate::record::{PutOutcome, is_complete, load, place_record};
use crate::shelf::{Shelf, Verified};

/// How long a record that the remote lacks is not asked for again.
const FORGETFUL: Duration = Duration::from_secs(10);

/// Blobs that are fetched at the same time, about: threads that want the same one wait for it.
const LANES: usize = 16;

/// The shelf behind, and what is known of it.
#[derive(Debug)]
pub(crate) struct Far {
    pub(super) path: PathBuf,
    near: Arc<Disk>,
    pub(super) shelf: Verified<Disk>,
    /// Whether it is still asked. One error ends that: a share that is gone may take minutes to
    /// say so each time.
    reads: AtomicBool,
    writes: AtomicBool,
    pub(super) known: Known,
    notes: Notes,
    absent: Mutex<HashMap<Key, Instant>>,
    lanes: [Mutex<()>; LANES],
    /// Blobs that were removed here because they held forgotten samples, and must not come back;
    /// `None` where nothing was ever forgotten.
    pub(super) erased: Option<BTreeSet<Digest>>,
}

impl Far {
    /// A shelf that was opened at `path`.
    pub(super) fn new(
        near: &Arc<Disk>,
        shelf: Disk,
        path: PathBuf,
        push: bool,
        notes: &Notes,
        erased: Option<BTreeSet<Digest>>,
    ) -> Far {
        Far {
            known: Known::read(near, &path),
            near: near.clone(),
            shelf: Verified::new(shelf),
            path,
            reads: AtomicBool::new(true),
            writes: AtomicBool::new(push),
            notes: notes.clone(),
            absent: Mutex::default(),
            lanes: std::array::from_fn(|_| Mutex::default()),
            erased,
        }
    }

    pub(super) fn reads(&self) -> bool {
        self.reads.load(Ordering::Relaxed)
    }

    pub(super) fn writes(&self) -> bool {
        self.writes.load(Ordering::Relaxed)
    }

    pub(super) fn stop_reading<T>(&self, error: &StoreError) -> Option<T> {
        if self.reads.swap(false, Ordering::Relaxed) {
            let message = format!(
                "the remote {} can't be read, and is not asked any more: {}",
                self.path.display(),
                error.message()
            );
            note(&self.notes, message, None);
        }
        None
    }

    pub(super) fn stop_writing(&self, error: &StoreError) {
        if self.writes.swap(false, Ordering::Relaxed) {
            let message = format!(
                "nothing more is pushed to the remote {}: {}",
                self.path.display(),
                error.message()
            );
            let help = "results are kept here; a later run that can write there pushes them";
            note(&self.notes, message, Some(help.to_string()));
        }
    }

    pub(super) fn was_absent(&self, key: &Key) -> bool {
        let absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        absent.get(key).is_some_and(|asked| asked.elapsed() < FORGETFUL)
    }

    pub(super) fn remember_absent(&self, key: &Key) {
        let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        absent.insert(*key, Instant::now());
    }

    fn is_erased(&self, blob: &BlobRef) -> bool {
        let erased = self.erased.as_ref();
        erased.is_some_and(|erased| erased.contains(&blob.digest))
    }

    /// Whether the shelf has a blob that may come from there.
    ///
    /// # Errors
    /// Where it can't be asked.
    pub(super) fn offers_blob(&self, blob: &BlobRef) -> Result<bool, StoreError> {
        Ok(!self.is_erased(blob) && self.shelf.has_blob(blob)?)
    }

    pub(super) fn has_blob(&self, blob: &BlobRef) -> bool {
        self.reads() && {
            let there = self.offers_blob(blob);
            there.unwrap_or_else(|error| self.stop_reading(&error).unwrap_or(false))
        }
    }

    pub(super) fn holds_wrong(&self, record: &Record) -> bool {
        let mut blobs = self
            .shelf
            .has_wrong()
            .then(|| blob_refs_of(record))
            .into_iter()
            .flatten();
        blobs.any(|blob| self.shelf.is_wrong(&blob.digest))
    }

    pub(super) fn fetch_blob(&self, near: &Disk, blob: &BlobRef) -> Result<bool, StoreError> {
        let lane = usize::from(blob.digest.as_bytes()[0]) % LANES;
        let _waits = self.lanes[lane].lock().unwrap_or_else(PoisonError::into_inner);
        if near.has_blob(blob)? {
            return Ok(true);
        }
        if !self.has_blob(blob) {
            return Ok(false);
        }
        let path = near.blob_path(blob);
        let (mut file, temporary) = near.temporary(0o444)?;
        let mut ours: Option<StoreError> = None;
        let copied = self.shelf.read_blob(blob, &mut |bytes| {
            file.write_all(bytes).map_err(|error| {
                let error = full_or(&path, error, blob.bytes as usize);
                ours = Some(error.clone());
                error
            })
        });
        match (copied, ours) {
            (Ok(true), _) => {}
            (Ok(false), _) => return Ok(false),
            (Err(_), Some(ours)) => return Err(ours),
            (Err(StoreError::Damaged { blob, reason }), None) => {
                let (short, path) = (blob.digest.short(), self.path.display());
                let message = format!("the blob {short} in the remote {path} {reason}: it is not believed");
                note(&self.notes, message, None);
                return Ok(false);
            }
            (Err(error), None) => {
                self.stop_reading::<()>(&error);
                return Ok(false);
            }
        }
        temporary.place(&path)?;
        // It was hashed on its way.
        let mut trusted = near.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        trusted.insert(blob.digest);
        Ok(true)
    }

    /// Puts a record there, after its blobs and the records of its partitions. Gives how many
    /// records and bytes went.
    pub(super) fn push_record(&self, record: &Record, stop: &dyn Fn() -> bool) -> Result<Pushed, StoreError> {
        let mut pushed = Pushed::default();
        let Ok(key) = record.manifest.key() else {
            return Ok(pushed);
        };
        if stop() || (self.known.has(&key) && !self.holds_wrong(record)) {
            return Ok(pushed);
        }
        for part in &record.making.partitions {
            if !self.known.has(part)
                && let Some(part) = load(&*self.near, part)?
            {
                pushed += self.push_record(&part, stop)?;
            }
        }
        let mut written = Vec::new();
        for blob in blob_refs_of(record) {
            if stop() {
                return Ok(pushed);
            }
            if self.push_blob(&blob)? {
                pushed.bytes += blob.bytes;
                written.push(blob.digest);
            }
        }
        self.shelf.make_durable(&written)?;
        if !is_complete(&self.shelf, record)? {
            // A blob is gone here, too: whoever needs it will see that.
            return Ok(pushed);
        }
        match place_record(&self.shelf, &key, record)? {
            PutOutcome::New => pushed.records += 1,
            PutOutcome::Same => {}
            PutOutcome::Different(_) => {
                let message = format!(
                    "the remote {} has another result of the action {key} than this store: the kind `{}` is not \
                     deterministic",
                    self.path.display(),
                    record.manifest.kind
                );
                let help = "each keeps its own; a `salt` on the stage disowns both";
                note(&self.notes, message, Some(help.to_string()));
            }
        }
        self.known.add(&key);
        Ok(pushed)
    }

    /// Whether it had to go, and went.
    pub(super) fn push_blob(&self, blob: &BlobRef) -> Result<bool, StoreError> {
        if self.shelf.has_blob(blob)? {
            return Ok(false);
        }
        let Ok((mut file, _)) = crate::blob::open_regular(&self.near.blob_path(blob), false) else {
            return Ok(false);
        };
        match self.shelf.write_blob(blob, &mut file) {
            Ok(()) => Ok(true),
            // The one here is damaged: whoever reads it will see that.
            Err(StoreError::Io { error, .. }) if error.kind() == std::io::ErrorKind::InvalidData => Ok(false),
            Err(error) => Err(error),
        }
    }
}
