//! `trace`: everything that a sample reached.

use clap::Args;
use dermflow_lineage::trace::{Level, Reached};
use dermflow_lineage::{Graph, Samples, Trace};

use crate::exit::Done;
use crate::options::{StoreOptions, read_records};
use crate::text;

/// Shows every table row, selection, model and figure that samples reached: at row level through
/// dermflow's own stages, at the level of whole artifacts (and said so) through programs.
#[derive(Args)]
pub struct Arguments {
    /// An image file, a sample id or its first digits, a patient (a value of the column `group`
    /// or `patient`), a file as a table names it, or `column=value`.
    #[arg(required = true, value_name = "SAMPLE")]
    samples: Vec<String>,
    #[command(flatten)]
    store: StoreOptions,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Over everything on record, whichever run it was of.
pub fn run(arguments: &Arguments) -> Done {
    let store = arguments.store.open_existing()?;
    let records = read_records(&store)?;
    let samples = Samples::find(records, &arguments.samples)?;
    let trace = Trace::of(records, &Graph::of(records), samples)?;
    if arguments.json {
        println!("{:#}", serde_json::json!(trace));
        return Ok(());
    }
    tell(&trace);
    Ok(())
}

/// The same words for `trace` and for what `forget` would do.
pub fn tell(trace: &Trace) {
    for (id, how) in &trace.samples.ids {
        println!("sample {id}  ({how})");
    }
    let of = |level: Level| trace.reached.iter().filter(move |one| one.level == level);
    let rows: Vec<Vec<String>> = of(Level::Rows)
        .map(|one| {
            let contract = one.contract.clone().unwrap_or_default();
            line(one, vec![text::count(one.rows), contract])
        })
        .collect();
    section(
        "tables with rows of them",
        &["artifact", "digest", "kind", "runs", "rows", "contract"],
        &rows,
    );
    for (level, what) in [
        (Level::From, "made from those rows"),
        (Level::Through, "made from what was made from them"),
    ] {
        let rows: Vec<Vec<String>> = of(level)
            .map(|one| line(one, vec![one.sort.to_string(), one.why.clone()]))
            .collect();
        section(
            what,
            &["artifact", "digest", "kind", "runs", "sort", "why"],
            &rows,
        );
    }
    let unused: Vec<Vec<String>> = trace
        .unused
        .iter()
        .map(|one| vec![one.name.clone(), one.action.digest().short(), one.why.clone()])
        .collect();
    section(
        "took such a table and did not use the rows",
        &["stage", "action", "why"],
        &unused,
    );
    for one in &trace.unreadable {
        println!("can't be read, and may hold rows: {one}");
    }
    if trace.is_empty() {
        println!("nothing on record holds rows of them");
    }
}

fn line(one: &Reached, more: Vec<String>) -> Vec<String> {
    let mut cells = vec![
        one.name.clone(),
        one.artifact.short(),
        one.kind.clone(),
        one.runs.to_string(),
    ];
    cells.extend(more);
    cells
}

fn section(what: &str, headings: &[&str], rows: &[Vec<String>]) {
    if !rows.is_empty() {
        print!("\n{what}\n{}", text::table(headings, rows));
    }
}
