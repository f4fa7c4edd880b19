//! [`StoreError`]: what can go wrong with a store, in words for the person who can act.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dermflow_core::{BlobRef, Cause, StageError};

/// What went wrong.
#[derive(Clone, Debug)]
pub enum StoreError {
    /// The file system refused.
    Io {
        /// What was being done: `reading`, `writing`.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What it said.
        error: Arc<io::Error>,
    },
    /// The disk, or the user's share of it, is full.
    Full {
        /// What was being written.
        path: PathBuf,
        /// How many bytes it has at least, where that is known.
        needed: Option<u64>,
        /// How many bytes are free, where that is known.
        free: Option<u64>,
    },
    /// A blob is gone or is not what its name says. What was there is set aside.
    Damaged {
        /// The blob.
        blob: BlobRef,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no store, journal or the like.
    NotFound {
        /// What was looked for, and where.
        what: String,
    },
    /// The folder holds something else.
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// A later version of the program wrote the store.
    NewerFormat {
        /// The store.
        path: PathBuf,
        /// What its `format` file says.
        found: String,
    },
    /// Other processes use the store, and the work needs it alone; or it is being cleaned.
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// A source file changed whenever it was read.
    SourceChanged {
        /// The file.
        path: PathBuf,
    },
    /// What was given can't be taken: a schema, a path, a fragment.
    Invalid {
        /// What is wrong with it, and what was expected.
        message: String,
        /// What to do.
        help: Option<String>,
    },
    /// The run was interrupted while it waited.
    Cancelled,
}

impl StoreError {
    /// An error of the file system; a full disk is told apart.
    pub(crate) fn io(action: &'static str, path: &Path, error: io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::full(path, None),
            _ => StoreError::Io {
                action,
                path: path.to_path_buf(),
                error: Arc::new(error),
            },
        }
    }

    /// The disk below `path` is full; `needed` bytes were to be written.
    pub(crate) fn full(path: &Path, needed: Option<u64>) -> StoreError {
        let folder = path.ancestors().find(|folder| folder.is_dir());
        let space = folder.and_then(|folder| rustix::fs::statvfs(folder).ok());
        StoreError::Full {
            path: path.to_path_buf(),
            needed,
            free: space.map(|space| space.f_bavail.saturating_mul(space.f_frsize)),
        }
    }

    /// Something that can't be taken.
    pub(crate) fn invalid(message: impl Into<String>) -> StoreError {
        StoreError::Invalid {
            message: message.into(),
            help: None,
        }
    }

    /// What was wrong, where, and what was expected.
    pub fn message(&self) -> String {
        match self {
            StoreError::Io { action, path, error } => format!("{action} {}: {error}", path.display()),
            StoreError::Full { path, needed, free } => {
                let needed = needed.map_or(String::new(), |bytes| format!(" {}", size(bytes)));
                let free = free.map_or(String::new(), |bytes| format!("; {} are free", size(bytes)));
                format!("the disk is full: writing{needed} to {}{free}", path.display())
            }
            StoreError::Damaged { blob, reason } => {
                format!("the blob {} {reason}", blob.digest.short())
            }
            StoreError::NotFound { what } => format!("there is no {what}"),
            StoreError::NotAStore { path } => format!(
                "{} is no store: it holds other things and no file `format`",
                path.display()
            ),
            StoreError::NewerFormat { path, found } => format!(
                "the store {} has the format `{found}`, and this program knows `{}`; nothing was touched",
                path.display(),
                crate::disk::FORMAT
            ),
            StoreError::InUse { path } => format!("the store {} is in use", path.display()),
            StoreError::SourceChanged { path } => {
                format!("{} changed each time it was read", path.display())
            }
            StoreError::Invalid { message, .. } => message.clone(),
            StoreError::Cancelled => "interrupted".to_string(),
        }
    }

    /// What to do, if there is more to say.
    pub fn help(&self) -> Option<String> {
        let text = match self {
            StoreError::Full { .. } => {
                "free space, or let `dermflow gc` remove old results; what was finished is kept"
            }
            StoreError::Damaged { .. } => "run the pipeline again: what made it is executed anew",
            StoreError::NotAStore { .. } => "name another folder for the store, or empty this one",
            StoreError::NewerFormat { .. } => {
                "use the newer program, or name another folder for this program's store"
            }
            StoreError::InUse { .. } => "wait until the other dermflow processes have ended, then try again",
            StoreError::SourceChanged { .. } => {
                "wait until the program that writes it has ended, then run again"
            }
            StoreError::Invalid { help, .. } => return help.clone(),
            StoreError::Io { .. } | StoreError::NotFound { .. } | StoreError::Cancelled => return None,
        };
        Some(text.to_string())
    }
}

/// A number of bytes as people read it.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let power = (0..4)
        .rev()
        .find(|power| bytes >= 1 << (10 * (power + 1)))
        .map_or(0, |power| power + 1);
    match power {
        0 => format!("{bytes} bytes"),
        _ => format!(
            "{:.1} {}",
            bytes as f64 / (1u64 << (10 * power)) as f64,
            UNITS[power]
        ),
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        match self.help() {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<StoreError> for StageError {
    fn from(error: StoreError) -> StageError {
        StageError {
            message: error.message(),
            help: error.help(),
            cause: match error {
                StoreError::Damaged { blob, .. } => Cause::DamagedBlob(blob.digest),
                StoreError::SourceChanged { .. } => Cause::SourceChanged,
                StoreError::Cancelled => Cause::Cancelled,
                _ => Cause::Failed,
            },
        }
    }
}

impl From<arrow::error::ArrowError> for StoreError {
    fn from(error: arrow::error::ArrowError) -> StoreError {
        StoreError::invalid(format!("the rows can't be handled: {error}"))
    }
}

/// What a writer of Parquet or Arrow met while writing below `path`: a full disk lies deep in
/// its chain of causes.
pub(crate) fn writing(path: &Path, error: &(dyn std::error::Error + 'static)) -> StoreError {
    let mut cause = Some(error);
    while let Some(this) = cause {
        if let Some(io) = this.downcast_ref::<io::Error>() {
            let copy = match io.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(io.kind(), io.to_string()),
            };
            return StoreError::io("writing", path, copy);
        }
        cause = this.source();
    }
    let text = error.to_string();
    // parquet keeps some causes as text only.
    match text.contains("No space left on device") || text.contains("StorageFull") {
        true => StoreError::full(path, None),
        false => StoreError::invalid(format!("a table can't be written: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        let sizes: Vec<String> = [0, 1023, 1024, 1 << 20, 3 << 29].map(size).to_vec();
        assert_eq!(sizes, ["0 bytes", "1023 bytes", "1.0 KiB", "1.0 MiB", "1.5 GiB"]);
    }

    #[test]
    fn a_full_disk_is_found_behind_other_errors() {
        let io = io::Error::from(io::ErrorKind::StorageFull);
        let wrapped = parquet::errors::ParquetError::from(io);
        let error = writing(Path::new("/tmp/x"), &wrapped);
        assert!(
            matches!(error, StoreError::Full { free: Some(_), .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("are free"));
    }
}
