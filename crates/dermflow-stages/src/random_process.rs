//! `random-process`: as `process`, for a program that draws random numbers.
//!
//! A kind of its own, because the pipeline's seed enters the key of every random kind: a
//! program that draws nothing should not run again where the seed changes.

use dermflow_core::{
    InputTypes, Inputs, OutputPort, Problem, Source, StageContext, StageError, StageKind, Tool,
};

use crate::process::{self, Process, ProcessParameters};

/// See the module.
pub struct RandomProcess;

impl StageKind for RandomProcess {
    type Parameters = ProcessParameters;
    const NAME: &'static str = "random-process";
    const VERSION: u32 = 1;
    const ABOUT: &'static str =
        "Runs an external program as `process` does, and tells it the `seed` to draw random numbers from.";
    const EXAMPLE: &'static str = "\
name: random-process-example
seed: 20
stages:
  draws:
    kind: random-process
    with:
      # It starts with: random.seed(json.load(open(os.environ['DERMFLOW_CONTEXT']))['seed'])
      command: [python3, draw.py]
      files: [draw.py]
      outputs: {draw: files}
outputs:
  draw: draws.draw
";
    const RANDOM: bool = true;

    fn inputs(parameters: &ProcessParameters) -> Inputs {
        Process::inputs(parameters)
    }
    fn outputs(parameters: &ProcessParameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        Process::outputs(parameters, wired)
    }
    fn check(parameters: &ProcessParameters) -> Vec<Problem> {
        Process::check(parameters)
    }
    fn sources(parameters: &ProcessParameters) -> Vec<Source> {
        Process::sources(parameters)
    }
    fn tool(parameters: &ProcessParameters) -> Option<Tool> {
        Process::tool(parameters)
    }
    fn run(parameters: &ProcessParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let seed = context.seed();
        process::run(parameters, Some(seed), context)
    }
}

#[cfg(test)]
mod tests {
    use dermflow_core::memory::MemoryContext;

    use super::*;

    #[test]
    fn the_seed_reaches_the_program_and_only_that_of_the_random_kind() {
        let yaml = "{command: 'cp \"$DERMFLOW_CONTEXT\" outputs/told/context.json', outputs: {told: files}}";
        let parameters: ProcessParameters = serde_yaml::from_str(yaml).unwrap();
        let told = |run: &dyn Fn(&mut MemoryContext)| {
            let scratch = tempfile::tempdir().unwrap();
            let mut context = MemoryContext::default();
            context.seed = u64::MAX;
            context.scratch = scratch.path().to_path_buf();
            run(&mut context);
            let json: serde_json::Value =
                serde_json::from_slice(&context.output_files["told"]["context.json"]).unwrap();
            json["seed"].clone()
        };
        assert_eq!(
            told(&|context| RandomProcess::run(&parameters, context).unwrap()),
            u64::MAX
        );
        assert!(told(&|context| Process::run(&parameters, context).unwrap()).is_null());
    }
}
