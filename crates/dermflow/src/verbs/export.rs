//! `export`: an artifact as a plain file or folder.

use std::path::PathBuf;

use clap::Args;
use dermflow_core::StageError;

use crate::exit::Done;
use crate::lookup::locate_in;
use crate::options::{StoreOptions, tell_remote_notes};
use crate::planned::PlanOptions;

/// Writes an artifact to a path: a table as .parquet or .csv, a model as a file, files as a
/// folder.
#[derive(Args)]
pub struct Arguments {
    /// `stage.port`, a digest prefix, or the path of a result file.
    artifact: String,
    /// Where to write it.
    #[arg(long, value_name = "PATH")]
    to: PathBuf,
    #[command(flatten)]
    store: StoreOptions,
    #[command(flatten)]
    plan: PlanOptions,
}

/// Replaces a file that is there, but no folder: whose it is can't be known.
pub fn run(arguments: &Arguments) -> Done {
    let store = arguments.store.open_existing()?;
    let located = locate_in(&store, &arguments.artifact, &arguments.plan)?;
    let is_full = |folder: std::fs::ReadDir| folder.count() > 0;
    if arguments.to.read_dir().is_ok_and(is_full) {
        let message = format!("{} is a folder with other things in it", arguments.to.display());
        return Err(StageError::new(message)
            .with_help("name a folder that is not there yet")
            .into());
    }
    let exported = dermflow_engine::export(&store, located.artifact()?, &arguments.to);
    tell_remote_notes(&store);
    Ok(exported?)
}
