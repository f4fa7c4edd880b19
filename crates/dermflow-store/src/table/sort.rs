//! Sorting batches that fit into memory, by sample id and then by the order they came in.

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;

use super::columns::{Ids, RowSizes};
use super::merge::Run;
use crate::Store;
use crate::error::{StoreError, writing};

/// What takes sorted batches.
pub(crate) type Sink<'a> = dyn FnMut(&RecordBatch) -> Result<(), StoreError> + 'a;

/// Rows of a sorted batch, at most.
const ROWS: usize = 8192;
/// Bytes of a sorted batch, about. Several runs are merged at a time, each with one in memory.
const BYTES: u64 = 1 << 20;

/// How many rows of such batches make a batch of a fair size.
pub(crate) fn fair_rows(batches: &[RecordBatch]) -> usize {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let bytes = batches
        .iter()
        .map(|batch| RowSizes::of(batch).total(batch.num_rows()));
    let each = (bytes.sum::<u64>() / (rows as u64).max(1)).max(1);
    ((BYTES / each) as usize).clamp(1, ROWS)
}

/// Gives the rows of all batches in order.
pub(crate) fn for_each_sorted(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    sink: &mut Sink<'_>,
) -> Result<(), StoreError> {
    let mut order: Vec<(u64, u32, u32)> = Vec::new();
    let ids: Vec<Ids<'_>> = batches.iter().map(Ids::of).collect::<Result<_, _>>()?;
    for (batch, ids) in ids.iter().enumerate() {
        for row in 0..ids.len() {
            // The first 8 of 32 bytes decide nearly every comparison without a look elsewhere.
            let prefix = ids.bytes(row)[..8].try_into().unwrap_or_default();
            order.push((u64::from_be_bytes(prefix), batch as u32, row as u32));
        }
    }
    let id = |entry: &(u64, u32, u32)| ids[entry.1 as usize].bytes(entry.2 as usize);
    // Places are unique and in the order of arrival, so an unstable sort keeps that order.
    order.sort_unstable_by(|a, b| {
        (a.0.cmp(&b.0))
            .then_with(|| id(a).cmp(id(b)))
            .then((a.1, a.2).cmp(&(b.1, b.2)))
    });
    let parts: Vec<&RecordBatch> = batches.iter().collect();
    for places in order.chunks(fair_rows(batches)) {
        let places: Vec<(usize, usize)> = places
            .iter()
            .map(|(_, batch, row)| (*batch as usize, *row as usize))
            .collect();
        let sorted = interleave_record_batch(&parts, &places)?;
        debug_assert_eq!(sorted.schema_ref(), schema);
        sink(&sorted)?;
    }
    Ok(())
}

/// Writes the rows of all batches in order to a file in `tmp/`.
pub(crate) fn spill_sorted(
    store: &Store,
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<Run, StoreError> {
    spill(store, schema, &mut |sink| for_each_sorted(schema, batches, sink))
}

/// Writes the batches that `source` gives to a file in `tmp/`.
pub(crate) fn spill(
    store: &Store,
    schema: &SchemaRef,
    source: &mut dyn FnMut(&mut Sink<'_>) -> Result<(), StoreError>,
) -> Result<Run, StoreError> {
    let (file, temporary) = store.disk().temporary(0o600)?;
    let wrong = |error: arrow::error::ArrowError| writing(temporary.path(), &error);
    let buffered = std::io::BufWriter::with_capacity(256 << 10, file);
    let mut writer = StreamWriter::try_new(buffered, schema).map_err(wrong)?;
    source(&mut |batch| writer.write(batch).map_err(wrong))?;
    writer.finish().map_err(wrong)?;
    let buffered = writer.into_inner().map_err(wrong)?;
    let file = buffered
        .into_inner()
        .map_err(|error| writing(temporary.path(), error.error()))?;
    Run::file(file, temporary)
}
