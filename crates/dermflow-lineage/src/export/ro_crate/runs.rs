//! What was done: the run of the workflow and of the engine, and every action with its step.

use serde_json::{Value, json};

use super::super::{Story, Told, inputs, leaves, local_name, shown, source_digest, times};
use super::{Entity, WORKFLOW, action_id, offset, reference, references, step_id, tool_id, with_page};
use crate::time;

const COMPLETED: &str = "http://schema.org/CompletedActionStatus";

/// The run of the workflow, and that of the engine.
pub(super) fn runs(story: &Story, entity: &Entity<'_>) -> Vec<Value> {
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

pub(super) fn step(one: &Told, place: usize, entity: &Entity<'_>) -> Vec<Value> {
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
