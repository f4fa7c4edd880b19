//! Takes rows over: where a partition of a map's input changed, the samples in it that did
//! not change keep the output rows of the last result of the same family (same kind, version,
//! parameters and side inputs; only the driving input differs).

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use dermflow_core::{Artifact, Record, SampleId, StageError, TableManifest};
use dermflow_store::{
    Store, TableReader as StoredTableReader, TableWriter as StoredTableWriter, take_samples,
};

use crate::action::readable;
use crate::map::{MapWork, driver_of};

/// The last complete result of the family.
pub(crate) struct Previous {
    driver: TableManifest,
    record: Record,
}

/// What of a partition is to be computed and what is taken over.
pub(crate) struct Takeover {
    pub schema: SchemaRef,
    /// The driver's rows of the samples that changed.
    pub changed: Vec<RecordBatch>,
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
    let blobs_there = driver
        .partitions
        .iter()
        .all(|partition| store.has_blob(&partition.blob));
    (blobs_there && store.is_complete(&record)).then_some(Previous { driver, record })
}

/// Compares a partition with what the previous driver held for its range of samples. `None`
/// where nothing can be taken over.
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
    if columns
        .iter()
        .any(|column| !previous.driver.columns.contains(column))
        || columns != readable(&previous.driver, &reads)
    {
        return None;
    }
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let now = load(store, part, &names)?;
    let before = load(store, &overlapping(&previous.driver, part)?, &names)?;
    let fields = now
        .schema()
        .fields()
        .iter()
        .map(|field| SortField::new(field.data_type().clone()))
        .collect();
    let converter = RowConverter::new(fields).ok()?;
    let (now_rows, before_rows) = (samples(&converter, &now)?, samples(&converter, &before)?);
    let kept: Vec<SampleId> = now_rows
        .iter()
        .filter(|(id, rows)| before_rows.get(*id) == Some(*rows))
        .map(|(id, _)| *id)
        .collect();
    if kept.is_empty() {
        return None;
    }
    let ids = now.column(0).as_fixed_size_binary();
    let is_changed = |row: usize| {
        kept.binary_search_by(|id| id.as_bytes().as_slice().cmp(ids.value(row)))
            .is_err()
    };
    let mask: BooleanArray = (0..ids.len()).map(|row| Some(is_changed(row))).collect();
    let changed = filter_record_batch(&now, &mask).ok()?;
    let tables = previous
        .record
        .outputs
        .iter()
        .filter_map(|(port, artifact)| match artifact {
            Artifact::Table(table) => Some((port.clone(), table.clone())),
            _ => None,
        });
    Some(Takeover {
        schema: now.schema(),
        changed: if changed.num_rows() == 0 {
            Vec::new()
        } else {
            vec![changed]
        },
        kept,
        outputs: tables.collect(),
    })
}

/// The part of `table` whose partitions reach into the range of `part`.
fn overlapping(table: &TableManifest, part: &TableManifest) -> Option<TableManifest> {
    let (first, last) = (part.partitions.first()?.first, part.partitions.last()?.last);
    let partitions = table
        .partitions
        .iter()
        .filter(|partition| partition.last >= first && partition.first <= last);
    Some(TableManifest::new(
        table.contract.clone(),
        table.columns.clone(),
        partitions.cloned().collect(),
    ))
}

fn load(store: &Store, table: &TableManifest, columns: &[String]) -> Option<RecordBatch> {
    let reader = StoredTableReader::open(store, table, Some(columns)).ok()?;
    let schema = dermflow_core::TableReader::schema(&reader);
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().ok()?;
    concat_batches(&schema, &batches).ok()
}

/// For every sample the bytes of its rows, in order. Arrow's row format tells −0.0 from 0.0
/// and null from everything, and its rows are prefix-free, so equal bytes are equal rows.
fn samples(converter: &RowConverter, batch: &RecordBatch) -> Option<BTreeMap<SampleId, Vec<u8>>> {
    let rows = converter.convert_columns(batch.columns()).ok()?;
    let ids = batch.column(0).as_fixed_size_binary();
    let mut samples: BTreeMap<SampleId, Vec<u8>> = BTreeMap::new();
    for row in 0..batch.num_rows() {
        let id = SampleId::from_bytes(ids.value(row).try_into().ok()?);
        let bytes = samples.entry(id).or_default();
        let encoded = rows.row(row);
        bytes.extend((encoded.data().len() as u64).to_le_bytes());
        bytes.extend(encoded.data());
    }
    Some(samples)
}

impl Takeover {
    /// Rows of the driver that must be computed.
    pub fn rows_to_compute(&self) -> u64 {
        self.changed.iter().map(|batch| batch.num_rows() as u64).sum()
    }

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
        for batch in take_samples(store, earlier, &self.kept)? {
            writer.write(&batch?)?;
        }
        Ok(Artifact::Table(writer.finish()?))
    }
}
