//! `graph`: a picture of the pipeline.

use clap::{Args, ValueEnum};
use dermflow_graph::drawing::Drawing;
use dermflow_stages::registry;

use crate::exit::Done;
use crate::options::PipelineOptions;

/// Draws the stage graph.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineOptions,
    /// In which language.
    #[arg(long, value_enum, default_value = "mermaid")]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Graphviz.
    Dot,
    /// Mermaid, which Markdown pages show.
    Mermaid,
    /// A picture.
    Svg,
}

/// One drawing per cell.
pub fn run(arguments: &Arguments) -> Done {
    for pipeline in &arguments.pipeline.load(&registry())?.pipelines {
        let drawing = Drawing::from(pipeline);
        print!(
            "{}",
            match arguments.format {
                Format::Dot => drawing.dot(),
                Format::Mermaid => drawing.mermaid(),
                Format::Svg => drawing.svg(),
            }
        );
    }
    Ok(())
}
