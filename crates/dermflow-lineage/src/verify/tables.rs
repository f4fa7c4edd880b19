//! Tables against their manifests: every column digested again, and maps against the results
//! of their partitions.

use std::collections::{BTreeMap, BTreeSet};

use dermflow_core::{Artifact, ColumnHasher, Digest, Key, Partition, StageError, TableManifest};
use dermflow_store::TableReader;
use rayon::prelude::*;

use super::{Problem, Remedy, Verified};
use crate::records::Records;
use crate::rows::Rows;

/// A partition: the action, the output port, its table, its number.
type Place<'a> = (&'a Key, &'a str, &'a TableManifest, usize);

/// Digests the columns of every partition whose blob is sound. Those that several tables share
/// are read once.
pub(super) fn columns(records: &Records, sound: &BTreeSet<Digest>, found: &mut Verified) {
    let mut waiting: BTreeMap<(Digest, Vec<Digest>), Place<'_>> = BTreeMap::new();
    for (key, node) in records.all() {
        for (port, artifact) in &node.outputs {
            let Artifact::Table(table) = artifact else {
                continue;
            };
            for (at, partition) in table.partitions.iter().enumerate() {
                if sound.contains(&partition.blob.digest) {
                    let content = (partition.blob.digest, partition.digests.clone());
                    waiting.entry(content).or_insert((key, port, table, at));
                }
            }
        }
    }
    found.checked.partitions = waiting.len();
    let look = |(key, port, table, at): &Place<'_>| {
        let wrong = compare(records, table, *at).err()?;
        let what = format!("{}, partition {at}", records.output_title(key, port));
        Some(Problem::new("table", what, wrong).with(Remedy::SetRecordAside(**key)))
    };
    let waiting: Vec<_> = waiting.into_values().collect();
    let problems: Vec<Option<Problem>> = waiting.par_iter().map(look).collect();
    found.problems.extend(problems.into_iter().flatten());
}

fn compare(records: &Records, table: &TableManifest, at: usize) -> Result<(), String> {
    let partition: &Partition = &table.partitions[at];
    let reader = TableReader::open_partitions(records.store(), table, at..at + 1, None)
        .map_err(|error| error.message())?;
    let digests = digests(table, reader).map_err(|error| error.message)?;
    for (at, column) in table.columns.iter().enumerate() {
        if digests[at] != partition.digests[at] {
            return Err(format!(
                "its column `{}` has the digest {}, and the table says {}",
                column.name,
                digests[at].short(),
                partition.digests[at].short()
            ));
        }
    }
    Ok(())
}

/// One digest a column, over all rows that come.
fn digests(
    table: &TableManifest,
    rows: impl Iterator<Item = Result<arrow::array::RecordBatch, StageError>>,
) -> Result<Vec<Digest>, StageError> {
    let columns = table.columns.iter();
    let mut hashers: Vec<ColumnHasher> = columns
        .map(|column| ColumnHasher::new(&column.column_type))
        .collect();
    for batch in rows {
        for (hasher, array) in hashers.iter_mut().zip(batch?.columns()) {
            hasher.update(array).map_err(StageError::new)?;
        }
    }
    Ok(hashers.into_iter().map(ColumnHasher::finish).collect())
}

/// Whether each map is what its partitions gave, one after the other. Their records stand in no
/// journal, but rows are taken over from them.
pub(super) fn unions(records: &Records, sound: &BTreeSet<Digest>, found: &mut Verified) {
    for (key, node) in records.stages() {
        if node.parts.is_empty() {
            continue;
        }
        let parts: Option<Vec<_>> = node.parts.iter().map(|part| records.node(part)).collect();
        let Some(parts) = parts else {
            found.notices.push(format!(
                "{}: records of some of its partitions are not in the store",
                records.title(key)
            ));
            continue;
        };
        for (port, artifact) in node.shown() {
            let Artifact::Table(whole) = artifact else {
                continue;
            };
            let fragments: Vec<&TableManifest> = parts
                .iter()
                .filter_map(|part| match part.outputs.get(port) {
                    Some(Artifact::Table(table)) => Some(table),
                    _ => None,
                })
                .collect();
            if let Err(reason) = agrees(records, whole, &fragments, sound) {
                let what = format!("{} ({})", records.output_title(key, port), key.digest().short());
                let problem = Problem::new("record", what, reason);
                found.problems.push(problem.with(Remedy::SetRecordAside(*key)));
                // Which of them is wrong can't be told: all are computed again.
                let parts = node.parts.iter().map(|part| {
                    let what = format!("partition {} of {}", part.digest().short(), records.title(key));
                    Problem::new("record", what, "disagrees with the map that it is a partition of")
                        .with(Remedy::SetRecordAside(*part))
                });
                found.problems.extend(parts);
            }
        }
    }
}

fn agrees(
    records: &Records,
    whole: &TableManifest,
    fragments: &[&TableManifest],
    sound: &BTreeSet<Digest>,
) -> Result<(), String> {
    let pieces: Vec<&Partition> = fragments.iter().flat_map(|table| &table.partitions).collect();
    if pieces.iter().copied().eq(whole.partitions.iter()) {
        return Ok(());
    }
    let all_sound = pieces
        .iter()
        .copied()
        .chain(&whole.partitions)
        .all(|partition| sound.contains(&partition.blob.digest));
    if !all_sound {
        // Told already, or removed on purpose.
        return Ok(());
    }
    let store = records.store();
    let read = |table: &TableManifest| TableReader::open(store, table, None).map_err(|error| error.message());
    let mut readers = Vec::new();
    for fragment in fragments {
        readers.push(read(fragment)?);
    }
    let one = digests(whole, read(whole)?).map_err(|error| error.message)?;
    let other = digests(whole, readers.into_iter().flatten()).map_err(|error| error.message)?;
    match one == other {
        true => Ok(()),
        false => Err("does not hold the rows that its partitions gave".to_string()),
    }
}

/// Samples that were forgotten must be in no table.
pub(super) fn forgotten(records: &Records, found: &mut Verified) {
    let Ok(forgotten) = records.store().forgotten() else {
        return;
    };
    if forgotten.is_empty() {
        return;
    }
    let rows = Rows::of(records, &forgotten);
    for (key, node) in records.all() {
        for (port, artifact) in &node.outputs {
            let Artifact::Table(table) = artifact else {
                continue;
            };
            // A table whose blobs can't be read is told elsewhere.
            for at in 0..table.partitions.len() {
                let part = TableManifest::new("", table.columns.clone(), vec![table.partitions[at].clone()]);
                let counts = rows.count(&part).unwrap_or_default();
                if let Some(id) = counts.keys().next() {
                    let what = format!("{} ({})", records.output_title(key, port), key.digest().short());
                    let reason = format!("still holds rows of the forgotten sample {id}");
                    found.problems.push(Problem::new("tombstone", what, reason));
                }
            }
        }
    }
}
