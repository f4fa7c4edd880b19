//! `run`: computes what changed.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use dermflow_engine::{Executor, Interrupt, Options, ProcessExecutor, Sources, run as run_pipelines};
use dermflow_stages::registry;

use crate::exit::{Done, Failure};
use crate::options::{PipelineOptions, StoreOptions, require_stages};
use crate::show_run::Display;

/// Runs a pipeline: whatever the store has is taken from it, the rest is computed.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineOptions,
    #[command(flatten)]
    store: StoreOptions,
    /// How many threads; by default, as many as the machine has.
    #[arg(short, long, default_value_t = 0, hide_default_value = true)]
    jobs: usize,
    /// How much memory running stages may claim together, in MiB; by default four fifths of
    /// the machine's.
    #[arg(long, value_name = "MIB")]
    memory: Option<u64>,
    /// Goes on with what does not depend on a failed stage.
    #[arg(long)]
    keep_going: bool,
    /// Only this stage and what it needs. May be repeated.
    #[arg(long, value_name = "STAGE")]
    until: Vec<String>,
    /// Computes this stage though the store has its result. May be repeated.
    #[arg(long, value_name = "STAGE")]
    force: Vec<String>,
    /// Runs every action in a process of its own, so that a crash stays alone.
    #[arg(long)]
    isolate: bool,
    /// Reads every source file again, whatever its time and size say.
    #[arg(long)]
    rehash: bool,
    /// Where named outputs are laid; by default `results` beside the store.
    #[arg(long, value_name = "FOLDER")]
    results: Option<PathBuf>,
    /// Prints every event as a JSON line.
    #[arg(long)]
    json: bool,
}

/// Exit code 1 where a stage failed, 130 where it was interrupted.
pub fn run(arguments: &Arguments) -> Done {
    let loaded = arguments.pipeline.load(&registry())?;
    require_stages(loaded, arguments.until.iter().chain(&arguments.force))?;
    let interrupt = Interrupt::new();
    crate::signals::stop_on_signals(&interrupt);
    let store = arguments.store.open()?;
    let sources = Sources::new(&store, arguments.rehash);
    let executor: Option<Arc<dyn Executor>> = match arguments.isolate {
        true => Some(Arc::new(ProcessExecutor::new(this_program()?, store.clone()))),
        false => None,
    };
    let options = Options {
        jobs: arguments.jobs,
        memory: arguments.memory.map(|mebibytes| mebibytes << 20),
        keep_going: arguments.keep_going,
        until: arguments.until.clone(),
        force: arguments.force.clone(),
        executor,
        results: Some(
            arguments
                .results
                .clone()
                .unwrap_or_else(|| arguments.store.results()),
        ),
    };
    let display = Display::new(arguments.json);
    let summary = run_pipelines(
        &loaded.pipelines,
        &store,
        &sources,
        &options,
        &|event| display.tell(event),
        &interrupt,
    )?;
    match (summary.interrupted, summary.failed) {
        (true, _) => Err(Failure::Interrupted),
        (_, 0) => Ok(()),
        _ => Err(Failure::Told),
    }
}

fn this_program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| Failure::new(format!("finding this program's own file: {error}")))
}
