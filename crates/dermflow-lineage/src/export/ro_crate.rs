//! RO-Crate 1.1 with the profiles Process, Workflow and Provenance Run Crate 0.5.
//!
//! The workflow is what the records say was run, as a JSON file of the crate: pipeline files may
//! have changed since. Steps, tools and actions are what the profile asks for; artifacts that
//! lie in the crate are files or folders of it, all others are named by their digests.

mod data;
mod plan;
mod runs;

use std::collections::BTreeMap;

use dermflow_core::Digest;
use serde_json::{Value, json};

use super::{Story, Told, local_name, page, producer, shown};
use crate::time;
use data::artifacts;
use plan::{formal_parameters, tools, workflow};
use runs::{runs, step};

/// The workflow's file in the crate.
const WORKFLOW: &str = "workflow.json";

/// The page about the crate.
const README: &str = "README.md";

/// A crate, but for the data in it.
pub struct Crate {
    /// `ro-crate-metadata.json`.
    pub metadata: Value,
    /// `workflow.json`.
    pub workflow: Value,
    /// `README.md`.
    pub readme: String,
}

/// What no record says of a crate, and its author may.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// The address of the licence, where it is known.
    pub licence: Option<String>,
    /// Who answers for it.
    pub authors: Vec<Author>,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The name.
    pub name: String,
    /// An address that means the person, such as an ORCID.
    pub address: Option<String>,
}

impl Author {
    fn id(&self) -> String {
        let local = || format!("#author-{}", local_name(&self.name));
        self.address.clone().unwrap_or_else(local)
    }
}

/// The crate of a story. `files` are the artifacts that lie in it, by their relative paths (with
/// `/` at the end for a folder).
pub fn ro_crate(story: &Story, files: &BTreeMap<Digest, String>, publication: &Publication) -> Crate {
    let mut graph = vec![json!({
        "@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"},
        "conformsTo": [reference("https://w3id.org/ro/crate/1.1"), reference(WORKFLOW_CRATE)],
    })];
    graph.push(root(story, files, publication));
    graph.extend(profiles());
    graph.push(licence(publication));
    graph.extend(
        publication
            .authors
            .iter()
            .map(|author| json!({"@id": author.id(), "@type": "Person", "name": author.name})),
    );
    let entity = Entity { files };
    graph.push(workflow(story));
    graph.push(
        json!({"@id": README, "@type": "File", "name": "about this crate", "about": {"@id": "./"},
        "encodingFormat": "text/markdown"}),
    );
    graph.push(with_page(
        json!({"@id": "#language", "@type": "ComputerLanguage", "name": "dermflow", "identifier": producer()}),
    ));
    graph.extend(formal_parameters(story, &entity));
    graph.extend(tools(story));
    graph.extend(artifacts(story, &entity));
    graph.extend(runs(story, &entity));
    for (place, one) in story.told.iter().enumerate() {
        graph.extend(step(one, place, &entity));
    }
    let metadata = json!({
        "@context": "https://w3id.org/ro/crate/1.1/context",
        "@graph": graph,
    });
    Crate {
        metadata,
        workflow: described(story),
        readme: readme(story, files),
    }
}

const WORKFLOW_CRATE: &str = "https://w3id.org/workflowhub/workflow-ro-crate/1.0";
const PROFILES: [(&str, &str, &str); 4] = [
    (
        "https://w3id.org/ro/wfrun/process/0.5",
        "Process Run Crate",
        "0.5",
    ),
    (
        "https://w3id.org/ro/wfrun/workflow/0.5",
        "Workflow Run Crate",
        "0.5",
    ),
    (
        "https://w3id.org/ro/wfrun/provenance/0.5",
        "Provenance Run Crate",
        "0.5",
    ),
    (WORKFLOW_CRATE, "Workflow RO-Crate", "1.0"),
];

fn reference(id: impl Into<String>) -> Value {
    json!({"@id": id.into()})
}

/// One is written as itself, several as a list.
fn references(ids: impl IntoIterator<Item = String>) -> Value {
    let mut all: Vec<Value> = ids.into_iter().map(reference).collect();
    match all.len() {
        1 => all.swap_remove(0),
        _ => Value::Array(all),
    }
}

/// As the shapes of the profiles want times: with an offset in numbers.
fn offset(utc: String) -> String {
    match utc.strip_suffix('Z') {
        Some(time) => format!("{time}+00:00"),
        None => utc,
    }
}

/// With the program's page, where it has one.
fn with_page(mut entity: Value) -> Value {
    if let Some(page) = page() {
        entity["url"] = reference(page);
    }
    entity
}

fn licence(publication: &Publication) -> Value {
    match &publication.licence {
        Some(address) => json!({"@id": address, "@type": "CreativeWork", "name": address,
            "description": "The licence of the data and results, as the author of this crate stated it."}),
        None => json!({"@id": "#licence", "@type": "CreativeWork", "name": "not stated",
            "description": "The licence of the data and results was not stated when this crate was written."}),
    }
}

fn root(story: &Story, files: &BTreeMap<Digest, String>, publication: &Publication) -> Value {
    let parts = [WORKFLOW.to_string(), README.to_string()];
    let parts = parts.into_iter().chain(files.values().cloned());
    let mut root = json!({
        "@id": "./", "@type": "Dataset",
        "name": format!("{}: {}", story.pipeline, results(story)),
        "description": description(story),
        "datePublished": time::utc(story.ended()),
        "license": reference(publication.licence.as_deref().unwrap_or("#licence")),
        "conformsTo": PROFILES.iter().map(|(id, _, _)| reference(*id)).collect::<Value>(),
        "hasPart": references(parts),
        "mainEntity": reference(WORKFLOW),
        "mentions": references(std::iter::once("#run".to_string()).chain(story.told.iter().map(action_id))),
    });
    if !publication.authors.is_empty() {
        root["author"] = references(publication.authors.iter().map(Author::id));
    }
    root
}

/// The results, by the names that people call them by.
fn results(story: &Story) -> String {
    let named = story.results.iter().map(
        |(key, port)| match story.told.iter().find(|one| one.key == *key) {
            Some(one) => format!("{}.{port}", one.stage),
            None => port.clone(),
        },
    );
    named.collect::<Vec<_>>().join(", ")
}

fn description(story: &Story) -> String {
    format!(
        "How {} came about: every action with its parameters, inputs, outputs and times, as recorded when it ran.",
        results(story)
    )
}

/// The page for who opens the folder.
fn readme(story: &Story, files: &BTreeMap<Digest, String>) -> String {
    let mut page = format!(
        "# {}: {}\n\n{}\n\n`ro-crate-metadata.json` tells it as an RO-Crate (profile Provenance Run Crate 0.5), \
         `{WORKFLOW}` as dermflow recorded it.\n",
        story.pipeline,
        results(story),
        description(story)
    );
    if !files.is_empty() {
        page += "\n| file | artifact (blake3 of its content) |\n|---|---|\n";
        for (digest, file) in files {
            page += &format!("| `{file}` | `{digest}` |\n");
        }
        page += "\nThe artifact of a model is its file: `b3sum` gives the same digest. That of a table is the digest of \
                 its columns, whatever file they lie in.\n";
    }
    page
}

fn profiles() -> Vec<Value> {
    let all = PROFILES.iter();
    all.map(
        |(id, name, version)| json!({"@id": id, "@type": "CreativeWork", "name": name, "version": version}),
    )
    .collect()
}

fn tool_id(one: &Told) -> String {
    format!(
        "urn:dermflow:kind:{}:{}",
        local_name(&one.record.manifest.kind),
        one.record.manifest.version
    )
}

fn step_id(one: &Told) -> String {
    format!("#step-{}", one.key.digest().short())
}

fn action_id(one: &Told) -> String {
    format!("#action-{}", one.key)
}

/// How artifacts and sources are named in the crate.
struct Entity<'a> {
    files: &'a BTreeMap<Digest, String>,
}

impl Entity<'_> {
    fn artifact(&self, name: &Digest) -> String {
        let file = self.files.get(name).cloned();
        file.unwrap_or_else(|| format!("#artifact-{name}"))
    }

    fn source(&self, digest: &Digest) -> String {
        format!("#source-{digest}")
    }
}

/// The workflow as the records say it was run.
fn described(story: &Story) -> Value {
    let stages = story.told.iter().map(|one| {
        let manifest = &one.record.manifest;
        json!({"stage": one.stage, "action": one.key, "manifest": manifest, "inputs": one.record.ancestry,
            "outputs": shown(&one.record).map(|(port, artifact)| (port.clone(), json!(artifact.name())))
                .collect::<serde_json::Map<_, _>>()})
    });
    json!({"name": story.pipeline, "stages": stages.collect::<Vec<_>>()})
}
