//! [`SampleId`]: whose row it is. In every table, sorted, and the unit of tracing,
//! of forgetting and of incremental work.

use std::fmt;
use std::str::FromStr;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, FixedSizeBinaryArray, StringArray};
use serde::{Deserialize, Serialize};

use crate::digest::{Digest, NotADigest};

/// Names one sample. For an image it is the blake3 of the file's bytes; for a table without
/// images it is derived from a key column.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SampleId(Digest);

impl SampleId {
    /// The smallest id.
    pub const MIN: SampleId = SampleId(Digest::from_bytes([0; 32]));

    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> SampleId {
        SampleId(Digest::from_bytes(bytes))
    }

    /// The id of a file with this content.
    pub fn of_content(bytes: &[u8]) -> SampleId {
        SampleId(Digest::of(bytes))
    }

    /// The id of the file whose blake3 is `digest`.
    pub const fn of_content_digest(digest: Digest) -> SampleId {
        SampleId(digest)
    }

    /// The id of the row that a table's key column calls `key`.
    pub fn of_key(key: &str) -> SampleId {
        SampleId(Digest::derive("dermflow sample key v1", key.as_bytes()))
    }

    /// The 32 bytes, as they stand in a `sample_id` column.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// True where a partition with 2^`bits` rows on average ends after this sample.
    ///
    /// The choice depends on the id alone, so adding or removing other rows moves no border.
    /// The bytes are mixed first: ids that a user made by counting spread as well as hashes do.
    pub fn ends_partition(&self, bits: u32) -> bool {
        let mut mixed = 0x9e37_79b9_7f4a_7c15_u64;
        for word in self.as_bytes().chunks_exact(8) {
            // chunks_exact(8) yields 8 bytes, so the conversion can't fail.
            let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
            mixed = (mixed ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed ^= mixed >> 29;
        }
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        mixed.trailing_zeros() >= bits
    }
}

impl fmt::Display for SampleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SampleId {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<SampleId, NotADigest> {
        text.parse().map(SampleId)
    }
}

/// Sample ids as the column that tables hold.
pub fn sample_ids(ids: &[SampleId]) -> ArrayRef {
    let bytes: Vec<u8> = ids.iter().flat_map(|id| *id.as_bytes()).collect();
    Arc::new(FixedSizeBinaryArray::new(32, bytes.into(), None))
}

/// A column of sample ids as text for people: the hexadecimal digits of the first `bytes`
/// bytes of each, 32 for all.
pub fn sample_ids_as_text(ids: &FixedSizeBinaryArray, bytes: usize) -> StringArray {
    let hex = |row: usize| -> String {
        let shown = ids.value(row).iter().take(bytes);
        shown.map(|byte| format!("{byte:02x}")).collect()
    };
    (0..ids.len())
        .map(|row| (!ids.is_null(row)).then(|| hex(row)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_fall_as_often_as_they_should_for_hashes_and_for_counted_ids() {
        for counted in [false, true] {
            let borders = (0..65_536_u64)
                .filter(|number| {
                    let mut bytes = [0; 32];
                    bytes[24..].copy_from_slice(&number.to_be_bytes());
                    let id = match counted {
                        true => SampleId::from_bytes(bytes),
                        false => SampleId::of_key(&number.to_string()),
                    };
                    id.ends_partition(8)
                })
                .count();
            assert!((180..340).contains(&borders), "{borders} borders, 256 expected");
        }
    }
}
