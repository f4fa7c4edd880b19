//! `ls`: what is in the store.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use dermflow_core::{Artifact, Digest, Key};
use dermflow_engine::JournalLine;
use dermflow_store::Store;
use serde_json::json;

use crate::exit::{Done, Failure};
use crate::options::StoreOptions;
use crate::planned::PlanOptions;
use crate::text;

/// Lists the artifacts of the newest run, of a pipeline as it is written now, or all that the
/// store has.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    store: StoreOptions,
    #[command(flatten)]
    plan: PlanOptions,
    /// Every artifact of every record, newest first, instead of those of the newest run.
    #[arg(long)]
    all: bool,
    /// Prints a JSON list.
    #[arg(long)]
    json: bool,
}

struct Row {
    name: String,
    artifact: Digest,
    action: Key,
    sort: &'static str,
    rows: u64,
    bytes: u64,
    kind: String,
}

/// Names are those that other verbs take as `ARTIFACT`.
pub fn run(arguments: &Arguments) -> Done {
    let store = arguments.store.open_existing()?;
    let mut rows = Vec::new();
    if arguments.all {
        let mut records: BTreeMap<(u64, Key), dermflow_core::Record> = BTreeMap::new();
        for key in store.records() {
            if let Some(record) = store.get_record(&key)? {
                records.insert((record.making.started.to_bits(), key), record);
            }
        }
        for ((_, key), record) in records.iter().rev() {
            rows.extend(outputs(*key, record, None));
        }
    } else if arguments.plan.is_given() || store.list_journals().is_empty() {
        for planned in arguments.plan.plan(&store, true)? {
            if let Some(finished) = &planned.finished {
                let stage = named(planned.label.cell.as_deref(), &planned.label.stage);
                rows.extend(outputs(finished.key, finished.record()?, Some(&stage)));
            }
        }
    } else if let Some(lines) = newest_run(&store)? {
        let mut seen = BTreeSet::new();
        for line in lines {
            let Ok(line) = serde_json::from_value::<JournalLine>(line) else {
                continue;
            };
            // A stage that was healed stands there twice, with one result.
            if !seen.insert((line.cell.clone(), line.stage.clone())) {
                continue;
            }
            let Some(record) = store.get_record(&line.key)? else {
                continue;
            };
            let stage = named(line.cell.as_deref(), &line.stage);
            rows.extend(outputs(line.key, &record, Some(&stage)));
        }
    }
    if arguments.json {
        let all = rows.iter().map(|row| {
            json!({"name": row.name, "artifact": row.artifact, "action": row.action,
            "sort": row.sort, "rows": row.rows, "bytes": row.bytes, "kind": row.kind})
        });
        println!("{:#}", all.collect::<serde_json::Value>());
        return Ok(());
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let size = text::bytes(row.bytes);
            vec![
                row.name.clone(),
                row.artifact.short(),
                row.sort.into(),
                text::count(row.rows),
                size,
                row.kind.clone(),
            ]
        })
        .collect();
    print!(
        "{}",
        text::table(&["artifact", "digest", "sort", "rows", "size", "kind"], &cells)
    );
    Ok(())
}

/// A stage of a cell, as other verbs take it.
fn named(cell: Option<&str>, stage: &str) -> String {
    cell.map_or(stage.to_string(), |cell| format!("{cell}:{stage}"))
}

/// The lines of the newest journal that tells of a run, and not of a forgetting.
fn newest_run(store: &Store) -> Result<Option<Vec<serde_json::Value>>, Failure> {
    for journal in store.list_journals().iter().rev() {
        let lines = store.read_journal(journal)?;
        if lines.first().is_none_or(|line| line["forget"].is_null()) {
            return Ok(Some(lines));
        }
    }
    Ok(None)
}

fn outputs(key: Key, record: &dermflow_core::Record, stage: Option<&str>) -> Vec<Row> {
    let shown = record.outputs.iter().filter(|(port, _)| !port.starts_with('.'));
    let row = |(port, artifact): (&String, &Artifact)| Row {
        name: stage.map_or_else(
            || format!("{}:{port}", key.digest().short()),
            |stage| format!("{stage}.{port}"),
        ),
        artifact: artifact.name(),
        action: key,
        sort: artifact.sort(),
        rows: artifact.rows(),
        bytes: artifact.bytes(),
        kind: record.manifest.kind.clone(),
    };
    shown.map(row).collect()
}
