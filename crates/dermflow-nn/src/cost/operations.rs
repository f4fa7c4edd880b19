//! Parameters and multiply-adds.

use crate::architecture::{Architecture, Upsampling, strided};
use crate::layout::{Group, Slot, Unit, walk};

/// How many numbers are trained, as papers count them: running statistics are none.
///
/// The document's numbers must be in range (see [`Architecture::check`]).
pub fn parameters(architecture: &Architecture) -> u64 {
    let mut parameters = 0_u64;
    walk(architecture, &mut |entry| {
        if entry.slot.group() != Group::Statistics {
            parameters = parameters.saturating_add(entry.len());
        }
    });
    parameters
}

/// Multiply-adds of all convolutions and linear layers for one image (what papers on EfficientNet
/// call FLOPs). Norms, activations, pooling and sums are not counted.
///
/// The document's numbers must be in range (see [`Architecture::check`]).
pub fn multiply_adds(architecture: &Architecture, height: usize, width: usize) -> u64 {
    let places = Places::of(architecture, height, width);
    let mut all = 0_u64;
    walk(architecture, &mut |entry| {
        if entry.slot == Slot::Weight {
            all = all.saturating_add(entry.len().saturating_mul(places.at(entry.unit)));
        }
    });
    all
}

/// How often each unit's weights are used for one image.
struct Places {
    height: usize,
    width: usize,
    stem: usize,
    /// Strides of each block's input and output, over the whole image.
    blocks: Vec<(usize, usize)>,
    /// Strides of each neck step's transposed convolution (its input) or convolution (its
    /// output), and of its output.
    neck: Vec<(usize, usize)>,
    last: usize,
}

impl Places {
    fn of(architecture: &Architecture, height: usize, width: usize) -> Places {
        let stem = architecture.backbone.stem.stride as usize;
        let mut stride = stem;
        let mut blocks = Vec::new();
        for block in architecture.backbone.blocks() {
            let before = stride;
            stride = stride.saturating_mul(block.stride);
            blocks.push((before, stride));
        }
        let mut neck = Vec::new();
        for layer in architecture.neck() {
            let before = stride;
            stride /= 2;
            match layer.upsampling {
                Upsampling::Learned => neck.push((before, stride)),
                Upsampling::Bilinear => neck.push((stride, stride)),
            }
        }
        Places {
            height,
            width,
            stem,
            blocks,
            neck,
            last: stride,
        }
    }

    fn at(&self, unit: Unit) -> u64 {
        let stride = match unit {
            Unit::Stem => self.stem,
            Unit::Expand(block) => self.blocks[block].0,
            Unit::Fused(block) | Unit::Depthwise(block) | Unit::Project(block) => self.blocks[block].1,
            Unit::Upsample(step) => self.neck[step].0,
            Unit::Lateral(step) => self.neck[step].1,
            Unit::Head | Unit::HeatHidden | Unit::HeatOutput | Unit::SizeHidden | Unit::SizeOutput => {
                self.last
            }
            Unit::Squeeze(_) | Unit::Excite(_) | Unit::Classifier => return 1,
        };
        strided(self.height, stride) as u64 * strided(self.width, stride) as u64
    }
}
