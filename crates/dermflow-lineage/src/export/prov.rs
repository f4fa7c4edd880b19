//! W3C PROV-JSON (the member submission of 24 April 2013): artifacts and sources are entities,
//! actions are activities, the program is an agent.

use dermflow_core::{Artifact, Digest};
use serde_json::{Map, Value, json};

use super::{Story, Told, inputs, leaves, local_name, shown, source_digest, source_title, times};

/// The document.
pub fn prov_json(story: &Story) -> Value {
    let mut document = Document::default();
    for (name, (title, artifact)) in story.artifacts() {
        document.artifact(&name, &title, artifact);
    }
    for (digest, source) in story.sources() {
        let entity = json!({"prov:label": source_title(source), "prov:type": named("dermflow:source")});
        document.entities.insert(format!("source:{digest}"), entity);
    }
    for one in &story.told {
        document.action(one);
    }
    document.finish()
}

/// A name as a value: a plain string would be no more than text to a reader.
fn named(name: &str) -> Value {
    json!({"$": name, "type": "prov:QUALIFIED_NAME"})
}

/// Statements of one sort, under names that hold in this document only.
#[derive(Default)]
struct Relation(Map<String, Value>);

impl Relation {
    fn add(&mut self, letter: &str, statement: Value) {
        self.0
            .insert(format!("_:{letter}{}", self.0.len() + 1), statement);
    }
}

#[derive(Default)]
struct Document {
    entities: Map<String, Value>,
    activities: Map<String, Value>,
    agents: Map<String, Value>,
    generated: Relation,
    used: Relation,
    derived: Relation,
    associated: Relation,
}

impl Document {
    fn artifact(&mut self, name: &Digest, title: &str, artifact: Option<&Artifact>) {
        let mut entity = json!({"prov:label": title, "prov:type": named("dermflow:artifact")});
        if let Some(artifact) = artifact {
            entity["dermflow:sort"] = artifact.sort().into();
            entity["dermflow:rows"] = artifact.rows().into();
            entity["dermflow:bytes"] = artifact.bytes().into();
        }
        self.entities.insert(format!("artifact:{name}"), entity);
    }

    fn action(&mut self, one: &Told) {
        let (record, activity) = (&one.record, format!("action:{}", one.key));
        let (start, end) = times(record);
        let kind = named(&format!("dermflow:{}", local_name(&record.manifest.kind)));
        let mut told = json!({"prov:startTime": start, "prov:endTime": end, "prov:label": one.stage,
            "prov:type": kind, "dermflow:version": record.manifest.version});
        if let Some(seed) = record.manifest.seed {
            // As text: a JSON number may lose the last digits of such a seed.
            told["dermflow:seed"] = json!({"$": seed.to_string(), "type": "xsd:unsignedLong"});
        }
        for (path, value) in leaves(&record.manifest.parameters) {
            told[format!("with:{}", local_name(&path))] = value.into();
        }
        self.activities.insert(activity.clone(), told);
        let agent = format!("program:{}", local_name(&record.making.program.replace(' ', "-")));
        let about = json!({"prov:type": named("prov:SoftwareAgent"), "prov:label": record.making.program});
        self.agents.insert(agent.clone(), about);
        self.associated
            .add("a", json!({"prov:activity": activity, "prov:agent": agent}));
        let took = self.took(one, &activity);
        for (port, artifact) in shown(record) {
            let entity = format!("artifact:{}", artifact.name());
            self.generated.add(
                "g",
                json!({"prov:entity": entity, "prov:activity": activity, "prov:time": end, "prov:role": port}),
            );
            for from in &took {
                self.derived.add(
                    "d",
                    json!({"prov:generatedEntity": entity, "prov:usedEntity": from, "prov:activity": activity}),
                );
            }
        }
    }

    /// What an action used; gives the names of it.
    fn took(&mut self, one: &Told, activity: &str) -> Vec<String> {
        let artifacts =
            inputs(&one.record).map(|(port, ancestor)| (port, format!("artifact:{}", ancestor.artifact)));
        let sources = one.record.manifest.sources.iter();
        let sources =
            sources.map(|(parameter, source)| (parameter, format!("source:{}", source_digest(source))));
        let mut took = Vec::new();
        for (role, entity) in artifacts.chain(sources) {
            self.used.add(
                "u",
                json!({"prov:activity": activity, "prov:entity": entity, "prov:role": role}),
            );
            took.push(entity);
        }
        took
    }

    fn finish(self) -> Value {
        let prefix = json!({"artifact": "urn:dermflow:artifact:", "source": "urn:dermflow:source:",
            "action": "urn:dermflow:action:", "program": "urn:dermflow:program:", "with": "urn:dermflow:with:",
            "dermflow": "urn:dermflow:", "xsd": "http://www.w3.org/2001/XMLSchema#"});
        let mut document = json!({"prefix": prefix, "entity": self.entities, "activity": self.activities,
            "agent": self.agents});
        let relations = [
            ("wasGeneratedBy", self.generated),
            ("used", self.used),
            ("wasDerivedFrom", self.derived),
            ("wasAssociatedWith", self.associated),
        ];
        for (name, Relation(statements)) in relations {
            if !statements.is_empty() {
                document[name] = Value::Object(statements);
            }
        }
        document
    }
}
