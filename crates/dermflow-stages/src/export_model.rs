//! `export-model`: a model as files that other programs read.
//!
//! Must not know what the model is used for.

use dermflow_core::{
    InputPort, InputTypes, Inputs, NamedFile, OutputPort, PortType, Problem, StageContext, StageError,
    StageKind,
};
use dermflow_nn::onnx::{OnnxOptions, export_model_onnx};
use dermflow_nn::weights::{Convention, export};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::learning::network::model;

/// See the module.
pub struct ExportModel;

/// What `export-model` is told under `with:`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExportModel")]
pub struct ExportModelParameters {
    /// What is written.
    format: Format,
    /// The file's name without its ending.
    #[serde(default = "name")]
    name: String,
}

fn name() -> String {
    "model".to_string()
}

/// In which form a model is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// This program's safetensors file, with the network, classes and preprocessing in its header.
    Native,
    /// safetensors with timm's names.
    Timm,
    /// safetensors with torchvision's names.
    Torchvision,
    /// ONNX, operator set 17.
    Onnx(OnnxOptions),
}

impl StageKind for ExportModel {
    type Parameters = ExportModelParameters;
    const NAME: &'static str = "export-model";
    const VERSION: u32 = 1;
    const ABOUT: &'static str =
        "Writes a model as safetensors with this program's, timm's or torchvision's names, or as ONNX.";
    const EXAMPLE: &'static str = "\
name: export-model-example
seed: 20
stages:
  imagenet:
    kind: import-model
    with:
      path: weights.safetensors
      architecture: {published: {name: efficientnet-lite0, flavour: tensorflow}}
  exported:
    kind: export-model
    in: {model: imagenet.model}
    with: {format: timm, name: weights}
outputs:
  files: exported.files
";

    fn inputs(_: &ExportModelParameters) -> Inputs {
        Inputs {
            ports: vec![InputPort::one("model", PortType::Model(None), "the model")],
            open: false,
        }
    }

    fn outputs(_: &ExportModelParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        Ok(vec![OutputPort::new(
            "files",
            PortType::Files,
            "the model's file",
        )])
    }

    fn check(parameters: &ExportModelParameters) -> Vec<Problem> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let name = &parameters.name;
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(fine) {
            let message = "must be letters, digits, `-`, `_` and `.`, and not begin with `.`";
            return vec![Problem::new("name", message)];
        }
        Vec::new()
    }

    fn run(parameters: &ExportModelParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let model = model(context, "model")?;
        let (bytes, ending) = match &parameters.format {
            Format::Native => (model.to_bytes(), "safetensors"),
            Format::Timm => (export(&model.weights, Convention::Timm), "safetensors"),
            Format::Torchvision => (export(&model.weights, Convention::Torchvision), "safetensors"),
            Format::Onnx(options) => (export_model_onnx(&model, options), "onnx"),
        };
        let bytes = bytes.map_err(|error| StageError::new(error.to_string()))?;
        let name = format!("{}.{ending}", parameters.name);
        let path = context.scratch().join(&name);
        std::fs::write(&path, bytes).map_err(|error| StageError::io("writing", &path, &error))?;
        context.write_files("files", &[NamedFile { name, path }])
    }
}
