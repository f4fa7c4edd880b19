//! [`Memo`]: what an invocation found, so that the same one, with nothing changed since, need
//! not read and check the pipeline, bind its stages and read their records again.
//!
//! A memo is never the truth. It names everything that its answer was worked out from, and is
//! believed only where all of that is seen to be as it was:
//! * the program (by `stat`), the arguments that choose and change stages, the current folder;
//! * the pipeline's files (by their bytes);
//! * sources and external programs, through the same index as without a memo;
//! * the record of every action (by `stat`; read again where its times are racy), and every blob
//!   that it names (there, and of its size: what a hit asks for without a memo).
//!
//! By induction over the stages every key is then what it was. Anything else, and anything odd,
//! gives `None`, and the long way finds the answer, or says what is wrong; where only the
//! pipeline's files changed, what they say as before has a head start there.
//!
//! Knows what a memo holds and when it holds true; not what is done with it.

use std::path::{Path, PathBuf};

use dermflow_core::canonical::Value;
use dermflow_core::{BlobRef, Digest, Key, Record, SourceDigest, Take, Tool};
use dermflow_graph::{CellSelection, Loaded, Pipeline, ReadFile};
use dermflow_store::{Stat, Store, now};
use serde::{Deserialize, Serialize};

use crate::history::Sealed;
use crate::plan::PlannedStage;
use crate::sources::Sources;

mod definition;
mod head_start;
#[cfg(test)]
mod tests;
mod writing;

pub(crate) use head_start::HeadStart;
pub(crate) use writing::remember;

/// Actions that one thread looks at; with fewer, another thread costs more than it saves.
const ACTIONS_PER_THREAD: usize = 128;

/// What was asked for, apart from what stands in files.
pub struct Invocation<'a> {
    /// The pipeline file.
    pub file: &'a Path,
    /// `--set` overrides.
    pub overrides: &'a [String],
    /// Which of the file's pipelines.
    pub cells: &'a CellSelection,
    /// Only these stages and what they need; all, if empty.
    pub until: &'a [String],
}

impl Invocation<'_> {
    /// What its memo is called; `None` where there is no telling what relative paths mean.
    pub(crate) fn name(&self) -> Option<Digest> {
        let path = |path: &Path| Value::Bytes(path.as_os_str().as_encoded_bytes().to_vec());
        let texts = |texts: &[String]| Value::List(texts.iter().cloned().map(Value::Text).collect());
        let cells = match self.cells {
            CellSelection::Base => ["base", ""],
            CellSelection::Variant(name) => ["variant", name],
            CellSelection::Matrix(name) => ["matrix", name],
            CellSelection::All => ["all", ""],
        };
        let all = Value::List(vec![
            path(&std::env::current_dir().ok()?),
            path(self.file),
            texts(self.overrides),
            texts(&cells.map(str::to_string)),
            texts(self.until),
        ]);
        Some(Digest::derive("dermflow invocation v1", &all.encode()))
    }
}

/// What a run or a plan needs to leave a memo.
#[derive(Clone, Debug)]
pub struct Remember {
    name: Digest,
    files: Vec<ReadFile>,
    warnings: Warnings,
    program: Program,
    /// Before anything was looked at.
    started: i64,
}

/// What is told of a pipeline before it runs, as it stands on a terminal without and with colours.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Warnings {
    pub plain: String,
    pub coloured: String,
}

impl Remember {
    /// To be made before the pipeline is loaded; `None` where a memo could not be trusted.
    pub fn before_loading(invocation: &Invocation<'_>) -> Option<Remember> {
        Some(Remember {
            name: invocation.name()?,
            files: Vec::new(),
            warnings: Warnings::default(),
            program: Program::this()?,
            started: now(),
        })
    }

    /// With what was loaded.
    #[must_use]
    pub fn loaded(self, loaded: &Loaded) -> Remember {
        Remember {
            files: loaded.files.clone(),
            warnings: Warnings {
                plain: loaded.warnings.render(false),
                coloured: loaded.warnings.render(true),
            },
            ..self
        }
    }

    /// Leaves a memo of these plans, one for each pipeline, if every stage is a hit.
    pub fn plans(&self, store: &Store, pipelines: &[Pipeline], plans: &[Vec<PlannedStage>]) {
        let all = |stages: &Vec<PlannedStage>| stages.iter().all(|stage| stage.finished.is_some());
        if plans.iter().all(all) {
            let finished = |pipeline: usize, stage: usize| plans[pipeline][stage].finished.clone();
            remember(store, self, &HeadStart::default(), pipelines, &finished);
        }
    }
}

/// The file of this program: a changed kind, or another way to read pipelines, is another program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Program {
    path: PathBuf,
    stat: Stat,
}

impl Program {
    fn this() -> Option<Program> {
        let path = std::env::current_exe().ok()?;
        let stat = Stat::of(&std::fs::metadata(&path).ok()?);
        Some(Program { path, stat })
    }
}

/// See the module.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Memo {
    program: Program,
    started: i64,
    files: Vec<ReadFile>,
    pub warnings: Warnings,
    sources: Vec<KnownSource>,
    tools: Vec<KnownTool>,
    pub actions: Vec<KnownAction>,
    pub pipelines: Vec<KnownPipeline>,
}

/// A source that stages name. One that only stages name which were not wanted has no digest, and
/// must only be there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct KnownSource {
    path: PathBuf,
    take: Take,
    digest: Option<SourceDigest>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct KnownTool {
    tool: Tool,
    folder: PathBuf,
    digest: Digest,
}

/// An action with its record as it was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KnownAction {
    pub key: Key,
    /// How long it took.
    pub seconds: f64,
    stat: Stat,
    /// Before the record was read.
    recorded: i64,
    outputs: Digest,
    /// What its journal line says.
    pub sealed: Sealed,
    pub blobs: Vec<BlobRef>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KnownPipeline {
    pub name: String,
    pub cell: Option<String>,
    pub file: PathBuf,
    pub stages: Vec<KnownStage>,
    pub outputs: Vec<KnownOutput>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KnownStage {
    pub name: String,
    pub kind: String,
    /// Among [`Memo::actions`].
    pub action: usize,
    /// See [`definition`].
    definition: Digest,
}

/// A named output: what holds it in the results folder, and what it is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KnownOutput {
    pub names: Vec<String>,
    pub artifact: Digest,
}

impl KnownAction {
    /// `record` was read, or written, after `started`.
    fn of(store: &Store, key: Key, record: &Record, started: i64) -> Option<KnownAction> {
        let stat = store.record_stat(&key)?;
        let mut known = KnownAction {
            key,
            seconds: record.making.seconds,
            stat,
            recorded: started,
            outputs: outputs_of(record)?,
            sealed: Sealed::of(record),
            blobs: record
                .outputs
                .values()
                .flat_map(|artifact| artifact.blobs())
                .collect(),
        };
        // Written since, by this process most likely, but others use the store as well: what
        // stands there now is what counts.
        match stat.is_settled(started) || known.read_again(store) {
            true => Some(known),
            false => None,
        }
    }

    /// Reads the record again; whether it is the one that is known.
    fn read_again(&mut self, store: &Store) -> bool {
        self.recorded = now();
        let Some(stat) = store.record_stat(&self.key) else {
            return false;
        };
        self.stat = stat;
        match store.get_record(&self.key) {
            Ok(Some(record)) => {
                outputs_of(&record) == Some(self.outputs) && record.making.seconds == self.seconds
            }
            _ => false,
        }
    }

    /// Whether a file of it lies in the remote and not here.
    pub(crate) fn is_elsewhere(&self, store: &Store) -> bool {
        store.is_elsewhere(self.blobs.iter().copied())
    }

    fn still_holds(&self, store: &Store) -> Standing {
        // What the remote may still lack is pushed by the long way.
        if store.record_stat(&self.key) != Some(self.stat) || store.is_unshared(&self.key) {
            return Standing::Changed;
        }
        match self.blobs.iter().all(|blob| store.has_blob(blob)) {
            false => Standing::Changed,
            true if self.stat.is_settled(self.recorded) => Standing::Holds,
            true => Standing::Racy,
        }
    }
}

/// What a look at an action gave.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    Holds,
    /// As it was for all that can be seen, but the times don't prove it.
    Racy,
    Changed,
}

/// All that later stages, results and completeness take from a record.
fn outputs_of(record: &Record) -> Option<Digest> {
    let told = serde_json::to_vec(&record.outputs).ok()?;
    Some(Digest::derive("dermflow remembered outputs v1", &told))
}

/// The memo of an invocation, if everything that it was worked out from is as it was.
pub(crate) fn recall(store: &Store, sources: &Sources, invocation: &Invocation<'_>) -> Option<Memo> {
    let name = invocation.name()?;
    let mut memo: Memo = postcard::from_bytes(&store.read_memo(&name)?).ok()?;
    let outside = memo.program_holds()
        && memo.files.iter().all(ReadFile::is_unchanged)
        && memo.sources.iter().all(|source| source.is_unchanged(sources))
        && memo.tools.iter().all(|tool| tool.is_unchanged(sources));
    if !outside || !memo.is_coherent() {
        return None;
    }
    let racy = look_at_all(store, &memo.actions)?;
    if !racy.is_empty() {
        for at in racy {
            if !memo.actions[at].read_again(store) {
                return None;
            }
        }
        // So that it need not be read a third time.
        let _ = store.write_memo(&name, &postcard::to_stdvec(&memo).ok()?);
    }
    Some(memo)
}

/// The actions whose records must be read again; `None` where any changed.
fn look_at_all(store: &Store, actions: &[KnownAction]) -> Option<Vec<usize>> {
    let look = |from: usize, actions: &[KnownAction]| -> Option<Vec<usize>> {
        let mut racy = Vec::new();
        for (at, action) in actions.iter().enumerate() {
            match action.still_holds(store) {
                Standing::Holds => {}
                Standing::Racy => racy.push(from + at),
                Standing::Changed => return None,
            }
        }
        Some(racy)
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = actions.len().div_ceil(ACTIONS_PER_THREAD).clamp(1, cores.min(8));
    let share = actions.len().div_ceil(threads).max(1);
    let mut shares = actions.chunks(share).enumerate();
    let first = shares.next();
    std::thread::scope(|scope| {
        let others: Vec<_> = shares
            .map(|(at, actions)| scope.spawn(move || look(at * share, actions)))
            .collect();
        let mut racy = first.map_or(Some(Vec::new()), |(_, actions)| look(0, actions));
        for other in others {
            // A thread that panicked saw nothing.
            let found = other.join().ok().flatten();
            racy = racy.zip(found).map(|(racy, found)| [racy, found].concat());
        }
        racy
    })
}

impl Memo {
    /// Whether what it says can be followed, whoever wrote it.
    fn is_coherent(&self) -> bool {
        let mut stages = self.pipelines.iter().flat_map(|pipeline| &pipeline.stages);
        stages.all(|stage| stage.action < self.actions.len())
    }

    fn program_holds(&self) -> bool {
        self.program.stat.is_settled(self.started) && Program::this().as_ref() == Some(&self.program)
    }
}

impl KnownSource {
    fn is_unchanged(&self, sources: &Sources) -> bool {
        match &self.digest {
            Some(digest) => {
                let found = sources.bind(&self.path, &self.take);
                found.is_ok_and(|found| found.digest == *digest)
            }
            // What loading asks for.
            None => match (std::fs::metadata(&self.path), &self.take) {
                (Ok(found), Take::File) => !found.is_dir(),
                (Ok(found), Take::Folder { .. }) => found.is_dir(),
                (Ok(_), Take::FileOrFolder) => true,
                (Err(_), _) => false,
            },
        }
    }
}

impl KnownTool {
    fn is_unchanged(&self, sources: &Sources) -> bool {
        let found = sources.tool(&self.tool, &self.folder);
        found.is_ok_and(|(_, digest)| digest == self.digest)
    }
}
