//! The one walk through a document that meets every tensor, in the network's order. It makes no
//! names and no vectors of tensors: the cost model takes it thousands of times a second.

use super::{Group, Role, Slot, Unit};
use crate::architecture::{Architecture, Block, BlockKind, NeckLayer, Regressor, Task, Upsampling};

/// A tensor met on the walk.
pub(crate) struct Entry {
    pub(crate) unit: Unit,
    pub(crate) slot: Slot,
    pub(crate) role: Role,
    pub(crate) stage: usize,
    extents: [usize; 4],
    rank: usize,
}

impl Entry {
    pub(crate) fn shape(&self) -> &[usize] {
        &self.extents[..self.rank]
    }

    pub(crate) fn len(&self) -> u64 {
        let extents = self.shape().iter().map(|&extent| extent as u64);
        extents.fold(1, u64::saturating_mul)
    }
}

/// What a unit has beside its weight.
#[derive(Clone, Copy)]
enum With {
    Norm,
    Bias,
}

struct Walk<'a> {
    visit: &'a mut dyn FnMut(Entry),
    stage: usize,
}

/// Meets every tensor of a document whose numbers are in range.
pub(crate) fn walk(architecture: &Architecture, visit: &mut dyn FnMut(Entry)) {
    let stem = &architecture.backbone.stem;
    let mut walk = Walk { visit, stage: 0 };
    let (channels, kernel) = (stem.channels as usize, stem.kernel as usize);
    walk.convolution(
        Unit::Stem,
        channels,
        kernel,
        architecture.input_channels(),
        With::Norm,
    );
    for (index, block) in architecture.backbone.blocks().iter().enumerate() {
        walk.stage = block.stage + 1;
        walk.block(index, block);
    }
    walk.stage = architecture.backbone.stages.len() + 1;
    let features = architecture.backbone.channels();
    match &architecture.task {
        Task::Classifier(classifier) => {
            let head = classifier.head_channels as usize;
            let classes = classifier.classes as usize;
            walk.convolution(Unit::Head, head, 1, features, With::Norm);
            walk.stage += 1;
            walk.tensor(Unit::Classifier, Slot::Weight, Role::Linear, &[classes, head]);
            walk.rest(Unit::Classifier, classes, With::Bias);
        }
        Task::Regressor(regressor) => {
            let neck = architecture.neck();
            for (index, layer) in neck.iter().enumerate() {
                walk.neck(index, layer);
            }
            walk.stage += 1;
            walk.heads(neck.last().map_or(features, |layer| layer.outputs), regressor);
        }
    }
}

/// Whether a document whose numbers are in range has at most so many parameters.
pub(crate) fn parameters_at_most(architecture: &Architecture, most: u64) -> bool {
    let mut parameters = 0_u64;
    walk(architecture, &mut |entry| {
        if entry.slot.group() != Group::Statistics {
            parameters = parameters.saturating_add(entry.len());
        }
    });
    parameters <= most
}

impl Walk<'_> {
    fn block(&mut self, index: usize, block: &Block) {
        match block.kind {
            BlockKind::Fused => {
                let width = if block.expands() {
                    block.expanded
                } else {
                    block.outputs
                };
                self.convolution(Unit::Fused(index), width, block.kernel, block.inputs, With::Norm);
            }
            BlockKind::Inverted => {
                if block.expands() {
                    self.convolution(Unit::Expand(index), block.expanded, 1, block.inputs, With::Norm);
                }
                let unit = Unit::Depthwise(index);
                let shape = [block.kernel, block.kernel, block.expanded];
                self.tensor(unit, Slot::Weight, Role::Depthwise, &shape);
                self.rest(unit, block.expanded, With::Norm);
                if let Some(squeeze) = block.squeeze {
                    self.convolution(Unit::Squeeze(index), squeeze, 1, block.expanded, With::Bias);
                    self.convolution(Unit::Excite(index), block.expanded, 1, squeeze, With::Bias);
                }
            }
        }
        if block.projects() {
            self.convolution(Unit::Project(index), block.outputs, 1, block.expanded, With::Norm);
        }
    }

    fn neck(&mut self, index: usize, layer: &NeckLayer) {
        let unit = Unit::Upsample(index);
        match layer.upsampling {
            Upsampling::Learned => {
                let shape = [4, 4, layer.outputs, layer.inputs];
                self.tensor(unit, Slot::Weight, Role::TransposedConvolution, &shape);
                self.rest(unit, layer.outputs, With::Norm);
            }
            Upsampling::Bilinear => self.convolution(unit, layer.outputs, 3, layer.inputs, With::Norm),
        }
        if let Some(channels) = layer.lateral {
            self.convolution(Unit::Lateral(index), layer.outputs, 1, channels, With::Norm);
        }
    }

    fn heads(&mut self, features: usize, regressor: &Regressor) {
        let inside = regressor.head_channels as usize;
        let heads = [
            (Unit::HeatHidden, Unit::HeatOutput, regressor.classes as usize),
            (Unit::SizeHidden, Unit::SizeOutput, 2),
        ];
        for (hidden, output, channels) in heads {
            self.convolution(hidden, inside, 3, features, With::Bias);
            self.convolution(output, channels, 1, inside, With::Bias);
        }
    }

    fn convolution(&mut self, unit: Unit, outputs: usize, kernel: usize, inputs: usize, with: With) {
        let shape = [outputs, kernel, kernel, inputs];
        self.tensor(unit, Slot::Weight, Role::Convolution, &shape);
        self.rest(unit, outputs, with);
    }

    fn rest(&mut self, unit: Unit, channels: usize, with: With) {
        let tensors: &[(Slot, Role)] = match with {
            With::Bias => &[(Slot::Bias, Role::Bias)],
            With::Norm => &[
                (Slot::Scale, Role::NormScale),
                (Slot::Shift, Role::NormShift),
                (Slot::Mean, Role::RunningMean),
                (Slot::Variance, Role::RunningVariance),
            ],
        };
        for &(slot, role) in tensors {
            self.tensor(unit, slot, role, &[channels]);
        }
    }

    fn tensor(&mut self, unit: Unit, slot: Slot, role: Role, shape: &[usize]) {
        let mut extents = [1; 4];
        extents[..shape.len()].copy_from_slice(shape);
        (self.visit)(Entry {
            unit,
            slot,
            role,
            stage: self.stage,
            extents,
            rank: shape.len(),
        });
    }
}
