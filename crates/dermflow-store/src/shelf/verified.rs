//! [`Verified`]: a shelf around another, which looks at every byte that comes or goes.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use dermflow_core::{BlobRef, Digest, Key};

use super::{Bytes, Shelf};
use crate::error::StoreError;

/// Believes no blob of the shelf inside: bytes are hashed on their way, and what is not what its
/// name says is discarded, and not there any more even where it can't be taken away.
#[derive(Debug)]
pub(crate) struct Verified<S> {
    inside: S,
    /// Blobs that turned out to be wrong and that nobody wrote anew since.
    wrong: Mutex<BTreeSet<Digest>>,
}

impl<S: Shelf> Verified<S> {
    /// Around this one.
    pub(crate) fn new(inside: S) -> Verified<S> {
        Verified {
            inside,
            wrong: Mutex::default(),
        }
    }

    /// Whether any was found.
    pub(crate) fn has_wrong(&self) -> bool {
        !self.lock_wrong().is_empty()
    }

    /// Whether a blob of the shelf inside was found to be wrong, and is still not right.
    pub(crate) fn is_wrong(&self, digest: &Digest) -> bool {
        self.lock_wrong().contains(digest)
    }

    fn lock_wrong(&self) -> std::sync::MutexGuard<'_, BTreeSet<Digest>> {
        // A set of plain values is whole even where a thread panicked.
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Shelf> Shelf for Verified<S> {
    fn has_blob(&self, blob: &BlobRef) -> Result<bool, StoreError> {
        Ok(!self.is_wrong(&blob.digest) && self.inside.has_blob(blob)?)
    }

    fn read_blob(&self, blob: &BlobRef, take: &mut Bytes<'_>) -> Result<bool, StoreError> {
        if self.is_wrong(&blob.digest) {
            return Ok(false);
        }
        let mut seen = Seen::default();
        let there = self.inside.read_blob(blob, &mut |bytes| {
            seen.update(bytes);
            take(bytes)
        })?;
        match there && seen.blob() != *blob {
            false => Ok(there),
            true => {
                let reason = "has other bytes than its name says".to_string();
                self.lock_wrong().insert(blob.digest);
                self.inside.discard_blob(blob, &reason);
                Err(StoreError::Damaged { blob: *blob, reason })
            }
        }
    }

    fn write_blob(&self, blob: &BlobRef, from: &mut dyn Read) -> Result<(), StoreError> {
        let mut checked = Checked {
            from,
            wanted: *blob,
            seen: Seen::default(),
        };
        self.inside.write_blob(blob, &mut checked)?;
        self.lock_wrong().remove(&blob.digest);
        Ok(())
    }

    fn make_durable(&self, blobs: &[Digest]) -> Result<(), StoreError> {
        self.inside.make_durable(blobs)
    }

    fn discard_blob(&self, blob: &BlobRef, reason: &str) {
        self.inside.discard_blob(blob, reason);
    }

    fn has_record(&self, key: &Key) -> Result<bool, StoreError> {
        self.inside.has_record(key)
    }

    // What a record says is checked by who reads it: see `crate::record`.
    fn read_record(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.inside.read_record(key)
    }

    fn write_record(&self, key: &Key, bytes: &[u8]) -> Result<bool, StoreError> {
        self.inside.write_record(key, bytes)
    }

    fn discard_record(&self, key: &Key, reason: &str) {
        self.inside.discard_record(key, reason);
    }

    fn read_family(&self, family: &Digest) -> Option<Key> {
        self.inside.read_family(family)
    }

    fn write_family(&self, family: &Digest, key: &Key) -> Result<(), StoreError> {
        self.inside.write_family(family, key)
    }
}

/// What went by.
#[derive(Default)]
struct Seen {
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Seen {
    fn update(&mut self, bytes: &[u8]) {
        self.hasher.update_rayon(bytes);
        self.bytes += bytes.len() as u64;
    }

    fn blob(&self) -> BlobRef {
        BlobRef {
            digest: Digest::from(self.hasher.finalize()),
            bytes: self.bytes,
        }
    }
}

/// A reader that fails at its end where the bytes were others than those wanted.
struct Checked<'a> {
    from: &'a mut dyn Read,
    wanted: BlobRef,
    seen: Seen,
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.seen.update(&buffer[..read]);
        let ended = read == 0 && !buffer.is_empty();
        match ended && self.seen.blob() != self.wanted {
            true => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "other bytes came than the name of the blob says",
            )),
            false => Ok(read),
        }
    }
}
