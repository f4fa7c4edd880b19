//! A table file ready to be read, whatever its format. What `import-table` and the importers
//! of labels and boxes share.

use std::path::Path;

use dermflow_core::{StageContext, StageError, TableType};

use super::assemble::TakesRows;
use super::parameters::{ImportTableParameters, KnownFormat};
use super::plan::Plan;
use super::{parquet_rows, text_rows};

/// A file whose columns are known.
pub(crate) struct TableFile<'a> {
    parameters: &'a ImportTableParameters,
    path: &'a Path,
    format: KnownFormat,
    plan: Plan,
}

impl<'a> TableFile<'a> {
    /// Looks at the columns of the file at `path`; all of it is read where types are to be
    /// inferred.
    ///
    /// # Errors
    /// Where it can't be read, or lacks a column that is asked for.
    pub fn open(
        parameters: &'a ImportTableParameters,
        path: &'a Path,
        context: &dyn StageContext,
    ) -> Result<TableFile<'a>, StageError> {
        let format = parameters.known_format().map_err(crate::columns::failure)?;
        let plan = match format {
            KnownFormat::Parquet => parquet_rows::plan(parameters, path)?,
            KnownFormat::Text(format) => text_rows::plan(parameters, path, format, context)?,
        };
        Ok(TableFile {
            parameters,
            path,
            format,
            plan,
        })
    }

    /// What its rows become.
    pub fn table(&self) -> &TableType {
        &self.plan.table
    }

    /// Hands over every row, or the reason for which it doesn't fit.
    ///
    /// # Errors
    /// Where the file can't be read, or `rows` fails.
    pub fn read(&self, rows: &mut dyn TakesRows, context: &dyn StageContext) -> Result<(), StageError> {
        match self.format {
            KnownFormat::Parquet => parquet_rows::read(&self.plan, self.path, rows, context),
            KnownFormat::Text(format) => {
                text_rows::read(self.parameters, &self.plan, self.path, format, rows, context)
            }
        }
    }
}
