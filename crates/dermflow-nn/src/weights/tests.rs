mod files;
mod names;

use std::sync::Arc;

use crate::architecture::{Architecture, Named, NeckStep, Published, Regressor, Upsampling};
use crate::layout::{Group, Layout, Weights};

/// A network that is small, yet has every kind of unit.
pub(super) fn small(published: Published) -> Named {
    Named {
        width: 0.25,
        depth: 0.3,
        ..Named::plain(published)
    }
}

pub(super) fn small_regressor(classes: u32) -> Architecture {
    let step = |upsampling| NeckStep {
        channels: 12,
        upsampling,
        lateral: true,
    };
    let neck = vec![
        step(Upsampling::Learned),
        step(Upsampling::Bilinear),
        step(Upsampling::Learned),
    ];
    let regressor = Regressor {
        neck,
        head_channels: 8,
        classes,
    };
    small(Published::EfficientNetV2B0).regressor(regressor).unwrap()
}

/// Weights in which every number differs from its neighbours, statistics included.
pub(super) fn filled(architecture: &Architecture) -> Weights {
    let layout = Arc::new(Layout::of(architecture).unwrap());
    let mut weights = Weights::initialise(Arc::clone(&layout), 3);
    for spec in layout
        .tensors()
        .iter()
        .filter(|spec| spec.group != Group::Decayed)
    {
        for (at, value) in weights.of_mut(spec).iter_mut().enumerate() {
            *value = 0.5 + (spec.offset + at) as f32 / 1024.0;
        }
    }
    weights
}
