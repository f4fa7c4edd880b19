//! The folder that a program runs in: what lies there before, and the context that tells of it.
//!
//! Thousands of stages may each have one, and folders are what costs most in a quick stage: no
//! more of them are made than a program can see.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use dermflow_core::{Column, NamedFile, StageContext, StageError, TableFiles, TableType};
use serde::Serialize;

use super::parameters::{Output, PlainOutput, ProcessParameters, to_json};

/// One attempt's folder. `work` is where the program runs, and its home; the files beside it
/// have its name.
pub struct Folder {
    pub work: PathBuf,
    pub context: PathBuf,
    /// Made by the program, if it has something to tell.
    pub messages: PathBuf,
}

/// What the program is told; the fields are documented at [`ProcessParameters`].
#[derive(Serialize)]
struct Told<'a> {
    version: u32,
    inputs: BTreeMap<String, serde_json::Value>,
    files: BTreeMap<&'a str, PathBuf>,
    parameters: BTreeMap<&'a str, serde_json::Value>,
    outputs: BTreeMap<&'a str, ToldOutput>,
    scratch: PathBuf,
    seed: Option<u64>,
    threads: usize,
    messages: &'a Path,
}

#[derive(Serialize)]
struct ToldOutput {
    kind: &'static str,
    path: PathBuf,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum ToldInput {
    Table {
        schema: Vec<Column>,
        parquet: Vec<PathBuf>,
        rows: u64,
    },
    Model {
        path: PathBuf,
    },
    Files {
        files: BTreeMap<String, PathBuf>,
    },
}

impl Folder {
    /// Makes the folder, empty of what an earlier attempt left: half an output must never be
    /// taken for a whole one. What programs keep in `scratch` of the context stays.
    pub fn prepare(
        parameters: &ProcessParameters,
        seed: Option<u64>,
        context: &dyn StageContext,
    ) -> Result<Folder, StageError> {
        let scratch = absolute(context.scratch())?;
        let work = new_attempt(&scratch)?;
        let folder = Folder {
            context: work.with_extension("json"),
            messages: work.with_extension("messages"),
            work,
        };
        make(&folder.work.join("outputs"))?;
        let told = Told {
            version: 1,
            inputs: folder.inputs(context)?,
            files: folder.declared(parameters, context)?,
            parameters: passed_on(parameters)?,
            outputs: folder.outputs(parameters)?,
            scratch,
            seed,
            threads: context.threads(),
            messages: &folder.messages,
        };
        // Pretty, so that a shell script can find a figure with `sed`.
        let json = serde_json::to_vec_pretty(&told).map_err(|error| StageError::new(error.to_string()))?;
        write(&folder.context, &json)?;
        Ok(folder)
    }

    /// Where an output is to lie.
    pub fn output(&self, name: &str, output: &Output) -> PathBuf {
        let outputs = self.work.join("outputs");
        match output {
            Output::Table(_) => outputs.join(format!("{name}.parquet")),
            Output::Plain(PlainOutput::Model) => outputs.join(format!("{name}.safetensors")),
            Output::Plain(PlainOutput::Files) => outputs.join(name),
        }
    }

    fn outputs<'a>(
        &self,
        parameters: &'a ProcessParameters,
    ) -> Result<BTreeMap<&'a str, ToldOutput>, StageError> {
        let outputs = parameters.outputs.iter().map(|(name, output)| {
            let path = self.output(name, output);
            let kind = match output {
                Output::Table(_) => "table",
                Output::Plain(PlainOutput::Model) => "model",
                Output::Plain(PlainOutput::Files) => {
                    make(&path)?;
                    "files"
                }
            };
            Ok((name.as_str(), ToldOutput { kind, path }))
        });
        outputs.collect()
    }

    fn declared<'a>(
        &self,
        parameters: &'a ProcessParameters,
        context: &dyn StageContext,
    ) -> Result<BTreeMap<&'a str, PathBuf>, StageError> {
        let mut files = BTreeMap::new();
        for (at, file) in parameters.files.iter().enumerate() {
            let parameter = ProcessParameters::source_parameter(at);
            let source = context.source(&parameter)?;
            let path = self.work.join(&file.name);
            match source.is_dir() {
                true => link_folder(&source, &context.source_files(&parameter)?, &path)?,
                false => link(&source, &path)?,
            }
            files.insert(file.name.as_str(), path);
        }
        Ok(files)
    }

    /// Links what is wired in, so that it has speaking names, and describes it.
    fn inputs(&self, context: &dyn StageContext) -> Result<BTreeMap<String, serde_json::Value>, StageError> {
        let mut inputs = BTreeMap::new();
        for (port, sort) in context.wired() {
            dermflow_core::artifact::safe_relative_path(&port).map_err(StageError::new)?;
            let all = self.work.join("inputs");
            if inputs.is_empty() {
                make(&all)?;
            }
            let place = all.join(&port);
            make(&place)?;
            let told = match sort {
                "table" => {
                    let tables = context.table_files(&port)?;
                    let several = tables.len() != 1;
                    let tables = tables.iter().enumerate().map(|(at, table)| match several {
                        true => {
                            let place = place.join(at.to_string());
                            make(&place)?;
                            link_table(&place, table)
                        }
                        false => link_table(&place, table),
                    });
                    let told: Vec<ToldInput> = tables.collect::<Result<_, _>>()?;
                    match several {
                        true => json(&told)?,
                        false => json(&told[0])?,
                    }
                }
                "model" => {
                    let path = place.join("model.safetensors");
                    link_blob(&context.model(&port)?, &path)?;
                    json(&ToldInput::Model { path })?
                }
                _ => json(&link_files(&place, &context.files(&port)?)?)?,
            };
            inputs.insert(port, told);
        }
        Ok(inputs)
    }
}

fn json(told: &impl Serialize) -> Result<serde_json::Value, StageError> {
    serde_json::to_value(told).map_err(|error| StageError::new(error.to_string()))
}

fn passed_on(parameters: &ProcessParameters) -> Result<BTreeMap<&str, serde_json::Value>, StageError> {
    let passed = parameters.parameters.iter();
    passed
        .map(|(name, value)| Ok((name.as_str(), to_json(value).map_err(StageError::new)?)))
        .collect()
}

fn link_table(place: &Path, table: &TableFiles) -> Result<ToldInput, StageError> {
    let known = TableType::from_schema("Table", &table.schema).map_err(StageError::new)?;
    let mut parquet = Vec::with_capacity(table.parquet.len());
    for (at, file) in table.parquet.iter().enumerate() {
        let path = place.join(format!("part-{at:05}.parquet"));
        link_blob(file, &path)?;
        parquet.push(path);
    }
    Ok(ToldInput::Table {
        schema: known.columns,
        parquet,
        rows: table.rows,
    })
}

fn link_files(place: &Path, files: &[NamedFile]) -> Result<ToldInput, StageError> {
    let mut told = BTreeMap::new();
    for file in files {
        dermflow_core::artifact::safe_relative_path(&file.name).map_err(StageError::new)?;
        let path = place.join(&file.name);
        make_parent(&file.name, &path)?;
        link_blob(&file.path, &path)?;
        told.insert(file.name.clone(), path);
    }
    Ok(ToldInput::Files { files: told })
}

/// A folder as it was hashed into the key. Where there is more in it (files of samples that were
/// forgotten) the program gets a folder of links to the others instead.
fn link_folder(source: &Path, files: &[NamedFile], path: &Path) -> Result<(), StageError> {
    let names: HashSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let whole = holds_only(source, "", &names);
    if whole.map_err(|error| StageError::io("reading the folder", source, &error))? {
        return link(source, path);
    }
    make(path)?;
    for file in files {
        let place = path.join(&file.name);
        make_parent(&file.name, &place)?;
        link(&file.path, &place)?;
    }
    Ok(())
}

/// Whether a folder, which lies at `within` in the one that was hashed, has no file but these.
fn holds_only(folder: &Path, within: &str, names: &HashSet<&str>) -> std::io::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        // A store's own files are no source.
        if name == ".dermflow" {
            continue;
        }
        let Some(name) = name.to_str() else {
            return Ok(false);
        };
        let sort = entry.file_type()?;
        let is_folder = match sort.is_symlink() {
            true => std::fs::metadata(entry.path())?.is_dir(),
            false => sort.is_dir(),
        };
        let known = match is_folder {
            true => holds_only(&entry.path(), &format!("{within}{name}/"), names)?,
            false => names.contains(format!("{within}{name}").as_str()),
        };
        if !known {
            return Ok(false);
        }
    }
    Ok(true)
}

fn absolute(path: &Path) -> Result<PathBuf, StageError> {
    std::path::absolute(path).map_err(|error| StageError::io("finding", path, &error))
}

fn make(folder: &Path) -> Result<(), StageError> {
    std::fs::create_dir(folder).map_err(|error| StageError::io("making the folder", folder, &error))
}

/// Makes the folder that a file called `name` is to lie in at `path`, if it is to lie in one.
fn make_parent(name: &str, path: &Path) -> Result<(), StageError> {
    let (true, Some(parent)) = (name.contains('/'), path.parent()) else {
        return Ok(());
    };
    std::fs::create_dir_all(parent).map_err(|error| StageError::io("making the folder", parent, &error))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), StageError> {
    std::fs::write(path, bytes).map_err(|error| StageError::io("writing", path, &error))
}

/// A second name of a read-only file in the store: it takes no space, where a link takes some.
fn link_blob(blob: &Path, path: &Path) -> Result<(), StageError> {
    match std::fs::hard_link(blob, path) {
        // It is somebody else's, has too many names, or lies on another file system.
        Err(_) => link(blob, path),
        Ok(()) => Ok(()),
    }
}

fn link(target: &Path, path: &Path) -> Result<(), StageError> {
    std::os::unix::fs::symlink(absolute(target)?, path)
        .map_err(|error| StageError::io("linking", path, &error))
}

/// A folder with a name of its own, after those of earlier attempts are gone. A program whose
/// driver was killed may still be at work in one of them: under another name, it can't reach
/// this attempt's outputs.
fn new_attempt(scratch: &Path) -> Result<PathBuf, StageError> {
    const PREFIX: &str = ".attempt-";
    for entry in std::fs::read_dir(scratch).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            match entry.file_type().is_ok_and(|sort| sort.is_dir()) {
                true => remove(&entry.path()),
                false => drop(std::fs::remove_file(entry.path())),
            }
        }
    }
    let made = tempfile::Builder::new().prefix(PREFIX).tempdir_in(scratch);
    let made = made.map_err(|error| StageError::io("making a folder in", scratch, &error))?;
    Ok(made.keep())
}

/// Removes a folder, also where the program made parts of it read-only, as well as it can: what
/// is left is in nobody's way, and goes with the action's folder.
fn remove(folder: &Path) {
    if std::fs::remove_dir_all(folder).is_err() {
        unlock(folder);
        let _ = std::fs::remove_dir_all(folder);
    }
}

fn unlock(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700));
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|sort| sort.is_dir()) {
            unlock(&entry.path());
        }
    }
}
