//! Which records a remote is known to have, so that a run with nothing to do need not ask it.
//!
//! An index in the store here, one for each remote: keys, one a line. It can be thrown away: then
//! the remote is asked again.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use dermflow_core::{Digest, Key};

use crate::disk::{Disk, with_parent};

/// The index of one remote.
#[derive(Debug)]
pub(super) struct Known {
    path: PathBuf,
    keys: Mutex<HashSet<Key>>,
}

impl Known {
    /// Of the remote at `path`. One that was made anew in the same place is another.
    pub(super) fn read(near: &Disk, path: &Path) -> Known {
        let made = std::fs::metadata(path.join("format"));
        let made = made.map_or((0, 0), |metadata| (metadata.mtime(), metadata.mtime_nsec()));
        let identity = format!("{made:?} {}", path.display());
        let path = near
            .at("remotes")
            .join(Digest::derive("dermflow remote v1", identity.as_bytes()).hex());
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        // A line that was cut short is no key.
        let keys = text.lines().filter_map(|line| line.parse().ok()).collect();
        Known {
            path,
            keys: Mutex::new(keys),
        }
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(key)
    }

    pub(super) fn add(&self, key: &Key) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.insert(*key) {
            let open = || OpenOptions::new().append(true).create(true).open(&self.path);
            // Where it can't be written, the remote is asked once more next time.
            let _ = with_parent(&self.path, open)
                .and_then(|mut file| file.write_all(format!("{key}\n").as_bytes()));
        }
    }
}
