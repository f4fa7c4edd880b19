//! `import-model`: a classifier's weights from a safetensors file of timm, torchvision or this
//! program.
//!
//! Must not know what the model is used for.

use dermflow_core::{
    InputTypes, Inputs, OutputPort, PortType, Problem, Source, StageContext, StageError, StageKind, Take,
};
use dermflow_nn::architecture::Architecture;
use dermflow_nn::layout::Layout;
use dermflow_nn::model_file::{Description, Interpolation, Model, Preprocessing, ResizeMode};
use dermflow_nn::weights::import;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::learning::network::NetworkChoice;
use crate::learning::normalise::Channels;
use crate::learning::run::write_model;

/// See the module.
pub struct ImportModel;

/// What `import-model` is told under `with:`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "ImportModel")]
pub struct ImportModelParameters {
    /// The safetensors file, relative to the pipeline file.
    path: String,
    /// The network that it holds, with the flavour that it was trained as.
    architecture: NetworkChoice,
    /// The classes in the order of its outputs; left out, `outputs` many by number. A file with
    /// another number of outputs gets a last layer drawn anew, which is told.
    #[serde(default)]
    classes: Vec<String>,
    /// How many outputs the file has, where `classes` doesn't name them.
    #[serde(default = "thousand")]
    #[schemars(range(min = 1, max = 1_000_000))]
    outputs: u32,
    /// Height and width in pixels that it was trained with.
    #[serde(default = "side")]
    #[schemars(range(min = 8, max = 4096))]
    side: u32,
    /// What it measures pixels by.
    #[serde(default)]
    channels: Channels,
}

fn thousand() -> u32 {
    1000
}

fn side() -> u32 {
    224
}

impl ImportModelParameters {
    fn class_names(&self) -> Vec<String> {
        match self.classes.is_empty() {
            true => (0..self.outputs)
                .map(|number| format!("class {number}"))
                .collect(),
            false => self.classes.clone(),
        }
    }

    fn network(&self) -> Result<Architecture, Problem> {
        let classes = self.class_names().len() as u32;
        let network = self.architecture.classifier(classes);
        network.map_err(|error| Problem::new("architecture", error.to_string()))
    }
}

impl StageKind for ImportModel {
    type Parameters = ImportModelParameters;
    const NAME: &'static str = "import-model";
    const VERSION: u32 = 2;
    const ABOUT: &'static str =
        "Reads a classifier's weights with timm's, torchvision's or this program's names.";
    const EXAMPLE: &'static str = "\
name: import-model-example
seed: 20
stages:
  imagenet:
    kind: import-model
    with:
      path: weights.safetensors
      architecture: {published: {name: efficientnet-lite0, flavour: tensorflow}}
      outputs: 1000
      side: 224
      channels: {mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5]}
outputs:
  model: imagenet.model
";
    const RANDOM: bool = true;

    fn inputs(_: &ImportModelParameters) -> Inputs {
        Inputs::default()
    }

    fn outputs(_: &ImportModelParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        let model = PortType::Model(Some("classifier".to_string()));
        Ok(vec![OutputPort::new("model", model, "the classifier")])
    }

    fn check(parameters: &ImportModelParameters) -> Vec<Problem> {
        let network = parameters.network().err().into_iter();
        network.chain(parameters.channels.check()).collect()
    }

    fn sources(parameters: &ImportModelParameters) -> Vec<Source> {
        vec![Source {
            parameter: "path".to_string(),
            path: parameters.path.clone(),
            take: Take::File,
        }]
    }

    fn run(parameters: &ImportModelParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let path = context.source("path")?;
        let bytes = std::fs::read(&path).map_err(|error| StageError::io("reading", &path, &error))?;
        let architecture = parameters.network().map_err(crate::columns::failure)?;
        let layout = Layout::of(&architecture).map_err(|error| StageError::new(error.to_string()))?;
        let of_file =
            |error: &dyn std::fmt::Display| StageError::new(format!("{}: {error}", parameters.path));
        let imported = import(&bytes, layout.into(), context.seed()).map_err(|error| of_file(&error))?;
        let report = imported.report;
        context.log(&format!(
            "{} tensors with the names of {}",
            report.loaded, report.convention
        ));
        if !report.fresh.is_empty() {
            context.log(&format!(
                "drawn anew, since the file has them for other classes or another task: {}",
                report.fresh.join(", ")
            ));
        }
        if !report.left_out.is_empty() {
            context.log(&format!("not used: {}", report.left_out.join(", ")));
        }
        context.metric("tensors loaded", report.loaded as f64);
        context.metric("tensors drawn anew", report.fresh.len() as f64);
        let preprocessing = Preprocessing {
            resize: ResizeMode::Crop,
            interpolation: Interpolation::Bicubic,
            mean: parameters.channels.mean,
            deviation: parameters.channels.deviation,
            ..Preprocessing::imagenet(parameters.side, parameters.side)
        };
        let mut description = Description::new(architecture, parameters.class_names(), preprocessing);
        let digest = blake3::hash(&bytes).to_hex().to_string();
        description.trained_from.insert("file".to_string(), digest);
        let model = Model::new(description, imported.weights).map_err(|error| of_file(&error))?;
        write_model(&model, context)
    }
}
