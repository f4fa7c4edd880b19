//! The folder of a store: where things lie, its format, and how files get in whole.
//!
//! Knows paths and renames; not what a record or a table is.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dermflow_core::{BlobRef, Digest, Key};

use crate::early_sync::EarlySync;
use crate::error::StoreError;

/// What the file `format` says.
pub(crate) const FORMAT: &str = "dermflow store 1";

/// How long to wait for a process that cleans the store.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long to wait for one that cleans a store that can be done without.
const SHORT_PATIENCE: Duration = Duration::from_secs(5);

/// A store's folder, as all parts of this crate share it.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    /// Keeps names apart that several processes make in one folder.
    nonce: u64,
    counter: AtomicU64,
    /// Blobs that this process wrote or verified.
    pub(crate) trusted: Mutex<HashSet<Digest>>,
    /// Blobs that this process wrote and that a power cut could still take.
    pub(crate) unsynced: Mutex<HashSet<Digest>>,
    /// Begins with large ones before their record asks.
    pub(crate) early_sync: EarlySync,
    /// Held shared for as long as the store is open; `None` where the folder can't be written.
    pub(crate) users: Option<File>,
}

impl Disk {
    /// Opens the folder, and makes it if it is missing and `create` says so.
    pub(crate) fn open(root: &Path, create: bool) -> Result<Disk, StoreError> {
        if create {
            fs::create_dir_all(root).map_err(|error| StoreError::io("creating", root, error))?;
        }
        let nonce = nonce();
        check_format(root, create.then_some(nonce))?;
        let users = join_users(root, PATIENCE)?;
        Ok(Disk::joined(root, nonce, users))
    }

    /// Opens a folder on a share, which must be there, as a store that can be done without.
    pub(crate) fn open_shared(root: &Path, create: bool) -> Result<Disk, StoreError> {
        let nonce = nonce();
        check_format(root, create.then_some(nonce))?;
        let users = match join_users(root, SHORT_PATIENCE) {
            // Some shares know no locks: a clean-up there is for who knows that nobody runs.
            Err(StoreError::Io {
                action: "locking", ..
            }) => None,
            other => other?,
        };
        Ok(Disk::joined(root, nonce, users))
    }

    fn joined(root: &Path, nonce: u64, users: Option<File>) -> Disk {
        Disk {
            root: root.to_path_buf(),
            nonce,
            counter: AtomicU64::new(0),
            trusted: Mutex::default(),
            unsynced: Mutex::default(),
            early_sync: EarlySync::default(),
            users,
        }
    }

    /// The store's folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A folder or file directly below the root.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// `folder/ab/cdef…` with an ending such as `.json`.
    pub(crate) fn sharded(&self, folder: &str, digest: &Digest, ending: &str) -> PathBuf {
        let hex = digest.hex();
        let root = self.root.as_os_str();
        let mut path = std::ffi::OsString::with_capacity(root.len() + folder.len() + ending.len() + 70);
        path.push(root);
        for part in ["/", folder, "/", &hex[..2], "/", &hex[2..], ending] {
            path.push(part);
        }
        path.into()
    }

    /// Where a blob lies.
    pub(crate) fn blob_path(&self, blob: &BlobRef) -> PathBuf {
        self.sharded("blobs", &blob.digest, "")
    }

    /// Where the record of an action lies.
    pub(crate) fn record_path(&self, key: &Key) -> PathBuf {
        self.sharded("actions", &key.digest(), ".json")
    }

    /// A name that no other process or thread uses.
    pub(crate) fn unique(&self) -> String {
        format!(
            "{:016x}-{}",
            self.nonce,
            self.counter.fetch_add(1, Ordering::Relaxed)
        )
    }

    /// A new file in `tmp/`, removed again unless it is placed.
    pub(crate) fn temporary(&self, mode: u32) -> Result<(File, Temporary), StoreError> {
        let path = self.at("tmp").join(self.unique());
        let create = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&path)
        };
        let file = with_parent(&path, create).map_err(|error| StoreError::io("creating", &path, error))?;
        Ok((file, Temporary(path)))
    }

    /// Writes a small file whole: a reader sees the old content or the new, never a part.
    pub(crate) fn replace(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
        let (mut file, temporary) = self.temporary(mode)?;
        file.write_all(bytes)
            .map_err(|error| full_or(path, error, bytes.len()))?;
        drop(file);
        temporary.place(path)
    }

    /// As [`Disk::replace`], and a power cut can't take it back.
    pub(crate) fn replace_durably(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let (mut file, temporary) = self.temporary(0o644)?;
        file.write_all(bytes)
            .and_then(|()| file.sync_all())
            .map_err(|error| full_or(path, error, bytes.len()))?;
        temporary.place(path)
    }

    /// Writes a read-only file whole unless something is there; `false` if so.
    pub(crate) fn write_new(&self, path: &Path, bytes: &[u8]) -> Result<bool, StoreError> {
        let (mut file, temporary) = self.temporary(0o444)?;
        file.write_all(bytes)
            .map_err(|error| full_or(path, error, bytes.len()))?;
        drop(file);
        temporary.place_new(path)
    }

    /// Moves what lies at `path` to `damaged/`, with a file that says why. What can't be moved
    /// (a store that is read only) stays: it is refused again next time.
    pub(crate) fn move_to_damaged(&self, path: &Path, name: &str, reason: &str) {
        let place = self.at("damaged").join(format!("{name}.{}", self.unique()));
        let moved = with_parent(&place, || fs::rename(path, &place));
        if moved.is_ok() {
            let mut note = place.into_os_string();
            note.push(".reason");
            // The reason is for people; the damage is dealt with whether or not it is written.
            let _ = fs::write(note, format!("{}: {reason}\n", path.display()));
        }
    }
}

/// Each RandomState is seeded anew; no random-number crate is needed for a name.
fn nonce() -> u64 {
    let state = std::collections::hash_map::RandomState::new();
    state.build_hasher().finish()
}

/// A file in `tmp/` on its way to its place.
#[derive(Debug)]
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    /// A file that the caller made elsewhere in the store.
    pub(crate) fn taken(path: PathBuf) -> Temporary {
        Temporary(path)
    }

    /// Where it lies until it is placed.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Renames it to `place`; what was there is replaced.
    pub(crate) fn place(mut self, place: &Path) -> Result<(), StoreError> {
        let from = std::mem::take(&mut self.0);
        with_parent(place, || fs::rename(&from, place)).map_err(|error| {
            let _ = fs::remove_file(&from);
            StoreError::io("placing", place, error)
        })
    }

    /// Renames it to `place` unless something is there; `false` if so.
    pub(crate) fn place_new(mut self, place: &Path) -> Result<bool, StoreError> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        let rename = || match renameat_with(CWD, &self.0, CWD, place, RenameFlags::NOREPLACE) {
            // Network file systems may lack it; a hard link is as atomic.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                fs::hard_link(&self.0, place).map(|()| false)
            }
            other => Ok(other.map(|()| true)?),
        };
        match with_parent(place, rename) {
            Ok(renamed) => {
                if renamed {
                    self.0.clear();
                }
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(StoreError::io("placing", place, error)),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // Gone already if it was placed by rename.
            let _ = fs::remove_file(&self.0);
        }
    }
}

/// Does something to `path`; if its folder is missing, makes that and tries again. Folders are
/// made only where they are needed, so that no call pays for those that exist.
pub(crate) fn with_parent<T>(path: &Path, action: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match action() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            action()
        }
        other => other,
    }
}

/// A write that failed: a full disk says how much was to be written.
pub(crate) fn full_or(path: &Path, error: io::Error, needed: usize) -> StoreError {
    match StoreError::io("writing", path, error) {
        StoreError::Full { path, free, .. } => StoreError::Full {
            path,
            needed: Some(needed as u64),
            free,
        },
        other => other,
    }
}

/// Reads the `format` file; writes it first where the folder is empty and may be made a store,
/// by way of a draft that `create` tells from those of others.
fn check_format(root: &Path, create: Option<u64>) -> Result<(), StoreError> {
    let path = root.join("format");
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(nonce) = create
                && holds_nothing_else(root)?
            {
                return write_format(root, nonce);
            }
            return Err(match root.exists() {
                true => StoreError::NotAStore {
                    path: root.to_path_buf(),
                },
                false => StoreError::NotFound {
                    what: format!("store at {}", root.display()),
                },
            });
        }
        Err(error) => return Err(StoreError::io("reading", &path, error)),
    };
    match text.trim_end() == FORMAT {
        true => Ok(()),
        false => Err(StoreError::NewerFormat {
            path: root.to_path_buf(),
            found: text.trim_end().chars().take(80).collect(),
        }),
    }
}

/// Whether a folder is empty, but for what another process leaves that makes it a store now.
fn holds_nothing_else(root: &Path) -> Result<bool, StoreError> {
    let read = |error| StoreError::io("reading", root, error);
    for entry in fs::read_dir(root).map_err(read)? {
        let name = entry.map_err(read)?.file_name();
        if !name.to_string_lossy().starts_with("format") {
            // It may have become a store meanwhile.
            return Ok(root.join("format").exists());
        }
    }
    Ok(true)
}

fn write_format(root: &Path, nonce: u64) -> Result<(), StoreError> {
    let draft = root.join(format!("format.{nonce:016x}"));
    let write = || {
        let mut file = File::create(&draft)?;
        writeln!(file, "{FORMAT}")?;
        // Once in a store's life: a power cut must not leave it without a format.
        file.sync_all()?;
        fs::rename(&draft, root.join("format"))
    };
    write().map_err(|error| StoreError::io("writing", &draft, error))
}

/// Opens `gc.lock` and holds it shared, so that a clean-up knows of its users.
fn join_users(root: &Path, patience: Duration) -> Result<Option<File>, StoreError> {
    let path = root.join("gc.lock");
    let opened = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(&path);
    let file = match opened.or_else(|_| File::open(&path)) {
        Ok(file) => file,
        // A store that can't be written and that nobody locked: there is nothing to clean.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(StoreError::io("opening", &path, error)),
    };
    let start = Instant::now();
    loop {
        match file.try_lock_shared() {
            Ok(()) => return Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) if start.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(fs::TryLockError::WouldBlock) => {
                return Err(StoreError::InUse {
                    path: root.to_path_buf(),
                });
            }
            Err(fs::TryLockError::Error(error)) => return Err(StoreError::io("locking", &path, error)),
        }
    }
}
