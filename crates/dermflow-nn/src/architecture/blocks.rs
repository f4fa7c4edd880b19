//! A document in full: every block and every step of the neck with its own channels and strides.
//! Must not know how they are computed.

use super::{Architecture, Backbone, BlockKind, Upsampling};

/// One block, all numbers worked out.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Which stage of the document, from 0.
    pub stage: usize,
    /// Which block of its stage, from 0.
    pub layer: usize,
    /// What kind.
    pub kind: BlockKind,
    /// Height and width of the k×k window.
    pub kernel: usize,
    /// Stride of the k×k convolution.
    pub stride: usize,
    /// Channels in.
    pub inputs: usize,
    /// Channels inside; the same as `inputs` where nothing expands.
    pub expanded: usize,
    /// Channels out.
    pub outputs: usize,
    /// Inner width of squeeze-and-excite.
    pub squeeze: Option<usize>,
    /// Whether the input is added to the output.
    pub skip: bool,
    /// The share of samples for which a training step skips the block; 0 without `skip`.
    pub drop: f64,
}

impl Block {
    /// Whether a convolution expands before (`inverted`) or is itself the k×k one (`fused`).
    pub fn expands(&self) -> bool {
        self.expanded != self.inputs
    }

    /// Whether a 1x1 convolution projects at the end; not in a `fused` block with expansion 1.
    pub fn projects(&self) -> bool {
        self.kind == BlockKind::Inverted || self.expands()
    }
}

/// One step of a regressor's neck, all numbers worked out.
#[derive(Clone, Debug, PartialEq)]
pub struct NeckLayer {
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// How the grid is doubled.
    pub upsampling: Upsampling,
    /// The block (index into [`Backbone::blocks`]) whose grid this step's output has.
    pub grid: Option<usize>,
    /// Channels of that block's output, where they are added after a 1x1 convolution.
    pub lateral: Option<usize>,
}

impl Backbone {
    /// Every block, in order.
    pub fn blocks(&self) -> Vec<Block> {
        let all: usize = self.stages.iter().map(|stage| stage.layers as usize).sum();
        let mut blocks: Vec<Block> = Vec::with_capacity(all);
        let mut inputs = self.stem.channels as usize;
        for (index, stage) in self.stages.iter().enumerate() {
            for layer in 0..stage.layers as usize {
                let outputs = stage.channels as usize;
                let stride = if layer == 0 { stage.stride as usize } else { 1 };
                let skip = stride == 1 && inputs == outputs;
                let share = blocks.len() as f64 / all as f64;
                blocks.push(Block {
                    stage: index,
                    layer,
                    kind: stage.block,
                    kernel: stage.kernel as usize,
                    stride,
                    inputs,
                    expanded: inputs * stage.expansion as usize,
                    outputs,
                    squeeze: stage.squeeze.map(|ratio| squeezed(inputs, ratio)),
                    skip,
                    drop: if skip { self.stochastic_depth * share } else { 0.0 },
                });
                inputs = outputs;
            }
        }
        blocks
    }

    /// Pixels of the image per place of the last stage's grid, along one axis.
    pub fn stride(&self) -> usize {
        let stages = self.stages.iter().map(|stage| stage.stride as usize);
        stages.fold(self.stem.stride as usize, usize::saturating_mul)
    }

    /// Channels of the last stage.
    pub fn channels(&self) -> usize {
        self.stages
            .last()
            .map_or(self.stem.channels, |stage| stage.channels) as usize
    }
}

impl Architecture {
    /// Every step of the neck, in order; none for a classifier.
    pub fn neck(&self) -> Vec<NeckLayer> {
        let Some(regressor) = self.regressor() else {
            return Vec::new();
        };
        let blocks = self.backbone.blocks();
        let mut strides = Vec::with_capacity(blocks.len());
        let mut stride = self.backbone.stem.stride as usize;
        for block in &blocks {
            stride = stride.saturating_mul(block.stride);
            strides.push(stride);
        }
        let mut inputs = self.backbone.channels();
        let mut layers = Vec::with_capacity(regressor.neck.len());
        for step in &regressor.neck {
            stride /= 2;
            let grid = strides.iter().rposition(|&own| own == stride);
            let lateral = grid.filter(|_| step.lateral).map(|at| blocks[at].outputs);
            layers.push(NeckLayer {
                inputs,
                outputs: step.channels as usize,
                upsampling: step.upsampling,
                grid,
                lateral,
            });
            inputs = step.channels as usize;
        }
        layers
    }

    /// Pixels of the image per place of a regressor's maps (along one axis), or per place of a
    /// classifier's last feature map.
    pub fn output_stride(&self) -> usize {
        let steps = self.regressor().map_or(0, |regressor| regressor.neck.len());
        self.backbone.stride() >> steps.min(63)
    }

    /// Height and width of a regressor's maps, or of a classifier's last feature map, for an
    /// image of `height` × `width`.
    pub fn output_grid(&self, height: usize, width: usize) -> (usize, usize) {
        let stride = self.output_stride();
        (strided(height, stride), strided(width, stride))
    }
}

/// Places that a convolution with `stride` gives along an axis of `size`, with either padding.
///
/// Strides compose: halving twice, rounding up, is the same as dividing by four, rounding up.
pub fn strided(size: usize, stride: usize) -> usize {
    size.div_ceil(stride.max(1))
}

fn squeezed(inputs: usize, ratio: f64) -> usize {
    ((inputs as f64 * ratio) as usize).max(1)
}
