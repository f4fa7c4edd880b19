//! `plan`: what would a run do, and why?

use clap::Args;
use dermflow_engine::{Outlook, PlannedStage, Remember, Sources, plan, recall};
use dermflow_stages::registry;

use crate::exit::{Done, Failure};
use crate::options::{PipelineOptions, StoreOptions, require_stages, tell_remote_notes};
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
    let all = match unchanged(arguments) {
        Some(all) => all,
        None => look(arguments)?,
    };
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

/// The plan, where a memo of an earlier run or plan says that nothing changed.
fn unchanged(arguments: &Arguments) -> Option<Vec<PlannedStage>> {
    if arguments.rehash || !arguments.force.is_empty() {
        return None;
    }
    let store = arguments.store.open_existing().ok()?;
    let sources = Sources::new(&store, false);
    let cells = arguments.pipeline.cells();
    let recalled = recall(&store, &sources, &arguments.pipeline.invocation(&cells, &[]))?;
    sources.save().ok()?;
    eprint!("{}", recalled.warnings(text::stderr_has_colour()));
    let plan = recalled.plan(&store);
    tell_remote_notes(&store);
    Some(plan)
}

/// The plan from the pipeline itself.
fn look(arguments: &Arguments) -> Result<Vec<PlannedStage>, Failure> {
    let cells = arguments.pipeline.cells();
    let remember = Remember::before_loading(&arguments.pipeline.invocation(&cells, &[]));
    let loaded = arguments.pipeline.load(&registry())?;
    require_stages(loaded, &arguments.force)?;
    let store = arguments.store.open()?;
    let sources = Sources::new(&store, arguments.rehash);
    let mut planned = Vec::new();
    for pipeline in &loaded.pipelines {
        planned.push(plan(pipeline, &store, &sources, &arguments.force)?);
    }
    if let Some(remember) = remember {
        remember.loaded(loaded).plans(&store, &loaded.pipelines, &planned);
    }
    sources.save()?;
    tell_remote_notes(&store);
    Ok(planned.into_iter().flatten().collect())
}

/// A stage in one line, and a line for every reason.
pub fn told(stage: &PlannedStage) -> String {
    let status = match stage.status {
        Outlook::Hit if stage.remote => "hit (remote)",
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
