//! [`reproduce`]: runs an artifact's whole ancestry afresh, from the records alone, and compares
//! digests.
//!
//! Every action is run as its record says: kind, version, parameters, seed, inputs. Pipeline files
//! are not read, so it doesn't matter what became of them. Source files are found by content:
//! where the store last saw them, or below a folder that is named. An action whose inputs came
//! out the same must give the same; the first that doesn't is the answer.

mod sources;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dermflow_core::canonical::Value;
use dermflow_core::{Artifact, Digest, Key, Record, Registry, StageError};
use dermflow_engine::{ActionFile, Event, FORGOTTEN_SOURCE, Interrupt, StageLabel, execute_quietly};
use dermflow_store::{Erasure, Store};
use serde::Serialize;

use crate::graph::Graph;
use crate::records::Records;
use sources::Finder;

/// How to do it.
#[derive(Clone, Debug, Default)]
pub struct Options<'a> {
    /// Runs the one action, its inputs taken from the store as they are.
    pub only: bool,
    /// A folder to look for source files in.
    pub sources: Option<&'a Path>,
    /// How many threads an action may use; 0 means as many as the machine has.
    pub jobs: usize,
}

/// One action that was run again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The stage, as the newest run calls it.
    pub stage: String,
    /// The kind.
    pub kind: String,
    /// The action.
    pub action: Key,
    /// Each output: what it was, what it is now.
    pub outputs: BTreeMap<String, (Digest, Digest)>,
    /// Wall seconds then.
    pub seconds_then: f64,
    /// Wall seconds now.
    pub seconds_now: f64,
}

impl Step {
    /// Whether every output came out as it was.
    pub fn is_same(&self) -> bool {
        self.outputs.values().all(|(was, now)| was == now)
    }
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reproduced {
    /// Whether everything came out as it was.
    pub same: bool,
    /// The actions in the order they were run; the last one differs where anything does.
    pub steps: Vec<Step>,
    /// How many actions were not run, because one before them differs.
    pub left: usize,
}

/// Reproduces the result of an action in another store, which should be empty.
///
/// # Errors
/// Where this program computes something else (another version of a kind), a source or program is
/// not to be found as it was, or an action fails.
#[allow(
    clippy::too_many_arguments,
    reason = "each is another thing, named at the call"
)]
pub fn reproduce(
    records: &Records,
    graph: &Graph<'_>,
    key: &Key,
    registry: &Registry,
    into: &Store,
    options: &Options<'_>,
    interrupt: &Interrupt,
    tell: &dyn Fn(&Step),
) -> Result<Reproduced, StageError> {
    let order = match options.only {
        true => vec![*key],
        false => graph.ancestry(key),
    };
    for (_, tombstone) in records.store().tombstones()? {
        into.erase(&tombstone, &Erasure::default())?;
    }
    let finder = Finder::new(records, into, options.sources)?;
    let again = Again {
        records,
        graph,
        registry,
        into,
        finder,
        jobs: match options.jobs {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            jobs => jobs,
        },
        interrupt,
    };
    if options.only {
        again.take_inputs(key)?;
    }
    let mut steps = Vec::new();
    for (at, key) in order.iter().enumerate() {
        let step = again.run(key)?;
        tell(&step);
        let same = step.is_same();
        steps.push(step);
        if !same {
            return Ok(Reproduced {
                same: false,
                steps,
                left: order.len() - at - 1,
            });
        }
    }
    Ok(Reproduced {
        same: true,
        steps,
        left: 0,
    })
}

struct Again<'a> {
    records: &'a Records,
    graph: &'a Graph<'a>,
    registry: &'a Registry,
    into: &'a Store,
    finder: Finder<'a>,
    jobs: usize,
    interrupt: &'a Interrupt,
}

impl Again<'_> {
    /// Copies the records of an action's inputs, with their blobs.
    fn take_inputs(&self, key: &Key) -> Result<(), StageError> {
        for input in self.graph.inputs(key) {
            let record = self.records.record(&input.key)?;
            for blob in record.outputs.values().flat_map(Artifact::blobs) {
                self.into.put_file(&self.records.store().blob_path(&blob)?)?;
            }
            self.into.commit(record)?.wait()?;
        }
        Ok(())
    }

    fn run(&self, key: &Key) -> Result<Step, StageError> {
        let record = self.records.record(key)?;
        let stage = self.records.title(key);
        let of_stage = |error: StageError| StageError {
            message: format!("{stage} ({}): {}", key.digest().short(), error.message),
            ..error
        };
        let file = self.action_file(key, &record).map_err(of_stage)?;
        file.save(self.into)?;
        let quiet = |_: &Event| {};
        execute_quietly(key, self.into, self.registry, self.interrupt, &quiet).map_err(of_stage)?;
        let now = self.into.get_record(key)?;
        let now = now.ok_or_else(|| StageError::new(format!("{stage} ended without a record")))?;
        let outputs = record.outputs.iter().map(|(port, was)| {
            // An output that is missing now is as different as can be.
            let now = now.outputs.get(port).map_or(Digest::of(b""), Artifact::name);
            (port.clone(), (was.name(), now))
        });
        Ok(Step {
            stage,
            kind: record.manifest.kind.clone(),
            action: *key,
            outputs: outputs.collect(),
            seconds_then: record.making.seconds,
            seconds_now: now.making.seconds,
        })
    }

    /// The action as its record says, with sources where they lie now.
    fn action_file(&self, key: &Key, record: &Record) -> Result<ActionFile, StageError> {
        let manifest = &record.manifest;
        let kind = self.registry.get(&manifest.kind);
        let kind =
            kind.ok_or_else(|| StageError::new(format!("this program has no kind `{}`", manifest.kind)))?;
        if kind.version() != manifest.version {
            return Err(StageError::new(format!(
                "the record is of version {} of `{}`, and this program computes version {}",
                manifest.version,
                manifest.kind,
                kind.version()
            ))
            .with_help(format!("use the program that made it: {}", record.making.program)));
        }
        let mut sources: BTreeMap<String, PathBuf> = BTreeMap::new();
        let mut parameters = manifest.parameters.clone();
        for parameter in manifest.sources.keys().filter(|name| *name != FORGOTTEN_SOURCE) {
            // What is taken depends on other parameters, so a place is put in first.
            put(&mut parameters, parameter, ".");
        }
        let problem = |problem: dermflow_core::Problem| StageError::new(problem.message);
        let typed = kind.parse(&parameters.to_yaml()).map_err(problem)?;
        for source in kind.sources(&typed) {
            let wanted = manifest.sources.get(&source.parameter).ok_or_else(|| {
                StageError::new(format!("the record names no source `{}`", source.parameter))
            })?;
            let path = self.finder.find(&source.parameter, wanted, &source.take)?;
            put(&mut parameters, &source.parameter, &path.to_string_lossy());
            sources.insert(source.parameter, path);
        }
        let mut inputs: BTreeMap<String, Vec<(usize, Key, String)>> = BTreeMap::new();
        for input in self.graph.inputs(key) {
            let wire = input.wire;
            inputs
                .entry(wire.port)
                .or_default()
                .push((wire.place, input.key, wire.output));
        }
        let inputs = inputs.into_iter().map(|(port, mut all)| {
            all.sort();
            let all = all.into_iter().map(|(_, key, output)| (key, output)).collect();
            (port, all)
        });
        let label = self.records.uses(key).last().map(|last| StageLabel {
            pipeline: last.line.pipeline.clone(),
            cell: last.line.cell.clone(),
            stage: last.line.stage.clone(),
            kind: manifest.kind.clone(),
        });
        Ok(ActionFile {
            key: *key,
            label: label.unwrap_or_else(|| StageLabel {
                pipeline: "reproduce".to_string(),
                cell: None,
                stage: manifest.kind.clone(),
                kind: manifest.kind.clone(),
            }),
            parameters,
            seed: manifest.seed.unwrap_or(0),
            salt: manifest.salt.clone(),
            folder: self.folder(key),
            sources,
            inputs: inputs.collect(),
            jobs: self.jobs,
            forced: false,
        })
    }

    /// The folder of the pipeline file that the action was last run from: where a program's
    /// relative path starts.
    fn folder(&self, key: &Key) -> PathBuf {
        let here = PathBuf::from(".");
        let Some(last) = self.records.uses(key).last() else {
            return here;
        };
        let lines = self
            .records
            .store()
            .read_journal(&last.journal)
            .unwrap_or_default();
        let header = lines.first().cloned().unwrap_or_default();
        let pipelines = header["pipelines"].as_array().cloned().unwrap_or_default();
        let file = pipelines
            .iter()
            .find(|one| one["name"].as_str() == Some(&last.line.pipeline))
            .and_then(|one| one["file"].as_str());
        let folder = file.and_then(|file| Path::new(file).parent());
        folder
            .filter(|folder| !folder.as_os_str().is_empty())
            .map_or(here, Path::to_path_buf)
    }
}

fn put(parameters: &mut Value, path: &str, text: &str) {
    if let Some(place) = parameters.at_mut(path.split('.')) {
        *place = Value::Text(text.to_string());
    }
}
