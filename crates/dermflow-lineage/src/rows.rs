//! [`Rows`]: which tables hold rows of some samples, reading as little as can be.
//!
//! Rows are sorted by sample id and partitions say the range of theirs, so at most one partition
//! of a table is read for a sample, and of that the column of ids alone. Tables with the same
//! ids (a photo's pixels, its label, its prediction) share the answer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, AsArray, RecordBatch};
use dermflow_core::{Artifact, Digest, Partition, SampleId, StageError, TableManifest};
use dermflow_store::{Store, TableReader, take_samples};
use rayon::prelude::*;

use crate::index::IdSets;
use crate::records::Records;

/// How many rows each sample has.
pub type Counts = BTreeMap<SampleId, u64>;

/// See the module.
pub struct Rows<'a> {
    store: &'a Store,
    samples: Vec<SampleId>,
    sets: Arc<IdSets>,
    /// What is known of columns of ids, by their digest.
    known: Mutex<HashMap<Digest, Counts>>,
}

impl<'a> Rows<'a> {
    /// For these samples. With many tables on record, an index of their ids is brought up to
    /// date first.
    pub fn of(records: &'a Records, samples: &BTreeSet<SampleId>) -> Rows<'a> {
        let sets = match samples.is_empty() {
            true => Arc::default(),
            false => records.id_sets(|sets| extend(sets, records, samples)),
        };
        Rows {
            store: records.store(),
            samples: samples.iter().copied().collect(),
            sets,
            known: Mutex::default(),
        }
    }

    /// How many rows of each sample a table has; a sample without any is left out.
    ///
    /// # Errors
    /// Where a partition that may hold one can't be read.
    pub fn count(&self, table: &TableManifest) -> Result<Counts, StageError> {
        let mut counts = Counts::new();
        for at in self.holding(table)? {
            for (id, rows) in self.count_partition(table, at)? {
                *counts.entry(id).or_default() += rows;
            }
        }
        Ok(counts)
    }

    /// The partitions that hold rows of any of the samples.
    ///
    /// # Errors
    /// As [`Rows::count`].
    pub fn holding(&self, table: &TableManifest) -> Result<Vec<usize>, StageError> {
        let mut holding = Vec::new();
        for (at, partition) in table.partitions.iter().enumerate() {
            if !self.within(partition).is_empty() && !self.count_partition(table, at)?.is_empty() {
                holding.push(at);
            }
        }
        Ok(holding)
    }

    /// The samples whose ids lie in a partition's range, and that the index doesn't exclude.
    fn within(&self, partition: &Partition) -> Vec<SampleId> {
        let range = self.samples.partition_point(|id| *id < partition.first)
            ..self.samples.partition_point(|id| *id <= partition.last);
        let ids = partition.digests.first();
        let may = |id: &&SampleId| ids.is_none_or(|ids| self.sets.may_hold(ids, id));
        self.samples[range].iter().filter(may).copied().collect()
    }

    fn count_partition(&self, table: &TableManifest, at: usize) -> Result<Counts, StageError> {
        let partition = &table.partitions[at];
        let wanted = self.within(partition);
        let ids = partition.digests.first().copied();
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = ids.and_then(|ids| lock().get(&ids).cloned()) {
            return Ok(known);
        }
        let mut counts = Counts::new();
        if !wanted.is_empty() {
            for id in partition_ids(self.store, table, at)? {
                if wanted.binary_search(&id).is_ok() {
                    *counts.entry(id).or_default() += 1;
                }
            }
        }
        if let Some(ids) = ids {
            lock().insert(ids, counts.clone());
        }
        Ok(counts)
    }

    /// The rows of the samples in a table, with all columns.
    ///
    /// # Errors
    /// As [`Rows::count`].
    pub fn take(&self, table: &TableManifest) -> Result<Vec<RecordBatch>, StageError> {
        let held: Vec<SampleId> = self.count(table)?.into_keys().collect();
        take_samples(self.store, table, &held, None)?.collect()
    }
}

/// The ids of all rows of a partition.
///
/// # Errors
/// Where its blob is gone or damaged. One that is gone is not reported as damage: whoever
/// cleaned the store meant it.
pub fn partition_ids(store: &Store, table: &TableManifest, at: usize) -> Result<Vec<SampleId>, StageError> {
    let mut ids = Vec::with_capacity(table.partitions[at].rows as usize);
    for batch in open(store, table, at..at + 1, &[])? {
        let batch = batch?;
        // The reader checked that the first column is one of ids.
        let column = batch.column(0).as_fixed_size_binary();
        ids.extend(column.iter().flatten().map(|bytes| {
            let mut id = [0; 32];
            id.copy_from_slice(bytes);
            SampleId::from_bytes(id)
        }));
    }
    Ok(ids)
}

/// A reader of some partitions and columns of a table, whose blobs must be there.
///
/// # Errors
/// Where one is not.
pub fn open(
    store: &Store,
    table: &TableManifest,
    partitions: Range<usize>,
    columns: &[String],
) -> Result<TableReader, StageError> {
    for partition in &table.partitions[partitions.clone()] {
        if !store.has_blob(&partition.blob) {
            return Err(StageError::new(format!(
                "the blob {} of it is not in the store",
                partition.blob.digest.short()
            )));
        }
    }
    Ok(TableReader::open_partitions(
        store,
        table,
        partitions,
        Some(columns),
    )?)
}

/// Every pair of an id and the text in a column, over all tables on record that have it. Texts
/// that are missing are left out. Partitions of the same content are read once; those that
/// can't be read are passed over.
pub fn texts(records: &Records, column: &str) -> Vec<(SampleId, String)> {
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<(&TableManifest, usize)> = Vec::new();
    for (_, node) in records.stages() {
        for artifact in node.outputs.values() {
            let Artifact::Table(table) = artifact else {
                continue;
            };
            let is_text = |at: usize| table.columns[at].column_type == dermflow_core::ColumnType::Text;
            let place = table.columns.iter().position(|one| one.name == column);
            let Some(place) = place.filter(|at| is_text(*at)) else {
                continue;
            };
            for (at, partition) in table.partitions.iter().enumerate() {
                if seen.insert((partition.digests[0], partition.digests[place])) {
                    waiting.push((table, at));
                }
            }
        }
    }
    let read = |(table, at): &(&TableManifest, usize)| -> Result<Vec<(SampleId, String)>, StageError> {
        let mut found = Vec::new();
        let columns = [column.to_string()];
        for batch in open(records.store(), table, *at..at + 1, &columns)? {
            let batch = batch?;
            let ids = batch.column(0).as_fixed_size_binary();
            let texts = batch.column(1).as_string::<i32>();
            for row in (0..texts.len()).filter(|row| !texts.is_null(*row)) {
                let mut id = [0; 32];
                id.copy_from_slice(ids.value(row));
                found.push((SampleId::from_bytes(id), texts.value(row).to_string()));
            }
        }
        Ok(found)
    };
    let found: Vec<Vec<(SampleId, String)>> = waiting
        .par_iter()
        .map(|one| read(one).unwrap_or_default())
        .collect();
    let mut pairs: Vec<(SampleId, String)> = found.into_iter().flatten().collect();
    pairs.sort();
    pairs.dedup();
    pairs
}

/// Adds the ids of partitions that may hold a sample and that the index doesn't know.
fn extend(sets: &mut Arc<IdSets>, records: &Records, samples: &BTreeSet<SampleId>) {
    let mut waiting: BTreeMap<Digest, (&TableManifest, usize)> = BTreeMap::new();
    for (_, node) in records.stages() {
        for artifact in node.outputs.values() {
            let Artifact::Table(table) = artifact else {
                continue;
            };
            for (at, partition) in table.partitions.iter().enumerate() {
                let Some(ids) = partition.digests.first() else {
                    continue;
                };
                let covers = samples.range(partition.first..=partition.last).next().is_some();
                if covers && !sets.knows(ids) && records.store().has_blob(&partition.blob) {
                    waiting.insert(*ids, (table, at));
                }
            }
        }
    }
    let read = |(ids, (table, at)): (&Digest, &(&TableManifest, usize))| {
        let all = partition_ids(records.store(), table, *at).ok()?;
        Some((*ids, all))
    };
    let found: Vec<Option<(Digest, Vec<SampleId>)>> = waiting.par_iter().map(read).collect();
    if waiting.is_empty() {
        return;
    }
    let sets = Arc::make_mut(sets);
    for (ids, all) in found.into_iter().flatten() {
        sets.add(ids, &all);
    }
    sets.save(records.store());
}
