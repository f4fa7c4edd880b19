//! The thread that pushes results to the remote while the run goes on.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};
use dermflow_core::{Digest, Key, Record};

use super::far::Far;
use crate::shelf::Shelf;

/// What was pushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Records that the remote did not have.
    pub records: u64,
    /// Bytes of blobs that it did not have.
    pub bytes: u64,
}

impl AddAssign for Pushed {
    fn add_assign(&mut self, other: Pushed) {
        self.records += other.records;
        self.bytes += other.bytes;
    }
}

enum Job {
    Record(Box<Record>),
    Family(Digest, Key),
}

/// What both threads see.
#[derive(Debug)]
struct Shared {
    far: Arc<Far>,
    /// Jobs that are not done, and what went so far.
    state: Mutex<(usize, Pushed)>,
    done: Condvar,
    /// Set when nobody waits any more: a later run pushes the rest.
    stopped: AtomicBool,
}

/// The way to the thread, which starts with the first job.
#[derive(Debug)]
pub(super) struct Pusher {
    shared: Arc<Shared>,
    running: OnceLock<Running>,
}

#[derive(Debug)]
struct Running {
    jobs: Sender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Pusher {
    pub(super) fn new(far: Arc<Far>) -> Pusher {
        Pusher {
            shared: Arc::new(Shared {
                far,
                state: Mutex::default(),
                done: Condvar::new(),
                stopped: AtomicBool::new(false),
            }),
            running: OnceLock::new(),
        }
    }

    pub(super) fn record(&self, record: &Record) {
        self.send(Job::Record(Box::new(record.clone())));
    }

    pub(super) fn family(&self, family: &Digest, key: &Key) {
        self.send(Job::Family(*family, *key));
    }

    fn send(&self, job: Job) {
        let running = self.running.get_or_init(|| {
            let (jobs, queue) = unbounded();
            let shared = self.shared.clone();
            let spawn = std::thread::Builder::new().name("store pusher".to_string());
            // Where no thread can be had, nothing is pushed; a later run does it.
            let thread = spawn.spawn(move || work(&shared, &queue)).ok();
            let thread = Mutex::new(thread);
            Running { jobs, thread }
        });
        self.shared.lock().0 += 1;
        if running.jobs.send(job).is_err() {
            self.shared.lock().0 -= 1;
        }
    }

    /// Waits for all jobs, or until `stop` says that nobody wants to.
    pub(super) fn finish(&self, stop: &dyn Fn() -> bool) -> Pushed {
        let mut state = self.shared.lock();
        while state.0 > 0 {
            let patience = Duration::from_millis(50);
            let waited = self.shared.done.wait_timeout(state, patience);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if stop() {
                self.shared.stopped.store(true, Ordering::Relaxed);
                break;
            }
        }
        state.1
    }
}

impl Drop for Pusher {
    fn drop(&mut self) {
        if let Some(Running { jobs, thread }) = self.running.take() {
            drop(jobs);
            let thread = thread.into_inner().unwrap_or_else(PoisonError::into_inner);
            // A panic there was told on its own; what was not pushed is pushed by a later run.
            let _ = thread.map(JoinHandle::join);
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, (usize, Pushed)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn work(shared: &Shared, queue: &Receiver<Job>) {
    let far = &shared.far;
    let stop = || shared.stopped.load(Ordering::Relaxed) || !far.writes();
    for job in queue {
        let went = match job {
            _ if stop() => Ok(Pushed::default()),
            Job::Record(record) => far.push_record(&record, &stop),
            Job::Family(family, key) => far.shelf.write_family(&family, &key).map(|()| Pushed::default()),
        };
        let went = went.unwrap_or_else(|error| {
            far.stop_writing(&error);
            Pushed::default()
        });
        let mut state = shared.lock();
        state.0 -= 1;
        state.1 += went;
        shared.done.notify_all();
    }
}
