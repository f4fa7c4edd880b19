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
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut C::command(), "dermflow", &mut script);
    print!("{}", String::from_utf8_lossy(&script));
    Ok(())
}
