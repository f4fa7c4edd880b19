//! `exec`: runs one submitted action in this process. Called by executors, not by people.

use clap::Args;
use dermflow_core::Key;
use dermflow_engine::{Interrupt, execute};
use dermflow_stages::registry;

use crate::exit::{Done, Failure};
use crate::options::StoreOptions;

/// Runs one action from its manifest; events go to standard output as JSON lines.
#[derive(Args)]
pub struct Arguments {
    /// The action's key, all 64 digits.
    key: String,
    #[command(flatten)]
    store: StoreOptions,
}

/// The record is in the store when this returns well.
pub fn run(arguments: &Arguments) -> Done {
    let key: Key = arguments
        .key
        .parse()
        .map_err(|error| Failure::new(format!("{error}")))?;
    let interrupt = Interrupt::new();
    crate::signals::stop_on_signals(&interrupt);
    let store = arguments.store.open_existing()?;
    // The failure stands on standard output already.
    execute(&key, &store, &registry(), &interrupt).map_err(|_| Failure::Told)
}
