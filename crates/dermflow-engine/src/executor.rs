//! [`Executor`]: runs whole actions somewhere else. The contract that every executor keeps:
//!
//! * the driver holds the graph and submits only what is ready: every input's record is in
//!   the store before `submit`;
//! * an action is done when its **record is in the store**, whatever the executor says;
//! * running an action twice is harmless: results are write-once, and a lock per key makes
//!   the second wait for the first;
//! * an action runs from its [`ActionFile`] alone, by `dermflow exec KEY --store S`.
//!
//! [`ProcessExecutor`] starts a process on this machine (`run --isolate`).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use dermflow_core::canonical::Value;
use dermflow_core::{Cause, Key, Registry, StageError};
use dermflow_store::Store;
use serde::{Deserialize, Serialize};

use crate::action::{Action, Unbound};
use crate::event::StageLabel;
use crate::finished::Finished;

/// What an executor can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// How many actions it takes at once; `None` means as many as come.
    pub at_once: Option<usize>,
}

/// Runs actions in other processes or on other machines.
pub trait Executor: Send + Sync {
    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Starts an action. `tell` takes the lines that the other side prints.
    ///
    /// # Errors
    /// Where it can't be started.
    fn submit(&self, action: &ActionFile, tell: LineSink) -> Result<Box<dyn Submission>, StageError>;
}

/// Takes lines of output of a submitted action.
pub type LineSink = Arc<dyn Fn(&str) + Send + Sync>;

/// An action on its way.
pub trait Submission: Send {
    /// Whether it ended, and how. `Ok` says only that the executor is through: the caller
    /// looks for the record.
    fn poll(&mut self) -> Option<Result<(), StageError>>;

    /// Asks it to stop.
    fn cancel(&mut self);
}

/// An action in a form that another process can read: `work/<key>.json`, beside its scratch,
/// which is the stage's own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionFile {
    /// The action.
    pub key: Key,
    /// Which stage it is, for people.
    pub label: StageLabel,
    /// The parameters with defaults filled in.
    pub parameters: Value,
    /// The seed of the stage.
    pub seed: u64,
    /// The salt of the stage.
    pub salt: Option<String>,
    /// The folder that a program's relative path starts from.
    pub folder: PathBuf,
    /// Where the sources lie, by parameter.
    pub sources: BTreeMap<String, PathBuf>,
    /// Each input as the action and port that it is an output of.
    pub inputs: BTreeMap<String, Vec<(Key, String)>>,
    /// How many threads it may use.
    pub jobs: usize,
    /// Whether to compute it though the store has it.
    pub forced: bool,
}

/// The other process may have another working directory.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

impl ActionFile {
    /// The file of an action whose inputs are all in the store.
    pub fn of(action: &Action, seed: u64, folder: &Path, jobs: usize, forced: bool) -> ActionFile {
        let inputs = action.inputs.iter().map(|(port, inputs)| {
            let of = inputs.iter().map(|input| (input.from.key, input.output.clone()));
            (port.clone(), of.collect())
        });
        let sources = action.sources.iter();
        ActionFile {
            key: action.key,
            label: action.label.clone(),
            parameters: action.parameters.value().clone(),
            seed,
            salt: action.manifest.salt.clone(),
            folder: absolute(folder),
            sources: sources
                .map(|(parameter, source)| (parameter.clone(), absolute(&source.path)))
                .collect(),
            inputs: inputs.collect(),
            jobs,
            forced,
        }
    }

    /// The stage as this process knows it, with its inputs read from the store.
    ///
    /// # Errors
    /// Where the kind is unknown here, or the record of an input is not in the store.
    pub fn open(&self, store: &Store, registry: &Registry) -> Result<Unbound, StageError> {
        let kind = registry.get(&self.label.kind).cloned();
        let kind =
            kind.ok_or_else(|| StageError::new(format!("this program has no kind `{}`", self.label.kind)))?;
        let parameters = kind.parse(&self.parameters.to_yaml());
        let parameters = parameters.map_err(|problem| StageError::new(problem.message))?;
        let mut inputs = Vec::new();
        for (port, all) in &self.inputs {
            for (key, output) in all {
                let record = store.get_record(key)?;
                let record = record.ok_or_else(|| {
                    StageError::new(format!(
                        "the record {key} of the input `{port}` is not in the store"
                    ))
                    // Another stage found it incomplete; the driver has it made again.
                    .with_cause(Cause::DamagedBlob(key.digest()))
                })?;
                inputs.push((
                    port.clone(),
                    Arc::new(Finished::new(*key, record)),
                    output.clone(),
                ));
            }
        }
        let mut sources = Vec::new();
        for source in kind.sources(&parameters) {
            let path = self.sources.get(&source.parameter).cloned();
            let path = path.ok_or_else(|| {
                StageError::new(format!("the action names no source `{}`", source.parameter))
            })?;
            sources.push((source.parameter, path, source.take));
        }
        Ok(Unbound {
            label: self.label.clone(),
            kind,
            parameters,
            inputs,
            sources,
            folder: self.folder.clone(),
            seed: self.seed,
            salt: self.salt.clone(),
        })
    }

    /// Where the file of an action lies in a store.
    pub fn path(store: &Store, key: &Key) -> PathBuf {
        store.root().join("work").join(format!("{key}.json"))
    }

    /// Takes the file away: the action is done. Where it can't be, `gc` does.
    pub(crate) fn remove(store: &Store, key: &Key) {
        let _ = std::fs::remove_file(ActionFile::path(store, key));
    }

    /// Writes the file where `dermflow exec` looks for it.
    ///
    /// # Errors
    /// Where the store can't be written.
    pub fn save(&self, store: &Store) -> Result<(), StageError> {
        let path = ActionFile::path(store, &self.key);
        let text = serde_json::to_vec_pretty(self).map_err(|error| StageError::new(error.to_string()))?;
        let folder = path.parent().unwrap_or(&path).to_path_buf();
        // Another driver may read the file while it is written.
        let draft = folder.join(format!("{}.json.{}", self.key, std::process::id()));
        let write = || {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(&draft, &text)?;
            std::fs::rename(&draft, &path)
        };
        loop {
            match write() {
                // Another process is done with this very action and took the folder away.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && store.root().is_dir() => {}
                other => return other.map_err(|error| StageError::io("writing", &path, &error)),
            }
        }
    }

    /// Reads the file of an action.
    ///
    /// # Errors
    /// Where there is none, or it says what this version does not understand.
    pub fn load(store: &Store, key: &Key) -> Result<ActionFile, StageError> {
        let path = ActionFile::path(store, key);
        let text = std::fs::read(&path).map_err(|error| {
            StageError::io("reading", &path, &error)
                .with_help("only actions that a driver submitted can be run")
        })?;
        serde_json::from_slice(&text).map_err(|error| StageError::new(format!("{}: {error}", path.display())))
    }
}

/// Starts `program exec KEY --store S` for every action.
pub struct ProcessExecutor {
    program: PathBuf,
    store: Store,
}

impl ProcessExecutor {
    /// With the program that understands `exec`: usually the running one.
    pub fn new(program: PathBuf, store: Store) -> ProcessExecutor {
        ProcessExecutor { program, store }
    }
}

/// How many of its last lines a failed action shows.
const LAST_LINES: usize = 40;

impl Executor for ProcessExecutor {
    fn capabilities(&self) -> Capabilities {
        Capabilities { at_once: None }
    }

    fn submit(&self, action: &ActionFile, tell: LineSink) -> Result<Box<dyn Submission>, StageError> {
        action.save(&self.store)?;
        let mut child = Command::new(&self.program)
            .arg("exec")
            .arg(action.key.hex())
            .arg("--store")
            .arg(self.store.root())
            // An empty one is none, whatever the environment or the store's settings say.
            .arg("--remote")
            .arg(self.store.remote_path().unwrap_or(Path::new("")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| StageError::io("starting", &self.program, &error))?;
        let last: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut readers = Vec::new();
        let pipes: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|p| Box::new(p) as _),
            child.stderr.take().map(|p| Box::new(p) as _),
        ];
        for pipe in pipes.into_iter().flatten() {
            let (tell, last) = (tell.clone(), last.clone());
            readers.push(std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    tell(&line);
                    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                    last.push(line);
                    let surplus = last.len().saturating_sub(LAST_LINES);
                    last.drain(..surplus);
                }
            }));
        }
        Ok(Box::new(ChildProcess { child, readers, last }))
    }
}

struct ChildProcess {
    child: Child,
    readers: Vec<JoinHandle<()>>,
    last: Arc<Mutex<Vec<String>>>,
}

impl Submission for ChildProcess {
    fn poll(&mut self) -> Option<Result<(), StageError>> {
        let status = match self.child.try_wait() {
            Ok(None) => return None,
            Ok(Some(status)) => status,
            Err(error) => return Some(Err(StageError::new(format!("waiting for the process: {error}")))),
        };
        for reader in self.readers.drain(..) {
            // A reader that panicked has told what it could.
            let _ = reader.join();
        }
        if status.success() {
            return Some(Ok(()));
        }
        let last = self
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .join("\n");
        let shown = if last.is_empty() {
            "it printed nothing".to_string()
        } else {
            format!("its last output:\n{last}")
        };
        Some(Err(StageError::new(format!(
            "the process of this stage ended with {status}; {shown}"
        ))))
    }

    fn cancel(&mut self) {
        let id = rustix::process::Pid::from_child(&self.child);
        // It may be gone already, which is what was wanted.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
