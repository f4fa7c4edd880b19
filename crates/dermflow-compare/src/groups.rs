//! [`Group`]: cells that differ in nothing but the seed. Must not know of figures.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use dermflow_core::canonical::Value;
use dermflow_core::{Ancestor, Digest, Key, SourceDigest};
use serde::Serialize;

use crate::sides::{BASE, Side};

/// Cells that differ in nothing but the seed.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// What it is called: the first member's name without its seed.
    pub label: String,
    /// Its cells.
    pub members: Vec<Member>,
    /// Wall seconds that making all results of a member took, the mean over members. Results
    /// that several cells share count for each.
    pub seconds: f64,
}

/// A cell of a group.
#[derive(Clone, Debug, Serialize)]
pub struct Member {
    /// The cell.
    pub label: String,
    /// The run that it is of.
    pub run: String,
    /// The pipeline's seed, where a stage is random.
    pub seed: Option<u64>,
    /// Its place among all sides.
    #[serde(skip)]
    pub side: usize,
}

/// All that makes a side what it is, besides the seed and what follows from the rest.
pub(crate) fn settings(side: &Side) -> BTreeMap<String, Value> {
    let mut settings = BTreeMap::new();
    let made = made(side);
    for (stage, (_, record)) in &side.stages {
        let manifest = &record.manifest;
        let mut set = |what: &str, value: Value| drop(settings.insert(format!("{stage}.{what}"), value));
        set("kind", Value::Text(manifest.kind.clone()));
        set("version", Value::Integer(manifest.version.into()));
        if let Some(salt) = &manifest.salt {
            set("salt", Value::Text(salt.clone()));
        }
        if let Some(tool) = &manifest.tool {
            set("tool", Value::Text(tool.short()));
        }
        for (parameter, source) in &manifest.sources {
            let digest = match source {
                SourceDigest::File { digest, .. } => *digest,
                SourceDigest::Folder { listing, .. } => listing.digest,
            };
            set(&format!("source {parameter}"), Value::Text(digest.short()));
        }
        flatten(&manifest.parameters, &format!("{stage}.with"), &mut settings);
        // What is wired to what is told by stages and ports; their content follows from the rest.
        let wired: Vec<Value> = record
            .ancestry
            .iter()
            .map(|(port, all)| {
                let from: Vec<String> = all.iter().map(|ancestor| wire(&made, ancestor)).collect();
                Value::Text(format!("{port}: {}", from.join(", ")))
            })
            .collect();
        settings.insert(format!("{stage}.in"), Value::List(wired));
    }
    settings
}

/// An output of a side: its stage, that stage's action, its port, and the artifact.
type Made<'a> = (&'a str, &'a Key, &'a str, Digest);

/// Every output of a side, in order of stages.
fn made(side: &Side) -> Vec<Made<'_>> {
    let stages = side.stages.iter();
    stages
        .flat_map(|(stage, (key, record))| {
            let outputs = record.outputs.iter();
            outputs.map(move |(port, artifact)| (stage.as_str(), key, port.as_str(), artifact.name()))
        })
        .collect()
}

/// Where an input came from, as `stage.port`. A result may have been taken over from a run whose
/// stages were other actions, so what counts is which stage has this artifact; where several have
/// it, the one whose action is named.
fn wire(made: &[Made<'_>], ancestor: &Ancestor) -> String {
    let is_it = |(_, _, port, artifact): &&Made<'_>| *port == ancestor.port && *artifact == ancestor.artifact;
    let having: Vec<&Made<'_>> = made.iter().filter(is_it).collect();
    let named = having
        .iter()
        .find(|(_, key, _, _)| Some(*key) == ancestor.action.as_ref());
    match named.or(having.first()) {
        Some((stage, ..)) => format!("{stage}.{}", ancestor.port),
        None => ancestor.port.clone(),
    }
}

/// Every value of a map by its path.
fn flatten(value: &Value, path: &str, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Map(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                flatten(value, &format!("{path}.{key}"), into);
            }
        }
        leaf => drop(into.insert(path.to_string(), leaf.clone())),
    }
}

/// The seed of each random stage of a side, by the stage's name.
type StageSeeds<'a> = BTreeMap<&'a str, u64>;

fn stage_seeds(side: &Side) -> StageSeeds<'_> {
    let stages = side.stages.iter();
    stages
        .filter_map(|(name, (_, record))| Some((name.as_str(), record.manifest.seed?)))
        .collect()
}

/// The pipeline's seed, side by side: the one that most random stages have. A stage may have its own,
/// such as one that holds out the same test always, and one behind another of its kind has one that
/// is derived; so stages that have the same seed everywhere count only where there are no others.
fn pipeline_seeds(sides: &[StageSeeds]) -> Vec<Option<u64>> {
    let varies = |stage: &str| {
        let mut known = sides.iter().filter_map(|side| side.get(stage));
        let first = known.next();
        known.any(|seed| Some(seed) != first)
    };
    let most = |side: &StageSeeds, counts: &dyn Fn(&str) -> bool| {
        let mut stages: BTreeMap<u64, usize> = BTreeMap::new();
        for (_, seed) in side.iter().filter(|(name, _)| counts(name)) {
            *stages.entry(*seed).or_default() += 1;
        }
        let most = stages
            .into_iter()
            .max_by_key(|(seed, count)| (*count, Reverse(*seed)));
        most.map(|(seed, _)| seed)
    };
    let of = |side| most(side, &varies).or_else(|| most(side, &|_| true));
    sides.iter().map(of).collect()
}

/// A cell's name without its seed.
fn without_seed(label: &str) -> String {
    let Some((matrix, rest)) = label.split_once('[') else {
        return label.to_string();
    };
    let inside = rest.strip_suffix(']').unwrap_or(rest);
    let parts: Vec<&str> = inside
        .split(',')
        .filter(|part| !part.starts_with("seed="))
        .collect();
    match parts.is_empty() {
        true => matrix.to_string(),
        false => format!("{matrix}[{}]", parts.join(",")),
    }
}

/// A side's cell without its seed.
fn cell(side: &Side) -> String {
    without_seed(side.cell.as_deref().unwrap_or(BASE))
}

/// What a group is called: a member alone by its name, several by their cell, with the first one's run
/// before it where another group has that cell too.
fn label(sides: &[Side], members: &[usize], cells: &[BTreeSet<String>]) -> String {
    let first = &sides[members[0]];
    let own = cell(first);
    let of_own = members.iter().all(|member| cell(&sides[*member]) == own);
    let groups = cells.iter().filter(|cells| cells.contains(&own)).count();
    match (members.len(), of_own && groups == 1) {
        (1, _) => first.label.clone(),
        (_, true) => own,
        (_, false) => without_seed(&first.label),
    }
}

/// The groups, in the order of their first sides.
pub(crate) fn of(sides: &[Side]) -> Vec<Group> {
    let seeds = pipeline_seeds(&sides.iter().map(stage_seeds).collect::<Vec<_>>());
    let mut known: Vec<(BTreeMap<String, Value>, Vec<usize>)> = Vec::new();
    for (at, side) in sides.iter().enumerate() {
        let settings = settings(side);
        // Two cells of one group and one seed would be the same thing twice, such as a run and its
        // repetition: those are told apart.
        let place = known.iter_mut().find(|(of, members)| {
            *of == settings && members.iter().all(|member| seeds[*member] != seeds[at])
        });
        match place {
            Some((_, members)) => members.push(at),
            None => known.push((settings, vec![at])),
        }
    }
    let known_cells: Vec<BTreeSet<String>> = known
        .iter()
        .map(|(_, members)| members.iter().map(|member| cell(&sides[*member])).collect())
        .collect();
    let group = |(_, members): (BTreeMap<String, Value>, Vec<usize>)| {
        let seconds: f64 = members
            .iter()
            .flat_map(|member| sides[*member].stages.values())
            .map(|(_, record)| record.making.seconds)
            .sum();
        Group {
            label: label(sides, &members, &known_cells),
            seconds: seconds / members.len() as f64,
            members: members
                .into_iter()
                .map(|member| Member {
                    label: sides[member].label.clone(),
                    run: sides[member].run.clone(),
                    seed: seeds[member],
                    side: member,
                })
                .collect(),
        }
    };
    known.into_iter().map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_left_out_of_a_groups_name() {
        assert_eq!(without_seed("sweep[prior=0,seed=1]"), "sweep[prior=0]");
        assert_eq!(without_seed("sweep[seed=1,prior=0]"), "sweep[prior=0]");
        assert_eq!(without_seed("seeds[seed=1]"), "seeds");
        assert_eq!(without_seed("older"), "older");
    }

    #[test]
    fn the_pipelines_seed_is_neither_a_stages_own_nor_a_derived_one() {
        let side = |seed: u64| {
            BTreeMap::from([
                ("after-a-sample", 9_000 + seed),
                ("held-out", 7),
                ("sample", seed),
                ("train", seed),
            ])
        };
        assert_eq!(
            pipeline_seeds(&[side(1), side(2), side(1)]),
            [Some(1), Some(2), Some(1)]
        );
        // Where nothing varies, all stages count; of two seeds of as many stages, the smaller.
        assert_eq!(pipeline_seeds(&[side(3)]), [Some(3)]);
        let two = BTreeMap::from([("held-out", 7), ("train", 5)]);
        assert_eq!(pipeline_seeds(&[two.clone(), two]), [Some(5), Some(5)]);
        assert_eq!(pipeline_seeds(&[BTreeMap::new()]), [None]);
    }

    #[test]
    fn parameters_are_told_by_their_paths() {
        let value = serde_json::json!({"a": {"b": 1, "c": {}}, "d": [1, 2]});
        let mut found = BTreeMap::new();
        flatten(&Value::from_serialize(&value).unwrap(), "s.with", &mut found);
        let paths: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(paths, ["s.with.a.b", "s.with.a.c", "s.with.d"]);
    }
}
