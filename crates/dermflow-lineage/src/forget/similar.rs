//! Pictures that look like the ones that are forgotten. The same photo scaled, encoded or
//! exported again is another file with another id, so a forgetting doesn't reach it: it is named,
//! for whoever knows the patient to decide.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use dermflow_core::{Artifact, ColumnType, Digest, SampleId, StageError, TableManifest};
use dermflow_vision::similarity::{distance, perceptual_hash};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::records::Records;
use crate::rows::{Rows, open};

/// In how many of the 63 bits of their perceptual hashes two pictures differ at most and still
/// look the same. Copies lie at 0 to about 4; so do some photos of other skin.
const MOST_BITS: u32 = 4;

const PIXELS: [&str; 3] = ["pixels", "width", "height"];
const SOURCE: &str = "source";

/// A picture that stays and looks like one that goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Similar {
    /// In how many bits their hashes differ: 0 for what is surely a copy.
    pub bits: u32,
    /// The picture's id, which `forget` takes.
    pub sample: SampleId,
    /// The picture that goes and that it looks like.
    pub of: SampleId,
    /// Where it came from, as its table says; not kept once the forgetting is done, since names of
    /// files may name people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A stored picture.
struct Seen {
    id: SampleId,
    hash: u64,
    source: Option<String>,
}

/// The pictures that look like some of these, the likest first. Reads every picture that entered
/// the store from outside; those that can't be read are passed over.
pub(super) fn find(records: &Records, ids: &BTreeSet<SampleId>) -> Vec<Similar> {
    let entered = records.stages().filter(|(_, node)| node.inputs.is_empty());
    let tables = entered.flat_map(|(_, node)| node.outputs.values());
    let tables: Vec<TableManifest> = tables
        .filter_map(|artifact| match artifact {
            Artifact::Table(table) if holds_pictures(table) => Some(present(records, table)),
            _ => None,
        })
        .collect();
    let rows = Rows::of(records, ids);
    let holds = |table: &TableManifest| !rows.count(table).unwrap_or_default().is_empty();
    if !tables.iter().any(holds) {
        // None of them is a picture that is known by its pixels: nothing can look like one.
        return Vec::new();
    }
    let mut waiting: BTreeMap<Digest, (&TableManifest, usize)> = BTreeMap::new();
    for table in &tables {
        let placed = table.partitions.iter().enumerate();
        waiting.extend(placed.map(|(at, partition)| (partition.blob.digest, (table, at))));
    }
    let waiting: Vec<(&TableManifest, usize)> = waiting.into_values().collect();
    let read = |(table, at): &(&TableManifest, usize)| pictures(records, table, *at).unwrap_or_default();
    let seen: Vec<Vec<Seen>> = waiting.par_iter().map(read).collect();
    let (asked, others): (Vec<&Seen>, Vec<&Seen>) =
        seen.iter().flatten().partition(|one| ids.contains(&one.id));
    let near = |one: &&Seen| {
        let (bits, of) = asked
            .iter()
            .map(|of| (distance(one.hash, of.hash), of.id))
            .min()?;
        (bits <= MOST_BITS).then(|| Similar {
            bits,
            sample: one.id,
            of,
            source: one.source.clone(),
        })
    };
    let mut found: Vec<Similar> = others.par_iter().filter_map(near).collect();
    found.sort();
    // One picture may have entered by several ways, in several sizes.
    let mut told = BTreeSet::new();
    found.retain(|one| told.insert(one.sample));
    found
}

/// A table without the partitions whose blobs are gone, by an earlier forgetting for example.
fn present(records: &Records, table: &TableManifest) -> TableManifest {
    let there = table.partitions.iter();
    let there = there.filter(|partition| records.store().has_blob(&partition.blob));
    TableManifest::new("", table.columns.clone(), there.cloned().collect())
}

fn holds_pictures(table: &TableManifest) -> bool {
    PIXELS.iter().all(|name| {
        let sort = match *name {
            "pixels" => ColumnType::Binary,
            _ => ColumnType::Integer,
        };
        table
            .columns
            .iter()
            .any(|column| column.name == *name && column.column_type == sort)
    })
}

fn pictures(records: &Records, table: &TableManifest, at: usize) -> Result<Vec<Seen>, StageError> {
    let mut columns = PIXELS.map(str::to_string).to_vec();
    let is_source =
        |column: &dermflow_core::Column| column.name == SOURCE && column.column_type == ColumnType::Text;
    if table.columns.iter().any(is_source) {
        columns.push(SOURCE.to_string());
    }
    let mut seen = Vec::new();
    for batch in open(records.store(), table, at..at + 1, &columns)? {
        let batch = batch?;
        let rows = 0..batch.num_rows();
        seen.extend(rows.filter_map(|row| picture(&batch, row)));
    }
    Ok(seen)
}

/// A row's picture; none where its pixels are missing or don't fit their size.
fn picture(batch: &RecordBatch, row: usize) -> Option<Seen> {
    let pixels = batch.column_by_name("pixels")?.as_binary_opt::<i32>()?;
    let side = |name: &str| {
        let column = batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
        usize::try_from(column.value(row)).ok()
    };
    if pixels.is_null(row) {
        return None;
    }
    let source = batch
        .column_by_name(SOURCE)
        .and_then(|column| column.as_string_opt::<i32>())
        .filter(|texts| !texts.is_null(row))
        .map(|texts| texts.value(row).to_string());
    let mut id = [0; 32];
    id.copy_from_slice(batch.column(0).as_fixed_size_binary_opt()?.value(row));
    Some(Seen {
        id: SampleId::from_bytes(id),
        hash: perceptual_hash(pixels.value(row), side("width")?, side("height")?)?,
        source,
    })
}
