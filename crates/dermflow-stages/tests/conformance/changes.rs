//! Other values for the parameters of an example.

use std::collections::BTreeSet;

use dermflow_core::Kind;

/// Keys and indices from the top.
pub type Place = Vec<serde_yaml::Value>;

/// Adds the places of all values that hold no others.
pub fn leaves(value: &serde_yaml::Value, here: &mut Place, found: &mut Vec<Place>) {
    use serde_yaml::Value;
    let children: Vec<(Value, &Value)> = match value {
        Value::Mapping(entries) => entries.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Sequence(elements) => {
            let numbered = elements.iter().enumerate();
            numbered
                .map(|(index, value)| (Value::Number(index.into()), value))
                .collect()
        }
        _ => return found.push(here.clone()),
    };
    for (step, child) in children {
        here.push(step);
        leaves(child, here, found);
        here.pop();
    }
}

/// The value at a place.
pub fn at<'a>(value: &'a serde_yaml::Value, place: &Place) -> &'a serde_yaml::Value {
    place.iter().fold(value, |value, step| match step.as_u64() {
        Some(index) => &value[index as usize],
        None => &value[step],
    })
}

/// The same, to be changed.
pub fn at_mut<'a>(value: &'a mut serde_yaml::Value, place: &Place) -> &'a mut serde_yaml::Value {
    place.iter().fold(value, |value, step| match step.as_u64() {
        Some(index) => &mut value[index as usize],
        None => &mut value[step],
    })
}

/// Other values for a leaf: some of them parse.
pub fn changes(kind: &dyn Kind, leaf: &serde_yaml::Value) -> Vec<serde_yaml::Value> {
    use serde_yaml::Value;
    match leaf {
        Value::Bool(truth) => vec![Value::Bool(!truth)],
        Value::Number(number) => match number.as_i64() {
            Some(integer) => vec![Value::Number((integer + 1).into())],
            None => vec![Value::Number((number.as_f64().unwrap() / 2.0).into())],
        },
        Value::String(text) => {
            let mut changes = vec![Value::String(format!("{text}x")), Value::String("#".to_string())];
            // Names of choices stand in the schema.
            let mut generator = schemars::SchemaGenerator::default();
            let mut schema = serde_json::to_value(kind.schema(&mut generator)).unwrap();
            schema["more"] = serde_json::to_value(generator.definitions()).unwrap();
            let mut names = BTreeSet::new();
            constants(&schema, &mut names);
            changes.extend(names.into_iter().filter(|name| name != text).map(Value::String));
            changes
        }
        _ => Vec::new(),
    }
}

fn constants(schema: &serde_json::Value, names: &mut BTreeSet<String>) {
    match schema {
        serde_json::Value::Object(entries) => {
            for (key, value) in entries {
                match (key.as_str(), value) {
                    ("const", serde_json::Value::String(name)) => drop(names.insert(name.clone())),
                    ("enum", serde_json::Value::Array(all)) => {
                        names.extend(all.iter().filter_map(|name| name.as_str().map(str::to_string)));
                    }
                    _ => constants(value, names),
                }
            }
        }
        serde_json::Value::Array(elements) => elements.iter().for_each(|element| constants(element, names)),
        _ => {}
    }
}
