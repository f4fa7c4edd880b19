//! `joint-retrain`: trains the classifier again on the resampled full data, with stored labels as
//! strong and foreground maps as random weak supervision (`method.md` J1–J4).
//!
//! Must not know how the labels or the maps were made.

use dermflow_core::{
    Arity, InputPort, InputSizes, InputTypes, Inputs, OutputPort, Problem, Resources, StageContext,
    StageError, StageKind,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::classifier_train::ClassifierTrainParameters;
use crate::learning::prior::ForegroundPrior;
use crate::learning::train_classifier::{self, contract};

/// See the module.
pub struct JointRetrain;

/// What `joint-retrain` is told under `with:`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JointRetrain")]
pub struct JointRetrainParameters {
    /// How the classifier is trained: everything that `classifier-train` takes.
    classifier: ClassifierTrainParameters,
    /// How foreground maps take part in training. At inference no map is needed.
    #[serde(default)]
    foreground: ForegroundPrior,
}

impl StageKind for JointRetrain {
    type Parameters = JointRetrainParameters;
    const NAME: &'static str = "joint-retrain";
    const VERSION: u32 = 2;
    const ABOUT: &'static str =
        "Trains a classifier on stored labels, showing a random share of pictures by their foreground only.";
    const EXAMPLE: &'static str = "\
name: joint-retrain-example
seed: 20
stages:
  photos:
    kind: ingest
    with: {root: photos, size: 96}
  labels:
    kind: import-labels
    in: {samples: photos.samples}
    with: {path: labels.csv}
  foreground:
    kind: import-table
    with: {path: maps.parquet, key: image, columns: {height: integer, width: integer, heat: binary}}
  retrain:
    kind: joint-retrain
    in: {samples: photos.samples, labels: labels.labels, foreground: foreground.table}
    with:
      classifier:
        side: 96
        training: {epochs: 20}
      foreground: {probability: 0.5, apply: multiply, floor: 0.1}
outputs:
  model: retrain.model
";
    const RANDOM: bool = true;

    fn inputs(_: &JointRetrainParameters) -> Inputs {
        let mut ports = train_classifier::inputs("the labels to fit: those that `rank-resample` selected");
        let foreground = InputPort::one(
            "foreground",
            contract("Foreground"),
            "foreground maps of the pictures",
        );
        ports.push(
            foreground
                .with_arity(Arity::Optional)
                .reading(["height", "width", "heat"]),
        );
        Inputs { ports, open: false }
    }

    fn outputs(parameters: &JointRetrainParameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        if parameters.foreground.probability > 0.0 && !wired.contains_key("foreground") {
            let message =
                "pictures are to be shown by their foreground, but nothing is wired to `foreground`";
            return Err(Problem::new("foreground.probability", message)
                .with_help("wire the maps of `regressor-infer`, or set it to 0"));
        }
        let written = parameters.classifier.written().check(wired);
        written.map_err(|problem| Problem {
            parameter: match problem.parameter.as_str() {
                "" => String::new(),
                of_classifier => format!("classifier.{of_classifier}"),
            },
            ..problem
        })?;
        Ok(train_classifier::outputs())
    }

    fn check(parameters: &JointRetrainParameters) -> Vec<Problem> {
        let problems = parameters.classifier.problems().into_iter();
        problems
            .map(|problem| Problem {
                parameter: format!("classifier.{}", problem.parameter),
                ..problem
            })
            .collect()
    }

    fn resources(parameters: &JointRetrainParameters, _: &InputSizes) -> Resources {
        parameters.classifier.resources()
    }

    fn run(parameters: &JointRetrainParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        train_classifier::train(
            Self::NAME,
            &parameters.classifier,
            Some(&parameters.foreground),
            context,
        )
    }
}
