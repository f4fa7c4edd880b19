//! [`Store`]: an open store, shared by all threads of a process.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::committer::Committer;
use crate::disk::Disk;
use crate::error::StoreError;
use crate::remote::{Notes, Remote};
use crate::sweeper::Sweeper;

/// An open store. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    disk: Arc<Disk>,
    /// What is looked through where something is not here.
    remote: Option<Remote>,
    remote_notes: Notes,
    /// Started with the first record; when dropped, it writes what is queued.
    committer: OnceLock<Committer>,
    sweeper: Sweeper,
}

impl Store {
    /// Opens the store in this folder, and makes one if there is none. While it is open, no
    /// other process can clean it.
    ///
    /// # Errors
    /// Where the folder holds something else or a newer format, or can't be written.
    pub fn open(root: impl AsRef<Path>) -> Result<Store, StoreError> {
        let disk = Disk::open(root.as_ref(), true)?;
        Ok(Store::of(Arc::new(disk), None, Notes::default()))
    }

    /// Opens the store in this folder, which must be one; it may be read only.
    ///
    /// # Errors
    /// As [`Store::open`], and where there is none.
    pub fn open_existing(root: impl AsRef<Path>) -> Result<Store, StoreError> {
        let disk = Disk::open(root.as_ref(), false)?;
        Ok(Store::of(Arc::new(disk), None, Notes::default()))
    }

    pub(crate) fn of(disk: Arc<Disk>, remote: Option<Remote>, remote_notes: Notes) -> Store {
        Store {
            shared: Arc::new(Shared {
                disk,
                remote,
                remote_notes,
                committer: OnceLock::new(),
                sweeper: Sweeper::default(),
            }),
        }
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        self.disk().root()
    }

    pub(crate) fn disk(&self) -> &Arc<Disk> {
        &self.shared.disk
    }

    pub(crate) fn remote(&self) -> Option<&Remote> {
        self.shared.remote.as_ref()
    }

    pub(crate) fn notes(&self) -> &Notes {
        &self.shared.remote_notes
    }

    pub(crate) fn sweeper(&self) -> &Sweeper {
        &self.shared.sweeper
    }

    pub(crate) fn committer(&self) -> &Committer {
        let start = || Committer::start(self.shared.disk.clone());
        self.shared.committer.get_or_init(start)
    }

    /// The committer, if any record was committed yet.
    pub(crate) fn running_committer(&self) -> Option<&Committer> {
        self.shared.committer.get()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_store_is_made_once_and_opened_by_many() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a").join("b");
        assert!(matches!(
            Store::open_existing(&root),
            Err(StoreError::NotFound { .. })
        ));
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| Store::open(&root).unwrap()))
                .collect();
            threads
                .into_iter()
                .for_each(|thread| drop(thread.join().unwrap()));
        });
        let text = fs::read_to_string(root.join("format")).unwrap();
        assert_eq!(text, "dermflow store 1\n");
        Store::open_existing(&root).unwrap();
    }

    #[test]
    fn a_newer_store_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("format"), "dermflow store 2\n").unwrap();
        for error in [
            Store::open(folder.path()).unwrap_err(),
            Store::open_existing(folder.path()).unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::NewerFormat { .. }));
            assert!(error.to_string().contains("dermflow store 2"), "{error}");
            assert!(error.to_string().contains("nothing was touched"), "{error}");
        }
        assert_eq!(crate::find::names_in(folder.path()), ["format"]);
    }

    #[test]
    fn a_folder_of_other_things_is_no_store() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
        for opened in [Store::open(folder.path()), Store::open_existing(folder.path())] {
            assert!(matches!(opened, Err(StoreError::NotAStore { .. })));
        }
        assert_eq!(crate::find::names_in(folder.path()), ["thesis.txt"]);
    }

    #[test]
    fn a_store_that_can_only_be_read_is_read() {
        let (_folder, store) = crate::testing::store();
        let blob = store.put_bytes(b"x").unwrap();
        let root = store.root().to_path_buf();
        drop(store);
        fs::remove_file(root.join("gc.lock")).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o555)).unwrap();
        let read = Store::open_existing(&root).and_then(|store| store.read_blob(&blob));
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(read.unwrap(), b"x");
    }
}
