//! [`plan`]: what a run would do, without doing it.

use std::sync::Arc;

use dermflow_core::{Key, StageError};
use dermflow_graph::Pipeline;
use dermflow_store::Store;
use serde::Serialize;

use crate::action::{Action, Unbound};
use crate::event::StageLabel;
use crate::finished::Finished;
use crate::history::History;
use crate::reason::Reason;
use crate::seeds::seeds;
use crate::sources::Sources;
use crate::workshop::missing_blob;

/// What a run would do with a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outlook {
    /// The store has its result.
    Hit,
    /// It would be computed.
    Miss,
    /// A stage before it would be computed; if what that gives is the same, this is a hit.
    Waits,
    /// It can't even be looked up: a source is unreadable, and the like.
    Blocked,
}

/// One stage of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedStage {
    /// Which.
    #[serde(flatten)]
    pub label: StageLabel,
    /// The action, where its inputs are known.
    pub key: Option<Key>,
    /// What would happen.
    pub status: Outlook,
    /// Whether a file of a hit lies in the remote and not here; it comes when it is read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub remote: bool,
    /// Why it is no hit.
    pub reasons: Vec<Reason>,
    /// How long it took last, where that is known.
    pub last_seconds: Option<f64>,
    /// What is in the way of a blocked stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The result of a hit.
    #[serde(skip)]
    pub finished: Option<Arc<Finished>>,
}

/// Looks every stage up, in the pipeline's order; those in `force` count as misses.
///
/// # Errors
/// Where the store itself can't be read.
pub fn plan(
    pipeline: &Pipeline,
    store: &Store,
    sources: &Sources,
    force: &[String],
) -> Result<Vec<PlannedStage>, StageError> {
    let history = History::new(store);
    let seeds = seeds(pipeline);
    let mut planned: Vec<PlannedStage> = Vec::with_capacity(pipeline.stages.len());
    for (at, stage) in pipeline.stages.iter().enumerate() {
        let label = StageLabel::of(pipeline, at);
        let waits: Vec<Reason> = stage
            .inputs
            .iter()
            .filter(|wire| planned[wire.from].finished.is_none())
            .map(|wire| Reason::Waits {
                port: wire.port.clone(),
                stage: pipeline.stages[wire.from].name.clone(),
            })
            .collect();
        let last = |key: Option<Key>| {
            let key = key.or_else(|| history.last_key(&label))?;
            let record = store.get_record(&key).ok()??;
            Some(record.making.seconds)
        };
        if !waits.is_empty() {
            let (status, reasons) = if force.contains(&stage.name) {
                (Outlook::Miss, vec![Reason::Forced])
            } else {
                (Outlook::Waits, waits)
            };
            let last_seconds = last(None);
            planned.push(PlannedStage {
                label,
                key: None,
                status,
                remote: false,
                reasons,
                last_seconds,
                error: None,
                finished: None,
            });
            continue;
        }
        // Every input is finished: the branch above took all others.
        let result_of = |from: usize| planned[from].finished.clone().unwrap_or_else(|| unreachable!());
        let action = match Action::bind(Unbound::of(pipeline, at, seeds[at], &result_of), sources) {
            Ok(action) => action,
            Err(error) => {
                let (status, error) = (Outlook::Blocked, Some(error.to_string()));
                planned.push(PlannedStage {
                    label,
                    key: None,
                    status,
                    remote: false,
                    reasons: Vec::new(),
                    last_seconds: None,
                    error,
                    finished: None,
                });
                continue;
            }
        };
        planned.push(look(
            store,
            &history,
            action,
            stage,
            force.contains(&stage.name),
            &last,
        )?);
    }
    Ok(planned)
}

fn look(
    store: &Store,
    history: &History<'_>,
    action: Action,
    stage: &dermflow_graph::Stage,
    forced: bool,
    last: &dyn Fn(Option<Key>) -> Option<f64>,
) -> Result<PlannedStage, StageError> {
    let key = action.key;
    let (finished, reasons) = match store.get_record(&key)? {
        _ if forced => (None, vec![Reason::Forced]),
        Some(record) if store.is_complete(&record) => {
            (Some(Arc::new(Finished::new(key, record))), Vec::new())
        }
        Some(record) => (None, vec![Reason::Incomplete(missing_blob(store, &record))]),
        None => (None, history.reasons(&action, stage)),
    };
    let last_seconds = match &finished {
        Some(finished) => finished.record().ok().map(|record| record.making.seconds),
        None => last(None),
    };
    Ok(PlannedStage {
        label: action.label,
        key: Some(key),
        status: if finished.is_some() {
            Outlook::Hit
        } else {
            Outlook::Miss
        },
        remote: finished
            .as_ref()
            .is_some_and(|finished| store.is_elsewhere(finished.blobs())),
        reasons,
        last_seconds,
        error: None,
        finished,
    })
}
