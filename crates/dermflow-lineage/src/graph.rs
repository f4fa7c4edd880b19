//! [`Graph`]: which action's output went into which action. The questions of ancestry and of
//! consequence are walks in it.

use std::collections::{BTreeMap, BTreeSet};

use dermflow_core::{Digest, Key};
use petgraph::graph::DiGraph;

use crate::records::Records;

/// An artifact on its way from the action that made it to one that used it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wire {
    /// The input port.
    pub port: String,
    /// The place among several at that port.
    pub place: usize,
    /// The output port that it came from.
    pub output: String,
    /// The artifact.
    pub artifact: Digest,
    /// Set where the user's record names another maker of the same content.
    pub same_content: bool,
}

/// Actions, and the artifacts that went from one to the other. Partitions of maps are not in
/// it: the map stands for them. Edges are looked up as they are walked, so that a question about
/// few actions costs little however many there are.
pub struct Graph<'a> {
    records: &'a Records,
}

/// What an action is connected with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// By what.
    pub wire: Wire,
    /// The other action.
    pub key: Key,
}

impl<'a> Graph<'a> {
    /// The graph of all stages on record.
    pub fn of(records: &'a Records) -> Graph<'a> {
        Graph { records }
    }

    /// What went into an action, in order of ports: what its record names, or, where the record
    /// of that maker is gone, another that gave the same content.
    pub fn inputs(&self, key: &Key) -> Vec<Neighbour> {
        let Some(node) = self.records.node(key) else {
            return Vec::new();
        };
        let found = node.wires().filter_map(|(port, place, ancestor)| {
            let makers = self.records.makers(&ancestor.artifact);
            let is_named = |(maker, output): &&(Key, String)| {
                ancestor.action == Some(*maker) && ancestor.port == *output
            };
            let named = makers.iter().find(is_named);
            // A filter that keeps everything gives what it was given: it made nothing for itself.
            let (maker, output) = named.or_else(|| makers.iter().find(|(maker, _)| maker != key))?;
            let wire = Wire {
                port: port.to_string(),
                place,
                output: output.clone(),
                artifact: ancestor.artifact,
                same_content: named.is_none(),
            };
            Some(Neighbour { wire, key: *maker })
        });
        let mut found: Vec<Neighbour> = found.collect();
        found.sort();
        found
    }

    /// Who used an action's outputs, in order of ports and keys: those that name it, and those that
    /// name another maker of the same content.
    pub fn users(&self, key: &Key) -> Vec<Neighbour> {
        let names = self.records.node(key).into_iter().flat_map(|node| &node.names);
        let mut found = BTreeSet::new();
        for (output, name) in names {
            for (user, port) in self.records.users(name).iter().filter(|(user, _)| user != key) {
                let wired = self.records.node(user).and_then(|node| node.inputs.get(port));
                for (place, ancestor) in wired.into_iter().flatten().enumerate() {
                    if ancestor.artifact != *name {
                        continue;
                    }
                    let named = ancestor.action == Some(*key) && ancestor.port == *output;
                    let wire = Wire {
                        port: port.clone(),
                        place,
                        output: output.clone(),
                        artifact: *name,
                        same_content: !named,
                    };
                    found.insert(Neighbour { wire, key: *user });
                }
            }
        }
        found.into_iter().collect()
    }

    /// These actions and what went between them: node `i` is `keys[i]`.
    pub fn among(&self, keys: &[Key]) -> DiGraph<Key, Wire> {
        let mut graph = DiGraph::with_capacity(keys.len(), keys.len());
        let places: BTreeMap<Key, _> = keys.iter().map(|key| (*key, graph.add_node(*key))).collect();
        for (key, place) in &places {
            for input in self.inputs(key) {
                if let Some(from) = places.get(&input.key) {
                    graph.add_edge(*from, *place, input.wire);
                }
            }
        }
        graph
    }

    /// The actions behind one, itself among them, each after all that it needs.
    pub fn ancestry(&self, key: &Key) -> Vec<Key> {
        self.order([*key])
    }

    /// These actions and all behind them, each after all that it needs.
    pub fn order(&self, keys: impl IntoIterator<Item = Key>) -> Vec<Key> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        // Depth first without recursion: a chain of records may be long.
        let mut waiting: Vec<(Key, bool)> = keys.into_iter().map(|key| (key, false)).collect();
        waiting.reverse();
        while let Some((key, expanded)) = waiting.pop() {
            if expanded {
                order.push(key);
            } else if seen.insert(key) {
                waiting.push((key, true));
                waiting.extend(self.inputs(&key).into_iter().rev().map(|one| (one.key, false)));
            }
        }
        order
    }

    /// The actions that an artifact's content went into, however far, in order of keys.
    pub fn consequences(&self, artifact: &Digest) -> BTreeSet<Key> {
        let records = self.records;
        let mut reached = BTreeSet::new();
        let mut waiting: Vec<Key> = records.users(artifact).iter().map(|(key, _)| *key).collect();
        while let Some(key) = waiting.pop() {
            if reached.insert(key) {
                waiting.extend(self.users(&key).into_iter().map(|one| one.key));
            }
        }
        reached
    }
}
