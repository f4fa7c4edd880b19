//! Small indexes: the latest action of a map's family, the newest journal of a pipeline. Each
//! can be lost at the cost of some work.

use std::io;
use std::path::Path;

use dermflow_core::{Digest, Key};

use crate::Store;
use crate::error::StoreError;
use crate::journal::JournalName;
use crate::shelf::Shelf;

impl Store {
    /// Remembers the latest action of a family (see [`dermflow_core::Manifest::family`]).
    ///
    /// # Errors
    /// Where the disk is full or can't be written.
    pub fn set_family(&self, family: &Digest, key: &Key) -> Result<(), StoreError> {
        self.disk().write_family(family, key)
    }

    /// The latest action of a family, if it is known here or in the remote. Its record may be gone.
    pub fn get_family(&self, family: &Digest) -> Option<Key> {
        let own = self.disk().read_family(family);
        own.or_else(|| self.remote()?.family(family))
    }

    /// Remembers the newest journal of a pipeline's cell.
    ///
    /// # Errors
    /// Where the disk is full or can't be written.
    pub fn set_latest(&self, pipeline: &Digest, journal: &JournalName) -> Result<(), StoreError> {
        let path = self.disk().at("latest").join(pipeline.hex());
        self.disk().replace(&path, journal.as_str().as_bytes(), 0o644)
    }

    /// The newest journal of a pipeline's cell, if it is known and still there.
    pub fn get_latest(&self, pipeline: &Digest) -> Option<JournalName> {
        let path = self.disk().at("latest").join(pipeline.hex());
        let name = JournalName::parse(&read_word(&path).ok()?)?;
        name.exists_in(self.disk()).then_some(name)
    }
}

/// The content of an index file: one short word.
pub(crate) fn read_word(path: &Path) -> io::Result<String> {
    let text = std::fs::read(path)?;
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    Ok(text.trim_end().to_string())
}
