//! [`HeadStart`]: what the memo of an invocation still knows after the pipeline's files changed.
//!
//! A stage's result is known where its definition and those of all stages behind it are in the
//! memo, none of their sources and programs changed, and their records and blobs are seen to be
//! as they were: what makes a whole memo hold true, stage by stage. Such a stage is neither bound
//! nor is its record read, unless a stage that changed needs it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dermflow_core::{Digest, Take, Tool};
use dermflow_graph::{Pipeline, Stage};
use dermflow_store::Store;

use super::definition::{definitions, folder_of};
use super::{KnownAction, KnownSource, KnownTool, Memo, Remember, Standing};
use crate::finished::Finished;
use crate::sources::Sources;

/// Results that are known before anything is looked up. The default knows none.
#[derive(Debug, Default)]
pub(crate) struct HeadStart {
    /// By pipeline and stage.
    results: Vec<Vec<Option<Arc<Finished>>>>,
    /// Sources that are what they were.
    sources: BTreeMap<(PathBuf, String), KnownSource>,
    /// Programs that are what they were.
    tools: BTreeMap<(Tool, PathBuf), KnownTool>,
}

impl HeadStart {
    /// What the memo knows of these pipelines.
    pub(crate) fn find(
        store: &Store,
        sources: &Sources,
        remember: &Remember,
        pipelines: &[Pipeline],
    ) -> HeadStart {
        Self::try_find(store, sources, remember, pipelines).unwrap_or_default()
    }

    fn try_find(
        store: &Store,
        sources: &Sources,
        remember: &Remember,
        pipelines: &[Pipeline],
    ) -> Option<HeadStart> {
        let memo: Memo = postcard::from_bytes(&store.read_memo(&remember.name)?).ok()?;
        if !memo.program_holds() || !memo.is_coherent() {
            return None;
        }
        let unchanged = memo
            .sources
            .iter()
            .filter(|source| source.digest.is_some() && source.is_unchanged(sources));
        let mut head_start = HeadStart {
            results: Vec::with_capacity(pipelines.len()),
            sources: unchanged
                .map(|source| {
                    (
                        (source.path.clone(), format!("{:?}", source.take)),
                        source.clone(),
                    )
                })
                .collect(),
            tools: memo
                .tools
                .iter()
                .filter(|tool| tool.is_unchanged(sources))
                .map(|tool| ((tool.tool.clone(), tool.folder.clone()), tool.clone()))
                .collect(),
        };
        let stages = memo.pipelines.iter().flat_map(|pipeline| &pipeline.stages);
        let by_definition: BTreeMap<Digest, usize> =
            stages.map(|stage| (stage.definition, stage.action)).collect();
        let mut seen: BTreeMap<usize, Option<Arc<Finished>>> = BTreeMap::new();
        for pipeline in pipelines {
            let definitions = definitions(pipeline);
            let mut results: Vec<Option<Arc<Finished>>> = Vec::with_capacity(definitions.len());
            for (stage, definition) in pipeline.stages.iter().zip(definitions) {
                let is_behind_known = stage.inputs.iter().all(|wire| results[wire.from].is_some());
                let action = by_definition.get(&definition);
                let action = action.filter(|_| is_behind_known && head_start.outside_holds(stage));
                let look = |action: &usize| look(store, &memo.actions[*action]).map(Arc::new);
                results.push(
                    action.and_then(|action| seen.entry(*action).or_insert_with(|| look(action)).clone()),
                );
            }
            head_start.results.push(results);
        }
        Some(head_start)
    }

    /// The result of a pipeline's stage, where it is known.
    pub(crate) fn result(&self, pipeline: usize, stage: usize) -> Option<Arc<Finished>> {
        self.results.get(pipeline)?.get(stage)?.clone()
    }

    /// Whether what a stage reads from outside is what it was.
    fn outside_holds(&self, stage: &Stage) -> bool {
        let mut sources = stage.sources.iter();
        let tool = stage.kind.tool(&stage.parameters);
        sources.all(|source| self.source(&source.path, &source.source.take).is_some())
            && tool.is_none_or(|tool| self.tool(&tool, &folder_of(stage)).is_some())
    }

    pub(super) fn source(&self, path: &Path, take: &Take) -> Option<&KnownSource> {
        self.sources.get(&(path.to_path_buf(), format!("{take:?}")))
    }

    pub(super) fn tool(&self, tool: &Tool, folder: &Path) -> Option<&KnownTool> {
        self.tools.get(&(tool.clone(), folder.to_path_buf()))
    }
}

/// The result of an action, if its record and blobs are as they were.
fn look(store: &Store, known: &KnownAction) -> Option<Finished> {
    let mut known = known.clone();
    match known.still_holds(store) {
        Standing::Holds => {}
        Standing::Racy if known.read_again(store) => {}
        Standing::Racy | Standing::Changed => return None,
    }
    Some(Finished::remembered(store, known))
}
