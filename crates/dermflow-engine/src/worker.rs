//! What a worker thread does: one [`Task`] at a time, with nothing remembered between them.

use std::collections::BTreeMap;
use std::sync::Arc;

use dermflow_core::{Resources, Shape, StageError};
use dermflow_graph::Pipeline;

use crate::action::{Action, Unbound};
use crate::executor::Executor;
use crate::finished::Finished;
use crate::history::History;
use crate::map::{MapWork, finish_map, run_part};
use crate::reason::Reason;
use crate::remote::run_remote;
use crate::whole::run_whole;
use crate::workshop::{Lookup, Made, Workshop, look_up};

/// A piece of work.
pub(crate) enum Task {
    /// Bind a stage and look it up.
    Prepare {
        inputs: BTreeMap<usize, Arc<Finished>>,
        pipeline: usize,
        stage: usize,
        forced: bool,
    },
    /// Compute an action at once.
    Whole { work: Arc<Work>, forced: bool },
    /// Compute one partition of a map.
    Part { work: Arc<Work>, at: usize },
    /// Unite the partitions of a map, of which these were computed in this run.
    Finish { work: Arc<Work>, computed: Vec<usize> },
}

/// What came of a task.
pub(crate) enum Outcome {
    Hit(Arc<Finished>),
    Miss(Arc<Work>, Vec<Reason>),
    Made(Made),
    Part(usize, Made),
}

/// An action that must be computed.
pub(crate) struct Work {
    pub action: Arc<Action>,
    /// For a map with at least one partition.
    pub map: Option<MapWork>,
    /// For a map over files that found none: its empty listing.
    pub no_files: Option<dermflow_core::TableManifest>,
    pub needs: Resources,
    pub seed: u64,
    pub folder: std::path::PathBuf,
}

/// What every task may need.
pub(crate) struct Bench<'a> {
    pub workshop: Workshop<'a>,
    pub pipelines: &'a [Pipeline],
    /// A seed for every stage of every pipeline.
    pub seeds: Vec<Vec<u64>>,
    pub history: History<'a>,
    pub executor: Option<&'a dyn Executor>,
}

impl Bench<'_> {
    pub fn perform(&self, task: Task) -> Result<Outcome, StageError> {
        match task {
            Task::Prepare {
                inputs,
                pipeline,
                stage,
                forced,
            } => self.prepare(&inputs, pipeline, stage, forced),
            Task::Whole { work, forced } => match self.executor {
                Some(executor) => run_remote(&self.workshop, executor, &work, forced),
                None => run_whole(&self.workshop, &work.action, work.no_files.as_ref(), forced),
            }
            .map(Outcome::Made),
            Task::Part { work, at } => match &work.map {
                Some(map) => run_part(&self.workshop, map, at).map(|made| Outcome::Part(at, made)),
                None => Err(StageError::new("a partition of an action that has none")),
            },
            Task::Finish { work, computed } => match &work.map {
                Some(map) => finish_map(&self.workshop, map, &computed).map(Outcome::Made),
                None => Err(StageError::new(
                    "an action without partitions has nothing to unite",
                )),
            },
        }
    }

    fn prepare(
        &self,
        inputs: &BTreeMap<usize, Arc<Finished>>,
        pipeline: usize,
        at: usize,
        forced: bool,
    ) -> Result<Outcome, StageError> {
        let seed = self.seeds[pipeline][at];
        let pipeline = &self.pipelines[pipeline];
        let stage = &pipeline.stages[at];
        // The scheduler prepares a stage once all that it is wired to is finished.
        let result_of = |from: usize| {
            inputs
                .get(&from)
                .cloned()
                .unwrap_or_else(|| unreachable!("stage {from} is not finished"))
        };
        let unbound = Unbound::of(pipeline, at, seed, &result_of);
        let folder = unbound.folder.clone();
        let action = Arc::new(Action::bind(unbound, self.workshop.sources)?);
        let store = self.workshop.store;
        let reasons = match forced {
            true => vec![Reason::Forced],
            false => match look_up(store, &action.key)? {
                Lookup::Complete(finished) => {
                    store.share(&finished.key, finished.record()?);
                    return Ok(Outcome::Hit(finished));
                }
                Lookup::Incomplete(what) => vec![Reason::Incomplete(what)],
                Lookup::Absent => self.history.reasons(&action, stage),
            },
        };
        let work = make_work(
            &self.workshop,
            action,
            forced,
            self.executor.is_some(),
            seed,
            folder,
        )?;
        Ok(Outcome::Miss(Arc::new(work), reasons))
    }
}

/// Decides how an action is computed. An executor takes whole actions only.
pub(crate) fn make_work(
    workshop: &Workshop<'_>,
    action: Arc<Action>,
    forced: bool,
    elsewhere: bool,
    seed: u64,
    folder: std::path::PathBuf,
) -> Result<Work, StageError> {
    let is_map = action.kind.shape(&action.parameters) != Shape::Whole;
    let map = match is_map && !elsewhere {
        true => Some(MapWork::prepare(workshop.store, action.clone(), forced)?),
        false => None,
    };
    let no_files = map
        .as_ref()
        .filter(|map| map.parts.is_empty())
        .and_then(|map| map.empty_listing().cloned());
    let map = map.filter(|map| !map.parts.is_empty());
    let mut sizes = action.sizes();
    if let Some(map) = &map {
        let parts = map.parts.len().max(1) as u64;
        sizes = dermflow_core::InputSizes {
            rows: sizes.rows / parts,
            bytes: sizes.bytes / parts,
        };
    }
    let mut needs = action.kind.resources(&action.parameters, &sizes);
    if is_map && elsewhere {
        // The other process works on as many partitions at once as it may have threads.
        needs.threads = 0;
    }
    Ok(Work {
        needs,
        action,
        map,
        no_files,
        seed,
        folder,
    })
}
