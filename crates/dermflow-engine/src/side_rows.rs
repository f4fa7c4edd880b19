//! Side tables: inputs of a map that it reads at the samples at hand only
//! ([`dermflow_core::SideRows::SameSample`]). A partition's key covers their rows of its own
//! samples, its call sees no others, and a row is taken over only where they did not change.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use dermflow_core::{
    Artifact, Column, ColumnHasher, Digest, Partition, Record, SampleId, StageError, TableManifest,
};
use dermflow_store::{SampleRows, Store, TableReader as StoredTableReader, take_samples};

use crate::action::{Action, read_digests, readable, seen_digests};

/// A table wired to a port that is read sample by sample.
pub(crate) struct SideTable<'a> {
    /// The port.
    pub port: &'a str,
    /// Which of those wired to it.
    pub at: usize,
    table: &'a TableManifest,
    reads: &'a Option<Vec<String>>,
}

/// Those of an action, in order of their ports.
pub(crate) fn side_tables(action: &Action) -> Result<Vec<SideTable<'_>>, StageError> {
    let mut sides = Vec::new();
    for (port, inputs) in &action.inputs {
        for (at, input) in inputs.iter().enumerate() {
            if let Some(table) = input.side_table()? {
                sides.push(SideTable {
                    port,
                    at,
                    table,
                    reads: &input.reads,
                });
            }
        }
    }
    Ok(sides)
}

impl SideTable<'_> {
    /// The columns that are read.
    pub fn columns(&self) -> Vec<Column> {
        readable(self.table, self.reads)
    }

    /// The rows of these samples, which are sorted.
    pub fn rows_of(&self, store: &Store, samples: &[SampleId]) -> Result<SampleRows, StageError> {
        rows_of(store, self.table, &self.columns(), samples)
    }

    /// The digest of each column that is read, over the rows of a partition's samples. `samples`
    /// gives those, and is asked only where rows must be read.
    pub fn digests(
        &self,
        store: &Store,
        partition: &Partition,
        samples: &dyn Fn() -> Result<Vec<SampleId>, StageError>,
    ) -> Result<BTreeMap<String, Digest>, StageError> {
        let mut near = self.table.partitions.iter().filter(|own| overlap(own, partition));
        // The first column is the sample id. Where it is the same, this partition holds the rows
        // of those samples and no others.
        let same = near
            .clone()
            .find(|own| own.digests.first() == partition.digests.first());
        if same.is_some() {
            return Ok(read_digests(self.table, same, self.reads));
        }
        let samples = match near.next() {
            Some(_) => samples()?,
            None => Vec::new(),
        };
        let columns = self.columns();
        let mut hashers: Vec<ColumnHasher> = columns
            .iter()
            .map(|column| ColumnHasher::new(&column.column_type))
            .collect();
        for batch in self.rows_of(store, &samples)? {
            for (hasher, array) in hashers.iter_mut().zip(batch?.columns()) {
                hasher.update(array).map_err(StageError::new)?;
            }
        }
        let digests = hashers.into_iter().map(ColumnHasher::finish);
        Ok(seen_digests(columns.iter().zip(digests)))
    }

    /// The table that was wired here when `record` was made, if it had the same columns and is
    /// still in the store.
    pub fn earlier(&self, store: &Store, record: &Record) -> Option<TableManifest> {
        let table = input_table(store, record, self.port, self.at)?;
        (readable(&table, self.reads) == self.columns()).then_some(table)
    }

    /// As [`SideTable::rows_of`], of an earlier table.
    pub fn rows_of_earlier(
        &self,
        store: &Store,
        table: &TableManifest,
        samples: &[SampleId],
    ) -> Result<SampleRows, StageError> {
        rows_of(store, table, &self.columns(), samples)
    }
}

fn rows_of(
    store: &Store,
    table: &TableManifest,
    columns: &[Column],
    samples: &[SampleId],
) -> Result<SampleRows, StageError> {
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    Ok(take_samples(store, table, samples, Some(&names))?)
}

/// Whether two partitions have samples in the same range.
pub(crate) fn overlap(one: &Partition, other: &Partition) -> bool {
    one.last >= other.first && one.first <= other.last
}

/// The table behind an input of an earlier result. `None` where the action that gave it gave
/// another one since: what the result was made from is not known any more.
pub(crate) fn input_table(store: &Store, record: &Record, port: &str, at: usize) -> Option<TableManifest> {
    let ancestor = record.ancestry.get(port)?.get(at)?;
    let before = store.get_record(ancestor.action.as_ref()?).ok()??;
    let artifact = before.outputs.get(&ancestor.port)?;
    match artifact {
        Artifact::Table(table) if artifact.name() == ancestor.artifact => Some(table.clone()),
        _ => None,
    }
}

/// The samples of a table, in order.
pub(crate) fn samples_in(store: &Store, table: &TableManifest) -> Result<Vec<SampleId>, StageError> {
    let mut samples: Vec<SampleId> = Vec::new();
    for batch in StoredTableReader::open(store, table, Some(&[]))? {
        for id in ids_of(&batch?)? {
            if samples.last() != Some(&id) {
                samples.push(id);
            }
        }
    }
    Ok(samples)
}

/// The sample id of every row.
pub(crate) fn ids_of(batch: &RecordBatch) -> Result<Vec<SampleId>, StageError> {
    let ids = batch.columns().first();
    let ids = ids.and_then(|column| column.as_fixed_size_binary_opt());
    let ids = ids.ok_or_else(|| StageError::new("a table came without its sample ids"))?;
    let id = |row: usize| <[u8; 32]>::try_from(ids.value(row)).map(SampleId::from_bytes);
    let all: Result<_, _> = (0..batch.num_rows()).map(id).collect();
    all.map_err(|_| StageError::new("a table's sample ids have other than 32 bytes"))
}
