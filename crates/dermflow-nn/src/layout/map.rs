//! The fourth input channel of a training network (`method.md` J3): weights of the stem with it and
//! without.
//!
//! Must not know what the channel holds.

use std::sync::Arc;

use super::{Group, Layout, Slot, Unit, Weights};
use crate::architecture::InvalidArchitecture;

impl Layout {
    /// The layout of the same network with the channel, or without.
    ///
    /// # Errors
    /// Where the channel is what makes the network too large.
    pub fn with_map(&self, map: bool) -> Result<Layout, InvalidArchitecture> {
        Layout::of(&self.architecture.clone().with_map(map))
    }
}

impl Weights {
    /// The same weights with the channel, or without. What the stem gives to a new channel is
    /// zero: until it is trained the network computes what it did before.
    ///
    /// # Errors
    /// Where the channel is what makes the network too large.
    pub fn with_map(self, map: bool) -> Result<Weights, InvalidArchitecture> {
        let layout = Arc::new(self.layout().with_map(map)?);
        let from = Arc::clone(self.layout());
        let [decayed, plain, statistics] = self.into_buffers();
        let buffers = [moved(&from, &layout, &decayed), plain, statistics];
        Ok(Weights { layout, buffers })
    }
}

/// The decayed buffer of a network as that of the same one with another number of input channels.
/// The other buffers are the same: channels of the input have no norm and no bias.
pub(crate) fn moved(from: &Layout, to_layout: &Layout, decayed: &[f32]) -> Vec<f32> {
    let mut moved = vec![0.0; to_layout.length(Group::Decayed)];
    let tensors = to_layout
        .tensors()
        .iter()
        .filter(|tensor| tensor.slot == Slot::Weight);
    for tensor in tensors {
        let Some(own) = from.tensor(tensor.unit, tensor.slot) else {
            continue;
        };
        let (values, to) = (&decayed[own.range()], &mut moved[tensor.range()]);
        if tensor.unit != Unit::Stem {
            to.copy_from_slice(values);
            continue;
        }
        let channels = |layout: &Layout| layout.architecture().input_channels();
        let (before, after) = (channels(from), channels(to_layout));
        for (old, new) in values.chunks_exact(before).zip(to.chunks_exact_mut(after)) {
            let both = before.min(after);
            new[..both].copy_from_slice(&old[..both]);
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::{Named, Published};

    #[test]
    fn a_map_comes_with_weights_of_zero_and_goes_with_them() {
        let architecture = Named::plain(Published::EfficientNetV2B0).classifier(3).unwrap();
        let layout = Arc::new(Layout::of(&architecture).unwrap());
        let weights = Weights::initialise(Arc::clone(&layout), 3);
        let with = weights.clone().with_map(true).unwrap();
        let stem = with.view("stem.weight").unwrap();
        assert_eq!(stem.len(), 32 * 9 * 4);
        for (four, three) in stem
            .chunks_exact(4)
            .zip(weights.view("stem.weight").unwrap().chunks_exact(3))
        {
            assert_eq!((&four[..3], four[3]), (three, 0.0));
        }
        assert_eq!(with.layout().parameters(), layout.parameters() + 32 * 9);
        assert_eq!(with.with_map(false).unwrap(), weights);
        assert_eq!(serde_json::to_string(&architecture).unwrap(), {
            let with = architecture.clone().with_map(true);
            serde_json::to_string(&with).unwrap()
        });
    }
}
