//! W3C PROV-JSON (the member submission of 24 April 2013): artifacts and sources are entities,
//! actions are activities, the program is an agent.

use serde_json::{Map, Value, json};

use super::{HOME, Story, inputs, leaves, shown, source_digest, times};

/// The document.
pub fn prov_json(story: &Story) -> Value {
    let (mut entities, mut activities) = (Map::new(), Map::new());
    let (mut generated, mut used, mut derived, mut associated) =
        (Map::new(), Map::new(), Map::new(), Map::new());
    for (name, (title, artifact)) in story.artifacts() {
        let mut entity = json!({"prov:label": title, "prov:type": "dermflow:artifact"});
        if let Some(artifact) = artifact {
            entity["dermflow:sort"] = artifact.sort().into();
            entity["dermflow:rows"] = artifact.rows().into();
            entity["dermflow:bytes"] = artifact.bytes().into();
        }
        entities.insert(format!("artifact:{name}"), entity);
    }
    for (digest, title) in story.sources() {
        let entity = json!({"prov:label": title, "prov:type": "dermflow:source"});
        entities.insert(format!("source:{digest}"), entity);
    }
    let mut agents = Map::new();
    for one in &story.told {
        let (record, activity) = (&one.record, format!("action:{}", one.key));
        let (start, end) = times(record);
        let mut told = json!({"prov:startTime": start, "prov:endTime": end, "prov:label": one.stage,
            "prov:type": format!("dermflow:{}", record.manifest.kind), "dermflow:version": record.manifest.version});
        if let Some(seed) = record.manifest.seed {
            told["dermflow:seed"] = seed.to_string().into();
        }
        for (path, value) in leaves(&record.manifest.parameters) {
            told[format!("with:{path}")] = value.into();
        }
        activities.insert(activity.clone(), told);
        let agent = format!("program:{}", record.making.program.replace(' ', "-"));
        let about = json!({"prov:type": "prov:SoftwareAgent", "prov:label": record.making.program});
        agents.insert(agent.clone(), about);
        let number =
            |relation: &Map<String, Value>, letter: &str| format!("_:{letter}{}", relation.len() + 1);
        let id = number(&associated, "a");
        associated.insert(id, json!({"prov:activity": activity, "prov:agent": agent}));
        let mut took = Vec::new();
        for (port, ancestor) in inputs(record) {
            let entity = format!("artifact:{}", ancestor.artifact);
            let id = number(&used, "u");
            used.insert(
                id,
                json!({"prov:activity": activity, "prov:entity": entity, "prov:role": port}),
            );
            took.push(entity);
        }
        for (parameter, source) in &record.manifest.sources {
            let entity = format!("source:{}", source_digest(source));
            let id = number(&used, "u");
            used.insert(
                id,
                json!({"prov:activity": activity, "prov:entity": entity, "prov:role": parameter}),
            );
            took.push(entity);
        }
        for (port, artifact) in shown(record) {
            let entity = format!("artifact:{}", artifact.name());
            let id = number(&generated, "g");
            generated.insert(
                id,
                json!({"prov:entity": entity, "prov:activity": activity, "prov:time": end, "prov:role": port}),
            );
            for from in &took {
                let id = number(&derived, "d");
                derived.insert(
                    id,
                    json!({"prov:generatedEntity": entity, "prov:usedEntity": from, "prov:activity": activity}),
                );
            }
        }
    }
    let prefix = json!({"artifact": "urn:dermflow:artifact:", "source": "urn:dermflow:source:",
        "action": "urn:dermflow:action:", "program": "urn:dermflow:program:", "with": "urn:dermflow:with:",
        "dermflow": format!("{HOME}#")});
    let mut document = json!({"prefix": prefix, "entity": entities, "activity": activities, "agent": agents});
    let relations = [
        ("wasGeneratedBy", generated),
        ("used", used),
        ("wasDerivedFrom", derived),
        ("wasAssociatedWith", associated),
    ];
    for (name, relation) in relations {
        if !relation.is_empty() {
            document[name] = Value::Object(relation);
        }
    }
    document
}
