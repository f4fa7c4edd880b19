//! `import-table`: a CSV, TSV, JSON or Parquet file as a table.
//!
//! Every row of the file ends in one of the two outputs: `table`, or `rejects` with the
//! reason. Types are declared, or inferred from the **whole** file: a prefix would make the
//! type of a column depend on where its odd value stands. Streams in bounded memory (with
//! `unique: true`, 32 bytes a row besides). Must not know what the rows are about.

mod assemble;
mod file;
mod infer;
mod json_rows;
mod parameters;
mod parquet_rows;
mod plan;
#[cfg(test)]
mod tests;
mod text_rows;

use dermflow_core::{
    InputTypes, Inputs, OutputPort, PortType, Problem, Source, StageContext, StageError, StageKind, Take,
};

use assemble::Outputs;
pub(crate) use assemble::{Place, TakesRows, file_name};
pub(crate) use file::TableFile;
pub use parameters::ImportTableParameters;
pub(crate) use parameters::{Format, ImportedColumn};

use crate::rejects::Rejects;

/// See the module.
pub struct ImportTable;

impl StageKind for ImportTable {
    type Parameters = ImportTableParameters;
    const NAME: &'static str = "import-table";
    const VERSION: u32 = 1;
    const ABOUT: &'static str =
        "Reads a CSV, TSV, JSON or Parquet file as a table; rows that don't fit become rejects.";
    const EXAMPLE: &'static str = "\
name: import-table-example
stages:
  labels:
    kind: import-table
    with:
      path: labels.csv
      format: csv
      key: image
      contract: Labels
      columns:
        label: {type: text, from: diagnosis}
        age: {type: integer, nullable: true}
      'null': ['', NA]
      delimiter: ';'
      unique: true
outputs:
  labels: labels.table
  refused: labels.rejects
";

    fn inputs(_: &ImportTableParameters) -> Inputs {
        Inputs::default()
    }

    fn outputs(parameters: &ImportTableParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        let table = PortType::Table(parameters.promised()?);
        Ok(vec![
            OutputPort::new("table", table, "the rows that fit"),
            Rejects::port("the rows that don't, and why"),
        ])
    }

    fn check(parameters: &ImportTableParameters) -> Vec<Problem> {
        parameters.problems()
    }

    fn sources(parameters: &ImportTableParameters) -> Vec<Source> {
        vec![Source {
            parameter: "path".to_string(),
            path: parameters.path.clone(),
            take: Take::File,
        }]
    }

    fn run(parameters: &ImportTableParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let path = context.source("path")?;
        let file = TableFile::open(parameters, &path, context)?;
        let mut outputs = Outputs::open(parameters, &path, file.table().schema(), context)?;
        file.read(&mut outputs, context)?;
        outputs.finish(context)
    }
}
