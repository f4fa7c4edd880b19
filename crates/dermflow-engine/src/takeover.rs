//! Takes rows over: where a partition of a map's input changed, the samples in it that did
//! not change, there or in a side table, keep the output rows of the last result of the same
//! family (same kind, version, parameters and other inputs).

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use dermflow_core::{Artifact, Digest, Record, SampleId, StageError, TableManifest};
use dermflow_store::{
    Store, TableReader as StoredTableReader, TableWriter as StoredTableWriter, take_samples,
};

use crate::action::readable;
use crate::map::{MapWork, driver_of};
use crate::side_rows::{ids_of, overlap, side_tables};

/// The last complete result of the family.
pub(crate) struct Previous {
    driver: TableManifest,
    /// What each side table was.
    sides: Vec<TableManifest>,
    record: Record,
}

/// What of a partition is to be computed and what is taken over.
pub(crate) struct Takeover {
    /// The samples that changed, sorted.
    pub changed: Vec<SampleId>,
    /// How many rows the driver has of them.
    pub rows: u64,
    /// The samples that did not, sorted.
    kept: Vec<SampleId>,
    outputs: BTreeMap<String, TableManifest>,
}

/// Finds the last result of the family, if the store still has all of it. Whatever is wrong
/// with it only costs time, so no error is told.
pub(crate) fn previous(store: &Store, work: &MapWork) -> Option<Previous> {
    let key = store.get_family(&work.family)?;
    let record = store.get_record(&key).ok()??;
    let driver = driver_of(store, &record, &work.over)?;
    let sides = side_tables(&work.action).ok()?;
    let sides = sides.iter().map(|side| side.earlier(store, &record));
    let sides: Vec<TableManifest> = sides.collect::<Option<_>>()?;
    let is_whole = |table: &TableManifest| {
        let mut partitions = table.partitions.iter();
        partitions.all(|partition| store.has_blob(&partition.blob))
    };
    let is_there = sides.iter().all(is_whole) && is_whole(&driver) && store.is_complete(&record);
    is_there.then_some(Previous {
        driver,
        sides,
        record,
    })
}

/// Compares a partition with what the previous driver held for its range of samples, and with
/// what the side tables held of those. `None` where nothing can be taken over.
pub(crate) fn compare(
    store: &Store,
    work: &MapWork,
    part: &TableManifest,
    previous: &Previous,
) -> Option<Takeover> {
    let reads = work
        .action
        .inputs
        .get(&work.over)
        .and_then(|inputs| inputs.first()?.reads.clone());
    let columns = readable(part, &reads);
    if columns != readable(&previous.driver, &reads) {
        return None;
    }
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let load = |table: &TableManifest| {
        let reader = StoredTableReader::open(store, table, Some(&names)).ok()?;
        told_apart(&reader.schema(), reader)
    };
    let now = load(part)?;
    let before = load(&overlapping(&previous.driver, part)?)?;
    let mut kept: Vec<SampleId> = now
        .iter()
        .filter(|(id, sample)| before.get(*id) == Some(*sample))
        .map(|(id, _)| *id)
        .collect();
    for (side, earlier) in side_tables(&work.action).ok()?.iter().zip(&previous.sides) {
        let now = side.rows_of(store, &kept).ok()?;
        let before = side.rows_of_earlier(store, earlier, &kept).ok()?;
        let now = told_apart(&now.schema(), now)?;
        let before = told_apart(&before.schema(), before)?;
        // One that neither table has did not change.
        kept.retain(|id| now.get(id) == before.get(id));
    }
    if kept.is_empty() {
        return None;
    }
    let is_kept = |id: &SampleId| kept.binary_search(id).is_ok();
    let changed = now.iter().filter(|(id, _)| !is_kept(id));
    let (changed, rows): (Vec<SampleId>, Vec<u64>) = changed.map(|(id, sample)| (*id, sample.rows)).unzip();
    let tables = previous
        .record
        .outputs
        .iter()
        .filter_map(|(port, artifact)| match artifact {
            Artifact::Table(table) => Some((port.clone(), table.clone())),
            _ => None,
        });
    Some(Takeover {
        changed,
        rows: rows.iter().sum(),
        kept,
        outputs: tables.collect(),
    })
}

/// The part of `table` whose partitions reach into the range of `part`.
fn overlapping(table: &TableManifest, part: &TableManifest) -> Option<TableManifest> {
    let range = part.partitions.first()?;
    let partitions = table.partitions.iter().filter(|own| overlap(own, range));
    Some(TableManifest::new(
        table.contract.clone(),
        table.columns.clone(),
        partitions.cloned().collect(),
    ))
}

/// The rows of a sample, told from others.
#[derive(Debug, PartialEq)]
struct Sample {
    rows: u64,
    digest: Digest,
}

/// For every sample a digest of its rows, in order. Arrow's row format tells −0.0 from 0.0 and
/// null from everything, and says where a value ends.
fn told_apart(
    schema: &SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch, StageError>>,
) -> Option<BTreeMap<SampleId, Sample>> {
    let fields = schema.fields().iter();
    let fields = fields.map(|field| SortField::new(field.data_type().clone()));
    let converter = RowConverter::new(fields.collect()).ok()?;
    let mut samples = BTreeMap::new();
    let mut open: Option<(SampleId, u64, blake3::Hasher)> = None;
    let mut close = |(id, rows, hasher): (SampleId, u64, blake3::Hasher)| {
        let digest = Digest::from(hasher.finalize());
        samples.insert(id, Sample { rows, digest });
    };
    for batch in batches {
        let batch = batch.ok()?;
        let encoded = converter.convert_columns(batch.columns()).ok()?;
        for (id, row) in ids_of(&batch).ok()?.into_iter().zip(encoded.iter()) {
            if open.as_ref().is_none_or(|(last, ..)| *last != id) {
                let before = open.replace((id, 0, blake3::Hasher::new()));
                before.into_iter().for_each(&mut close);
            }
            if let Some((_, rows, hasher)) = &mut open {
                *rows += 1;
                hasher.update(&(row.data().len() as u64).to_le_bytes());
                hasher.update(row.data());
            }
        }
    }
    open.into_iter().for_each(close);
    Some(samples)
}

impl Takeover {
    /// The computed rows of an output with those taken over.
    ///
    /// # Errors
    /// Where the earlier output has other columns than the computed one, or a blob is damaged.
    pub fn unite(&self, store: &Store, port: &str, computed: &Artifact) -> Result<Artifact, StageError> {
        let (Artifact::Table(computed), Some(earlier)) = (computed, self.outputs.get(port)) else {
            return Err(StageError::new(format!(
                "the earlier result has no table `{port}`"
            )));
        };
        if computed.columns != earlier.columns {
            return Err(StageError::new(format!(
                "the output `{port}` has other columns than before for the same parameters: the kind is not \
                 deterministic, or its columns depend on which rows it is given"
            ))
            .with_help("run the stage with --force to compute all rows again"));
        }
        let schema = computed.table_type().schema();
        let mut writer = StoredTableWriter::new(store, &computed.contract, schema)?;
        for batch in StoredTableReader::open(store, computed, None)? {
            writer.write(&batch?)?;
        }
        for batch in take_samples(store, earlier, &self.kept, None)? {
            writer.write(&batch?)?;
        }
        Ok(Artifact::Table(writer.finish()?))
    }
}
