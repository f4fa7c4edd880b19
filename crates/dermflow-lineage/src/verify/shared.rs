//! The store that a team shares, behind this one: whether what it has of the records here is what
//! they say. Whatever else lies there is others'.

use std::collections::{BTreeMap, BTreeSet};

use dermflow_core::{Artifact, BlobRef, Digest, Key, Record, SourceDigest};
use dermflow_store::Store;
use rayon::prelude::*;

use super::{Problem, Remedy, Verified};
use crate::records::{Node, Records};

/// Titles that a sentence names at most.
const MOST_NAMED: usize = 8;

/// What the shared store has under a key of ours.
enum Far {
    Absent,
    Broken(String),
    There(Box<Record>),
}

/// Compares each record here with the one there, and hashes every blob there that one of them
/// names.
pub(super) fn check(records: &Records, far: &Store, found: &mut Verified) {
    let nodes: Vec<(&Key, &Node)> = records.all().collect();
    let look = |(key, node): (&Key, &Node)| {
        let there = match far.inspect_record(key) {
            Ok(None) => Far::Absent,
            Err(reason) => Far::Broken(reason),
            Ok(Some(inspected)) => Far::There(Box::new(inspected.record)),
        };
        (*key, node.names.clone(), there)
    };
    let looked: Vec<_> = nodes.into_par_iter().map(look).collect();
    let mut absent = Vec::new();
    let mut named: BTreeMap<Digest, (BlobRef, String)> = BTreeMap::new();
    for (key, names, there) in looked {
        let title = format!("{} ({})", records.title(&key), key.digest().short());
        match there {
            Far::Absent => absent.push(records.title(&key)),
            Far::Broken(reason) => {
                let problem = Problem::new("shared", format!("record of {title}"), reason);
                found
                    .problems
                    .push(problem.with(Remedy::SetSharedRecordAside(key)));
            }
            Far::There(record) => {
                found.checked.shared_records += 1;
                let other = record
                    .outputs
                    .iter()
                    .find(|(port, artifact)| names.get(*port) != Some(&artifact.name()));
                if let Some((port, artifact)) = other {
                    let reason = format!(
                        "the shared store has another result at `{port}`, {}: the kind is not deterministic, or one of \
                         the two was changed",
                        artifact.name().short()
                    );
                    found
                        .problems
                        .push(Problem::new("shared", format!("record of {title}"), reason));
                }
                for blob in blobs(&record) {
                    named.entry(blob.digest).or_insert((blob, title.clone()));
                }
            }
        }
    }
    hash(far, &named, found);
    if !absent.is_empty() {
        found.notices.push(format!(
            "{} of the records here are not in the shared store {}; a run with it pushes them: {}",
            absent.len(),
            far.root().display(),
            some(absent)
        ));
    }
}

/// What a record needs to be worth anything.
fn blobs(record: &Record) -> impl Iterator<Item = BlobRef> {
    let listings = record
        .manifest
        .sources
        .values()
        .filter_map(|source| match source {
            SourceDigest::Folder { listing, .. } => Some(*listing),
            SourceDigest::File { .. } => None,
        });
    record.outputs.values().flat_map(Artifact::blobs).chain(listings)
}

fn hash(far: &Store, named: &BTreeMap<Digest, (BlobRef, String)>, found: &mut Verified) {
    // What was forgotten there as well is absent on purpose.
    let erased: BTreeSet<Digest> = far
        .tombstones()
        .unwrap_or_default()
        .into_iter()
        .flat_map(|(_, stone)| stone.blobs)
        .collect();
    let waiting: Vec<&(BlobRef, String)> = named
        .values()
        .filter(|(blob, _)| far.has_blob(blob) || !erased.contains(&blob.digest))
        .collect();
    let look = |(blob, title): &&(BlobRef, String)| {
        let reason = far.inspect_blob(blob).err()?;
        let what = format!("blob {} of {title}", blob.digest.short());
        Some(Problem::new("shared", what, reason).with(Remedy::SetSharedBlobAside(*blob)))
    };
    let problems: Vec<Option<Problem>> = waiting.par_iter().map(look).collect();
    found.checked.shared_blobs = waiting.len();
    found.checked.shared_bytes = waiting.iter().map(|(blob, _)| blob.bytes).sum();
    found.problems.extend(problems.into_iter().flatten());
}

/// The first of them, each once.
fn some(mut titles: Vec<String>) -> String {
    titles.sort();
    titles.dedup();
    let more = titles.len().saturating_sub(MOST_NAMED);
    titles.truncate(MOST_NAMED);
    match more {
        0 => titles.join(", "),
        more => format!("{} and {more} more", titles.join(", ")),
    }
}
