//! Both ends of an action that runs in a process of its own: the driver's, which submits it
//! to an [`Executor`] and looks for the record, and that of `dermflow exec`.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dermflow_core::{Cause, Digest, Key, Registry, StageError};
use dermflow_store::Store;
use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::event::{Event, Sink};
use crate::executor::{ActionFile, Executor};
use crate::interrupt::Interrupt;
use crate::map::{MapWork, finish_map, run_part};
use crate::sources::Sources;
use crate::spare::Spare;
use crate::whole::run_whole;
use crate::worker::{Work, make_work};
use crate::workshop::{How, Lookup, Made, Workshop, look_up};

/// How `dermflow exec` says on its output that the action failed.
#[derive(Debug, Serialize, Deserialize)]
struct Failure {
    failed: String,
    help: Option<String>,
    damaged: Option<Digest>,
    source_changed: bool,
    cancelled: bool,
}

impl Failure {
    fn of(error: &StageError) -> Failure {
        Failure {
            failed: error.message.clone(),
            help: error.help.clone(),
            damaged: match error.cause {
                Cause::DamagedBlob(digest) => Some(digest),
                _ => None,
            },
            source_changed: error.cause == Cause::SourceChanged,
            cancelled: error.cause == Cause::Cancelled,
        }
    }

    fn into_error(self) -> StageError {
        let cause = match self.damaged {
            Some(digest) => Cause::DamagedBlob(digest),
            None if self.source_changed => Cause::SourceChanged,
            None if self.cancelled => Cause::Cancelled,
            None => Cause::Failed,
        };
        StageError {
            message: self.failed,
            help: self.help,
            cause,
        }
    }
}

/// What comes back while the action runs; other events than these are the driver's own.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Heard {
    StageProgress {
        done: u64,
        total: Option<u64>,
    },
    StageLog {
        line: String,
    },
    Nondeterminism {
        key: Key,
        port: String,
        kept: Digest,
        found: Digest,
        replaced: bool,
    },
}

/// Submits an action and waits for it.
pub(crate) fn run_remote(
    workshop: &Workshop<'_>,
    executor: &dyn Executor,
    work: &Work,
    forced: bool,
) -> Result<Made, StageError> {
    let action = &work.action;
    // Every input's record must be in the store before the action is submitted.
    workshop.store.flush()?;
    let jobs = if work.needs.threads == 0 {
        workshop.jobs
    } else {
        work.needs.threads
    };
    let file = ActionFile::of(action, work.seed, &work.folder, jobs, forced);
    let failure: Arc<Mutex<Option<Failure>>> = Arc::default();
    let (lines, heard) = crossbeam::channel::unbounded::<String>();
    let told = failure.clone();
    let tell = Arc::new(move |line: &str| {
        if let Ok(failed) = serde_json::from_str::<Failure>(line) {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed);
        } else {
            // The receiver lives as long as the submission.
            let _ = lines.send(line.to_string());
        }
    });
    let mut submission = executor.submit(&file, tell)?;
    let mut cancelled = false;
    let ended = loop {
        while let Ok(line) = heard.try_recv() {
            forward(workshop.sink, action, &line);
        }
        if let Some(ended) = submission.poll() {
            break ended;
        }
        if workshop.interrupt.asked() && !cancelled {
            submission.cancel();
            cancelled = true;
        }
        if let Ok(line) = heard.recv_timeout(Duration::from_millis(5)) {
            forward(workshop.sink, action, &line);
        }
    };
    heard
        .try_iter()
        .for_each(|line| forward(workshop.sink, action, &line));
    if let Err(error) = ended {
        let failure = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        return Err(match failure {
            Some(failure) => {
                if failure.source_changed {
                    forget_changed(workshop, action);
                }
                failure.into_error()
            }
            None if cancelled => StageError::cancelled(),
            None => error,
        });
    }
    match look_up(workshop.store, &action.key)? {
        Lookup::Complete(finished) => {
            ActionFile::remove(workshop.store, &action.key);
            workshop.store.share(&finished.key, finished.record()?);
            Ok(Made {
                finished,
                how: How::Computed,
                commit: None,
            })
        }
        _ => Err(StageError::new(
            "the executor says that the action is done, but its record is not in the store",
        )),
    }
}

/// The other process looked at the sources and the program; this one still holds what they were,
/// and would submit the same action again.
fn forget_changed(workshop: &Workshop<'_>, action: &Action) {
    for source in action.sources.values() {
        // An error is what is hoped for here; the next look tells it again where it stays.
        let _ = workshop.sources.confirm(source);
    }
    let _ = workshop.confirm_tool(action);
}

fn forward(sink: &Sink<'_>, action: &Action, line: &str) {
    let label = action.label.clone();
    let event = match serde_json::from_str::<Heard>(line) {
        Ok(Heard::StageProgress { done, total }) => Event::StageProgress { label, done, total },
        Ok(Heard::StageLog { line }) => Event::StageLog { label, line },
        Ok(Heard::Nondeterminism {
            key,
            port,
            kept,
            found,
            replaced,
        }) => Event::Nondeterminism {
            label,
            key,
            port,
            kept,
            found,
            replaced,
        },
        Err(_) => Event::StageLog {
            label,
            line: line.to_string(),
        },
    };
    sink(&event);
}

/// Runs one action from its file: what `dermflow exec` does. Prints events, and a failure, as
/// JSON lines on standard output.
///
/// # Errors
/// Where the action fails; the line is printed already.
pub fn execute(
    key: &Key,
    store: &Store,
    registry: &Registry,
    interrupt: &Interrupt,
) -> Result<(), StageError> {
    let sink = |event: &Event| print_line(event);
    let done = execute_quietly(key, store, registry, interrupt, &sink);
    if let Err(error) = &done {
        print_line(&Failure::of(error));
    }
    done
}

fn print_line(line: &impl Serialize) {
    if let Ok(text) = serde_json::to_string(line) {
        // Whoever listened may be gone: what was made is kept all the same.
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}

/// As [`execute`]; events go to `sink`, and a failure is told by what is returned alone.
///
/// # Errors
/// Where the action fails.
pub fn execute_quietly(
    key: &Key,
    store: &Store,
    registry: &Registry,
    interrupt: &Interrupt,
    sink: &Sink<'_>,
) -> Result<(), StageError> {
    let file = match ActionFile::load(store, key) {
        Ok(file) => file,
        // Whoever is done with an action takes its file away, and it may be another process.
        Err(error) => match look_up(store, key)? {
            Lookup::Complete(_) => return Ok(()),
            _ => return Err(error),
        },
    };
    let sources = Sources::new(store, false);
    let unbound = file.open(store, registry)?;
    let folder = unbound.folder.clone();
    let action = Arc::new(Action::bind(unbound, &sources)?);
    if action.key != *key {
        let message = "what the action depends on is no longer what it was when it was submitted";
        return Err(StageError::new(message).with_cause(Cause::SourceChanged));
    }
    let workshop = Workshop {
        store,
        sources: &sources,
        sink,
        interrupt,
        jobs: file.jobs.max(1),
        spare: Spare::default(),
    };
    let work = make_work(&workshop, action, file.forced, false, file.seed, folder)?;
    let made = match &work.map {
        None => run_whole(&workshop, &work.action, work.no_files.as_ref(), file.forced)?,
        Some(map) => {
            let missing = map.missing();
            run_parts(&workshop, map, &missing)?;
            finish_map(&workshop, map, &missing)?
        }
    };
    complete(made, store)?;
    sources.save()
}

/// Computes partitions on as many threads as the action may have.
fn run_parts(workshop: &Workshop<'_>, map: &MapWork, missing: &[usize]) -> Result<(), StageError> {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(at) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
            complete(run_part(workshop, map, *at)?, workshop.store)?;
        }
        workshop.spare.add_idle();
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workshop.jobs).map(|_| scope.spawn(work)).collect();
        // The scope waits for those after a failed one too.
        let panicked = |_| Err(StageError::new("a worker thread panicked"));
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(panicked))
    })
}

fn complete(made: Made, store: &Store) -> Result<(), StageError> {
    let Some(commit) = made.commit else {
        return Ok(());
    };
    store.hurry();
    commit.complete(store)
}
