//! The scheduler: one thread that holds the graph, and workers that do tasks. It starts what
//! is ready and fits, and decides what a failure, a damaged blob or an interruption means.
//!
//! Stages of all cells stand in one graph. Two that turn out to be the same action (the same
//! key) are computed once: the second waits for the first.

mod node;
mod ran;
mod ready;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use dermflow_core::{Digest, Key, Resources, StageError};
use dermflow_store::Journal;

use crate::event::{Event, Sink, StageLabel};
use crate::finished::Finished;
use crate::history::JournalLine;
use crate::interrupt::Interrupt;
use crate::memo::HeadStart;
use crate::slots::{Claim, Slots};
use crate::worker::{Bench, Outcome, Task, Work};
use crate::workshop::{Commit, How};
use node::{Node, State, add_nodes, wanted};
pub(crate) use ran::Ran;
use ready::Priority;

/// A task as it travels to a worker and back.
pub(crate) struct Errand {
    pub node: usize,
    pub generation: u32,
    pub claim: Claim,
    pub task: Task,
}

/// A worker's answer.
pub(crate) struct Answer {
    pub node: usize,
    pub generation: u32,
    pub claim: Claim,
    pub outcome: Result<Outcome, StageError>,
}

/// What the scheduler works with.
pub(crate) struct Channels {
    pub errands: Sender<Errand>,
    pub answers: Receiver<Answer>,
    pub commits: Sender<(StageLabel, Commit)>,
}

/// How a run behaves.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    pub keep_going: bool,
    pub force: Vec<String>,
    pub until: Vec<String>,
}

pub(crate) struct Scheduler<'a> {
    nodes: Vec<Node>,
    first_node: Vec<usize>,
    queue: BTreeMap<Priority, (usize, u32, Task, Resources)>,
    /// Nodes to look up on this thread.
    quick: BTreeSet<usize>,
    bench: &'a Bench<'a>,
    slots: Slots,
    running: usize,
    /// Actions being computed: the node that does it, and those that wait for it.
    computing: BTreeMap<Key, (usize, Vec<usize>)>,
    made: BTreeMap<Key, Arc<Finished>>,
    stopped: Vec<bool>,
    tries: BTreeMap<(usize, Option<Digest>), u32>,
    manners: Manners,
    channels: Channels,
    sink: &'a Sink<'a>,
    interrupt: &'a Interrupt,
    journal: Journal,
    journal_error: Option<StageError>,
    rows_computed: u64,
    rows_reused: u64,
}

impl<'a> Scheduler<'a> {
    /// A graph of all stages that are wanted.
    pub fn new(
        bench: &'a Bench<'a>,
        slots: Slots,
        manners: Manners,
        channels: Channels,
        journal: Journal,
        head_start: &HeadStart,
    ) -> Scheduler<'a> {
        let pipelines = bench.pipelines;
        let mut nodes = Vec::new();
        let mut first_node = Vec::new();
        for (at, pipeline) in pipelines.iter().enumerate() {
            first_node.push(nodes.len());
            let wanted = wanted(pipeline, &manners.until);
            add_nodes(&mut nodes, at, pipeline, &wanted, &manners.force, head_start);
        }
        Scheduler {
            nodes,
            first_node,
            queue: BTreeMap::new(),
            quick: BTreeSet::new(),
            bench,
            slots,
            running: 0,
            computing: BTreeMap::new(),
            made: BTreeMap::new(),
            stopped: vec![false; pipelines.len()],
            tries: BTreeMap::new(),
            manners,
            channels,
            sink: bench.workshop.sink,
            interrupt: bench.workshop.interrupt,
            journal,
            journal_error: None,
            rows_computed: 0,
            rows_reused: 0,
        }
    }

    /// How many stages are wanted.
    pub fn stages(&self) -> usize {
        self.nodes
            .iter()
            .filter(|node| !matches!(node.state, State::Skipped))
            .count()
    }

    /// Runs until nothing is left to do.
    pub fn run(mut self) -> Ran {
        let wanted = self.stages();
        for node in 0..self.nodes.len() {
            if matches!(self.nodes[node].state, State::Waiting) && self.nodes[node].waiting == 0 {
                self.queue_preparation(node);
            }
        }
        loop {
            self.start_what_fits();
            if self.prepare_one() {
                while let Ok(answer) = self.channels.answers.try_recv() {
                    self.take_answer(answer);
                }
                continue;
            }
            if self.running == 0 {
                break;
            }
            match self.channels.answers.recv_timeout(Duration::from_millis(100)) {
                Ok(answer) => self.take_answer(answer),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.skip_the_rest();
        self.ended(wanted)
    }

    fn take_answer(&mut self, answer: Answer) {
        self.running -= 1;
        self.slots.give_back(answer.claim);
        self.bench.workshop.tell_remote_notes();
        let node = answer.node;
        let stale = self.nodes[node].generation != answer.generation;
        match answer.outcome {
            Ok(outcome) => self.take_outcome(node, outcome, stale),
            Err(_) if stale => {}
            Err(error) => self.take_error(node, error),
        }
    }

    fn take_outcome(&mut self, node: usize, outcome: Outcome, stale: bool) {
        match outcome {
            Outcome::Hit(finished) if !stale => self.hit(node, finished, false),
            Outcome::Miss(work, reasons) if !stale => self.miss(node, work, reasons),
            Outcome::Made(made) => {
                self.commit(node, made.commit);
                if !stale {
                    self.computed(node, made.finished, made.how);
                }
            }
            Outcome::Part(at, made) => {
                self.commit(node, made.commit);
                if !stale {
                    self.part_done(node, at, made.how);
                }
            }
            Outcome::Hit(_) | Outcome::Miss(..) => {}
        }
    }

    fn commit(&mut self, node: usize, commit: Option<Commit>) {
        if let Some(commit) = commit {
            // The committing thread lives until this sender is dropped.
            let _ = self
                .channels
                .commits
                .send((self.nodes[node].label.clone(), commit));
        }
    }

    fn hit(&mut self, node: usize, finished: Arc<Finished>, shared: bool) {
        let (label, key) = (self.nodes[node].label.clone(), finished.key);
        self.note(&label, &finished, "hit");
        let remote = self.bench.workshop.store.is_elsewhere(finished.blobs());
        (self.sink)(&Event::StageHit {
            label,
            key,
            shared,
            remote,
        });
        self.done(node, finished, false);
    }

    fn miss(&mut self, node: usize, work: Arc<Work>, reasons: Vec<crate::reason::Reason>) {
        let key = work.action.key;
        if let Some(finished) = self.made.get(&key).cloned() {
            return self.hit(node, finished, true);
        }
        if let Some((_, waiting)) = self.computing.get_mut(&key) {
            waiting.push(node);
            self.nodes[node].state = State::Waiting;
            return;
        }
        self.computing.insert(key, (node, Vec::new()));
        let missing = work.map.as_ref().map(|map| (map.parts.len(), map.missing()));
        (self.sink)(&Event::StageStarted {
            label: self.nodes[node].label.clone(),
            key,
            reasons,
            partitions: missing
                .as_ref()
                .map(|(parts, missing)| (*parts, parts - missing.len())),
        });
        self.nodes[node].work = Some(work.clone());
        let (needs, forced) = (work.needs, self.nodes[node].forced);
        match missing {
            None => self.queue(2, node, 0, Task::Whole { work, forced }, needs),
            Some((_, missing)) if missing.is_empty() => {
                self.queue(
                    0,
                    node,
                    0,
                    Task::Finish {
                        work,
                        computed: Vec::new(),
                    },
                    needs,
                );
            }
            Some((_, missing)) => {
                self.nodes[node].parts_left = missing.len();
                for at in missing {
                    self.queue(
                        1,
                        node,
                        at,
                        Task::Part {
                            work: work.clone(),
                            at,
                        },
                        needs,
                    );
                }
            }
        }
    }

    fn part_done(&mut self, node: usize, at: usize, how: How) {
        if how == How::Computed {
            self.nodes[node].computed_parts.push(at);
        }
        // Answers are counted here: the map itself may know of results whose answers are still
        // on their way, and would be finished once for each of them.
        self.nodes[node].parts_left = self.nodes[node].parts_left.saturating_sub(1);
        let Some(work) = self.nodes[node].work.clone() else {
            return;
        };
        if self.nodes[node].parts_left == 0 {
            let computed = std::mem::take(&mut self.nodes[node].computed_parts);
            let needs = work.needs;
            self.queue(0, node, 0, Task::Finish { work, computed }, needs);
        }
    }

    fn computed(&mut self, node: usize, finished: Arc<Finished>, how: How) {
        let key = finished.key;
        self.made.insert(key, finished.clone());
        let waiting = self
            .computing
            .remove(&key)
            .map(|(_, waiting)| waiting)
            .unwrap_or_default();
        match how {
            How::Found => self.hit(node, finished.clone(), false),
            How::Computed => {
                // What was computed here has its record at hand.
                let making = finished.record().map(|record| record.making.clone());
                let making = making.unwrap_or_default();
                self.rows_computed += making.rows_computed;
                self.rows_reused += making.rows_reused;
                let label = self.nodes[node].label.clone();
                self.note(&label, &finished, "executed");
                (self.sink)(&Event::StageExecuted {
                    label,
                    key,
                    seconds: making.seconds,
                    rows_computed: making.rows_computed,
                    rows_reused: making.rows_reused,
                });
                self.done(node, finished.clone(), true);
            }
        }
        for other in waiting {
            // One that is being prepared again finds the result by itself.
            if matches!(self.nodes[other].state, State::Waiting) {
                self.hit(other, finished.clone(), true);
            }
        }
    }

    fn done(&mut self, node: usize, finished: Arc<Finished>, executed: bool) {
        self.nodes[node].state = State::Done { finished, executed };
        self.nodes[node].work = None;
        for next in self.nodes[node].downstream.clone() {
            self.nodes[next].waiting -= 1;
            if self.nodes[next].waiting == 0 && matches!(self.nodes[next].state, State::Waiting) {
                self.queue_preparation(next);
            }
        }
    }

    fn note(&mut self, label: &StageLabel, finished: &Finished, outcome: &str) {
        let line = finished
            .sealed()
            .map(|sealed| JournalLine::of(label, finished.key, outcome, sealed));
        let appended = line.and_then(|line| Ok(self.journal.append(&line)?));
        if let Err(error) = appended {
            self.journal_error.get_or_insert(error);
        }
    }
}
