//! `run`: computes what changed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use dermflow_engine::{
    Interrupt, Invocation, Options, ProcessExecutor, Remember, Sources, recall, run as run_pipelines,
};
use dermflow_lineage::sign::{PrivateKey, sign};
use dermflow_stages::registry;

use crate::exit::{Done, Failure};
use crate::options::{PipelineOptions, StoreOptions, mebibytes, require_stages};
use crate::show_run::Display;
use crate::text::stderr_has_colour;

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
    #[arg(long, value_name = "MIB", value_parser = mebibytes)]
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
    /// Signs the run's journal, and all before it, with this Ed25519 private key (PKCS#8 PEM).
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
    /// Prints every event as a JSON line.
    #[arg(long)]
    json: bool,
}

/// Exit code 1 where a stage failed, 130 where it was interrupted.
pub fn run(arguments: &Arguments) -> Done {
    // A key that can't be read is told before anything is computed.
    let key = arguments.sign.as_deref().map(PrivateKey::read).transpose()?;
    let done = run_unsigned(arguments);
    // A failed run is sealed, too, and says what it did.
    if let (Ok(()) | Err(Failure::Told), Some(key)) = (&done, key) {
        let signature = sign(&arguments.store.open_existing()?, &key)?;
        eprintln!(
            "signed   {} (seal {}) with the key {}",
            signature.journal, signature.number, signature.public_key
        );
    }
    done
}

fn run_unsigned(arguments: &Arguments) -> Done {
    let cells = arguments.pipeline.cells();
    let invocation = arguments.pipeline.invocation(&cells, &arguments.until);
    let mut options = Options {
        jobs: arguments.jobs,
        memory: arguments.memory,
        keep_going: arguments.keep_going,
        until: arguments.until.clone(),
        force: arguments.force.clone(),
        executor: None,
        results: Some(
            arguments
                .results
                .clone()
                .unwrap_or_else(|| arguments.store.results()),
        ),
        remember: Remember::before_loading(&invocation),
    };
    if let Some(done) = unchanged(arguments, &invocation, &options)? {
        return Ok(done);
    }
    let loaded = arguments.pipeline.load(&registry())?;
    require_stages(loaded, arguments.until.iter().chain(&arguments.force))?;
    options.remember = options.remember.map(|remember| remember.loaded(loaded));
    let interrupt = Interrupt::new();
    crate::signals::stop_on_signals(&interrupt);
    let store = arguments.store.open_to_run()?;
    let sources = Sources::new(&store, arguments.rehash);
    if arguments.isolate {
        options.executor = Some(Arc::new(ProcessExecutor::new(this_program()?, store.clone())));
    }
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

/// The whole run, where a memo of an earlier one says that there is nothing to do.
fn unchanged(
    arguments: &Arguments,
    invocation: &Invocation<'_>,
    options: &Options,
) -> Result<Option<()>, Failure> {
    if arguments.rehash || !arguments.force.is_empty() {
        return Ok(None);
    }
    // A wrong pipeline is told before anything of a store is: that is left to the long way.
    let Ok(store) = arguments.store.open_existing_to_run() else {
        return Ok(None);
    };
    let sources = Sources::new(&store, false);
    let Some(recalled) = recall(&store, &sources, invocation) else {
        return Ok(None);
    };
    let display = Display::new(arguments.json);
    let told = AtomicBool::new(false);
    let ran = recalled.run(&store, &sources, options, &|event| {
        if !told.swap(true, Ordering::Relaxed) {
            eprint!("{}", recalled.warnings(stderr_has_colour()));
        }
        display.tell(event);
    })?;
    Ok(ran.map(drop))
}

fn this_program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| Failure::new(format!("finding this program's own file: {error}")))
}
