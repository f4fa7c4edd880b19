//! [`Architecture`]: the document that describes a network: a backbone of staged convolution
//! blocks, and what stands on it, a classifier or a centre-point regressor.
//!
//! The document is all that the cost model, the importer, the exporter and the network itself
//! are told; it says nothing of image sizes, which are chosen when the network runs. This module
//! must not know of weights, kernels, or how a network is trained.

mod backbone;
mod blocks;
mod check;
mod published;
mod regressor;
mod scale;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use backbone::{Activation, Backbone, BlockKind, Norm, Padding, Stage, Stem};
pub use blocks::{Block, NeckLayer, strided};
pub(crate) use check::MAX_NAME;
pub use check::{InvalidArchitecture, MAX_PARAMETERS};
pub use published::{Coefficients, Flavour, Named, Published};
pub use regressor::{NeckStep, Regressor, Upsampling};
pub use scale::{ScalingRule, round_channels, round_layers};

/// A network, whole: what is computed, with which widths, depths and strides (`method.md` C1,
/// C3, H4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Architecture {
    /// What people call it; nothing is looked up by it.
    pub name: String,
    /// The stem and the stages of blocks, which turn an image into features.
    pub backbone: Backbone,
    /// What is made of the features.
    pub task: Task,
}

/// What a network is for: the part of the document after the backbone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// One score (logit) per class for the whole image.
    Classifier(Classifier),
    /// One heat map per class and the two inner diameters at each cell (`method.md` H4).
    Regressor(Regressor),
}

/// 1x1 convolution, norm, activation, mean over all places, dropout, linear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Classifier {
    /// Channels of the 1x1 convolution, and so features of an image.
    #[schemars(range(min = 1, max = 16384))]
    pub head_channels: u32,
    /// The share of features that a training step drops.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 0.99))]
    pub dropout: f64,
    /// How many classes.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub classes: u32,
}

impl Architecture {
    /// The classifier, where it is one.
    pub fn classifier(&self) -> Option<&Classifier> {
        match &self.task {
            Task::Classifier(classifier) => Some(classifier),
            Task::Regressor(_) => None,
        }
    }

    /// The regressor, where it is one.
    pub fn regressor(&self) -> Option<&Regressor> {
        match &self.task {
            Task::Regressor(regressor) => Some(regressor),
            Task::Classifier(_) => None,
        }
    }

    /// How many classes it tells apart.
    pub fn classes(&self) -> u32 {
        match &self.task {
            Task::Classifier(classifier) => classifier.classes,
            Task::Regressor(regressor) => regressor.classes,
        }
    }

    /// The same network for another number of classes.
    pub fn with_classes(mut self, classes: u32) -> Architecture {
        match &mut self.task {
            Task::Classifier(classifier) => classifier.classes = classes,
            Task::Regressor(regressor) => regressor.classes = classes,
        }
        self
    }

    /// The same network with a fourth input channel, a map of where to look, or without.
    pub fn with_map(mut self, map: bool) -> Architecture {
        self.backbone.stem.map = map;
        self
    }

    /// How many numbers a pixel has: red, green, blue, and in training there may be a map.
    pub fn input_channels(&self) -> usize {
        3 + usize::from(self.backbone.stem.map)
    }
}
