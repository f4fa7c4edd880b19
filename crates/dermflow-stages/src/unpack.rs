//! `unpack`: the files in a `.zip`, `.tar` or `.tar.gz` archive, with their bytes, as a table.
//!
//! An archive is one source file, so a change of it unpacks all of it again; what reads the
//! table (`ingest`) does the new files only, since a file is named by its content. Nothing is
//! written to disk by the names in the archive. Must not know what the files are.

mod archive;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, Int64Builder, RecordBatch, StringBuilder};
use dermflow_core::{
    Column, ColumnType, Contract, InputTypes, Inputs, OutputPort, PortType, Problem, SampleId, Source,
    StageContext, StageError, StageKind, TableType, TableWriter, Take, sample_ids,
};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::failure;
use crate::rejects::Rejects;
use archive::{Member, each_member};

/// See the module.
pub struct Unpack;

/// What `unpack` is told under `with:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Unpack")]
pub struct UnpackParameters {
    /// The archive, relative to the pipeline file. Whether it is ZIP, tar or gzipped tar is
    /// told by its content.
    path: String,
    /// Only files whose path in the archive matches one of these patterns: `*` within a name,
    /// `**` across folders, `?`, `{a,b}`. None: all files.
    #[serde(default)]
    matching: Vec<String>,
    /// What unpacking may cost.
    #[serde(default)]
    limits: UnpackLimits,
}

/// What unpacking may cost: a small archive can hold endless zeros.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct UnpackLimits {
    /// Most bytes of a file; larger ones are refused.
    #[schemars(range(min = 1))]
    bytes: u64,
    /// Most bytes of all files; an archive that holds more fails the stage.
    #[schemars(range(min = 1))]
    total: u64,
}

impl Default for UnpackLimits {
    fn default() -> UnpackLimits {
        UnpackLimits {
            bytes: 128 << 20,
            total: 1 << 40,
        }
    }
}

const CONTENT: &str = "content";
/// Bytes that are gathered before they are written.
const GATHERED: usize = 16 << 20;

impl StageKind for Unpack {
    type Parameters = UnpackParameters;
    const NAME: &'static str = "unpack";
    const VERSION: u32 = 1;
    const ABOUT: &'static str =
        "Reads the files in a ZIP, tar or gzipped tar archive, one row a file, named by their content.";
    const EXAMPLE: &'static str = "\
name: unpack-example
stages:
  packed:
    kind: unpack
    with: {path: photos.zip, matching: ['**/*.jpg'], limits: {bytes: 20000000, total: 5000000000}}
outputs:
  files: packed.files
  refused: packed.rejects
";

    fn inputs(_: &UnpackParameters) -> Inputs {
        Inputs::default()
    }

    fn outputs(_: &UnpackParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        let files = PortType::Table(files_type());
        Ok(vec![
            OutputPort::new("files", files, "one row a file, with its bytes"),
            Rejects::port("what is in the archive and can't be taken, and why"),
        ])
    }

    fn check(parameters: &UnpackParameters) -> Vec<Problem> {
        patterns(&parameters.matching).err().into_iter().collect()
    }

    fn sources(parameters: &UnpackParameters) -> Vec<Source> {
        vec![Source {
            parameter: "path".to_string(),
            path: parameters.path.clone(),
            take: Take::File,
        }]
    }

    fn run(parameters: &UnpackParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let path = context.source("path")?;
        let wanted = patterns(&parameters.matching).map_err(failure)?;
        let mut files = FileRows {
            writer: context.write_table("files", files_type().schema())?,
            ids: Vec::new(),
            names: StringBuilder::new(),
            sizes: Int64Builder::new(),
            contents: BinaryBuilder::new(),
            bytes: 0,
        };
        let mut rejects = Rejects::open(context)?;
        let mut total = 0u64;
        let mut count = 0;
        each_member(&path, parameters.limits.bytes, &mut |name, member| {
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            if !wanted.is_match(name) {
                return Ok(());
            }
            count += 1;
            context.progress(count, None);
            match member()? {
                Member::Refused(reason) => rejects.add(None, name.to_string(), reason),
                Member::File(bytes) => {
                    total += bytes.len() as u64;
                    if total > parameters.limits.total {
                        let message = format!(
                            "{} holds more than the {} bytes that `limits.total` allows",
                            path.display(),
                            parameters.limits.total
                        );
                        return Err(StageError::new(message));
                    }
                    files.add(name, bytes)
                }
            }
        })?;
        files.finish()?;
        if rejects.count() > 0 {
            context.log(&format!(
                "{} members were refused: see `rejects`",
                rejects.count()
            ));
        }
        rejects.finish()
    }
}

fn files_type() -> TableType {
    // The contract is in the constant list of contracts; `any` only keeps this total.
    let mut files = Contract::named("FileList").map_or_else(TableType::any, TableType::of);
    files.open = false;
    files.columns.push(Column::new(CONTENT, ColumnType::Binary));
    files
}

fn patterns(matching: &[String]) -> Result<GlobSet, Problem> {
    let mut set = GlobSetBuilder::new();
    let all = ["**".to_string()];
    for (at, pattern) in if matching.is_empty() { &all } else { matching }
        .iter()
        .enumerate()
    {
        let glob = GlobBuilder::new(pattern).literal_separator(true).build();
        set.add(glob.map_err(|error| Problem::new(format!("matching.{at}"), error.to_string()))?);
    }
    set.build()
        .map_err(|error| Problem::new("matching", error.to_string()))
}

/// The output `files` while it is written.
struct FileRows {
    writer: Box<dyn TableWriter>,
    ids: Vec<SampleId>,
    names: StringBuilder,
    sizes: Int64Builder,
    contents: BinaryBuilder,
    bytes: usize,
}

impl FileRows {
    fn add(&mut self, name: &str, content: Vec<u8>) -> Result<(), StageError> {
        self.ids.push(SampleId::of_content(&content));
        self.names.append_value(name);
        self.sizes.append_value(content.len() as i64);
        self.bytes += content.len();
        self.contents.append_value(content);
        match self.bytes < GATHERED {
            true => Ok(()),
            false => self.write(),
        }
    }

    fn write(&mut self) -> Result<(), StageError> {
        let columns: Vec<ArrayRef> = vec![
            sample_ids(&std::mem::take(&mut self.ids)),
            Arc::new(self.names.finish()),
            Arc::new(self.sizes.finish()),
            Arc::new(self.contents.finish()),
        ];
        self.bytes = 0;
        self.writer
            .write(&RecordBatch::try_new(files_type().schema(), columns)?)
    }

    fn finish(mut self) -> Result<(), StageError> {
        self.write()?;
        self.writer.finish()
    }
}
