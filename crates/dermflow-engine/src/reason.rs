//! [`Reason`]: why a stage has no result in the store, in words that a person can act on.
//!
//! Reasons come from comparing two manifests: the one at hand, and that of the stage's last
//! result. Since a manifest is all that a key covers, no reason can be missing.

use std::collections::BTreeMap;
use std::fmt;

use dermflow_core::canonical::Value;
use dermflow_core::{InputDigest, Manifest, SourceDigest};
use dermflow_graph::Stage;
use serde::{Serialize, Serializer};

/// One cause of a rerun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No earlier result of this stage is known.
    NeverRun,
    /// The stage's kind is another one.
    Kind(String, String),
    /// The kind computes something else now.
    Version(u32, u32),
    /// A parameter changed.
    Parameter {
        /// Its path below `with`.
        path: String,
        /// Before; `None` where it was absent.
        from: Option<String>,
        /// Now.
        to: Option<String>,
        /// Where it is written.
        place: Option<String>,
    },
    /// The seed changed.
    Seed(Option<u64>, Option<u64>),
    /// The salt changed.
    Salt,
    /// The external program changed.
    Tool,
    /// Samples were forgotten, and rows enter here.
    Forgotten,
    /// A source changed, in words.
    Source(String, String),
    /// The content of an input changed.
    Input {
        /// The port.
        port: String,
        /// What changed of it.
        change: String,
    },
    /// An input is not computed yet; if its content stays, this stage is a hit.
    Waits {
        /// The port.
        port: String,
        /// The stage it comes from.
        stage: String,
    },
    /// The result was there, and a file of it is gone or damaged.
    Incomplete(String),
    /// The user asked for it.
    Forced,
    /// The last result had these very inputs, but its record is gone.
    RecordGone,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NeverRun => f.write_str("never run"),
            Reason::Kind(from, to) => write!(f, "kind {from} -> {to}"),
            Reason::Version(from, to) => write!(f, "kind version {from} -> {to}"),
            Reason::Parameter {
                path,
                from,
                to,
                place,
            } => {
                let show = |value: &Option<String>| value.clone().unwrap_or_else(|| "(absent)".to_string());
                write!(f, "{path}: {} -> {}", show(from), show(to))?;
                match place {
                    Some(place) => write!(f, " ({place})"),
                    None => Ok(()),
                }
            }
            Reason::Seed(from, to) => {
                let show = |seed: &Option<u64>| seed.map_or("none".to_string(), |seed| seed.to_string());
                write!(f, "seed {} -> {}", show(from), show(to))
            }
            Reason::Salt => f.write_str("salt changed"),
            Reason::Tool => f.write_str("the program that it runs changed"),
            Reason::Forgotten => f.write_str("samples were forgotten"),
            Reason::Source(parameter, change) => write!(f, "source `{parameter}`: {change}"),
            Reason::Input { port, change } => write!(f, "{port}{change}"),
            Reason::Waits { port, stage } => write!(f, "{port}: `{stage}` runs first"),
            Reason::Incomplete(what) => write!(f, "its result is incomplete: {what}"),
            Reason::Forced => f.write_str("forced"),
            Reason::RecordGone => f.write_str("its last result is no longer in the store"),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How an input's change is told: given port and position, or `None` for the plain columns.
pub type DescribeInput<'a> = dyn Fn(&str, usize) -> Option<String> + 'a;

/// How a source's change is told, given the parameter.
pub type DescribeSource<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Every difference between the manifest of the last result and the one at hand.
pub fn differences(
    before: &Manifest,
    now: &Manifest,
    stage: &Stage,
    describe_input: &DescribeInput<'_>,
    describe_source: &DescribeSource<'_>,
) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if before.kind != now.kind {
        return vec![Reason::Kind(before.kind.clone(), now.kind.clone())];
    }
    if before.version != now.version {
        reasons.push(Reason::Version(before.version, now.version));
    }
    parameters(
        "",
        Some(&before.parameters),
        Some(&now.parameters),
        &mut |path, from, to| {
            let place = Some(stage.place_of(path).to_string());
            let (path, from, to) = (path.to_string(), from.map(show), to.map(show));
            reasons.push(Reason::Parameter {
                path,
                from,
                to,
                place,
            });
        },
    );
    if before.seed != now.seed {
        reasons.push(Reason::Seed(before.seed, now.seed));
    }
    if before.salt != now.salt {
        reasons.push(Reason::Salt);
    }
    if before.tool != now.tool {
        reasons.push(Reason::Tool);
    }
    for parameter in both_keys(&before.sources, &now.sources) {
        let (from, to) = (before.sources.get(parameter), now.sources.get(parameter));
        if from != to && parameter == crate::action::FORGOTTEN_SOURCE {
            reasons.push(Reason::Forgotten);
        } else if from != to {
            let change = describe_source(parameter).unwrap_or_else(|| source_change(from, to));
            reasons.push(Reason::Source(parameter.clone(), change));
        }
    }
    for port in both_keys(&before.inputs, &now.inputs) {
        inputs(
            port,
            before.inputs.get(port),
            now.inputs.get(port),
            describe_input,
            &mut reasons,
        );
    }
    reasons
}

fn both_keys<'a, T>(a: &'a BTreeMap<String, T>, b: &'a BTreeMap<String, T>) -> Vec<&'a String> {
    let more = b.keys().filter(|key| !a.contains_key(*key));
    let mut keys: Vec<&String> = a.keys().chain(more).collect();
    keys.sort();
    keys
}

/// Walks two parameter values and tells each leaf that differs.
fn parameters(
    path: &str,
    before: Option<&Value>,
    now: Option<&Value>,
    tell: &mut impl FnMut(&str, Option<&Value>, Option<&Value>),
) {
    match (before, now) {
        (Some(before), Some(now)) if before == now => {}
        (Some(Value::Map(before)), Some(Value::Map(now))) => {
            for key in both_keys(before, now) {
                let below = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                parameters(&below, before.get(key), now.get(key), tell);
            }
        }
        (Some(Value::List(before)), Some(Value::List(now))) if before.len() == now.len() => {
            for (at, (before, now)) in before.iter().zip(now).enumerate() {
                parameters(&format!("{path}.{at}"), Some(before), Some(now), tell);
            }
        }
        _ => tell(path, before, now),
    }
}

/// A parameter value in one short line.
fn show(value: &Value) -> String {
    let text = match value {
        Value::Text(text) => text.clone(),
        Value::Source => "(a source)".to_string(),
        other => serde_json::to_string(other).unwrap_or_default(),
    };
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn source_change(before: Option<&SourceDigest>, now: Option<&SourceDigest>) -> String {
    match (before, now) {
        (Some(SourceDigest::File { name: a, .. }), Some(SourceDigest::File { name: b, .. })) if a != b => {
            format!("file `{a}` -> `{b}`")
        }
        (Some(SourceDigest::File { name, .. }), Some(SourceDigest::File { .. })) => {
            format!("the content of `{name}` changed")
        }
        (Some(SourceDigest::Folder { files: a, .. }), Some(SourceDigest::Folder { files: b, .. })) => {
            format!("its files changed ({a} before, {b} now)")
        }
        (None, _) => "added".to_string(),
        (_, None) => "removed".to_string(),
        _ => "a file became a folder, or the other way round".to_string(),
    }
}

fn inputs(
    port: &str,
    before: Option<&Vec<InputDigest>>,
    now: Option<&Vec<InputDigest>>,
    describe: &DescribeInput<'_>,
    reasons: &mut Vec<Reason>,
) {
    let mut push = |change: String| {
        reasons.push(Reason::Input {
            port: port.to_string(),
            change,
        });
    };
    let (before, now) = match (before, now) {
        (Some(before), Some(now)) => (before, now),
        (None, _) => return push(": wired now".to_string()),
        (_, None) => return push(": no longer wired".to_string()),
    };
    if before.len() != now.len() {
        return push(format!(": {} inputs -> {}", before.len(), now.len()));
    }
    let single = now.len() == 1;
    for (at, (before, now)) in before.iter().zip(now).enumerate() {
        if before == now {
            continue;
        }
        let which = if single { String::new() } else { format!("[{at}]") };
        let change = describe(port, at).unwrap_or_else(|| input_change(before, now));
        push(format!("{which}{change}"));
    }
}

/// The columns whose digests differ.
pub(crate) fn changed_columns(before: &InputDigest, now: &InputDigest) -> Vec<String> {
    match (before, now) {
        (InputDigest::Table(before), InputDigest::Table(now)) => both_keys(before, now)
            .into_iter()
            .filter(|column| before.get(*column) != now.get(*column))
            .cloned()
            .collect(),
        _ => Vec::new(),
    }
}

fn input_change(before: &InputDigest, now: &InputDigest) -> String {
    match (before, now) {
        (InputDigest::Table(_), InputDigest::Table(_)) => {
            let columns = changed_columns(before, now);
            format!(".{}: content changed", columns.join(", "))
        }
        (InputDigest::Model(_), InputDigest::Model(_)) => ": another model".to_string(),
        (InputDigest::Files(_), InputDigest::Files(_)) => ": files changed".to_string(),
        _ => ": another sort of artifact".to_string(),
    }
}
