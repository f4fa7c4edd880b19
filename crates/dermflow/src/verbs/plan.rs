//! `plan`: what would a run do, and why?

use clap::Args;
use dermflow_engine::{Outlook, PlannedStage, Sources, plan};
use dermflow_stages::registry;

use crate::exit::{Done, Failure};
use crate::options::{PipelineOptions, StoreOptions, require_stages};
use crate::text;

/// Says for every stage whether the store has its result, and if not, why not.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineOptions,
    #[command(flatten)]
    store: StoreOptions,
    /// Prints a JSON list: name, kind, key, status and reasons of every stage.
    #[arg(long)]
    json: bool,
    /// Treats this stage as a miss. May be repeated.
    #[arg(long, value_name = "STAGE")]
    force: Vec<String>,
    /// Reads every source file again, whatever its time and size say.
    #[arg(long)]
    rehash: bool,
}

/// Nothing is computed.
pub fn run(arguments: &Arguments) -> Done {
    let loaded = arguments.pipeline.load(&registry())?;
    require_stages(loaded, &arguments.force)?;
    let store = arguments.store.open()?;
    let sources = Sources::new(&store, arguments.rehash);
    let mut all = Vec::new();
    for pipeline in &loaded.pipelines {
        all.extend(plan(pipeline, &store, &sources, &arguments.force)?);
    }
    sources.save()?;
    if arguments.json {
        let text = serde_json::to_string_pretty(&all).map_err(|error| Failure::new(error.to_string()))?;
        println!("{text}");
        return Ok(());
    }
    let mut out = String::new();
    for stage in &all {
        out += &told(stage);
    }
    let count = |status: Outlook| all.iter().filter(|stage| stage.status == status).count();
    out += &format!(
        "{} hit, {} miss, {} wait for a miss, {} blocked\n",
        count(Outlook::Hit),
        count(Outlook::Miss),
        count(Outlook::Waits),
        count(Outlook::Blocked)
    );
    print!("{out}");
    Ok(())
}

/// A stage in one line, and a line for every reason.
pub fn told(stage: &PlannedStage) -> String {
    let status = match stage.status {
        Outlook::Hit => "hit    ",
        Outlook::Miss => "miss   ",
        Outlook::Waits => "waits  ",
        Outlook::Blocked => "blocked",
    };
    let took = stage.last_seconds.map_or(String::new(), |seconds| {
        format!("  (took {})", text::seconds(seconds))
    });
    let mut lines = format!("{status}  {}  [{}]{took}\n", stage.label, stage.label.kind);
    for reason in &stage.reasons {
        lines += &format!("           {reason}\n");
    }
    if let Some(error) = &stage.error {
        lines += &format!("           {}\n", error.replace('\n', "\n           "));
    }
    lines
}
