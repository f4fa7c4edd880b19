//! `export`: an artifact as a plain file or folder.

use std::path::PathBuf;

use clap::Args;

use crate::exit::Done;
use crate::lookup::locate;
use crate::options::StoreOptions;

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
}

/// Replaces what is there.
pub fn run(arguments: &Arguments) -> Done {
    let store = arguments.store.open_existing()?;
    let located = locate(&store, &arguments.artifact)?;
    dermflow_engine::export(&store, located.artifact()?, &arguments.to)?;
    Ok(())
}
