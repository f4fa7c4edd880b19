//! `card`: a model card, a data card and the checklists of journals.

use std::path::PathBuf;

use clap::Args;
use dermflow_core::StageError;
use dermflow_lineage::Graph;
use dermflow_lineage::card::{Card, Status};

use crate::exit::Done;
use crate::lookup::locate_on_record;
use crate::options::{StoreOptions, read_records};

/// Writes a model card and a data card from the records, with the checklists CLAIM 2024, CLEAR
/// Derm and TRIPOD+AI: each item filled, "needs the author" or "not applicable".
#[derive(Args)]
pub struct Arguments {
    /// The model: `stage.port`, a digest prefix, or the path of a result file.
    model: String,
    #[command(flatten)]
    store: StoreOptions,
    /// Writes `NAME.md` and `NAME.json` instead of printing the page.
    #[arg(long, value_name = "NAME")]
    to: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Nothing is asked of the user, and nothing guessed.
pub fn run(arguments: &Arguments) -> Done {
    let store = arguments.store.open_existing()?;
    let records = read_records(&store)?;
    let (key, port) = locate_on_record(records, &arguments.model)?;
    let card = Card::of(records, &Graph::of(records), &key, &port)?;
    if arguments.json {
        println!("{:#}", serde_json::json!(card));
    }
    let Some(to) = &arguments.to else {
        if !arguments.json {
            print!("{}", card.markdown());
        }
        return Ok(());
    };
    let json = format!("{:#}\n", serde_json::json!(card));
    for (ending, text) in [("md", card.markdown()), ("json", json)] {
        let path = PathBuf::from(format!("{}.{ending}", to.display()));
        let written = std::fs::write(&path, text);
        written.map_err(|error| StageError::io("writing", &path, &error))?;
        eprintln!("wrote {}", path.display());
    }
    for list in &card.checklists {
        let of = |status: Status| list.items.iter().filter(|item| item.status == status).count();
        eprintln!(
            "{}: {} filled, {} need the author, {} not applicable",
            list.name,
            of(Status::Filled),
            of(Status::NeedsTheAuthor),
            of(Status::NotApplicable)
        );
    }
    Ok(())
}
