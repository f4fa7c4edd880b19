//! [`Both`]: remote behind local, as one shelf.

use std::io::Read;

use dermflow_core::{BlobRef, Digest, Key};

use super::far::Far;
use crate::disk::Disk;
use crate::error::StoreError;
use crate::shelf::{Bytes, Shelf};

/// What is in either is there; what is filed is filed here.
#[derive(Debug)]
pub(super) struct Both<'a> {
    pub near: &'a Disk,
    pub far: &'a Far,
}

impl Shelf for Both<'_> {
    fn has_blob(&self, blob: &BlobRef) -> Result<bool, StoreError> {
        Ok(self.near.has_blob(blob)? || self.far.offers_blob(blob)?)
    }

    fn read_blob(&self, blob: &BlobRef, take: &mut Bytes<'_>) -> Result<bool, StoreError> {
        self.far.fetch_blob(self.near, blob)?;
        self.near.read_blob(blob, take)
    }

    fn write_blob(&self, blob: &BlobRef, from: &mut dyn Read) -> Result<(), StoreError> {
        self.near.write_blob(blob, from)
    }

    fn make_durable(&self, blobs: &[Digest]) -> Result<(), StoreError> {
        self.near.make_durable(blobs)
    }

    fn discard_blob(&self, blob: &BlobRef, reason: &str) {
        self.near.discard_blob(blob, reason);
    }

    fn has_record(&self, key: &Key) -> Result<bool, StoreError> {
        self.near.has_record(key)
    }

    fn read_record(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.near.read_record(key)
    }

    fn write_record(&self, key: &Key, bytes: &[u8]) -> Result<bool, StoreError> {
        self.near.write_record(key, bytes)
    }

    fn discard_record(&self, key: &Key, reason: &str) {
        self.near.discard_record(key, reason);
    }

    fn read_family(&self, family: &Digest) -> Option<Key> {
        let near = self.near.read_family(family);
        near.or_else(|| self.far.shelf.read_family(family))
    }

    fn write_family(&self, family: &Digest, key: &Key) -> Result<(), StoreError> {
        self.near.write_family(family, key)
    }
}
