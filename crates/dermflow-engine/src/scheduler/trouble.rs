//! When something goes wrong: failures, damaged blobs, changed sources, interruptions, and
//! what they mean for the stages around.

use dermflow_core::{Cause, Digest, StageError};

use super::{Scheduler, State};
use crate::event::Event;

/// How often a stage is tried again after a damaged blob or a changed source.
const MOST_TRIES: u32 = 4;

impl Scheduler<'_> {
    /// Whether a queued task is no longer wanted: its node began anew, or its pipeline
    /// stopped and nobody else waits for it.
    pub(super) fn is_dropped(&mut self, node: usize, generation: u32) -> bool {
        if self.nodes[node].generation != generation {
            return true;
        }
        let stopped = self.stopped[self.nodes[node].pipeline];
        let key = self.nodes[node].work.as_ref().map(|work| work.action.key);
        let others = key
            .and_then(|key| self.computing.get(&key))
            .is_some_and(|(_, waiting)| {
                waiting
                    .iter()
                    .any(|other| !self.stopped[self.nodes[*other].pipeline])
            });
        if !stopped || others {
            return false;
        }
        if let Some(key) = key {
            self.computing.remove(&key);
        }
        self.nodes[node].generation += 1;
        self.skip(node);
        true
    }

    pub(super) fn take_error(&mut self, node: usize, error: StageError) {
        // Every damaged blob has tries of its own: there may be many.
        let damaged = match error.cause {
            Cause::DamagedBlob(digest) => Some(digest),
            _ => None,
        };
        let tries = self.tries.entry((node, damaged)).or_insert(0);
        *tries += 1;
        let again = *tries < MOST_TRIES;
        match error.cause {
            Cause::DamagedBlob(digest) if again => self.heal(node, digest, &error),
            Cause::SourceChanged if again => self.begin_anew(node),
            Cause::Cancelled if self.interrupt.asked() => self.give_up(node),
            _ => self.fail(node, &error),
        }
    }

    /// A blob of an input (or of an earlier partition) is damaged: it was set aside when it
    /// was read, so the stages whose results name it are incomplete, and run again.
    fn heal(&mut self, node: usize, digest: Digest, error: &StageError) {
        let label = self.nodes[node].label.clone();
        (self.sink)(&Event::Damaged {
            label,
            message: error.message.clone(),
        });
        let names_it = |upstream: &&usize| match &self.nodes[**upstream].state {
            State::Done { finished, .. } => {
                // A process of its own may have found the record gone.
                let gone = finished.key.digest() == digest;
                gone || finished.blobs().iter().any(|blob| blob.digest == digest)
            }
            _ => false,
        };
        let culprits: Vec<usize> = self.nodes[node]
            .upstream
            .iter()
            .filter(names_it)
            .copied()
            .collect();
        for culprit in &culprits {
            if let State::Done { finished, .. } = &self.nodes[*culprit].state {
                self.made.remove(&finished.key);
            }
            for next in self.nodes[*culprit].downstream.clone() {
                self.nodes[next].waiting += 1;
            }
        }
        self.begin_anew(node);
        for culprit in culprits {
            self.begin_anew(culprit);
        }
    }

    /// Forgets what a node was doing and prepares it again, with those that waited for it. One
    /// that waits for a stage before it (which began anew, too) is prepared when that is done.
    fn begin_anew(&mut self, node: usize) {
        let waiting = self.forget_work(node);
        for node in std::iter::once(node).chain(waiting) {
            self.nodes[node].generation += 1;
            self.nodes[node].computed_parts.clear();
            match self.nodes[node].waiting {
                0 => self.queue_preparation(node),
                _ => self.nodes[node].state = State::Waiting,
            }
        }
    }

    fn forget_work(&mut self, node: usize) -> Vec<usize> {
        let key = self.nodes[node].work.take().map(|work| work.action.key);
        let owned = key.filter(|key| self.computing.get(key).is_some_and(|(owner, _)| *owner == node));
        owned
            .and_then(|key| self.computing.remove(&key))
            .map(|(_, waiting)| waiting)
            .unwrap_or_default()
    }

    /// An interrupted node: its checkpoints stay, and so does what waits for it.
    fn give_up(&mut self, node: usize) {
        self.nodes[node].generation += 1;
        for node in std::iter::once(node).chain(self.forget_work(node)) {
            self.nodes[node].state = State::Waiting;
        }
    }

    fn fail(&mut self, node: usize, error: &StageError) {
        let waiting = self.forget_work(node);
        for node in std::iter::once(node).chain(waiting) {
            self.nodes[node].generation += 1;
            self.nodes[node].state = State::Failed;
            (self.sink)(&Event::StageFailed {
                label: self.nodes[node].label.clone(),
                message: error.message.clone(),
                help: error.help.clone(),
            });
            self.skip_downstream(node);
            if !self.manners.keep_going {
                self.stopped[self.nodes[node].pipeline] = true;
            }
        }
    }

    fn skip_downstream(&mut self, node: usize) {
        for next in self.nodes[node].downstream.clone() {
            if matches!(self.nodes[next].state, State::Waiting) {
                self.skip(next);
            }
        }
    }

    fn skip(&mut self, node: usize) {
        self.nodes[node].state = State::Skipped;
        let label = self.nodes[node].label.clone();
        (self.sink)(&Event::StageSkipped { label });
        self.skip_downstream(node);
    }

    pub(super) fn skip_the_rest(&mut self) {
        for node in 0..self.nodes.len() {
            if matches!(self.nodes[node].state, State::Waiting | State::Busy) {
                self.skip(node);
            }
        }
    }
}
