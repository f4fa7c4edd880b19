//! The sweeper: takes away the folders of actions that are done, when nobody waits for it.
//!
//! Making a folder is quick; removing one with all in it may take longer than what ran there. So
//! they are moved to `trash/` as they are done with, and removed by a thread of its own once the
//! work is over. What it does not get to is swept by a later run, or by `gc`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};

use crate::Store;
use crate::disk::{Disk, with_parent};
use crate::find::names_in;

/// Folders that may wait before the sweeper starts though work goes on.
const BACKLOG: usize = 2048;

impl Store {
    /// Removes what lies in the trash, of earlier runs as well, for at most this long.
    pub fn sweep(&self, limit: Duration) {
        self.sweeper().sweep(self.disk(), limit);
    }
}

/// The way to the thread, which starts with the first folder.
#[derive(Debug, Default)]
pub(crate) struct Sweeper {
    shared: Arc<Shared>,
    running: OnceLock<Running>,
}

#[derive(Debug)]
struct Running {
    folders: Sender<PathBuf>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Folders that wait.
    waiting: Mutex<usize>,
    changed: Condvar,
    /// Nobody works any more.
    idle: AtomicBool,
    /// Nobody waits any more.
    stopped: AtomicBool,
}

/// Moves a folder to the trash; gives where it lies then, or nothing where there was none.
pub(crate) fn discard(disk: &Disk, folder: &Path) -> std::io::Result<Option<PathBuf>> {
    // The trash is made when it is first needed, which may not be mistaken for a missing folder.
    if fs::symlink_metadata(folder).is_err() {
        return Ok(None);
    }
    let place = disk.at("trash").join(disk.unique());
    match with_parent(&place, || fs::rename(folder, &place)) {
        Ok(()) => Ok(Some(place)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Sweeper {
    /// Takes a folder in the trash.
    pub(crate) fn take(&self, folder: PathBuf) {
        let running = self.running.get_or_init(|| {
            let (folders, queue) = unbounded();
            let shared = self.shared.clone();
            let spawn = std::thread::Builder::new().name("store sweeper".to_string());
            // Where no thread can be had, a later run sweeps.
            let thread = spawn.spawn(move || work(&shared, &queue)).ok();
            Running {
                folders,
                thread: Mutex::new(thread),
            }
        });
        let mut waiting = self.shared.lock();
        if running.folders.send(folder).is_ok() {
            *waiting += 1;
        }
        self.shared.changed.notify_all();
    }

    fn sweep(&self, disk: &Disk, limit: Duration) {
        let until = Instant::now() + limit;
        // What this process put there waits already, and is passed over where it is gone.
        let trash = disk.at("trash");
        for name in names_in(&trash) {
            self.take(trash.join(name));
        }
        self.shared.idle.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        let mut waiting = self.shared.lock();
        while *waiting > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.shared.changed.wait_timeout(waiting, left);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(waiting);
        self.shared.idle.store(false, Ordering::Relaxed);
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        if let Some(Running { folders, thread }) = self.running.take() {
            drop(folders);
            let thread = thread.into_inner().unwrap_or_else(PoisonError::into_inner);
            // A panic there was told on its own; what is left is swept later.
            let _ = thread.map(JoinHandle::join);
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, usize> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until sweeping disturbs nobody; false where it shall end.
    fn may_go_on(&self) -> bool {
        let mut waiting = self.lock();
        loop {
            if self.stopped.load(Ordering::Relaxed) {
                return false;
            }
            if self.idle.load(Ordering::Relaxed) || *waiting > BACKLOG {
                return true;
            }
            let patience = Duration::from_millis(50);
            let waited = self.changed.wait_timeout(waiting, patience);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn work(shared: &Shared, queue: &Receiver<PathBuf>) {
    for folder in queue {
        if !shared.may_go_on() {
            return;
        }
        // One that a program made read-only stays for `gc`, which tells of it.
        let _ = match fs::symlink_metadata(&folder) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&folder),
            Ok(_) => fs::remove_file(&folder),
            Err(_) => Ok(()),
        };
        *shared.lock() -= 1;
        shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{key, store};

    #[test]
    fn a_folder_that_is_done_with_is_out_of_the_way_at_once_and_gone_when_there_is_time() {
        let (_folder, store) = store();
        for number in 0..20 {
            let lock = store.try_lock_key(&key(number)).unwrap().unwrap();
            fs::write(lock.folder().join("x"), "x").unwrap();
            store.done_later(lock).unwrap();
        }
        assert!(names_in(&store.root().join("work")).is_empty());
        assert_eq!(names_in(&store.root().join("trash")).len(), 20);
        store.sweep(Duration::from_secs(20));
        assert!(names_in(&store.root().join("trash")).is_empty());
        // What another run left.
        fs::create_dir_all(store.root().join("trash/left/inner")).unwrap();
        store.sweep(Duration::from_secs(20));
        assert!(names_in(&store.root().join("trash")).is_empty());
    }

    #[test]
    fn nobody_waits_longer_than_said_and_what_is_left_is_swept_later() {
        let (_folder, store) = store();
        for number in 0..200 {
            fs::create_dir_all(store.root().join(format!("trash/{number}/a/b"))).unwrap();
        }
        store.sweep(Duration::ZERO);
        let root = store.root().to_path_buf();
        drop(store);
        let left = names_in(&root.join("trash")).len();
        assert!(left > 0, "all was swept in no time");
        let store = Store::open(&root).unwrap();
        store.sweep(Duration::from_secs(20));
        assert!(names_in(&root.join("trash")).is_empty());
    }
}
