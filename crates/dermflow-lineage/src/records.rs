//! [`Records`]: everything that is recorded in a store, read at once and without touching it.
//!
//! What other modules ask is answered from here: which action made an artifact, who used it,
//! which runs named it and as which stage. Must not know what a question is for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use dermflow_core::{Ancestor, Artifact, Digest, Key, Manifest, Record, StageError};
use dermflow_engine::JournalLine;
use dermflow_store::{JournalName, Store};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::index::{self, IdSets};

/// Kinds that run a program of the user's.
const PROGRAMS: [&str; 2] = ["process", "random-process"];

/// What questions need of a record. The rest is read when it is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The kind's name.
    pub kind: String,
    /// The kind's version.
    pub version: u32,
    /// Whether an external program did it: what that did with a row can't be seen.
    pub opaque: bool,
    /// Seconds since 1970 at the start.
    pub started: f64,
    /// Wall seconds.
    pub seconds: f64,
    /// The artifact at each output port.
    pub outputs: BTreeMap<String, Artifact>,
    /// The name of each: working them out again would be most of the time of a question.
    pub names: BTreeMap<String, Digest>,
    /// Where each input came from.
    pub inputs: BTreeMap<String, Vec<Ancestor>>,
    /// For a map: the actions of its partitions.
    pub parts: Vec<Key>,
    /// Digests of the listings of source folders, which are kept as blobs.
    pub listings: Vec<Digest>,
    /// The digest of the record's file.
    pub digest: Digest,
}

impl Node {
    pub(crate) fn of(record: &Record, digest: Digest) -> Node {
        let manifest: &Manifest = &record.manifest;
        let listings = manifest.sources.values().filter_map(|source| match source {
            dermflow_core::SourceDigest::Folder { listing, .. } => Some(listing.digest),
            dermflow_core::SourceDigest::File { .. } => None,
        });
        Node {
            kind: manifest.kind.clone(),
            version: manifest.version,
            // A program that is one of its own declared files is no tool of the machine's.
            opaque: manifest.tool.is_some() || PROGRAMS.contains(&manifest.kind.as_str()),
            started: record.making.started,
            seconds: record.making.seconds,
            outputs: record.outputs.clone(),
            names: record
                .outputs
                .iter()
                .map(|(port, artifact)| (port.clone(), artifact.name()))
                .collect(),
            inputs: record.ancestry.clone(),
            parts: record.making.partitions.clone(),
            listings: listings.collect(),
            digest,
        }
    }

    /// Every input with its port and its place there.
    pub fn wires(&self) -> impl Iterator<Item = (&str, usize, &Ancestor)> {
        let ports = self.inputs.iter();
        ports.flat_map(|(port, all)| {
            let placed = all.iter().enumerate();
            placed.map(move |(at, ancestor)| (port.as_str(), at, ancestor))
        })
    }

    /// Every output with its name.
    pub fn named(&self) -> impl Iterator<Item = (&Artifact, Digest)> {
        self.outputs.values().zip(self.names.values().copied())
    }

    /// The outputs that people see: those whose names start with a dot are the engine's own.
    pub fn shown(&self) -> impl Iterator<Item = (&str, &Artifact)> {
        let all = self.outputs.iter();
        all.filter(|(port, _)| !port.starts_with('.'))
            .map(|(port, artifact)| (port.as_str(), artifact))
    }
}

/// A stage of a run, as its journal tells it.
#[derive(Clone, Debug)]
pub struct Use {
    /// The run's journal.
    pub journal: JournalName,
    /// The line.
    pub line: JournalLine,
}

impl Use {
    /// `stage`, or `cell:stage`: what `ARTIFACT` on the command line starts with.
    pub fn stage(&self) -> String {
        match &self.line.cell {
            Some(cell) => format!("{cell}:{}", self.line.stage),
            None => self.line.stage.clone(),
        }
    }
}

/// See the module.
pub struct Records {
    store: Store,
    nodes: BTreeMap<Key, Node>,
    /// Records that can't be read, with the reason.
    broken: BTreeMap<Key, String>,
    /// Actions that are a partition of a map.
    parts: BTreeSet<Key>,
    /// Looked things up in, never gone through.
    makers: HashMap<Digest, Vec<(Key, String)>>,
    users: HashMap<Digest, Vec<(Key, String)>>,
    uses: BTreeMap<Key, Vec<Use>>,
    /// The index of sample ids, once it was asked for.
    id_sets: Mutex<Option<Arc<IdSets>>>,
}

impl Records {
    /// Reads every record and every journal. What didn't change since the last time comes from
    /// an index in the store.
    ///
    /// # Errors
    /// Where a journal can't be read.
    pub fn read(store: &Store) -> Result<Records, StageError> {
        let (nodes, broken) = index::nodes(store);
        let mut records = Records::of(store, nodes, broken);
        records.uses = uses(store)?;
        Ok(records)
    }

    /// The same from the record files alone: no index is trusted, none written.
    ///
    /// # Errors
    /// Where a journal can't be read.
    pub fn read_anew(store: &Store) -> Result<Records, StageError> {
        let mut records = Records::without_journals(store)?;
        records.uses = uses(store)?;
        Ok(records)
    }

    /// The same where journals can't be read: nothing is known of stages.
    ///
    /// # Errors
    /// None as yet.
    pub(crate) fn without_journals(store: &Store) -> Result<Records, StageError> {
        let keys: Vec<Key> = store.records().collect();
        let (mut nodes, mut broken) = (BTreeMap::new(), BTreeMap::new());
        for (key, read) in read_nodes(store, &keys) {
            match read {
                Ok(node) => drop(nodes.insert(key, node)),
                Err(reason) => drop(broken.insert(key, reason)),
            }
        }
        Ok(Records::of(store, nodes, broken))
    }

    fn of(store: &Store, nodes: BTreeMap<Key, Node>, broken: BTreeMap<Key, String>) -> Records {
        let mut records = Records {
            store: store.clone(),
            parts: nodes
                .values()
                .flat_map(|node| node.parts.iter().copied())
                .collect(),
            makers: HashMap::new(),
            users: HashMap::new(),
            uses: BTreeMap::new(),
            id_sets: Mutex::default(),
            nodes,
            broken,
        };
        for (key, node) in &records.nodes {
            if records.parts.contains(key) {
                continue;
            }
            for (port, name) in &node.names {
                let makers = records.makers.entry(*name).or_default();
                makers.push((*key, port.clone()));
            }
            for (port, _, ancestor) in node.wires() {
                let users = records.users.entry(ancestor.artifact).or_default();
                users.push((*key, port.to_string()));
            }
        }
        records
    }

    /// The index of sample ids, changed by `extend` where that says so.
    pub(crate) fn id_sets(&self, extend: impl FnOnce(&mut Arc<IdSets>)) -> Arc<IdSets> {
        let mut known = self.id_sets.lock().unwrap_or_else(PoisonError::into_inner);
        let sets = known.get_or_insert_with(|| Arc::new(IdSets::load(&self.store)));
        extend(sets);
        sets.clone()
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What is known of an action.
    pub fn node(&self, key: &Key) -> Option<&Node> {
        self.nodes.get(key)
    }

    /// Every action in order of keys, partitions of maps among them.
    pub fn all(&self) -> impl Iterator<Item = (&Key, &Node)> {
        self.nodes.iter()
    }

    /// Every action that is a stage's, in order of keys.
    pub fn stages(&self) -> impl Iterator<Item = (&Key, &Node)> {
        self.nodes.iter().filter(|(key, _)| !self.parts.contains(key))
    }

    /// Whether an action is a partition of a map.
    pub fn is_part(&self, key: &Key) -> bool {
        self.parts.contains(key)
    }

    /// The stage's action and port behind an action and port: for a partition of a map, the map.
    pub fn stage_of(&self, key: &Key, port: &str) -> (Key, String) {
        if !self.is_part(key) {
            return (*key, port.to_string());
        }
        let mut maps = self.stages().filter(|(_, node)| node.parts.contains(key));
        let map = maps.next().map_or(*key, |(map, _)| *map);
        (map, port.to_string())
    }

    /// Records that can't be read, with the reason.
    pub fn broken(&self) -> &BTreeMap<Key, String> {
        &self.broken
    }

    /// The whole record of an action.
    ///
    /// # Errors
    /// Where there is none, or it is damaged.
    pub fn record(&self, key: &Key) -> Result<Record, StageError> {
        match self.store.inspect_record(key) {
            Ok(Some(found)) => Ok(found.record),
            Ok(None) => Err(StageError::new(format!("the record {key} is not in the store"))),
            Err(reason) => Err(
                StageError::new(format!("the record {key} can't be read: {reason}"))
                    .with_help("`dermflow verify --repair` sets it aside, and the next run makes it again"),
            ),
        }
    }

    /// The actions and ports that gave this artifact, in order of keys.
    pub fn makers(&self, artifact: &Digest) -> &[(Key, String)] {
        self.makers.get(artifact).map_or(&[], Vec::as_slice)
    }

    /// The actions and ports that took this artifact, in order of keys.
    pub fn users(&self, artifact: &Digest) -> &[(Key, String)] {
        self.users.get(artifact).map_or(&[], Vec::as_slice)
    }

    /// The stages of runs that this action was, oldest run first.
    pub fn uses(&self, key: &Key) -> &[Use] {
        self.uses.get(key).map_or(&[], Vec::as_slice)
    }

    /// Every key that a journal names, with the stages that it was.
    pub fn named(&self) -> impl Iterator<Item = (&Key, &[Use])> {
        self.uses.iter().map(|(key, uses)| (key, uses.as_slice()))
    }

    /// What people call an action: the stage that it was last, or its kind.
    pub fn title(&self, key: &Key) -> String {
        match (self.uses(key).last(), self.node(key)) {
            (Some(last), _) => last.stage(),
            (None, Some(node)) => node.kind.clone(),
            (None, None) => key.digest().short(),
        }
    }

    /// What people call an output: `stage.port`.
    pub fn output_title(&self, key: &Key, port: &str) -> String {
        format!("{}.{port}", self.title(key))
    }
}

/// Reads the records of these actions on all cores, in the order of the keys.
pub(crate) fn read_nodes(store: &Store, keys: &[Key]) -> Vec<(Key, Result<Node, String>)> {
    let read = |key: &Key| {
        let node = match store.inspect_record(key) {
            Ok(Some(found)) => Ok(Node::of(&found.record, found.digest)),
            Ok(None) => Err("is gone".to_string()),
            Err(reason) => Err(reason),
        };
        (*key, node)
    };
    keys.par_iter().with_min_len(64).map(read).collect()
}

fn uses(store: &Store) -> Result<BTreeMap<Key, Vec<Use>>, StageError> {
    let mut uses: BTreeMap<Key, Vec<Use>> = BTreeMap::new();
    for journal in store.list_journals() {
        for line in store.read_journal(&journal)? {
            let Ok(line) = serde_json::from_value::<JournalLine>(line) else {
                continue;
            };
            let journal = journal.clone();
            uses.entry(line.key).or_default().push(Use { journal, line });
        }
    }
    Ok(uses)
}
