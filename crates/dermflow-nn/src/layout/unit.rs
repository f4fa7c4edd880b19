//! [`Unit`] and [`Slot`]: the address of a tensor in a network, and its native name.

use std::fmt;

use super::Group;

/// A part of a network that has weights: one convolution or linear layer, with its norm or bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// The first convolution.
    Stem,
    /// The k×k convolution of a fused block.
    Fused(usize),
    /// The 1x1 convolution that widens an inverted block.
    Expand(usize),
    /// The depthwise convolution of an inverted block.
    Depthwise(usize),
    /// Squeeze-and-excite, to the narrow inside.
    Squeeze(usize),
    /// Squeeze-and-excite, back to all channels.
    Excite(usize),
    /// The 1x1 convolution at a block's end.
    Project(usize),
    /// A classifier's 1x1 convolution before pooling.
    Head,
    /// A classifier's last layer.
    Classifier,
    /// The convolution of a step of a regressor's neck: transposed, or after interpolation.
    Upsample(usize),
    /// The 1x1 convolution of backbone features that joins a step of the neck.
    Lateral(usize),
    /// The heat head's 3x3 convolution.
    HeatHidden,
    /// The heat head's 1x1 convolution.
    HeatOutput,
    /// The size head's 3x3 convolution.
    SizeHidden,
    /// The size head's 1x1 convolution.
    SizeOutput,
}

/// Which tensor of a [`Unit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The convolution's or linear layer's weight.
    Weight,
    /// The bias, in units without a norm.
    Bias,
    /// The norm's factor (gamma).
    Scale,
    /// What the norm adds (beta).
    Shift,
    /// The norm's running mean.
    Mean,
    /// The norm's running variance.
    Variance,
}

impl Slot {
    /// The buffer of such tensors.
    pub fn group(self) -> Group {
        match self {
            Slot::Weight => Group::Decayed,
            Slot::Bias | Slot::Scale | Slot::Shift => Group::Plain,
            Slot::Mean | Slot::Variance => Group::Statistics,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unit::Stem => f.write_str("stem"),
            Unit::Fused(block) => write!(f, "blocks.{block}.fused"),
            Unit::Expand(block) => write!(f, "blocks.{block}.expand"),
            Unit::Depthwise(block) => write!(f, "blocks.{block}.depthwise"),
            Unit::Squeeze(block) => write!(f, "blocks.{block}.squeeze"),
            Unit::Excite(block) => write!(f, "blocks.{block}.excite"),
            Unit::Project(block) => write!(f, "blocks.{block}.project"),
            Unit::Head => f.write_str("head"),
            Unit::Classifier => f.write_str("classifier"),
            Unit::Upsample(step) => write!(f, "neck.{step}.upsample"),
            Unit::Lateral(step) => write!(f, "neck.{step}.lateral"),
            Unit::HeatHidden => f.write_str("heat.hidden"),
            Unit::HeatOutput => f.write_str("heat.output"),
            Unit::SizeHidden => f.write_str("size.hidden"),
            Unit::SizeOutput => f.write_str("size.output"),
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Slot::Weight => "weight",
            Slot::Bias => "bias",
            Slot::Scale => "norm.scale",
            Slot::Shift => "norm.shift",
            Slot::Mean => "norm.mean",
            Slot::Variance => "norm.variance",
        })
    }
}
