//! What a running stage sees: its inputs, its outputs, and a way to report.

use std::fmt;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::digest::Digest;

/// The world of a running stage. Only what is here may influence a result.
pub trait StageContext: Send {
    /// Whether an input port has something wired to it.
    fn has_input(&self, port: &str) -> bool;

    /// A reader of the one table wired to `port`, with the columns that the kind declared to
    /// read. May be called again for another pass.
    ///
    /// # Errors
    /// Where nothing or something other than one table is wired, or a blob is damaged.
    fn table(&self, port: &str) -> Result<Box<dyn TableReader>, StageError>;

    /// A reader of each table wired to `port`, in order.
    ///
    /// # Errors
    /// As [`StageContext::table`].
    fn tables(&self, port: &str) -> Result<Vec<Box<dyn TableReader>>, StageError>;

    /// The Parquet files of the tables wired to `port`, for programs that read them
    /// themselves; all columns of the file may be there, only declared ones may be used.
    ///
    /// # Errors
    /// As [`StageContext::table`].
    fn table_files(&self, port: &str) -> Result<Vec<TableFiles>, StageError>;

    /// The model file wired to `port`; read only.
    ///
    /// # Errors
    /// Where nothing or something else is wired, or the blob is damaged.
    fn model(&self, port: &str) -> Result<PathBuf, StageError>;

    /// The files wired to `port` by relative path; read only.
    ///
    /// # Errors
    /// As [`StageContext::model`].
    fn files(&self, port: &str) -> Result<Vec<NamedFile>, StageError>;

    /// Every input port that has something wired to it, with `table`, `model` or `files`.
    fn wired(&self) -> Vec<(String, &'static str)>;

    /// Where the source of parameter `parameter` lies: a file or a folder, to be read only.
    ///
    /// # Errors
    /// Where the kind declared no such source.
    fn source(&self, parameter: &str) -> Result<PathBuf, StageError>;

    /// The files of that source that were hashed into the key, by path relative to it
    /// (a single file by its own name), in order.
    ///
    /// # Errors
    /// Where the kind declared no such source.
    fn source_files(&self, parameter: &str) -> Result<Vec<NamedFile>, StageError>;

    /// The external program that [`crate::StageKind::tool`] named, found and hashed into the key.
    fn tool(&self) -> Option<PathBuf>;

    /// Starts an output table with this schema, which must fit the port's type.
    ///
    /// # Errors
    /// Where there is no such port, or the schema doesn't fit.
    fn write_table(&mut self, port: &str, schema: SchemaRef) -> Result<Box<dyn TableWriter>, StageError>;

    /// Takes the model file at `path` as the output `port`.
    ///
    /// # Errors
    /// Where there is no such port, or the file can't be read.
    fn write_model(&mut self, port: &str, path: &Path) -> Result<(), StageError>;

    /// Takes these files as the output `port`.
    ///
    /// # Errors
    /// Where there is no such port, a name leaves its folder, or a file can't be read.
    fn write_files(&mut self, port: &str, files: &[NamedFile]) -> Result<(), StageError>;

    /// A folder of this action alone. It outlives a killed attempt, so that checkpoints are
    /// found again by the same action, and by no other; it is removed when the action is done.
    fn scratch(&self) -> &Path;

    /// For a random kind: the seed to draw everything from. It comes from the kind's name, the
    /// pipeline's seed and the salt.
    fn seed(&self) -> u64;

    /// How many threads the stage may keep busy. Results must not depend on it.
    fn threads(&self) -> usize;

    /// How many threads may work beside the calling one at this moment. Asked again before each
    /// piece of work, it says more once other stages have ended, and less once they need theirs.
    fn spare_threads(&self) -> usize {
        self.threads().saturating_sub(1)
    }

    /// Tells how far it is: `done` of `total` units, usually rows.
    fn progress(&self, done: u64, total: Option<u64>);

    /// Tells a line to the person who runs the pipeline.
    fn log(&self, line: &str);

    /// Keeps a figure in the action's record.
    fn metric(&mut self, name: &str, value: f64);

    /// True once the run was interrupted: save what is worth saving and return
    /// [`StageError::cancelled`].
    fn cancelled(&self) -> bool;
}

/// Batches of a table in order of sample ids.
pub trait TableReader: Iterator<Item = Result<RecordBatch, StageError>> + Send {
    /// The columns that come: the declared ones.
    fn schema(&self) -> SchemaRef;
    /// How many rows come in all.
    fn rows(&self) -> u64;
}

/// Takes the rows of an output table, in any order: they are sorted by sample id, rows of one
/// sample staying in the order they came.
pub trait TableWriter: Send {
    /// Takes rows.
    ///
    /// # Errors
    /// Where the batch's schema is another, or the disk is full.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError>;

    /// Completes the output. A writer that is dropped without it leaves the output missing.
    ///
    /// # Errors
    /// Where the disk is full.
    fn finish(self: Box<Self>) -> Result<(), StageError>;
}

/// A table as files.
#[derive(Clone, Debug)]
pub struct TableFiles {
    /// The columns that the kind declared to read.
    pub schema: SchemaRef,
    /// Parquet files in order of sample ids.
    pub parquet: Vec<PathBuf>,
    /// Rows in all of them.
    pub rows: u64,
}

/// A file and what it is called in its artifact or source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// The relative path, `/` between the parts.
    pub name: String,
    /// Where it lies on this machine.
    pub path: PathBuf,
}

/// Why a stage stopped without a result.
#[derive(Clone, Debug)]
pub struct StageError {
    /// What was wrong, where, and what was expected.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// What the engine does about it.
    pub cause: Cause,
}

/// What the engine does about a [`StageError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Tells it: the stage failed.
    Failed,
    /// The run was interrupted; nothing is wrong.
    Cancelled,
    /// A blob of an input is damaged or gone: it is set aside and made again.
    DamagedBlob(Digest),
    /// A source file changed while it was read: it is looked at again.
    SourceChanged,
}

impl StageError {
    /// A failure in words.
    pub fn new(message: impl Into<String>) -> StageError {
        StageError {
            message: message.into(),
            help: None,
            cause: Cause::Failed,
        }
    }

    /// The same with advice.
    pub fn with_help(self, help: impl Into<String>) -> StageError {
        StageError {
            help: Some(help.into()),
            ..self
        }
    }

    /// The same with another cause.
    pub fn with_cause(self, cause: Cause) -> StageError {
        StageError { cause, ..self }
    }

    /// The run was interrupted.
    pub fn cancelled() -> StageError {
        StageError::new("interrupted").with_cause(Cause::Cancelled)
    }

    /// A file could not be read or written.
    pub fn io(action: &str, path: &Path, error: &std::io::Error) -> StageError {
        StageError::new(format!("{action} {}: {error}", path.display()))
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for StageError {}

impl From<arrow::error::ArrowError> for StageError {
    fn from(error: arrow::error::ArrowError) -> StageError {
        StageError::new(error.to_string())
    }
}
