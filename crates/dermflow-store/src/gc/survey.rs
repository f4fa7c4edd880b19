//! What lies in the store: runs, blobs, leftovers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dermflow_core::{BlobRef, Digest, Key};
use serde_json::Value;

use super::Policy;
use super::mark::Graph;
use crate::Store;
use crate::error::StoreError;
use crate::find::{digests_in, names_in};
use crate::journal::JournalName;

/// How long damaged files, untouched scratch folders and memos are kept.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// Runs, newest first, sorted into kept and released.
pub(super) struct Runs {
    pub(super) kept: Vec<JournalName>,
    pub(super) released: Vec<JournalName>,
    /// The actions that kept runs name.
    pub(super) kept_keys: BTreeSet<Key>,
    /// The newest run that names an action, as seconds since 1970.
    pub(super) last_use: BTreeMap<Key, f64>,
    /// Whether the policy lets anything go that a record names.
    pub(super) may_release: bool,
}

impl Runs {
    /// Whether no run was ever made with this store.
    pub(super) fn is_unknown(&self) -> bool {
        self.kept.is_empty() && self.released.is_empty()
    }
}

pub(super) fn runs(store: &Store, policy: Policy) -> Result<Runs, StoreError> {
    let policy = match policy {
        Policy {
            keep_runs: None,
            keep_newer_than: None,
            max_bytes: Some(_),
        } => Policy {
            keep_runs: Some(1),
            ..policy
        },
        other => other,
    };
    let may_release = policy.keep_runs.is_some() || policy.keep_newer_than.is_some();
    let mut runs = Runs {
        kept: Vec::new(),
        released: Vec::new(),
        kept_keys: BTreeSet::new(),
        last_use: BTreeMap::new(),
        may_release,
    };
    let now = SystemTime::now();
    let mut place = 0;
    for name in store.list_journals().into_iter().rev() {
        let lines = store.read_journal(&name);
        let by_number = policy.keep_runs.is_some_and(|runs| place < runs);
        // What tells of a forgetting is no run, and takes no run's place.
        let is_run = lines.as_ref().map_or(true, |lines| {
            lines.first().is_none_or(|line| line["forget"].is_null())
        });
        place += usize::from(is_run);
        let age = now.duration_since(name.started()).unwrap_or_default();
        let by_age = policy.keep_newer_than.is_some_and(|newer| age < newer);
        let keep = !may_release || by_number || by_age;
        let keys = match lines {
            Ok(lines) => keys_of(&lines),
            // A journal that nobody keeps only tells how long ago things were used.
            Err(_) if !keep => Vec::new(),
            Err(error) => return Err(error),
        };
        let started = seconds(name.started());
        for key in keys {
            runs.last_use.entry(key).or_insert(started);
            if keep {
                runs.kept_keys.insert(key);
            }
        }
        if keep { &mut runs.kept } else { &mut runs.released }.push(name);
    }
    Ok(runs)
}

pub(super) fn seconds(time: SystemTime) -> f64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// Every key that a journal names, at whatever depth: `{"key": …}`.
fn keys_of(lines: &[Value]) -> Vec<Key> {
    fn collect(value: &Value, keys: &mut Vec<Key>) {
        match value {
            Value::Object(fields) => {
                let key = fields.get("key").and_then(Value::as_str);
                keys.extend(key.and_then(|key| key.parse::<Key>().ok()));
                fields.values().for_each(|value| collect(value, keys));
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, keys)),
            _ => {}
        }
    }
    let mut keys = Vec::new();
    lines.iter().for_each(|line| collect(line, &mut keys));
    keys
}

/// All blobs that lie in the store.
pub(super) fn blobs(store: &Store) -> Vec<BlobRef> {
    let digests = digests_in(&store.disk().at("blobs"), "");
    let sized = digests.into_iter().map(|digest| {
        let path = store.disk().blob_path(&BlobRef { digest, bytes: 0 });
        let bytes = fs::symlink_metadata(path).map_or(0, |metadata| metadata.len());
        BlobRef { digest, bytes }
    });
    sized.collect()
}

/// Files that nobody will ask for again.
pub(super) fn leftovers(store: &Store, graph: &Graph) -> Vec<PathBuf> {
    let within = |folder: &str| -> Vec<PathBuf> {
        let folder = store.disk().at(folder);
        names_in(&folder).iter().map(|name| folder.join(name)).collect()
    };
    let mut leftovers = within("tmp");
    leftovers.extend(within("trash"));
    for folder in ["damaged", "memos"] {
        leftovers.extend(within(folder).into_iter().filter(|path| is_old(path)));
    }
    // A scratch folder may hold the checkpoints of a training that was killed: it is worth
    // more than the space, for a while.
    leftovers.extend(within("work").into_iter().filter(|path| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let key = name.strip_suffix(".lock").unwrap_or(name).parse::<Key>().ok();
        let done = key.is_none_or(|key| graph.has(&key));
        (done || is_untouched(path)) && !is_locked(&path.with_extension("lock"))
    }));
    leftovers
}

fn is_old(path: &Path) -> bool {
    let changed = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    let age = changed.map(|changed| SystemTime::now().duration_since(changed));
    matches!(age, Ok(Ok(age)) if age >= WEEK)
}

/// Whether a scratch folder and all in it are old.
fn is_untouched(folder: &Path) -> bool {
    let entries = walkdir::WalkDir::new(folder).into_iter();
    entries.flatten().all(|entry| is_old(entry.path()))
}

/// Whether somebody holds this lock. A look must not make the file.
fn is_locked(lock: &Path) -> bool {
    match fs::File::open(lock) {
        Ok(file) => file.try_lock().is_err(),
        Err(_) => false,
    }
}

/// The families whose latest action goes or is gone already.
pub(super) fn families_of(store: &Store, gone: &BTreeSet<Key>, graph: &Graph) -> Vec<Digest> {
    let families = digests_in(&store.disk().at("families"), "");
    let lost = |family: &Digest| match store.get_family(family) {
        Some(key) => gone.contains(&key) || !graph.has(&key),
        None => true,
    };
    families.into_iter().filter(lost).collect()
}
