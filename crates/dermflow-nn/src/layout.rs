//! [`Layout`]: every tensor of a network by name, shape and role, and where its numbers lie in
//! three flat buffers; [`Weights`]: those buffers, filled.
//!
//! One optimiser call, one moving average and one checkpoint act on whole buffers. Must not know
//! how tensors are computed with, nor what other programs call them.

mod map;
#[cfg(test)]
mod tests;
mod unit;
mod walk;
mod weights;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::architecture::{Architecture, InvalidArchitecture};

pub(crate) use map::moved;
pub use unit::{Slot, Unit};
pub(crate) use walk::{Entry, parameters_at_most, walk};
pub use weights::{Weights, WrongLength};

/// Offsets are multiples of this many numbers (64 bytes of float32); what lies between tensors
/// is zero and stays so.
pub const ALIGNMENT: usize = 16;

/// Which of the three buffers a tensor lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Weights of convolutions and linear layers: weight decay acts on these.
    Decayed,
    /// Scales and shifts of norms, and biases: trained without weight decay.
    Plain,
    /// Running means and variances: not trained.
    Statistics,
}

/// What a tensor is, and so how it is shaped, started and decayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `[out, kernel height, kernel width, in]`.
    Convolution,
    /// `[kernel height, kernel width, channels]`.
    Depthwise,
    /// `[kernel height, kernel width, out, in]`; place (y, x) of the input adds to places
    /// (2y - 1 + i, 2x - 1 + j) of the output through the window's place (i, j).
    TransposedConvolution,
    /// `[out, in]`.
    Linear,
    /// `[n]`, added to the output of its unit.
    Bias,
    /// `[n]`, of a norm; starts at 1.
    NormScale,
    /// `[n]`, of a norm; starts at 0.
    NormShift,
    /// `[n]`, of a norm.
    RunningMean,
    /// `[n]`, of a norm; as PyTorch keeps it, unbiased.
    RunningVariance,
}

/// One tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSpec {
    /// Its name in native files, such as `blocks.3.expand.norm.scale`.
    pub name: String,
    /// Which part of the network it belongs to.
    pub unit: Unit,
    /// Which of that part's tensors it is.
    pub slot: Slot,
    /// Its extents, outermost first.
    pub shape: Vec<usize>,
    /// What it is.
    pub role: Role,
    /// The buffer that it lies in.
    pub group: Group,
    /// Where it begins in its buffer, in numbers.
    pub offset: usize,
    /// Depth in the network: 0 the stem, 1 the first stage, …; see [`Layout::stages`].
    pub stage: usize,
}

impl TensorSpec {
    /// How many numbers it has.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Never: no tensor of a checked document is without numbers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where its numbers lie in its buffer.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.len()
    }
}

/// All tensors of one architecture, in the network's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    architecture: Architecture,
    tensors: Vec<TensorSpec>,
    by_name: BTreeMap<String, usize>,
    by_slot: BTreeMap<(Unit, Slot), usize>,
    lengths: [usize; 3],
    stages: usize,
}

impl Layout {
    /// Lays the network's tensors out.
    ///
    /// # Errors
    /// Where the architecture can't be built.
    pub fn of(architecture: &Architecture) -> Result<Layout, InvalidArchitecture> {
        architecture.check()?;
        let mut layout = Layout {
            architecture: architecture.clone(),
            tensors: Vec::new(),
            by_name: BTreeMap::new(),
            by_slot: BTreeMap::new(),
            lengths: [0; 3],
            stages: architecture.backbone.stages.len() + 3,
        };
        walk(architecture, &mut |entry| layout.add(entry));
        Ok(layout)
    }

    fn add(&mut self, entry: Entry) {
        let group = entry.slot.group();
        let length = &mut self.lengths[group as usize];
        let spec = TensorSpec {
            name: format!("{}.{}", entry.unit, entry.slot),
            unit: entry.unit,
            slot: entry.slot,
            shape: entry.shape().to_vec(),
            role: entry.role,
            group,
            offset: *length,
            stage: entry.stage,
        };
        *length = (*length + spec.len()).next_multiple_of(ALIGNMENT);
        self.by_name.insert(spec.name.clone(), self.tensors.len());
        self.by_slot.insert((spec.unit, spec.slot), self.tensors.len());
        self.tensors.push(spec);
    }

    /// The architecture that it lays out.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Every tensor, in the network's order.
    pub fn tensors(&self) -> &[TensorSpec] {
        &self.tensors
    }

    /// The tensor of this name.
    pub fn find(&self, name: &str) -> Option<&TensorSpec> {
        self.by_name.get(name).map(|&index| &self.tensors[index])
    }

    /// The tensor of this part of the network.
    pub fn tensor(&self, unit: Unit, slot: Slot) -> Option<&TensorSpec> {
        self.by_slot.get(&(unit, slot)).map(|&index| &self.tensors[index])
    }

    /// How many numbers a buffer has.
    pub fn length(&self, group: Group) -> usize {
        self.lengths[group as usize]
    }

    /// How many stages there are: the stem (0), the backbone's stages (1…), then the head's
    /// convolution or the regressor's neck, then the last layers (linear, or heads).
    pub fn stages(&self) -> usize {
        self.stages
    }

    /// The part of a buffer that belongs to a stage; stages lie one behind the other. Empty where
    /// the stage has nothing there.
    pub fn stage_range(&self, group: Group, stage: usize) -> Range<usize> {
        let begin = |stage: usize| {
            let mut own = self.tensors.iter().filter(|tensor| tensor.group == group);
            own.find(|tensor| tensor.stage >= stage)
                .map_or(self.length(group), |tensor| tensor.offset)
        };
        begin(stage)..begin(stage.saturating_add(1))
    }

    /// How many numbers are trained: the network's parameters, as they are counted in papers.
    pub fn parameters(&self) -> u64 {
        let trained = self
            .tensors
            .iter()
            .filter(|tensor| tensor.group != Group::Statistics);
        trained.map(|tensor| tensor.len() as u64).sum()
    }

    /// How many running means and variances there are, without what lies between tensors.
    pub fn statistics(&self) -> u64 {
        let kept = self
            .tensors
            .iter()
            .filter(|tensor| tensor.group == Group::Statistics);
        kept.map(|tensor| tensor.len() as u64).sum()
    }
}
