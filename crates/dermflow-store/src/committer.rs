//! The committer: makes blobs durable, then writes the records that name them.
//!
//! One thread takes whatever is queued as a group, so that a thousand small results cost a few
//! synchronisations, not thousands.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use dermflow_core::{BlobRef, Digest, Key, Record, SourceDigest};

use crate::Store;
use crate::disk::Disk;
use crate::error::StoreError;
use crate::record::{PutOutcome, place_record};

/// Most records in a group, so that the first of many doesn't wait for the last.
const GROUP: usize = 256;

/// How long the committer waits for one record more, unless it is in a hurry: each
/// synchronisation holds up every other write to the file system.
const PATIENCE: Duration = Duration::from_millis(15);

/// How long the first of a group waits at most, while others keep coming.
const MOST_PATIENCE: Duration = Duration::from_millis(60);

impl Store {
    /// Hands a record over to be written once its blobs are durable, and returns at once.
    ///
    /// # Errors
    /// Where the record has no key (see [`dermflow_core::Manifest::key`]).
    pub fn commit(&self, record: Record) -> Result<Ticket, StoreError> {
        let key = record
            .manifest
            .key()
            .map_err(|error| StoreError::invalid(format!("a record has no key: {error}")))?;
        let (reply, answer) = bounded(1);
        let record = Box::new(record);
        self.committer().send(Job::Record { key, record, reply });
        Ok(Ticket { answer })
    }

    /// Writes a record at once and waits until it is there.
    ///
    /// # Errors
    /// Where the disk is full or can't be written.
    pub fn put_record(&self, record: &Record) -> Result<PutOutcome, StoreError> {
        let ticket = self.commit(record.clone())?;
        self.committer().send(Job::Hurry);
        ticket.wait()
    }

    /// What was committed shall not wait for more: somebody waits for it.
    pub fn hurry(&self) {
        if let Some(committer) = self.running_committer() {
            committer.send(Job::Hurry);
        }
    }

    /// Waits until everything that was committed is written and would outlive a power cut.
    ///
    /// # Errors
    /// Where the disk can't be written.
    pub fn flush(&self) -> Result<(), StoreError> {
        let Some(committer) = self.running_committer() else {
            return Ok(());
        };
        let (reply, answer) = bounded(1);
        committer.send(Job::Flush { reply });
        answer.recv().unwrap_or_else(|_| Err(stopped()))
    }
}

/// A record on its way to the disk.
#[derive(Debug)]
pub struct Ticket {
    answer: Receiver<Result<PutOutcome, StoreError>>,
}

impl Ticket {
    /// Waits until the record is in its place and its blobs are durable: a few hundredths of a
    /// second, in which others join it. [`Store::hurry`] and [`Store::flush`] don't wait for others.
    ///
    /// # Errors
    /// Where the disk is full or can't be written; the record is not there then.
    pub fn wait(self) -> Result<PutOutcome, StoreError> {
        self.answer.recv().unwrap_or_else(|_| Err(stopped()))
    }
}

fn stopped() -> StoreError {
    StoreError::invalid("the store's writer stopped before it was done")
}

/// The way back to a ticket.
type Reply = Sender<Result<PutOutcome, StoreError>>;

enum Job {
    Record {
        key: Key,
        record: Box<Record>,
        reply: Reply,
    },
    Flush {
        reply: Sender<Result<(), StoreError>>,
    },
    /// What is queued shall not wait for more.
    Hurry,
    /// The store is being closed.
    Stop,
}

/// What is done at once.
#[derive(Default)]
struct Group {
    records: Vec<(Key, Box<Record>, Reply)>,
    flushes: Vec<Sender<Result<(), StoreError>>>,
    hurry: bool,
    stop: bool,
}

impl Group {
    /// Waits for a first record, then a moment for others.
    fn collect(queue: &Receiver<Job>) -> Group {
        let mut group = Group::default();
        let mut until: Option<Instant> = None;
        let mut longest: Option<Instant> = None;
        while group.records.len() < GROUP {
            let next = match until {
                _ if group.hurry => queue.try_recv().ok(),
                Some(until) => queue.recv_deadline(until).ok(),
                None => queue.recv().ok().or(Some(Job::Stop)),
            };
            match next {
                Some(job) => group.add(job),
                None => break,
            }
            if !group.records.is_empty() {
                let now = Instant::now();
                let longest = *longest.get_or_insert(now + MOST_PATIENCE);
                until = Some(longest.min(now + PATIENCE));
            }
        }
        group
    }

    fn add(&mut self, job: Job) {
        match job {
            Job::Record { key, record, reply } => self.records.push((key, record, reply)),
            Job::Flush { reply } => {
                self.flushes.push(reply);
                self.hurry = true;
            }
            Job::Hurry => self.hurry = true,
            Job::Stop => (self.stop, self.hurry) = (true, true),
        }
    }
}

/// The thread and the way to it.
#[derive(Debug)]
pub(crate) struct Committer {
    jobs: Sender<Job>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(crate) fn start(disk: Arc<Disk>) -> Committer {
        let (jobs, queue) = unbounded();
        let spawn = std::thread::Builder::new().name("store committer".to_string());
        // Where no thread can be had, every ticket answers that the writer stopped.
        let thread = spawn.spawn(move || work(&disk, &queue)).ok();
        Committer { jobs, thread }
    }

    fn send(&self, job: Job) {
        // If the thread is gone, the job's reply channel closes, and whoever waits is told.
        let _ = self.jobs.send(job);
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.send(Job::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic there was told on its own; the records that are missing are only work lost.
            let _ = thread.join();
        }
    }
}

fn work(disk: &Disk, queue: &Receiver<Job>) {
    let mut syncer = Syncer::default();
    // Records that are in place but that a power cut could still take.
    let mut placed: Vec<PathBuf> = Vec::new();
    loop {
        let Group {
            records,
            flushes,
            stop,
            ..
        } = Group::collect(queue);
        let durable = make_durable(disk, &mut syncer, records.iter().map(|(_, record, _)| &**record));
        for (key, record, reply) in records {
            let outcome = match &durable {
                Ok(()) => place_record(disk, &key, &record),
                Err(error) => Err(error.clone()),
            };
            if matches!(outcome, Ok(PutOutcome::New | PutOutcome::Different(_))) {
                placed.push(disk.sharded("actions", &key.digest(), ".json"));
            }
            // Nobody has to wait for a ticket.
            let _ = reply.send(outcome);
        }
        if !flushes.is_empty() {
            let outcome = syncer.sync(disk.root(), &placed);
            if outcome.is_ok() {
                placed.clear();
            }
            for reply in flushes {
                let _ = reply.send(outcome.clone());
            }
        }
        // A ticket can't be taken any more, so nothing comes after this.
        if stop && queue.is_empty() {
            break;
        }
    }
    // The store is being closed: what can be made durable is, and what can't is only work lost.
    let _ = syncer.sync(disk.root(), &placed);
}

/// Makes those blobs durable that the records name and that this process wrote.
fn make_durable<'a>(
    disk: &Disk,
    syncer: &mut Syncer,
    records: impl Iterator<Item = &'a Record>,
) -> Result<(), StoreError> {
    let named: BTreeSet<Digest> = records.flat_map(blobs_of).collect();
    let unsynced = || {
        disk.unsynced
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    };
    let wanted: Vec<Digest> = {
        let unsynced = unsynced();
        named
            .into_iter()
            .filter(|digest| unsynced.contains(digest))
            .collect()
    };
    let paths: Vec<PathBuf> = wanted
        .iter()
        .map(|digest| {
            disk.blob_path(&BlobRef {
                digest: *digest,
                bytes: 0,
            })
        })
        .collect();
    syncer.sync(disk.root(), &paths)?;
    for (digest, path) in wanted.iter().zip(&paths) {
        if let Some(error) = disk.early_sync.failure(digest) {
            return Err(StoreError::io("making durable", path, error));
        }
    }
    let mut unsynced = unsynced();
    wanted.iter().for_each(|digest| {
        unsynced.remove(digest);
    });
    Ok(())
}

/// All blobs that a record names: of its outputs, and listings of its sources.
pub(crate) fn blob_refs_of(record: &Record) -> Vec<BlobRef> {
    let outputs = record.outputs.values().flat_map(|artifact| artifact.blobs());
    let listings = record
        .manifest
        .sources
        .values()
        .filter_map(|source| match source {
            SourceDigest::Folder { listing, .. } => Some(*listing),
            SourceDigest::File { .. } => None,
        });
    outputs.chain(listings).collect()
}

/// Their digests.
pub(crate) fn blobs_of(record: &Record) -> Vec<Digest> {
    blob_refs_of(record).iter().map(|blob| blob.digest).collect()
}

/// Two ways to make files durable, each by its measured cost: one call for each file, or one
/// for the file system, which also writes what other programs left behind.
struct Syncer {
    seconds_for_file: f64,
    seconds_for_all: f64,
}

impl Default for Syncer {
    fn default() -> Syncer {
        Syncer {
            seconds_for_file: 0.000_4,
            seconds_for_all: 0.004,
        }
    }
}

impl Syncer {
    fn sync(&mut self, root: &Path, paths: &[PathBuf]) -> Result<(), StoreError> {
        if paths.is_empty() {
            return Ok(());
        }
        // A file's name lies in its folder, and a new folder's name in the folder above.
        let mut folders: BTreeMap<&Path, ()> = BTreeMap::new();
        for folder in paths.iter().flat_map(|path| path.ancestors().skip(1).take(2)) {
            folders.insert(folder, ());
        }
        let calls = (paths.len() + folders.len()) as f64;
        let start = Instant::now();
        if calls * self.seconds_for_file <= self.seconds_for_all {
            let files = paths.iter().map(PathBuf::as_path);
            for path in files.chain(folders.into_keys()) {
                sync_one(path).map_err(|error| StoreError::io("making durable", path, error))?;
            }
            blend(&mut self.seconds_for_file, start.elapsed().as_secs_f64() / calls);
            // The way not taken grows cheaper in the books, so that it is tried again.
            self.seconds_for_all *= 0.95;
        } else {
            let sync = File::open(root).and_then(|folder| Ok(rustix::fs::syncfs(&folder)?));
            sync.map_err(|error| StoreError::io("making durable", root, error))?;
            blend(&mut self.seconds_for_all, start.elapsed().as_secs_f64());
            self.seconds_for_file *= 0.95;
        }
        Ok(())
    }
}

fn blend(estimate: &mut f64, measured: f64) {
    *estimate = 0.7 * *estimate + 0.3 * measured;
}

fn sync_one(path: &Path) -> io::Result<()> {
    match File::open(path).and_then(|file| file.sync_all()) {
        // Set aside meanwhile: the record will be found incomplete.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
