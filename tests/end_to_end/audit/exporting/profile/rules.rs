//! The rules, by the words of the profiles.

use serde_json::json;

use super::checks::*;
use super::{ACTIONS, DESCRIPTOR, Must, Of, ROOT, Rule, TOOLS, add, each, edit};

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
