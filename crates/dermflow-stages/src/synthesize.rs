//! `synthesize`: made-up pictures of lesions, for tests that need the truth and for scale.
//!
//! How a scene is drawn stands in [`dermflow_vision::synthetic`]; this kind decides who is
//! shown with what, and what is filed wrongly: long-tailed classes, a background that gives
//! the class away, classes that are held out, dirty labels. Everything of picture `i` hangs on
//! the seed and `i` alone, so a larger set begins with the smaller one. Its sample id is that of
//! the key `synthesize SEED/i`, not of its pixels, so that sets of other sizes and looks can be
//! joined with it.

mod choose;
mod emit;
#[cfg(test)]
mod tests;

use dermflow_core::{
    Column, ColumnType, Contract, InputTypes, Inputs, OutputPort, PortType, Problem, Resources, StageContext,
    StageError, StageKind, TableType,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use choose::Choices;
use emit::Emit;

/// See the module.
pub struct Synthesize;

/// What `synthesize` is told under `with:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Synthesize")]
pub struct SynthesizeParameters {
    /// How many pictures.
    images: u64,
    /// Pixels across.
    #[serde(default = "side")]
    #[schemars(range(min = 8, max = 4096))]
    width: usize,
    /// Pixels down.
    #[serde(default = "side")]
    #[schemars(range(min = 8, max = 4096))]
    height: usize,
    /// How many classes, called `class-0` and so on. What a class looks like hangs on its
    /// number alone.
    #[serde(default = "eight")]
    #[schemars(range(min = 1, max = 10_000))]
    classes: usize,
    /// How long the tail is: class k is as frequent as 1 / (k + 1) to this power. 0 is balanced.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 5.0))]
    tail: f64,
    /// The last so many classes, the rarest, are unseen diseases: they are marked `held_out` in
    /// the truth, and no dirty label names them.
    #[serde(default)]
    held_out: usize,
    /// The most lesions of a picture; how many there are is drawn evenly from 1.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 20))]
    lesions: u64,
    /// The probability that a further lesion of a picture is of another class than the first,
    /// which gives the picture its label.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    mixed: f64,
    /// The share of pictures that show healthy skin. Their true label is `healthy`, and their
    /// dirty one a disease.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    healthy: f64,
    /// The strength of the shortcut: the probability that a picture's background is the one of
    /// its class (its number modulo the 8 backgrounds), not one drawn evenly. 0 tells nothing of the class.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    shortcut: f64,
    /// The probability that a dirty label is wrong; it is then one of the other classes, evenly.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    label_noise: f64,
    /// How many pictures there are of a patient, who is their group: pictures in a row show
    /// one skin and one disease.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pictures_per_patient: u64,
}

fn side() -> usize {
    96
}
fn eight() -> usize {
    8
}
fn three() -> u64 {
    3
}
fn one() -> u64 {
    1
}

impl SynthesizeParameters {
    /// The name of a class, with as many digits as the largest needs.
    fn class(&self, class: usize) -> String {
        let digits = self.classes.saturating_sub(1).to_string().len();
        format!("class-{class:0digits$}")
    }
}

impl StageKind for Synthesize {
    type Parameters = SynthesizeParameters;
    const NAME: &'static str = "synthesize";
    const VERSION: u32 = 1;
    const ABOUT: &'static str =
        "Makes up photos of skin lesions whose classes, boxes and background are known, with dirty labels.";
    const EXAMPLE: &'static str = "\
name: synthesize-example
seed: 20
stages:
  photos:
    kind: synthesize
    with:
      images: 1000
      width: 128
      height: 96
      classes: 12
      tail: 1.2
      held-out: 2
      lesions: 3
      mixed: 0.1
      healthy: 0.05
      shortcut: 0.7
      label-noise: 0.2
      pictures-per-patient: 2
outputs:
  samples: photos.samples
  truth: photos.truth
  dirty: photos.dirty
  boxes: photos.boxes
";
    const RANDOM: bool = true;

    fn inputs(_: &SynthesizeParameters) -> Inputs {
        Inputs::default()
    }

    fn outputs(_: &SynthesizeParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        let port = |name, table, about| OutputPort::new(name, PortType::Table(table), about);
        Ok(vec![
            port(
                "samples",
                exactly("Samples"),
                "the photos, with the dirty label and the patient",
            ),
            port(
                "truth",
                truth_type(),
                "the true label, and whether its class is held out, the dirty one and the background",
            ),
            port("dirty", exactly("Labels"), "the dirty label"),
            port("boxes", exactly("Boxes"), "every lesion with its true class"),
        ])
    }

    fn check(parameters: &SynthesizeParameters) -> Vec<Problem> {
        match parameters.held_out < parameters.classes {
            true => Vec::new(),
            false => vec![Problem::new(
                "held-out",
                format!("must be below `classes`, which is {}", parameters.classes),
            )],
        }
    }

    fn resources(parameters: &SynthesizeParameters, _: &dermflow_core::InputSizes) -> Resources {
        Resources {
            memory: (256 << 20) + (parameters.width * parameters.height * 3 * emit::CHUNK * 2) as u64,
            threads: 0,
        }
    }

    fn run(parameters: &SynthesizeParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let choices = Choices::new(parameters, context.seed());
        let threads = context.threads().max(1);
        let mut emit = Emit::new(context)?;
        let mut done = 0;
        while done < parameters.images {
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            let end = parameters.images.min(done + emit::CHUNK as u64);
            let scenes = choices.draw_all(done..end, threads)?;
            emit.write(parameters, &scenes)?;
            done = end;
            context.progress(done, Some(parameters.images));
        }
        emit.finish()
    }
}

/// Exactly the columns of a contract.
fn exactly(name: &str) -> TableType {
    // The contract is in the constant list of contracts; `any` only keeps this total.
    let mut table = Contract::named(name).map_or_else(TableType::any, TableType::of);
    table.open = false;
    table
}

fn truth_type() -> TableType {
    let mut table = exactly("Labels");
    table.columns.extend([
        Column::new("held_out", ColumnType::Boolean),
        Column::new("given", ColumnType::Text),
        Column::new("background", ColumnType::Integer),
    ]);
    table
}
