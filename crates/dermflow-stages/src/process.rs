//! `process`: an external program in any language as a stage.
//!
//! The program gets its inputs as files and a JSON context, and leaves its outputs as files
//! that are checked before anything is believed. Must not know what the program does. The
//! protocol is described at [`ProcessParameters`].

mod child;
mod folder;
mod messages;
mod outputs;
mod parameters;
#[cfg(test)]
mod tests;

use dermflow_core::{
    InputTypes, Inputs, OutputPort, Problem, Source, StageContext, StageError, StageKind, Take, Tool,
};

pub use parameters::ProcessParameters;

/// See the module.
pub struct Process;

impl StageKind for Process {
    type Parameters = ProcessParameters;
    const NAME: &'static str = "process";
    const VERSION: u32 = 1;
    const ABOUT: &'static str = "Runs an external program, in any language, on tables, models and files.";
    const EXAMPLE: &'static str = "\
name: process-example
stages:
  lesions:
    kind: import-table
    with: {path: lesions.csv, key: image, columns: {diagnosis: text}}
  summary:
    kind: process
    in: {lesions: lesions.table}
    with:
      command: [python3, summarise.py, --by, diagnosis]
      files: [summarise.py]
      environment: {PYTHONHASHSEED: '0'}
      parameters: {smallest: 5}
      outputs:
        counts: {table: {diagnosis: text, images: integer}}
        pages: files
      timeout: 600
outputs:
  counts: summary.counts
";

    fn inputs(_: &ProcessParameters) -> Inputs {
        Inputs {
            ports: Vec::new(),
            open: true,
        }
    }

    fn outputs(parameters: &ProcessParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        parameters.output_ports()
    }

    fn check(parameters: &ProcessParameters) -> Vec<Problem> {
        parameters.problems()
    }

    fn sources(parameters: &ProcessParameters) -> Vec<Source> {
        let files = parameters.files.iter().enumerate();
        files
            .map(|(at, file)| Source {
                parameter: ProcessParameters::source_parameter(at),
                path: file.path.clone(),
                take: Take::FileOrFolder,
            })
            .collect()
    }

    fn tool(parameters: &ProcessParameters) -> Option<Tool> {
        parameters.tool()
    }

    fn run(parameters: &ProcessParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        run(parameters, None, context)
    }
}

/// One run of the program, from an empty folder to checked outputs.
pub(crate) fn run(
    parameters: &ProcessParameters,
    seed: Option<u64>,
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    if context.cancelled() {
        return Err(StageError::cancelled());
    }
    let folder = folder::Folder::prepare(parameters, seed, context)?;
    child::run(parameters, &folder, context)?;
    for (name, output) in &parameters.outputs {
        outputs::take(name, output, &folder, context)?;
    }
    // The folder is in the action's scratch, which is removed when the action is done.
    Ok(())
}
