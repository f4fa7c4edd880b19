//! The JSON Schema of the whole language, for editors: every kind's parameters with their
//! doc comments.

use dermflow_core::{Kind, Registry};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json, json};

const NAME: &str = "^[A-Za-z][A-Za-z0-9_-]*$";

/// The JSON Schema (draft 2020-12) of a pipeline file that uses these kinds.
pub fn language_schema(registry: &Registry) -> Json {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let choices: Vec<Json> = registry
        .iter()
        .map(|kind| json!({"const": kind.name(), "description": kind.about()}))
        .collect();
    let per_kind: Vec<Json> = registry
        .iter()
        .map(|kind| parameters_of(&mut generator, &**kind))
        .collect();
    let mut definitions = generator.take_definitions(true);
    definitions.values_mut().for_each(allow_references);
    definitions.insert("reference".to_string(), reference());
    definitions.insert("stage".to_string(), stage(choices, per_kind));
    definitions.insert("wire".to_string(), wire());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dermflow pipeline",
        "description": "A pipeline: stages, what is wired to what, and variants of it.",
        "type": "object",
        "properties": properties(),
        "patternProperties": {"^x-": {"description": "A place for anchors; otherwise ignored."}},
        "additionalProperties": false,
        "$defs": definitions,
    })
}

fn properties() -> Json {
    json!({
        "name": {"type": "string", "pattern": NAME, "description": "The pipeline's name; results lie in a folder of this name. Default: the name of the file."},
        "description": {"type": "string", "description": "What it is for."},
        "seed": {"description": "Where random kinds start from. Default: 0.", "anyOf": [{"type": "integer", "minimum": 0}, {"$ref": "#/$defs/reference"}]},
        "salt": {"type": ["string", "number", "null"], "description": "Any text; changing it disowns earlier results of all stages."},
        "params": named("Values to use as `${name}`, and to change in variants or by `--set name=value`.", json!(true)),
        "include": {
            "description": "Files whose stages, params, variants, matrices and outputs belong to this pipeline; relative to this file. Their params, seed and salt are defaults: what this file says instead counts.",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}],
        },
        "stages": named("The steps, by name.", json!({"$ref": "#/$defs/stage"})),
        "variants": named(
            "Named changes: `param: value`, `stages.NAME.with.PARAMETER: value`, or `stages.NAME: {kind: …, in: …}` for a stage more or another in its place; null removes a stage.",
            json!({"type": ["object", "null"]}),
        ),
        "matrix": named(
            "Named sweeps: every combination of the lists is a pipeline of its own. The list `variant` has names of variants, and `base` for none.",
            json!({"type": "object", "minProperties": 1, "additionalProperties": {"type": "array", "minItems": 1}}),
        ),
        "outputs": named("The results to keep for people: `name: stage.port`.", json!({"type": "string"})),
    })
}

fn named(description: &str, value: Json) -> Json {
    json!({
        "description": description,
        "type": ["object", "null"],
        "propertyNames": {"pattern": NAME},
        "additionalProperties": value,
    })
}

fn reference() -> Json {
    json!({"type": "string", "pattern": "\\$\\{", "description": "`${name}` puts in the value of a param."})
}

fn wire() -> Json {
    json!({"type": "string", "description": "`stage.port`, or `stage` where one output fits."})
}

fn stage(choices: Vec<Json>, per_kind: Vec<Json>) -> Json {
    let wires = json!({"anyOf": [
        {"$ref": "#/$defs/wire"},
        {"type": "array", "items": {"$ref": "#/$defs/wire"}},
        {"type": "null"},
    ]});
    json!({
        "type": "object",
        "properties": {
            "kind": {"description": "The type of step.", "anyOf": [{"oneOf": choices}, {"$ref": "#/$defs/reference"}]},
            "description": {"type": "string", "description": "What it is for."},
            "in": {
                "description": "What is wired to each input port: `port: stage.port`.",
                "anyOf": [{"type": "object", "additionalProperties": wires}, wires],
            },
            "with": {"description": "The kind's parameters."},
            "seed": {"description": "Where this stage starts from, instead of the pipeline's seed.", "anyOf": [{"type": "integer", "minimum": 0}, {"$ref": "#/$defs/reference"}]},
            "salt": {"type": ["string", "number", "null"], "description": "Any text; changing it disowns earlier results of this stage."},
        },
        "required": ["kind"],
        "additionalProperties": false,
        "allOf": per_kind,
    })
}

/// `with` for one kind.
fn parameters_of(generator: &mut SchemaGenerator, kind: &dyn Kind) -> Json {
    let mut with = kind.schema(generator).to_value();
    allow_references(&mut with);
    let required = with
        .get("required")
        .and_then(Json::as_array)
        .is_some_and(|required| !required.is_empty());
    let needed = if required { json!(["with"]) } else { json!([]) };
    let with = if required {
        with
    } else {
        json!({"anyOf": [with, {"type": "null"}]})
    };
    json!({
        "if": {"properties": {"kind": {"const": kind.name()}}, "required": ["kind"]},
        "then": {"properties": {"with": with}, "required": needed},
    })
}

/// Lets `${name}` stand wherever a value that is no text may: the typed check comes after it
/// is replaced.
fn allow_references(schema: &mut Json) {
    let Json::Object(keywords) = schema else { return };
    for (keyword, argument) in keywords.iter_mut() {
        match keyword.as_str() {
            "properties" => argument
                .as_object_mut()
                .into_iter()
                .flatten()
                .for_each(|(_, schema)| allow_here(schema)),
            "items" | "additionalProperties" => allow_here(argument),
            "prefixItems" => argument.as_array_mut().into_iter().flatten().for_each(allow_here),
            "oneOf" | "anyOf" | "allOf" => argument
                .as_array_mut()
                .into_iter()
                .flatten()
                .for_each(allow_references),
            _ => {}
        }
    }
}

fn allow_here(schema: &mut Json) {
    allow_references(schema);
    let Json::Object(keywords) = schema else { return };
    let free_text =
        keywords.get("type").and_then(Json::as_str) == Some("string") && !keywords.contains_key("enum");
    if free_text || keywords.contains_key("const") || keywords.is_empty() {
        return;
    }
    // What editors show stays outside.
    let mut outer = Map::new();
    for shown in ["description", "default", "title", "examples"] {
        if let Some(value) = keywords.remove(shown) {
            outer.insert(shown.to_string(), value);
        }
    }
    let inner = std::mem::take(keywords);
    outer.insert("anyOf".to_string(), json!([inner, {"$ref": "#/$defs/reference"}]));
    *keywords = outer;
}
