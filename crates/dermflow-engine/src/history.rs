//! [`History`]: what each stage's last result was, read from the journals of earlier runs.
//! Only asked where a stage is a miss, so an unchanged pipeline never pays for it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use dermflow_core::{Artifact, Digest, Key, Record};
use dermflow_graph::Stage;
use dermflow_store::{JournalName, Store};
use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::event::StageLabel;
use crate::reason::{Reason, changed_columns, differences};
use crate::sources::listing_change;
use crate::workshop::listing_blob;

/// One stage of a run, as its journal tells it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JournalLine {
    /// The pipeline's name.
    pub pipeline: String,
    /// The variant or matrix cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<String>,
    /// The stage's name.
    pub stage: String,
    /// The kind's name.
    pub kind: String,
    /// The action.
    pub key: Key,
    /// `hit` or `executed`.
    pub outcome: String,
    /// What ties the result to the journal's seal; missing in journals of early versions.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
}

/// Which result it was: the key alone says what it depends on, not what came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The digest of the record's file.
    pub record: Digest,
    /// The artifact at each output port.
    pub outputs: BTreeMap<String, Digest>,
}

impl Sealed {
    /// Of a record.
    pub fn of(record: &Record) -> Sealed {
        let outputs = record.outputs.iter();
        Sealed {
            record: dermflow_store::record_digest(record),
            outputs: outputs
                .map(|(port, artifact)| (port.clone(), artifact.name()))
                .collect(),
        }
    }
}

impl JournalLine {
    /// The line of a stage.
    pub(crate) fn of(label: &StageLabel, key: Key, outcome: &str, sealed: Sealed) -> JournalLine {
        JournalLine {
            pipeline: label.pipeline.clone(),
            cell: label.cell.clone(),
            stage: label.stage.clone(),
            kind: label.kind.clone(),
            key,
            outcome: outcome.to_string(),
            sealed: Some(sealed),
        }
    }
}

/// Names a pipeline's cell among the store's pointers to newest journals.
pub fn cell_digest(pipeline: &str, cell: Option<&str>) -> Digest {
    let text = format!("{}\n{pipeline}\n{}", pipeline.len(), cell.unwrap_or_default());
    Digest::derive("dermflow pipeline cell v1", text.as_bytes())
}

/// How many journals before the newest of a cell are looked through for a stage.
const MOST_JOURNALS: usize = 30;

/// What journals have told of one cell so far.
struct Known {
    stages: BTreeMap<String, Key>,
    /// Journals that were not read yet; the newest is the last.
    unread: Vec<JournalName>,
}

impl Known {
    fn start(store: &Store, pipeline: &str, cell: Option<&str>) -> Known {
        let Some(newest) = store.get_latest(&cell_digest(pipeline, cell)) else {
            return Known {
                stages: BTreeMap::new(),
                unread: Vec::new(),
            };
        };
        let mut unread = store.list_journals();
        unread.truncate(unread.iter().position(|name| *name == newest).unwrap_or_default() + 1);
        unread.drain(..unread.len().saturating_sub(MOST_JOURNALS));
        Known {
            stages: BTreeMap::new(),
            unread,
        }
    }
}

/// Reads journals when first asked, and each once.
pub struct History<'a> {
    store: &'a Store,
    cells: Mutex<BTreeMap<(String, Option<String>), Known>>,
}

impl<'a> History<'a> {
    /// The history that a store holds.
    pub fn new(store: &'a Store) -> History<'a> {
        History {
            store,
            cells: Mutex::default(),
        }
    }

    /// The action that was last used for a stage: in its own cell, else in the base pipeline.
    pub fn last_key(&self, label: &StageLabel) -> Option<Key> {
        let own = self.in_cell(&label.pipeline, label.cell.as_deref(), &label.stage);
        own.or_else(|| self.in_cell(&label.pipeline, None, &label.stage))
    }

    fn in_cell(&self, pipeline: &str, cell: Option<&str>, stage: &str) -> Option<Key> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (pipeline.to_string(), cell.map(str::to_string));
        let known = cells
            .entry(name)
            .or_insert_with(|| Known::start(self.store, pipeline, cell));
        loop {
            if let Some(key) = known.stages.get(stage) {
                return Some(*key);
            }
            // A run with --until, or one that failed early, has no line for some stages.
            let journal = known.unread.pop()?;
            for line in self.lines(&journal, pipeline, cell) {
                known.stages.entry(line.stage).or_insert(line.key);
            }
        }
    }

    fn lines(&self, journal: &JournalName, pipeline: &str, cell: Option<&str>) -> Vec<JournalLine> {
        let lines = self.store.read_journal(journal).unwrap_or_default();
        let lines = lines
            .into_iter()
            .filter_map(|line| serde_json::from_value::<JournalLine>(line).ok());
        lines
            .filter(|line| line.pipeline == pipeline && line.cell.as_deref() == cell)
            .collect()
    }

    /// Why an action has no result: how it differs from the stage's last one.
    pub fn reasons(&self, action: &Action, stage: &Stage) -> Vec<Reason> {
        let Some(key) = self.last_key(&action.label) else {
            return vec![Reason::NeverRun];
        };
        let Ok(Some(last)) = self.store.get_record(&key) else {
            return vec![Reason::RecordGone];
        };
        let input = |port: &str, at: usize| self.input_change(&last, action, port, at);
        let source = |parameter: &str| self.source_change(&last, action, parameter);
        let reasons = differences(&last.manifest, &action.manifest, stage, &input, &source);
        if reasons.is_empty() {
            vec![Reason::RecordGone]
        } else {
            reasons
        }
    }

    /// `.pixels: 3 of 40 partitions`, where both tables are known.
    fn input_change(&self, last: &Record, action: &Action, port: &str, at: usize) -> Option<String> {
        let before = last.manifest.inputs.get(port)?.get(at)?;
        let columns = changed_columns(before, action.manifest.inputs.get(port)?.get(at)?);
        let ancestor = last.ancestry.get(port)?.get(at)?;
        let earlier = self.store.get_record(ancestor.action.as_ref()?).ok()??;
        let earlier = earlier.outputs.get(&ancestor.port)?;
        // It may hold another result by now, which tells nothing of what was read.
        if earlier.name() != ancestor.artifact {
            return None;
        }
        let (Artifact::Table(before), Artifact::Table(now)) =
            (earlier, action.inputs.get(port)?.get(at)?.artifact().ok()?)
        else {
            return None;
        };
        let told = columns.iter().filter_map(|name| {
            let at =
                |columns: &[dermflow_core::Column]| columns.iter().position(|column| column.name == *name);
            let (old, new) = (at(&before.columns)?, at(&now.columns)?);
            match (before.columns[old].nullable, now.columns[new].nullable) {
                (false, true) => return Some(format!(".{name}: values may be missing now")),
                (true, false) => return Some(format!(".{name}: no value may be missing any more")),
                _ if before.digests[old] == now.digests[new] => {
                    return Some(format!(".{name}: the same values, given in another way"));
                }
                _ => {}
            }
            let known: std::collections::BTreeSet<_> = before
                .partitions
                .iter()
                .map(|partition| partition.digests[old])
                .collect();
            let changed = now
                .partitions
                .iter()
                .filter(|partition| !known.contains(&partition.digests[new]))
                .count();
            Some(format!(
                ".{name}: {changed} of {} partitions",
                now.partitions.len()
            ))
        });
        let told: Vec<String> = told.collect();
        (told.len() == columns.len()).then(|| told.join(", "))
    }

    /// Which files of a folder changed, where the earlier listing is still there.
    fn source_change(&self, last: &Record, action: &Action, parameter: &str) -> Option<String> {
        let listing = listing_blob(last.manifest.sources.get(parameter)?)?;
        let before = String::from_utf8(self.store.read_blob(&listing).ok()?).ok()?;
        let now = action.sources.get(parameter)?.listing()?;
        Some(listing_change(&before, &now))
    }
}
