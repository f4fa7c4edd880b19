//! [`Shelf`]: where blobs and records lie by their names, whatever that place is. The one trait
//! that the parts of a shared store are made of:
//!
//! * a store's folder, on this disk or on a mounted share (`folder`), which believes what it reads;
//! * [`Verified`] around another shelf, which believes nothing;
//! * [`crate::remote::Remote`], one shelf behind the store's own.
//!
//! A shelf knows names and bytes; not what a table or a pipeline is.

mod folder;
mod verified;

use std::fmt::Debug;
use std::io::Read;

use dermflow_core::{BlobRef, Digest, Key};

use crate::error::StoreError;

pub(crate) use verified::Verified;

/// Takes bytes as they come.
pub(crate) type Bytes<'a> = dyn FnMut(&[u8]) -> Result<(), StoreError> + 'a;

/// Blobs and records by their names. What is written becomes visible whole or not at all, however
/// many write at once and whenever one of them is killed.
pub(crate) trait Shelf: Debug + Send + Sync {
    /// Whether a blob seems to be there: something of its size.
    ///
    /// # Errors
    /// Where that can't be told.
    fn has_blob(&self, blob: &BlobRef) -> Result<bool, StoreError>;

    /// Gives the bytes of a blob, or `false` where it is not there.
    ///
    /// # Errors
    /// Where it can't be read, or what `take` says.
    fn read_blob(&self, blob: &BlobRef, take: &mut Bytes<'_>) -> Result<bool, StoreError>;

    /// Keeps a blob. One that is there already may be replaced by the same.
    ///
    /// # Errors
    /// Where it can't be written, or `from` fails; nothing is kept then.
    fn write_blob(&self, blob: &BlobRef, from: &mut dyn Read) -> Result<(), StoreError>;

    /// Makes blobs that were written here outlive a power cut.
    ///
    /// # Errors
    /// Where that fails.
    fn make_durable(&self, blobs: &[Digest]) -> Result<(), StoreError>;

    /// Takes away what lies in the place of a blob and is not it, where it may.
    fn discard_blob(&self, blob: &BlobRef, reason: &str);

    /// Whether something is filed under a key.
    ///
    /// # Errors
    /// Where that can't be told.
    fn has_record(&self, key: &Key) -> Result<bool, StoreError>;

    /// What is filed under a key, whatever it is.
    ///
    /// # Errors
    /// Where it is there and can't be read.
    fn read_record(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError>;

    /// Files this unless something is there; `false` if so.
    ///
    /// # Errors
    /// Where it can't be written.
    fn write_record(&self, key: &Key, bytes: &[u8]) -> Result<bool, StoreError>;

    /// Takes away what is filed under a key and is no answer, where it may.
    fn discard_record(&self, key: &Key, reason: &str);

    /// The latest action of a family, if one is known.
    fn read_family(&self, family: &Digest) -> Option<Key>;

    /// Remembers the latest action of a family.
    ///
    /// # Errors
    /// Where it can't be written.
    fn write_family(&self, family: &Digest, key: &Key) -> Result<(), StoreError>;
}
