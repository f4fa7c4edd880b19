//! `export-lineage`: lineage for other tools.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use dermflow_core::{Artifact, Digest, Key, StageError};
use dermflow_lineage::diff::Side;
use dermflow_lineage::export::{Author, Publication, Story, open_lineage, prov_json, ro_crate};
use dermflow_lineage::{Graph, Records};

use crate::exit::{Done, Failure};
use crate::lookup::locate_on_record;
use crate::options::{StoreOptions, read_records};

/// Writes the lineage of artifacts, or of all results of a run, for other tools: an RO-Crate
/// (Provenance Run Crate), W3C PROV-JSON, or OpenLineage events.
#[derive(Args)]
pub struct Arguments {
    /// `stage.port`, a digest prefix, a result file, or a run by its journal's name.
    #[arg(required = true, value_name = "ARTIFACT")]
    artifacts: Vec<String>,
    #[command(flatten)]
    store: StoreOptions,
    /// In which form.
    #[arg(long, value_enum)]
    format: Format,
    /// Where to write it: a new folder for a crate, a file otherwise. Left out: standard output.
    #[arg(long, value_name = "PATH")]
    to: Option<PathBuf>,
    /// Leaves the results themselves out of a crate.
    #[arg(long)]
    without_data: bool,
    /// The address of the licence that a crate states.
    #[arg(long, value_name = "URL")]
    licence: Option<String>,
    /// Who answers for a crate, once for each person: `Name`, or `Name <https://orcid.org/…>`.
    #[arg(long, value_name = "NAME", value_parser = author)]
    author: Vec<Author>,
}

fn author(text: &str) -> Result<Author, String> {
    let (name, address) = match text.split_once('<') {
        None => (text, None),
        Some((name, rest)) => {
            let address = rest.trim().strip_suffix('>').map(str::trim);
            let address =
                address.filter(|address| address.starts_with("https://") || address.starts_with("http://"));
            (
                name,
                Some(address.ok_or("between < and > stands an address that starts with https://")?),
            )
        }
    };
    match name.trim() {
        "" => Err("an author has a name".to_string()),
        name => Ok(Author {
            name: name.to_string(),
            address: address.map(str::to_string),
        }),
    }
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// An RO-Crate: a folder with `ro-crate-metadata.json`.
    RoCrate,
    /// W3C PROV-JSON.
    Prov,
    /// OpenLineage events, one a line.
    Openlineage,
}

/// The story is the same in every form.
pub fn run(arguments: &Arguments) -> Done {
    let store = arguments.store.open_existing()?;
    let records = read_records(&store)?;
    let graph = Graph::of(records);
    let results = results(records, &arguments.artifacts)?;
    let story = Story::of(records, &graph, &results)?;
    match arguments.format {
        Format::Prov => write(arguments, &format!("{:#}\n", prov_json(&story))),
        Format::Openlineage => {
            let lines: String = open_lineage(&story)
                .iter()
                .map(|event| format!("{event}\n"))
                .collect();
            write(arguments, &lines)
        }
        Format::RoCrate => {
            let folder = arguments
                .to
                .as_deref()
                .ok_or_else(|| Failure::new("a crate is a folder: say where with --to FOLDER"))?;
            write_crate(arguments, records, &story, &results, folder)
        }
    }
}

fn results(records: &Records, names: &[String]) -> Result<Vec<(Key, String)>, Failure> {
    let mut results = Vec::new();
    for name in names {
        if let Some(run) = Side::run(records, name) {
            for key in run.stages.values() {
                let ports = records.node(key).into_iter().flat_map(|node| node.shown());
                results.extend(ports.map(|(port, _)| (*key, port.to_string())));
            }
            continue;
        }
        results.push(locate_on_record(records, name)?);
    }
    Ok(results)
}

fn write(arguments: &Arguments, text: &str) -> Done {
    match &arguments.to {
        None => print!("{text}"),
        Some(path) => std::fs::write(path, text).map_err(|error| StageError::io("writing", path, &error))?,
    }
    Ok(())
}

fn write_crate(
    arguments: &Arguments,
    records: &Records,
    story: &Story,
    results: &[(Key, String)],
    folder: &Path,
) -> Done {
    if folder
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some())
    {
        return Err(Failure::new(format!(
            "{} is a folder with things in it",
            folder.display()
        )));
    }
    let data = folder.join("data");
    let made = std::fs::create_dir_all(if arguments.without_data { folder } else { &data });
    made.map_err(|error| StageError::io("creating", folder, &error))?;
    let mut files: BTreeMap<Digest, String> = BTreeMap::new();
    for (key, port) in results.iter().filter(|_| !arguments.without_data) {
        let Some(artifact) = records.node(key).and_then(|node| node.outputs.get(port)) else {
            continue;
        };
        if files.contains_key(&artifact.name()) {
            // Another result has the same content: one file is both.
            continue;
        }
        let name = file_name(&records.output_title(key, port), artifact, &files);
        dermflow_engine::export(records.store(), artifact, &data.join(&name))?;
        let id = match artifact {
            Artifact::Files(_) => format!("data/{name}/"),
            Artifact::Table(_) | Artifact::Model(_) => format!("data/{name}"),
        };
        files.insert(artifact.name(), id);
    }
    let publication = Publication {
        licence: arguments.licence.clone(),
        authors: arguments.author.clone(),
    };
    let written = ro_crate(story, &files, &publication);
    for (name, content) in [
        ("ro-crate-metadata.json", format!("{:#}\n", written.metadata)),
        ("workflow.json", format!("{:#}\n", written.workflow)),
        ("README.md", written.readme),
    ] {
        let path = folder.join(name);
        let written = std::fs::write(&path, content);
        written.map_err(|error| StageError::io("writing", &path, &error))?;
    }
    Ok(())
}

/// A name that is an address as it stands, and that no other file of the crate has: two runs may
/// have results of one stage.
fn file_name(title: &str, artifact: &Artifact, taken: &BTreeMap<Digest, String>) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
    let title: String = title
        .chars()
        .map(|letter| if plain(letter) { letter } else { '-' })
        .collect();
    let ending = match artifact {
        Artifact::Table(_) => ".parquet",
        Artifact::Model(_) => ".safetensors",
        Artifact::Files(_) => "",
    };
    let name = format!("{title}{ending}");
    let is = |id: &String| id.trim_end_matches('/') == format!("data/{name}");
    match taken.values().any(is) {
        true => format!("{title}-{}{ending}", artifact.name().short()),
        false => name,
    }
}
