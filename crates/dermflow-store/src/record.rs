//! Records: read with suspicion, written once.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use dermflow_core::{Artifact, Key, Record};

use crate::Store;
use crate::blob::open_regular;
use crate::disk::Disk;
use crate::error::StoreError;
use crate::stat::Stat;

#[cfg(test)]
mod tests;

/// A record that claims to be larger is no record.
const LARGEST: u64 = 64 << 20;

/// What became of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum PutOutcome {
    /// There was none under its key.
    New,
    /// One with the same artifacts was there; it stays, unless its blobs are gone.
    Same,
    /// This one, with other artifacts, was there: the kind is not deterministic. It stays,
    /// unless its blobs are gone; [`Store::get_record`] tells which one stands.
    Different(Box<Record>),
}

impl Store {
    /// The record under this key. One that is damaged, or that isn't what it says, is set
    /// aside and counts as missing.
    ///
    /// # Errors
    /// Where the file can't be read though it is there.
    pub fn get_record(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        load(self.disk(), key)
    }

    /// Whether every blob of every output is there. Cheap: sizes, not contents.
    pub fn is_complete(&self, record: &Record) -> bool {
        is_complete(self.disk(), record)
    }

    /// What `stat` says of the file of a record; `None` where there is none. For an index of
    /// records: one that looks the same, and was settled when it was read, is the same.
    pub fn record_stat(&self, key: &Key) -> Option<Stat> {
        let path = self.disk().sharded("actions", &key.digest(), ".json");
        let metadata = fs::symlink_metadata(path).ok()?;
        metadata.is_file().then(|| Stat::of(&metadata))
    }

    /// Sets the record under this key aside, so that its action runs again.
    pub fn invalidate_record(&self, key: &Key, reason: &str) {
        set_aside(self.disk(), key, reason);
    }

    /// The keys of all records, in order.
    pub fn records(&self) -> impl Iterator<Item = Key> + use<> {
        crate::find::digests_in(&self.disk().at("actions"), ".json")
            .into_iter()
            .filter_map(|digest| digest.hex().parse().ok())
    }
}

pub(crate) fn load(disk: &Disk, key: &Key) -> Result<Option<Record>, StoreError> {
    let path = disk.sharded("actions", &key.digest(), ".json");
    let bytes = match read(&path) {
        Ok(bytes) => bytes,
        Err(Unread::Missing) => return Ok(None),
        Err(Unread::Error(error)) => return Err(error),
        Err(Unread::Refused(reason)) => {
            set_aside(disk, key, &reason);
            return Ok(None);
        }
    };
    match parse(&bytes, key) {
        Ok(record) => Ok(Some(record)),
        Err(reason) => {
            set_aside(disk, key, &reason);
            Ok(None)
        }
    }
}

enum Unread {
    Missing,
    Refused(String),
    Error(StoreError),
}

fn read(path: &Path) -> Result<Vec<u8>, Unread> {
    let (mut file, metadata) = match open_regular(path, false) {
        Ok(opened) => opened,
        Err(StoreError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Unread::Missing);
        }
        Err(StoreError::Io { error, .. })
            if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) =>
        {
            return Err(Unread::Refused("it is a link, not a file".to_string()));
        }
        Err(StoreError::Invalid { message, .. }) => return Err(Unread::Refused(message)),
        Err(error) => return Err(Unread::Error(error)),
    };
    if metadata.len() > LARGEST {
        return Err(Unread::Refused(format!("it has {} bytes", metadata.len())));
    }
    // Records are never changed in place, so the size says how much there is to read.
    let mut bytes = vec![0; metadata.len() as usize];
    let filled = file.read_exact(&mut bytes);
    filled.map_err(|error| Unread::Error(StoreError::io("reading", path, error)))?;
    Ok(bytes)
}

/// A record from bytes that anybody may have written. (serde_json refuses deep nesting.)
fn parse(bytes: &[u8], key: &Key) -> Result<Record, String> {
    let record: Record =
        serde_json::from_slice(bytes).map_err(|error| format!("it is no record: {error}"))?;
    match record.manifest.key() {
        Ok(found) if found == *key => {}
        Ok(found) => return Err(format!("its manifest has the key {found}")),
        Err(error) => return Err(format!("its manifest has no key: {error}")),
    }
    for (port, artifact) in &record.outputs {
        artifact
            .validate()
            .map_err(|error| format!("its output `{port}` can't be true: {error}"))?;
    }
    Ok(record)
}

fn set_aside(disk: &Disk, key: &Key, reason: &str) {
    let path = disk.sharded("actions", &key.digest(), ".json");
    disk.move_to_damaged(&path, &format!("{key}.json"), reason);
}

fn is_complete(disk: &Disk, record: &Record) -> bool {
    let there = |blob| crate::blob::is_in_place(&disk.blob_path(blob), blob).is_ok();
    record.outputs.values().all(|artifact| match artifact {
        Artifact::Table(table) => table.partitions.iter().all(|partition| there(&partition.blob)),
        Artifact::Model(blob) => there(blob),
        Artifact::Files(files) => files.values().all(there),
    })
}

/// Writes a record to its place. The first one stays, but for one whose blobs are gone: it
/// answers nothing any more.
pub(crate) fn place_record(disk: &Disk, key: &Key, record: &Record) -> Result<PutOutcome, StoreError> {
    let path = disk.sharded("actions", &key.digest(), ".json");
    // Most keys are new, but a look is cheaper than a file written for nothing.
    let mut first = if path.exists() { load(disk, key)? } else { None };
    loop {
        if let Some(first) = first.take() {
            let complete = is_complete(disk, &first);
            let outcome = match artifacts(&first) == artifacts(record) {
                true => PutOutcome::Same,
                false => PutOutcome::Different(Box::new(first)),
            };
            if complete {
                return Ok(outcome);
            }
            set_aside(
                disk,
                key,
                "blobs that it names are gone, and its action ran again",
            );
            write(disk, &path, record)?;
            return Ok(outcome);
        }
        if write(disk, &path, record)? {
            return Ok(PutOutcome::New);
        }
        first = load(disk, key)?;
        if first.is_none() && fs::symlink_metadata(&path).is_ok() {
            return Err(StoreError::invalid(format!(
                "{} is in the way of a record and can't be moved",
                path.display()
            )));
        }
    }
}

fn write(disk: &Disk, path: &Path, record: &Record) -> Result<bool, StoreError> {
    let bytes = serde_json::to_vec(record)
        .map_err(|error| StoreError::invalid(format!("a record can't be written as JSON: {error}")))?;
    disk.write_new(path, &bytes)
}

/// What counts when two results are compared: the artifacts' names, port by port.
fn artifacts(record: &Record) -> Vec<(&String, dermflow_core::Digest)> {
    let outputs = record.outputs.iter();
    outputs.map(|(port, artifact)| (port, artifact.name())).collect()
}
