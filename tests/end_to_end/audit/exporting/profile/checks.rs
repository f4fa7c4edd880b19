//! Checks that are more than that something refers to something.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{ACTIONS, Crate, DESCRIPTOR, ROOT, add, edit, is, refers_to, told, types, unless};

pub fn context(looked: &Crate) -> Vec<String> {
    let context = &looked.metadata["@context"];
    let first = context.get(0).unwrap_or(context);
    unless(
        first == "https://w3id.org/ro/crate/1.1/context",
        context.to_string(),
    )
}

pub fn flat(looked: &Crate) -> Vec<String> {
    let plain = |value: &Value| match value {
        Value::Object(fields) => fields.len() == 1 && fields.contains_key("@id"),
        _ => true,
    };
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for entity in looked.entities() {
        let id = entity["@id"].as_str().unwrap_or_default();
        if id.is_empty() || types(entity).is_empty() || !seen.insert(id) {
            wrong.push(format!("no id, no type, or twice: {entity}"));
        }
        for value in entity.as_object().into_iter().flat_map(|fields| fields.values()) {
            let sound = match value {
                Value::Array(all) => all.iter().all(plain),
                one => plain(one),
            };
            if !sound {
                wrong.push(format!("{id} holds {value}"));
            }
        }
    }
    wrong
}

pub fn descriptor(looked: &Crate) -> Vec<String> {
    let found = looked.entity(DESCRIPTOR).map(types);
    unless(found == Some(vec!["CreativeWork"]), format!("{found:?}"))
}

pub fn version(looked: &Crate) -> Vec<String> {
    let descriptor = looked.entity(DESCRIPTOR).cloned().unwrap_or_default();
    let claims = refers_to(&descriptor, "conformsTo");
    unless(
        claims.iter().any(|id| id == "https://w3id.org/ro/crate/1.1"),
        format!("{claims:?}"),
    )
}

pub fn root_type(looked: &Crate) -> Vec<String> {
    let found = looked.entity(ROOT).map(types);
    unless(found == Some(vec!["Dataset"]), format!("{found:?}"))
}

pub fn dated(looked: &Crate) -> Vec<String> {
    let date = looked
        .entity(ROOT)
        .and_then(|root| root["datePublished"].as_str());
    let is_date = |text: &str| {
        let pattern = "dddd-dd-dd";
        text.len() >= pattern.len()
            && text
                .bytes()
                .zip(pattern.bytes())
                .all(|(letter, kind)| match kind {
                    b'd' => letter.is_ascii_digit(),
                    other => letter == other,
                })
    };
    unless(date.is_some_and(is_date), format!("{date:?}"))
}

/// Files and folders, but for the root.
pub fn data_entities(looked: &Crate) -> Vec<&Value> {
    let all = looked.entities().filter(|one| is(one, &["File", "Dataset"]));
    all.filter(|one| one["@id"] != ROOT).collect()
}

pub fn linked(looked: &Crate) -> Vec<String> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![ROOT.to_string()];
    while let Some(id) = waiting.pop() {
        if reached.insert(id.clone())
            && let Some(entity) = looked.entity(&id)
        {
            waiting.extend(refers_to(entity, "hasPart"));
        }
    }
    let left = data_entities(looked).into_iter();
    told(left.filter(|one| !reached.contains(one["@id"].as_str().unwrap_or_default())))
}

pub fn addresses(looked: &Crate) -> Vec<String> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(letter);
    let ids = looked.entities().filter_map(|one| one["@id"].as_str());
    ids.filter(|id| !id.chars().all(allowed))
        .map(str::to_string)
        .collect()
}

pub fn payload(looked: &Crate) -> Vec<String> {
    let ids = data_entities(looked)
        .into_iter()
        .filter_map(|one| one["@id"].as_str());
    ids.filter(|id| !id.starts_with('#') && !looked.folder.join(id).exists())
        .map(str::to_string)
        .collect()
}

pub fn described(looked: &Crate) -> Vec<String> {
    let mut wrong = Vec::new();
    for entity in looked.entities() {
        for property in entity
            .as_object()
            .into_iter()
            .flat_map(|fields| fields.keys())
            .filter(|key| *key != "@id")
        {
            let ids = refers_to(entity, property).into_iter();
            let missing = ids.filter(|id| !id.starts_with("http") && looked.entity(id).is_none());
            wrong.extend(missing.map(|id| format!("{} {property} {id}", entity["@id"])));
        }
    }
    wrong
}

pub fn main_entity(looked: &Crate) -> Value {
    let root = looked.entity(ROOT).cloned().unwrap_or_default();
    let id = refers_to(&root, "mainEntity").pop().unwrap_or_default();
    looked.entity(&id).cloned().unwrap_or_default()
}

pub fn main_types(looked: &Crate) -> Vec<String> {
    let main = main_entity(looked);
    let found = types(&main);
    let all = ["File", "SoftwareSourceCode", "ComputationalWorkflow"];
    unless(all.iter().all(|one| found.contains(one)), format!("{found:?}"))
}

pub fn main_ran(looked: &Crate) -> Vec<String> {
    let main = main_entity(looked);
    let id = main["@id"].as_str().unwrap_or("nothing").to_string();
    let mut actions = looked.entities().filter(|one| is(one, ACTIONS));
    unless(
        actions.any(|action| refers_to(action, "instrument").contains(&id)),
        format!("no action has the instrument {id}"),
    )
}

pub fn how_to(looked: &Crate) -> Vec<String> {
    let workflows = looked.of_type("ComputationalWorkflow").into_iter();
    told(workflows.filter(|one| !refers_to(one, "step").is_empty() && !is(one, &["HowTo"])))
}

pub fn tools_ran(looked: &Crate) -> Vec<String> {
    let ran: BTreeSet<String> = looked
        .entities()
        .filter(|one| is(one, ACTIONS))
        .flat_map(|action| refers_to(action, "instrument"))
        .collect();
    let tools = looked.of_type("ComputationalWorkflow").into_iter();
    let tools = tools.flat_map(|workflow| refers_to(workflow, "hasPart"));
    tools.filter(|tool| !ran.contains(tool)).collect()
}

pub fn idle_tool(metadata: &mut Value) {
    add(
        metadata,
        json!({"@id": "#idle", "@type": "SoftwareApplication", "name": "idle"}),
    );
    edit(metadata, "workflow.json", |one| {
        one["hasPart"]
            .as_array_mut()
            .unwrap()
            .push(json!({"@id": "#idle"}));
    });
}

pub fn positions(looked: &Crate) -> Vec<String> {
    let is_whole = |value: &Value| match value {
        Value::String(text) => text.parse::<i64>().is_ok(),
        Value::Number(number) => number.is_i64() || number.is_u64(),
        other => other.is_null(),
    };
    let steps = looked.of_type("HowToStep").into_iter();
    told(steps.filter(|step| !is_whole(&step["position"])))
}
