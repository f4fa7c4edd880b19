//! Large blobs go to the disk while others are still being made, so that the record which names
//! them has little to wait for at the end. An aid only: a record asks for every blob once more.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crossbeam::channel::{Receiver, Sender, unbounded};
use dermflow_core::{BlobRef, Digest};

/// Smaller blobs wait for their record: many of them cost one synchronisation together.
const WORTH: u64 = 1 << 20;

type Lost = Arc<Mutex<BTreeMap<Digest, io::ErrorKind>>>;

/// The way to the thread that does it, which is started with the first large blob and ends when
/// this is dropped.
#[derive(Debug, Default)]
pub(crate) struct EarlySync {
    queue: OnceLock<Sender<(Digest, PathBuf)>>,
    lost: Lost,
}

impl EarlySync {
    /// A blob was put at `path`.
    pub(crate) fn placed(&self, blob: &BlobRef, path: &Path) {
        lock(&self.lost).remove(&blob.digest);
        if blob.bytes >= WORTH {
            let queue = self.queue.get_or_init(|| start(self.lost.clone()));
            // Without the thread the record waits longer, and that is all.
            let _ = queue.send((blob.digest, path.to_path_buf()));
        }
    }

    /// Why a blob could not be written to the disk. The system tells that only once, and so may
    /// have told it here and not to who asks again.
    pub(crate) fn failure(&self, digest: &Digest) -> Option<io::Error> {
        lock(&self.lost).get(digest).map(|kind| io::Error::from(*kind))
    }
}

fn start(lost: Lost) -> Sender<(Digest, PathBuf)> {
    let (queue, waiting) = unbounded();
    let spawn = std::thread::Builder::new().name("store early sync".to_string());
    // Where no thread can be had, nobody hears of what is sent.
    let _ = spawn.spawn(move || work(&waiting, &lost));
    queue
}

fn work(waiting: &Receiver<(Digest, PathBuf)>, lost: &Lost) {
    for (digest, path) in waiting {
        match File::open(&path).and_then(|file| file.sync_all()) {
            // Set aside or removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                lock(lost).insert(digest, error.kind());
            }
            Ok(()) => {}
        }
    }
}

fn lock(lost: &Lost) -> MutexGuard<'_, BTreeMap<Digest, io::ErrorKind>> {
    // Entries are inserted whole, so a thread that panicked left the map whole.
    lost.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_remembered_until_the_blob_is_put_again() {
        let early = EarlySync::default();
        let blob = BlobRef {
            digest: Digest::of(b"large"),
            bytes: WORTH,
        };
        lock(&early.lost).insert(blob.digest, io::ErrorKind::StorageFull);
        let failure = early.failure(&blob.digest).map(|error| error.kind());
        assert_eq!(failure, Some(io::ErrorKind::StorageFull));
        early.placed(&blob, Path::new("/nowhere/at/all"));
        assert!(early.failure(&blob.digest).is_none());
    }

    #[test]
    fn what_is_gone_is_no_failure_and_what_cannot_be_opened_is() {
        let (lost, folder) = (Lost::default(), tempfile::tempdir().unwrap());
        let looped = folder.path().join("looped");
        std::os::unix::fs::symlink(&looped, &looped).unwrap();
        let (queue, waiting) = unbounded();
        queue
            .send((Digest::of(b"gone"), folder.path().join("gone")))
            .unwrap();
        queue.send((Digest::of(b"looped"), looped)).unwrap();
        drop(queue);
        work(&waiting, &lost);
        let lost: Vec<Digest> = lock(&lost).keys().copied().collect();
        assert_eq!(lost, [Digest::of(b"looped")]);
    }
}
