//! Lays a pipeline's named outputs where people open them: plain Parquet and CSV,
//! safetensors, folders of files, under `results/<pipeline>/`.
//!
//! A hidden index remembers which artifact each path holds, so that an unchanged result costs
//! one `stat`, and a result file can be asked for its lineage.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use dermflow_core::{
    Artifact, BlobRef, ColumnType, Digest, Key, StageError, TableManifest, sample_ids_as_text,
};
use dermflow_store::{Store, TableReader as StoredTableReader};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};

/// The index of published files in a pipeline's results folder.
const INDEX: &str = ".published.json";

/// Locked by the process that lays outputs in a folder.
const TURN: &str = ".published.lock";

/// A table with more rows than this gets no CSV beside its Parquet file.
const MOST_CSV_ROWS: u64 = 100_000;

/// What a published path holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// The artifact's name.
    pub artifact: Digest,
    /// The action that made it.
    pub action: Key,
    /// The output port.
    pub port: String,
    bytes: u64,
    modified_nanoseconds: u128,
}

type Index = BTreeMap<String, Published>;

/// A pipeline's results folder, while outputs are laid in it. Its index is read and written
/// once, however many outputs there are.
pub struct Results<'a> {
    store: &'a Store,
    folder: &'a Path,
    index: Index,
    changed: bool,
    /// Processes that lay the same outputs out take turns.
    _turn: File,
}

impl<'a> Results<'a> {
    /// Waits for its turn in the folder, which is made if it is missing.
    ///
    /// # Errors
    /// Where the folder can't be written.
    pub fn open(store: &'a Store, folder: &'a Path) -> Result<Results<'a>, StageError> {
        let turn = take_turn(folder)?;
        Ok(Results {
            store,
            folder,
            index: read_index(folder),
            changed: false,
            _turn: turn,
        })
    }

    /// Writes the artifact to `name` in the folder, with the ending that fits, if it isn't
    /// there already. Returns the path, and whether anything was written.
    ///
    /// # Errors
    /// Where a blob is damaged or the disk is full.
    pub fn lay(
        &mut self,
        name: &str,
        (action, port): (Key, &str),
        artifact: &Artifact,
    ) -> Result<(PathBuf, bool), StageError> {
        let file = match artifact {
            Artifact::Table(_) => format!("{name}.parquet"),
            Artifact::Model(_) => format!("{name}.safetensors"),
            Artifact::Files(_) => name.to_string(),
        };
        let path = self.folder.join(&file);
        let mut files = vec![file];
        if let Artifact::Table(table) = artifact
            && table.rows <= MOST_CSV_ROWS
        {
            files.push(format!("{name}.csv"));
        }
        let found = artifact.name();
        let is_there = |file: &String| {
            let held = self.index.get(file).filter(|held| held.artifact == found);
            held.is_some_and(|held| held.is_unchanged(&self.folder.join(file)))
        };
        if files.iter().all(is_there) {
            return Ok((path, false));
        }
        for file in files {
            let path = self.folder.join(&file);
            // A kill before the index is written leaves a file that doesn't fit its old entry,
            // or has none: it is laid out again.
            export(self.store, artifact, &path)?;
            let (bytes, modified_nanoseconds) = stamp(&path).unwrap_or_default();
            let held = Published {
                artifact: found,
                action,
                port: port.to_string(),
                bytes,
                modified_nanoseconds,
            };
            self.index.insert(file, held);
            self.changed = true;
        }
        Ok((path, true))
    }

    /// Writes the index, if anything was laid out.
    ///
    /// # Errors
    /// Where the folder can't be written.
    pub fn close(self) -> Result<(), StageError> {
        match self.changed {
            true => write_index(self.folder, &self.index),
            false => Ok(()),
        }
    }
}

impl Published {
    fn is_unchanged(&self, path: &Path) -> bool {
        stamp(path) == Some((self.bytes, self.modified_nanoseconds))
    }
}

/// What a published file holds, if it is one and was not changed since.
pub fn published(path: &Path) -> Option<Published> {
    let held = read_index(path.parent()?).remove(path.file_name()?.to_str()?)?;
    held.is_unchanged(path).then_some(held)
}

/// Held until it is dropped.
fn take_turn(folder: &Path) -> Result<File, StageError> {
    let path = folder.join(TURN);
    let fail = |error: std::io::Error| StageError::io("locking", &path, &error);
    std::fs::create_dir_all(folder).map_err(fail)?;
    let file = File::options()
        .append(true)
        .create(true)
        .open(&path)
        .map_err(fail)?;
    file.lock().map_err(fail)?;
    Ok(file)
}

fn read_index(folder: &Path) -> Index {
    let text = std::fs::read(folder.join(INDEX)).unwrap_or_default();
    // An index that can't be read costs writing the results again.
    serde_json::from_slice(&text).unwrap_or_default()
}

fn write_index(folder: &Path, index: &Index) -> Result<(), StageError> {
    let text = serde_json::to_vec_pretty(index).map_err(|error| StageError::new(error.to_string()))?;
    replace(&folder.join(INDEX), &mut |path| {
        std::fs::write(path, &text).map_err(|error| StageError::io("writing", path, &error))
    })
}

/// Size and time of change of a file; of a folder, its own.
fn stamp(path: &Path) -> Option<(u64, u128)> {
    let found = std::fs::metadata(path).ok()?;
    let modified = found.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((found.len(), modified.as_nanos()))
}

/// Writes to a name beside `path` and renames, so that nobody sees half a file.
fn replace(path: &Path, write: &mut dyn FnMut(&Path) -> Result<(), StageError>) -> Result<(), StageError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| StageError::io("creating", folder, &error))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let written = write(&temporary).and_then(|()| {
        std::fs::rename(&temporary, path).map_err(|error| StageError::io("writing", path, &error))
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Writes an artifact to a path, in the place of what is there: a table as `.parquet` or `.csv`
/// by the path's ending, a model as a file, files as a folder.
///
/// # Errors
/// Where a blob is damaged, the table can't be told in that format, or the disk is full.
pub fn export(store: &Store, artifact: &Artifact, path: &Path) -> Result<(), StageError> {
    let ending = path
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default();
    match artifact {
        Artifact::Table(table) => match ending {
            "parquet" => replace(path, &mut |path| write_parquet(store, table, path)),
            "csv" => replace(path, &mut |path| write_csv(store, table, path)),
            _ => Err(StageError::new(format!(
                "{}: a table is exported as .parquet or .csv",
                path.display()
            ))),
        },
        Artifact::Model(blob) => replace(path, &mut |path| copy(&store.blob_path(blob)?, path)),
        Artifact::Files(files) => write_folder(store, files, path),
    }
}

/// Fills a hidden folder beside `path` and puts it in its place.
fn write_folder(store: &Store, files: &BTreeMap<String, BlobRef>, path: &Path) -> Result<(), StageError> {
    let beside = |ending: &str| -> PathBuf {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.with_file_name(format!(".{name}.{ending}"))
    };
    let (old, new) = (beside("old"), beside("new"));
    for leftover in [&old, &new] {
        let _ = std::fs::remove_dir_all(leftover);
    }
    std::fs::create_dir_all(&new).map_err(|error| StageError::io("creating", &new, &error))?;
    for (name, blob) in files {
        let target = new.join(name);
        let folder = target.parent().unwrap_or(&new);
        std::fs::create_dir_all(folder).map_err(|error| StageError::io("creating", folder, &error))?;
        copy(&store.blob_path(blob)?, &target)?;
    }
    if path.exists() {
        std::fs::rename(path, &old).map_err(|error| StageError::io("replacing", path, &error))?;
    }
    std::fs::rename(&new, path).map_err(|error| StageError::io("writing", path, &error))?;
    let _ = std::fs::remove_dir_all(&old);
    Ok(())
}

/// Blobs are read-only; a result is the reader's own, so it is writable.
fn copy(from: &Path, to: &Path) -> Result<(), StageError> {
    let fail = |error: std::io::Error| StageError::io("writing", to, &error);
    let source = File::open(from).map_err(|error| StageError::io("reading", from, &error))?;
    let mut target = File::create(to).map_err(fail)?;
    std::io::copy(&mut BufReader::new(source), &mut target).map_err(fail)?;
    Ok(())
}

fn write_parquet(store: &Store, table: &TableManifest, path: &Path) -> Result<(), StageError> {
    let reader = StoredTableReader::open(store, table, None)?;
    let file = File::create(path).map_err(|error| StageError::io("writing", path, &error))?;
    let level = ZstdLevel::try_new(3).unwrap_or_default();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .build();
    let fail = |error: parquet::errors::ParquetError| {
        StageError::new(format!("writing {}: {error}", path.display()))
    };
    let mut writer = ArrowWriter::try_new(file, reader.schema(), Some(properties)).map_err(fail)?;
    for batch in reader {
        writer.write(&batch?).map_err(fail)?;
    }
    writer.close().map_err(fail)?;
    Ok(())
}

fn write_csv(store: &Store, table: &TableManifest, path: &Path) -> Result<(), StageError> {
    let columns = table
        .columns
        .iter()
        .filter(|column| column.column_type != ColumnType::Binary);
    let columns: Vec<String> = columns.map(|column| column.name.clone()).collect();
    let reader = StoredTableReader::open(store, table, Some(&columns))?;
    let file = File::create(path).map_err(|error| StageError::io("writing", path, &error))?;
    let mut writer = arrow::csv::WriterBuilder::new()
        .with_header(true)
        .build(BufWriter::new(file));
    let empty = RecordBatch::new_empty(reader.schema());
    writer.write(&as_text(&empty)?)?;
    for batch in reader {
        writer.write(&as_text(&batch?)?)?;
    }
    Ok(())
}

/// Ids as hexadecimal digits and lists as `a;b;c`: what CSV can hold.
fn as_text(batch: &RecordBatch) -> Result<RecordBatch, StageError> {
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        let texts: Option<StringArray> = match field.data_type() {
            DataType::FixedSizeBinary(_) => Some(sample_ids_as_text(array.as_fixed_size_binary(), 32)),
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                Some(
                    (0..lists.len())
                        .map(|row| (!lists.is_null(row)).then(|| joined(&lists.value(row))))
                        .collect(),
                )
            }
            _ => None,
        };
        match texts {
            Some(texts) => {
                fields.push(Field::new(field.name(), DataType::Utf8, field.is_nullable()));
                arrays.push(std::sync::Arc::new(texts));
            }
            None => {
                fields.push(field.as_ref().clone());
                arrays.push(array.clone());
            }
        }
    }
    Ok(RecordBatch::try_new(
        std::sync::Arc::new(Schema::new(fields)),
        arrays,
    )?)
}

fn joined(list: &ArrayRef) -> String {
    let options = arrow::util::display::FormatOptions::default();
    match arrow::util::display::ArrayFormatter::try_new(list, &options) {
        Ok(formatter) => (0..list.len())
            .map(|at| formatter.value(at).to_string())
            .collect::<Vec<_>>()
            .join(";"),
        Err(_) => String::new(),
    }
}
