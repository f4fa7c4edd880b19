//! One lock a key, so that processes that share a store don't do the same work twice.
//!
//! The lock is the file `work/<key>.lock`, the action's scratch the folder `work/<key>/`: most
//! actions never use theirs, and making a folder costs more than all else that they do here.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dermflow_core::Key;

use crate::Store;
use crate::disk::{Disk, with_parent};
use crate::error::StoreError;

/// Held while an action runs. Dropped without [`KeyLock::done`] it keeps the scratch folder,
/// with the checkpoints in it, for the next attempt.
#[derive(Debug)]
pub struct KeyLock {
    scratch: PathBuf,
    path: PathBuf,
    /// Unlocked when it is closed.
    _file: File,
}

impl Store {
    /// Waits for the lock of a key. `cancelled` is asked again and again.
    ///
    /// # Errors
    /// [`StoreError::Cancelled`] once `cancelled` says so; otherwise where the disk can't be
    /// written.
    pub fn lock_key(&self, key: &Key, cancelled: &dyn Fn() -> bool) -> Result<KeyLock, StoreError> {
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(lock) = self.try_lock_key(key)? {
                return Ok(lock);
            }
            if cancelled() {
                return Err(StoreError::Cancelled);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// As [`KeyLock::done`], but the scratch folder goes when there is time for it (see
    /// [`Store::sweep`]): for those that hold little.
    ///
    /// # Errors
    /// Where it can't be moved out of the way.
    pub fn done_later(&self, lock: KeyLock) -> Result<(), StoreError> {
        let discarded = crate::sweeper::discard(self.disk(), &lock.scratch);
        let discarded = discarded.map_err(|error| StoreError::io("removing", &lock.scratch, error))?;
        if let Some(folder) = discarded {
            self.sweeper().take(folder);
        }
        lock.let_go()
    }

    /// The lock of a key, unless another holds it.
    ///
    /// # Errors
    /// Where the disk can't be written.
    pub fn try_lock_key(&self, key: &Key) -> Result<Option<KeyLock>, StoreError> {
        try_lock(self.disk(), &key.hex())
    }
}

/// The lock of the scratch folder with this name; `None` if another holds it.
pub(crate) fn try_lock(disk: &Disk, name: &str) -> Result<Option<KeyLock>, StoreError> {
    let path = disk.at("work").join(format!("{name}.lock"));
    let open = || {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).open(&path)
    };
    loop {
        let file = with_parent(&path, open).map_err(|error| StoreError::io("opening", &path, error))?;
        match file.try_lock() {
            Ok(()) if is_still_at(&file, &path) => {
                return Ok(Some(KeyLock {
                    scratch: disk.at("work").join(name),
                    path,
                    _file: file,
                }));
            }
            // The holder before us removed the file: a lock on one without a name keeps
            // nobody out.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(StoreError::io("locking", &path, error)),
        }
    }
}

fn is_still_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

impl KeyLock {
    /// A folder of this action alone; it is made if it isn't there. A killed attempt's files
    /// are still in it.
    pub fn folder(&self) -> &Path {
        // Where it can't be made, whoever writes to it is told why.
        let _ = fs::create_dir_all(&self.scratch);
        &self.scratch
    }

    /// Where that folder is, made or not: for those who make it when it is first used.
    pub fn folder_path(&self) -> &Path {
        &self.scratch
    }

    /// The action is done, and its record in the store: the scratch folder goes.
    ///
    /// # Errors
    /// Where it can't be removed.
    pub fn done(self) -> Result<(), StoreError> {
        let wrong = |path: &Path, error| StoreError::io("removing", path, error);
        match fs::remove_dir_all(&self.scratch) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(wrong(&self.scratch, error));
            }
            _ => {}
        }
        self.let_go()
    }

    /// Last, and still locked: whoever waits for it finds that it has no name any more.
    fn let_go(self) -> Result<(), StoreError> {
        let wrong = |path: &Path, error| StoreError::io("removing", path, error);
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(wrong(&self.path, error)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::testing::{key, store};

    #[test]
    fn scratch_outlives_a_lock_that_is_dropped_and_goes_with_one_that_is_done() {
        let (_folder, store) = store();
        let lock = store.try_lock_key(&key(1)).unwrap().unwrap();
        fs::write(lock.folder().join("checkpoint"), "epoch 3").unwrap();
        assert!(store.try_lock_key(&key(1)).unwrap().is_none());
        assert!(store.try_lock_key(&key(2)).unwrap().is_some());
        drop(lock);
        let lock = store.try_lock_key(&key(1)).unwrap().unwrap();
        assert_eq!(fs::read(lock.folder().join("checkpoint")).unwrap(), b"epoch 3");
        lock.done().unwrap();
        assert!(!store.root().join("work").join(key(1).hex()).exists());
        assert_eq!(
            crate::find::names_in(&store.root().join("work")),
            [format!("{}.lock", key(2))]
        );
        let lock = store.try_lock_key(&key(1)).unwrap().unwrap();
        assert_eq!(fs::read_dir(lock.folder()).unwrap().count(), 0);
    }

    #[test]
    fn waiting_can_be_interrupted() {
        let (_folder, store) = store();
        let _held = store.try_lock_key(&key(1)).unwrap().unwrap();
        let asked = AtomicUsize::new(0);
        let cancelled = || asked.fetch_add(1, Ordering::Relaxed) == 3;
        assert!(matches!(
            store.lock_key(&key(1), &cancelled),
            Err(StoreError::Cancelled)
        ));
    }

    #[test]
    fn two_never_hold_one_lock_though_its_folder_comes_and_goes() {
        let (_folder, store) = store();
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (store, inside, most) = (&store, &inside, &most);
                scope.spawn(move || {
                    for round in 0..50 {
                        let lock = store.lock_key(&key(1), &|| false).unwrap();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        fs::write(lock.folder().join(format!("{thread}")), "x").unwrap();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        if round % 3 != 0 {
                            lock.done().unwrap();
                        }
                    }
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
    }
}
