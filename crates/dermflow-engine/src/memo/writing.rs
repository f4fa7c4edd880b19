//! Writing a memo: everything that an answer was worked out from, each once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dermflow_core::Key;
use dermflow_graph::{Pipeline, Stage};
use dermflow_store::Store;

use super::definition::{definitions, folder_of};
use super::{
    HeadStart, KnownAction, KnownOutput, KnownPipeline, KnownSource, KnownStage, KnownTool, Memo, Remember,
};
use crate::finished::Finished;
use crate::publish::names_of;

/// Leaves a memo of what every wanted stage gave. A memo that can't be written is only time
/// lost next time.
pub(crate) fn remember(
    store: &Store,
    remember: &Remember,
    before: &HeadStart,
    pipelines: &[Pipeline],
    finished: &dyn Fn(usize, usize) -> Option<Arc<Finished>>,
) {
    let memo = Writing::new(store, remember, before).write(pipelines, finished);
    if let Some(said) = memo.and_then(|memo| postcard::to_stdvec(&memo).ok()) {
        let _ = store.write_memo(&remember.name, &said);
    }
}

/// A memo on its way.
struct Writing<'a> {
    store: &'a Store,
    /// What the memo before knew.
    before: &'a HeadStart,
    memo: Memo,
    action_of: BTreeMap<Key, usize>,
    /// Sources and programs that are in the memo; thousands of stages may name one.
    seen: BTreeSet<String>,
}

impl<'a> Writing<'a> {
    fn new(store: &'a Store, remember: &Remember, before: &'a HeadStart) -> Writing<'a> {
        Writing {
            store,
            before,
            memo: Memo {
                program: remember.program.clone(),
                started: remember.started,
                files: remember.files.clone(),
                warnings: remember.warnings.clone(),
                sources: Vec::new(),
                tools: Vec::new(),
                actions: Vec::new(),
                pipelines: Vec::new(),
            },
            action_of: BTreeMap::new(),
            seen: BTreeSet::new(),
        }
    }

    fn write(
        mut self,
        pipelines: &[Pipeline],
        finished: &dyn Fn(usize, usize) -> Option<Arc<Finished>>,
    ) -> Option<Memo> {
        for (at, pipeline) in pipelines.iter().enumerate() {
            let definitions = definitions(pipeline);
            let mut stages = Vec::with_capacity(pipeline.stages.len());
            for (index, stage) in pipeline.stages.iter().enumerate() {
                let finished = finished(at, index);
                self.sources(stage, finished.as_deref())?;
                let Some(finished) = finished else { continue };
                stages.push(KnownStage {
                    name: stage.name.clone(),
                    kind: stage.kind.name().to_string(),
                    action: self.action(&finished)?,
                    definition: definitions[index],
                });
            }
            let outputs = pipeline.outputs.iter().filter_map(|output| {
                let finished = finished(at, output.stage)?;
                let artifact = finished.output(&output.port).ok()?;
                Some(KnownOutput {
                    names: names_of(&output.name, artifact),
                    artifact: artifact.name(),
                })
            });
            let outputs = outputs.collect();
            self.memo.pipelines.push(KnownPipeline {
                name: pipeline.name.clone(),
                cell: pipeline.cell.clone(),
                file: pipeline.file.clone(),
                stages,
                outputs,
            });
        }
        Some(self.memo)
    }

    /// What the record says was read from outside, which is what its key stands for. A result that
    /// a memo knew has what that knew, which was seen to be so still.
    fn sources(&mut self, stage: &Stage, finished: Option<&Finished>) -> Option<()> {
        if let Some(finished) = finished
            && finished.known().is_some()
        {
            return self.sources_again(stage);
        }
        let manifest = match finished {
            Some(finished) => Some(&finished.record().ok()?.manifest),
            None => None,
        };
        for source in &stage.sources {
            let parameter = &source.source.parameter;
            let digest = match manifest {
                Some(manifest) => Some(manifest.sources.get(parameter)?.clone()),
                None => None,
            };
            let known = KnownSource {
                path: source.path.clone(),
                take: source.source.take.clone(),
                digest,
            };
            self.add_source(known);
        }
        if let (Some(manifest), Some(tool)) = (manifest, stage.kind.tool(&stage.parameters)) {
            self.add_tool(KnownTool {
                tool,
                folder: folder_of(stage),
                digest: manifest.tool?,
            });
        }
        Some(())
    }

    fn sources_again(&mut self, stage: &Stage) -> Option<()> {
        for source in &stage.sources {
            let known = self.before.source(&source.path, &source.source.take)?;
            self.add_source(known.clone());
        }
        if let Some(tool) = stage.kind.tool(&stage.parameters) {
            let known = self.before.tool(&tool, &folder_of(stage))?;
            self.add_tool(known.clone());
        }
        Some(())
    }

    fn add_source(&mut self, known: KnownSource) {
        if self.seen.insert(format!("{known:?}")) {
            self.memo.sources.push(known);
        }
    }

    fn add_tool(&mut self, known: KnownTool) {
        if self.seen.insert(format!("{known:?}")) {
            self.memo.tools.push(known);
        }
    }

    fn action(&mut self, finished: &Finished) -> Option<usize> {
        if let Some(known) = self.action_of.get(&finished.key) {
            return Some(*known);
        }
        let started = self.memo.started;
        let action = match finished.known() {
            Some(known) => known.clone(),
            None => KnownAction::of(self.store, finished.key, finished.record().ok()?, started)?,
        };
        self.memo.actions.push(action);
        let at = self.memo.actions.len() - 1;
        self.action_of.insert(finished.key, at);
        Some(at)
    }
}
