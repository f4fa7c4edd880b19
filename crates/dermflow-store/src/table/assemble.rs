//! [`assemble`]: one table from fragments, reading as little as can be.

use dermflow_core::{Column, Partition, TableManifest};

use super::columns::{columns_of, schema_of};
use super::cut::{Cutter, Limits};
use super::reader::PartitionReader;
use crate::Store;
use crate::error::StoreError;

/// The table of all rows of the fragments: exactly what a [`super::TableWriter`] would give.
///
/// The fragments are tables that this crate wrote, with the same columns; each one's ids lie
/// after those of the one before. A partition that begins and ends where it would in the whole
/// table is taken as it is, without being read. Only around a fragment's end that is no border
/// are rows read and written anew.
///
/// # Errors
/// Where columns differ or ids overlap, a blob is damaged, or the disk is full.
pub fn assemble(
    store: &Store,
    contract: &str,
    columns: &[Column],
    fragments: &[TableManifest],
) -> Result<TableManifest, StoreError> {
    assemble_within(store, contract, columns, fragments, Limits::of(columns))
}

pub(crate) fn assemble_within(
    store: &Store,
    contract: &str,
    columns: &[Column],
    fragments: &[TableManifest],
    limits: Limits,
) -> Result<TableManifest, StoreError> {
    let columns = columns_of(&schema_of(columns))?;
    check(&columns, fragments)?;
    let mut cutter = Cutter::new(store, &columns, limits);
    let mut parts = ends(fragments).peekable();
    while let Some((partition, ends_fragment)) = parts.next() {
        // The next id is another one, so a border that is due comes here.
        if cutter.at_border() {
            cutter.cut()?;
        }
        if cutter.is_closed() {
            // Within a fragment the writer cut here for a reason that holds in the whole table
            // too, since this partition begins where it would there.
            let ends_here = !ends_fragment
                || partition.last.ends_partition(limits.bits)
                || partition.rows >= limits.rows
                || parts.peek().is_none();
            if ends_here {
                cutter.adopt(partition.clone());
                continue;
            }
        }
        let chosen: Vec<usize> = (0..columns.len()).collect();
        let mut rows = PartitionReader::open(store, &columns, &chosen, partition.clone(), None)?;
        while let Some(batch) = rows.next_batch()? {
            cutter.push(&batch)?;
        }
    }
    Ok(TableManifest::new(contract, columns, cutter.finish()?))
}

/// All partitions in order, and whether each is the last of its fragment.
fn ends(fragments: &[TableManifest]) -> impl Iterator<Item = (&Partition, bool)> {
    fragments.iter().flat_map(|fragment| {
        let last = fragment.partitions.len();
        let numbered = fragment.partitions.iter().enumerate();
        numbered.map(move |(at, partition)| (partition, at + 1 == last))
    })
}

fn check(columns: &[Column], fragments: &[TableManifest]) -> Result<(), StoreError> {
    for fragment in fragments {
        if fragment.columns != columns {
            let names = |columns: &[Column]| -> String {
                let columns = columns
                    .iter()
                    .map(|column| format!("{}: {}", column.name, column.column_type));
                columns.collect::<Vec<_>>().join(", ")
            };
            return Err(StoreError::invalid(format!(
                "a part of a table has the columns {}, and the table {}",
                names(&fragment.columns),
                names(columns)
            )));
        }
    }
    let mut last = None;
    for (partition, _) in ends(fragments) {
        if last.is_some_and(|last| last >= partition.first) || partition.digests.len() != columns.len() {
            return Err(StoreError::invalid(
                "the parts of a table overlap, or are out of the order of their sample ids",
            ));
        }
        last = Some(partition.last);
    }
    Ok(())
}
