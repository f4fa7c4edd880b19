//! [`Graph`]: which action's output went into which action. The questions of ancestry and of
//! consequence are walks in it.

use std::collections::{BTreeMap, BTreeSet};

use dermflow_core::{Digest, Key};
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

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
/// it: the map stands for them.
pub struct Graph {
    graph: DiGraph<Key, Wire>,
    places: BTreeMap<Key, NodeIndex>,
}

/// What an action is connected with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// By what.
    pub wire: Wire,
    /// The other action.
    pub key: Key,
}

impl Graph {
    /// The graph of all stages on record.
    pub fn of(records: &Records) -> Graph {
        let mut graph = DiGraph::new();
        let mut places = BTreeMap::new();
        for (key, _) in records.stages() {
            places.insert(*key, graph.add_node(*key));
        }
        for (key, node) in records.stages() {
            for (port, place, ancestor) in node.wires() {
                let makers = records.makers(&ancestor.artifact).iter();
                for (maker, output) in makers {
                    let named = ancestor.action == Some(*maker) && ancestor.port == *output;
                    // A filter that keeps everything gives what it was given.
                    if !named && maker == key {
                        continue;
                    }
                    let wire = Wire {
                        port: port.to_string(),
                        place,
                        output: output.clone(),
                        artifact: ancestor.artifact,
                        same_content: !named,
                    };
                    graph.add_edge(places[maker], places[key], wire);
                }
            }
        }
        Graph { graph, places }
    }

    /// What went into an action, in order of ports: what its record names, or, where the record
    /// of that maker is gone, another that gave the same content.
    pub fn inputs(&self, key: &Key) -> Vec<Neighbour> {
        let mut all = self.neighbours(key, Direction::Incoming);
        let named: BTreeSet<(String, usize)> = all
            .iter()
            .filter(|one| !one.wire.same_content)
            .map(|one| (one.wire.port.clone(), one.wire.place))
            .collect();
        let mut seen = BTreeSet::new();
        all.retain(|one| {
            let place = (one.wire.port.clone(), one.wire.place);
            match one.wire.same_content {
                false => true,
                true => !named.contains(&place) && seen.insert(place),
            }
        });
        all
    }

    /// Who used an action's outputs, in order of ports and keys.
    pub fn users(&self, key: &Key) -> Vec<Neighbour> {
        self.neighbours(key, Direction::Outgoing)
    }

    fn neighbours(&self, key: &Key, direction: Direction) -> Vec<Neighbour> {
        let Some(place) = self.places.get(key) else {
            return Vec::new();
        };
        let edges = self.graph.edges_directed(*place, direction);
        let mut all: Vec<Neighbour> = edges
            .map(|edge| {
                let other = match direction {
                    Direction::Incoming => edge.source(),
                    Direction::Outgoing => edge.target(),
                };
                Neighbour {
                    wire: edge.weight().clone(),
                    key: self.graph[other],
                }
            })
            .collect();
        all.sort();
        all
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
    pub fn consequences(&self, records: &Records, artifact: &Digest) -> BTreeSet<Key> {
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
