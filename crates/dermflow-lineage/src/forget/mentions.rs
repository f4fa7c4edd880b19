//! Rows of other samples that name the forgotten ones: a pair of near-duplicates, a file that
//! was kept instead of another.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, ArrayRef, AsArray};
use dermflow_core::{Artifact, ColumnType, Digest, Key, SampleId, StageError, TableManifest};
use rayon::prelude::*;

use super::Removal;
use crate::records::Records;
use crate::rows::{Rows, open};

/// What names a sample: its id as text or bytes, and the names of its files.
struct Needles {
    ids: BTreeSet<SampleId>,
    texts: BTreeSet<String>,
}

/// The partitions that hold such rows.
pub(super) fn find(records: &Records, ids: &BTreeSet<SampleId>) -> Result<Vec<Removal>, StageError> {
    let needles = Needles {
        texts: names(records, ids)?,
        ids: ids.clone(),
    };
    let mut waiting: BTreeMap<Digest, (&Key, &str, &Artifact, &TableManifest, usize)> = BTreeMap::new();
    for (key, node) in records.all() {
        for (port, artifact) in &node.outputs {
            let Artifact::Table(table) = artifact else {
                continue;
            };
            for (at, partition) in table.partitions.iter().enumerate() {
                waiting
                    .entry(partition.blob.digest)
                    .or_insert((key, port, artifact, table, at));
            }
        }
    }
    let waiting: Vec<_> = waiting.into_values().collect();
    let found: Vec<Option<Removal>> = waiting
        .par_iter()
        .map(|(key, port, artifact, table, at)| {
            // A partition that can't be read was told by the trace, or is gone.
            let named = is_named(records, table, *at, &needles).unwrap_or(false);
            let (stage, _) = records.stage_of(key, port);
            named.then(|| Removal {
                name: records.output_title(&stage, port),
                action: **key,
                port: (*port).to_string(),
                artifact: Some(artifact.name()),
                blob: table.partitions[*at].blob.digest,
                bytes: table.partitions[*at].blob.bytes,
                why: "a row of another sample names them".to_string(),
            })
        })
        .collect();
    Ok(found.into_iter().flatten().collect())
}

/// The texts in columns `source` of their rows.
fn names(records: &Records, ids: &BTreeSet<SampleId>) -> Result<BTreeSet<String>, StageError> {
    let rows = Rows::of(records, ids);
    let mut names = BTreeSet::new();
    for (_, node) in records.stages() {
        for artifact in node.outputs.values() {
            let Artifact::Table(table) = artifact else {
                continue;
            };
            if !table.columns.iter().any(|column| column.name == "source") {
                continue;
            }
            for batch in rows.take(table).unwrap_or_default() {
                let column = batch.column_by_name("source").cloned();
                if let Some(texts) = column.as_ref().and_then(|column| column.as_string_opt::<i32>()) {
                    let there = (0..texts.len()).filter(|row| !texts.is_null(*row));
                    names.extend(there.map(|row| texts.value(row).to_string()));
                }
            }
        }
    }
    Ok(names)
}

fn is_named(
    records: &Records,
    table: &TableManifest,
    at: usize,
    needles: &Needles,
) -> Result<bool, StageError> {
    let readable = |column: &&dermflow_core::Column| {
        matches!(column.column_type, ColumnType::Text | ColumnType::SampleId)
            || matches!(&column.column_type, ColumnType::List(inner) if matches!(**inner, ColumnType::Text | ColumnType::SampleId))
    };
    let columns: Vec<String> = table
        .columns
        .iter()
        .skip(1)
        .filter(readable)
        .map(|column| column.name.clone())
        .collect();
    if columns.is_empty() {
        return Ok(false);
    }
    for batch in open(records.store(), table, at..at + 1, &columns)? {
        let batch = batch?;
        if batch.columns()[1..].iter().any(|column| needles.are_in(column)) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Needles {
    fn are_in(&self, column: &ArrayRef) -> bool {
        if let Some(texts) = column.as_string_opt::<i32>() {
            let mut values = texts.iter().flatten();
            return values.any(|text| {
                self.texts.contains(text) || text.parse().is_ok_and(|id| self.ids.contains(&id))
            });
        }
        if let Some(ids) = column.as_fixed_size_binary_opt() {
            let mut values = ids.iter().flatten();
            return values.any(|bytes| {
                <[u8; 32]>::try_from(bytes).is_ok_and(|id| self.ids.contains(&SampleId::from_bytes(id)))
            });
        }
        match column.as_list_opt::<i32>() {
            Some(lists) => self.are_in(lists.values()),
            None => false,
        }
    }
}
