//! `regressor-train`: trains the foreground annotator, a CenterNet-style network, on heat maps
//! (`method.md` H4).
//!
//! Must not know how heat maps are drawn.

use dermflow_core::{
    Arity, InputPort, InputSizes, InputTypes, Inputs, OutputPort, PortType, Problem, Resources, StageContext,
    StageError, StageKind,
};
use dermflow_nn::architecture::{Architecture, Backbone, NeckStep, Regressor, Task};
use dermflow_nn::loss::RegressorLoss;
use dermflow_nn::training::TrainingSettings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::learning::batches::BatchSettings;
use crate::learning::classes::Classes;
use crate::learning::classifier_ports::contract;
use crate::learning::folds::FoldChoice;
use crate::learning::network::NetworkChoice;
use crate::learning::normalise::Channels;
use crate::learning::run::{Keep, history_port};
use crate::learning::train_classifier::training_resources;
use crate::learning::train_regressor;
use crate::learning::wired_architecture::{self, Written, architecture_port};

/// See the module.
pub struct RegressorTrain;

/// What `regressor-train` is told under `with:`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "RegressorTrain")]
pub struct RegressorTrainParameters {
    /// The network; left out, EfficientNetV2-B0. Of a published one, and of a classifier's
    /// document, the backbone is taken; of a regressor's document all, its number of classes
    /// replaced by that of the data. Left out where one is wired to `architecture`. Where a regressor
    /// is wired to `init`, that one's network, neck and heads are trained on, with what `stochastic-depth`
    /// here says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<NetworkChoice>,
    /// The steps that double the grid, from the backbone's to the heat maps', each with its
    /// channels. Left out, as many as lead to `stride`, of at most 128 channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neck: Option<Vec<NeckStep>>,
    /// Channels inside each of the two heads.
    #[serde(default = "head_channels")]
    #[schemars(range(min = 1, max = 1024))]
    pub head_channels: u32,
    /// Pixels of the picture for each cell of the heat maps: that of `box-to-heatmap`.
    #[serde(default = "stride")]
    #[schemars(range(min = 1, max = 64))]
    pub stride: u32,
    /// Height and width in pixels that pictures have for the network. Left out where a network is
    /// wired to `architecture`, which brings its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8, max = 4096))]
    pub side: Option<u32>,
    /// The classes in the order of the heat maps; left out, those of the maps that are learned
    /// from, in alphabetical order: a class that no box has is none of them, whatever labels
    /// pictures have, and a lesion of it is found as far as it looks like those of the others. A
    /// class that is named here and has no map learns that it is nowhere; maps of classes that are
    /// not named here are left out, so that their lesions count as background.
    #[serde(default)]
    pub classes: Vec<String>,
    /// What pixels are measured by.
    #[serde(default)]
    pub channels: Channels,
    /// How samples come to a training step. There is no mixing and no dropout, also where `progressive`
    /// would have some: lesions don't mix, and the heads drop nothing. `sampling` must be `proportional`, since a picture may have lesions of
    /// several classes.
    #[serde(default)]
    pub batches: BatchSettings,
    /// How maps and sizes are compared with the truth.
    #[serde(default)]
    pub loss: RegressorLoss,
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

fn head_channels() -> u32 {
    64
}

fn stride() -> u32 {
    4
}

impl RegressorTrainParameters {
    /// The network and side as they are written.
    fn written(&self) -> Written<'_> {
        Written {
            architecture: self.architecture.as_ref(),
            side: self.side,
        }
    }

    /// The same with the network that is wired in, if one is, and the side for it.
    ///
    /// # Errors
    /// Where what is wired in can't be read.
    pub fn settled(&self, context: &dyn StageContext) -> Result<(RegressorTrainParameters, u32), StageError> {
        let mut settled = self.clone();
        let side = wired_architecture::settle(&mut settled.architecture, &mut settled.side, context)?;
        Ok((settled, side))
    }

    /// The network for so many classes.
    ///
    /// # Errors
    /// Where it can't be built, or its maps have another stride than asked for.
    pub fn network(&self, classes: u32) -> Result<Architecture, Problem> {
        let wrong = |error: dermflow_nn::architecture::InvalidArchitecture| {
            Problem::new("architecture", error.to_string())
        };
        let on = |backbone: &Backbone| Regressor {
            neck: self
                .neck
                .clone()
                .unwrap_or_else(|| self.suggested_neck(backbone.stride())),
            head_channels: self.head_channels,
            classes,
        };
        let architecture = match self.architecture.clone().unwrap_or_default() {
            NetworkChoice::Document(document) => {
                let mut document = document.with_classes(classes);
                if document.classifier().is_some() {
                    document.task = Task::Regressor(on(&document.backbone));
                }
                document.check().map_err(wrong)?;
                document
            }
            NetworkChoice::Published(named) => {
                let backbone = named.classifier(classes).map_err(wrong)?.backbone;
                named.regressor(on(&backbone)).map_err(wrong)?
            }
        };
        if architecture.output_stride() != self.stride as usize {
            let message = format!(
                "the network's maps have a cell for every {} pixels, and {} are asked for",
                architecture.output_stride(),
                self.stride
            );
            return Err(
                Problem::new("stride", message).with_help("change `neck`, or draw heat maps of that stride")
            );
        }
        Ok(architecture)
    }

    fn suggested_neck(&self, from: usize) -> Vec<NeckStep> {
        let suggested = Regressor::suggested(1).neck;
        let mut steps = Vec::new();
        let mut stride = from;
        while stride > self.stride as usize {
            let last = suggested.len().saturating_sub(1);
            steps.extend(suggested.get(steps.len().min(last)).cloned());
            stride /= 2;
        }
        steps
    }
}

impl StageKind for RegressorTrain {
    type Parameters = RegressorTrainParameters;
    const NAME: &'static str = "regressor-train";
    const VERSION: u32 = 9;
    const ABOUT: &'static str = "Trains a network that finds lesions, on heat maps drawn from boxes.";
    const EXAMPLE: &'static str = "\
name: regressor-train-example
seed: 20
stages:
  photos:
    kind: ingest
    with: {root: photos, size: 96}
  boxes:
    kind: import-boxes
    in: {samples: photos.samples}
    with: {path: boxes.csv, unit: fractions, box: {corners: [x0, y0, x1, y1]}}
  heatmaps:
    kind: box-to-heatmap
    in: {samples: photos.samples, boxes: boxes.boxes}
    with: {stride: 4}
  regressor:
    kind: regressor-train
    in: {samples: photos.samples, heatmaps: heatmaps.heatmaps}
    with:
      architecture: {published: {name: efficientnetv2-b0, width: 0.5, depth: 0.5}}
      side: 96
      training: {epochs: 30, schedule: {learning-rate: 0.002, warm-up: 1}}
outputs:
  model: regressor.model
";
    const RANDOM: bool = true;

    fn inputs(_: &RegressorTrainParameters) -> Inputs {
        let samples = ["width", "height", "placed_width", "placed_height", "pixels"];
        let maps = ["class", "height", "width", "heat", "centres", "diameters"];
        Inputs {
            ports: vec![
                InputPort::one("samples", contract("Samples"), "the pictures").reading(samples),
                InputPort::one(
                    "heatmaps",
                    contract("Heatmaps"),
                    "heat maps of the pictures to learn from",
                )
                .reading(maps),
                InputPort::one(
                    "splits",
                    contract("Splits"),
                    "which of them are learned from, and which measured on",
                )
                .with_arity(Arity::Optional)
                .reading(["fold"]),
                InputPort::one(
                    "init",
                    PortType::Model(None),
                    "the regressor to go on from, or a classifier whose backbone to start with",
                )
                .with_arity(Arity::Optional),
                architecture_port(),
            ],
            open: false,
        }
    }

    fn outputs(
        parameters: &RegressorTrainParameters,
        wired: &InputTypes,
    ) -> Result<Vec<OutputPort>, Problem> {
        parameters.written().check(wired)?;
        let model = PortType::Model(Some("regressor".to_string()));
        Ok(vec![
            OutputPort::new("model", model, "the regressor"),
            history_port(&train_regressor::MEASURED),
        ])
    }

    fn check(parameters: &RegressorTrainParameters) -> Vec<Problem> {
        // A neck alone may be for the network that is wired in, which is not known yet.
        let known = parameters.architecture.is_some() || parameters.neck.is_none();
        let network = known.then(|| parameters.network(2));
        let mut problems: Vec<Problem> = network.and_then(Result::err).into_iter().collect();
        problems.extend(parameters.batches.check());
        if let Err(error) = Classes::new(parameters.classes.clone(), 0) {
            problems.push(Problem::new("classes", error.message));
        }
        problems.extend(parameters.channels.check());
        // The side of a network that is wired in is not known yet.
        if let Some(side) = parameters.side
            && let Err(error) = parameters.batches.check_side(side as usize)
        {
            problems.push(Problem::new("batches.progressive", error.message));
        }
        if parameters.batches.sampling != dermflow_nn::sampling::ClassSampling::Proportional {
            problems.push(Problem::new(
                "batches.sampling",
                "a regressor samples `proportional`ly",
            ));
        }
        if parameters.batches.augmentation.mix.is_some() {
            problems.push(Problem::new(
                "batches.augmentation.mix",
                "lesions of two pictures can't be mixed; leave it out",
            ));
        }
        if let Err(message) = parameters.training.check() {
            problems.push(Problem::new("training", message));
        }
        problems
    }

    fn resources(parameters: &RegressorTrainParameters, _: &InputSizes) -> Resources {
        let network = parameters.network(parameters.classes.len().max(2) as u32).ok();
        training_resources(
            network.as_ref(),
            &parameters.batches,
            &parameters.training,
            // A network that is wired in is not known yet; the usual one stands for it.
            parameters.side.unwrap_or(224),
        )
    }

    fn run(parameters: &RegressorTrainParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        train_regressor::train(Self::NAME, parameters, context)
    }
}
