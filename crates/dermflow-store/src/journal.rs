//! Journals: one file a run, a JSON value a line, sealed into a chain.
//!
//! The last line of a sealed journal is
//! `{"seal":{"digest":…,"name":…,"number":…,"previous":…,…}}`. `digest` covers every line
//! before it and the rest of the seal; `previous` is the digest in the seal before. So no line
//! can change, no journal vanish from the middle, swap places or be renamed, without
//! [`Store::verify_journals`] seeing it.
//!
//! A journal that is being written is called `….open.jsonl` and locked. One that is found
//! unlocked belongs to a process that died: the next run seals it as interrupted.

mod chain;
mod name;
mod reading;

#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use dermflow_core::Digest;
use serde::Serialize;
use serde_json::Value;

use crate::Store;
use crate::disk::{Disk, with_parent};
use crate::error::StoreError;

pub use name::JournalName;

/// How long a line waits for others before it is written.
const PATIENCE: Duration = Duration::from_millis(200);
/// Bytes of lines that are written at once.
const ENOUGH: usize = 64 << 10;

/// The journal of the run that is going on. Dropped without [`Journal::seal`], it counts as
/// interrupted.
#[derive(Debug)]
pub struct Journal {
    disk: Arc<Disk>,
    name: JournalName,
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug)]
struct State {
    /// Locked for as long as it is open.
    file: File,
    path: PathBuf,
    waiting: Vec<u8>,
    failed: Option<StoreError>,
    closing: bool,
}

impl Journal {
    /// Starts the journal of a run; `header` is its first line. Journals of runs that died are
    /// sealed first.
    ///
    /// # Errors
    /// Where the disk is full or can't be written.
    pub fn start(store: &Store, header: Value) -> Result<Journal, StoreError> {
        let disk = store.disk().clone();
        chain::seal_the_dead(&disk)?;
        let name = JournalName::new(&disk);
        let path = name.open_path(&disk);
        let create = || {
            OpenOptions::new()
                .read(true)
                .append(true)
                .create_new(true)
                .mode(0o644)
                .open(&path)
        };
        let file = {
            // Under the chain's lock, so that nobody takes it for a dead run's before it is locked.
            let _chain = chain::lock(&disk)?;
            let file =
                with_parent(&path, create).map_err(|error| StoreError::io("creating", &path, error))?;
            file.lock()
                .map_err(|error| StoreError::io("locking", &path, error))?;
            file
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                file,
                path,
                waiting: Vec::new(),
                failed: None,
                closing: false,
            }),
            wake: Condvar::new(),
        });
        let journal = Journal {
            disk,
            name,
            writer: spawn_writer(shared.clone()),
            shared,
        };
        journal.append(&header)?;
        journal.flush()?;
        Ok(journal)
    }

    /// What it is called.
    pub fn name(&self) -> &JournalName {
        &self.name
    }

    /// Adds a line. It is written within a moment, with those that came before and after.
    ///
    /// # Errors
    /// Where it can't be JSON, or an earlier line could not be written.
    pub fn append<T: Serialize + ?Sized>(&self, line: &T) -> Result<(), StoreError> {
        let line = serde_json::to_vec(line)
            .map_err(|error| StoreError::invalid(format!("a journal line can't be JSON: {error}")))?;
        let mut state = self.shared.lock();
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        let first = state.waiting.is_empty();
        state.waiting.extend(line);
        state.waiting.push(b'\n');
        if state.waiting.len() >= ENOUGH {
            return state.write();
        }
        // For the lines after the first, the writer is awake and waits for more.
        if first {
            self.shared.wake.notify_one();
        }
        Ok(())
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// Where the disk is full or can't be written.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.shared.lock().write()
    }

    /// Completes the journal and ties it to the one sealed before; gives the seal's digest.
    /// `footer` is kept in the seal.
    ///
    /// # Errors
    /// Where the disk is full or can't be written.
    pub fn seal(mut self, footer: Value) -> Result<Digest, StoreError> {
        self.stop_writer();
        let mut state = self.shared.lock();
        state.write()?;
        chain::seal(&self.disk, &self.name, &mut state.file, footer)
    }

    fn stop_writer(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_one();
        if let Some(writer) = self.writer.take() {
            // A panic there was told on its own; `flush` and `seal` write what is left.
            let _ = writer.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.stop_writer();
        // Whoever cares for the last lines calls `flush` or `seal`, which tell.
        let _ = self.flush();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Lines are added whole, so a thread that panicked left the state whole.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl State {
    fn write(&mut self) -> Result<(), StoreError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let written = self.file.write_all(&self.waiting);
        self.waiting.clear();
        written.map_err(|error| {
            let error = StoreError::io("writing", &self.path, error);
            // A line may be there in part; none may follow it.
            self.failed = Some(error.clone());
            error
        })
    }
}

/// The thread that writes lines which nobody flushes.
fn spawn_writer(shared: Arc<Shared>) -> Option<JoinHandle<()>> {
    let work = move || {
        let mut state = shared.lock();
        while !state.closing {
            state = match state.waiting.is_empty() {
                true => shared
                    .wake
                    .wait(state)
                    .unwrap_or_else(|poisoned| poisoned.into_inner()),
                false => {
                    let timed = shared
                        .wake
                        .wait_timeout_while(state, PATIENCE, |state| !state.closing);
                    let (mut state, _) = timed.unwrap_or_else(|poisoned| poisoned.into_inner());
                    // The error stays in the state, for the next call.
                    let _ = state.write();
                    state
                }
            };
        }
    };
    let builder = std::thread::Builder::new().name("journal".to_string());
    builder.spawn(work).ok()
}

impl Store {
    /// All journals in order of their names, which is that of their starts.
    pub fn list_journals(&self) -> Vec<JournalName> {
        reading::list(self.disk())
    }

    /// The lines of a journal, the seal among them. Lines of a run that is going on, or that
    /// died, are given as far as they are whole.
    ///
    /// # Errors
    /// Where there is no such journal, or a line is no JSON.
    pub fn read_journal(&self, name: &JournalName) -> Result<Vec<Value>, StoreError> {
        reading::read(self.disk(), name)
    }

    /// The newest seal of the chain: its journal, its number and its digest. It stands for every
    /// seal before it, too.
    pub fn newest_seal(&self) -> Option<(JournalName, u64, Digest)> {
        chain::newest(self.disk())
    }

    /// Whether a journal has its seal, or at least its final name.
    pub(crate) fn is_sealed(&self, name: &JournalName) -> bool {
        name.path(self.disk()).exists()
    }

    /// Whether the index of the newest seal is there and can't be read.
    pub(crate) fn head_is_damaged(&self) -> bool {
        chain::head_is_damaged(self.disk())
    }

    /// Checks every sealed journal and the chain between them; a sentence for each thing that
    /// is wrong.
    ///
    /// # Errors
    /// Where a file can't be read though it is there.
    pub fn verify_journals(&self) -> Result<Vec<String>, StoreError> {
        chain::verify(self.disk())
    }
}

/// Makes a sealed journal read-only.
fn make_read_only(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    // A help against accidents; the seal is what protects it.
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o444));
}
