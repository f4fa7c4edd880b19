//! `schema`: the language as a JSON Schema, for editors.

use clap::Args;
use dermflow_stages::registry;

use crate::exit::{Done, Failure};

/// Prints the JSON Schema of pipeline files, every kind's parameters included.
#[derive(Args)]
pub struct Arguments {}

/// To standard output: `dermflow schema > dermflow.schema.json`.
pub fn run(_: &Arguments) -> Done {
    let schema = dermflow_graph::language_schema(&registry());
    let text = serde_json::to_string_pretty(&schema).map_err(|error| Failure::new(error.to_string()))?;
    println!("{text}");
    Ok(())
}
