//! `lineage`: the tree of actions behind an artifact.

use std::collections::BTreeSet;

use clap::Args;
use dermflow_core::{Key, Record, SourceDigest};
use dermflow_store::Store;
use serde_json::{Value, json};

use crate::exit::Done;
use crate::lookup::locate;
use crate::options::StoreOptions;
use crate::text;

/// Shows where an artifact came from: kinds, versions, parameters, seeds, sources, inputs.
#[derive(Args)]
pub struct Arguments {
    /// `stage.port`, a digest prefix, or the path of a result file.
    artifact: String,
    #[command(flatten)]
    store: StoreOptions,
    /// Prints JSON: every action once, by key, with its whole manifest.
    #[arg(long)]
    json: bool,
}

/// The tree goes from the artifact down to source files.
pub fn run(arguments: &Arguments) -> Done {
    let store = arguments.store.open_existing()?;
    let located = locate(&store, &arguments.artifact)?;
    let artifact = located.artifact()?;
    if arguments.json {
        let mut actions = serde_json::Map::new();
        collect(&store, located.key, &located.record, &mut actions)?;
        let shown = json!({"artifact": artifact.name(), "action": located.key, "port": located.port, "actions": actions});
        println!("{shown:#}");
        return Ok(());
    }
    println!(
        "{} {} = `{}` of",
        artifact.sort(),
        artifact.name().short(),
        located.port
    );
    let mut seen = BTreeSet::new();
    print_tree(&store, located.key, &located.record, "", &mut seen)
}

fn collect(store: &Store, key: Key, record: &Record, actions: &mut serde_json::Map<String, Value>) -> Done {
    if actions.contains_key(&key.hex()) {
        return Ok(());
    }
    let outputs = record
        .outputs
        .iter()
        .map(|(port, artifact)| (port.clone(), json!(artifact.name())));
    let outputs: serde_json::Map<String, Value> = outputs.collect();
    let entry = json!({"manifest": record.manifest, "outputs": outputs, "ancestry": record.ancestry, "making": record.making});
    actions.insert(key.hex(), entry);
    for ancestor in record.ancestry.values().flatten() {
        if let Some(key) = ancestor.action
            && let Some(record) = store.get_record(&key)?
        {
            collect(store, key, &record, actions)?;
        }
    }
    Ok(())
}

fn print_tree(store: &Store, key: Key, record: &Record, indent: &str, seen: &mut BTreeSet<Key>) -> Done {
    let manifest = &record.manifest;
    let seed = manifest
        .seed
        .map_or(String::new(), |seed| format!(", seed {seed}"));
    println!(
        "{} v{}  action {}{seed}, {}",
        manifest.kind,
        manifest.version,
        key.digest().short(),
        text::seconds(record.making.seconds)
    );
    if !seen.insert(key) {
        println!("{indent}   (shown above)");
        return Ok(());
    }
    let parameters = serde_json::to_string(&manifest.parameters).unwrap_or_default();
    if parameters != "{}" {
        println!("{indent}   with {}", cut(&parameters));
    }
    for (parameter, source) in &manifest.sources {
        match source {
            SourceDigest::File { name, digest } => {
                println!("{indent}   source {parameter}: {name} {}", digest.short())
            }
            SourceDigest::Folder { listing, files } => {
                println!(
                    "{indent}   source {parameter}: {files} files, listing {}",
                    listing.digest.short()
                );
            }
        }
    }
    let inputs: Vec<_> = record
        .ancestry
        .iter()
        .flat_map(|(port, all)| all.iter().map(move |ancestor| (port, ancestor)))
        .collect();
    for (at, (port, ancestor)) in inputs.iter().enumerate() {
        let last = at + 1 == inputs.len();
        let (branch, below) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        print!(
            "{indent}{branch}{port} = {} `{}` of ",
            ancestor.artifact.short(),
            ancestor.port
        );
        let record = ancestor
            .action
            .map(|key| store.get_record(&key))
            .transpose()?
            .flatten();
        match (ancestor.action, record) {
            (Some(key), Some(record)) => print_tree(store, key, &record, &format!("{indent}{below}"), seen)?,
            (Some(key), None) => println!("action {}, whose record is gone", key.digest().short()),
            (None, _) => println!("source files"),
        }
    }
    Ok(())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}
