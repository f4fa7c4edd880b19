//! [`Plan`]: a document with the place of every tensor, as the network runs it.
//!
//! Must not know how anything is computed.

use std::ops::Range;

use crate::architecture::{Activation, Architecture, Block, BlockKind, NeckLayer, Task, Upsampling};
use crate::kernels::activation::Nonlinearity;
use crate::layout::{Layout, Role, Slot, Unit};

/// Where the numbers of a norm lie.
#[derive(Clone, Debug)]
pub(super) struct NormPlan {
    /// In the plain buffer.
    pub(super) scale: Range<usize>,
    pub(super) shift: Range<usize>,
    /// In the statistics.
    pub(super) mean: Range<usize>,
    pub(super) variance: Range<usize>,
}

/// What kind of convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Dense,
    Depthwise,
    /// Window 4, stride 2: doubles the grid.
    Transposed,
}

/// One convolution (or linear layer) with its norm or bias.
#[derive(Clone, Debug)]
pub(super) struct Convolution {
    pub(super) kind: Kind,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// In the decayed buffer.
    pub(super) weight: Range<usize>,
    pub(super) norm: Option<NormPlan>,
    /// In the plain buffer.
    pub(super) bias: Option<Range<usize>>,
    /// Depth in the network, as layouts count it.
    pub(super) stage: usize,
}

/// Squeeze-and-excite.
#[derive(Clone, Debug)]
pub(super) struct SqueezePlan {
    pub(super) squeeze: Convolution,
    pub(super) excite: Convolution,
}

/// One block.
#[derive(Clone, Debug)]
pub(super) struct BlockPlan {
    pub(super) fused: Option<Convolution>,
    pub(super) expand: Option<Convolution>,
    pub(super) depthwise: Option<Convolution>,
    pub(super) squeeze: Option<SqueezePlan>,
    pub(super) project: Option<Convolution>,
    pub(super) skip: bool,
    pub(super) drop: f64,
    pub(super) stage: usize,
}

impl BlockPlan {
    /// A depthwise convolution and nothing else.
    pub(super) fn of_depthwise(of: &Convolution) -> BlockPlan {
        BlockPlan {
            fused: None,
            expand: None,
            depthwise: Some(of.clone()),
            squeeze: None,
            project: None,
            skip: false,
            drop: 0.0,
            stage: of.stage,
        }
    }
}

/// One step of the neck.
#[derive(Clone, Debug)]
pub(super) struct NeckPlan {
    pub(super) upsample: Convolution,
    pub(super) lateral: Option<Convolution>,
    pub(super) grid: Option<usize>,
}

/// One head of the regressor.
#[derive(Clone, Debug)]
pub(super) struct HeadPlan {
    pub(super) hidden: Convolution,
    pub(super) output: Convolution,
}

/// What stands on the backbone.
#[allow(clippy::large_enum_variant, reason = "a network has one")]
#[derive(Clone, Debug)]
pub(super) enum Top {
    Classifier {
        head: Convolution,
        linear: Convolution,
        dropout: f64,
    },
    Regressor {
        neck: Vec<NeckPlan>,
        /// Heat, then size.
        heads: [HeadPlan; 2],
    },
}

/// The whole network.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) stem: Convolution,
    pub(super) blocks: Vec<BlockPlan>,
    pub(super) top: Top,
    pub(super) activation: Nonlinearity,
}

/// One step from images to the last features.
pub(super) enum PlanStep<'a> {
    Stem(&'a Convolution),
    Block(&'a BlockPlan),
    Neck(&'a NeckPlan),
}

impl PlanStep<'_> {
    /// Where the last of its weights ends.
    fn end(&self) -> usize {
        let ends: Vec<usize> = match self {
            PlanStep::Stem(of) => vec![of.weight.end],
            PlanStep::Block(block) => {
                let all = [&block.fused, &block.expand, &block.depthwise, &block.project];
                let all = all.into_iter().flatten();
                let small = block.squeeze.iter().flat_map(|of| [&of.squeeze, &of.excite]);
                all.chain(small).map(|of| of.weight.end).collect()
            }
            PlanStep::Neck(step) => {
                let all = [Some(&step.upsample), step.lateral.as_ref()];
                all.into_iter().flatten().map(|of| of.weight.end).collect()
            }
        };
        ends.into_iter().max().unwrap_or(0)
    }
}

impl Plan {
    fn neck(&self) -> &[NeckPlan] {
        match &self.top {
            Top::Classifier { .. } => &[],
            Top::Regressor { neck, .. } => neck,
        }
    }

    /// How many steps there are: the stem, blocks, a regressor's neck.
    pub(super) fn steps(&self) -> usize {
        1 + self.blocks.len() + self.neck().len()
    }

    /// The step of this number below [`Plan::steps`].
    pub(super) fn step(&self, index: usize) -> PlanStep<'_> {
        match index.checked_sub(1) {
            None => PlanStep::Stem(&self.stem),
            Some(block) if block < self.blocks.len() => PlanStep::Block(&self.blocks[block]),
            Some(rest) => PlanStep::Neck(&self.neck()[rest - self.blocks.len()]),
        }
    }

    /// How many of the decayed numbers the steps before this one need.
    pub(super) fn weights_before(&self, step: usize) -> usize {
        let ends = (0..step).map(|index| self.step(index).end());
        ends.max().unwrap_or(0)
    }

    /// The plan of a checked architecture and its layout.
    pub(super) fn of(architecture: &Architecture, layout: &Layout) -> Plan {
        let backbone = &architecture.backbone;
        let find = |unit, stride| convolution(layout, unit, stride);
        let blocks = backbone.blocks();
        let top = match &architecture.task {
            Task::Classifier(classifier) => Top::Classifier {
                head: find(Unit::Head, 1),
                linear: find(Unit::Classifier, 1),
                dropout: classifier.dropout,
            },
            Task::Regressor(_) => {
                let neck = architecture.neck();
                Top::Regressor {
                    neck: neck
                        .iter()
                        .enumerate()
                        .map(|(index, layer)| neck_step(layout, index, layer))
                        .collect(),
                    heads: [
                        (Unit::HeatHidden, Unit::HeatOutput),
                        (Unit::SizeHidden, Unit::SizeOutput),
                    ]
                    .map(|(hidden, output)| HeadPlan {
                        hidden: find(hidden, 1),
                        output: find(output, 1),
                    }),
                }
            }
        };
        Plan {
            stem: find(Unit::Stem, backbone.stem.stride as usize),
            blocks: blocks
                .iter()
                .enumerate()
                .map(|(index, block)| block_plan(layout, index, block))
                .collect(),
            top,
            activation: match backbone.activation {
                Activation::Silu => Nonlinearity::Silu,
                Activation::Relu6 => Nonlinearity::Relu6,
                Activation::Relu => Nonlinearity::Relu,
            },
        }
    }
}

fn block_plan(layout: &Layout, index: usize, block: &Block) -> BlockPlan {
    let find = |unit, stride| convolution(layout, unit, stride);
    let inverted = block.kind == BlockKind::Inverted;
    BlockPlan {
        fused: (!inverted).then(|| find(Unit::Fused(index), block.stride)),
        expand: (inverted && block.expands()).then(|| find(Unit::Expand(index), 1)),
        depthwise: inverted.then(|| find(Unit::Depthwise(index), block.stride)),
        squeeze: block.squeeze.filter(|_| inverted).map(|_| SqueezePlan {
            squeeze: find(Unit::Squeeze(index), 1),
            excite: find(Unit::Excite(index), 1),
        }),
        project: block.projects().then(|| find(Unit::Project(index), 1)),
        skip: block.skip,
        drop: block.drop,
        stage: block.stage + 1,
    }
}

fn neck_step(layout: &Layout, index: usize, layer: &NeckLayer) -> NeckPlan {
    let stride = match layer.upsampling {
        Upsampling::Learned => 2,
        Upsampling::Bilinear => 1,
    };
    NeckPlan {
        upsample: convolution(layout, Unit::Upsample(index), stride),
        lateral: layer
            .lateral
            .map(|_| convolution(layout, Unit::Lateral(index), 1)),
        grid: layer.grid,
    }
}

/// The unit's tensors. The layout was made from the same document, so they are there.
fn convolution(layout: &Layout, unit: Unit, stride: usize) -> Convolution {
    let range = |slot| layout.tensor(unit, slot).map(|spec| spec.range());
    let weight = layout
        .tensor(unit, Slot::Weight)
        .unwrap_or_else(|| unreachable!("a layout has every unit of its architecture: {unit}"));
    let (kind, kernel, inputs, outputs) = match (weight.role, &weight.shape[..]) {
        (Role::Depthwise, &[kernel, _, channels]) => (Kind::Depthwise, kernel, channels, channels),
        (Role::TransposedConvolution, &[kernel, _, outputs, inputs]) => {
            (Kind::Transposed, kernel, inputs, outputs)
        }
        (_, &[outputs, kernel, _, inputs]) => (Kind::Dense, kernel, inputs, outputs),
        (_, shape) => (Kind::Dense, 1, shape[1], shape[0]),
    };
    let norm = range(Slot::Scale).map(|scale| NormPlan {
        scale,
        shift: range(Slot::Shift).unwrap_or_default(),
        mean: range(Slot::Mean).unwrap_or_default(),
        variance: range(Slot::Variance).unwrap_or_default(),
    });
    Convolution {
        kind,
        kernel,
        stride,
        inputs,
        outputs,
        weight: weight.range(),
        norm,
        bias: range(Slot::Bias),
        stage: weight.stage,
    }
}
