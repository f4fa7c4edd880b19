//! Lineage as a readable tree and as JSON.

use std::collections::BTreeSet;
use std::fmt::Write;

use dermflow_core::{Artifact, Digest, Key, Record, SourceDigest, StageError};
use serde_json::{Value, json};

use crate::graph::Graph;
use crate::records::Records;
use crate::time;

/// Letters of parameters that a line shows at most.
const MOST_LETTERS: usize = 160;

/// The tree from an action's output back to source files.
///
/// # Errors
/// Where a record can't be read.
pub fn ancestry(records: &Records, graph: &Graph<'_>, key: &Key, port: &str) -> Result<String, StageError> {
    let record = records.record(key)?;
    let artifact = record.outputs.get(port).map(Artifact::name);
    let sort = record.outputs.get(port).map_or("", |artifact| artifact.sort());
    let short = artifact.map(|artifact| artifact.short()).unwrap_or_default();
    let mut out = format!("{sort} {short} = `{port}` of\n");
    let mut tree = Tree {
        records,
        graph,
        seen: BTreeSet::new(),
    };
    tree.behind(&mut out, key, "")?;
    Ok(out)
}

/// The tree from an artifact to all that used it, however far.
///
/// # Errors
/// Where a record can't be read.
pub fn consequences(records: &Records, graph: &Graph<'_>, artifact: &Digest) -> Result<String, StageError> {
    let mut out = String::new();
    let mut tree = Tree {
        records,
        graph,
        seen: BTreeSet::new(),
    };
    let users: Vec<(Key, String)> = records.users(artifact).to_vec();
    if users.is_empty() {
        out.push_str("used by nothing on record\n");
        return Ok(out);
    }
    _ = writeln!(out, "{} went into", artifact.short());
    tree.ahead(&mut out, &users, "")?;
    Ok(out)
}

struct Tree<'a> {
    records: &'a Records,
    graph: &'a Graph<'a>,
    seen: BTreeSet<Key>,
}

impl Tree<'_> {
    /// One action with all that is behind it. Writing to a string can't fail, here and below.
    fn behind(&mut self, out: &mut String, key: &Key, indent: &str) -> Result<(), StageError> {
        let record = self.records.record(key)?;
        _ = writeln!(out, "{}", self.headline(key, &record));
        if !self.seen.insert(*key) {
            _ = writeln!(out, "{indent}   (shown above)");
            return Ok(());
        }
        for line in details(self.records, key, &record) {
            _ = writeln!(out, "{indent}   {line}");
        }
        let inputs = self.graph.inputs(key);
        let wires: Vec<(&String, usize, &dermflow_core::Ancestor)> = record
            .ancestry
            .iter()
            .flat_map(|(port, all)| all.iter().enumerate().map(move |(at, one)| (port, at, one)))
            .collect();
        for (number, (port, place, ancestor)) in wires.iter().enumerate() {
            let (branch, below) = branches(number + 1 == wires.len());
            _ = write!(
                out,
                "{indent}{branch}{port} = {} `{}` of ",
                ancestor.artifact.short(),
                ancestor.port
            );
            let maker = inputs
                .iter()
                .find(|one| one.wire.port == **port && one.wire.place == *place);
            match (maker, ancestor.action) {
                (Some(maker), _) => self.behind(out, &maker.key, &format!("{indent}{below}"))?,
                (None, Some(gone)) => {
                    _ = writeln!(out, "action {}, whose record is gone", gone.digest().short());
                }
                (None, None) => _ = writeln!(out, "source files"),
            }
        }
        Ok(())
    }

    fn ahead(&mut self, out: &mut String, users: &[(Key, String)], indent: &str) -> Result<(), StageError> {
        for (number, (key, port)) in users.iter().enumerate() {
            let (branch, below) = branches(number + 1 == users.len());
            let record = self.records.record(key)?;
            _ = writeln!(out, "{indent}{branch}`{port}` of {}", self.headline(key, &record));
            let indent = format!("{indent}{below}");
            if !self.seen.insert(*key) {
                _ = writeln!(out, "{indent}(shown above)");
                continue;
            }
            if let Some(line) = runs(self.records, key) {
                _ = writeln!(out, "{indent}{line}");
            }
            let shown = record.outputs.iter().filter(|(port, _)| !port.starts_with('.'));
            for (port, artifact) in shown {
                let name = artifact.name();
                _ = writeln!(
                    out,
                    "{indent}gave {} {} = `{port}`",
                    artifact.sort(),
                    name.short()
                );
                let next: Vec<(Key, String)> = self.records.users(&name).to_vec();
                self.ahead(out, &next, &format!("{indent}  "))?;
            }
        }
        Ok(())
    }

    fn headline(&self, key: &Key, record: &Record) -> String {
        let manifest = &record.manifest;
        let seed = manifest
            .seed
            .map_or(String::new(), |seed| format!(", seed {seed}"));
        let stage = match self.records.uses(key).last() {
            Some(last) if last.stage() != manifest.kind => format!("{} = ", last.stage()),
            _ => String::new(),
        };
        format!(
            "{stage}{} v{}  action {}{seed}, {}",
            manifest.kind,
            manifest.version,
            key.digest().short(),
            time::seconds(record.making.seconds)
        )
    }
}

fn branches(last: bool) -> (&'static str, &'static str) {
    match last {
        true => ("└─ ", "   "),
        false => ("├─ ", "│  "),
    }
}

/// When and where it was made, what it was told, what it read from outside.
fn details(records: &Records, key: &Key, record: &Record) -> Vec<String> {
    let making = &record.making;
    let mut lines = vec![format!(
        "made {} on {} by {}",
        time::utc(making.started),
        making.host,
        making.program
    )];
    let parameters = serde_json::to_string(&record.manifest.parameters).unwrap_or_default();
    if parameters != "{}" {
        lines.push(format!("with {}", cut(&parameters)));
    }
    for (parameter, source) in &record.manifest.sources {
        lines.push(match source {
            SourceDigest::File { name, digest } => {
                format!("source {parameter}: {name} {}", digest.short())
            }
            SourceDigest::Folder { listing, files } => {
                format!(
                    "source {parameter}: {files} files, listing {}",
                    listing.digest.short()
                )
            }
        });
    }
    if let Some(tool) = &record.manifest.tool {
        lines.push(format!("program {}", tool.short()));
    }
    lines.extend(runs(records, key));
    lines
}

fn runs(records: &Records, key: &Key) -> Option<String> {
    match records.uses(key) {
        [] => None,
        [one] => Some(format!("used by the run {}", one.journal)),
        [first, .., last] => Some(format!(
            "used by {} runs, from {} to {}",
            records.uses(key).len(),
            first.journal,
            last.journal
        )),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_LETTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// Every action behind an output once, by key, with its whole manifest; with `down`, those that
/// it went into as well.
///
/// # Errors
/// Where a record can't be read.
pub fn as_json(
    records: &Records,
    graph: &Graph<'_>,
    key: &Key,
    port: &str,
    down: bool,
) -> Result<Value, StageError> {
    let record = records.record(key)?;
    let artifact = record.outputs.get(port).map(Artifact::name);
    let mut actions = serde_json::Map::new();
    for key in graph.ancestry(key) {
        actions.insert(key.hex(), action(records, &key)?);
    }
    let mut told = json!({"artifact": artifact, "action": key, "port": port, "actions": actions});
    if let (true, Some(artifact)) = (down, artifact) {
        let mut users = serde_json::Map::new();
        for key in graph.consequences(&artifact) {
            users.insert(key.hex(), action(records, &key)?);
        }
        told["used_by"] = Value::Object(users);
    }
    Ok(told)
}

fn action(records: &Records, key: &Key) -> Result<Value, StageError> {
    let record = records.record(key)?;
    let outputs = record
        .outputs
        .iter()
        .map(|(port, artifact)| (port.clone(), json!(artifact.name())));
    let outputs: serde_json::Map<String, Value> = outputs.collect();
    let stages = records.uses(key).iter().map(|one| {
        json!({"journal": one.journal, "pipeline": one.line.pipeline, "cell": one.line.cell,
            "stage": one.line.stage, "outcome": one.line.outcome})
    });
    Ok(json!({
        "manifest": record.manifest, "outputs": outputs, "ancestry": record.ancestry,
        "making": record.making, "runs": stages.collect::<Vec<_>>(),
    }))
}
