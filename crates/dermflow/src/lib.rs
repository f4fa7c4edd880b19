//! The `dermflow` command-line tool: one file per verb under `verbs/`.
//!
//! This crate must not compute anything itself: it reads arguments, calls the crates below,
//! and shows what they say.
//!
//! It is a library so that the end-to-end tests can build the very same program:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     dermflow::main()
//! }
//! ```

// Before all others, which print by its macros.
#[macro_use]
mod output;

mod exit;
mod lookup;
mod options;
mod planned;
mod show_run;
mod signals;
mod text;
mod verbs;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Trains image classifiers through typed, cached, content-hashed pipelines.
///
/// A pipeline is a YAML file of stages. `run` computes what changed and nothing else; every
/// result can be asked where it came from.
#[derive(Parser)]
#[command(
    name = "dermflow",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Init(verbs::init::Arguments),
    Check(verbs::check::Arguments),
    Plan(verbs::plan::Arguments),
    Why(verbs::why::Arguments),
    Run(verbs::run::Arguments),
    Ls(verbs::ls::Arguments),
    Show(verbs::show::Arguments),
    Export(verbs::export::Arguments),
    Compare(verbs::compare::Arguments),
    Predict(verbs::predict::Arguments),
    Lineage(verbs::lineage::Arguments),
    Trace(verbs::trace::Arguments),
    Diff(verbs::diff::Arguments),
    Verify(verbs::verify::Arguments),
    Reproduce(verbs::reproduce::Arguments),
    Forget(verbs::forget::Arguments),
    ExportLineage(verbs::export_lineage::Arguments),
    Card(verbs::card::Arguments),
    Graph(verbs::graph::Arguments),
    Gc(verbs::gc::Arguments),
    Remote(verbs::remote::Arguments),
    Schema(verbs::schema::Arguments),
    Stages(verbs::stages::Arguments),
    Completions(verbs::completions::Arguments),
    #[command(hide = true)]
    Exec(verbs::exec::Arguments),
}

/// The whole program: reads the process's arguments, does what they say, tells how it ended.
pub fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Init(arguments) => verbs::init::run(&arguments),
        Verb::Check(arguments) => verbs::check::run(&arguments),
        Verb::Plan(arguments) => verbs::plan::run(&arguments),
        Verb::Why(arguments) => verbs::why::run(&arguments),
        Verb::Run(arguments) => verbs::run::run(&arguments),
        Verb::Ls(arguments) => verbs::ls::run(&arguments),
        Verb::Show(arguments) => verbs::show::run(&arguments),
        Verb::Export(arguments) => verbs::export::run(&arguments),
        Verb::Compare(arguments) => verbs::compare::run(&arguments),
        Verb::Predict(arguments) => verbs::predict::run(&arguments),
        Verb::Lineage(arguments) => verbs::lineage::run(&arguments),
        Verb::Trace(arguments) => verbs::trace::run(&arguments),
        Verb::Diff(arguments) => verbs::diff::run(&arguments),
        Verb::Verify(arguments) => verbs::verify::run(&arguments),
        Verb::Reproduce(arguments) => verbs::reproduce::run(&arguments),
        Verb::Forget(arguments) => verbs::forget::run(&arguments),
        Verb::ExportLineage(arguments) => verbs::export_lineage::run(&arguments),
        Verb::Card(arguments) => verbs::card::run(&arguments),
        Verb::Graph(arguments) => verbs::graph::run(&arguments),
        Verb::Gc(arguments) => verbs::gc::run(&arguments),
        Verb::Remote(arguments) => verbs::remote::run(&arguments),
        Verb::Schema(arguments) => verbs::schema::run(&arguments),
        Verb::Stages(arguments) => verbs::stages::run(&arguments),
        Verb::Completions(arguments) => verbs::completions::run::<Arguments>(&arguments),
        Verb::Exec(arguments) => verbs::exec::run(&arguments),
    };
    exit::code(done)
}
