//! What is ready: what may start, in which order, and what of it fits.

use std::collections::BTreeMap;

use dermflow_core::Resources;

use super::node::Node;
use super::{Errand, Scheduler, State};
use crate::worker::Task;

/// Order of the queue: what frees memory and finishes stages comes first.
pub(super) type Priority = (u8, usize, usize);

impl Scheduler<'_> {
    /// Starts what fits, and lends what is idle then.
    pub(super) fn start_what_fits(&mut self) {
        self.start_all_that_fits();
        self.bench.workshop.spare.set_idle(self.slots.idle());
    }

    fn start_all_that_fits(&mut self) {
        if self.interrupt.asked() {
            return;
        }
        while !self.slots.full() {
            let fitting = self.queue.iter().find_map(|(priority, (.., needs))| {
                let claim = self.slots.claim(*needs);
                self.slots.take(claim).then_some((*priority, claim))
            });
            let Some((priority, claim)) = fitting else { return };
            let Some((node, generation, task, _)) = self.queue.remove(&priority) else {
                return;
            };
            if self.is_dropped(node, generation) {
                self.slots.give_back(claim);
                continue;
            }
            self.running += 1;
            let errand = Errand {
                node,
                generation,
                claim,
                task,
            };
            if self.channels.errands.send(errand).is_err() {
                // All workers are gone; the loop in `run` ends on their closed channel.
                self.running -= 1;
                return;
            }
        }
    }

    /// Looks one stage up on this thread, if there is one that reads no source. That takes
    /// microseconds, less than the way to a worker and back.
    pub(super) fn prepare_one(&mut self) -> bool {
        if self.interrupt.asked() {
            return false;
        }
        let Some(node) = self.quick.pop_first() else {
            return false;
        };
        let generation = self.nodes[node].generation;
        if !matches!(self.nodes[node].state, State::Busy) || self.is_dropped(node, generation) {
            return true;
        }
        if let Some(known) = self.nodes[node].known.take() {
            self.hit(node, known, false);
            return true;
        }
        // A stage before it began anew since: a blob of its result was damaged.
        if self.nodes[node].waiting > 0 {
            self.nodes[node].state = State::Waiting;
            return true;
        }
        let outcome = self.bench.perform(self.preparation(node));
        self.bench.workshop.tell_remote_notes();
        match outcome {
            Ok(outcome) => self.take_outcome(node, outcome, false),
            Err(error) => self.take_error(node, error),
        }
        true
    }

    pub(super) fn queue(&mut self, class: u8, node: usize, part: usize, task: Task, needs: Resources) {
        let generation = self.nodes[node].generation;
        self.nodes[node].state = State::Busy;
        self.queue
            .insert((class, node, part), (node, generation, task, needs));
    }

    pub(super) fn queue_preparation(&mut self, node: usize) {
        if self.nodes[node].quick || self.nodes[node].known.is_some() {
            self.nodes[node].state = State::Busy;
            self.quick.insert(node);
        } else {
            let task = self.preparation(node);
            self.queue(
                3,
                node,
                0,
                task,
                Resources {
                    memory: 0,
                    threads: 1,
                },
            );
        }
    }

    fn preparation(&self, node: usize) -> Task {
        let Node {
            pipeline,
            stage,
            forced,
            ref upstream,
            ..
        } = self.nodes[node];
        let first = self.first_node[pipeline];
        let mut inputs = BTreeMap::new();
        for upstream in upstream {
            if let State::Done { finished, .. } = &self.nodes[*upstream].state {
                inputs.insert(upstream - first, finished.clone());
            }
        }
        Task::Prepare {
            inputs,
            pipeline,
            stage,
            forced,
        }
    }
}
