//! Listing and reading journals.

use std::io;

use serde_json::Value;

use super::JournalName;
use crate::disk::Disk;
use crate::error::StoreError;
use crate::find::names_in;

pub(super) fn list(disk: &Disk) -> Vec<JournalName> {
    let names = names_in(&disk.at("runs"));
    let mut names: Vec<JournalName> = names
        .iter()
        .filter_map(|name| {
            let stem = name.strip_suffix(".jsonl")?;
            JournalName::parse(stem.strip_suffix(".open").unwrap_or(stem))
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The bytes of a journal, sealed or not, up to the last whole line.
pub(super) fn bytes(disk: &Disk, name: &JournalName) -> Result<Vec<u8>, StoreError> {
    let sealed = name.path(disk);
    let mut bytes = match std::fs::read(&sealed) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let open = name.open_path(disk);
            // It may be sealed between the two looks.
            std::fs::read(&open).or_else(|_| std::fs::read(&sealed))
        }
        other => other,
    }
    .map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StoreError::NotFound {
            what: format!("journal {name}"),
        },
        _ => StoreError::io("reading", &sealed, error),
    })?;
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    bytes.truncate(whole);
    Ok(bytes)
}

pub(super) fn read(disk: &Disk, name: &JournalName) -> Result<Vec<Value>, StoreError> {
    let bytes = bytes(disk, name)?;
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .enumerate()
        .map(|(at, line)| {
            serde_json::from_slice(line).map_err(|error| {
                StoreError::invalid(format!(
                    "line {} of the journal {name} is no JSON: {error}",
                    at + 1
                ))
            })
        })
        .collect()
}
