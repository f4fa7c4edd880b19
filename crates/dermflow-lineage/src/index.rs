//! Indexes over records and sample ids, so that a question to a large store is answered at
//! once. Kept as memos of the store: each can be thrown away and is made again from the
//! records and tables, which alone are the truth. A small store has none.

use std::collections::{BTreeMap, HashMap};

use dermflow_core::{Digest, Key, SampleId};
use dermflow_store::{Stat, Store, now};
use serde::{Deserialize, Serialize};

use crate::records::{Node, read_nodes};

/// With fewer records than this, reading them all takes no time that anybody notices.
const WORTH_AN_INDEX: usize = 2_000;

/// The records of a folder as they were read, and what the folder looked like then. Records are
/// never changed in place: one that comes, goes or is replaced changes its folder. (Whoever
/// changes one in place is found by `verify`, which believes no index.)
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Folder {
    name: String,
    stat: Stat,
    /// Before they were read.
    recorded: i64,
    nodes: Vec<(Key, Node)>,
}

/// Every action of a store, and the records that can't be read, with the reason.
pub(crate) fn nodes(store: &Store) -> (BTreeMap<Key, Node>, BTreeMap<Key, String>) {
    let name = Digest::derive("dermflow lineage index v2", b"nodes");
    let known: Vec<Folder> = store
        .read_memo(&name)
        .and_then(|bytes| postcard::from_bytes(&bytes).ok())
        .unwrap_or_default();
    let mut known: BTreeMap<String, Folder> = known
        .into_iter()
        .map(|folder| (folder.name.clone(), folder))
        .collect();
    let mut folders = Vec::new();
    let mut broken = BTreeMap::new();
    let mut changed = false;
    for (name, stat) in store.record_folders() {
        let same = known
            .remove(&name)
            .filter(|folder| folder.stat == stat && stat.is_settled(folder.recorded));
        if let Some(folder) = same {
            folders.push(folder);
            continue;
        }
        changed = true;
        let recorded = now();
        let mut nodes = Vec::new();
        for (key, read) in read_nodes(store, &store.records_in(&name)) {
            match read {
                Ok(node) => nodes.push((key, node)),
                Err(reason) => drop(broken.insert(key, reason)),
            }
        }
        folders.push(Folder {
            name,
            stat,
            recorded,
            nodes,
        });
    }
    let count: usize = folders.iter().map(|folder| folder.nodes.len()).sum();
    // What is broken is looked at again each time.
    if changed
        && count >= WORTH_AN_INDEX
        && broken.is_empty()
        && let Ok(bytes) = postcard::to_stdvec(&folders)
    {
        // An index that can't be written is only time lost next time.
        let _ = store.write_memo(&name, &bytes);
    }
    let nodes = folders.into_iter().flat_map(|folder| folder.nodes);
    (nodes.collect(), broken)
}

/// For each column of sample ids of a partition, by its digest: the first four bytes of every
/// id, sorted. An id that is not among them is not in the partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdSets {
    starts: HashMap<Digest, (usize, usize)>,
    prefixes: Vec<u32>,
    added: bool,
}

fn prefix(id: &SampleId) -> u32 {
    let bytes = id.as_bytes();
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

impl IdSets {
    fn name() -> Digest {
        Digest::derive("dermflow lineage index v1", b"sample ids")
    }

    /// What the store has of it.
    pub(crate) fn load(store: &Store) -> IdSets {
        let bytes = store.read_memo(&IdSets::name());
        bytes.and_then(|bytes| IdSets::parse(&bytes)).unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Option<IdSets> {
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let count = usize::try_from(word(0)?).ok()?;
        let body = 8usize.checked_add(count.checked_mul(40)?)?;
        let mut starts = HashMap::with_capacity(count.min(bytes.len() / 40));
        let mut start = 0usize;
        for at in (8..body).step_by(40) {
            let digest = Digest::from_bytes(bytes.get(at..at + 32)?.try_into().ok()?);
            let end = start.checked_add(usize::try_from(word(at + 32)?).ok()?)?;
            starts.insert(digest, (start, end));
            start = end;
        }
        let rest = bytes.get(body..)?;
        if rest.len() != start.checked_mul(4)? {
            return None;
        }
        let prefixes = rest
            .chunks_exact(4)
            .map(|four| u32::from_le_bytes(four.try_into().unwrap_or_default()));
        Some(IdSets {
            starts,
            prefixes: prefixes.collect(),
            added: false,
        })
    }

    /// Whether it knows this column of ids.
    pub(crate) fn knows(&self, ids: &Digest) -> bool {
        self.starts.contains_key(ids)
    }

    /// Whether the column may hold the id; true where it is not known.
    pub(crate) fn may_hold(&self, ids: &Digest, id: &SampleId) -> bool {
        match self.starts.get(ids) {
            Some((start, end)) => self.prefixes[*start..*end].binary_search(&prefix(id)).is_ok(),
            None => true,
        }
    }

    /// Adds a column, its ids in order.
    pub(crate) fn add(&mut self, ids: Digest, all: &[SampleId]) {
        let start = self.prefixes.len();
        self.prefixes.extend(all.iter().map(prefix));
        self.starts.insert(ids, (start, self.prefixes.len()));
        self.added = true;
    }

    /// Keeps what was added for the next question, if the store is worth it.
    pub(crate) fn save(&self, store: &Store) {
        if !self.added || self.starts.len() < WORTH_AN_INDEX {
            return;
        }
        let mut bytes = (self.starts.len() as u64).to_le_bytes().to_vec();
        let mut sets: Vec<(&Digest, &(usize, usize))> = self.starts.iter().collect();
        sets.sort_by_key(|(_, range)| **range);
        for (digest, (start, end)) in &sets {
            bytes.extend(digest.as_bytes());
            bytes.extend(((end - start) as u64).to_le_bytes());
        }
        for (_, (start, end)) in &sets {
            let prefixes = self.prefixes[*start..*end].iter();
            bytes.extend(prefixes.flat_map(|prefix| prefix.to_le_bytes()));
        }
        let _ = store.write_memo(&IdSets::name(), &bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_sets_survive_a_memo_and_nonsense_is_none() {
        let ids: Vec<SampleId> = (0..5u8)
            .map(|number| SampleId::from_bytes([number; 32]))
            .collect();
        let mut sets = IdSets::default();
        sets.add(Digest::of(b"a"), &ids[..2]);
        sets.add(Digest::of(b"b"), &ids[2..]);
        let mut bytes = 2u64.to_le_bytes().to_vec();
        for (name, count) in [("a", 2u64), ("b", 3)] {
            bytes.extend(Digest::of(name.as_bytes()).as_bytes());
            bytes.extend(count.to_le_bytes());
        }
        for id in &ids {
            bytes.extend(prefix(id).to_le_bytes());
        }
        let read = IdSets::parse(&bytes).unwrap();
        for sets in [&sets, &read] {
            assert!(sets.may_hold(&Digest::of(b"a"), &ids[1]));
            assert!(!sets.may_hold(&Digest::of(b"a"), &ids[2]));
            assert!(sets.may_hold(&Digest::of(b"unknown"), &ids[2]));
        }
        for cut in 0..bytes.len() {
            assert!(IdSets::parse(&bytes[..cut]).is_none(), "{cut}");
        }
    }
}
