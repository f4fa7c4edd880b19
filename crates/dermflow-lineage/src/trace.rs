//! [`Trace`]: everything that a sample reached.
//!
//! Exact where rows can be seen: a table holds a row of the sample or it doesn't. Beyond rows
//! what a kind declares decides, never its insides:
//! * a **model** is reached where its inputs hold what it learns from: a row in two inputs at
//!   least (a picture without a label teaches nothing), and in a fold that is used;
//! * **figures** (tables about other things than samples) and **files** are reached where an
//!   input holds a row;
//! * through an external **program** nothing can be seen: all that it gave is reached, also where
//!   it found the sample among its declared files;
//! * **files** that are the sample's own, byte for byte, are reached whoever made them;
//! * what was made from a model, figures, files or a program's results that were reached is
//!   reached through them.
//!
//! A table about samples without a row of this one is not reached: the sample was dropped there.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray};
use dermflow_core::canonical::Value;
use dermflow_core::{Artifact, Digest, Key, SampleId, StageError, TableManifest};
use serde::Serialize;

use crate::files::{self, FileReach};
use crate::graph::Graph;
use crate::records::{Node, Records};
use crate::rows::{Rows, partition_ids};
use crate::sample::Samples;

/// How an artifact was reached; the later, the closer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Made from something that was reached, which holds no rows of the sample.
    Through,
    /// Made from rows of the sample: a model, figures, files, a program's result.
    From,
    /// Holds rows of the sample.
    Rows,
}

/// An artifact that samples reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reached {
    /// `stage.port`, as the newest run calls it.
    pub name: String,
    /// The kind that made it.
    pub kind: String,
    /// The action.
    pub action: Key,
    /// The output port.
    pub port: String,
    /// The artifact.
    pub artifact: Digest,
    /// `table`, `model` or `files`.
    pub sort: &'static str,
    /// A table's contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    /// How.
    pub level: Level,
    /// Rows of all the samples together, where it holds any.
    pub rows: u64,
    /// Why it counts as reached, where it holds no rows.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// How many runs used it.
    pub runs: usize,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trace {
    /// The samples.
    pub samples: Samples,
    /// What they reached, each after all that it was made from where that is possible.
    pub reached: Vec<Reached>,
    /// Actions that took a table with rows of the samples and did not use them, with the reason.
    pub unused: Vec<Unused>,
    /// Tables that may hold rows and can't be read.
    pub unreadable: Vec<String>,
}

/// An action whose inputs hold rows of the samples that it has no use for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unused {
    /// The stage, as the newest run calls it.
    pub name: String,
    /// The action.
    pub action: Key,
    /// Why the rows don't count.
    pub why: String,
}

/// Contracts whose rows are figures.
const FIGURES: [&str; 2] = ["Metrics", "History"];
/// Contracts whose rows are samples.
const SAMPLES: [&str; 10] = [
    "Samples",
    "Labels",
    "Boxes",
    "Heatmaps",
    "Foreground",
    "Predictions",
    "Selection",
    "Splits",
    "FileList",
    "Rejects",
];

impl Trace {
    /// Follows samples through everything on record.
    ///
    /// # Errors
    /// Where a record that is needed can't be read.
    pub fn of(records: &Records, graph: &Graph<'_>, samples: Samples) -> Result<Trace, StageError> {
        let ids = samples.set();
        let rows = Rows::of(records, &ids);
        let mut tracing = Tracing {
            records,
            rows: &rows,
            counts: BTreeMap::new(),
            levels: BTreeMap::new(),
            why: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            removed: records
                .store()
                .tombstones()?
                .into_iter()
                .flat_map(|(_, tombstone)| tombstone.blobs)
                .collect(),
        };
        tracing.count_rows();
        tracing.take_files(&ids)?;
        tracing.spread()?;
        let reached = tracing.reached(graph);
        let unused = tracing.verdicts.iter().filter_map(|(key, verdict)| {
            let why = verdict.as_ref().err()?.clone();
            Some(Unused {
                name: records.title(key),
                action: *key,
                why,
            })
        });
        Ok(Trace {
            unused: unused.collect(),
            unreadable: tracing.unreadable.iter().cloned().collect(),
            reached,
            samples,
        })
    }

    /// Whether nothing on record has to do with the samples.
    pub fn is_empty(&self) -> bool {
        self.reached.is_empty() && self.unreadable.is_empty()
    }
}

struct Tracing<'a> {
    records: &'a Records,
    rows: &'a Rows<'a>,
    /// Rows of the samples, by table.
    counts: BTreeMap<Digest, u64>,
    levels: BTreeMap<Digest, Level>,
    why: BTreeMap<Digest, String>,
    /// For actions that give a model: what they learn of the samples, or why nothing.
    verdicts: BTreeMap<Key, Result<String, String>>,
    unreadable: BTreeSet<String>,
    /// Blobs that were removed because samples were forgotten.
    removed: BTreeSet<Digest>,
}

impl Tracing<'_> {
    fn count_rows(&mut self) {
        for (key, node) in self.records.stages() {
            for (port, artifact) in &node.outputs {
                let (Artifact::Table(table), Some(name)) = (artifact, node.names.get(port)) else {
                    continue;
                };
                let name = *name;
                if self.counts.contains_key(&name) {
                    continue;
                }
                match self.rows.count(table) {
                    Ok(counts) => {
                        let rows = counts.values().sum();
                        self.counts.insert(name, rows);
                        if rows > 0 {
                            self.levels.insert(name, Level::Rows);
                        }
                    }
                    // Their rows were removed on purpose.
                    Err(_) if self.is_removed(table) => {}
                    Err(error) => {
                        let table = self.records.output_title(key, port);
                        let told = format!("{table} ({}): {}", name.short(), error.message);
                        self.unreadable.insert(told);
                    }
                }
            }
        }
    }

    /// What holds the samples as files, and what programs made that were given them so.
    fn take_files(&mut self, ids: &BTreeSet<SampleId>) -> Result<(), StageError> {
        for (name, reach) in files::reached(self.records, ids)? {
            let why = match reach {
                FileReach::Holds => "holds a file of them",
                FileReach::Given => "the program was given a file of them",
                // Too little to say that it was reached.
                FileReach::Unknown => continue,
            };
            if let Entry::Vacant(level) = self.levels.entry(name) {
                level.insert(Level::From);
                self.why.insert(name, why.to_string());
            }
        }
        Ok(())
    }

    fn is_removed(&self, table: &TableManifest) -> bool {
        let mut blobs = table.partitions.iter().map(|partition| partition.blob.digest);
        blobs.any(|blob| self.removed.contains(&blob))
    }

    /// Goes over all actions until nothing is reached any closer. Levels only rise, so it ends.
    fn spread(&mut self) -> Result<(), StageError> {
        loop {
            let mut risen = false;
            for (key, node) in self.records.stages() {
                risen |= self.spread_over(key, node)?;
            }
            if !risen {
                return Ok(());
            }
        }
    }

    fn spread_over(&mut self, key: &Key, node: &Node) -> Result<bool, StageError> {
        let inputs: Vec<(&str, Level, Digest)> = node
            .wires()
            .filter_map(|(port, _, ancestor)| {
                Some((port, *self.levels.get(&ancestor.artifact)?, ancestor.artifact))
            })
            .collect();
        if inputs.is_empty() {
            return Ok(false);
        }
        let by_rows = self.uses_rows(key, node, &inputs)?;
        let through = inputs
            .iter()
            .find(|(_, level, _)| *level < Level::Rows)
            .map(|(port, _, artifact)| format!("through `{port}` ({})", artifact.short()));
        let mut risen = false;
        for (artifact, name) in node.named() {
            let (level, why) = match (artifact, &by_rows) {
                (Artifact::Table(table), Some(_)) if !node.opaque && self.is_of_samples(table, node)? => {
                    match &through {
                        Some(why) => (Level::Through, why.clone()),
                        // The rows were dropped here.
                        None => continue,
                    }
                }
                (_, Some(why)) => (Level::From, why.clone()),
                (_, None) => match &through {
                    Some(why) => (Level::Through, why.clone()),
                    None => continue,
                },
            };
            if self.levels.get(&name).is_none_or(|known| *known < level) {
                self.levels.insert(name, level);
                self.why.insert(name, why);
                risen = true;
            }
        }
        Ok(risen)
    }

    /// What an action makes of the rows that its inputs hold, in words; nothing where it has no
    /// use for them.
    fn uses_rows(
        &mut self,
        key: &Key,
        node: &Node,
        inputs: &[(&str, Level, Digest)],
    ) -> Result<Option<String>, StageError> {
        let ports: BTreeSet<&str> = inputs
            .iter()
            .filter(|(_, level, _)| *level == Level::Rows)
            .map(|(port, _, _)| *port)
            .collect();
        if ports.is_empty() {
            return Ok(None);
        }
        let named: Vec<String> = ports.iter().map(|port| format!("`{port}`")).collect();
        let held = format!("rows in {}", named.join(", "));
        if node.opaque {
            return Ok(Some(format!(
                "{held}; what the program did with them can't be seen"
            )));
        }
        let gives_model = node
            .outputs
            .values()
            .any(|artifact| matches!(artifact, Artifact::Model(_)));
        if !gives_model {
            return Ok(Some(held));
        }
        if !self.verdicts.contains_key(key) {
            let verdict = self.learns(key, node, &ports, &held)?;
            self.verdicts.insert(*key, verdict);
        }
        Ok(self.verdicts[key].clone().ok())
    }

    fn learns(
        &self,
        key: &Key,
        node: &Node,
        ports: &BTreeSet<&str>,
        held: &str,
    ) -> Result<Result<String, String>, StageError> {
        let splits = self.tables_at(node, |table| table.contract == "Splits")?;
        let others: BTreeSet<&str> = self
            .tables_at(node, |table| table.contract != "Splits")?
            .into_iter()
            .map(|(port, _)| port)
            .collect();
        let holding: Vec<&&str> = others.iter().filter(|port| ports.contains(**port)).collect();
        if others.len() >= 2 && holding.len() < 2 {
            return Ok(Err(format!(
                "{held} and in no other input: nothing to learn from"
            )));
        }
        let mut folds = BTreeSet::new();
        for (_, table) in &splits {
            for batch in self.rows.take(table)? {
                let column = batch.column_by_name("fold");
                let column = column.and_then(|column| column.as_string_opt::<i32>());
                folds.extend(column.into_iter().flat_map(|folds| {
                    let there = (0..folds.len()).filter(|row| !folds.is_null(*row));
                    there.map(|row| folds.value(row).to_string()).collect::<Vec<_>>()
                }));
            }
        }
        if splits.is_empty() {
            return Ok(Ok(held.to_string()));
        }
        let told: Vec<String> = folds.iter().map(|fold| format!("`{fold}`")).collect();
        let told = match told.is_empty() {
            true => "in no fold".to_string(),
            false => format!("in the fold {}", told.join(", ")),
        };
        let parameters = self.records.record(key)?.manifest.parameters;
        let mut used = BTreeSet::new();
        chosen_folds(&parameters, false, &mut used);
        match used.is_empty() || folds.iter().any(|fold| used.contains(fold)) {
            true => Ok(Ok(format!("{held}, {told}"))),
            false => Ok(Err(format!("{held}, {told}, which is not used"))),
        }
    }

    /// The tables wired to an action that pass, with their ports.
    fn tables_at<'n>(
        &self,
        node: &'n Node,
        passes: impl Fn(&TableManifest) -> bool,
    ) -> Result<Vec<(&'n str, TableManifest)>, StageError> {
        let mut found = Vec::new();
        for (port, _, ancestor) in node.wires() {
            let made = self.records.makers(&ancestor.artifact).first();
            let artifact = made.and_then(|(key, output)| self.records.node(key)?.outputs.get(output));
            if let Some(Artifact::Table(table)) = artifact
                && passes(table)
            {
                found.push((port, table.clone()));
            }
        }
        Ok(found)
    }

    /// Whether a table's rows are of samples, as those of its makers' inputs are, and not
    /// figures or classes.
    fn is_of_samples(&self, table: &TableManifest, node: &Node) -> Result<bool, StageError> {
        if FIGURES.contains(&table.contract.as_str()) {
            return Ok(false);
        }
        if SAMPLES.contains(&table.contract.as_str()) || table.rows == 0 {
            return Ok(true);
        }
        // A table without a name of its own: do its ids stand in an input?
        let ids: Vec<SampleId> = table.partitions.iter().map(|partition| partition.first).collect();
        for (_, input) in self.tables_at(node, |_| true)? {
            for id in ids.iter().take(4) {
                if holds(self.records, &input, id) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn reached(&self, graph: &Graph<'_>) -> Vec<Reached> {
        let has_reached = |node: &Node| node.names.values().any(|name| self.levels.contains_key(name));
        let makers = self.records.stages().filter(|(_, node)| has_reached(node));
        let order = graph.order(makers.map(|(key, _)| *key));
        let mut reached = Vec::new();
        for key in &order {
            let Some(node) = self.records.node(key) else {
                continue;
            };
            for (port, artifact) in node.shown() {
                let Some(name) = node.names.get(port).copied() else {
                    continue;
                };
                let Some(level) = self.levels.get(&name) else {
                    continue;
                };
                reached.push(Reached {
                    name: self.records.output_title(key, port),
                    kind: node.kind.clone(),
                    action: *key,
                    port: port.to_string(),
                    artifact: name,
                    sort: artifact.sort(),
                    contract: match artifact {
                        Artifact::Table(table) => Some(table.contract.clone()),
                        _ => None,
                    },
                    level: *level,
                    rows: self.counts.get(&name).copied().unwrap_or(0),
                    why: self.why.get(&name).cloned().unwrap_or_default(),
                    runs: self.records.uses(key).len(),
                });
            }
        }
        reached
    }
}

/// Whether a table has a row of the sample. One that can't be read has none that can be shown.
fn holds(records: &Records, table: &TableManifest, id: &SampleId) -> bool {
    let covers = |at: &usize| {
        let partition = &table.partitions[*at];
        partition.first <= *id && *id <= partition.last
    };
    let mut places = (0..table.partitions.len()).filter(covers);
    places.any(|at| partition_ids(records.store(), table, at).is_ok_and(|ids| ids.binary_search(id).is_ok()))
}

/// The names under `folds` in a kind's parameters, wherever that stands.
fn chosen_folds(value: &Value, within: bool, names: &mut BTreeSet<String>) {
    match value {
        Value::Text(name) if within => drop(names.insert(name.clone())),
        Value::List(all) => all.iter().for_each(|one| chosen_folds(one, within, names)),
        Value::Map(entries) => entries
            .iter()
            .for_each(|(key, value)| chosen_folds(value, within || key == "folds", names)),
        _ => {}
    }
}
