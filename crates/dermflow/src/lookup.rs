//! What `ARTIFACT` means on the command line: `stage.port` (or `stage`) of the newest run or of a
//! pipeline as it is written now, a digest prefix, or the path of a result file.

use std::path::Path;

use dermflow_core::{Artifact, Key, Record};
use dermflow_engine::{JournalLine, Sources, published};
use dermflow_lineage::Records;
use dermflow_store::{Found, Store};

use crate::exit::Failure;
use crate::planned::PlanOptions;

/// An artifact with the action that made it.
pub struct Located {
    /// The action.
    pub key: Key,
    /// Its record.
    pub record: Record,
    /// The output port.
    pub port: String,
}

impl Located {
    /// The artifact.
    pub fn artifact(&self) -> Result<&Artifact, Failure> {
        let found = self.record.outputs.get(&self.port);
        found.ok_or_else(|| Failure::new(format!("the action {} has no output `{}`", self.key, self.port)))
    }
}

/// The stage's action and output that a name means, by what is on record: as [`locate`], and at
/// once where the store is large.
pub fn locate_on_record(records: &Records, name: &str) -> Result<(Key, String), Failure> {
    let store = records.store();
    if Path::new(name).is_file() || Path::new(name).is_dir() && name.contains('/') {
        let sources = Sources::new(store, false);
        if let Some(held) = published(Path::new(name), &sources) {
            return Ok(records.stage_of(&held.action, &held.port));
        }
        if Path::new(name).is_file() {
            let digest = sources.digest(Path::new(name))?;
            let holds = |artifact: &Artifact| artifact.blobs().iter().any(|blob| blob.digest == digest);
            let mut shown = records
                .stages()
                .flat_map(|(key, node)| node.shown().map(move |one| (key, one)));
            if let Some((key, (port, _))) = shown.find(|(_, (_, artifact))| holds(artifact)) {
                return Ok((*key, port.to_string()));
            }
        }
        return Err(not_a_result(Path::new(name)));
    }
    if let Some(located) = by_stage(store, name)? {
        return Ok(records.stage_of(&located.key, &located.port));
    }
    if !looks_like_digest(name) {
        return Err(no_name(name));
    }
    let mut artifacts = std::collections::BTreeMap::new();
    for (key, node) in records.stages() {
        for (port, artifact) in &node.names {
            let of_action = key.hex().starts_with(name) && !port.starts_with('.');
            if of_action || artifact.hex().starts_with(name) {
                artifacts.entry(*artifact).or_insert((*key, port.clone()));
            }
        }
    }
    match artifacts.len() {
        0 => {
            // A partition of a map is on record, and no stage.
            let located = by_digest(store, name)?;
            Ok(records.stage_of(&located.key, &located.port))
        }
        1 => Ok(artifacts.into_values().next().unwrap_or_else(|| unreachable!())),
        _ => Err(Failure::new(format!(
            "`{name}` fits several artifacts: give more digits"
        ))),
    }
}

fn not_a_result(path: &Path) -> Failure {
    Failure::Failed(
        dermflow_core::StageError::new(format!(
            "{} is not a result that a run laid out, or was changed since, and no artifact holds a file of its content",
            path.display()
        ))
        .with_help("results lie under results/<pipeline>/; `dermflow ls` lists artifacts by digest"),
    )
}

fn looks_like_digest(name: &str) -> bool {
    name.len() >= 4 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn no_name(name: &str) -> Failure {
    Failure::new(format!(
        "`{name}` is no stage of a run here, no digest and no result file"
    ))
}

/// Finds an artifact by any of its names.
pub fn locate(store: &Store, name: &str) -> Result<Located, Failure> {
    locate_in(store, name, &PlanOptions::default())
}

/// The same, with stages of this pipeline if one is given.
pub fn locate_in(store: &Store, name: &str, pipeline: &PlanOptions) -> Result<Located, Failure> {
    if pipeline.is_given() {
        let by_plan = by_plan(store, name, pipeline)?;
        return by_plan.ok_or_else(|| Failure::new(format!("`{name}` is no stage of that pipeline")));
    }
    if Path::new(name).is_file() || Path::new(name).is_dir() && name.contains('/') {
        return by_path(store, Path::new(name));
    }
    let by_run = by_stage(store, name);
    if let Ok(Some(located)) = by_run {
        return Ok(located);
    }
    // No run here has it, and yet it may be there: a colleague's, or one whose journal is gone.
    if let Some(located) = by_plan(store, name, pipeline)? {
        return Ok(located);
    }
    by_run?;
    by_digest(store, name)
}

/// `stage`, `stage.port`, `cell:stage` or `cell:stage.port`.
struct StageName<'a> {
    cell: Option<&'a str>,
    stage: &'a str,
    port: Option<&'a str>,
}

impl StageName<'_> {
    fn parse(name: &str) -> StageName<'_> {
        let (cell, rest) = match name.rsplit_once(':') {
            Some((cell, rest)) => (Some(cell), rest),
            None => (None, name),
        };
        let (stage, port) = match rest.split_once('.') {
            Some((stage, port)) => (stage, Some(port)),
            None => (rest, None),
        };
        StageName { cell, stage, port }
    }

    /// The artifact at the port that is named, or at the only one.
    fn output_of(&self, key: Key, record: Record) -> Result<Located, Failure> {
        let shown = record.outputs.keys().filter(|port| !port.starts_with('.'));
        let ports: Vec<String> = shown.cloned().collect();
        let port = match (self.port, ports.as_slice()) {
            (Some(port), _) if ports.iter().any(|known| known == port) => port.to_string(),
            (None, [only]) => only.clone(),
            _ => {
                let (stage, which) = (self.stage, ports.join("`, `"));
                return Err(Failure::new(format!(
                    "the stage `{stage}` has the outputs `{which}`: name one of them"
                )));
            }
        };
        Ok(Located { key, record, port })
    }
}

/// The result of a stage by the plan of a pipeline.
fn by_plan(store: &Store, name: &str, pipeline: &PlanOptions) -> Result<Option<Located>, Failure> {
    let name = StageName::parse(name);
    let finished = pipeline.result(store, name.cell, name.stage)?;
    finished
        .map(|finished| name.output_of(finished.key, finished.record()?.clone()))
        .transpose()
}

fn by_path(store: &Store, path: &Path) -> Result<Located, Failure> {
    let sources = Sources::new(store, false);
    if let Some(held) = published(path, &sources) {
        return open(store, held.action, held.port);
    }
    if let Some(located) = by_content(store, path, &sources)? {
        return Ok(located);
    }
    Err(not_a_result(path))
}

/// The artifact that is, or holds, a file of this content: a model or a file that somebody
/// copied elsewhere.
fn by_content(store: &Store, path: &Path, sources: &Sources) -> Result<Option<Located>, Failure> {
    if !path.is_file() {
        return Ok(None);
    }
    let digest = sources.digest(path)?;
    for key in store.records() {
        let Some(record) = store.get_record(&key)? else {
            continue;
        };
        let holds = |artifact: &Artifact| artifact.blobs().iter().any(|blob| blob.digest == digest);
        let shown = |port: &String| !port.starts_with('.');
        let port = record
            .outputs
            .iter()
            .find(|(port, artifact)| shown(port) && holds(artifact));
        if let Some(port) = port.map(|(port, _)| port.clone()) {
            return Ok(Some(Located { key, record, port }));
        }
    }
    Ok(None)
}

fn open(store: &Store, key: Key, port: String) -> Result<Located, Failure> {
    let record = store.get_record(&key)?;
    let record = record.ok_or_else(|| Failure::new(format!("the record {key} is not in the store")))?;
    Ok(Located { key, record, port })
}

/// The result of a stage in the newest run that has it.
fn by_stage(store: &Store, name: &str) -> Result<Option<Located>, Failure> {
    let name = StageName::parse(name);
    let mut journals = store.list_journals();
    journals.reverse();
    for journal in journals {
        let lines = store.read_journal(&journal)?;
        let mut lines = lines
            .into_iter()
            .filter_map(|line| serde_json::from_value::<JournalLine>(line).ok());
        let is_meant = |line: &JournalLine| line.stage == name.stage && line.cell.as_deref() == name.cell;
        let Some(line) = lines.find(is_meant) else {
            continue;
        };
        let record = open(store, line.key, String::new())?.record;
        return name.output_of(line.key, record).map(Some);
    }
    Ok(None)
}

fn by_digest(store: &Store, prefix: &str) -> Result<Located, Failure> {
    if !looks_like_digest(prefix) {
        return Err(no_name(prefix));
    }
    let mut found: Vec<(Key, String)> = Vec::new();
    for one in store.find_artifact(prefix)? {
        match one {
            Found::Artifact { key, port, .. } => found.push((key, port)),
            Found::Action(key) => {
                let ports = open(store, key, String::new())?.record.outputs.into_keys();
                found.extend(
                    ports
                        .filter(|port| !port.starts_with('.'))
                        .map(|port| (key, port)),
                );
            }
            Found::Blob(_) => {}
        }
    }
    found.sort();
    found.dedup();
    match found.as_slice() {
        [] => Err(Failure::new(format!(
            "nothing in the store has a digest that starts with `{prefix}`"
        ))),
        // The same content may have been made by several actions: any of them stands for it.
        [(key, port), rest @ ..] => {
            let first = open(store, *key, port.clone())?;
            let name = first.artifact()?.name();
            for (key, port) in rest {
                if open(store, *key, port.clone())?.artifact()?.name() != name {
                    return Err(Failure::new(format!(
                        "`{prefix}` fits several artifacts: give more digits"
                    )));
                }
            }
            Ok(first)
        }
    }
}
