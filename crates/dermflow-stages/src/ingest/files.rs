//! The listed files, those of the same bytes together. Reads no file.

use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch, StringArray};
use dermflow_core::{SAMPLE_ID, SampleId, StageError, TableReader};

use super::pattern::Pattern;
use crate::columns::ids_of;

/// Columns of the list that are used up here; all others are carried along.
pub const USED: [&str; 4] = [SAMPLE_ID, "source", "bytes", "content"];

/// A listed file.
pub struct Listed {
    /// Its name in the list.
    pub source: String,
    /// What the pattern reads from the name; empty without a pattern, none where it doesn't fit.
    pub parts: Option<Vec<String>>,
    /// Its row of the columns that are carried along.
    pub carried: RecordBatch,
}

/// Where the bytes of a run are.
pub enum Bytes {
    /// In a file.
    At(PathBuf),
    /// In the list: the one value of this array.
    Here(BinaryArray),
}

/// The files of the same bytes.
pub struct Run {
    /// What they all hash to.
    pub id: SampleId,
    /// The files, in the order of the list.
    pub files: Vec<Listed>,
    /// The bytes of the first that fits the pattern, or of the first.
    pub bytes: Bytes,
}

/// Runs of files, one after the other.
pub struct Files<'a> {
    listed: Box<dyn TableReader>,
    root: Option<&'a Path>,
    pattern: Option<&'a Pattern>,
    batch: Option<RecordBatch>,
    row: usize,
    begun: Option<Run>,
}

impl<'a> Files<'a> {
    /// The files of a list, which lie below `root` or are in the list themselves.
    pub fn new(
        listed: Box<dyn TableReader>,
        root: Option<&'a Path>,
        pattern: Option<&'a Pattern>,
    ) -> Files<'a> {
        Files {
            listed,
            root,
            pattern,
            batch: None,
            row: 0,
            begun: None,
        }
    }

    /// The next run, or nothing at the end.
    ///
    /// # Errors
    /// Where the list can't be read.
    pub fn next_run(&mut self) -> Result<Option<Run>, StageError> {
        loop {
            let Some((id, listed, bytes)) = self.next_file()? else {
                return Ok(self.begun.take());
            };
            match &mut self.begun {
                Some(begun) if begun.id == id => {
                    let fits = |listed: &Listed| listed.parts.is_some();
                    if fits(&listed) && !begun.files.iter().any(fits) {
                        begun.bytes = bytes;
                    }
                    begun.files.push(listed);
                }
                begun => {
                    let files = vec![listed];
                    let ended = begun.replace(Run { id, files, bytes });
                    if ended.is_some() {
                        return Ok(ended);
                    }
                }
            }
        }
    }

    fn next_file(&mut self) -> Result<Option<(SampleId, Listed, Bytes)>, StageError> {
        let batch = loop {
            match &self.batch {
                Some(batch) if self.row < batch.num_rows() => break batch,
                _ => match self.listed.next() {
                    Some(batch) => (self.batch, self.row) = (Some(batch?), 0),
                    None => return Ok(None),
                },
            }
        };
        let row = self.row;
        self.row += 1;
        let id: Result<[u8; 32], _> = ids_of(batch)?.value(row).try_into();
        let id = SampleId::from_bytes(id.map_err(|_| without(SAMPLE_ID))?);
        let column = |name: &str| batch.column_by_name(name);
        let sources = column("source").and_then(|column| column.as_any().downcast_ref::<StringArray>());
        let source = sources.ok_or_else(|| without("source"))?.value(row).to_string();
        let bytes = match self.root {
            Some(root) => Bytes::At(root.join(&source)),
            None => {
                let content = column("content").and_then(|content| content.as_binary_opt::<i32>());
                Bytes::Here(content.ok_or_else(|| without("content"))?.slice(row, 1))
            }
        };
        let schema = batch.schema();
        let kept: Vec<usize> = (0..batch.num_columns())
            .filter(|at| !USED.contains(&schema.field(*at).name().as_str()))
            .collect();
        let parts = match self.pattern {
            None => Some(Vec::new()),
            Some(pattern) => pattern.parts(&source),
        };
        let carried = batch.project(&kept)?.slice(row, 1);
        let listed = Listed {
            source,
            parts,
            carried,
        };
        Ok(Some((id, listed, bytes)))
    }
}

fn without(column: &str) -> StageError {
    StageError::new(format!("the list of files came without its column `{column}`"))
}
