//! `list-files`: a folder's files as a table, optionally with their content.
//!
//! For whatever starts from files that are not images. Must not know what is in the files.
//! The engine lists and hashes them ([`Shape::MapFiles`]); this kind passes the list on, and
//! so costs one file where one file is new.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryBuilder, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use dermflow_core::{
    Cause, Column, ColumnType, Contract, FILES_PORT, Inputs, OutputPort, PortType, Problem, SampleId, Shape,
    Source, StageContext, StageError, StageKind, TableType, Take,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::ids_of;

/// See the module.
pub struct ListFiles;

/// What `list-files` is told under `with:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ListFiles")]
pub struct ListFilesParameters {
    /// The folder, relative to the pipeline file. Everything below it counts.
    path: String,
    /// Only files whose path below the folder matches one of these patterns: `*` within a
    /// name, `**` across folders, `?`, `{a,b}`. None: all files.
    #[serde(default)]
    matching: Vec<String>,
    /// Whether the files' bytes come as a column `content`.
    #[serde(default)]
    content: bool,
}

const CONTENT: &str = "content";

impl StageKind for ListFiles {
    type Parameters = ListFilesParameters;
    const NAME: &'static str = "list-files";
    const VERSION: u32 = 1;
    const ABOUT: &'static str = "Lists the files below a folder, one row a file, named by their content.";
    const EXAMPLE: &'static str = "\
name: list-files-example
stages:
  notes:
    kind: list-files
    with: {path: notes, matching: ['**/*.txt'], content: true}
outputs:
  notes: notes.files
";

    fn inputs(_: &ListFilesParameters) -> Inputs {
        Inputs::default()
    }

    fn outputs(
        parameters: &ListFilesParameters,
        _: &dermflow_core::InputTypes,
    ) -> Result<Vec<OutputPort>, Problem> {
        // The contract is in the constant list of contracts; `any` only keeps this total.
        let mut listed = Contract::named("FileList").map_or_else(TableType::any, TableType::of);
        listed.open = false;
        if parameters.content {
            listed.columns.push(Column::new(CONTENT, ColumnType::Binary));
        }
        Ok(vec![OutputPort::new(
            "files",
            PortType::Table(listed),
            "one row a file",
        )])
    }

    fn sources(parameters: &ListFilesParameters) -> Vec<Source> {
        vec![Source {
            parameter: "path".to_string(),
            path: parameters.path.clone(),
            take: Take::Folder {
                matching: parameters.matching.clone(),
            },
        }]
    }

    fn shape(_: &ListFilesParameters) -> Shape {
        Shape::MapFiles
    }

    fn run(parameters: &ListFilesParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let listed = context.table(FILES_PORT)?;
        let mut fields: Vec<_> = listed.schema().fields().iter().cloned().collect();
        if parameters.content {
            fields.push(Arc::new(Column::new(CONTENT, ColumnType::Binary).field()));
        }
        let schema = Arc::new(Schema::new(fields));
        let folder = context.source("path")?;
        let total = listed.rows();
        warn_of_none("path", &parameters.path, &parameters.matching, total, context)?;
        let mut done = 0;
        let mut out = context.write_table("files", schema.clone())?;
        for batch in listed {
            let batch = batch?;
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            let mut columns = batch.columns().to_vec();
            if parameters.content {
                columns.push(contents(&batch, &folder, context)?);
            }
            out.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
            done += batch.num_rows() as u64;
            context.progress(done, Some(total));
        }
        out.finish()
    }
}

/// Tells where a folder has no file that is asked for, which is seldom what was meant: a kind that
/// was given `rows` of its files asks here first.
///
/// # Errors
/// Where the kind declared no source of that parameter.
pub(crate) fn warn_of_none(
    parameter: &str,
    folder: &str,
    matching: &[String],
    rows: u64,
    context: &dyn StageContext,
) -> Result<(), StageError> {
    // Without rows there may be files all the same, none of which is new.
    if rows == 0 && context.source_files(parameter)?.is_empty() {
        context.log(&match matching {
            [] => format!("`{folder}` has no files: is this the right folder?"),
            patterns => format!(
                "no file below `{folder}` matches `{}`: is this the right pattern? Upper and lower case differ",
                patterns.join("`, `")
            ),
        });
    }
    Ok(())
}

/// The bytes of the files of a batch, which must still be what the engine hashed.
fn contents(
    batch: &RecordBatch,
    folder: &std::path::Path,
    context: &dyn StageContext,
) -> Result<ArrayRef, StageError> {
    let ids = ids_of(batch)?;
    let names = batch
        .column_by_name("source")
        .and_then(|column| column.as_any().downcast_ref::<StringArray>())
        .ok_or_else(|| StageError::new("the list of files came without its column `source`"))?;
    let mut bytes = BinaryBuilder::new();
    for row in 0..names.len() {
        if context.cancelled() {
            return Err(StageError::cancelled());
        }
        let path = folder.join(names.value(row));
        let content = std::fs::read(&path).map_err(|error| StageError::io("reading", &path, &error))?;
        if SampleId::of_content(&content).as_bytes() != ids.value(row) {
            let message = format!("{} changed while the pipeline ran", path.display());
            return Err(StageError::new(message).with_cause(Cause::SourceChanged));
        }
        bytes.append_value(content);
    }
    Ok(Arc::new(bytes.finish()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array};
    use dermflow_core::memory::MemoryContext;
    use dermflow_core::{NamedFile, sample_ids};

    use super::*;

    fn listed(files: &[(&str, &str)]) -> RecordBatch {
        let ids: Vec<SampleId> = files
            .iter()
            .map(|(_, content)| SampleId::of_content(content.as_bytes()))
            .collect();
        let schema = TableType::of(Contract::named("FileList").unwrap()).schema();
        let names: StringArray = files.iter().map(|(name, _)| Some(*name)).collect();
        let bytes: Int64Array = files.iter().map(|(_, content)| content.len() as i64).collect();
        RecordBatch::try_new(schema, vec![sample_ids(&ids), Arc::new(names), Arc::new(bytes)]).unwrap()
    }

    fn run(on_disk: &[(&str, &str)], listing: &[(&str, &str)]) -> Result<RecordBatch, StageError> {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in on_disk {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let mut context = MemoryContext::default();
        context.add_source("path", folder.path(), Vec::new());
        context.add_table(FILES_PORT, listed(listing));
        let parameters = ListFilesParameters {
            path: String::new(),
            matching: Vec::new(),
            content: true,
        };
        ListFiles::run(&parameters, &mut context)?;
        Ok(context.output("files"))
    }

    #[test]
    fn two_files_of_one_content_are_two_rows_of_one_sample() {
        let files = [("a.txt", "same"), ("b.txt", "other"), ("c.txt", "same")];
        let table = run(&files, &files).unwrap();
        assert_eq!(table.num_rows(), 3);
        let content = table.column(3).as_binary::<i32>();
        let same = (0..3).filter(|row| content.value(*row) == b"same").count();
        assert_eq!(same, 2);
    }

    #[test]
    fn a_folder_that_has_nothing_of_what_is_asked_for_is_told() {
        let lines = |matching: &[&str], files: Vec<NamedFile>| {
            let mut context = MemoryContext::default();
            context.add_source("path", "photos", files);
            context.add_table(FILES_PORT, listed(&[]));
            let parameters = ListFilesParameters {
                path: "photos".to_string(),
                matching: matching.iter().map(|pattern| pattern.to_string()).collect(),
                content: false,
            };
            ListFiles::run(&parameters, &mut context).unwrap();
            context.lines.into_inner().unwrap()
        };
        let told = lines(&["**/*.JPG"], Vec::new());
        assert!(told.len() == 1 && told[0].contains("`**/*.JPG`"), "{told:?}");
        let told = lines(&[], Vec::new());
        assert!(
            told.len() == 1 && told[0].contains("`photos` has no files"),
            "{told:?}"
        );
        let known = NamedFile {
            name: "a.JPG".to_string(),
            path: "photos/a.JPG".into(),
        };
        assert!(lines(&["**/*.JPG"], vec![known]).is_empty());
    }

    #[test]
    fn a_file_that_changed_since_it_was_hashed_is_not_passed_on() {
        let error = run(&[("a.txt", "new")], &[("a.txt", "old")]).unwrap_err();
        assert_eq!(error.cause, Cause::SourceChanged);
    }
}
