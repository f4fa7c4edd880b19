//! The rules of RO-Crate 1.1 and of the profiles that a crate of ours claims, each by the words of
//! its MUST, and each with crates that break it.
//!
//! No JSON schema of these profiles is published. What is: their text, and the shapes of
//! `rocrate-validator`, which `benches/peers/lineage.py` runs. The words here are theirs. Rules
//! about what our crates don't have (containers, parameter connections, resource usage) are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

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

const fn refers(of: Of, by: &'static str, to: &'static [&'static str]) -> Rule {
    Rule::Refers {
        of,
        by,
        to,
        required: true,
    }
}

const fn may_refer(of: Of, by: &'static str, to: &'static [&'static str]) -> Rule {
    Rule::Refers {
        of,
        by,
        to,
        required: false,
    }
}

const fn has(of: Of, property: &'static str) -> Rule {
    Rule::Has { of, property }
}

const WORKFLOW: Of = Of::Type(&["ComputationalWorkflow"]);

/// All of them.
#[rustfmt::skip]
pub const RULES: &[Must] = &[
    ("RO-Crate 1.1", "RO-Crate JSON-LD MUST use the value `https://w3id.org/ro/crate/1.1/context` as @context",
        Rule::Other { wrong: context, broken: |crate_| crate_["@context"] = json!("https://schema.org") }),
    ("RO-Crate 1.1", "JSON-LD MUST be flattened, with each entity directly in the @graph array, with @id and @type",
        Rule::Other { wrong: flat, broken: |crate_| crate_["@graph"][1]["name"] = json!({"@type": "Thing", "name": "nested"}) }),
    ("RO-Crate 1.1", "the RO-Crate metadata file descriptor MUST be a CreativeWork",
        Rule::Other { wrong: descriptor, broken: |crate_| edit(crate_, DESCRIPTOR, |one| one["@type"] = json!("File")) }),
    ("RO-Crate 1.1", "the metadata file descriptor MUST have an `about` property referencing the Root Data Entity",
        refers(Of::Id(DESCRIPTOR), "about", &["Dataset"])),
    ("RO-Crate 1.1", "the metadata file descriptor MUST have a `conformsTo` with the RO-Crate specification version",
        Rule::Other { wrong: version, broken: |crate_| edit(crate_, DESCRIPTOR, |one| one["conformsTo"] = json!({"@id": "https://w3id.org/ro/crate/9"})) }),
    ("RO-Crate 1.1", "the Root Data Entity MUST be a Dataset, and its @id MUST end with `/`",
        Rule::Other { wrong: root_type, broken: |crate_| edit(crate_, ROOT, |one| one["@type"] = json!("Thing")) }),
    ("RO-Crate 1.1", "the Root Data Entity MUST have a `name`", has(Of::Id(ROOT), "name")),
    ("RO-Crate 1.1", "the Root Data Entity MUST have a `description`", has(Of::Id(ROOT), "description")),
    ("RO-Crate 1.1", "the Root Data Entity MUST have a `license`", has(Of::Id(ROOT), "license")),
    ("RO-Crate 1.1", "`datePublished` MUST be a string in ISO 8601 date format",
        Rule::Other { wrong: dated, broken: |crate_| edit(crate_, ROOT, |one| one["datePublished"] = json!("yesterday")) }),
    ("RO-Crate 1.1", "the Root Data Entity MUST be linked to File or Directory instances",
        refers(Of::Id(ROOT), "hasPart", &["File", "Dataset"])),
    ("RO-Crate 1.1", "data entities MUST be linked to from the Root Data Entity through `hasPart`, directly or indirectly",
        Rule::Other { wrong: linked, broken: |crate_| add(crate_, json!({"@id": "stray.csv", "@type": "File"})) }),
    ("RO-Crate 1.1", "@id MUST be a valid URI Reference, special characters %-encoded",
        Rule::Other { wrong: addresses, broken: |crate_| add(crate_, json!({"@id": "#a b", "@type": "Thing"})) }),
    ("RO-Crate 1.1", "files of the payload are there by their relative path",
        Rule::Other { wrong: payload, broken: |crate_| add(crate_, json!({"@id": "data/none.csv", "@type": "File"})) }),
    ("RO-Crate 1.1", "what is referred to by a local @id is described",
        Rule::Other { wrong: described, broken: |crate_| edit(crate_, ROOT, |one| one["author"] = json!({"@id": "#nobody"})) }),

    ("Process Run Crate 0.5", "the Root Data Entity MUST reference a CreativeWork whose @id is the profile's versioned permalink",
        Rule::Conforms("https://w3id.org/ro/wfrun/process/")),
    ("Process Run Crate 0.5", "the Action MUST have an `instrument` that references the executed tool",
        refers(Of::Type(ACTIONS), "instrument", TOOLS)),

    ("Workflow RO-Crate 1.0", "the Main Workflow MUST be specified through `mainEntity` of the root",
        refers(Of::Id(ROOT), "mainEntity", &["ComputationalWorkflow"])),
    ("Workflow RO-Crate 1.0", "the Main Workflow MUST have types File, SoftwareSourceCode and ComputationalWorkflow",
        Rule::Other { wrong: main_types, broken: |crate_| edit(crate_, "workflow.json", |one| one["@type"] = json!(["ComputationalWorkflow", "HowTo"])) }),
    ("Workflow RO-Crate 1.0", "the Main Workflow MUST refer to its language via `programmingLanguage`",
        refers(WORKFLOW, "programmingLanguage", &["ComputerLanguage"])),

    ("Workflow Run Crate 0.5", "the Root Data Entity MUST reference a CreativeWork whose @id is the profile's versioned permalink",
        Rule::Conforms("https://w3id.org/ro/wfrun/workflow/")),
    ("Workflow Run Crate 0.5", "at least one Action MUST reference the root's `mainEntity` as its `instrument`",
        Rule::Other { wrong: main_ran, broken: |crate_| edit(crate_, "#run", |one| one["instrument"] = json!({"@id": "#engine"})) }),
    ("Workflow Run Crate 0.5", "ComputationalWorkflow `input` MUST point to FormalParameter entities",
        may_refer(WORKFLOW, "input", &["FormalParameter"])),
    ("Workflow Run Crate 0.5", "ComputationalWorkflow `output` MUST point to FormalParameter entities",
        may_refer(WORKFLOW, "output", &["FormalParameter"])),
    ("Workflow Run Crate 0.5", "FormalParameter MUST have an `additionalType`",
        has(Of::Type(&["FormalParameter"]), "additionalType")),
    ("Workflow Run Crate 0.5", "FormalParameter MUST refer to a data entity or PropertyValue via `workExample`",
        may_refer(Of::Type(&["FormalParameter"]), "workExample", &["File", "Dataset", "Collection", "PropertyValue"])),

    ("Provenance Run Crate 0.5", "the Root Data Entity MUST reference a CreativeWork whose @id is the profile's versioned permalink",
        Rule::Conforms("https://w3id.org/ro/wfrun/provenance/")),
    ("Provenance Run Crate 0.5", "ComputationalWorkflow MUST refer to orchestrated tools via `hasPart`",
        refers(WORKFLOW, "hasPart", TOOLS)),
    ("Provenance Run Crate 0.5", "a ComputationalWorkflow that links to steps MUST have the HowTo type",
        Rule::Other { wrong: how_to, broken: |crate_| edit(crate_, "workflow.json", |one| one["@type"] = json!(["File", "SoftwareSourceCode", "ComputationalWorkflow"])) }),
    ("Provenance Run Crate 0.5", "a tool MUST be referred to from an action via `instrument`",
        Rule::Other { wrong: tools_ran, broken: idle_tool }),
    ("Provenance Run Crate 0.5", "a HowToStep MUST be referred to from a ComputationalWorkflow via `step`",
        Rule::IsReferred { of: Of::Type(&["HowToStep"]), by: "step", from: "ComputationalWorkflow" }),
    ("Provenance Run Crate 0.5", "a HowToStep MUST refer to its corresponding tool via `workExample`",
        refers(Of::Type(&["HowToStep"]), "workExample", TOOLS)),
    ("Provenance Run Crate 0.5", "`position` MUST be an integer or a string representing an integer",
        Rule::Other { wrong: positions, broken: |crate_| each(crate_, "HowToStep", |one| one["position"] = json!("first")) }),
    ("Provenance Run Crate 0.5", "a ControlAction MUST reference its HowToStep via `instrument`",
        refers(Of::Type(&["ControlAction"]), "instrument", &["HowToStep"])),
    ("Provenance Run Crate 0.5", "a ControlAction MUST reference the action of the tool run via `object`",
        refers(Of::Type(&["ControlAction"]), "object", ACTIONS)),
    ("Provenance Run Crate 0.5", "an OrganizeAction MUST reference the workflow engine via `instrument`",
        refers(Of::Type(&["OrganizeAction"]), "instrument", TOOLS)),
    ("Provenance Run Crate 0.5", "an OrganizeAction MUST reference the action of the workflow run via `result`",
        refers(Of::Type(&["OrganizeAction"]), "result", ACTIONS)),
    ("Provenance Run Crate 0.5", "an OrganizeAction MUST reference the ControlActions of the steps via `object`",
        refers(Of::Type(&["OrganizeAction"]), "object", &["ControlAction"])),
];

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

fn context(looked: &Crate) -> Vec<String> {
    let context = &looked.metadata["@context"];
    let first = context.get(0).unwrap_or(context);
    unless(
        first == "https://w3id.org/ro/crate/1.1/context",
        context.to_string(),
    )
}

fn flat(looked: &Crate) -> Vec<String> {
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

fn descriptor(looked: &Crate) -> Vec<String> {
    let found = looked.entity(DESCRIPTOR).map(types);
    unless(found == Some(vec!["CreativeWork"]), format!("{found:?}"))
}

fn version(looked: &Crate) -> Vec<String> {
    let descriptor = looked.entity(DESCRIPTOR).cloned().unwrap_or_default();
    let claims = refers_to(&descriptor, "conformsTo");
    unless(
        claims.iter().any(|id| id == "https://w3id.org/ro/crate/1.1"),
        format!("{claims:?}"),
    )
}

fn root_type(looked: &Crate) -> Vec<String> {
    let found = looked.entity(ROOT).map(types);
    unless(found == Some(vec!["Dataset"]), format!("{found:?}"))
}

fn dated(looked: &Crate) -> Vec<String> {
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
fn data_entities(looked: &Crate) -> Vec<&Value> {
    let all = looked.entities().filter(|one| is(one, &["File", "Dataset"]));
    all.filter(|one| one["@id"] != ROOT).collect()
}

fn linked(looked: &Crate) -> Vec<String> {
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

fn addresses(looked: &Crate) -> Vec<String> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(letter);
    let ids = looked.entities().filter_map(|one| one["@id"].as_str());
    ids.filter(|id| !id.chars().all(allowed))
        .map(str::to_string)
        .collect()
}

fn payload(looked: &Crate) -> Vec<String> {
    let ids = data_entities(looked)
        .into_iter()
        .filter_map(|one| one["@id"].as_str());
    ids.filter(|id| !id.starts_with('#') && !looked.folder.join(id).exists())
        .map(str::to_string)
        .collect()
}

fn described(looked: &Crate) -> Vec<String> {
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

fn main_entity(looked: &Crate) -> Value {
    let root = looked.entity(ROOT).cloned().unwrap_or_default();
    let id = refers_to(&root, "mainEntity").pop().unwrap_or_default();
    looked.entity(&id).cloned().unwrap_or_default()
}

fn main_types(looked: &Crate) -> Vec<String> {
    let main = main_entity(looked);
    let found = types(&main);
    let all = ["File", "SoftwareSourceCode", "ComputationalWorkflow"];
    unless(all.iter().all(|one| found.contains(one)), format!("{found:?}"))
}

fn main_ran(looked: &Crate) -> Vec<String> {
    let main = main_entity(looked);
    let id = main["@id"].as_str().unwrap_or("nothing").to_string();
    let mut actions = looked.entities().filter(|one| is(one, ACTIONS));
    unless(
        actions.any(|action| refers_to(action, "instrument").contains(&id)),
        format!("no action has the instrument {id}"),
    )
}

fn how_to(looked: &Crate) -> Vec<String> {
    let workflows = looked.of_type("ComputationalWorkflow").into_iter();
    told(workflows.filter(|one| !refers_to(one, "step").is_empty() && !is(one, &["HowTo"])))
}

fn tools_ran(looked: &Crate) -> Vec<String> {
    let ran: BTreeSet<String> = looked
        .entities()
        .filter(|one| is(one, ACTIONS))
        .flat_map(|action| refers_to(action, "instrument"))
        .collect();
    let tools = looked.of_type("ComputationalWorkflow").into_iter();
    let tools = tools.flat_map(|workflow| refers_to(workflow, "hasPart"));
    tools.filter(|tool| !ran.contains(tool)).collect()
}

fn idle_tool(metadata: &mut Value) {
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

fn positions(looked: &Crate) -> Vec<String> {
    let is_whole = |value: &Value| match value {
        Value::String(text) => text.parse::<i64>().is_ok(),
        Value::Number(number) => number.is_i64() || number.is_u64(),
        other => other.is_null(),
    };
    let steps = looked.of_type("HowToStep").into_iter();
    told(steps.filter(|step| !is_whole(&step["position"])))
}

/// Every entity by its id.
pub fn by_id(looked: &Crate) -> BTreeMap<String, &Value> {
    let all = looked.entities();
    all.map(|one| (one["@id"].as_str().unwrap_or_default().to_string(), one))
        .collect()
}
