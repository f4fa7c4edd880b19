//! [`Plan`]: what it takes to forget samples, and doing it.
//!
//! What goes: every partition of a table that holds a row of them, files that were made from
//! such tables or have one of theirs among them, all that an external program made of them (what
//! it kept can't be seen), also where it found them in its declared folders, rows of other samples
//! that name them, and listings of folders that name their files. What stays, and is marked:
//! models and figures that were made from them. A tombstone keeps them out of every
//! later run, so that the next run gives, digest for digest, what a run without them gives.
//!
//! Records stay: they hold digests, no content, and the lineage of what is marked leads through
//! them. Journals stay, and the forgetting is one more in their chain, so every seal stays valid.
//! Files outside of the store are the user's: they are named, not touched. So are pictures that
//! look the same and are other files.

mod certificate;
mod mentions;
mod similar;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dermflow_core::{Artifact, BlobRef, Digest, Key, SampleId, SourceDigest, StageError};
use dermflow_engine::{Sources, laid_out};
use dermflow_store::{Erasure, Journal, Mark, Tombstone};
use serde::Serialize;
use serde_json::json;

pub(crate) use certificate::waiting;
pub use certificate::{Certificate, Replaced, certificate};
pub use similar::Similar;

use crate::files::{self, FileReach};
use crate::graph::Graph;
use crate::records::Records;
use crate::rows::Rows;
use crate::sample::Samples;
use crate::trace::{Level, Trace};

/// A blob that goes, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
pub struct Removal {
    /// What it is of: `stage.port`, or the listing of a folder.
    pub name: String,
    /// The action whose output it is of.
    pub action: Key,
    /// The output port; empty for a listing.
    pub port: String,
    /// The artifact that it is of; missing for a listing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Digest>,
    /// The blob.
    pub blob: Digest,
    /// Its size.
    pub bytes: u64,
    /// Why it goes.
    pub why: String,
}

/// See the module.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// What the samples reached.
    pub trace: Trace,
    /// The blobs that go.
    pub removals: Vec<Removal>,
    /// The artifacts that stay and are marked, by what people call them.
    pub marks: Vec<(String, Mark)>,
    /// The stages that the next run computes anew.
    pub reruns: Vec<String>,
    /// Files outside of the store that hold the samples, or rows of them.
    pub sources: Vec<PathBuf>,
    /// Results that runs laid out and that hold them; the next run replaces them.
    pub results: Vec<PathBuf>,
    /// Samples that a tombstone names already.
    pub forgotten_before: Vec<SampleId>,
    /// Pictures that stay and look like some that go: forget them too?
    pub similar: Vec<Similar>,
    /// The ids that rows about the same images would have.
    #[serde(skip)]
    names: BTreeSet<SampleId>,
}

/// How samples are to be forgotten.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner<'a> {
    /// Where runs laid results out.
    pub results: Option<&'a Path>,
    /// Models that were trained on them go as well, instead of being marked.
    pub models: bool,
    /// Pictures that look like them are looked for: all that entered the store are read.
    pub similar: bool,
}

impl Plan {
    /// Looks what forgetting these samples takes. Touches nothing.
    ///
    /// # Errors
    /// Where a record or an index of results can't be read, or a tombstone is damaged.
    pub fn of(
        records: &Records,
        graph: &Graph<'_>,
        samples: Samples,
        manner: &Manner<'_>,
    ) -> Result<Plan, StageError> {
        let ids = samples.set();
        let trace = Trace::of(records, graph, samples)?;
        if !trace.unreadable.is_empty() {
            return Err(StageError::new(format!(
                "some tables may hold the samples and can't be read: {}",
                trace.unreadable.join("; ")
            ))
            .with_help("`dermflow verify --repair` sets damaged results aside; then try again"));
        }
        let before = records.store().forgotten()?;
        let tainted = tainted(records, graph, &trace, &ids)?;
        let mut removing = Removing {
            records,
            found: BTreeMap::new(),
        };
        removing.rows(&ids)?;
        removing.whole(&tainted, &trace, manner.models);
        removing.listings(&ids);
        for removal in mentions::find(records, &ids)? {
            removing.found.entry(removal.blob).or_insert(removal);
        }
        let removals: Vec<Removal> = removing.found.into_values().collect();
        let gone: BTreeSet<Digest> = removals.iter().map(|removal| removal.blob).collect();
        let marks = marks(records, &trace, &gone);
        let mut affected: BTreeSet<Key> = trace.reached.iter().map(|one| one.action).collect();
        affected.extend(removals.iter().map(|removal| removal.action));
        let mut reruns: Vec<String> = Vec::new();
        for one in &trace.reached {
            let stage = records.title(&one.action);
            if !reruns.contains(&stage) {
                reruns.push(stage);
            }
        }
        Ok(Plan {
            sources: sources(records, &ids, &trace)?,
            results: results_holding(records, manner.results, &affected)?,
            forgotten_before: ids.intersection(&before).copied().collect(),
            similar: match manner.similar {
                true => similar::find(records, &ids),
                false => Vec::new(),
            },
            names: trace.samples.names(records),
            removals,
            marks,
            reruns,
            trace,
        })
    }

    /// Bytes of the blobs that go.
    pub fn bytes(&self) -> u64 {
        self.removals.iter().map(|removal| removal.bytes).sum()
    }

    /// Does it: the tombstone first, then the removal, then the journal. Killed in between, it
    /// is finished by doing it again.
    ///
    /// # Errors
    /// Where another process has the store open, or the disk can't be written.
    pub fn apply(&self, records: &Records) -> Result<Certificate, StageError> {
        let store = records.store();
        let tombstone = Tombstone {
            samples: self.trace.samples.set().union(&self.names).copied().collect(),
            blobs: self.removals.iter().map(|removal| removal.blob).collect(),
            marks: self.marks.iter().map(|(_, mark)| mark.clone()).collect(),
        };
        let blobs = self.removals.iter().map(|removal| BlobRef {
            digest: removal.blob,
            bytes: removal.bytes,
        });
        let erasure = Erasure {
            blobs: blobs.collect(),
        };
        let digest = store.erase(&tombstone, &erasure)?;
        let header = json!({"forget": {"tombstone": digest, "samples": tombstone.samples.len(),
            "blobs": self.removals.len(), "marks": self.marks.len()}});
        let journal = Journal::start(store, header)?;
        for removal in &self.removals {
            journal.append(&json!({"removed": removal}))?;
        }
        for (name, mark) in &self.marks {
            journal.append(&json!({"marked": mark, "name": name}))?;
        }
        for one in &self.similar {
            let without_source = Similar {
                source: None,
                ..one.clone()
            };
            journal.append(&json!({"similar": without_source}))?;
        }
        journal.append(&json!({"reruns": self.reruns}))?;
        journal.seal(json!({"removed": self.removals.len(), "marked": self.marks.len()}))?;
        let mut certificate = certificate(&Records::read(store)?, &digest)?;
        certificate.asked.clone_from(&self.trace.samples.asked);
        certificate.similar.clone_from(&self.similar);
        let outside = self.sources.iter().chain(&self.results);
        certificate.outside = outside.map(|path| path.display().to_string()).collect();
        Ok(certificate)
    }
}

/// Artifacts that may hold content of the samples though no row says so: files that are theirs or
/// were made from tables with rows of them, and all that comes from a program that was given such
/// a table or file. Figures and models are not among them.
fn tainted(
    records: &Records,
    graph: &Graph<'_>,
    trace: &Trace,
    ids: &BTreeSet<SampleId>,
) -> Result<BTreeMap<Digest, String>, StageError> {
    let as_files = files::reached(records, ids)?;
    let with_rows: BTreeSet<Digest> = trace
        .reached
        .iter()
        .filter(|one| one.level == Level::Rows)
        .map(|one| one.artifact)
        .collect();
    let mut tainted: BTreeMap<Digest, String> = BTreeMap::new();
    for key in graph.order(records.stages().map(|(key, _)| *key)) {
        let Some(node) = records.node(&key) else { continue };
        let takes = |known: &dyn Fn(&Digest) -> bool| node.wires().any(|(_, _, one)| known(&one.artifact));
        let rows = takes(&|artifact| with_rows.contains(artifact));
        let taint = takes(&|artifact| tainted.contains_key(artifact));
        for (artifact, name) in node.named() {
            let why = match (artifact, as_files.get(&name)) {
                (_, Some(FileReach::Holds)) => "a file of them is in it",
                (Artifact::Model(_), _) => continue,
                (Artifact::Table(table), _) if table.contract == "Metrics" => continue,
                (_, Some(FileReach::Given)) => "a program made it that was given a file of them",
                (_, Some(FileReach::Unknown)) => {
                    "a program made it from a folder whose list of files is gone"
                }
                _ if !rows && !taint => continue,
                _ if node.opaque => "a program made it from them",
                (Artifact::Files(_), _) => "files made from them",
                (Artifact::Table(_), _) if taint && !with_rows.contains(&name) => {
                    "made from what a program, or files, made from them"
                }
                (Artifact::Table(_), _) => continue,
            };
            tainted.entry(name).or_insert_with(|| why.to_string());
        }
    }
    Ok(tainted)
}

struct Removing<'a> {
    records: &'a Records,
    /// By blob, so that one that several artifacts share is named once.
    found: BTreeMap<Digest, Removal>,
}

impl Removing<'_> {
    fn add(&mut self, key: &Key, port: &str, artifact: Option<Digest>, blob: BlobRef, why: &str) {
        if !self.records.store().has_blob(&blob) {
            return;
        }
        let (stage, port) = self.records.stage_of(key, port);
        let removal = Removal {
            name: self.records.output_title(&stage, &port),
            action: *key,
            port,
            artifact,
            blob: blob.digest,
            bytes: blob.bytes,
            why: why.to_string(),
        };
        self.found.entry(blob.digest).or_insert(removal);
    }

    /// Partitions that hold rows, those of maps' partitions among them.
    fn rows(&mut self, ids: &BTreeSet<SampleId>) -> Result<(), StageError> {
        let records = self.records;
        let rows = Rows::of(records, ids);
        for (key, node) in records.all() {
            for (port, artifact) in &node.outputs {
                let Artifact::Table(table) = artifact else {
                    continue;
                };
                let there = table
                    .partitions
                    .iter()
                    .filter(|partition| records.store().has_blob(&partition.blob));
                let there =
                    dermflow_core::TableManifest::new("", table.columns.clone(), there.cloned().collect());
                for at in rows.holding(&there)? {
                    let blob = there.partitions[at].blob;
                    self.add(key, port, Some(artifact.name()), blob, "holds rows of them");
                }
            }
        }
        Ok(())
    }

    /// Whole artifacts that may hold content of them.
    fn whole(&mut self, tainted: &BTreeMap<Digest, String>, trace: &Trace, models: bool) {
        let records = self.records;
        for (key, node) in records.all() {
            for (port, artifact) in &node.outputs {
                if let Some(why) = tainted.get(&artifact.name()) {
                    for blob in artifact.blobs() {
                        self.add(key, port, Some(artifact.name()), blob, why);
                    }
                }
            }
        }
        if models {
            for one in trace.reached.iter().filter(|one| one.sort == "model") {
                let blobs = records
                    .node(&one.action)
                    .and_then(|node| node.outputs.get(&one.port));
                for blob in blobs.map(Artifact::blobs).unwrap_or_default() {
                    self.add(
                        &one.action,
                        &one.port,
                        Some(one.artifact),
                        blob,
                        "a model trained on them",
                    );
                }
            }
        }
    }

    /// Listings of source folders that name files of that content.
    fn listings(&mut self, ids: &BTreeSet<SampleId>) {
        let records = self.records;
        let needles: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let mut seen = BTreeSet::new();
        let on_disk: BTreeMap<Digest, BlobRef> = records
            .store()
            .blobs()
            .into_iter()
            .map(|blob| (blob.digest, blob))
            .collect();
        for (key, node) in records.all() {
            for listing in &node.listings {
                let (true, Some(blob)) = (seen.insert(*listing), on_disk.get(listing)) else {
                    continue;
                };
                let text = records.store().read_blob(blob).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                if needles.iter().any(|needle| text.contains(needle.as_str())) {
                    self.add(key, "", None, *blob, "lists a file of them");
                }
            }
        }
    }
}

fn marks(records: &Records, trace: &Trace, gone: &BTreeSet<Digest>) -> Vec<(String, Mark)> {
    let stays = |one: &&crate::trace::Reached| {
        let artifact = records
            .node(&one.action)
            .and_then(|node| node.outputs.get(&one.port));
        let blobs = artifact.map(Artifact::blobs).unwrap_or_default();
        one.level < Level::Rows && !blobs.iter().all(|blob| gone.contains(&blob.digest))
    };
    let staying = trace.reached.iter().filter(stays);
    staying
        .map(|one| {
            let mark = Mark {
                artifact: one.artifact,
                action: one.action,
                port: one.port.clone(),
                sort: one.sort.to_string(),
            };
            (one.name.clone(), mark)
        })
        .collect()
}

/// Files on disk of that content, and single files (tables, archives) that rows entered from.
fn sources(records: &Records, ids: &BTreeSet<SampleId>, trace: &Trace) -> Result<Vec<PathBuf>, StageError> {
    let mut digests: BTreeSet<Digest> = ids.iter().map(|id| Digest::from_bytes(*id.as_bytes())).collect();
    for one in trace.reached.iter().filter(|one| one.level == Level::Rows) {
        let entered = records
            .node(&one.action)
            .is_some_and(|node| node.inputs.is_empty());
        if entered {
            let sources = records.record(&one.action)?.manifest.sources;
            digests.extend(sources.into_values().filter_map(|source| match source {
                SourceDigest::File { digest, .. } => Some(digest),
                SourceDigest::Folder { .. } => None,
            }));
        }
    }
    let known = Sources::new(records.store(), false).files_of(&digests);
    let there = known
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| path.exists());
    Ok(there.collect())
}

fn results_holding(
    records: &Records,
    results: Option<&Path>,
    affected: &BTreeSet<Key>,
) -> Result<Vec<PathBuf>, StageError> {
    let Some(results) = results else {
        return Ok(Vec::new());
    };
    let sources = Sources::new(records.store(), false);
    let all = laid_out(results, &sources)?.into_iter();
    let holding = all.filter(|one| affected.contains(&one.published.action) && one.path.exists());
    Ok(holding.map(|one| one.path).collect())
}
