//! [`Certificate`]: what a forgetting removed, what it marked, and what later runs put in its
//! place. Made from the sealed journal, so it can be made again at any time.

use std::collections::{BTreeMap, BTreeSet};

use dermflow_core::{Artifact, Digest, SampleId, StageError};
use dermflow_store::{JournalName, Mark};
use serde::Serialize;
use serde_json::Value;

use super::{Removal, Similar};
use crate::records::Records;
use crate::time;

/// An artifact that goes or is marked, and what the same stage gave in the newest run since.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replaced {
    /// `stage.port`.
    pub name: String,
    /// The artifact then.
    pub was: Digest,
    /// `removed` or `marked`.
    pub became: &'static str,
    /// The artifact now; missing until the stage ran again.
    pub now: Option<Digest>,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Certificate {
    /// What it is, in words.
    pub statement: String,
    /// What was asked for; only known when it was done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<String>,
    /// The samples: blake3 of image files, or ids of rows.
    pub samples: Vec<SampleId>,
    /// When the forgetting was sealed to have begun.
    pub time: String,
    /// The tombstone's digest.
    pub tombstone: Digest,
    /// The journal of the forgetting.
    pub journal: JournalName,
    /// The number of its seal in the chain.
    pub seal_number: u64,
    /// The digest in its seal.
    pub seal: String,
    /// Whether every seal of the store, before and after, holds.
    pub chain_is_sound: bool,
    /// The blobs that were removed.
    pub removed: Vec<Removal>,
    /// Whether each of them is really absent now.
    pub all_absent: bool,
    /// What stays and was made from them.
    pub marked: Vec<Mark>,
    /// What each artifact was replaced by.
    pub replaced: Vec<Replaced>,
    /// Stages whose results had to be computed anew.
    pub reruns: Vec<String>,
    /// Pictures that stay, since nobody asked to forget them, and that look like some that went.
    pub similar: Vec<Similar>,
    /// Files outside of the store that held them when it was done; they are the user's to remove.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outside: Vec<String>,
}

/// The certificate of the forgetting with this tombstone.
///
/// # Errors
/// Where no journal tells of it, or a journal can't be read.
pub fn certificate(records: &Records, tombstone: &Digest) -> Result<Certificate, StageError> {
    let store = records.store();
    let put_up = store.tombstones()?;
    let stone = put_up.iter().find(|(digest, _)| digest == tombstone);
    let (_, stone) =
        stone.ok_or_else(|| StageError::new(format!("there is no tombstone {tombstone} in this store")))?;
    for journal in store.list_journals().into_iter().rev() {
        let lines = store.read_journal(&journal)?;
        let tells = lines
            .first()
            .and_then(|line| line["forget"]["tombstone"].as_str());
        if tells != Some(&tombstone.hex()) {
            continue;
        }
        return from_journal(records, stone, tombstone, journal, &lines);
    }
    Err(StageError::new(format!(
        "no journal tells of the forgetting {tombstone}: it was not completed"
    ))
    .with_help("do it again with the same samples"))
}

/// What earlier forgettings removed and no run has made anew yet, as people call it. One that can't
/// be told of says nothing.
pub(crate) fn waiting(records: &Records) -> BTreeSet<String> {
    let stones = records.store().tombstones().unwrap_or_default().into_iter();
    let certificates = stones.filter_map(|(digest, _)| certificate(records, &digest).ok());
    let replaced = certificates.flat_map(|certificate| certificate.replaced);
    let waiting = replaced.filter(|one| one.became == "removed" && one.now.is_none());
    waiting.map(|one| one.name).collect()
}

fn from_journal(
    records: &Records,
    stone: &dermflow_store::Tombstone,
    tombstone: &Digest,
    journal: JournalName,
    lines: &[Value],
) -> Result<Certificate, StageError> {
    let read = |line: &Value, field: &str| line.get(field).cloned();
    let removed: Vec<Removal> = lines
        .iter()
        .filter_map(|line| serde_json::from_value(read(line, "removed")?).ok())
        .collect();
    let marked: Vec<(String, Mark)> = lines
        .iter()
        .filter_map(|line| {
            let mark = serde_json::from_value(read(line, "marked")?).ok()?;
            Some((line["name"].as_str()?.to_string(), mark))
        })
        .collect();
    let similar = lines
        .iter()
        .filter_map(|line| serde_json::from_value(read(line, "similar")?).ok());
    let reruns = lines
        .iter()
        .find_map(|line| serde_json::from_value(read(line, "reruns")?).ok());
    let seal = lines.last().map(|line| line["seal"].clone()).unwrap_or_default();
    let store = records.store();
    let is_absent = |removal: &Removal| {
        let blob = dermflow_core::BlobRef {
            digest: removal.blob,
            bytes: removal.bytes,
        };
        !store.has_blob(&blob)
    };
    let started = journal
        .started()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Ok(Certificate {
        statement: "The rows and files of the samples named here were removed from this store, and no later run \
                    takes them in. Artifacts under `marked` were made from them and hold no row of them. The seal \
                    covers this list."
            .to_string(),
        asked: Vec::new(),
        samples: stone.samples.iter().copied().collect(),
        time: time::utc(started.as_secs_f64()),
        tombstone: *tombstone,
        seal_number: seal["number"].as_u64().unwrap_or(0),
        seal: seal["digest"].as_str().unwrap_or_default().to_string(),
        chain_is_sound: store.verify_journals()?.is_empty(),
        all_absent: removed.iter().all(is_absent),
        replaced: replaced(records, &journal, &removed, &marked),
        marked: marked.into_iter().map(|(_, mark)| mark).collect(),
        removed,
        similar: similar.collect(),
        reruns: reruns.unwrap_or_default(),
        outside: Vec::new(),
        journal,
    })
}

fn replaced(
    records: &Records,
    journal: &JournalName,
    removed: &[Removal],
    marked: &[(String, Mark)],
) -> Vec<Replaced> {
    let gone = removed
        .iter()
        .filter_map(|one| Some(((one.name.clone(), one.artifact?), (one.port.as_str(), "removed"))));
    let stays = marked
        .iter()
        .map(|(name, mark)| ((name.clone(), mark.artifact), (mark.port.as_str(), "marked")));
    let all: BTreeMap<(String, Digest), (&str, &'static str)> = stays.chain(gone).collect();
    let told = all.into_iter().map(|((name, was), (port, became))| {
        let stage = name
            .strip_suffix(&format!(".{port}"))
            .unwrap_or(&name)
            .to_string();
        let later = records
            .named()
            .flat_map(|(key, uses)| uses.iter().map(move |one| (key, one)))
            .filter(|(_, one)| one.journal > *journal && one.stage() == stage)
            .max_by(|a, b| a.1.journal.cmp(&b.1.journal));
        let now = later.and_then(|(key, _)| records.node(key)?.outputs.get(port).map(Artifact::name));
        Replaced {
            name,
            was,
            became,
            now,
        }
    });
    told.collect()
}
