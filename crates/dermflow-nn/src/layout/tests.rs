use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::architecture::{Flavour, Named, NeckStep, Published, Regressor, Upsampling};

fn small_regressor() -> Architecture {
    let named = Named {
        width: 0.25,
        depth: 0.3,
        ..Named::plain(Published::EfficientNetV2B0)
    };
    named.regressor(Regressor::suggested(5)).unwrap()
}

#[test]
fn tensors_of_a_buffer_lie_aligned_one_behind_the_other() {
    let layout = Layout::of(&small_regressor()).unwrap();
    for group in [Group::Decayed, Group::Plain, Group::Statistics] {
        let mut end = 0;
        for tensor in layout.tensors().iter().filter(|tensor| tensor.group == group) {
            assert_eq!(tensor.offset % ALIGNMENT, 0);
            assert!(tensor.offset >= end && tensor.offset < end + ALIGNMENT);
            end = tensor.range().end;
        }
        assert!(layout.length(group) >= end && layout.length(group) < end + ALIGNMENT);
    }
}

/// 42,016 are what torchvision's B0 has as buffers, but for its 49 counts of batches.
#[test]
fn running_statistics_are_counted_without_what_lies_between_them() {
    let b0 = Published::EfficientNetB0.document(Flavour::default(), 1000);
    let layout = Layout::of(&b0).unwrap();
    assert_eq!(layout.statistics(), 42_016);
    assert!(layout.length(Group::Statistics) > 42_016);
}

#[test]
fn stages_cut_every_buffer_into_ranges_without_gaps() {
    let layout = Layout::of(&small_regressor()).unwrap();
    for group in [Group::Decayed, Group::Plain, Group::Statistics] {
        let mut end = 0;
        for stage in 0..layout.stages() {
            let range = layout.stage_range(group, stage);
            assert_eq!(range.start, end);
            end = range.end;
        }
        assert_eq!(end, layout.length(group));
    }
    // The last stage is the heads', which have no norm.
    assert!(
        layout
            .stage_range(Group::Statistics, layout.stages() - 1)
            .is_empty()
    );
    assert!(!layout.stage_range(Group::Plain, layout.stages() - 1).is_empty());
}

#[test]
fn names_and_addresses_find_the_same_tensor() {
    let layout = Layout::of(&small_regressor()).unwrap();
    for tensor in layout.tensors() {
        assert_eq!(layout.find(&tensor.name), Some(tensor));
        assert_eq!(layout.tensor(tensor.unit, tensor.slot), Some(tensor));
    }
    assert_eq!(
        layout.find("neck.0.upsample.weight").unwrap().shape,
        [4, 4, 128, 48]
    );
    assert_eq!(layout.find("neck.2.lateral.weight").unwrap().shape, [64, 1, 1, 8]);
    assert_eq!(layout.find("heat.output.bias").unwrap().shape, [5]);
    assert_eq!(layout.find("size.output.weight").unwrap().shape, [2, 1, 1, 64]);
    assert_eq!(
        layout.find("blocks.3.squeeze.weight").unwrap().shape,
        [4, 1, 1, 64]
    );
    assert_eq!(layout.find("classifier.weight"), None);
}

#[test]
fn neutral_weights_have_unit_scales_and_variances_only() {
    let weights = Weights::neutral(Arc::new(Layout::of(&small_regressor()).unwrap()));
    assert!(
        weights
            .view("stem.norm.scale")
            .unwrap()
            .iter()
            .all(|&scale| scale == 1.0)
    );
    assert!(
        weights
            .view("stem.norm.variance")
            .unwrap()
            .iter()
            .all(|&variance| variance == 1.0)
    );
    assert!(
        weights
            .view("stem.norm.mean")
            .unwrap()
            .iter()
            .all(|&mean| mean == 0.0)
    );
    assert!(weights.buffer(Group::Decayed).iter().all(|&weight| weight == 0.0));
    let scales = weights
        .layout()
        .tensors()
        .iter()
        .filter(|spec| spec.role == Role::NormScale);
    let scales: usize = scales.map(TensorSpec::len).sum();
    assert_eq!(weights.buffer(Group::Plain).iter().sum::<f32>(), scales as f32);
}

#[test]
fn buffers_of_another_length_are_refused() {
    let layout = Arc::new(Layout::of(&small_regressor()).unwrap());
    let [mut decayed, plain, statistics] = Weights::neutral(Arc::clone(&layout)).into_buffers();
    decayed.pop();
    let wrong = Weights::from_buffers(layout, decayed, plain, statistics).unwrap_err();
    assert_eq!((wrong.group, wrong.found + 1), (Group::Decayed, wrong.expected));
}

proptest! {
    /// What the walk counts without names is what the layout holds.
    #[test]
    fn a_layout_has_as_many_numbers_as_its_document_says(
        width in 0.1_f64..1.5, depth in 0.1_f64..1.5, which in 0..Published::ALL.len(), learned: bool, lateral: bool,
    ) {
        let named = Named { flavour: Flavour::Timm, width, depth, ..Named::plain(Published::ALL[which]) };
        let upsampling = if learned { Upsampling::Learned } else { Upsampling::Bilinear };
        let neck = vec![NeckStep { channels: 24, upsampling, lateral }; 3];
        let regressor = Regressor { neck, head_channels: 8, classes: 3 };
        for architecture in [named.classifier(7).unwrap(), named.regressor(regressor).unwrap()] {
            let layout = Layout::of(&architecture).unwrap();
            prop_assert!(parameters_at_most(&architecture, layout.parameters()));
            prop_assert!(!parameters_at_most(&architecture, layout.parameters() - 1));
        }
    }
}
