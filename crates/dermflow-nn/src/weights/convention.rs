//! [`Convention`]: what the tensors of a layout are called, by program.

use std::fmt;

use crate::architecture::{Block, BlockKind};
use crate::layout::{Layout, Slot, TensorSpec, Unit};

/// Whose names and shapes a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convention {
    /// timm: `conv_stem.weight`, `blocks.1.0.conv_pw.weight`, …, in PyTorch's shapes.
    Timm,
    /// torchvision: `features.0.0.weight`, `features.1.0.block.0.0.weight`, …, in PyTorch's shapes.
    Torchvision,
    /// This crate's own names and shapes.
    Native,
}

impl fmt::Display for Convention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Convention::Timm => "timm",
            Convention::Torchvision => "torchvision",
            Convention::Native => "dermflow",
        })
    }
}

/// Names of a network's tensors in one convention.
///
/// The neck and heads of a regressor, which neither program has, keep their native units with
/// PyTorch's names for what a norm holds.
pub(crate) struct Names {
    convention: Convention,
    blocks: Vec<Block>,
    stages: usize,
}

/// What PyTorch counts in each batch norm, of no use elsewhere.
pub(crate) const BATCHES: &str = "num_batches_tracked";

impl Convention {
    /// Every convention, in the order in which they are looked for.
    pub(crate) const ALL: [Convention; 3] = [Convention::Timm, Convention::Torchvision, Convention::Native];

    /// The name of the stem's weight, by which a file's convention is told.
    pub(crate) fn mark(self) -> &'static str {
        match self {
            Convention::Timm => "conv_stem.weight",
            Convention::Torchvision => "features.0.0.weight",
            Convention::Native => "stem.weight",
        }
    }
}

impl Names {
    pub(crate) fn of(layout: &Layout, convention: Convention) -> Names {
        let backbone = &layout.architecture().backbone;
        Names {
            convention,
            blocks: backbone.blocks(),
            stages: backbone.stages.len(),
        }
    }

    /// What the tensor is called.
    pub(crate) fn name(&self, spec: &TensorSpec) -> String {
        if self.convention == Convention::Native {
            return spec.name.clone();
        }
        let leaf = match spec.slot {
            Slot::Weight | Slot::Scale => "weight",
            Slot::Bias | Slot::Shift => "bias",
            Slot::Mean => "running_mean",
            Slot::Variance => "running_var",
        };
        let norm = !matches!(spec.slot, Slot::Weight | Slot::Bias);
        format!("{}.{leaf}", self.module(spec.unit, norm))
    }

    /// What the count of batches beside a running mean is called.
    pub(crate) fn batches(&self, spec: &TensorSpec) -> Option<String> {
        let counted = spec.slot == Slot::Mean && self.convention != Convention::Native;
        counted.then(|| format!("{}.{BATCHES}", self.module(spec.unit, true)))
    }

    /// The module that holds a unit's weight, or its norm.
    fn module(&self, unit: Unit, norm: bool) -> String {
        let known = match self.convention {
            Convention::Native => None,
            Convention::Timm => self.timm(unit, norm),
            Convention::Torchvision => self.torchvision(unit, norm),
        };
        known.unwrap_or_else(|| {
            if norm {
                format!("{unit}.norm")
            } else {
                unit.to_string()
            }
        })
    }

    fn timm(&self, unit: Unit, norm: bool) -> Option<String> {
        let pick = |weight: &'static str, own: &'static str| if norm { own } else { weight };
        let (block, name) = match unit {
            Unit::Stem => return Some(pick("conv_stem", "bn1").to_owned()),
            Unit::Head => return Some(pick("conv_head", "bn2").to_owned()),
            Unit::Classifier => return Some("classifier".to_owned()),
            Unit::Fused(block) if self.blocks[block].projects() => (block, pick("conv_exp", "bn1")),
            Unit::Fused(block) => (block, pick("conv", "bn1")),
            Unit::Expand(block) => (block, pick("conv_pw", "bn1")),
            Unit::Depthwise(block) if self.blocks[block].expands() => (block, pick("conv_dw", "bn2")),
            Unit::Depthwise(block) => (block, pick("conv_dw", "bn1")),
            Unit::Squeeze(block) => (block, "se.conv_reduce"),
            Unit::Excite(block) => (block, "se.conv_expand"),
            // A depthwise separable block calls its last convolution what others call their first.
            Unit::Project(block) => match (self.blocks[block].kind, self.blocks[block].expands()) {
                (BlockKind::Fused, _) => (block, pick("conv_pwl", "bn2")),
                (BlockKind::Inverted, true) => (block, pick("conv_pwl", "bn3")),
                (BlockKind::Inverted, false) => (block, pick("conv_pw", "bn2")),
            },
            _ => return None,
        };
        let Block { stage, layer, .. } = self.blocks[block];
        Some(format!("blocks.{stage}.{layer}.{name}"))
    }

    fn torchvision(&self, unit: Unit, norm: bool) -> Option<String> {
        let part = u8::from(norm);
        let (block, name) = match unit {
            Unit::Stem => return Some(format!("features.0.{part}")),
            Unit::Head => return Some(format!("features.{}.{part}", self.stages + 1)),
            Unit::Classifier => return Some("classifier.1".to_owned()),
            Unit::Fused(block) | Unit::Expand(block) => (block, format!("0.{part}")),
            Unit::Depthwise(block) => (block, format!("{}.{part}", self.depthwise_at(block))),
            Unit::Squeeze(block) => (block, format!("{}.fc1", self.depthwise_at(block) + 1)),
            Unit::Excite(block) => (block, format!("{}.fc2", self.depthwise_at(block) + 1)),
            Unit::Project(block) => {
                let before = match self.blocks[block].kind {
                    BlockKind::Fused => 0,
                    BlockKind::Inverted => {
                        self.depthwise_at(block) + usize::from(self.blocks[block].squeeze.is_some())
                    }
                };
                (block, format!("{}.{part}", before + 1))
            }
            _ => return None,
        };
        let Block { stage, layer, .. } = self.blocks[block];
        Some(format!("features.{}.{layer}.block.{name}", stage + 1))
    }

    /// Where torchvision has an inverted block's depthwise convolution.
    fn depthwise_at(&self, block: usize) -> usize {
        usize::from(self.blocks[block].expands())
    }
}
