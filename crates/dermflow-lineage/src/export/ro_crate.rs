//! RO-Crate 1.1 with the profiles Process, Workflow and Provenance Run Crate 0.5.
//!
//! The workflow is what the records say was run, as a JSON file of the crate: pipeline files may
//! have changed since. Steps, tools and actions are what the profile asks for; artifacts that
//! lie in the crate are files or folders of it, all others are named by their digests.

use std::collections::BTreeMap;

use dermflow_core::{Artifact, Digest, SourceDigest};
use serde_json::{Value, json};

use super::{
    Story, Told, inputs, leaves, local_name, page, producer, shown, source_digest, source_title, times,
};
use crate::time;

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

const COMPLETED: &str = "http://schema.org/CompletedActionStatus";
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

fn workflow(story: &Story) -> Value {
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

fn output_parameter(story: &Story, key: &dermflow_core::Key, port: &str) -> String {
    let stage = story
        .told
        .iter()
        .find(|one| one.key == *key)
        .map_or("", |one| &one.stage);
    format!("#output-{}-{}", local_name(stage), local_name(port))
}

/// What the workflow takes and gives: files and folders. What lies in the crate and what it is an
/// example of point to each other.
fn formal_parameters(story: &Story, entity: &Entity<'_>) -> Vec<Value> {
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

fn tools(story: &Story) -> Vec<Value> {
    let by_id: BTreeMap<String, &Told> = story.told.iter().map(|one| (tool_id(one), one)).collect();
    let tools = by_id.into_iter().map(|(id, one)| {
        let manifest = &one.record.manifest;
        json!({"@id": id, "@type": "SoftwareApplication", "name": manifest.kind,
            "softwareVersion": manifest.version.to_string(), "isPartOf": reference("#engine")})
    });
    tools.collect()
}

fn artifacts(story: &Story, entity: &Entity<'_>) -> Vec<Value> {
    let results: BTreeMap<Digest, String> = story
        .results
        .iter()
        .filter_map(|(key, port)| {
            let one = story.told.iter().find(|one| one.key == *key)?;
            let artifact = one.record.outputs.get(port)?;
            Some((artifact.name(), output_parameter(story, key, port)))
        })
        .collect();
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
        if let Some(parameter) = results.get(&name) {
            told["exampleOfWork"] = reference(parameter.clone());
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

/// The run of the workflow, and that of the engine.
fn runs(story: &Story, entity: &Entity<'_>) -> Vec<Value> {
    let results = story.results.iter().filter_map(|(key, port)| {
        let one = story.told.iter().find(|one| one.key == *key)?;
        Some(entity.artifact(&one.record.outputs.get(port)?.name()))
    });
    let sources = story.sources().into_keys().map(|digest| entity.source(&digest));
    let program = story
        .told
        .last()
        .map_or("dermflow", |one| &one.record.making.program);
    let (name, version) = program.split_once(' ').unwrap_or((program, "unknown"));
    let (start, end) = (
        offset(time::utc(story.started())),
        offset(time::utc(story.ended())),
    );
    vec![
        json!({"@id": "#run", "@type": "CreateAction", "name": format!("Run of {}", story.pipeline),
            "description": format!("{} actions, as their records tell of them; they may have run at different times",
                story.told.len()),
            "instrument": reference(WORKFLOW), "object": references(sources), "result": references(results),
            "startTime": start, "endTime": end,
            "actionStatus": COMPLETED}),
        with_page(
            json!({"@id": "#engine", "@type": "SoftwareApplication", "name": name,
            "softwareVersion": version}),
        ),
        json!({"@id": "#engine-run", "@type": "OrganizeAction", "name": format!("Run of {program}"),
            "instrument": reference("#engine"), "result": reference("#run"),
            "object": references(story.told.iter().map(|one| format!("#control-{}", one.key))),
            "startTime": start, "endTime": end}),
    ]
}

fn step(one: &Told, place: usize, entity: &Entity<'_>) -> Vec<Value> {
    let record = &one.record;
    let (start, end) = times(record);
    let (start, end) = (offset(start), offset(end));
    let mut told = vec![
        json!({"@id": step_id(one), "@type": "HowToStep", "name": one.stage, "position": place.to_string(),
            "workExample": reference(tool_id(one))}),
        json!({"@id": format!("#control-{}", one.key), "@type": "ControlAction",
            "name": format!("orchestrate {}", one.stage), "instrument": reference(step_id(one)),
            "object": reference(action_id(one)), "startTime": start, "endTime": end}),
    ];
    let mut objects: Vec<String> = inputs(record)
        .map(|(_, ancestor)| entity.artifact(&ancestor.artifact))
        .collect();
    objects.extend(
        record
            .manifest
            .sources
            .values()
            .map(|source| entity.source(&source_digest(source))),
    );
    let seed = record
        .manifest
        .seed
        .map(|seed| ("seed".to_string(), seed.to_string()));
    for (path, value) in leaves(&record.manifest.parameters).into_iter().chain(seed) {
        let id = format!("#value-{}-{}", one.key.digest().short(), local_name(&path));
        told.push(json!({"@id": id, "@type": "PropertyValue", "name": path, "value": value}));
        objects.push(id);
    }
    objects.sort();
    objects.dedup();
    told.push(json!({
        "@id": action_id(one), "@type": "CreateAction", "name": format!("Run of {}", one.stage),
        "description": format!("{} version {} on {}, in {}", record.manifest.kind, record.manifest.version,
            record.making.host, time::seconds(record.making.seconds)),
        "instrument": reference(tool_id(one)), "object": references(objects),
        "result": references(shown(record).map(|(_, artifact)| entity.artifact(&artifact.name()))),
        "startTime": start, "endTime": end,
        "actionStatus": COMPLETED,
    }));
    told
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
