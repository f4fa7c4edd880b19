//! The driver of a map: the table that it is cut over, wired or listed from files.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use dermflow_core::{Artifact, Contract, Record, SampleId, StageError, TableManifest, TableType};
use dermflow_store::{Store, TableWriter as StoredTableWriter};

use crate::action::Action;
use crate::side_rows::input_table;
use crate::sources::BoundSource;

/// Where the record of a map over files keeps the list of files that it saw. No kind's port
/// starts with a dot.
pub const LISTING_OUTPUT: &str = ".files";

/// The table that an action is cut over.
pub(super) fn driver_table(store: &Store, action: &Action, over: &str) -> Result<TableManifest, StageError> {
    match action.inputs.get(over).map(Vec::as_slice) {
        Some([input]) => match input.artifact()? {
            Artifact::Table(table) => Ok(table.clone()),
            other => Err(StageError::new(format!(
                "the input `{over}` holds a {}, not a table",
                other.sort()
            ))),
        },
        Some(_) => Err(StageError::new(format!(
            "a map runs over one table, and `{over}` has several"
        ))),
        None => {
            let mut sources = action.sources.values();
            match (sources.next(), sources.next()) {
                (Some(source), None) => list_files(store, source),
                _ => Err(StageError::new(
                    "a map over files needs exactly one source".to_string(),
                )),
            }
        }
    }
}

/// A source's files as a `FileList` table.
fn list_files(store: &Store, source: &BoundSource) -> Result<TableManifest, StageError> {
    // The contract is one of the crate's own, so it is there.
    let contract = Contract::named("FileList").unwrap_or(&dermflow_core::CONTRACTS[0]);
    let schema = TableType::of(contract).schema();
    let mut writer = StoredTableWriter::new(store, contract.name, schema.clone())?;
    for files in source.files.chunks(8192) {
        let ids: Vec<SampleId> = files
            .iter()
            .map(|(_, blob)| SampleId::of_content_digest(blob.digest))
            .collect();
        let names = StringArray::from_iter_values(files.iter().map(|(name, _)| name));
        let bytes = Int64Array::from_iter_values(files.iter().map(|(_, blob)| blob.bytes as i64));
        let columns = vec![
            dermflow_core::sample_ids(&ids),
            Arc::new(names) as _,
            Arc::new(bytes) as _,
        ];
        writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
    }
    Ok(writer.finish()?)
}

/// The driver's table behind a record of an earlier member of a family.
pub(crate) fn driver_of(store: &Store, record: &Record, over: &str) -> Option<TableManifest> {
    if let Some(Artifact::Table(listing)) = record.outputs.get(LISTING_OUTPUT) {
        return Some(listing.clone());
    }
    input_table(store, record, over, 0)
}
