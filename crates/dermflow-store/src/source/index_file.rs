//! The file `sources`: a header, entries in order of their paths, and a checksum.
//!
//! `dermflow sources 1\n`, then for each entry the path's length (4 bytes), device, inode,
//! size, modified, changed, recorded (8 bytes each), digest (32 bytes) and path, all little
//! endian; at the end the blake3 of everything before. The file is searched as it lies in
//! memory: a run that asks for one file doesn't pay for fifty thousand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use dermflow_core::Digest;

use crate::disk::{Disk, with_parent};
use crate::error::StoreError;
use crate::stat::Stat;

const HEADER: &[u8] = b"dermflow sources 1\n";
const FIXED: usize = 4 + 6 * 8 + 32;

/// A digest, and what the file was when it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) stat: Stat,
    /// When reading began.
    pub(super) recorded: i64,
    pub(super) digest: Digest,
}

impl Entry {
    /// Whether a file that looks like `stat` has this digest for certain.
    pub(super) fn holds_for(&self, stat: &Stat) -> bool {
        self.stat == *stat && stat.is_settled(self.recorded)
    }
}

/// The entries that were on disk.
#[derive(Debug, Default)]
pub(super) struct IndexFile {
    bytes: Vec<u8>,
    /// Where each entry starts.
    starts: Vec<usize>,
}

impl IndexFile {
    /// What the file holds; nothing if it is missing, damaged or of another version.
    pub(super) fn read(path: &Path) -> IndexFile {
        let bytes = std::fs::read(path).unwrap_or_default();
        IndexFile::parse(bytes).unwrap_or_default()
    }

    fn parse(mut bytes: Vec<u8>) -> Option<IndexFile> {
        let body = bytes.len().checked_sub(32)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_rayon(&bytes[..body]);
        if !bytes.starts_with(HEADER) || hasher.finalize().as_bytes() != &bytes[body..] {
            return None;
        }
        bytes.truncate(body);
        let mut starts = Vec::with_capacity(body / 160);
        let mut at = HEADER.len();
        while at < body {
            starts.push(at);
            let length = u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
            at = at.checked_add(FIXED)?.checked_add(length as usize)?;
        }
        (at == body).then_some(IndexFile { bytes, starts })
    }

    fn path(&self, number: usize) -> &[u8] {
        // `parse` saw that entries follow each other up to the end.
        let start = self.starts[number] + FIXED;
        let end = self.starts.get(number + 1).copied().unwrap_or(self.bytes.len());
        &self.bytes[start..end]
    }

    fn entry(&self, number: usize) -> Entry {
        let start = self.starts[number] + 4;
        let word = |at: usize| -> [u8; 8] {
            let bytes = &self.bytes[start + 8 * at..][..8];
            // Eight bytes were taken.
            bytes.try_into().unwrap_or_default()
        };
        let digest = &self.bytes[start + 48..][..32];
        Entry {
            stat: Stat {
                device: u64::from_le_bytes(word(0)),
                inode: u64::from_le_bytes(word(1)),
                size: u64::from_le_bytes(word(2)),
                modified: i64::from_le_bytes(word(3)),
                changed: i64::from_le_bytes(word(4)),
            },
            recorded: i64::from_le_bytes(word(5)),
            digest: Digest::from_bytes(digest.try_into().unwrap_or_default()),
        }
    }

    /// The entry of this path.
    pub(super) fn get(&self, path: &[u8]) -> Option<Entry> {
        let (mut low, mut high) = (0, self.starts.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.path(middle).cmp(path) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(self.entry(middle)),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// The paths whose entries have one of these digests.
    pub(super) fn files_of(&self, digests: &BTreeSet<Digest>) -> Vec<(PathBuf, Digest)> {
        let numbers = 0..self.starts.len();
        let wanted = numbers.filter_map(|number| {
            let digest = self.entry(number).digest;
            let path = std::ffi::OsString::from_vec(self.path(number).to_vec());
            digests.contains(&digest).then(|| (PathBuf::from(path), digest))
        });
        wanted.collect()
    }

    /// Whether a file is there and is no index.
    pub(super) fn is_damaged(path: &Path) -> bool {
        std::fs::read(path).is_ok_and(|bytes| IndexFile::parse(bytes).is_none())
    }

    fn all(&self) -> BTreeMap<PathBuf, Entry> {
        let numbers = 0..self.starts.len();
        numbers
            .map(|number| {
                let path = std::ffi::OsString::from_vec(self.path(number).to_vec());
                (PathBuf::from(path), self.entry(number))
            })
            .collect()
    }
}

/// Adds entries to the file; of two for one path the later stays.
pub(super) fn merge_into(disk: &Disk, changed: &BTreeMap<PathBuf, Entry>) -> Result<(), StoreError> {
    rewrite(disk, |all| {
        for (path, entry) in changed {
            let kept = all.entry(path.clone()).or_insert(*entry);
            if kept.recorded < entry.recorded {
                *kept = *entry;
            }
        }
        true
    })
}

/// Keeps the entries whose path and digest pass; how many went.
pub(super) fn retain(disk: &Disk, keep: impl Fn(&Path, &Digest) -> bool) -> Result<usize, StoreError> {
    let mut gone = 0;
    rewrite(disk, |all| {
        let before = all.len();
        all.retain(|path, entry| keep(path, &entry.digest));
        gone = before - all.len();
        gone > 0
    })?;
    Ok(gone)
}

/// Reads, changes and writes the file, alone; not written where `change` says so.
fn rewrite(
    disk: &Disk,
    change: impl FnOnce(&mut BTreeMap<PathBuf, Entry>) -> bool,
) -> Result<(), StoreError> {
    let path = disk.at("sources.lock");
    let open = || {
        OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
    };
    let lock = with_parent(&path, open).map_err(|error| StoreError::io("opening", &path, error))?;
    lock.lock()
        .map_err(|error| StoreError::io("locking", &path, error))?;
    let place = disk.at("sources");
    let mut all = IndexFile::read(&place).all();
    match change(&mut all) {
        true => disk.replace(&place, &encode(&all), 0o644),
        false => Ok(()),
    }
}

fn encode(all: &BTreeMap<PathBuf, Entry>) -> Vec<u8> {
    let mut sorted: Vec<(&[u8], &Entry)> = all
        .iter()
        .map(|(path, entry)| (path.as_os_str().as_bytes(), entry))
        .collect();
    // Paths compare part by part, the search byte by byte.
    sorted.sort_unstable_by_key(|(path, _)| *path);
    let mut bytes = HEADER.to_vec();
    for (path, entry) in sorted {
        // A longer path than the operating system knows can't have been asked for.
        bytes.extend((path.len() as u32).to_le_bytes());
        let stat = &entry.stat;
        for word in [stat.device, stat.inode, stat.size] {
            bytes.extend(word.to_le_bytes());
        }
        for word in [stat.modified, stat.changed, entry.recorded] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(entry.digest.as_bytes());
        bytes.extend(path);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_rayon(&bytes);
    bytes.extend(hasher.finalize().as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: i64) -> Entry {
        Entry {
            stat: Stat {
                device: 1,
                inode: number as u64,
                size: 3,
                modified: number,
                changed: -number,
            },
            recorded: number,
            digest: Digest::of(&number.to_le_bytes()),
        }
    }

    #[test]
    fn every_entry_is_found_and_no_other() {
        let paths = ["/a/b", "/a.b", "/a", "/a/b/c", "/é", "/z"];
        let all: BTreeMap<PathBuf, Entry> = (0..)
            .zip(paths)
            .map(|(n, path)| (path.into(), entry(n)))
            .collect();
        let file = IndexFile::parse(encode(&all)).unwrap();
        for (number, path) in (0..).zip(paths) {
            assert_eq!(file.get(path.as_bytes()), Some(entry(number)));
        }
        assert_eq!(file.get(b"/a/"), None);
        assert_eq!(file.all(), all);
    }

    #[test]
    fn any_damage_leaves_an_empty_index() {
        let all = BTreeMap::from([(PathBuf::from("/a"), entry(1)), (PathBuf::from("/b"), entry(2))]);
        let whole = encode(&all);
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            assert!(IndexFile::parse(flipped).is_none(), "byte {at}");
            assert!(IndexFile::parse(whole[..at].to_vec()).is_none(), "length {at}");
        }
    }
}
