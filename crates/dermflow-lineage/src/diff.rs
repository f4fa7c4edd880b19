//! [`Difference`]: why two artifacts, runs or variants differ.
//!
//! Two actions are compared manifest by manifest, and where their inputs differ, the actions
//! behind those: the first differences are the causes, everything after them follows.

mod figures;
mod sides;

use std::collections::{BTreeMap, BTreeSet};

use dermflow_core::canonical::Value;
use dermflow_core::{Ancestor, Artifact, Digest, InputDigest, Key, Manifest, SourceDigest, StageError};
use serde::Serialize;

pub use figures::{Figure, figures};
pub use sides::Side;

use crate::graph::Graph;
use crate::records::Records;

/// One thing that differs between two manifests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// What: `kind`, `version`, `seed`, `salt`, `program`, `with.epochs`, `source path`,
    /// `input samples`.
    pub what: String,
    /// On the first side; absent where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// On the second side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Two actions that differ, and in what.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// What people call the first.
    pub stage: String,
    /// The first action; absent where the second has no counterpart.
    pub from: Option<Key>,
    /// The second action.
    pub to: Option<Key>,
    /// Whether anything but inputs differs: then it is a cause, and not only a consequence.
    pub cause: bool,
    /// What differs in their manifests.
    pub changes: Vec<Change>,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The two sides, as people call them.
    pub sides: [String; 2],
    /// Whether they hold the same artifacts.
    pub same: bool,
    /// Actions that differ, causes before what follows from them.
    pub pairs: Vec<Pair>,
    /// Stages that only one side has.
    pub unmatched: Vec<String>,
    /// Figures of both sides, those that differ first.
    pub figures: Vec<Figure>,
}

impl Difference {
    /// Compares two sides.
    ///
    /// # Errors
    /// Where a record can't be read.
    pub fn of(records: &Records, graph: &Graph<'_>, sides: [&Side; 2]) -> Result<Difference, StageError> {
        let [one, other] = sides;
        let mut comparing = Comparing {
            records,
            graph,
            seen: BTreeSet::new(),
            pairs: Vec::new(),
        };
        let mut unmatched = Vec::new();
        let names: BTreeSet<&String> = one.stages.keys().chain(other.stages.keys()).collect();
        let mut same = true;
        for name in names {
            match (one.stages.get(name), other.stages.get(name)) {
                (Some(a), Some(b)) => {
                    same &= outputs(records, a) == outputs(records, b);
                    comparing.compare(name, a, b)?;
                }
                (a, _) => {
                    same = false;
                    let side = if a.is_some() { &one.title } else { &other.title };
                    unmatched.push(format!("{name} (only in {side})"));
                }
            }
        }
        if let (Some(a), Some(b)) = (&one.port, &other.port) {
            let artifact = |side: &Side, port: &String| {
                let key = side.stages.values().next()?;
                records.node(key)?.outputs.get(port).map(Artifact::name)
            };
            same = artifact(one, a) == artifact(other, b);
        }
        Ok(Difference {
            sides: [one.title.clone(), other.title.clone()],
            same,
            pairs: comparing.pairs,
            unmatched,
            figures: figures(records, sides)?,
        })
    }
}

fn outputs(records: &Records, key: &Key) -> BTreeMap<String, Digest> {
    let shown = records.node(key).into_iter().flat_map(|node| node.shown());
    shown
        .map(|(port, artifact)| (port.to_string(), artifact.name()))
        .collect()
}

struct Comparing<'a> {
    records: &'a Records,
    graph: &'a Graph<'a>,
    seen: BTreeSet<(Key, Key)>,
    pairs: Vec<Pair>,
}

impl Comparing<'_> {
    /// Compares two actions, those behind them first.
    fn compare(&mut self, stage: &str, a: &Key, b: &Key) -> Result<(), StageError> {
        if a == b || !self.seen.insert((*a, *b)) {
            return Ok(());
        }
        let (one, other) = (self.records.record(a)?, self.records.record(b)?);
        let inputs = |key: &Key| -> BTreeMap<(String, usize), Key> {
            let all = self.graph.inputs(key).into_iter();
            all.map(|one| ((one.wire.port, one.wire.place), one.key))
                .collect()
        };
        let (before, after) = (inputs(a), inputs(b));
        for (place, from) in &before {
            if let Some(to) = after.get(place) {
                let title = self.records.title(from);
                self.compare(&title, from, to)?;
            }
        }
        let changes = changes(&one.manifest, &other.manifest, [&one.ancestry, &other.ancestry]);
        let cause = changes.iter().any(|change| !change.what.starts_with("input "));
        let rewired = before.len() != after.len() || before.keys().ne(after.keys());
        if !changes.is_empty() {
            self.pairs.push(Pair {
                stage: stage.to_string(),
                from: Some(*a),
                to: Some(*b),
                cause: cause || rewired,
                changes,
            });
        }
        Ok(())
    }
}

type Inputs = BTreeMap<String, Vec<Ancestor>>;

/// Everything that differs between two manifests.
fn changes(a: &Manifest, b: &Manifest, [from, to]: [&Inputs; 2]) -> Vec<Change> {
    let mut all = Vec::new();
    let mut told = |what: &str, from: Option<String>, to: Option<String>| {
        if from != to {
            let what = what.to_string();
            all.push(Change { what, from, to });
        }
    };
    told("kind", Some(a.kind.clone()), Some(b.kind.clone()));
    told(
        "version",
        Some(a.version.to_string()),
        Some(b.version.to_string()),
    );
    let number = |seed: Option<u64>| seed.map(|seed| seed.to_string());
    told("seed", number(a.seed), number(b.seed));
    told("salt", a.salt.clone(), b.salt.clone());
    let digest = |digest: Option<Digest>| digest.map(|digest| digest.short());
    told("program", digest(a.tool), digest(b.tool));
    parameters("with", Some(&a.parameters), Some(&b.parameters), &mut told);
    for parameter in keys(&a.sources, &b.sources) {
        let show = |source: Option<&SourceDigest>| source.map(show_source);
        told(
            &format!("source {parameter}"),
            show(a.sources.get(parameter)),
            show(b.sources.get(parameter)),
        );
    }
    for port in keys(&a.inputs, &b.inputs) {
        let (one, other) = (a.inputs.get(port), b.inputs.get(port));
        if one != other {
            let columns = differing_columns(one, other);
            let what = match columns.is_empty() {
                true => format!("input {port}"),
                false => format!("input {port} ({})", columns.join(", ")),
            };
            let names = |inputs: &Inputs| {
                let all = inputs.get(port)?.iter().map(|one| one.artifact.short());
                Some(all.collect::<Vec<_>>().join(" "))
            };
            let (from, to) = (names(from), names(to));
            all.push(Change { what, from, to });
        }
    }
    all
}

fn keys<'a, T>(a: &'a BTreeMap<String, T>, b: &'a BTreeMap<String, T>) -> BTreeSet<&'a String> {
    a.keys().chain(b.keys()).collect()
}

fn differing_columns(a: Option<&Vec<InputDigest>>, b: Option<&Vec<InputDigest>>) -> Vec<String> {
    let (Some([InputDigest::Table(a)]), Some([InputDigest::Table(b)])) =
        (a.map(Vec::as_slice), b.map(Vec::as_slice))
    else {
        return Vec::new();
    };
    let differing = keys(a, b)
        .into_iter()
        .filter(|column| a.get(*column) != b.get(*column));
    differing.cloned().collect()
}

fn show_source(source: &SourceDigest) -> String {
    match source {
        SourceDigest::File { name, digest } => format!("{name} {}", digest.short()),
        SourceDigest::Folder { listing, files } => {
            format!("{files} files, listing {}", listing.digest.short())
        }
    }
}

/// Walks two values and tells each leaf that differs.
fn parameters(
    path: &str,
    a: Option<&Value>,
    b: Option<&Value>,
    told: &mut impl FnMut(&str, Option<String>, Option<String>),
) {
    match (a, b) {
        (Some(a), Some(b)) if a == b => {}
        (Some(Value::Map(a)), Some(Value::Map(b))) => {
            for key in keys(a, b) {
                parameters(&format!("{path}.{key}"), a.get(key), b.get(key), told);
            }
        }
        (Some(Value::List(a)), Some(Value::List(b))) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                parameters(&format!("{path}.{at}"), Some(a), Some(b), told);
            }
        }
        _ => {
            let show = |value: &Value| match value {
                Value::Text(text) => text.clone(),
                other => serde_json::to_string(other).unwrap_or_default(),
            };
            told(path, a.map(show), b.map(show));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(epochs: i128, seed: u64) -> Manifest {
        let training = Value::Map(BTreeMap::from([("epochs".to_string(), Value::Integer(epochs))]));
        Manifest {
            kind: "train".to_string(),
            version: 1,
            parameters: Value::Map(BTreeMap::from([("training".to_string(), training)])),
            seed: Some(seed),
            inputs: BTreeMap::new(),
            sources: BTreeMap::new(),
            tool: None,
            salt: None,
        }
    }

    #[test]
    fn every_leaf_that_differs_is_told_and_nothing_else() {
        let none = Inputs::new();
        let told = changes(&manifest(3, 1), &manifest(4, 2), [&none, &none]);
        let told: Vec<(&str, Option<&str>, Option<&str>)> = told
            .iter()
            .map(|change| (change.what.as_str(), change.from.as_deref(), change.to.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                ("seed", Some("1"), Some("2")),
                ("with.training.epochs", Some("3"), Some("4"))
            ]
        );
        assert!(changes(&manifest(3, 1), &manifest(3, 1), [&none, &none]).is_empty());
    }
}
