//! [`Rule`]: a kind's JSON Schema in a form that is quick to check values against.
//!
//! Only what `schemars` makes of Rust types is known. A keyword that is not is kept by name,
//! so that a test over all kinds finds it: a limit that is silently not checked is worse than none.

use std::collections::HashMap;

use dermflow_core::Kind;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json};

/// The JSON types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Null,
    Boolean,
    Integer,
    Number,
    Text,
    List,
    Map,
}

/// A limit on a number.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub least: Option<f64>,
    pub most: Option<f64>,
    pub above: Option<f64>,
    pub below: Option<f64>,
    pub multiple_of: Option<f64>,
}

/// What a value must be.
#[derive(Debug, Default)]
pub(crate) struct Rule {
    /// Empty means any.
    pub types: Vec<Type>,
    pub choices: Option<Vec<Json>>,
    pub limits: Limits,
    pub letters: (Option<u64>, Option<u64>),
    pub elements: (Option<u64>, Option<u64>),
    pub entries: (Option<u64>, Option<u64>),
    pub unique: bool,
    pub properties: Vec<(String, Rule)>,
    pub property_index: HashMap<String, usize>,
    pub required: Vec<String>,
    pub other_properties: Others,
    pub first_items: Vec<Rule>,
    pub items: Option<Box<Rule>>,
    pub any_of: Vec<Rule>,
    pub all_of: Vec<Rule>,
    /// An index into [`Rules::definitions`].
    pub reference: Option<usize>,
    pub description: Option<String>,
}

/// Properties that are not named.
#[derive(Debug, Default)]
pub(crate) enum Others {
    #[default]
    Allowed,
    Refused,
    Ruled(Box<Rule>),
}

/// The rules of one kind's parameters.
#[derive(Debug)]
pub(crate) struct Rules {
    pub root: Rule,
    pub definitions: Vec<Rule>,
    /// Keywords that are not checked.
    pub unknown_keywords: Vec<String>,
}

impl Rules {
    pub fn of(kind: &dyn Kind) -> Rules {
        let mut generator = SchemaSettings::draft2020_12().into_generator();
        let root = kind.schema(&mut generator).to_value();
        let definitions = generator.take_definitions(true);
        let names = definitions
            .keys()
            .enumerate()
            .map(|(at, name)| (name.clone(), at))
            .collect();
        let mut compiler = Compiler {
            names,
            unknown: Vec::new(),
        };
        let root = compiler.rule(&root);
        let definitions = definitions.values().map(|schema| compiler.rule(schema)).collect();
        let mut unknown_keywords = compiler.unknown;
        unknown_keywords.sort();
        unknown_keywords.dedup();
        Rules {
            root,
            definitions,
            unknown_keywords,
        }
    }
}

struct Compiler {
    names: HashMap<String, usize>,
    unknown: Vec<String>,
}

impl Compiler {
    fn rule(&mut self, schema: &Json) -> Rule {
        let mut rule = Rule::default();
        match schema {
            Json::Object(keywords) => {
                keywords
                    .iter()
                    .for_each(|(keyword, argument)| self.keyword(&mut rule, keyword, argument));
                rule.limit_by_format(keywords);
            }
            Json::Bool(false) => rule.choices = Some(Vec::new()),
            _ => {}
        }
        rule
    }

    fn rules(&mut self, schemas: &Json) -> Vec<Rule> {
        let schemas = schemas.as_array().map(Vec::as_slice).unwrap_or_default();
        schemas.iter().map(|schema| self.rule(schema)).collect()
    }

    fn keyword(&mut self, rule: &mut Rule, keyword: &str, argument: &Json) {
        match keyword {
            "type" => rule.types = types(argument),
            "enum" => rule.choices = argument.as_array().cloned(),
            "const" => rule.choices = Some(vec![argument.clone()]),
            "minimum" => rule.limits.least = argument.as_f64(),
            "maximum" => rule.limits.most = argument.as_f64(),
            "exclusiveMinimum" => rule.limits.above = argument.as_f64(),
            "exclusiveMaximum" => rule.limits.below = argument.as_f64(),
            "multipleOf" => rule.limits.multiple_of = argument.as_f64(),
            "minLength" => rule.letters.0 = argument.as_u64(),
            "maxLength" => rule.letters.1 = argument.as_u64(),
            "minItems" => rule.elements.0 = argument.as_u64(),
            "maxItems" => rule.elements.1 = argument.as_u64(),
            "minProperties" => rule.entries.0 = argument.as_u64(),
            "maxProperties" => rule.entries.1 = argument.as_u64(),
            "uniqueItems" => rule.unique = argument.as_bool() == Some(true),
            "properties" => self.properties(rule, argument),
            "required" => rule.required = texts(argument),
            "additionalProperties" | "unevaluatedProperties" => {
                rule.other_properties = match argument {
                    Json::Bool(true) => Others::Allowed,
                    Json::Bool(false) => Others::Refused,
                    schema => Others::Ruled(Box::new(self.rule(schema))),
                }
            }
            "prefixItems" => rule.first_items = self.rules(argument),
            "items" => rule.items = Some(Box::new(self.rule(argument))),
            "oneOf" | "anyOf" => rule.any_of = self.rules(argument),
            "allOf" => rule.all_of = self.rules(argument),
            "$ref" => rule.reference = self.reference(argument),
            "description" => rule.description = argument.as_str().map(str::to_string),
            "title" | "default" | "examples" | "format" | "$schema" | "deprecated" | "readOnly"
            | "writeOnly" => {}
            other => self.unknown.push(other.to_string()),
        }
    }

    fn properties(&mut self, rule: &mut Rule, argument: &Json) {
        for (name, schema) in argument.as_object().into_iter().flatten() {
            rule.property_index.insert(name.clone(), rule.properties.len());
            rule.properties.push((name.clone(), self.rule(schema)));
        }
    }

    fn reference(&mut self, argument: &Json) -> Option<usize> {
        let name = argument.as_str()?.rsplit('/').next()?;
        self.names.get(name).copied()
    }
}

impl Rule {
    /// A format is a range, for the integers that schemars knows.
    fn limit_by_format(&mut self, keywords: &Map<String, Json>) {
        let (least, most) = match keywords.get("format").and_then(Json::as_str) {
            Some("uint8") => (0.0, f64::from(u8::MAX)),
            Some("uint16") => (0.0, f64::from(u16::MAX)),
            Some("uint32") => (0.0, f64::from(u32::MAX)),
            Some("int8") => (f64::from(i8::MIN), f64::from(i8::MAX)),
            Some("int16") => (f64::from(i16::MIN), f64::from(i16::MAX)),
            Some("int32") => (f64::from(i32::MIN), f64::from(i32::MAX)),
            _ => return,
        };
        let limits = &mut self.limits;
        if limits.above.is_none() {
            limits.least = limits.least.or(Some(least));
        }
        if limits.below.is_none() {
            limits.most = limits.most.or(Some(most));
        }
    }

    pub fn property(&self, name: &str) -> Option<&Rule> {
        self.property_index.get(name).map(|at| &self.properties[*at].1)
    }
}

fn texts(list: &Json) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|text| text.as_str().map(str::to_string))
        .collect()
}

fn types(argument: &Json) -> Vec<Type> {
    let of = |name: &str| match name {
        "null" => Some(Type::Null),
        "boolean" => Some(Type::Boolean),
        "integer" => Some(Type::Integer),
        "number" => Some(Type::Number),
        "string" => Some(Type::Text),
        "array" => Some(Type::List),
        "object" => Some(Type::Map),
        _ => None,
    };
    match argument {
        Json::String(name) => of(name).into_iter().collect(),
        list => texts(list).iter().filter_map(|name| of(name)).collect(),
    }
}

/// The JSON Schema keywords of a kind's parameters that `load` doesn't check. A limit that is
/// written and not enforced would be a trap, so a test over all kinds asks that there are none.
pub fn unchecked_keywords(kind: &dyn Kind) -> Vec<String> {
    Rules::of(kind).unknown_keywords
}
