//! `remote`: which store the team shares, and whether it can be used.

use std::path::{Path, PathBuf};

use clap::Args;
use dermflow_core::StageError;
use dermflow_store::{RemoteUse, Store};

use crate::exit::{Done, Failure};
use crate::options::{StoreOptions, tell_remote_notes};

/// Shows which store a team shares behind this one, or sets it.
#[derive(Args)]
pub struct Arguments {
    /// Uses this folder from now on, and makes a store of it if it is empty or not there yet.
    #[arg(value_name = "FOLDER", conflicts_with = "forget")]
    set: Option<PathBuf>,
    /// Uses none from now on.
    #[arg(long)]
    forget: bool,
    #[command(flatten)]
    store: StoreOptions,
}

/// A remote that can't be used is not set.
pub fn run(arguments: &Arguments) -> Done {
    let setting = arguments.store.remote_setting_file();
    let store = Store::open(&arguments.store.store)?;
    if let Some(folder) = &arguments.set {
        let folder = absolute(folder)?;
        open(&store, &folder, true)?;
        std::fs::write(&setting, format!("{}\n", folder.display()))
            .map_err(|error| StageError::io("writing", &setting, &error))?;
    }
    if arguments.forget {
        match std::fs::remove_file(&setting) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StageError::io("removing", &setting, &error).into());
            }
            _ => {}
        }
    }
    match arguments.store.remote() {
        None => println!("no remote: results stay in {}", store.root().display()),
        Some(remote) => {
            let remote = absolute(&remote)?;
            open(&store, &remote, false)?;
            println!("{}", remote.display());
        }
    }
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let error = |error: std::io::Error| StageError::io("finding", path, &error).into();
    std::path::absolute(path).map_err(error)
}

/// Fails where it can't be used.
fn open(store: &Store, remote: &Path, create: bool) -> Done {
    let behind = store.with_remote(remote, RemoteUse { push: false, create });
    let used = behind.remote_path().is_some();
    if used {
        tell_remote_notes(&behind);
        return Ok(());
    }
    let notes = behind.take_remote_notes().into_iter();
    let said: Vec<String> = notes.map(|note| note.message).collect();
    Err(StageError::new(said.join("; "))
        .with_help("mount the share, or name another folder")
        .into())
}
