//! How it ended.

use std::sync::Arc;

use dermflow_core::StageError;
use dermflow_store::Journal;

use super::{Scheduler, State};
use crate::event::Summary;
use crate::finished::Finished;

/// What is left when the scheduler is through.
pub(crate) struct Ran {
    finished: Vec<Option<Arc<Finished>>>,
    first_node: Vec<usize>,
    pub summary: Summary,
    pub journal: Journal,
    pub journal_error: Option<StageError>,
}

impl Ran {
    /// The result of a pipeline's stage, where there is one.
    pub fn finished(&self, pipeline: usize, stage: usize) -> Option<&Arc<Finished>> {
        self.finished.get(self.first_node[pipeline] + stage)?.as_ref()
    }
}

impl Scheduler<'_> {
    /// Of `wanted` stages in all.
    pub(super) fn ended(self, wanted: usize) -> Ran {
        let mut summary = Summary {
            rows_computed: self.rows_computed,
            rows_reused: self.rows_reused,
            interrupted: self.interrupt.asked(),
            ..Summary::default()
        };
        let mut finished = Vec::with_capacity(self.nodes.len());
        for node in self.nodes {
            finished.push(match node.state {
                State::Done { finished, executed } => {
                    *(if executed {
                        &mut summary.executed
                    } else {
                        &mut summary.hit
                    }) += 1;
                    Some(finished)
                }
                State::Failed => {
                    summary.failed += 1;
                    None
                }
                _ => None,
            });
        }
        summary.skipped = wanted - summary.executed - summary.hit - summary.failed;
        Ran {
            finished,
            first_node: self.first_node,
            summary,
            journal: self.journal,
            journal_error: self.journal_error,
        }
    }
}
