//! [`Workshop`]: what every worker of a run shares, and the steps that end every action: the
//! check against an earlier result and the commit.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use dermflow_core::{Artifact, BlobRef, Digest, Key, Making, Record, SourceDigest, StageContext, StageError};
use dermflow_store::{KeyLock, RemoteNote, Store, Ticket};

use crate::action::Action;
use crate::event::{Event, Sink};
use crate::finished::Finished;
use crate::interrupt::Interrupt;
use crate::sources::Sources;
use crate::spare::Spare;

/// Shared by all workers of a run.
pub(crate) struct Workshop<'a> {
    pub store: &'a Store,
    pub sources: &'a Sources,
    pub sink: &'a Sink<'a>,
    pub interrupt: &'a Interrupt,
    pub jobs: usize,
    /// Threads that have nothing to do.
    pub spare: Spare,
}

/// A result, and how it came to be.
pub(crate) struct Made {
    pub finished: Arc<Finished>,
    pub how: How,
    pub commit: Option<Commit>,
}

/// How a result came to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum How {
    /// Another process had made it when this one got to it.
    Found,
    /// It was computed here.
    Computed,
}

/// A scratch folder may hold as many bytes as came out of it: from so many on it is removed at
/// once, and not when there is time for it.
const WORTH_REMOVING: u64 = 1 << 20;

/// A record on its way to the disk. The lock is held until it is there, so that a process
/// that waits for it finds it.
pub(crate) struct Commit {
    pub ticket: Ticket,
    pub lock: KeyLock,
    /// For a map: the family whose latest member it becomes.
    pub family: Option<Digest>,
    pub finished: Arc<Finished>,
}

impl Commit {
    /// Waits until the record is durable and lets the lock go; the remote hears of it then.
    pub(crate) fn complete(self, store: &Store) -> Result<(), StageError> {
        self.ticket.wait()?;
        let (key, record) = (&self.finished.key, self.finished.record()?);
        if let Some(family) = self.family {
            store.set_family(&family, key)?;
        }
        // The record is there. A folder that can't be removed (a program left one that is
        // read-only) is in nobody's way, and `gc` tries again.
        let outputs = record.outputs.values();
        let bytes = outputs.fold(0, |sum: u64, artifact| sum.saturating_add(artifact.bytes()));
        let _ = match bytes < WORTH_REMOVING {
            true => store.done_later(self.lock),
            false => self.lock.done(),
        };
        store.share(key, record);
        if let Some(family) = self.family {
            store.share_family(&family, key);
        }
        Ok(())
    }
}

/// What the store has under a key.
pub(crate) enum Lookup {
    /// Nothing.
    Absent,
    /// A record with all that it names.
    Complete(Arc<Finished>),
    /// A record of which something is gone. It stays until its action ran again, so that what
    /// comes out then is compared with it.
    Incomplete(String),
}

/// Looks a key up.
pub(crate) fn look_up(store: &Store, key: &Key) -> Result<Lookup, StageError> {
    let Some(record) = store.get_record(key)? else {
        return Ok(Lookup::Absent);
    };
    if store.is_complete(&record) {
        return Ok(Lookup::Complete(Arc::new(Finished::new(*key, record))));
    }
    let missing = missing_blob(store, &record);
    if store.remote_path().is_some() {
        // Another machine may have made it again, but the remote is only asked for what is not here.
        store.invalidate_record(key, &missing);
        match store.get_record(key)? {
            Some(again) if store.is_complete(&again) => {
                return Ok(Lookup::Complete(Arc::new(Finished::new(*key, again))));
            }
            Some(_) => {}
            None => drop(store.put_record(&record)?),
        }
    }
    Ok(Lookup::Incomplete(missing))
}

/// The first blob that a record names and the store lacks, in words.
pub(crate) fn missing_blob(store: &Store, record: &Record) -> String {
    for (port, artifact) in &record.outputs {
        if let Some(blob) = artifact.blobs().iter().find(|blob| !store.has_blob(blob)) {
            return format!(
                "blob {} of its output `{port}` is gone or damaged",
                blob.digest.short()
            );
        }
    }
    "a file of it is gone".to_string()
}

impl Workshop<'_> {
    /// Tells what is new of the remote.
    pub fn tell_remote_notes(&self) {
        tell_remote_notes(self.store, self.sink);
    }

    /// Waits for the right to compute an action.
    pub fn lock(&self, key: &Key) -> Result<KeyLock, StageError> {
        Ok(self.store.lock_key(key, &|| self.interrupt.asked())?)
    }

    /// How many threads an action of this kind may use.
    pub fn threads(&self, action: &Action) -> usize {
        match action.kind.resources(&action.parameters, &action.sizes()).threads {
            0 => self.jobs,
            threads => threads.min(self.jobs),
        }
    }

    /// Calls a kind. A panic in it is its failure, not ours.
    pub fn call(&self, action: &Action, context: &mut dyn StageContext) -> Result<(), StageError> {
        let call = AssertUnwindSafe(|| action.kind.run(&action.parameters, context));
        catch_unwind(call).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            let kind = action.kind.name();
            Err(StageError::new(format!("the kind `{kind}` panicked: {text}"))
                .with_help("this is a bug in the kind; please report it with the pipeline"))
        })
    }

    /// Looks at every source again after it was read, and at the external program after it ran.
    /// Keeps listings of folders, so that a later run can say which file changed.
    pub fn confirm_sources(&self, action: &Action) -> Result<(), StageError> {
        for source in action.sources.values() {
            self.sources.confirm(source)?;
            if let Some(listing) = source.listing() {
                self.store.put_bytes(listing.as_bytes())?;
            }
        }
        self.confirm_tool(action)
    }

    /// Looks at the external program again after it ran.
    pub fn confirm_tool(&self, action: &Action) -> Result<(), StageError> {
        match (&action.tool, &action.manifest.tool) {
            (Some(program), Some(digest)) => self.sources.confirm_tool(program, digest),
            _ => Ok(()),
        }
    }

    /// Ends an action: compares with an earlier result under the same key, which stays if it is
    /// whole, and otherwise hands the record to the store.
    pub fn settle(
        &self,
        action: &Action,
        record: Record,
        key: Key,
        lock: KeyLock,
        family: Option<Digest>,
    ) -> Result<Made, StageError> {
        if let Some(earlier) = self.store.get_record(&key)? {
            let stays = self.store.is_complete(&earlier);
            self.tell_differences(action, key, &earlier.outputs, &record.outputs, stays);
            if stays {
                // As in [`Commit::complete`]: a folder that can't be removed is in nobody's way.
                let _ = lock.done();
                // It may be whole only now, and not be so in the remote.
                self.store.share(&key, &earlier);
                let finished = Arc::new(Finished::new(key, earlier));
                return Ok(Made {
                    finished,
                    how: How::Computed,
                    commit: None,
                });
            }
            self.store.invalidate_record(&key, "incomplete");
        }
        let ticket = self.store.commit(record.clone())?;
        let finished = Arc::new(Finished::new(key, record));
        Ok(Made {
            finished: finished.clone(),
            how: How::Computed,
            commit: Some(Commit {
                ticket,
                lock,
                family,
                finished,
            }),
        })
    }

    fn tell_differences(
        &self,
        action: &Action,
        key: Key,
        earlier: &BTreeMap<String, Artifact>,
        now: &BTreeMap<String, Artifact>,
        stays: bool,
    ) {
        for (port, artifact) in now {
            let (found, kept) = (artifact.name(), earlier.get(port).map(Artifact::name));
            if let Some(kept) = kept.filter(|kept| *kept != found) {
                (self.sink)(&Event::Nondeterminism {
                    label: action.label.clone(),
                    key,
                    port: port.clone(),
                    kept,
                    found,
                    replaced: !stays,
                });
            }
        }
    }
}

/// Tells what is new of the remote.
pub(crate) fn tell_remote_notes(store: &Store, sink: &Sink<'_>) {
    for RemoteNote { message, help } in store.take_remote_notes() {
        sink(&Event::RemoteNote { message, help });
    }
}

/// A [`Making`] that started at `started` and ends now.
pub(crate) fn making(started: SystemTime, metrics: BTreeMap<String, f64>) -> Making {
    let since = |time: SystemTime| {
        time.duration_since(UNIX_EPOCH)
            .map_or(0.0, |span| span.as_secs_f64())
    };
    Making {
        started: since(started),
        seconds: started.elapsed().map_or(0.0, |span| span.as_secs_f64()),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        program: format!("dermflow {}", env!("CARGO_PKG_VERSION")),
        metrics,
        ..Making::default()
    }
}

/// Rows of all tables among these artifacts.
pub(crate) fn table_rows(outputs: &BTreeMap<String, Artifact>) -> u64 {
    let tables = outputs.values().filter(|artifact| artifact.sort() == "table");
    tables.map(Artifact::rows).sum()
}

/// The blob of a folder's listing, if this is a folder's digest.
pub(crate) fn listing_blob(source: &SourceDigest) -> Option<BlobRef> {
    match source {
        SourceDigest::Folder { listing, .. } => Some(*listing),
        SourceDigest::File { .. } => None,
    }
}
