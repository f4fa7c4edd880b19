//! [`Rows`]: what of a stored table one call of a kind sees.

use dermflow_core::{SampleId, StageError, TableManifest, TableReader};
use dermflow_store::{Store, TableReader as StoredTableReader, take_samples};

use crate::action::readable;

/// Rows of a table in the store.
#[derive(Clone)]
pub enum Rows {
    /// All of them.
    All(TableManifest),
    /// Those of these samples, which are sorted.
    OfSamples(TableManifest, Vec<SampleId>),
}

impl Rows {
    /// A reader of them that gives only the columns that may be read.
    pub(crate) fn read(
        &self,
        store: &Store,
        reads: &Option<Vec<String>>,
    ) -> Result<Box<dyn TableReader>, StageError> {
        let names = |table: &TableManifest| -> Vec<String> {
            let columns = readable(table, reads).into_iter();
            columns.map(|column| column.name).collect()
        };
        Ok(match self {
            Rows::All(table) => Box::new(StoredTableReader::open(store, table, Some(&names(table)))?),
            Rows::OfSamples(table, samples) => {
                Box::new(take_samples(store, table, samples, Some(&names(table)))?)
            }
        })
    }
}
