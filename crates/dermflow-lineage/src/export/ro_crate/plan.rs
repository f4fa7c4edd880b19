//! What was to be done: the workflow with its steps' tools, and what it takes and gives.

use std::collections::BTreeMap;

use dermflow_core::{Artifact, Digest, SourceDigest};
use serde_json::{Value, json};

use super::super::{Story, Told, local_name, source_title};
use super::{Entity, WORKFLOW, described, reference, references, step_id, tool_id};

pub(super) fn workflow(story: &Story) -> Value {
    let mut tools: Vec<String> = story.told.iter().map(tool_id).collect();
    tools.sort();
    tools.dedup();
    let sources = story
        .sources()
        .into_keys()
        .map(|digest| format!("#parameter-{}", digest.short()));
    let results = story
        .results
        .iter()
        .map(|(key, port)| output_parameter(story, key, port));
    json!({
        "@id": WORKFLOW, "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        "name": story.pipeline, "programmingLanguage": reference("#language"), "encodingFormat": "application/json",
        "version": Digest::of(serde_json::to_string(&described(story)).unwrap_or_default().as_bytes()).hex(),
        "hasPart": references(tools), "step": references(story.told.iter().map(step_id)),
        "input": references(sources), "output": references(results),
    })
}

pub(super) fn output_parameter(story: &Story, key: &dermflow_core::Key, port: &str) -> String {
    let stage = story
        .told
        .iter()
        .find(|one| one.key == *key)
        .map_or("", |one| &one.stage);
    format!("#output-{}-{}", local_name(stage), local_name(port))
}

/// What the workflow takes and gives: files and folders. What lies in the crate and what it is an
/// example of point to each other.
pub(super) fn formal_parameters(story: &Story, entity: &Entity<'_>) -> Vec<Value> {
    let sources = story.sources().into_iter().map(|(digest, source)| {
        let sort = match source {
            SourceDigest::File { .. } => "File",
            SourceDigest::Folder { .. } => "Dataset",
        };
        json!({"@id": format!("#parameter-{}", digest.short()), "@type": "FormalParameter",
            "additionalType": sort, "name": source_title(source)})
    });
    let results = story.results.iter().map(|(key, port)| {
        let artifact = story
            .told
            .iter()
            .find(|one| one.key == *key)
            .and_then(|one| one.record.outputs.get(port));
        let sort = match artifact {
            Some(Artifact::Files(_)) => "Dataset",
            _ => "File",
        };
        let mut told = json!({"@id": output_parameter(story, key, port), "@type": "FormalParameter",
            "additionalType": sort, "name": port});
        let lies = artifact.and_then(|artifact| entity.files.get(&artifact.name()));
        if let Some(lies) = lies {
            told["workExample"] = reference(lies.clone());
        }
        told
    });
    let mut all: Vec<Value> = Vec::new();
    for one in sources.chain(results) {
        if all.iter().all(|known| known["@id"] != one["@id"]) {
            all.push(one);
        }
    }
    all
}

pub(super) fn tools(story: &Story) -> Vec<Value> {
    let by_id: BTreeMap<String, &Told> = story.told.iter().map(|one| (tool_id(one), one)).collect();
    let tools = by_id.into_iter().map(|(id, one)| {
        let manifest = &one.record.manifest;
        json!({"@id": id, "@type": "SoftwareApplication", "name": manifest.kind,
            "softwareVersion": manifest.version.to_string(), "isPartOf": reference("#engine")})
    });
    tools.collect()
}
