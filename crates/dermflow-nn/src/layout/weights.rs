//! [`Weights`]: a network's numbers, in the three buffers of its layout.

use std::fmt;
use std::sync::Arc;

use super::{Group, Layout, TensorSpec};

/// The weights and running statistics of one network.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    pub(super) layout: Arc<Layout>,
    pub(super) buffers: [Vec<f32>; 3],
}

/// A buffer that doesn't have as many numbers as the layout says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongLength {
    /// Which buffer.
    pub group: Group,
    /// How many numbers it has.
    pub found: usize,
    /// How many the layout wants.
    pub expected: usize,
}

impl fmt::Display for WrongLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WrongLength {
            group,
            found,
            expected,
        } = self;
        write!(
            f,
            "the {group:?} buffer has {found} numbers, and the network has {expected}"
        )
    }
}

impl std::error::Error for WrongLength {}

impl Weights {
    /// Zeros everywhere, but ones as norm scales and running variances.
    pub fn neutral(layout: Arc<Layout>) -> Weights {
        let buffers =
            [Group::Decayed, Group::Plain, Group::Statistics].map(|group| vec![0.0; layout.length(group)]);
        let mut weights = Weights { layout, buffers };
        let layout = Arc::clone(&weights.layout);
        for spec in layout.tensors() {
            if matches!(spec.role, super::Role::NormScale | super::Role::RunningVariance) {
                weights.of_mut(spec).fill(1.0);
            }
        }
        weights
    }

    /// Weights out of full buffers.
    ///
    /// # Errors
    /// Where a buffer has another length than the layout says.
    pub fn from_buffers(
        layout: Arc<Layout>,
        decayed: Vec<f32>,
        plain: Vec<f32>,
        statistics: Vec<f32>,
    ) -> Result<Weights, WrongLength> {
        let buffers = [decayed, plain, statistics];
        for group in [Group::Decayed, Group::Plain, Group::Statistics] {
            let (found, expected) = (buffers[group as usize].len(), layout.length(group));
            if found != expected {
                return Err(WrongLength {
                    group,
                    found,
                    expected,
                });
            }
        }
        Ok(Weights { layout, buffers })
    }

    /// The buffers: decayed, plain, statistics.
    pub fn into_buffers(self) -> [Vec<f32>; 3] {
        self.buffers
    }

    /// Whose weights they are.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// A whole buffer.
    pub fn buffer(&self, group: Group) -> &[f32] {
        &self.buffers[group as usize]
    }

    /// A whole buffer, to change.
    pub fn buffer_mut(&mut self, group: Group) -> &mut [f32] {
        &mut self.buffers[group as usize]
    }

    /// The numbers of a tensor of this layout, outermost extent first.
    pub fn of(&self, spec: &TensorSpec) -> &[f32] {
        self.buffers[spec.group as usize]
            .get(spec.range())
            .unwrap_or_default()
    }

    /// The numbers of a tensor of this layout, to change.
    pub fn of_mut(&mut self, spec: &TensorSpec) -> &mut [f32] {
        self.buffers[spec.group as usize]
            .get_mut(spec.range())
            .unwrap_or_default()
    }

    /// The numbers of the tensor of this name.
    pub fn view(&self, name: &str) -> Option<&[f32]> {
        self.layout.find(name).map(|spec| self.of(spec))
    }

    /// The numbers of the tensor of this name, to change.
    pub fn view_mut(&mut self, name: &str) -> Option<&mut [f32]> {
        let spec = Arc::clone(&self.layout);
        spec.find(name).map(|spec| self.of_mut(spec))
    }
}
