//! What `process` is told, and what can be said of it before anything runs.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use dermflow_core::{CONTRACTS, Contract, OutputPort, PortType, Problem, TableType, Tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::{DeclaredColumn, declared_type, refuse_declared_sample_id};

/// What `process` and `random-process` are told under `with:`.
///
/// The program runs in an empty folder. There it finds its declared files under their names,
/// its inputs under `inputs/PORT/` (tables as Parquet files, models as `model.safetensors`,
/// files under their own names), and leaves its outputs where `outputs/` says: a table as
/// `outputs/NAME.parquet`, a model as `outputs/NAME.safetensors`, files in the folder
/// `outputs/NAME/`. It must not write elsewhere, and not change its inputs. Whatever else it
/// leaves there is gone when it ends; `HOME` and `TMPDIR` are the same folder.
///
/// Its environment holds `PATH`, `HOME`, `TMPDIR`, `LANG=C.UTF-8`, what `environment` sets,
/// and `DERMFLOW_CONTEXT`: the path of a JSON file with `version`, `inputs` (by port: `kind`
/// and `parquet` paths with `schema` and `rows`, or `path`, or `files` by name; a list where
/// several are wired), `files`, `parameters`, `outputs` (by name: `kind` and `path`),
/// `scratch` (a folder that outlives a killed attempt: for checkpoints), `seed`, `threads`
/// and `messages`. Lines that it appends to the file `messages`, which it makes, are told while
/// it runs:
/// `{"type":"progress","done":3,"total":10}`, `{"type":"log","line":"…"}`,
/// `{"type":"metric","name":"…","value":0.5}`; so is what it prints.
///
/// What it writes must depend on nothing but these. Libraries and an interpreter's modules
/// are not seen: change the stage's `salt` when they change.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Process")]
pub struct ProcessParameters {
    /// The program and its arguments, or one text that `/bin/sh` runs. A program without `/`
    /// is looked up in `PATH`; one with `/` is absolute or one of `files` (`./run.sh`).
    pub(super) command: Command,
    /// Files and folders that the program reads, its own source included, relative to the
    /// pipeline file: `summarise.py`, or `{path: ../shared/x.csv, name: x.csv}`. Their content
    /// counts. They lie in the program's folder under their own names.
    #[serde(default)]
    pub(super) files: Vec<DeclaredFile>,
    /// Environment variables. Nothing is taken over from the environment of the run: what
    /// counts must stand here.
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
    /// Anything that the program is to know; passed on as JSON.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub(super) parameters: BTreeMap<String, serde_yaml::Value>,
    /// What the program makes, by name: `{table: Labels}` (a contract; more columns may come),
    /// `{table: {label: text, age: {type: integer, nullable: true}}}` (exactly these, besides
    /// `sample_id`), `model`, or `files`.
    pub(super) outputs: BTreeMap<String, Output>,
    /// Seconds after which the program is stopped and the stage fails. Left out: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001))]
    pub(super) timeout: Option<f64>,
}

/// A program and its arguments, or text for a shell.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a list of the program and its arguments, or one text for /bin/sh"
)]
pub enum Command {
    /// Run by `/bin/sh -c`.
    Shell(String),
    /// The program, then its arguments, as they are.
    Program(Vec<String>),
}

/// A declared file. Its name is part of the key, its path isn't.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "WrittenFile")]
pub struct DeclaredFile {
    pub(super) name: String,
    pub(super) path: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a path, or {path: PATH, name: NAME}")]
enum WrittenFile {
    /// Its path; its name is the last part of it.
    Path(String),
    /// Its path and the name under which the program finds it.
    Named(NamedPath),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NamedPath {
    /// Where it lies.
    path: String,
    /// What it is called where the program runs.
    name: String,
}

impl From<WrittenFile> for DeclaredFile {
    fn from(written: WrittenFile) -> DeclaredFile {
        match written {
            WrittenFile::Named(NamedPath { path, name }) => DeclaredFile { name, path },
            WrittenFile::Path(path) => {
                let last = Path::new(&path).file_name().unwrap_or_default();
                DeclaredFile {
                    name: last.to_string_lossy().into_owned(),
                    path,
                }
            }
        }
    }
}

/// What an output is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected `model`, `files`, {table: CONTRACT} or {table: {COLUMN: TYPE}}"
)]
pub enum Output {
    /// Not a table.
    Plain(PlainOutput),
    /// A table.
    Table(TableOutput),
}

/// An output that is not a table.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PlainOutput {
    /// A safetensors file.
    Model,
    /// A folder of files.
    Files,
}

/// An output table.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableOutput {
    /// Its contract or columns.
    pub(super) table: TableColumns,
}

/// A contract, or columns.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a contract's name or columns as {NAME: TYPE}")]
pub enum TableColumns {
    /// At least the columns of the contract.
    Contract(String),
    /// Exactly these besides `sample_id`.
    Columns(BTreeMap<String, DeclaredColumn>),
}

/// Where programs are looked up, unless `environment` sets `PATH`.
pub const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What runs shell commands.
pub const SHELL: &str = "/bin/sh";

impl TableColumns {
    /// The type that the table must have; `at` is the parameter to blame.
    pub(super) fn table_type(&self, at: &str) -> Result<TableType, Problem> {
        match self {
            TableColumns::Columns(columns) => Ok(declared_type(columns)),
            TableColumns::Contract(name) => Contract::named(name).map(TableType::of).ok_or_else(|| {
                let names: Vec<&str> = CONTRACTS.iter().map(|contract| contract.name).collect();
                Problem::new(at, format!("there is no contract `{name}`"))
                    .with_help(format!("the contracts are {}", names.join(", ")))
            }),
        }
    }
}

impl ProcessParameters {
    pub(super) fn source_parameter(at: usize) -> String {
        format!("files.{at}.path")
    }

    pub(super) fn output_ports(&self) -> Result<Vec<OutputPort>, Problem> {
        let ports = self.outputs.iter().map(|(name, output)| {
            let (port_type, about) = match output {
                Output::Plain(PlainOutput::Model) => {
                    (PortType::Model(None), "the model that the program wrote")
                }
                Output::Plain(PlainOutput::Files) => (PortType::Files, "the files that the program wrote"),
                Output::Table(output) => {
                    let table = output.table.table_type(&format!("outputs.{name}.table"))?;
                    (PortType::Table(table), "the table that the program wrote")
                }
            };
            Ok(OutputPort::new(name, port_type, about))
        });
        ports.collect()
    }

    /// The words of the command line.
    pub(super) fn arguments(&self) -> Vec<&str> {
        match &self.command {
            Command::Shell(text) => vec![SHELL, "-c", text],
            Command::Program(words) => words.iter().map(String::as_str).collect(),
        }
    }

    /// Where programs are looked up.
    pub(super) fn path_variable(&self) -> &str {
        self.environment.get("PATH").map_or(DEFAULT_PATH, String::as_str)
    }

    /// The program; none where it is one of `files`, whose content counts anyway.
    pub(super) fn tool(&self) -> Option<Tool> {
        let program = *self.arguments().first()?;
        if program.contains('/') && !program.starts_with('/') {
            return None;
        }
        let folders = self
            .path_variable()
            .split(':')
            .filter(|folder| folder.starts_with('/'));
        Some(Tool {
            name: program.to_string(),
            folders: folders.map(PathBuf::from).collect(),
        })
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = self.command_problems();
        problems.extend(self.file_problems());
        for name in self.environment.keys() {
            if name.is_empty() || name.contains(['=', '\0']) {
                let message = "is no name of an environment variable";
                problems.push(Problem::new(format!("environment.{name}"), message));
            } else if name == "DERMFLOW_CONTEXT" {
                problems.push(Problem::new(format!("environment.{name}"), "is set by dermflow"));
            }
        }
        for (name, value) in &self.parameters {
            if let Err(message) = to_json(value) {
                problems.push(Problem::new(format!("parameters.{name}"), message));
            }
        }
        if self.outputs.is_empty() {
            let problem = Problem::new("outputs", "a program without outputs has no result to keep");
            problems.push(problem.with_help("declare one, such as `outputs: {report: files}`"));
        }
        for (name, output) in &self.outputs {
            let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
            if name.is_empty() || !name.chars().all(plain) {
                let message = "an output's name has letters, digits, `-` and `_` only: it names a file";
                problems.push(Problem::new(format!("outputs.{name}"), message));
            }
            if let Output::Table(TableOutput {
                table: TableColumns::Columns(columns),
            }) = output
            {
                problems.extend(refuse_declared_sample_id(
                    &format!("outputs.{name}.table"),
                    columns.keys(),
                ));
            }
        }
        if self
            .timeout
            .is_some_and(|seconds| !(0.001..=1e9).contains(&seconds))
        {
            problems.push(Problem::new(
                "timeout",
                "must be a number of seconds, 0.001 or more",
            ));
        }
        problems
    }

    fn command_problems(&self) -> Vec<Problem> {
        let words = self.arguments();
        let Some(program) = words.first().filter(|program| !program.is_empty()) else {
            return vec![Problem::new("command", "is empty")];
        };
        let mut problems = Vec::new();
        if words.iter().any(|word| word.contains('\0')) {
            problems.push(Problem::new("command", "contains a zero byte"));
        }
        let relative = program.contains('/') && !program.starts_with('/');
        if relative {
            let first = Path::new(program).components().find_map(|part| match part {
                Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
                _ => None,
            });
            if !self.files.iter().any(|file| Some(&file.name) == first.as_ref()) {
                let message = format!("`{program}` is none of `files`");
                let help = "the program runs in a folder of its own: declare what it needs under `files`";
                problems.push(Problem::new("command", message).with_help(help));
            }
        }
        problems
    }

    fn file_problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (at, file) in self.files.iter().enumerate() {
            let place = format!("files.{at}");
            let name = &file.name;
            if name.contains('/') || dermflow_core::artifact::safe_relative_path(name).is_err() {
                let message = format!("`{name}` can't be its name where the program runs");
                let help = "write {path: PATH, name: NAME} with a plain name";
                problems.push(Problem::new(place, message).with_help(help));
            } else if matches!(name.as_str(), "inputs" | "outputs") {
                let message = format!("`{name}` is the name of a folder that every program gets");
                problems.push(Problem::new(place, message).with_help("write {path: PATH, name: NAME}"));
            } else if self.files[..at].iter().any(|other| other.name == *name) {
                let message = format!("two files would be called `{name}`");
                problems.push(Problem::new(place, message).with_help("write {path: PATH, name: NAME}"));
            }
        }
        problems
    }
}

/// A parameter as JSON.
///
/// # Errors
/// Where JSON has no such value.
pub(super) fn to_json(value: &serde_yaml::Value) -> Result<serde_json::Value, String> {
    use serde_json::Value as Json;
    use serde_yaml::Value as Yaml;
    match value {
        Yaml::Null => Ok(Json::Null),
        Yaml::Bool(truth) => Ok(Json::Bool(*truth)),
        Yaml::String(text) => Ok(Json::String(text.clone())),
        Yaml::Number(number) => {
            let integer = number
                .as_i64()
                .map(Json::from)
                .or(number.as_u64().map(Json::from));
            let float = || {
                number
                    .as_f64()
                    .and_then(serde_json::Number::from_f64)
                    .map(Json::Number)
            };
            integer
                .or_else(float)
                .ok_or_else(|| format!("{number} can't be passed on as JSON"))
        }
        Yaml::Sequence(elements) => elements
            .iter()
            .map(to_json)
            .collect::<Result<_, _>>()
            .map(Json::Array),
        Yaml::Mapping(entries) => {
            let entries = entries.iter().map(|(key, value)| match key {
                Yaml::String(key) => Ok((key.clone(), to_json(value)?)),
                other => Err(format!("the key {other:?} is no text, as JSON needs")),
            });
            entries.collect::<Result<_, _>>().map(Json::Object)
        }
        Yaml::Tagged(tagged) => Err(format!("the tag {} can't be passed on as JSON", tagged.tag)),
    }
}
