//! [`Backbone`]: the stem and the stages, as people write them. Must not know what stands on it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// From an image to features: a stem, then stages of equal blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Backbone {
    /// The first convolution.
    pub stem: Stem,
    /// The stages, in order.
    pub stages: Vec<Stage>,
    /// The activation everywhere (heads of a regressor included).
    #[serde(default)]
    pub activation: Activation,
    /// How a convolution with stride 2 pads its input.
    #[serde(default)]
    pub padding: Padding,
    /// Batch normalisation, the same after every convolution.
    #[serde(default)]
    pub norm: Norm,
    /// The share of samples for which a training step would skip a block behind the last; block i
    /// of N, from 0, skips i/N of it (stochastic depth). Blocks without a shortcut are never skipped.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 0.99))]
    pub stochastic_depth: f64,
}

/// The first convolution, on three channels (red, green, blue), then norm and activation. In
/// training there may be a fourth, a map of where to look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Stem {
    /// Channels that it gives.
    #[schemars(range(min = 1, max = 16384))]
    pub channels: u32,
    /// Height and width of its window: 1, 3, 5 or 7.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 7))]
    pub kernel: u32,
    /// 1 or 2.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 2))]
    pub stride: u32,
    /// Whether a training network reads a fourth channel, a map of where to look (`method.md` J3).
    /// It has no place in a document: where nothing is shown the channel is zero, and there is no
    /// bias before the norm, so the network without it computes the same; that one is saved.
    #[serde(skip)]
    pub map: bool,
}

/// Blocks that differ in nothing but the first one's stride and channel change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Stage {
    /// What kind of block.
    pub block: BlockKind,
    /// Height and width of the window: 1, 3, 5 or 7.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 7))]
    pub kernel: u32,
    /// The stride of the first block, 1 or 2.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 2))]
    pub stride: u32,
    /// How many times wider than its input a block is inside. With 1, there is no expanding
    /// convolution.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 16))]
    pub expansion: u32,
    /// Channels that each block gives.
    #[schemars(range(min = 1, max = 16384))]
    pub channels: u32,
    /// How many blocks.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 256))]
    pub layers: u32,
    /// Squeeze-and-excite: its inner width as a share of the block's *input* channels (rounded
    /// down, at least 1). Without it there is none. Only for `inverted` blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 1.0))]
    pub squeeze: Option<f64>,
}

/// The two kinds of block. Both add their input to their output where stride is 1 and the
/// channels are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BlockKind {
    /// Fused-MBConv: k×k convolution that expands, norm, activation; 1x1 convolution, norm. With
    /// expansion 1: k×k convolution, norm, activation, and no more.
    Fused,
    /// MBConv: 1x1 convolution that expands, norm, activation (not with expansion 1, which is
    /// the depthwise separable block); k×k depthwise convolution, norm, activation;
    /// squeeze-and-excite; 1x1 convolution, norm.
    Inverted,
}

/// What follows a norm. Inside squeeze-and-excite the gate is always the logistic function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// x · sigmoid(x), also called swish.
    #[default]
    Silu,
    /// min(max(x, 0), 6).
    Relu6,
    /// max(x, 0).
    Relu,
}

/// How a convolution pads. Both give ceil(input / stride) places, and differ only with stride 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Padding {
    /// kernel // 2 on every side (torchvision, most of timm).
    #[default]
    Symmetric,
    /// TensorFlow's SAME: in all max((ceil(i/s) - 1)·s + k - i, 0), half of it (rounded down)
    /// left and above, the rest right and below.
    TensorflowSame,
}

/// Batch normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Norm {
    /// Added to the variance before its root.
    #[serde(default = "epsilon")]
    #[schemars(range(min = 1e-8, max = 0.1))]
    pub epsilon: f64,
    /// The share of a batch in the running statistics: running = (1 - momentum)·running +
    /// momentum·batch. The batch's variance counts there as unbiased, divided by n - 1.
    #[serde(default = "momentum")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub momentum: f64,
}

impl Default for Norm {
    fn default() -> Norm {
        Norm {
            epsilon: epsilon(),
            momentum: momentum(),
        }
    }
}

impl Padding {
    /// Places added (before, after) one axis of `size`, for a window of `kernel` and `stride`.
    ///
    /// With both rules the convolution then gives `size.div_ceil(stride)` places.
    pub fn amounts(self, size: usize, kernel: usize, stride: usize) -> (usize, usize) {
        match self {
            Padding::Symmetric => (kernel / 2, kernel / 2),
            Padding::TensorflowSame => {
                let covered = (size.div_ceil(stride).max(1) - 1) * stride + kernel;
                let all = covered.saturating_sub(size);
                (all / 2, all - all / 2)
            }
        }
    }
}

fn one() -> u32 {
    1
}

fn two() -> u32 {
    2
}

fn three() -> u32 {
    3
}

fn epsilon() -> f64 {
    1e-3
}

fn momentum() -> f64 {
    0.1
}
