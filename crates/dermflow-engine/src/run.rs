//! [`run`]: executes pipelines. Sets up workers, lets the scheduler decide, commits records,
//! writes the journal and lays out results.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, unbounded};
use dermflow_core::{Cause, StageError};
use dermflow_graph::{Output, Pipeline};
use dermflow_store::{Journal, Store};
use serde_json::json;

use crate::event::{Event, Sink, StageLabel, Summary};
use crate::executor::Executor;
use crate::history::{History, cell_digest};
use crate::interrupt::Interrupt;
use crate::memo::{HeadStart, Remember};
use crate::publish::{Results, results_folder};
use crate::scheduler::{Answer, Channels, Errand, Manners, Ran, Scheduler};
use crate::seeds::seeds;
use crate::slots::{Slots, usual_memory};
use crate::sources::Sources;
use crate::spare::Spare;
use crate::worker::Bench;
use crate::workshop::{Commit, Workshop, tell_remote_notes};

/// How to run. The default uses the whole machine and lays no results out.
#[derive(Clone, Default)]
pub struct Options {
    /// How many threads; 0 means as many as the machine has.
    pub jobs: usize,
    /// Bytes of memory that running stages may claim together; `None` means four fifths of
    /// the machine's.
    pub memory: Option<u64>,
    /// Whether to go on with what does not depend on a failed stage.
    pub keep_going: bool,
    /// Only these stages and what they need; all, if empty.
    pub until: Vec<String>,
    /// Stages to compute though the store has their results.
    pub force: Vec<String>,
    /// Runs actions elsewhere; `None` means in this process.
    pub executor: Option<Arc<dyn Executor>>,
    /// Where named outputs are laid; `None` means nowhere.
    pub results: Option<PathBuf>,
    /// Leaves a memo, so that the same invocation need not look for everything again.
    pub remember: Option<Remember>,
}

impl Options {
    /// How many threads that is on this machine.
    pub fn jobs(&self) -> usize {
        match self.jobs {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            jobs => jobs,
        }
    }
}

/// Runs all cells in one graph over one store.
///
/// # Errors
/// Only where the run as a whole can't be kept (the journal can't be written); a stage that
/// fails is told as an event and counted in the summary.
pub fn run(
    pipelines: &[Pipeline],
    store: &Store,
    sources: &Sources,
    options: &Options,
    sink: &Sink<'_>,
    interrupt: &Interrupt,
) -> Result<Summary, StageError> {
    let started = Instant::now();
    let named = pipelines.iter().map(|pipeline| Named {
        name: &pipeline.name,
        cell: pipeline.cell.as_deref(),
        file: &pipeline.file,
    });
    let named: Vec<Named<'_>> = named.collect();
    let journal = start_journal(store, &named)?;
    let crew = Crew {
        pipelines,
        store,
        sources,
        options,
        interrupt,
    };
    let manners = Manners {
        keep_going: options.keep_going,
        force: options.force.clone(),
        until: options.until.clone(),
    };
    let head_start = match &options.remember {
        Some(remember) => HeadStart::find(store, sources, remember, pipelines),
        None => HeadStart::default(),
    };
    let mut ran = crew.go_through(manners, journal, sink, Some(&head_start));
    let mut healed = false;
    if let Some(results) = &options.results
        && !ran.summary.interrupted
    {
        let damaged = crew.lay_out(&mut ran, results, sink, true);
        if !damaged.is_empty() {
            healed = true;
            ran = crew.heal(ran, damaged, sink);
            crew.lay_out(&mut ran, results, sink, false);
        }
    }
    tell_pushed(store, sink, interrupt);
    if let Some(error) = ran.journal_error {
        return Err(error);
    }
    let mut summary = ran.summary.clone();
    // After a heal only the stages that ran again are at hand: a memo of them would be taken for one
    // of the whole run, and edits of what the others read would not be seen.
    if let Some(remember) = &options.remember
        && summary.is_whole()
        && !healed
    {
        let finished = |pipeline: usize, stage: usize| ran.finished(pipeline, stage).cloned();
        crate::memo::remember(store, remember, &head_start, pipelines, &finished);
    }
    seal_journal(store, ran.journal, &named, &summary)?;
    sources.save()?;
    // Removing what stages left behind may take longer than they did; a later run goes on with it.
    store.sweep(LEAST_SWEEP.max(started.elapsed() / 5));
    summary.seconds = started.elapsed().as_secs_f64();
    sink(&Event::RunFinished(summary.clone()));
    Ok(summary)
}

/// Waits for what goes to the remote, and tells of it. An interrupted run leaves the rest to
/// a later one.
pub(crate) fn tell_pushed(store: &Store, sink: &Sink<'_>, interrupt: &Interrupt) {
    let pushed = store.finish_sharing(&|| interrupt.asked());
    tell_remote_notes(store, sink);
    if let Some(remote) = store.remote_path()
        && pushed.records > 0
    {
        sink(&Event::RemotePushed {
            remote: remote.display().to_string(),
            records: pushed.records,
            bytes: pushed.bytes,
        });
    }
}

/// How long a run sweeps up at least, if there is anything.
const LEAST_SWEEP: Duration = Duration::from_millis(20);

/// A pipeline's cell, as journals call it.
pub(crate) struct Named<'a> {
    pub name: &'a str,
    pub cell: Option<&'a str>,
    pub file: &'a Path,
}

/// Starts the journal of a run of these.
pub(crate) fn start_journal(store: &Store, pipelines: &[Named<'_>]) -> Result<Journal, StageError> {
    let told = pipelines.iter().map(
        |named| json!({"name": named.name, "cell": named.cell, "file": named.file.display().to_string()}),
    );
    let header = json!({"pipelines": told.collect::<Vec<_>>()});
    Ok(Journal::start(store, header)?)
}

/// Seals it, and makes it the newest of each.
pub(crate) fn seal_journal(
    store: &Store,
    journal: Journal,
    pipelines: &[Named<'_>],
    summary: &Summary,
) -> Result<(), StageError> {
    let name = journal.name().clone();
    journal.seal(json!({"summary": summary}))?;
    for named in pipelines {
        store.set_latest(&cell_digest(named.name, named.cell), &name)?;
    }
    Ok(())
}

/// What all threads of a run work on.
struct Crew<'a> {
    pipelines: &'a [Pipeline],
    store: &'a Store,
    sources: &'a Sources,
    options: &'a Options,
    interrupt: &'a Interrupt,
}

impl Crew<'_> {
    /// Goes through the graph once; the first time with what is known of it.
    fn go_through(
        &self,
        manners: Manners,
        journal: Journal,
        sink: &Sink<'_>,
        first: Option<&HeadStart>,
    ) -> Ran {
        let (store, jobs) = (self.store, self.options.jobs());
        let (errand_sender, errands) = unbounded::<Errand>();
        let (answers, answer_receiver) = unbounded::<Answer>();
        let (commit_sender, commits) = unbounded::<(StageLabel, Commit)>();
        let channels = Channels {
            errands: errand_sender,
            answers: answer_receiver,
            commits: commit_sender,
        };
        let slots = Slots::new(jobs, self.options.memory.unwrap_or_else(usual_memory));
        let bench = Bench {
            workshop: Workshop {
                store,
                sources: self.sources,
                sink,
                interrupt: self.interrupt,
                jobs,
                spare: Spare::default(),
            },
            pipelines: self.pipelines,
            seeds: self.pipelines.iter().map(seeds).collect(),
            history: History::new(store),
            executor: self.options.executor.as_deref(),
        };
        let nothing = HeadStart::default();
        let known = first.unwrap_or(&nothing);
        let scheduler = Scheduler::new(&bench, slots, manners, channels, journal, known);
        if first.is_some() {
            sink(&Event::RunStarted {
                stages: scheduler.stages(),
                jobs,
            });
        }
        let (mut ran, uncommitted) = std::thread::scope(|scope| {
            for _ in 0..jobs {
                let (errands, answers, bench) = (errands.clone(), answers.clone(), &bench);
                scope.spawn(move || work(bench, &errands, &answers));
            }
            // Dropped, so that the scheduler notices if every worker is gone.
            drop((errands, answers));
            let committer = scope.spawn(|| commit_all(store, commits));
            let ran = scheduler.run();
            // Nothing else comes, so what is queued need not wait for company; an error is told by
            // the ticket of each record.
            let _ = store.flush();
            // The scheduler took its channels with it, so workers and committer end.
            (ran, committer.join().unwrap_or_default())
        });
        for (label, error) in uncommitted {
            ran.summary.failed += 1;
            ran.summary.executed = ran.summary.executed.saturating_sub(1);
            let message = format!("its result could not be kept: {}", error.message);
            sink(&Event::StageFailed {
                label,
                message,
                help: error.help,
            });
        }
        ran
    }

    /// Goes through the graph again for stages whose results turned out to be damaged when
    /// they were laid out. What is damaged was set aside by whoever read it.
    fn heal(&self, before: Ran, damaged: Vec<String>, sink: &Sink<'_>) -> Ran {
        let manners = Manners {
            keep_going: true,
            force: Vec::new(),
            until: damaged,
        };
        // All that is still there was told the first time.
        let told = |event: &Event| match event {
            Event::StageHit { .. } => {}
            other => sink(other),
        };
        let mut again = self.go_through(manners, before.journal, &told, None);
        let (earlier, now) = (before.summary, &mut again.summary);
        // These were hits of the first time.
        now.hit = earlier.hit.saturating_sub(now.executed + now.failed);
        now.executed += earlier.executed;
        now.failed += earlier.failed;
        now.skipped += earlier.skipped;
        now.rows_computed += earlier.rows_computed;
        now.rows_reused += earlier.rows_reused;
        again.journal_error = before.journal_error.or(again.journal_error);
        again
    }

    /// Lays all outputs where people find them. With `heals`, a damaged one is no failure yet:
    /// gives the stages that must run again.
    fn lay_out(&self, ran: &mut Ran, results: &Path, sink: &Sink<'_>, heals: bool) -> Vec<String> {
        let mut damaged = Vec::new();
        for (at, pipeline) in self.pipelines.iter().enumerate() {
            let folder = results_folder(results, &pipeline.name, pipeline.cell.as_deref());
            // Opened for the first output that there is: a run without any leaves no folder.
            let mut open: Option<Results<'_>> = None;
            for output in &pipeline.outputs {
                let Some(finished) = ran.finished(at, output.stage) else {
                    continue;
                };
                let written = finished.output(&output.port).and_then(|artifact| {
                    let results = match &mut open {
                        Some(open) => open,
                        None => {
                            let (folder, file) = (folder.clone(), &pipeline.file);
                            open.insert(Results::open(self.store, self.sources, folder, file)?)
                        }
                    };
                    results.lay(&output.name, (finished.key, &output.port), artifact)
                });
                match written {
                    Ok((path, true)) => sink(&Event::OutputPublished {
                        name: output.name.clone(),
                        path: path.display().to_string(),
                    }),
                    Ok((_, false)) => {}
                    Err(error) if heals && matches!(error.cause, Cause::DamagedBlob(_)) => {
                        let label = StageLabel::of(pipeline, output.stage);
                        damaged.push(label.stage.clone());
                        let message = error.message;
                        sink(&Event::Damaged { label, message });
                    }
                    Err(error) => tell_not_laid_out(ran, pipeline, output, error, sink),
                }
            }
            let (Some(open), Some(last)) = (open, pipeline.outputs.last()) else {
                continue;
            };
            match open.close(&pipeline.outputs) {
                Ok(removed) => removed.iter().for_each(|path| {
                    let path = path.display().to_string();
                    sink(&Event::OutputRemoved { path });
                }),
                Err(error) => tell_not_laid_out(ran, pipeline, last, error, sink),
            }
        }
        damaged
    }
}

fn work(bench: &Bench<'_>, errands: &Receiver<Errand>, answers: &crossbeam::channel::Sender<Answer>) {
    for Errand {
        node,
        generation,
        claim,
        task,
    } in errands
    {
        let outcome = bench.perform(task);
        if answers
            .send(Answer {
                node,
                generation,
                claim,
                outcome,
            })
            .is_err()
        {
            return;
        }
    }
}

/// Waits for every record to be on disk; locks are let go one by one as they are.
fn commit_all(store: &Store, commits: Receiver<(StageLabel, Commit)>) -> Vec<(StageLabel, StageError)> {
    commits
        .iter()
        .filter_map(|(label, commit)| Some((label, commit.complete(store).err()?)))
        .collect()
}

fn tell_not_laid_out(
    ran: &mut Ran,
    pipeline: &Pipeline,
    output: &Output,
    error: StageError,
    sink: &Sink<'_>,
) {
    ran.summary.failed += 1;
    let (name, message) = (&output.name, error.message);
    sink(&Event::StageFailed {
        label: StageLabel::of(pipeline, output.stage),
        message: format!("its output `{name}` could not be laid out: {message}"),
        help: error.help,
    });
}
