//! `classifier-train`: trains a classifier on labelled pictures (`method.md` C1, C3, C4).
//!
//! Must not know of foreground maps or of pseudo labels: `joint-retrain` adds those.

use dermflow_core::{
    InputSizes, InputTypes, Inputs, OutputPort, Problem, Resources, StageContext, StageError, StageKind,
};
use dermflow_nn::loss::ClassificationLoss;
use dermflow_nn::training::TrainingSettings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::learning::batches::BatchSettings;
use crate::learning::folds::FoldChoice;
use crate::learning::network::NetworkChoice;
use crate::learning::normalise::Channels;
use crate::learning::run::Keep;
use crate::learning::{classifier_ports, train_classifier};

/// See the module.
pub struct ClassifierTrain;

/// What `classifier-train` is told under `with:`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "ClassifierTrain")]
pub struct ClassifierTrainParameters {
    /// The network; left out, EfficientNetV2-B0. With a model wired to `init`, that model's
    /// network is trained on instead. Left out where one is wired to `architecture`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<NetworkChoice>,
    /// Height and width in pixels that pictures have for the network, whatever size they are
    /// stored in. Left out where a network is wired to `architecture`, which brings its own; a
    /// model that is wired to `init` has one as well, for where it is not said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8, max = 4096))]
    pub side: Option<u32>,
    /// The classes in the order of the network's outputs; left out, those of the labels that
    /// are learned from, in alphabetical order. Each must have a picture to learn from, unless a
    /// model that is wired to `init` tells it already.
    #[serde(default)]
    pub classes: Vec<String>,
    /// What pixels are measured by. With a model wired to `init`, that model's own is used.
    #[serde(default)]
    pub channels: Channels,
    /// How samples come to a training step.
    #[serde(default)]
    pub batches: BatchSettings,
    /// What outputs are compared with labels by.
    #[serde(default)]
    pub loss: ClassificationLoss,
    /// Epochs, optimiser, learning rate, moving average, early stopping.
    #[serde(default)]
    pub training: TrainingSettings,
    /// Which folds are used for what, where a table is wired to `splits`.
    #[serde(default)]
    pub folds: FoldChoice,
    /// Which weights are kept.
    #[serde(default)]
    pub keep: Keep,
}

impl StageKind for ClassifierTrain {
    type Parameters = ClassifierTrainParameters;
    const NAME: &'static str = "classifier-train";
    const VERSION: u32 = 10;
    const ABOUT: &'static str = "Trains a classifier on labelled pictures.";
    const EXAMPLE: &'static str = "\
name: classifier-train-example
seed: 20
stages:
  photos:
    kind: ingest
    with: {root: photos, size: 96}
  labels:
    kind: import-labels
    in: {samples: photos.samples}
    with: {path: labels.csv}
  classifier:
    kind: classifier-train
    in: {samples: photos.samples, labels: labels.labels}
    with:
      architecture: {published: {name: efficientnetv2-b0, width: 0.5, depth: 0.5}}
      side: 96
      batches: {size: 32, sampling: balanced}
      training: {epochs: 20, schedule: {learning-rate: 0.002, warm-up: 2}}
outputs:
  model: classifier.model
";
    const RANDOM: bool = true;

    fn inputs(_: &ClassifierTrainParameters) -> Inputs {
        Inputs {
            ports: classifier_ports::inputs("the true labels of the pictures to learn from"),
            open: false,
        }
    }

    fn outputs(
        parameters: &ClassifierTrainParameters,
        wired: &InputTypes,
    ) -> Result<Vec<OutputPort>, Problem> {
        parameters.written().check(wired)?;
        Ok(classifier_ports::outputs())
    }

    fn check(parameters: &ClassifierTrainParameters) -> Vec<Problem> {
        parameters.problems()
    }

    fn resources(parameters: &ClassifierTrainParameters, _: &InputSizes) -> Resources {
        parameters.resources(false)
    }

    fn run(parameters: &ClassifierTrainParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        train_classifier::train(Self::NAME, parameters, None, context)
    }
}
