//! The folder of a store as a [`Shelf`]: on this disk, or on a share that is mounted.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use dermflow_core::{BlobRef, Digest, Key};

use super::{Bytes, Shelf};
use crate::blob::{is_in_place, open_regular};
use crate::disk::{Disk, full_or};
use crate::error::StoreError;
use crate::family::read_word;

/// How much is copied at a time.
const CHUNK: usize = 1 << 20;

/// A record that claims to be larger is no record, and none is written: one of files names each,
/// so that this holds some millions of them.
const LARGEST_RECORD: u64 = 1 << 30;

impl Shelf for Disk {
    fn has_blob(&self, blob: &BlobRef) -> Result<bool, StoreError> {
        Ok(is_in_place(&self.blob_path(blob), blob).is_ok())
    }

    fn read_blob(&self, blob: &BlobRef, take: &mut Bytes<'_>) -> Result<bool, StoreError> {
        let path = self.blob_path(blob);
        let mut file = match open_regular(&path, false) {
            Ok((file, _)) => file,
            Err(error) if is_missing(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut buffer = vec![0; CHUNK.min(usize::try_from(blob.bytes).unwrap_or(CHUNK) + 1)];
        // One that has more bytes than it should is no reason to read on without end.
        let mut left = blob.bytes.saturating_add(1);
        while left > 0 {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => {
                    take(&buffer[..read])?;
                    left = left.saturating_sub(read as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::io("reading", &path, error)),
            }
        }
        Ok(true)
    }

    fn write_blob(&self, blob: &BlobRef, from: &mut dyn Read) -> Result<(), StoreError> {
        let path = self.blob_path(blob);
        let needed = usize::try_from(blob.bytes).unwrap_or(usize::MAX);
        let (mut file, temporary) = self.temporary(0o444)?;
        let mut buffer = vec![0; CHUNK.min(needed.saturating_add(1))];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => {
                    let written = file.write_all(&buffer[..read]);
                    written.map_err(|error| full_or(&path, error, needed))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::io("reading what becomes", &path, error)),
            }
        }
        if fs::symlink_metadata(&path).is_ok_and(|there| there.is_dir()) {
            self.discard_blob(blob, "a folder lies where a blob belongs");
        }
        temporary.place(&path)
    }

    fn make_durable(&self, blobs: &[Digest]) -> Result<(), StoreError> {
        for digest in blobs {
            let path = self.sharded("blobs", digest, "");
            match File::open(&path).and_then(|file| file.sync_all()) {
                // Set aside meanwhile: what names it will be found incomplete.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::io("making durable", &path, error)),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn discard_blob(&self, blob: &BlobRef, reason: &str) {
        self.move_to_damaged(&self.blob_path(blob), &blob.digest.hex(), reason);
    }

    fn has_record(&self, key: &Key) -> Result<bool, StoreError> {
        Ok(fs::symlink_metadata(self.record_path(key)).is_ok())
    }

    fn read_record(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.record_path(key);
        match read_record(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Unread::Missing) => Ok(None),
            Err(Unread::Error(error)) => Err(error),
            Err(Unread::Refused(reason)) => {
                self.discard_record(key, &reason);
                Ok(None)
            }
        }
    }

    fn write_record(&self, key: &Key, bytes: &[u8]) -> Result<bool, StoreError> {
        // What would be refused when it is read is no result, however often it is computed.
        if bytes.len() as u64 > LARGEST_RECORD {
            return Err(StoreError::Invalid {
                message: format!(
                    "the record of this result has {} bytes, and a store takes {LARGEST_RECORD} at most",
                    bytes.len()
                ),
                help: Some(
                    "a result of very many files names each in its record: pack them into fewer".to_string(),
                ),
            });
        }
        self.write_new(&self.record_path(key), bytes)
    }

    fn discard_record(&self, key: &Key, reason: &str) {
        self.move_to_damaged(&self.record_path(key), &format!("{key}.json"), reason);
    }

    fn read_family(&self, family: &Digest) -> Option<Key> {
        let path = self.sharded("families", family, "");
        read_word(&path).ok()?.parse().ok()
    }

    fn write_family(&self, family: &Digest, key: &Key) -> Result<(), StoreError> {
        let path = self.sharded("families", family, "");
        self.replace(&path, key.hex().as_bytes(), 0o644)
    }
}

impl Disk {
    /// The bytes of a record's file, read without touching it, whatever is wrong with it.
    ///
    /// # Errors
    /// Why what lies there can't be a record, or can't be read.
    pub fn look_at_record(&self, key: &Key) -> Result<Option<Vec<u8>>, String> {
        match read_record(&self.record_path(key)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Unread::Missing) => Ok(None),
            Err(Unread::Refused(reason)) => Err(reason),
            Err(Unread::Error(error)) => Err(error.message()),
        }
    }
}

fn is_missing(error: &StoreError) -> bool {
    matches!(error, StoreError::Io { error, .. } if error.kind() == io::ErrorKind::NotFound)
}

/// Why a record's file was not read.
enum Unread {
    Missing,
    Refused(String),
    Error(StoreError),
}

fn read_record(path: &Path) -> Result<Vec<u8>, Unread> {
    let (mut file, metadata) = match open_regular(path, false) {
        Ok(opened) => opened,
        Err(error) if is_missing(&error) => return Err(Unread::Missing),
        Err(StoreError::Io { error, .. })
            if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) =>
        {
            return Err(Unread::Refused("it is a link, not a file".to_string()));
        }
        Err(StoreError::Invalid { message, .. }) => return Err(Unread::Refused(message)),
        Err(error) => return Err(Unread::Error(error)),
    };
    if metadata.len() > LARGEST_RECORD {
        return Err(Unread::Refused(format!("it has {} bytes", metadata.len())));
    }
    // Records are never changed in place, so the size says how much there is to read.
    let mut bytes = vec![0; metadata.len() as usize];
    let filled = file.read_exact(&mut bytes);
    filled.map_err(|error| Unread::Error(StoreError::io("reading", path, error)))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{key, store};

    #[test]
    fn a_record_that_would_be_refused_when_it_is_read_is_not_written() {
        let (_folder, store) = store();
        let largest = vec![0; LARGEST_RECORD as usize + 1];
        let error = store.disk().write_record(&key(1), &largest).unwrap_err();
        assert!(error.message().contains("1073741825 bytes"), "{error}");
        assert!(error.help().is_some());
        assert!(!store.disk().has_record(&key(1)).unwrap());
    }
}
