//! The folder that a program runs in: what lies there before, and the context that tells of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dermflow_core::{Column, NamedFile, StageContext, StageError, TableFiles, TableType};
use serde::Serialize;

use super::parameters::{Output, PlainOutput, ProcessParameters, to_json};

/// One attempt's folder. `work` is where the program runs.
pub struct Folder {
    pub work: PathBuf,
    pub home: PathBuf,
    pub context: PathBuf,
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
    /// taken for a whole one. Only `scratch` of the context stays.
    pub fn prepare(
        parameters: &ProcessParameters,
        seed: Option<u64>,
        context: &dyn StageContext,
    ) -> Result<Folder, StageError> {
        let attempt = new_attempt(&absolute(context.scratch())?)?;
        let folder = Folder {
            work: attempt.join("work"),
            home: attempt.join("home"),
            context: attempt.join("context.json"),
            messages: attempt.join("messages"),
        };
        let scratch = absolute(&context.scratch().join("kept"))?;
        let outputs = folder.work.join("outputs");
        for made in [&folder.home, &scratch, &outputs] {
            make(made)?;
        }
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
        write(&folder.messages, b"")?;
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
            let source = context.source(&ProcessParameters::source_parameter(at))?;
            let path = self.work.join(&file.name);
            link(&source, &path)?;
            files.insert(file.name.as_str(), path);
        }
        Ok(files)
    }

    /// Links what is wired in, so that it has speaking names, and describes it.
    fn inputs(&self, context: &dyn StageContext) -> Result<BTreeMap<String, serde_json::Value>, StageError> {
        let mut inputs = BTreeMap::new();
        for (port, sort) in context.wired() {
            dermflow_core::artifact::safe_relative_path(&port).map_err(StageError::new)?;
            let place = self.work.join("inputs").join(&port);
            make(&place)?;
            let told = match sort {
                "table" => {
                    let tables = context.table_files(&port)?;
                    let several = tables.len() != 1;
                    let tables = tables.iter().enumerate().map(|(at, table)| match several {
                        true => link_table(&place.join(at.to_string()), table),
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
                    link(&context.model(&port)?, &path)?;
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
    make(place)?;
    let known = TableType::from_schema("Table", &table.schema).map_err(StageError::new)?;
    let mut parquet = Vec::with_capacity(table.parquet.len());
    for (at, file) in table.parquet.iter().enumerate() {
        let path = place.join(format!("part-{at:05}.parquet"));
        link(file, &path)?;
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
        if let (true, Some(parent)) = (file.name.contains('/'), path.parent()) {
            make(parent)?;
        }
        link(&file.path, &path)?;
        told.insert(file.name.clone(), path);
    }
    Ok(ToldInput::Files { files: told })
}

fn absolute(path: &Path) -> Result<PathBuf, StageError> {
    std::path::absolute(path).map_err(|error| StageError::io("finding", path, &error))
}

fn make(folder: &Path) -> Result<(), StageError> {
    std::fs::create_dir_all(folder).map_err(|error| StageError::io("making the folder", folder, &error))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), StageError> {
    std::fs::write(path, bytes).map_err(|error| StageError::io("writing", path, &error))
}

fn link(target: &Path, path: &Path) -> Result<(), StageError> {
    std::os::unix::fs::symlink(absolute(target)?, path)
        .map_err(|error| StageError::io("linking", path, &error))
}

/// A folder with a name of its own, after those of earlier attempts are gone. A program whose
/// driver was killed may still be at work in one of them: under another name, it can't reach
/// this attempt's outputs.
fn new_attempt(scratch: &Path) -> Result<PathBuf, StageError> {
    const PREFIX: &str = "attempt-";
    for entry in std::fs::read_dir(scratch).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            remove(&entry.path());
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
