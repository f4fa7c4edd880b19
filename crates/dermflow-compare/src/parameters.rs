//! [`Differing`]: parameters that are not the same in all groups. Must not know of figures.

use std::collections::BTreeMap;

use dermflow_core::canonical::Value;
use serde::Serialize;

use crate::groups::{Group, settings};
use crate::sides::Side;

/// A parameter, kind, version or source that is not the same in all groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Differing {
    /// Where it stands: `retrain.with.foreground.probability`.
    pub path: String,
    /// What each group has, in their order.
    pub values: Vec<Setting>,
}

/// What a group has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// This value.
    Is(serde_json::Value),
    /// The stage, or this of it, is not there.
    Absent,
}

/// What is not the same in all groups, in order of paths. Where a whole stage is missing only its
/// kind is told.
pub(crate) fn differing(sides: &[Side], groups: &[Group]) -> Vec<Differing> {
    let all: Vec<BTreeMap<String, Value>> = groups
        .iter()
        .filter_map(|group| group.members.first())
        .map(|member| settings(&sides[member.side]))
        .collect();
    let mut paths: Vec<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    paths.sort();
    paths.dedup();
    let stage_of = |path: &str| path.split('.').next().unwrap_or_default().to_string();
    let everywhere = |path: &str| {
        let kind = format!("{}.kind", stage_of(path));
        all.iter().all(|settings| settings.contains_key(&kind))
    };
    paths
        .into_iter()
        .filter(|path| everywhere(path) || path.ends_with(".kind"))
        .filter(|path| {
            all.iter()
                .any(|settings| settings.get(*path) != all[0].get(*path))
        })
        .map(|path| Differing {
            path: path.clone(),
            values: all.iter().map(|settings| setting(settings.get(path))).collect(),
        })
        .collect()
}

fn setting(value: Option<&Value>) -> Setting {
    match value {
        None => Setting::Absent,
        Some(value) => Setting::Is(plain(value)),
    }
}

/// As JSON says it, without the store's marks of types.
fn plain(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Boolean(truth) => (*truth).into(),
        Value::Integer(number) => {
            i64::try_from(*number).map_or_else(|_| number.to_string().into(), Into::into)
        }
        Value::Float(number) => (*number).into(),
        Value::Text(text) => text.clone().into(),
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()).into(),
        Value::List(elements) => elements.iter().map(plain).collect::<Vec<_>>().into(),
        Value::Map(entries) => serde_json::Value::Object(
            entries
                .iter()
                .map(|(key, value)| (key.clone(), plain(value)))
                .collect(),
        ),
        Value::Source => "a source".into(),
    }
}
