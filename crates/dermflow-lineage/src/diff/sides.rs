//! [`Side`]: one of two things that are compared.

use std::collections::BTreeMap;

use dermflow_core::Key;
use dermflow_store::JournalName;

use crate::records::{Records, Use};

/// Actions by what both sides call them: one for an artifact, all of them for a run or variant.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// What people call it.
    pub title: String,
    /// The actions.
    pub stages: BTreeMap<String, Key>,
    /// The output port, for an artifact.
    pub port: Option<String>,
}

impl Side {
    /// An artifact: the output of an action.
    pub fn artifact(title: &str, key: Key, port: &str) -> Side {
        Side {
            title: title.to_string(),
            // Both sides call it the same, whatever stage it was.
            stages: BTreeMap::from([("the artifact".to_string(), key)]),
            port: Some(port.to_string()),
        }
    }

    /// The run with this journal, if it is one.
    pub fn run(records: &Records, name: &str) -> Option<Side> {
        let journal = JournalName::parse(name)?;
        let stages = of(records, |one| one.journal == journal, Use::stage);
        (!stages.is_empty()).then(|| Side {
            title: format!("the run {name}"),
            stages,
            port: None,
        })
    }

    /// A variant or matrix cell in its newest run; `base` is the pipeline itself.
    pub fn variant(records: &Records, name: &str) -> Option<Side> {
        let is_cell = |one: &Use| match &one.line.cell {
            Some(cell) => cell == name,
            None => name == "base",
        };
        let uses = records.named().flat_map(|(_, uses)| uses);
        let newest = uses
            .filter(|one| is_cell(one))
            .map(|one| &one.journal)
            .max()?
            .clone();
        let stages = of(
            records,
            |one| one.journal == newest && is_cell(one),
            |one| one.line.stage.clone(),
        );
        Some(Side {
            title: name.to_string(),
            stages,
            port: None,
        })
    }
}

fn of(
    records: &Records,
    wanted: impl Fn(&Use) -> bool,
    name: impl Fn(&Use) -> String,
) -> BTreeMap<String, Key> {
    let named = records.named();
    named
        .flat_map(|(key, uses)| uses.iter().map(move |one| (key, one)))
        .filter(|(_, one)| wanted(one))
        .map(|(key, one)| (name(one), *key))
        .collect()
}
