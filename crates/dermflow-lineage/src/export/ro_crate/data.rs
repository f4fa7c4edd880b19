//! Artifacts and sources: files and folders of the crate where they lie in it.

use std::collections::BTreeMap;

use dermflow_core::{Artifact, Digest};
use serde_json::{Value, json};

use super::super::{Story, source_title};
use super::plan::output_parameter;
use super::{Entity, reference, references};

pub(super) fn artifacts(story: &Story, entity: &Entity<'_>) -> Vec<Value> {
    // Several results may have the same content.
    let mut results: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    for (key, port) in &story.results {
        let one = story.told.iter().find(|one| one.key == *key);
        if let Some(artifact) = one.and_then(|one| one.record.outputs.get(port)) {
            let of = results.entry(artifact.name()).or_default();
            let parameter = output_parameter(story, key, port);
            if !of.contains(&parameter) {
                of.push(parameter);
            }
        }
    }
    let artifacts = story.artifacts().into_iter().map(|(name, (title, artifact))| {
        let id = entity.artifact(&name);
        let sort = match id.strip_prefix('#') {
            Some(_) => "CreativeWork",
            None if id.ends_with('/') => "Dataset",
            None => "File",
        };
        let mut told =
            json!({"@id": id, "@type": sort, "name": title, "identifier": format!("blake3:{name}")});
        if let Some(artifact) = artifact {
            told["contentSize"] = artifact.bytes().to_string().into();
            told["description"] = format!("{} of {} rows or files", artifact.sort(), artifact.rows()).into();
            let format = match artifact {
                Artifact::Table(_) => Some("application/vnd.apache.parquet"),
                Artifact::Model(_) => Some("application/octet-stream"),
                Artifact::Files(_) => None,
            };
            if let (Some(format), "File") = (format, sort) {
                told["encodingFormat"] = format.into();
            }
        }
        if let Some(parameters) = results.get(&name) {
            told["exampleOfWork"] = references(parameters.iter().cloned());
        }
        told
    });
    let sources = story.sources().into_iter().map(|(digest, source)| {
        json!({"@id": entity.source(&digest), "@type": "CreativeWork", "name": source_title(source),
            "identifier": format!("blake3:{digest}"),
            "exampleOfWork": reference(format!("#parameter-{}", digest.short()))})
    });
    artifacts.chain(sources).collect()
}
