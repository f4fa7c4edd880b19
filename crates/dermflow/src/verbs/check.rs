//! `check`: is the pipeline right? Nothing is started and no store is needed.

use clap::Args;
use dermflow_stages::registry;

use crate::exit::Done;
use crate::options::PipelineOptions;

/// Checks a pipeline with all its variants and matrix cells; starts nothing.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineOptions,
    /// Prints problems as a JSON list.
    #[arg(long)]
    json: bool,
}

/// Every cell is checked, unless one was asked for.
pub fn run(arguments: &Arguments) -> Done {
    let options = &arguments.pipeline;
    let every = PipelineOptions {
        file: options.file.clone(),
        overrides: options.overrides.clone(),
        variant: options.variant.clone(),
        matrix: options.matrix.clone(),
        all_variants: options.variant.is_none() && options.matrix.is_none(),
    };
    let loaded = match every.load(&registry()) {
        Err(crate::exit::Failure::Pipeline(diagnostics)) if arguments.json => {
            println!(
                "{}",
                serde_json::to_string_pretty(&diagnostics).unwrap_or_default()
            );
            return Err(crate::exit::Failure::Pipeline(diagnostics));
        }
        other => other?,
    };
    if arguments.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&loaded.warnings).unwrap_or_default()
        );
    }
    let stages: usize = loaded
        .pipelines
        .iter()
        .map(|pipeline| pipeline.stages.len())
        .sum();
    let cells = loaded.pipelines.len();
    eprintln!(
        "{}: {stages} stages in {cells} cells are right",
        options.file.display()
    );
    Ok(())
}
