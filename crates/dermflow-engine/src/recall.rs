//! [`recall`]: answers an invocation for which there is nothing to do from the memo of an earlier
//! one, with the events, the journal and the plan that the long way would give.
//!
//! What makes a memo hold true stands in its own module.

use std::path::Path;
use std::time::Instant;

use dermflow_core::StageError;
use dermflow_store::Store;

use crate::event::{Event, Sink, StageLabel, Summary};
use crate::history::JournalLine;
use crate::memo::{self, Invocation, KnownPipeline, Memo};
use crate::plan::{Outlook, PlannedStage};
use crate::publish::{Results, results_folder};
use crate::run::{Named, Options, seal_journal, start_journal};
use crate::sources::Sources;
use crate::workshop::tell_remote_notes;

/// An invocation whose stages all have their results.
#[derive(Debug)]
pub struct Recalled(Memo);

/// What is known of an invocation, if nothing changed since its memo was written; all of that is
/// looked at. `None` says nothing: the pipeline must be loaded.
pub fn recall(store: &Store, sources: &Sources, invocation: &Invocation<'_>) -> Option<Recalled> {
    memo::recall(store, sources, invocation).map(Recalled)
}

impl Recalled {
    /// What [`plan`](crate::plan) would give, for all cells. There are no artifacts in it.
    pub fn plan(&self, store: &Store) -> Vec<PlannedStage> {
        let mut planned = Vec::with_capacity(self.stages());
        for pipeline in &self.0.pipelines {
            for stage in &pipeline.stages {
                let action = &self.0.actions[stage.action];
                planned.push(PlannedStage {
                    label: label(pipeline, &stage.name, &stage.kind),
                    key: Some(action.key),
                    status: Outlook::Hit,
                    remote: action.is_elsewhere(store),
                    reasons: Vec::new(),
                    last_seconds: Some(action.seconds),
                    error: None,
                    finished: None,
                });
            }
        }
        planned
    }

    /// What is told of the pipeline before it runs.
    pub fn warnings(&self, colour: bool) -> &str {
        match colour {
            true => &self.0.warnings.coloured,
            false => &self.0.warnings.plain,
        }
    }

    /// What [`run`](crate::run) would do; `None`, and nothing done, where results must be laid
    /// out, which takes artifacts.
    ///
    /// # Errors
    /// Where the journal can't be written.
    pub fn run(
        &self,
        store: &Store,
        sources: &Sources,
        options: &Options,
        sink: &Sink<'_>,
    ) -> Result<Option<Summary>, StageError> {
        let started = Instant::now();
        if let Some(results) = &options.results
            && !self.is_laid_out(store, sources, results)?
        {
            return Ok(None);
        }
        let named = self.0.pipelines.iter().map(|pipeline| Named {
            name: &pipeline.name,
            cell: pipeline.cell.as_deref(),
            file: &pipeline.file,
        });
        let named: Vec<Named<'_>> = named.collect();
        let journal = start_journal(store, &named)?;
        sink(&Event::RunStarted {
            stages: self.stages(),
            jobs: options.jobs(),
        });
        tell_remote_notes(store, sink);
        for pipeline in &self.0.pipelines {
            for stage in &pipeline.stages {
                let label = label(pipeline, &stage.name, &stage.kind);
                let action = &self.0.actions[stage.action];
                let (key, remote) = (action.key, action.is_elsewhere(store));
                journal.append(&JournalLine::of(&label, key, "hit", action.sealed.clone()))?;
                sink(&Event::StageHit {
                    label,
                    key,
                    shared: false,
                    remote,
                });
            }
        }
        let mut summary = Summary {
            hit: self.stages(),
            ..Summary::default()
        };
        seal_journal(store, journal, &named, &summary)?;
        sources.save()?;
        summary.seconds = started.elapsed().as_secs_f64();
        sink(&Event::RunFinished(summary.clone()));
        Ok(Some(summary))
    }

    fn stages(&self) -> usize {
        self.0
            .pipelines
            .iter()
            .map(|pipeline| pipeline.stages.len())
            .sum()
    }

    fn is_laid_out(&self, store: &Store, sources: &Sources, results: &Path) -> Result<bool, StageError> {
        for pipeline in &self.0.pipelines {
            if pipeline.outputs.is_empty() {
                continue;
            }
            let folder = results_folder(results, &pipeline.name, pipeline.cell.as_deref());
            let laid = Results::open(store, sources, folder, &pipeline.file)?;
            let mut outputs = pipeline.outputs.iter();
            if !outputs.all(|output| laid.hold(&output.names, &output.artifact)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn label(pipeline: &KnownPipeline, stage: &str, kind: &str) -> StageLabel {
    StageLabel {
        pipeline: pipeline.name.clone(),
        cell: pipeline.cell.clone(),
        stage: stage.to_string(),
        kind: kind.to_string(),
    }
}
