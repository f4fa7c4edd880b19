//! What leads to what: records, their ancestors, their partitions and their blobs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use dermflow_core::{BlobRef, Digest, Key};

use super::survey::seconds;
use crate::Store;
use crate::committer::blobs_of;
use crate::error::StoreError;

/// What is needed of every record in the store.
pub(super) struct Graph {
    nodes: BTreeMap<Key, Node>,
}

struct Node {
    started: f64,
    /// The actions behind it: those of its inputs, those of its partitions.
    behind: Vec<Key>,
    blobs: Vec<Digest>,
}

impl Graph {
    pub(super) fn read(store: &Store) -> Result<Graph, StoreError> {
        let mut nodes = BTreeMap::new();
        for key in store.records() {
            let Some(record) = store.get_record(&key)? else {
                continue;
            };
            let ancestors = record.ancestry.values().flatten();
            let mut behind: Vec<Key> = ancestors.filter_map(|ancestor| ancestor.action).collect();
            behind.extend(&record.making.partitions);
            let node = Node {
                started: record.making.started,
                behind,
                blobs: blobs_of(&record),
            };
            nodes.insert(key, node);
        }
        Ok(Graph { nodes })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The actions that ran less than this ago.
    pub(super) fn younger_than(&self, age: Duration) -> Vec<Key> {
        let since = seconds(SystemTime::now()) - age.as_secs_f64();
        let young = self.nodes.iter().filter(|(_, node)| node.started > since);
        young.map(|(key, _)| *key).collect()
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.nodes.contains_key(key)
    }

    /// The actions named, and all behind them.
    pub(super) fn reach(&self, roots: &BTreeSet<Key>) -> BTreeSet<Key> {
        let mut reached = BTreeSet::new();
        let mut waiting: Vec<Key> = roots.iter().copied().collect();
        while let Some(key) = waiting.pop() {
            if let Some(node) = self.nodes.get(&key)
                && reached.insert(key)
            {
                waiting.extend(&node.behind);
            }
        }
        reached
    }

    /// The actions that are not kept, those unused for longest first.
    pub(super) fn others_by_age(&self, kept: &BTreeSet<Key>, last_use: &BTreeMap<Key, f64>) -> Vec<Key> {
        let others = self.nodes.iter().filter(|(key, _)| !kept.contains(key));
        let mut others: Vec<(f64, Key)> = others
            .map(|(key, node)| (last_use.get(key).copied().unwrap_or(node.started), *key))
            .collect();
        others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        others.into_iter().map(|(_, key)| key).collect()
    }

    /// Shortens the list of records to go: those at its end stay once the blobs that would
    /// stay have at most `most` bytes.
    pub(super) fn spare(&self, going: &mut Vec<Key>, blobs: &[BlobRef], most: u64) {
        let sizes: HashMap<Digest, u64> = blobs.iter().map(|blob| (blob.digest, blob.bytes)).collect();
        let mut users: HashMap<Digest, usize> = HashMap::new();
        let named = self.nodes.values().flat_map(|node| unique(&node.blobs));
        named.for_each(|digest| *users.entry(digest).or_default() += 1);
        let size = |digest: &Digest| sizes.get(digest).copied().unwrap_or(0);
        // Blobs that no record names go in any case.
        let mut bytes: u64 = users.keys().map(size).sum();
        let mut number = 0;
        for key in going.iter() {
            if bytes <= most {
                break;
            }
            number += 1;
            for digest in self
                .nodes
                .get(key)
                .into_iter()
                .flat_map(|node| unique(&node.blobs))
            {
                if let Some(count) = users.get_mut(&digest) {
                    *count -= 1;
                    if *count == 0 {
                        bytes -= size(&digest);
                    }
                }
            }
        }
        going.truncate(number);
    }

    /// The blobs that records name, but for those that go.
    pub(super) fn blobs_without(&self, gone: &BTreeSet<Key>) -> BTreeSet<Digest> {
        let staying = self.nodes.iter().filter(|(key, _)| !gone.contains(key));
        staying.flat_map(|(_, node)| node.blobs.iter().copied()).collect()
    }
}

fn unique(digests: &[Digest]) -> BTreeSet<Digest> {
    digests.iter().copied().collect()
}
