//! Lineage in the forms that other tools read: RO-Crate (Provenance Run Crate), W3C PROV-JSON,
//! OpenLineage.
//!
//! Each form has a module; here is what they tell. Nothing is told that a record does not say.

mod openlineage;
mod prov;
mod ro_crate;

use std::collections::BTreeMap;

use dermflow_core::canonical::Value;
use dermflow_core::{Ancestor, Artifact, Digest, Key, Record, SourceDigest, StageError};

pub use openlineage::open_lineage;
pub use prov::prov_json;
pub use ro_crate::{Author, Crate, Publication, ro_crate};

use crate::graph::Graph;
use crate::records::Records;
use crate::time;

/// What writes these documents, as the address that formats want: the program's page, once
/// `repository` in this crate's Cargo.toml names one, and until then a name that claims to be
/// nothing else.
fn producer() -> String {
    match env!("CARGO_PKG_REPOSITORY") {
        "" => format!("urn:dermflow:program:{}", env!("CARGO_PKG_VERSION")),
        page => page.to_string(),
    }
}

/// The program's page, where it has one.
fn page() -> Option<&'static str> {
    Some(env!("CARGO_PKG_REPOSITORY")).filter(|page| page.starts_with("http"))
}

/// What is told: actions, each after all that it needs, and the results that were asked about.
pub struct Story {
    /// The actions.
    told: Vec<Told>,
    /// The results.
    results: Vec<(Key, String)>,
    /// The pipeline that the last action was last run in.
    pipeline: String,
}

/// An action as all forms tell it.
struct Told {
    key: Key,
    stage: String,
    record: Record,
}

impl Story {
    /// The story of these outputs: their whole ancestry.
    ///
    /// # Errors
    /// Where a record can't be read, or there is no output.
    pub fn of(records: &Records, graph: &Graph<'_>, results: &[(Key, String)]) -> Result<Story, StageError> {
        let mut told: Vec<Told> = Vec::new();
        for (key, _) in results {
            for key in graph.ancestry(key) {
                if told.iter().all(|one| one.key != key) {
                    told.push(Told {
                        stage: records.title(&key),
                        record: records.record(&key)?,
                        key,
                    });
                }
            }
        }
        let (last, _) = results
            .last()
            .ok_or_else(|| StageError::new("there is no result to tell the lineage of"))?;
        let pipeline = records.uses(last).last().map(|last| last.line.pipeline.clone());
        Ok(Story {
            told,
            results: results.to_vec(),
            pipeline: pipeline.unwrap_or_else(|| "dermflow".to_string()),
        })
    }

    /// Every artifact that any action took or gave, with what it is, by name.
    fn artifacts(&self) -> BTreeMap<Digest, (String, Option<&Artifact>)> {
        let mut all: BTreeMap<Digest, (String, Option<&Artifact>)> = BTreeMap::new();
        for one in &self.told {
            for (port, artifact) in shown(&one.record) {
                let title = format!("{}.{port}", one.stage);
                all.insert(artifact.name(), (title, Some(artifact)));
            }
        }
        for one in &self.told {
            for (_, ancestor) in inputs(&one.record) {
                let unknown = || (ancestor.port.clone(), None);
                all.entry(ancestor.artifact).or_insert_with(unknown);
            }
        }
        all
    }

    /// Every source file or folder that any action read, by digest.
    fn sources(&self) -> BTreeMap<Digest, &SourceDigest> {
        let all = self
            .told
            .iter()
            .flat_map(|one| one.record.manifest.sources.values());
        all.map(|source| (source_digest(source), source)).collect()
    }

    fn started(&self) -> f64 {
        let times = self.told.iter().map(|one| one.record.making.started);
        times.fold(f64::INFINITY, f64::min)
    }

    fn ended(&self) -> f64 {
        self.told.iter().map(|one| ended(&one.record)).fold(0.0, f64::max)
    }
}

fn shown(record: &Record) -> impl Iterator<Item = (&String, &Artifact)> {
    record.outputs.iter().filter(|(port, _)| !port.starts_with('.'))
}

fn inputs(record: &Record) -> impl Iterator<Item = (&String, &Ancestor)> {
    let ports = record.ancestry.iter();
    ports.flat_map(|(port, all)| all.iter().map(move |one| (port, one)))
}

fn source_digest(source: &SourceDigest) -> Digest {
    match source {
        SourceDigest::File { digest, .. } => *digest,
        SourceDigest::Folder { listing, .. } => listing.digest,
    }
}

fn source_title(source: &SourceDigest) -> String {
    match source {
        SourceDigest::File { name, .. } => name.clone(),
        SourceDigest::Folder { files, .. } => format!("a folder of {files} files"),
    }
}

fn ended(record: &Record) -> f64 {
    record.making.started + record.making.seconds
}

/// Start and end, as RFC 3339.
fn times(record: &Record) -> (String, String) {
    (time::utc(record.making.started), time::utc(ended(record)))
}

/// A text as part of a name or an address: bytes that it can't have there are escaped as in
/// addresses.
fn local_name(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' => out.push(byte as char),
            other => out += &format!("%{other:02X}"),
        }
    }
    out
}

/// Every leaf of a kind's parameters, by its path.
fn leaves(value: &Value) -> Vec<(String, String)> {
    fn walk(path: &str, value: &Value, found: &mut Vec<(String, String)>) {
        let below = |key: &str| match path.is_empty() {
            true => key.to_string(),
            false => format!("{path}.{key}"),
        };
        match value {
            Value::Map(entries) if !entries.is_empty() => {
                entries
                    .iter()
                    .for_each(|(key, value)| walk(&below(key), value, found));
            }
            Value::List(all) if !all.is_empty() => {
                let placed = all.iter().enumerate();
                placed.for_each(|(at, value)| walk(&below(&at.to_string()), value, found));
            }
            Value::Text(text) => found.push((path.to_string(), text.clone())),
            other => found.push((path.to_string(), serde_json::to_string(other).unwrap_or_default())),
        }
    }
    let mut found = Vec::new();
    if value.as_map().is_none_or(|entries| !entries.is_empty()) {
        walk("", value, &mut found);
    }
    found
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_hold_what_names_may_hold() {
        assert_eq!(super::local_name("training.loss.0"), "training.loss.0");
        assert_eq!(
            super::local_name("renamed.basal cell: ü"),
            "renamed.basal%20cell%3A%20%C3%BC"
        );
    }
}
