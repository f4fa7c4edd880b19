//! The scheduler's graph: a [`Node`] for every stage of every cell.

use std::collections::BTreeSet;
use std::sync::Arc;

use dermflow_core::SideRows;
use dermflow_graph::{Pipeline, Stage};

use crate::event::StageLabel;
use crate::finished::Finished;
use crate::memo::HeadStart;
use crate::worker::Work;

/// A stage of one pipeline, on its way to a result.
pub(super) struct Node {
    pub pipeline: usize,
    pub stage: usize,
    pub label: StageLabel,
    pub downstream: Vec<usize>,
    pub upstream: Vec<usize>,
    /// Stages before it that are not finished.
    pub waiting: usize,
    pub state: State,
    /// Raised when the node starts anew, so that answers to older tasks are not believed.
    pub generation: u32,
    pub forced: bool,
    /// Reads no source and no side table, so that looking it up takes no time to speak of.
    pub quick: bool,
    /// Its result, where an earlier run's memo knows it. Believed once: what begins anew is
    /// looked up.
    pub known: Option<Arc<Finished>>,
    pub work: Option<Arc<Work>>,
    /// Partitions whose answers have not been taken yet.
    pub parts_left: usize,
    pub computed_parts: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum State {
    /// Stages before it, or another node with the same action, are not finished.
    Waiting,
    /// A task of it is queued or running.
    Busy,
    Done {
        finished: Arc<Finished>,
        executed: bool,
    },
    Failed,
    Skipped,
}

/// Which stages of a pipeline `--until` asks for; all, where it asks for none.
pub(super) fn wanted(pipeline: &Pipeline, until: &[String]) -> BTreeSet<usize> {
    if until.is_empty() {
        return (0..pipeline.stages.len()).collect();
    }
    let mut wanted = BTreeSet::new();
    // Stages are in topological order, so one pass from the end finds all ancestors.
    for (at, stage) in pipeline.stages.iter().enumerate().rev() {
        if until.contains(&stage.name) || wanted.contains(&at) {
            wanted.insert(at);
            wanted.extend(stage.inputs.iter().map(|wire| wire.from));
        }
    }
    wanted
}

pub(super) fn add_nodes(
    nodes: &mut Vec<Node>,
    at: usize,
    pipeline: &Pipeline,
    wanted: &BTreeSet<usize>,
    force: &[String],
    head_start: &HeadStart,
) {
    let first = nodes.len();
    for (index, stage) in pipeline.stages.iter().enumerate() {
        let upstream: BTreeSet<usize> = stage.inputs.iter().map(|wire| first + wire.from).collect();
        let is_wanted = wanted.contains(&index);
        if is_wanted {
            for before in &upstream {
                nodes[*before].downstream.push(first + index);
            }
        }
        nodes.push(Node {
            pipeline: at,
            stage: index,
            label: StageLabel::of(pipeline, index),
            downstream: Vec::new(),
            waiting: upstream.len(),
            upstream: upstream.into_iter().collect(),
            state: if is_wanted { State::Waiting } else { State::Skipped },
            generation: 0,
            forced: force.contains(&stage.name),
            quick: stage.sources.is_empty() && !has_side_tables(stage),
            known: match force.contains(&stage.name) {
                true => None,
                false => head_start.result(at, index),
            },
            work: None,
            parts_left: 0,
            computed_parts: Vec::new(),
        });
    }
}

fn has_side_tables(stage: &Stage) -> bool {
    let ports = stage.kind.inputs(&stage.parameters).ports;
    ports.iter().any(|port| port.side_rows == SideRows::SameSample)
}
