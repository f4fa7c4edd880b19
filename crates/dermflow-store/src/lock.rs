//! One lock a key, so that processes that share a store don't do the same work twice. The
//! lock's folder is also the action's scratch.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dermflow_core::Key;

use crate::Store;
use crate::disk::{Disk, with_parent};
use crate::error::StoreError;

/// Held while an action runs. Dropped without [`KeyLock::done`] it keeps the scratch folder,
/// with the checkpoints in it, for the next attempt.
#[derive(Debug)]
pub struct KeyLock {
    disk: Arc<Disk>,
    folder: PathBuf,
    scratch: PathBuf,
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

    /// The lock of a key, unless another holds it.
    ///
    /// # Errors
    /// Where the disk can't be written.
    pub fn try_lock_key(&self, key: &Key) -> Result<Option<KeyLock>, StoreError> {
        let folder = self.disk().at("work").join(key.hex());
        let scratch = folder.join("scratch");
        loop {
            let Some(file) = try_lock_folder(&folder)? else {
                return Ok(None);
            };
            match fs::create_dir(&scratch) {
                // The folder was taken away between the check and here; its lock is void.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(StoreError::io("creating", &scratch, error));
                }
                _ => {}
            }
            return Ok(Some(KeyLock {
                disk: self.disk().clone(),
                folder,
                scratch,
                _file: file,
            }));
        }
    }
}

/// Locks `folder/lock`, made if it is missing; `None` if another holds it.
pub(crate) fn try_lock_folder(folder: &Path) -> Result<Option<File>, StoreError> {
    let path = folder.join("lock");
    let open = || {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).open(&path)
    };
    loop {
        let file = match with_parent(&path, open) {
            Ok(file) => file,
            // The holder took the folder away between making it and opening the file.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(StoreError::io("opening", &path, error)),
        };
        match file.try_lock() {
            Ok(()) if is_still_at(&file, &path) => return Ok(Some(file)),
            // The holder before us removed the folder: a lock on a file without a name
            // keeps nobody out.
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
    /// A folder of this action alone. A killed attempt's files are still in it.
    pub fn folder(&self) -> &Path {
        &self.scratch
    }

    /// The action is done, and its record in the store: the scratch folder goes.
    ///
    /// # Errors
    /// Where it can't be removed.
    pub fn done(self) -> Result<(), StoreError> {
        remove_locked(&self.disk, &self.folder)
    }
}

/// Removes a work folder whose lock the caller holds. It is renamed first: whoever locks the
/// key next gets a new folder, never one that is being emptied.
pub(crate) fn remove_locked(disk: &Disk, folder: &Path) -> Result<(), StoreError> {
    let away = disk.at("tmp").join(disk.unique());
    with_parent(&away, || fs::rename(folder, &away))
        .and_then(|()| fs::remove_dir_all(&away))
        .map_err(|error| StoreError::io("removing", folder, error))
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
