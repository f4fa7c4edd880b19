//! [`Event`]: all that a run tells. The one seam for progress bars, plain lines, `--json`
//! and tests; nothing else is printed while a run goes on.

use dermflow_core::{Digest, Key};
use serde::{Deserialize, Serialize};

use crate::reason::Reason;

/// Where something happened: the stage, and the variant or matrix cell that it stands in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageLabel {
    /// The pipeline's name.
    pub pipeline: String,
    /// The variant or matrix cell, if not the file's base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<String>,
    /// The stage's name.
    pub stage: String,
    /// The stage's kind.
    pub kind: String,
}

impl std::fmt::Display for StageLabel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.cell {
            Some(cell) => write!(f, "{cell}: {}", self.stage),
            None => f.write_str(&self.stage),
        }
    }
}

/// Something that happened in a run.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A run begins.
    RunStarted {
        /// How many stages, over all cells.
        stages: usize,
        /// How many may run at once.
        jobs: usize,
    },
    /// The store has this stage's result.
    StageHit {
        /// Which.
        #[serde(flatten)]
        label: StageLabel,
        /// The action.
        key: Key,
        /// Whether another cell of this very run made it.
        shared: bool,
        /// Whether a file of it lies in the remote and not here; it comes when it is read.
        remote: bool,
    },
    /// A stage is being computed.
    StageStarted {
        /// Which.
        #[serde(flatten)]
        label: StageLabel,
        /// The action.
        key: Key,
        /// Why the store had no result.
        reasons: Vec<Reason>,
        /// For a map: partitions in all, and how many of them the store had.
        #[serde(skip_serializing_if = "Option::is_none")]
        partitions: Option<(usize, usize)>,
    },
    /// How far it is.
    StageProgress {
        /// Which.
        #[serde(flatten)]
        label: StageLabel,
        /// Units done.
        done: u64,
        /// Units in all, where known.
        total: Option<u64>,
    },
    /// A line from the stage.
    StageLog {
        /// Which.
        #[serde(flatten)]
        label: StageLabel,
        /// The line.
        line: String,
    },
    /// A stage was computed, and its record is on its way into the store.
    StageExecuted {
        /// Which.
        #[serde(flatten)]
        label: StageLabel,
        /// The action.
        key: Key,
        /// Wall seconds.
        seconds: f64,
        /// Rows that were computed.
        rows_computed: u64,
        /// Rows taken over from earlier results.
        rows_reused: u64,
    },
    /// A stage failed.
    StageFailed {
        /// Which.
        #[serde(flatten)]
        label: StageLabel,
        /// What was wrong.
        message: String,
        /// What to do.
        #[serde(skip_serializing_if = "Option::is_none")]
        help: Option<String>,
    },
    /// A stage did not start, because one that it needs failed or the run was stopped.
    StageSkipped {
        /// Which.
        #[serde(flatten)]
        label: StageLabel,
    },
    /// The same action gave another result than before. The first stays, if it is whole.
    Nondeterminism {
        /// Which.
        #[serde(flatten)]
        label: StageLabel,
        /// The action.
        key: Key,
        /// The output.
        port: String,
        /// The artifact that came first, and stays if it is not replaced.
        kept: Digest,
        /// The artifact that came now.
        found: Digest,
        /// Whether it takes the place of the first, of which something is gone.
        replaced: bool,
    },
    /// Something stored was damaged or gone; it was set aside and is made again.
    Damaged {
        /// The stage that noticed.
        #[serde(flatten)]
        label: StageLabel,
        /// What was found.
        message: String,
    },
    /// Something about the remote that people should know; the run goes on.
    RemoteNote {
        /// What was found.
        message: String,
        /// What to do.
        #[serde(skip_serializing_if = "Option::is_none")]
        help: Option<String>,
    },
    /// Results were pushed to the remote.
    RemotePushed {
        /// Where it lies.
        remote: String,
        /// Records that it did not have.
        records: u64,
        /// Bytes of blobs that it did not have.
        bytes: u64,
    },
    /// A named output lies where people find it.
    OutputPublished {
        /// The output's name, with the cell where there is one.
        name: String,
        /// The file or folder.
        path: String,
    },
    /// What an earlier run laid was removed: the pipeline no longer has that output, or lays it in
    /// another format.
    OutputRemoved {
        /// The file or folder.
        path: String,
    },
    /// The run is over. Always the last event.
    RunFinished(Summary),
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Stages computed.
    pub executed: usize,
    /// Stages whose result was there.
    pub hit: usize,
    /// Stages that failed.
    pub failed: usize,
    /// Stages that did not start because of a failure or an interruption.
    pub skipped: usize,
    /// Rows computed in all executed stages.
    pub rows_computed: u64,
    /// Rows taken over from earlier results, and rows of partitions that were there.
    pub rows_reused: u64,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// Wall seconds.
    pub seconds: f64,
}

impl Summary {
    /// Whether every stage that was wanted has its result.
    pub(crate) fn is_whole(&self) -> bool {
        self.failed == 0 && self.skipped == 0 && !self.interrupted
    }
}

/// Takes events, from any thread.
pub type Sink<'a> = dyn Fn(&Event) + Send + Sync + 'a;

impl StageLabel {
    /// The label of a pipeline's stage.
    pub fn of(pipeline: &dermflow_graph::Pipeline, stage: usize) -> StageLabel {
        let stage = &pipeline.stages[stage];
        StageLabel {
            pipeline: pipeline.name.clone(),
            cell: pipeline.cell.clone(),
            stage: stage.name.clone(),
            kind: stage.kind.name().to_string(),
        }
    }
}
