//! `completions`: scripts for the user's shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::exit::Done;

/// Prints a completion script for a shell.
#[derive(Args)]
pub struct Arguments {
    /// Which shell.
    shell: Shell,
}

/// Of the whole command line `C`.
pub fn run<C: CommandFactory>(arguments: &Arguments) -> Done {
    clap_complete::generate(
        arguments.shell,
        &mut C::command(),
        "dermflow",
        &mut std::io::stdout(),
    );
    Ok(())
}
