//! Options that several verbs share: which pipeline, which cells, which store.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use dermflow_core::Registry;
use dermflow_engine::Invocation;
use dermflow_graph::{CellSelection, Loaded, Request, load};
use dermflow_lineage::Records;
use dermflow_store::{RemoteNote, RemoteUse, Store};

use crate::exit::Failure;

/// Which pipeline, and how it is changed from the command line.
#[derive(Args)]
pub struct PipelineOptions {
    /// The pipeline file.
    #[arg(default_value = "dermflow.yaml")]
    pub file: PathBuf,

    /// Overrides a value: `prior=0`, `stages.train.with.epochs=3`. May be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub overrides: Vec<String>,

    /// Takes this variant instead of the file's base.
    #[arg(long, value_name = "NAME", group = "cells")]
    pub variant: Option<String>,

    /// Takes every cell of this matrix.
    #[arg(long, value_name = "NAME", group = "cells")]
    pub matrix: Option<String>,

    /// Takes the base, every variant and every cell of every matrix.
    #[arg(long, group = "cells")]
    pub all_variants: bool,
}

impl PipelineOptions {
    /// Reads and checks the file, once a process. Warnings are told at once.
    pub fn load(&self, registry: &Registry) -> Result<&'static Loaded, Failure> {
        let loaded = load(&Request {
            file: &self.file,
            registry,
            overrides: &self.overrides,
            cells: self.cells(),
        })?;
        eprint!("{}", loaded.warnings.render(crate::text::stderr_has_colour()));
        // Left to the end of the process: a large graph takes long to be freed piece by piece.
        Ok(Box::leak(Box::new(loaded)))
    }

    /// What is asked for, apart from what stands in the file.
    pub fn invocation<'a>(&'a self, cells: &'a CellSelection, until: &'a [String]) -> Invocation<'a> {
        Invocation {
            file: &self.file,
            overrides: &self.overrides,
            cells,
            until,
        }
    }

    /// Which of the file's pipelines.
    pub fn cells(&self) -> CellSelection {
        match (&self.variant, &self.matrix) {
            (Some(variant), _) => CellSelection::Variant(variant.clone()),
            (_, Some(matrix)) => CellSelection::Matrix(matrix.clone()),
            _ if self.all_variants => CellSelection::All,
            _ => CellSelection::Base,
        }
    }
}

/// Refuses names of stages that no chosen pipeline has.
pub fn require_stages<'a>(
    loaded: &Loaded,
    names: impl IntoIterator<Item = &'a String>,
) -> Result<(), Failure> {
    let stages = || loaded.pipelines.iter().flat_map(|pipeline| &pipeline.stages);
    for name in names {
        if !stages().any(|stage| stage.name == *name) {
            return Err(Failure::unknown(
                "stage",
                name,
                stages().map(|stage| stage.name.as_str()),
            ));
        }
    }
    Ok(())
}

/// Reads a number of MiB, as bytes.
pub fn mebibytes(text: &str) -> Result<u64, String> {
    let number: u64 = text
        .parse()
        .map_err(|_| format!("`{text}` is no number of MiB: write a whole number such as 4096"))?;
    let most = u64::MAX >> 20;
    match number <= most {
        true => Ok(number << 20),
        false => Err(format!(
            "`{text}` MiB are too many: at most {most} can be counted"
        )),
    }
}

/// A verb that only looks: nothing is pushed, and no remote is made.
const READS: RemoteUse = RemoteUse {
    push: false,
    create: false,
};

const PUSHES: RemoteUse = RemoteUse {
    push: true,
    create: true,
};

/// Tells what there is to say of the remote on standard error, for verbs that tell no events.
pub fn tell_remote_notes(store: &Store) {
    for RemoteNote { message, help } in store.take_remote_notes() {
        eprintln!("note: {message}");
        if let Some(help) = help {
            eprintln!("help: {help}");
        }
    }
}

/// Everything that is recorded in a store.
pub fn read_records(store: &Store) -> Result<&'static Records, Failure> {
    // Left to the end of the process: those of a large store take long to be freed one by one.
    Ok(Box::leak(Box::new(Records::read(store)?)))
}

/// Which store.
#[derive(Args)]
pub struct StoreOptions {
    /// The store's folder.
    #[arg(
        long,
        value_name = "FOLDER",
        env = "DERMFLOW_STORE",
        default_value = ".dermflow"
    )]
    pub store: PathBuf,

    /// A store that a team shares, behind this one: results that it has are taken from it, and
    /// `run` pushes new ones to it. By default the one that `dermflow remote` set; empty for none.
    #[arg(long, value_name = "FOLDER", env = "DERMFLOW_REMOTE")]
    pub remote: Option<OsString>,
}

impl StoreOptions {
    /// Opens the store, and makes it if there is none.
    pub fn open(&self) -> Result<Store, Failure> {
        Ok(self.behind(Store::open(&self.store)?, READS))
    }

    /// Opens a store that must be there.
    pub fn open_existing(&self) -> Result<Store, Failure> {
        Ok(self.behind(Store::open_existing(&self.store)?, READS))
    }

    /// As [`StoreOptions::open`], for a run, which pushes what it makes.
    pub fn open_to_run(&self) -> Result<Store, Failure> {
        Ok(self.behind(Store::open(&self.store)?, PUSHES))
    }

    /// As [`StoreOptions::open_existing`], for a run.
    pub fn open_existing_to_run(&self) -> Result<Store, Failure> {
        Ok(self.behind(Store::open_existing(&self.store)?, PUSHES))
    }

    /// Opens a store that must be there, and nothing behind it.
    pub fn open_alone(&self) -> Result<Store, Failure> {
        Ok(Store::open_existing(&self.store)?)
    }

    fn behind(&self, store: Store, remote_use: RemoteUse) -> Store {
        match self.remote() {
            Some(remote) => store.with_remote(&remote, remote_use),
            None => store,
        }
    }

    /// Where the remote lies: what the option or the environment says, else the setting.
    pub fn remote(&self) -> Option<PathBuf> {
        // As text: an empty path is refused by the command line, and means none here.
        let said = self.remote.clone().map(PathBuf::from);
        let said = said.or_else(|| self.remote_setting());
        said.filter(|path| !path.as_os_str().is_empty())
    }

    /// The remote that `dermflow remote` set for this store.
    pub fn remote_setting(&self) -> Option<PathBuf> {
        let text = std::fs::read_to_string(self.remote_setting_file()).ok()?;
        Some(PathBuf::from(text.trim_end_matches('\n')))
    }

    /// The file in the store that names it.
    pub fn remote_setting_file(&self) -> PathBuf {
        self.store.join("remote")
    }

    /// Where named outputs are laid: `results` beside the store.
    pub fn results(&self) -> PathBuf {
        let folder = self
            .store
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new(".")).join("results")
    }
}

#[cfg(test)]
mod tests {
    use super::mebibytes;

    #[test]
    fn sizes_are_bytes_and_none_wraps_around() {
        assert_eq!(mebibytes("3"), Ok(3 << 20));
        assert_eq!(mebibytes("17592186044415"), Ok(17_592_186_044_415 << 20));
        for wrong in ["17592186044416", "18446744073709551616", "-1", "1.5", "", "1GiB"] {
            assert!(mebibytes(wrong).is_err(), "{wrong}");
        }
    }
}
