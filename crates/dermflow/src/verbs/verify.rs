//! `verify`: is everything in a store what it says?

use std::path::PathBuf;

use clap::Args;
use dermflow_lineage::sign::PublicKey;
use dermflow_lineage::verify::{Scope, Verified, verify};
use dermflow_store::Store;
use serde_json::json;

use crate::exit::{Done, Failure};
use crate::options::StoreOptions;
use crate::text;

/// Checks every blob, record, table, journal, index and result against each other. Exit code 1
/// with a list where anything is wrong.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    store: StoreOptions,
    /// Where runs laid results out. Left out: `results` beside the store.
    #[arg(long, value_name = "FOLDER")]
    results: Option<PathBuf>,
    /// Checks the signatures of runs with this Ed25519 public key (PEM).
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// Looks into the store that the team shares as well (`--remote`, or the one that was set):
    /// what it has of the records here is hashed, and what it lacks is named.
    #[arg(long)]
    shared: bool,
    /// Sets aside what is wrong, so that the next run makes it again; with --shared, there as well.
    #[arg(long)]
    repair: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Touches nothing without --repair.
pub fn run(arguments: &Arguments) -> Done {
    let public_key = arguments.public_key.as_deref().map(PublicKey::read).transpose()?;
    let store = arguments.store.open_existing()?;
    let results = arguments
        .results
        .clone()
        .unwrap_or_else(|| arguments.store.results());
    let shared = shared(arguments)?;
    let scope = Scope {
        results: Some(&results),
        public_key: public_key.as_ref(),
        shared: shared.as_ref(),
    };
    let found = verify(&store, &scope)?;
    let left = match arguments.repair {
        true => found.repair(&store, shared.as_ref()),
        false => found.problems.iter().collect(),
    };
    if arguments.json {
        let seal = store.newest_seal();
        let told = json!({"sound": found.is_sound(), "checked": found.checked, "problems": found.problems,
            "notices": found.notices, "repaired": arguments.repair, "left": left.len(),
            "seal": seal.as_ref().map(|(journal, number, digest)| json!({"journal": journal, "number": number, "digest": digest}))});
        println!("{told:#}");
    } else {
        tell(&found, arguments.repair);
        if let Some((journal, number, digest)) = store.newest_seal() {
            println!("newest seal: number {number}, run {journal}, {digest}");
        }
    }
    match left.is_empty() {
        true => Ok(()),
        false => Err(Failure::Told),
    }
}

/// The shared store by itself, where it is to be looked into.
fn shared(arguments: &Arguments) -> Result<Option<Store>, Failure> {
    if !arguments.shared {
        return Ok(None);
    }
    let path = arguments.store.remote().ok_or_else(|| {
        Failure::new(
            "there is no shared store to look into: name it with --remote, or set it with `dermflow remote`",
        )
    })?;
    Ok(Some(Store::open_existing(&path)?))
}

fn tell(found: &Verified, repaired: bool) {
    let checked = &found.checked;
    for problem in &found.problems {
        println!("{}  {}: {}", problem.sort, problem.what, problem.reason);
    }
    for notice in &found.notices {
        println!("note: {notice}");
    }
    let count = |number: usize| text::count(number as u64);
    println!(
        "{} blobs ({}), {} records, {} partitions of tables, {} journals with {} stages, {} results",
        count(checked.blobs),
        text::bytes(checked.bytes),
        count(checked.records),
        count(checked.partitions),
        count(checked.journals),
        count(checked.lines),
        count(checked.results)
    );
    if checked.shared_records > 0 {
        println!(
            "in the shared store: {} of the records, {} blobs ({})",
            count(checked.shared_records),
            count(checked.shared_blobs),
            text::bytes(checked.shared_bytes)
        );
    }
    if checked.signatures > 0 {
        println!(
            "{} signatures are by the key that was given",
            count(checked.signatures)
        );
    }
    match (found.problems.len(), repaired) {
        (0, _) => println!("nothing is wrong"),
        (many, true) => println!("{} problems; what could be was set aside", count(many)),
        (many, false) => println!(
            "{} problems; --repair sets aside what the next run can make again",
            count(many)
        ),
    }
}
