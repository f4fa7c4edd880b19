//! Lays a pipeline's named outputs where people open them: plain Parquet and CSV,
//! safetensors, folders of files, under `results/<pipeline>/`.
//!
//! A hidden index remembers which artifact each path holds and the digest of every file, so that
//! an unchanged result costs one `stat` a file (the source index knows the rest), a result that
//! somebody edited is laid again, and a result file can be asked for its lineage. Files that
//! people put beside ours are none of our business; ours that no output gives any more are removed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use dermflow_core::{
    Artifact, BlobRef, ColumnType, Digest, Key, StageError, TableManifest, sample_ids_as_text,
};
use dermflow_graph::Output;
use dermflow_store::{Store, TableReader as StoredTableReader, concatenate};
use serde::{Deserialize, Serialize};

use crate::hashed_file::write_hashed;
use crate::sources::Sources;

mod cell_folder;
mod retire;

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
    /// What the file of the pipeline that laid it is called; empty in indexes of early versions.
    #[serde(default)]
    file: String,
    /// The digests of the files as they were laid: of the path itself (under the empty name), or
    /// of all below it.
    files: Files,
}

/// Files by their path below what holds them; the empty path is that itself.
type Files = BTreeMap<String, Digest>;

type Index = BTreeMap<String, Published>;

/// A pipeline's results folder, while outputs are laid in it. Its index is read and written
/// once, however many outputs there are.
pub struct Results<'a> {
    store: &'a Store,
    sources: &'a Sources,
    folder: PathBuf,
    /// What the pipeline's file is called.
    file: String,
    index: Index,
    changed: bool,
    /// The names that hold the outputs laid out so far, by the output.
    laid: BTreeMap<String, Vec<String>>,
    /// Processes that lay the same outputs out take turns.
    _turn: File,
}

/// The folder for the outputs of a pipeline's cell.
pub(crate) fn results_folder(results: &Path, pipeline: &str, cell: Option<&str>) -> PathBuf {
    let folder = results.join(pipeline);
    match cell {
        // No output can have such a name, so the two never share a folder.
        Some(cell) => folder.join(cell_folder::name_of(cell)),
        None => folder,
    }
}

/// The names in that folder that hold an artifact, the one to tell people of first.
pub(crate) fn names_of(output: &str, artifact: &Artifact) -> Vec<String> {
    match artifact {
        Artifact::Table(table) if table.rows <= MOST_CSV_ROWS => {
            vec![format!("{output}.parquet"), format!("{output}.csv")]
        }
        Artifact::Table(_) => vec![format!("{output}.parquet")],
        Artifact::Model(_) => vec![format!("{output}.safetensors")],
        Artifact::Files(_) => vec![output.to_string()],
    }
}

impl<'a> Results<'a> {
    /// Waits for its turn in the folder, which is made if it is missing. `sources` knows the
    /// digests of files that nobody touched; `file` is the pipeline's.
    ///
    /// # Errors
    /// Where the folder can't be written.
    pub fn open(
        store: &'a Store,
        sources: &'a Sources,
        folder: PathBuf,
        file: &Path,
    ) -> Result<Results<'a>, StageError> {
        let turn = take_turn(&folder)?;
        let file = file.file_name().unwrap_or_default();
        Ok(Results {
            store,
            sources,
            index: read_index(&folder),
            folder,
            file: file.to_string_lossy().into_owned(),
            changed: false,
            laid: BTreeMap::new(),
            _turn: turn,
        })
    }

    /// Whether all these names hold the artifact, in files that nobody touched.
    pub fn hold(&self, names: &[String], artifact: &Digest) -> bool {
        names.iter().all(|name| {
            let held = self.index.get(name).filter(|held| held.artifact == *artifact);
            held.is_some_and(|held| held.is_unchanged(&self.folder.join(name), self.sources))
        })
    }

    /// Writes the artifact to `output` in the folder, with the ending that fits, if it isn't
    /// there already. Returns the path, and whether anything was written.
    ///
    /// # Errors
    /// Where a blob is damaged or the disk is full.
    pub fn lay(
        &mut self,
        output: &str,
        (action, port): (Key, &str),
        artifact: &Artifact,
    ) -> Result<(PathBuf, bool), StageError> {
        let names = names_of(output, artifact);
        let path = self.folder.join(&names[0]);
        let found = artifact.name();
        if self.hold(&names, &found) {
            self.laid.insert(output.to_string(), names);
            return Ok((path, false));
        }
        for name in &names {
            // A kill before the index is written leaves files that don't fit their old entry,
            // or have none: they are laid out again.
            let files = write(self.store, artifact, &self.folder.join(name))?;
            let held = Published {
                artifact: found,
                action,
                port: port.to_string(),
                file: self.file.clone(),
                files,
            };
            self.index.insert(name.clone(), held);
            self.changed = true;
        }
        self.laid.insert(output.to_string(), names);
        Ok((path, true))
    }

    /// Removes what no output of the pipeline, which has these, gives any more, and writes the
    /// index if anything changed. Returns the paths that were removed.
    ///
    /// # Errors
    /// Where the folder can't be written.
    pub fn close(mut self, outputs: &[Output]) -> Result<Vec<PathBuf>, StageError> {
        let removed = self.retire(outputs);
        if self.changed {
            write_index(&self.folder, &self.index)?;
        }
        removed
    }
}

impl Published {
    fn is_unchanged(&self, path: &Path, sources: &Sources) -> bool {
        let is_there = |(name, digest): (&String, &Digest)| {
            let found = match name.is_empty() {
                true => sources.digest(path),
                false => sources.digest(&path.join(name)),
            };
            found.is_ok_and(|found| found == *digest)
        };
        // A folder without files has none that could be missing.
        self.files.iter().all(is_there) && (!self.files.is_empty() || path.is_dir())
    }
}

/// What a published file or folder holds, if it is one and was not changed since. A file within
/// a published folder stands for that.
pub fn published(path: &Path, sources: &Sources) -> Option<Published> {
    path.ancestors().skip(1).find_map(|folder| {
        let mut below = path.strip_prefix(folder).ok()?.iter();
        let name = below.next()?.to_str()?;
        let held = read_index(folder).remove(name)?;
        let inner = below.as_path().to_str()?;
        if inner.is_empty() {
            return held.is_unchanged(path, sources).then_some(held);
        }
        let digest = *held.files.get(inner)?;
        (sources.digest(path).ok()? == digest).then_some(held)
    })
}

/// A result that runs laid out, and what became of it.
#[derive(Clone, Debug)]
pub struct LaidOut {
    /// Where it was laid.
    pub path: PathBuf,
    /// What it holds.
    pub published: Published,
    /// Whether all its files are there and are what they were.
    pub unchanged: bool,
}

/// Everything that runs laid out below a results folder, in order of paths.
///
/// # Errors
/// Where an index of results can't be read though it is there.
pub fn laid_out(results: &Path, sources: &Sources) -> Result<Vec<LaidOut>, StageError> {
    let mut found = Vec::new();
    let mut waiting = vec![results.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        let index = folder.join(INDEX);
        if index.exists() {
            let text = std::fs::read(&index).map_err(|error| StageError::io("reading", &index, &error))?;
            let known: Index = serde_json::from_slice(&text)
                .map_err(|error| StageError::new(format!("{}: {error}", index.display())))?;
            for (name, published) in known {
                let path = folder.join(name);
                let unchanged = published.is_unchanged(&path, sources);
                found.push(LaidOut {
                    path,
                    published,
                    unchanged,
                });
            }
        }
        // Results lie in `<pipeline>/` and `<pipeline>/@<cell>/`.
        let depth = folder
            .strip_prefix(results)
            .map_or(2, |below| below.iter().count());
        let inner = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let folders = inner.filter(|entry| entry.file_type().is_ok_and(|sort| sort.is_dir()));
        let deeper = folders
            .filter(|entry| depth == 0 || depth == 1 && entry.file_name().to_string_lossy().starts_with('@'));
        waiting.extend(deeper.map(|entry| entry.path()));
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Held until it is dropped.
fn take_turn(folder: &Path) -> Result<File, StageError> {
    let path = folder.join(TURN);
    let fail = |error: io::Error| StageError::io("locking", &path, &error);
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

/// Writes to a name beside `path` and renames, so that nobody sees half a file.
fn replace<T>(path: &Path, write: &mut dyn FnMut(&Path) -> Result<T, StageError>) -> Result<T, StageError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| StageError::io("creating", folder, &error))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let written = write(&temporary).and_then(|written| {
        let renamed = std::fs::rename(&temporary, path);
        renamed.map_err(|error| StageError::io("writing", path, &error))?;
        Ok(written)
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
    write(store, artifact, path).map(drop)
}

/// As [`export`]; gives the digests of what was written.
fn write(store: &Store, artifact: &Artifact, path: &Path) -> Result<Files, StageError> {
    let ending = path
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default();
    let one = |digest: Digest| Files::from([(String::new(), digest)]);
    match artifact {
        Artifact::Table(table) => match ending {
            "parquet" => replace(path, &mut |path| write_parquet(store, table, path)).map(one),
            "csv" => replace(path, &mut |path| write_csv(store, table, path)).map(one),
            _ => Err(StageError::new(format!(
                "{}: a table is exported as .parquet or .csv",
                path.display()
            ))),
        },
        Artifact::Model(blob) => {
            replace(path, &mut |path| copy(&store.blob_path(blob)?, path))?;
            Ok(one(blob.digest))
        }
        Artifact::Files(files) => {
            write_folder(store, files, path)?;
            let digests = files.iter().map(|(name, blob)| (name.clone(), blob.digest));
            Ok(digests.collect())
        }
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
    let fail = |error: io::Error| StageError::io("writing", to, &error);
    let source = File::open(from).map_err(|error| StageError::io("reading", from, &error))?;
    let mut target = File::create(to).map_err(fail)?;
    io::copy(&mut BufReader::new(source), &mut target).map_err(fail)?;
    Ok(())
}

fn write_parquet(store: &Store, table: &TableManifest, path: &Path) -> Result<Digest, StageError> {
    write_hashed(path, |file| {
        concatenate(store, table, file, path)?;
        Ok(())
    })
}

fn write_csv(store: &Store, table: &TableManifest, path: &Path) -> Result<Digest, StageError> {
    let columns = table
        .columns
        .iter()
        .filter(|column| column.column_type != ColumnType::Binary);
    let columns: Vec<String> = columns.map(|column| column.name.clone()).collect();
    let reader = StoredTableReader::open(store, table, Some(&columns))?;
    write_hashed(path, |file| {
        let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(file);
        let empty = RecordBatch::new_empty(reader.schema());
        writer.write(&as_text(&empty)?)?;
        for batch in reader {
            writer.write(&as_text(&batch?)?)?;
        }
        let flushed = writer.into_inner().flush();
        flushed.map_err(|error| StageError::io("writing", path, &error))
    })
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
