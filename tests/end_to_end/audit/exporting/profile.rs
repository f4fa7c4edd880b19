//! The rules of RO-Crate 1.1 and of the profiles that a crate of ours claims, each by the words of
//! its MUST, and each with crates that break it.
//!
//! No JSON schema of these profiles is published. What is: their text, and the shapes of
//! `rocrate-validator`, which `benches/peers/lineage.py` runs. The words here are theirs. Rules
//! about what our crates don't have (containers, parameter connections, resource usage) are left out.

mod checks;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

pub use rules::RULES;

const ROOT: &str = "./";
const DESCRIPTOR: &str = "ro-crate-metadata.json";
const TOOLS: &[&str] = &[
    "SoftwareApplication",
    "SoftwareSourceCode",
    "ComputationalWorkflow",
];
const ACTIONS: &[&str] = &["CreateAction", "ActivateAction", "UpdateAction"];

/// A crate as it was written, or as a test broke it.
pub struct Crate {
    pub metadata: Value,
    pub folder: PathBuf,
}

/// Which entities a rule is about.
pub enum Of {
    Id(&'static str),
    Type(&'static [&'static str]),
}

/// A rule.
pub enum Rule {
    /// Each of them has the property.
    Has { of: Of, property: &'static str },
    /// What the property refers to is of one of the types; with `required`, it refers to something.
    Refers {
        of: Of,
        by: &'static str,
        to: &'static [&'static str],
        required: bool,
    },
    /// Each of them is referred to, from something of this type.
    IsReferred {
        of: Of,
        by: &'static str,
        from: &'static str,
    },
    /// The root conforms to an entity whose address starts so.
    Conforms(&'static str),
    /// Something else: what is wrong, and how to break it.
    Other {
        wrong: fn(&Crate) -> Vec<String>,
        broken: fn(&mut Value),
    },
}

/// Where a rule stands, its words, and the rule.
pub type Must = (&'static str, &'static str, Rule);

impl Crate {
    pub fn read(folder: &Path) -> Crate {
        let text = std::fs::read_to_string(folder.join(DESCRIPTOR)).unwrap();
        Crate {
            metadata: serde_json::from_str(&text).unwrap(),
            folder: folder.to_path_buf(),
        }
    }

    fn entities(&self) -> impl Iterator<Item = &Value> {
        self.metadata["@graph"].as_array().into_iter().flatten()
    }

    pub fn entity(&self, id: &str) -> Option<&Value> {
        self.entities().find(|entity| entity["@id"] == id)
    }

    fn of(&self, of: &Of) -> Vec<&Value> {
        let wanted = |entity: &&Value| match of {
            Of::Id(id) => entity["@id"] == *id,
            Of::Type(types) => is(entity, types),
        };
        self.entities().filter(wanted).collect()
    }

    pub fn of_type(&self, wanted: &'static str) -> Vec<&Value> {
        self.entities().filter(|entity| is(entity, &[wanted])).collect()
    }
}

pub fn types(entity: &Value) -> Vec<&str> {
    match &entity["@type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is(entity: &Value, wanted: &[&str]) -> bool {
    types(entity).iter().any(|one| wanted.contains(one))
}

/// The ids that a property refers to.
pub fn refers_to(entity: &Value, property: &str) -> Vec<String> {
    let ids = |value: &Value| value["@id"].as_str().map(str::to_string);
    match &entity[property] {
        Value::Array(all) => all.iter().filter_map(ids).collect(),
        one => ids(one).into_iter().collect(),
    }
}

impl Rule {
    /// What of a crate breaks it.
    pub fn wrong(&self, looked: &Crate) -> Vec<String> {
        match self {
            Rule::Has { of, property } => {
                told(looked.of(of).into_iter().filter(|one| one[*property].is_null()))
            }
            Rule::Refers { of, by, to, required } => told(looked.of(of).into_iter().filter(|one| {
                let ids = refers_to(one, by);
                let fits = |id: &String| looked.entity(id).is_some_and(|entity| is(entity, to));
                (*required && ids.is_empty()) || !ids.iter().all(fits)
            })),
            Rule::IsReferred { of, by, from } => {
                let referred: BTreeSet<String> = looked
                    .of_type(from)
                    .into_iter()
                    .flat_map(|one| refers_to(one, by))
                    .collect();
                let left = looked.of(of).into_iter();
                told(left.filter(|one| !referred.contains(one["@id"].as_str().unwrap_or_default())))
            }
            Rule::Conforms(start) => {
                let root = looked.entity(ROOT).cloned().unwrap_or_default();
                let claims = refers_to(&root, "conformsTo");
                let fits = |id: &&String| {
                    let described = looked
                        .entity(id)
                        .is_some_and(|entity| is(entity, &["CreativeWork"]));
                    id.starts_with(start) && described
                };
                match claims.iter().find(fits) {
                    Some(_) => Vec::new(),
                    None => vec![format!("the root conforms to {claims:?}")],
                }
            }
            Rule::Other { wrong, .. } => wrong(looked),
        }
    }

    /// The metadata with this rule broken, in each way that it can be.
    pub fn broken(&self, sound: &Crate) -> Vec<Value> {
        let first = |of: &Of| sound.of(of)[0]["@id"].as_str().unwrap().to_string();
        let edited = |id: &str, change: &dyn Fn(&mut Value)| {
            let mut metadata = sound.metadata.clone();
            edit(&mut metadata, id, change);
            metadata
        };
        match self {
            Rule::Has { of, property } => vec![edited(&first(of), &|one| one[*property] = Value::Null)],
            Rule::Refers { of, by, required, .. } => {
                // The descriptor is of no type that a rule asks for.
                let elsewhere = json!({"@id": DESCRIPTOR});
                let mut all = vec![edited(&first(of), &|one| one[*by] = elsewhere.clone())];
                if *required {
                    all.push(edited(&first(of), &|one| one[*by] = Value::Null));
                }
                all
            }
            Rule::IsReferred { by, from, .. } => {
                let mut metadata = sound.metadata.clone();
                each(&mut metadata, from, |one| one[*by] = Value::Null);
                vec![metadata]
            }
            Rule::Conforms(start) => {
                let mut unclaimed = sound.metadata.clone();
                edit(&mut unclaimed, ROOT, |one| {
                    let claims = one["conformsTo"].as_array_mut().unwrap();
                    claims.retain(|claim| !claim["@id"].as_str().unwrap().starts_with(start));
                });
                let mut undescribed = sound.metadata.clone();
                let graph = undescribed["@graph"].as_array_mut().unwrap();
                graph.retain(|entity| !entity["@id"].as_str().unwrap().starts_with(start));
                vec![unclaimed, undescribed]
            }
            Rule::Other { broken, .. } => {
                let mut metadata = sound.metadata.clone();
                broken(&mut metadata);
                vec![metadata]
            }
        }
    }
}

fn told<'a>(entities: impl Iterator<Item = &'a Value>) -> Vec<String> {
    entities.map(|entity| entity.to_string()).collect()
}

fn edit(metadata: &mut Value, id: &str, change: impl Fn(&mut Value)) {
    let graph = metadata["@graph"].as_array_mut().unwrap();
    change(graph.iter_mut().find(|entity| entity["@id"] == id).unwrap());
}

fn each(metadata: &mut Value, wanted: &str, change: impl Fn(&mut Value)) {
    let graph = metadata["@graph"].as_array_mut().unwrap();
    graph
        .iter_mut()
        .filter(|entity| is(entity, &[wanted]))
        .for_each(change);
}

fn add(metadata: &mut Value, entity: Value) {
    metadata["@graph"].as_array_mut().unwrap().push(entity);
}

/// A sentence where something doesn't hold.
fn unless(holds: bool, sentence: impl Into<String>) -> Vec<String> {
    match holds {
        true => Vec::new(),
        false => vec![sentence.into()],
    }
}

/// Every entity by its id.
pub fn by_id(looked: &Crate) -> BTreeMap<String, &Value> {
    let all = looked.entities();
    all.map(|one| (one["@id"].as_str().unwrap_or_default().to_string(), one))
        .collect()
}
