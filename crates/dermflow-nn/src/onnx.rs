//! A network as an ONNX file (<https://onnx.ai>, operator set 17), for inference elsewhere.
//!
//! Input `image`: float32 `[batch, 3, height, width]`, red, green and blue, prepared as the model
//! says (the file's metadata repeat it). A classifier gives `logits` or `probabilities`
//! `[batch, classes]`; a regressor `heat` `[batch, classes, rows, columns]` and `size`
//! `[batch, 2, rows, columns]`. Must not know how this crate runs the network itself.

mod graph;
mod message;
mod network;
#[cfg(test)]
mod tests;

use prost::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::layout::Weights;
use crate::model_file::Model;
use crate::weights::WeightsError;

/// The version of the set of operators, and of the file format, that are written.
const OPERATOR_SET: i64 = 17;
const FORMAT: i64 = 8;

/// No message of this format may have more bytes.
const MAX_BYTES: usize = i32::MAX as usize;

/// How a network is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OnnxOptions {
    /// Norms become part of the convolutions before them: smaller and faster. Without it they are
    /// operators of their own, as other tools may want them.
    #[serde(default = "yes")]
    pub fold_norms: bool,
    /// A classifier gives probabilities (softmax) instead of logits; a regressor's heat goes
    /// through the logistic function.
    #[serde(default)]
    pub probabilities: bool,
    /// Height and width of the only image that the file is for. Without it any size is
    /// accepted; TensorFlow's padding is then left to the runtime (`SAME_UPPER`), which some
    /// runtimes don't know for sizes that vary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<[u32; 2]>,
}

impl Default for OnnxOptions {
    fn default() -> OnnxOptions {
        OnnxOptions {
            fold_norms: true,
            probabilities: false,
            size: None,
        }
    }
}

/// The weights as a whole ONNX file. The same weights and options give the same bytes.
///
/// # Errors
/// Where a side of the size is 0 or more than 16384, or the file would have more than the 2 GiB
/// that the format allows.
pub fn export_onnx(weights: &Weights, options: &OnnxOptions) -> Result<Vec<u8>, WeightsError> {
    encode(weights, options, Vec::new())
}

/// As [`export_onnx`], with the model's classes and preprocessing as metadata (JSON, under
/// `classes` and `preprocessing`).
///
/// # Errors
/// As [`export_onnx`].
pub fn export_model_onnx(model: &Model, options: &OnnxOptions) -> Result<Vec<u8>, WeightsError> {
    let unwritable = |error: serde_json::Error| WeightsError::Unwritable(error.to_string());
    let classes = serde_json::to_string(&model.description.classes).map_err(unwritable)?;
    let preprocessing = serde_json::to_string(&model.description.preprocessing).map_err(unwritable)?;
    let metadata = [("classes", classes), ("preprocessing", preprocessing)];
    let metadata = metadata.map(|(key, value)| message::Entry {
        key: key.to_owned(),
        value,
    });
    encode(&model.weights, options, metadata.to_vec())
}

fn encode(
    weights: &Weights,
    options: &OnnxOptions,
    metadata: Vec<message::Entry>,
) -> Result<Vec<u8>, WeightsError> {
    if let Some([height, width]) = options.size
        && !((1..=16_384).contains(&height) && (1..=16_384).contains(&width))
    {
        let why = format!("size is {height} x {width}, and each side must lie between 1 and 16384");
        return Err(WeightsError::Unwritable(why));
    }
    let model = message::Model {
        ir_version: FORMAT,
        producer_name: "dermflow".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(network::graph_of(weights, options)),
        operator_sets: vec![message::OperatorSet {
            domain: String::new(),
            version: OPERATOR_SET,
        }],
        metadata,
    };
    let bytes = model.encoded_len();
    if bytes > MAX_BYTES {
        let why =
            format!("an ONNX file holds at most {MAX_BYTES} bytes, and this network would take {bytes}");
        return Err(WeightsError::Unwritable(why));
    }
    Ok(model.encode_to_vec())
}

fn yes() -> bool {
    true
}
