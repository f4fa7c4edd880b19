//! Records: read with suspicion, written once.

use std::fs;

use dermflow_core::{Artifact, BlobRef, Key, Record};

use crate::Store;
use crate::disk::Disk;
use crate::error::StoreError;
use crate::shelf::Shelf;
use crate::stat::Stat;

#[cfg(test)]
mod tests;

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
    /// aside and counts as missing. One that the remote has, with all that it names, is taken
    /// from there; its blobs follow when they are read.
    ///
    /// # Errors
    /// Where the file can't be read though it is there.
    pub fn get_record(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        match (load(&**self.disk(), key)?, self.remote()) {
            (None, Some(remote)) => remote.take_record(self.disk(), key),
            (found, _) => Ok(found),
        }
    }

    /// Whether every blob of every output is there, in the remote if not here. Cheap: sizes, not
    /// contents.
    pub fn is_complete(&self, record: &Record) -> bool {
        record
            .outputs
            .values()
            .all(|artifact| all_blobs(artifact, |blob| self.has_blob(blob)))
    }

    /// What `stat` says of the file of a record; `None` where there is none. For an index of
    /// records: one that looks the same, and was settled when it was read, is the same.
    pub fn record_stat(&self, key: &Key) -> Option<Stat> {
        let metadata = fs::symlink_metadata(self.disk().record_path(key)).ok()?;
        metadata.is_file().then(|| Stat::of(&metadata))
    }

    /// Sets the record under this key aside, so that its action runs again.
    pub fn invalidate_record(&self, key: &Key, reason: &str) {
        self.disk().discard_record(key, reason);
    }

    /// The keys of all records, in order.
    pub fn records(&self) -> impl Iterator<Item = Key> + use<> {
        crate::find::digests_in(&self.disk().at("actions"), ".json")
            .into_iter()
            .filter_map(|digest| digest.hex().parse().ok())
    }
}

/// The record under a key and its bytes, read without touching anything; what is wrong with it
/// otherwise.
pub(crate) fn inspect(disk: &Disk, key: &Key) -> Result<Option<(Record, Vec<u8>)>, String> {
    match disk.look_at_record(key)? {
        Some(bytes) => Ok(Some((parse(&bytes, key)?, bytes))),
        None => Ok(None),
    }
}

/// The record that a shelf has under a key; what is none is discarded.
pub(crate) fn load(shelf: &dyn Shelf, key: &Key) -> Result<Option<Record>, StoreError> {
    let Some(bytes) = shelf.read_record(key)? else {
        return Ok(None);
    };
    match parse(&bytes, key) {
        Ok(record) => Ok(Some(record)),
        Err(reason) => {
            shelf.discard_record(key, &reason);
            Ok(None)
        }
    }
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

/// Whether a shelf has every blob of every output.
pub(crate) fn is_complete(shelf: &dyn Shelf, record: &Record) -> Result<bool, StoreError> {
    for artifact in record.outputs.values() {
        let mut failed = None;
        let there = all_blobs(artifact, |blob| {
            shelf.has_blob(blob).unwrap_or_else(|error| {
                failed = Some(error);
                false
            })
        });
        match (there, failed) {
            (_, Some(error)) => return Err(error),
            (false, None) => return Ok(false),
            (true, None) => {}
        }
    }
    Ok(true)
}

/// Asks for every blob of an artifact until one is not there. Makes no list: there may be many.
fn all_blobs(artifact: &Artifact, mut there: impl FnMut(&BlobRef) -> bool) -> bool {
    match artifact {
        Artifact::Table(table) => table.partitions.iter().all(|partition| there(&partition.blob)),
        Artifact::Model(blob) => there(blob),
        Artifact::Files(files) => files.values().all(there),
    }
}

/// Files a record. The first one stays, but for one whose blobs are gone: it answers nothing any
/// more.
pub(crate) fn place_record(shelf: &dyn Shelf, key: &Key, record: &Record) -> Result<PutOutcome, StoreError> {
    // Most keys are new, but a look is cheaper than a file written for nothing.
    let mut first = if shelf.has_record(key)? {
        load(shelf, key)?
    } else {
        None
    };
    loop {
        if let Some(first) = first.take() {
            let complete = is_complete(shelf, &first)?;
            let outcome = match artifacts(&first) == artifacts(record) {
                true => PutOutcome::Same,
                false => PutOutcome::Different(Box::new(first)),
            };
            if complete {
                return Ok(outcome);
            }
            shelf.discard_record(key, "blobs that it names are gone, and its action ran again");
            write(shelf, key, record)?;
            return Ok(outcome);
        }
        if write(shelf, key, record)? {
            return Ok(PutOutcome::New);
        }
        first = load(shelf, key)?;
        if first.is_none() && shelf.has_record(key)? {
            return Err(StoreError::invalid(format!(
                "something is in the way of the record {key} and can't be moved"
            )));
        }
    }
}

fn write(shelf: &dyn Shelf, key: &Key, record: &Record) -> Result<bool, StoreError> {
    let bytes = serde_json::to_vec(record)
        .map_err(|error| StoreError::invalid(format!("a record can't be written as JSON: {error}")))?;
    shelf.write_record(key, &bytes)
}

/// What counts when two results are compared: the artifacts' names, port by port.
fn artifacts(record: &Record) -> Vec<(&String, dermflow_core::Digest)> {
    let outputs = record.outputs.iter();
    outputs.map(|(port, artifact)| (port, artifact.name())).collect()
}
