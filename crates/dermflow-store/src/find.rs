//! Finding things by the first digits of their digest.

use std::path::Path;

use dermflow_core::{BlobRef, Digest, Key};

use crate::Store;
use crate::error::StoreError;

/// Something that a prefix names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// An artifact: the output of an action at a port. Several actions may have made it.
    Artifact {
        /// The artifact's name.
        name: Digest,
        /// The action.
        key: Key,
        /// The port.
        port: String,
    },
    /// An action.
    Action(Key),
    /// A blob.
    Blob(BlobRef),
}

impl Store {
    /// Everything whose digest starts with these hexadecimal digits, four at least.
    ///
    /// # Errors
    /// Where it is no prefix of a digest, or a record can't be read.
    pub fn find_artifact(&self, prefix: &str) -> Result<Vec<Found>, StoreError> {
        let hexadecimal = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        if !(4..=64).contains(&prefix.len()) || !prefix.bytes().all(hexadecimal) {
            let shown: String = prefix.chars().take(80).collect();
            return Err(StoreError::invalid(format!(
                "`{shown}` names no digest: 4 to 64 digits out of 0-9 and a-f are expected"
            )));
        }
        let mut found = Vec::new();
        for key in self.records() {
            if key.hex().starts_with(prefix) {
                found.push(Found::Action(key));
            }
            let Some(record) = self.get_record(&key)? else {
                continue;
            };
            for (port, artifact) in record.outputs {
                let name = artifact.name();
                if name.hex().starts_with(prefix) {
                    found.push(Found::Artifact { name, key, port });
                }
            }
        }
        for digest in digests_in(&self.disk().at("blobs"), "") {
            if digest.hex().starts_with(prefix) {
                let path = self.disk().blob_path(&BlobRef { digest, bytes: 0 });
                let bytes = std::fs::symlink_metadata(path).map_or(0, |blob| blob.len());
                found.push(Found::Blob(BlobRef { digest, bytes }));
            }
        }
        found.sort();
        Ok(found)
    }
}

/// The digests that name files in a folder laid out as `ab/cdef…`, in order. Names that are
/// no digests are passed over.
pub(crate) fn digests_in(folder: &Path, ending: &str) -> Vec<Digest> {
    let mut digests = Vec::new();
    for shard in names_in(folder) {
        for name in names_in(&folder.join(&shard)) {
            if let Some(rest) = name.strip_suffix(ending)
                && let Ok(digest) = format!("{shard}{rest}").parse()
            {
                digests.push(digest);
            }
        }
    }
    digests.sort_unstable();
    digests
}

/// The names in a folder; none if there is no such folder.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    names.sort_unstable();
    names
}
