//! `why`: the chain of causes behind one stage.

use std::collections::BTreeSet;

use clap::Args;
use dermflow_engine::{PlannedStage, Reason, Sources, plan};
use dermflow_stages::registry;

use crate::exit::Done;
use crate::options::{PipelineOptions, StoreOptions, require_stages};
use crate::verbs::plan::told;

/// Says why a stage would run, back to the first cause.
#[derive(Args)]
pub struct Arguments {
    /// The stage.
    stage: String,
    #[command(flatten)]
    pipeline: PipelineOptions,
    #[command(flatten)]
    store: StoreOptions,
}

/// In every chosen cell.
pub fn run(arguments: &Arguments) -> Done {
    let loaded = arguments.pipeline.load(&registry())?;
    require_stages(loaded, [&arguments.stage])?;
    let store = arguments.store.open()?;
    let sources = Sources::new(&store, false);
    for pipeline in &loaded.pipelines {
        let planned = plan(pipeline, &store, &sources, &[])?;
        for stage in causes(&planned, &arguments.stage) {
            print!("{}", told(stage));
        }
    }
    sources.save()?;
    Ok(())
}

/// The stage itself, and what it waits for, back to the stages that wait for nothing.
fn causes<'a>(planned: &'a [PlannedStage], stage: &str) -> Vec<&'a PlannedStage> {
    let mut wanted = BTreeSet::from([stage.to_string()]);
    let mut found = Vec::new();
    for one in planned.iter().rev() {
        if wanted.contains(&one.label.stage) {
            found.push(one);
            wanted.extend(one.reasons.iter().filter_map(|reason| match reason {
                Reason::Waits { stage, .. } => Some(stage.clone()),
                _ => None,
            }));
        }
    }
    found
}
