//! `reproduce`: does the same come out again?

use std::path::PathBuf;

use clap::Args;
use dermflow_core::StageError;
use dermflow_engine::Interrupt;
use dermflow_lineage::Graph;
use dermflow_lineage::reproduce::{Options, Reproduced, Step, reproduce};
use dermflow_stages::registry;
use dermflow_store::Store;

use crate::exit::{Done, Failure};
use crate::lookup::locate_on_record;
use crate::options::{StoreOptions, read_records};
use crate::text;

/// Runs an artifact's whole ancestry afresh in an empty store, from the records alone, and
/// compares digests. Exit code 1 where anything came out otherwise, with the action at which it
/// first did.
#[derive(Args)]
pub struct Arguments {
    /// `stage.port`, a digest prefix, or the path of a result file.
    artifact: String,
    #[command(flatten)]
    store: StoreOptions,
    /// Runs only the action that made it; its inputs are taken from the store.
    #[arg(long)]
    only: bool,
    /// A folder to look for source files in, where they were moved. They are known by content.
    #[arg(long, value_name = "FOLDER")]
    sources: Option<PathBuf>,
    /// Keeps the new store here. Left out: it is removed again.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// How many threads; 0 means as many as the machine has.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Needs the source files, not the pipeline file.
pub fn run(arguments: &Arguments) -> Done {
    let store = arguments.store.open_existing()?;
    let records = read_records(&store)?;
    let graph = Graph::of(records);
    let (key, _) = locate_on_record(records, &arguments.artifact)?;
    let (folder, _removed) = match &arguments.keep {
        Some(folder) => (folder.clone(), None),
        None => {
            let folder = new_folder()?;
            (folder.clone(), Some(Removed(folder)))
        }
    };
    if folder
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some())
    {
        return Err(Failure::new(format!(
            "{} is not empty: nothing there may count as reproduced",
            folder.display()
        )));
    }
    let into = Store::open(&folder)?;
    let interrupt = Interrupt::new();
    crate::signals::stop_on_signals(&interrupt);
    let options = Options {
        only: arguments.only,
        sources: arguments.sources.as_deref(),
        jobs: arguments.jobs,
    };
    let tell = |step: &Step| {
        if !arguments.json {
            println!("{}", line(step));
        }
    };
    let done = reproduce(
        records,
        &graph,
        &key,
        &registry(),
        &into,
        &options,
        &interrupt,
        &tell,
    );
    let reproduced = match done {
        Err(_) if interrupt.asked() => return Err(Failure::Interrupted),
        other => other?,
    };
    if arguments.json {
        println!("{:#}", serde_json::json!(reproduced));
    } else {
        conclude(&reproduced);
    }
    match reproduced.same {
        true => Ok(()),
        false => Err(Failure::Told),
    }
}

fn line(step: &Step) -> String {
    let verdict = if step.is_same() { "same" } else { "DIFFERS" };
    let mut line = format!(
        "{verdict:<8} {} [{}] in {}, then {}",
        step.stage,
        step.kind,
        text::seconds(step.seconds_now),
        text::seconds(step.seconds_then)
    );
    for (port, (was, now)) in &step.outputs {
        if was != now {
            line += &format!(
                "\n         `{port}` was {} and came out as {}",
                was.short(),
                now.short()
            );
        }
    }
    line
}

fn conclude(reproduced: &Reproduced) {
    let count = text::count(reproduced.steps.len() as u64);
    match (reproduced.same, reproduced.steps.last()) {
        (false, Some(last)) => println!(
            "{} came out otherwise, the first of {count} actions that did; {} after it were not run",
            last.stage, reproduced.left
        ),
        _ => println!("{count} actions were run again, and everything came out as it was"),
    }
}

/// A new folder among the temporary ones, of this process alone.
fn new_folder() -> Result<PathBuf, Failure> {
    let name = format!("dermflow-reproduce-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    let made = std::fs::create_dir(&folder);
    made.map_err(|error| StageError::io("creating", &folder, &error))?;
    Ok(folder)
}

/// Takes a folder away when it is no longer needed, however the verb ends.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // A store that stays behind costs space in the temporary folder, nothing else.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
