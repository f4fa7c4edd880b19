//! `forget`: removes samples and all that holds them, and keeps them out of later runs.

use std::path::{Path, PathBuf};

use clap::Args;
use dermflow_core::{Digest, StageError};
use dermflow_lineage::forget::{Certificate, Manner, Plan, Similar, certificate};
use dermflow_lineage::{Graph, Records, Samples};
use dermflow_store::Store;
use serde_json::{Value, json};

use crate::exit::{Done, Failure};
use crate::options::StoreOptions;
use crate::text;
use crate::verbs::trace;

/// Forgets samples: removes every stored row and file of them, marks models and figures that were
/// made from them, and keeps them out of every later run. Without --yes it only says what would
/// go and what must run again.
///
/// What unfinished stages left goes as well: a training that was interrupted starts anew.
#[derive(Args)]
pub struct Arguments {
    /// As `trace` takes them; or the tombstone of an earlier forgetting, for its certificate.
    #[arg(required = true, value_name = "SAMPLE")]
    samples: Vec<String>,
    #[command(flatten)]
    store: StoreOptions,
    /// Really forgets.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Only says what would go: what happens without --yes, too.
    #[arg(long)]
    dry_run: bool,
    /// Removes models that were trained on them as well, instead of marking them.
    #[arg(long)]
    models: bool,
    /// Doesn't look for pictures that look the same: for that, every stored picture is read.
    #[arg(long)]
    no_similar: bool,
    /// Where the certificate is written: what was removed, and what replaced it. A file of that
    /// name that holds anything else is never overwritten: a number is added to the name.
    #[arg(long, value_name = "FILE", default_value = "forgotten.json")]
    certificate: PathBuf,
    /// Where runs laid results out. Left out: `results` beside the store.
    #[arg(long, value_name = "FOLDER")]
    results: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Pictures that look the same that are told on a terminal.
const MOST_SIMILAR: usize = 20;

/// The chain of journals stays valid: a forgetting is one more of them.
pub fn run(arguments: &Arguments) -> Done {
    // Nothing is to come back from a shared store while it is removed here.
    let store = arguments.store.open_alone()?;
    let records = Records::read(&store)?;
    if let Some(tombstone) = tombstone(&store, &arguments.samples)? {
        refuse_if_sample(&records, &arguments.samples, &tombstone)?;
        return tell_certificate(arguments, &certificate(&records, &tombstone)?);
    }
    let samples = Samples::find(&records, &arguments.samples)?;
    let results = arguments
        .results
        .clone()
        .unwrap_or_else(|| arguments.store.results());
    let graph = Graph::of(&records);
    let manner = Manner {
        results: Some(&results),
        models: arguments.models,
        similar: !arguments.no_similar,
    };
    let plan = Plan::of(&records, &graph, samples, &manner)?;
    if !arguments.yes {
        match arguments.json {
            true => println!("{:#}", json!({"plan": plan, "removed": false})),
            false => {
                tell(&plan);
                tell_of_remote(arguments);
            }
        }
        return Ok(());
    }
    let certificate = plan.apply(&records)?;
    tell_certificate(arguments, &certificate)?;
    tell_of_remote(arguments);
    Ok(())
}

/// A shared store is others' as well: forgetting there is a decision of its own.
fn tell_of_remote(arguments: &Arguments) {
    if let Some(remote) = arguments.store.remote() {
        eprintln!(
            "note: the shared store {0} is not touched; to forget there: dermflow forget {1} --store {0} --yes",
            remote.display(),
            arguments.samples.join(" ")
        );
    }
}

/// The one tombstone that is named, if it is one.
fn tombstone(store: &Store, names: &[String]) -> Result<Option<Digest>, Failure> {
    let [name] = names else { return Ok(None) };
    let all = store.tombstones()?.into_iter();
    let fitting: Vec<Digest> = all
        .map(|(digest, _)| digest)
        .filter(|digest| name.len() >= 6 && digest.hex().starts_with(name.as_str()))
        .collect();
    match fitting.as_slice() {
        [one] => Ok(Some(*one)),
        _ => Ok(None),
    }
}

/// Whoever names a sample is not to be told of another forgetting as if it were done.
fn refuse_if_sample(records: &Records, names: &[String], tombstone: &Digest) -> Done {
    let is_whole = names.iter().any(|name| *name == tombstone.hex());
    if is_whole || Samples::find(records, names).is_err() {
        return Ok(());
    }
    let error = StageError::new(format!(
        "`{}` names a sample, and is the beginning of the tombstone {tombstone}",
        names.join(" ")
    ));
    let help = "write all 64 digits of the one that is meant: `dermflow trace` tells those of the sample";
    Err(error.with_help(help).into())
}

/// Where a certificate goes: the file that was asked for, unless something else is in it. It is a
/// proof, so that another is never written over; the first number that is free is added.
fn place_of(asked: &Path, certificate: &Certificate) -> PathBuf {
    let tombstone = certificate.tombstone.hex();
    let is_same = |path: &Path| {
        let text = std::fs::read(path).unwrap_or_default();
        let there: Result<Value, _> = serde_json::from_slice(&text);
        there.is_ok_and(|there| there["tombstone"].as_str() == Some(tombstone.as_str()))
    };
    let stem = asked.file_stem().unwrap_or_default().to_string_lossy();
    let ending = asked
        .extension()
        .map(|ending| format!(".{}", ending.to_string_lossy()));
    let mut place = asked.to_path_buf();
    let mut number = 1;
    // What is no regular file, such as /dev/stdout, keeps nothing.
    while place.is_file() && !is_same(&place) {
        number += 1;
        place = asked.with_file_name(format!(
            "{stem}-{number}{}",
            ending.as_deref().unwrap_or_default()
        ));
    }
    place
}

fn tell(plan: &Plan) {
    trace::tell(&plan.trace);
    let rows: Vec<Vec<String>> = plan
        .removals
        .iter()
        .map(|one| {
            let why = one.why.clone();
            vec![one.name.clone(), one.blob.short(), text::bytes(one.bytes), why]
        })
        .collect();
    println!(
        "\nwould remove {} blobs, {}",
        text::count(rows.len() as u64),
        text::bytes(plan.bytes())
    );
    print!("{}", text::table(&["of", "blob", "size", "why"], &rows));
    if !plan.marks.is_empty() {
        let names: Vec<&str> = plan.marks.iter().map(|(name, _)| name.as_str()).collect();
        println!("would mark {}", names.join(", "));
    }
    println!("the next run would compute anew: {}", plan.reruns.join(", "));
    for path in &plan.sources {
        println!("outside of the store, yours to remove: {}", path.display());
    }
    for path in &plan.results {
        println!("a result that the next run replaces: {}", path.display());
    }
    if !plan.forgotten_before.is_empty() {
        println!("{} of them were forgotten before", plan.forgotten_before.len());
    }
    tell_similar(&plan.similar);
    println!("nothing was removed: add --yes to forget");
}

/// Pictures that look the same and stay, the likest first.
fn tell_similar(similar: &[Similar]) {
    if similar.is_empty() {
        return;
    }
    let rows: Vec<Vec<String>> = similar
        .iter()
        .take(MOST_SIMILAR)
        .map(|one| {
            vec![
                one.sample.to_string(),
                one.source.clone().unwrap_or_default(),
                one.of.to_string()[..8].to_string(),
                one.bits.to_string(),
            ]
        })
        .collect();
    println!(
        "\n{} that stay look the same: forget them too? Bits of 63 that differ; 0 is a copy, and up to 4 may be \
         another photo",
        match similar.len() {
            1 => "1 picture".to_string(),
            many => format!("{} pictures", text::count(many as u64)),
        }
    );
    print!(
        "{}",
        text::table(&["sample", "source", "looks like", "bits"], &rows)
    );
    if similar.len() > MOST_SIMILAR {
        println!(
            "and {} more: --json has all",
            text::count((similar.len() - MOST_SIMILAR) as u64)
        );
    }
}

fn tell_certificate(arguments: &Arguments, certificate: &Certificate) -> Done {
    let path = &place_of(&arguments.certificate, certificate);
    let written = serde_json::to_vec_pretty(certificate).map_err(|error| error.to_string());
    let written = written.and_then(|text| std::fs::write(path, text).map_err(|error| error.to_string()));
    written.map_err(|error| Failure::new(format!("writing {}: {error}", path.display())))?;
    if *path != arguments.certificate {
        eprintln!(
            "note: {} is kept as it is: it is no certificate of this forgetting, which went to {}",
            arguments.certificate.display(),
            path.display()
        );
    }
    if arguments.json {
        println!("{:#}", json!(certificate));
        return Ok(());
    }
    println!(
        "{} samples forgotten: {} blobs removed, {} artifacts marked, sealed as number {} in {}",
        certificate.samples.len(),
        text::count(certificate.removed.len() as u64),
        text::count(certificate.marked.len() as u64),
        certificate.seal_number,
        certificate.journal
    );
    let waiting = certificate
        .replaced
        .iter()
        .filter(|one| one.now.is_none())
        .count();
    println!("certificate: {}", path.display());
    if waiting > 0 {
        println!(
            "{waiting} artifacts are not replaced yet: run the pipelines again, then \
             `dermflow forget {} --certificate {}` adds what replaced them",
            certificate.tombstone.short(),
            path.display()
        );
    }
    tell_similar(&certificate.similar);
    for path in &certificate.outside {
        println!("outside of the store: {path}");
    }
    Ok(())
}
