use proptest::prelude::*;

use super::*;
use crate::layout::{Group, Layout};
use crate::published_table::published_table;

#[test]
fn every_published_network_is_what_timm_and_torchvision_have() {
    for row in published_table() {
        let document = row.published.document(row.flavour, 1000);
        let layout = Layout::of(&document).unwrap();
        let statistics = layout
            .tensors()
            .iter()
            .filter(|spec| spec.group == Group::Statistics);
        let statistics: usize = statistics.map(|spec| spec.len()).sum();
        assert_eq!(layout.parameters(), row.parameters, "{}", row.model);
        assert_eq!(
            layout.parameters() + statistics as u64,
            row.with_statistics,
            "{}",
            row.model
        );
        let Norm { epsilon, momentum } = document.backbone.norm;
        assert_eq!((epsilon, momentum), (row.epsilon, row.momentum), "{}", row.model);
        assert_eq!(
            row.published.coefficients().evaluation_size as usize,
            row.size,
            "{}",
            row.model
        );
    }
    assert_eq!(published_table().count(), 49);
}

#[test]
fn names_are_what_serde_writes() {
    for published in Published::ALL {
        let text = serde_json::to_string(&published).unwrap();
        assert_eq!(text, format!("\"{}\"", published.name()));
    }
}

/// (network, stem, channels and layers of its stages, head), as the papers' tables have them.
type Widths = (Published, u32, &'static [u32], &'static [u32], u32);

const WIDTHS: [Widths; 9] = [
    (
        Published::EfficientNetB1,
        32,
        &[16, 24, 40, 80, 112, 192, 320],
        &[2, 3, 3, 4, 4, 5, 2],
        1280,
    ),
    (
        Published::EfficientNetB2,
        32,
        &[16, 24, 48, 88, 120, 208, 352],
        &[2, 3, 3, 4, 4, 5, 2],
        1408,
    ),
    (
        Published::EfficientNetB3,
        40,
        &[24, 32, 48, 96, 136, 232, 384],
        &[2, 3, 3, 5, 5, 6, 2],
        1536,
    ),
    (
        Published::EfficientNetB4,
        48,
        &[24, 32, 56, 112, 160, 272, 448],
        &[2, 4, 4, 6, 6, 8, 2],
        1792,
    ),
    (
        Published::EfficientNetB7,
        64,
        &[32, 48, 80, 160, 224, 384, 640],
        &[4, 7, 7, 10, 10, 13, 4],
        2560,
    ),
    (
        Published::EfficientNetV2B1,
        32,
        &[16, 32, 48, 96, 112, 192],
        &[2, 3, 3, 4, 6, 9],
        1280,
    ),
    (
        Published::EfficientNetV2B2,
        32,
        &[16, 32, 56, 104, 120, 208],
        &[2, 3, 3, 4, 6, 10],
        1408,
    ),
    (
        Published::EfficientNetV2B3,
        40,
        &[16, 40, 56, 112, 136, 232],
        &[2, 3, 3, 5, 7, 12],
        1536,
    ),
    (
        Published::EfficientNetLite4,
        32,
        &[24, 32, 56, 112, 160, 272, 448],
        &[1, 4, 4, 6, 6, 8, 1],
        1280,
    ),
];

#[test]
fn scaled_tables_are_the_published_ones() {
    for (published, stem, channels, layers, head) in WIDTHS {
        let document = published.document(Flavour::default(), 1000);
        let stages = &document.backbone.stages;
        assert_eq!(document.backbone.stem.channels, stem, "{}", published.name());
        assert_eq!(
            stages.iter().map(|stage| stage.channels).collect::<Vec<_>>(),
            channels,
            "{}",
            published.name()
        );
        assert_eq!(
            stages.iter().map(|stage| stage.layers).collect::<Vec<_>>(),
            layers,
            "{}",
            published.name()
        );
        assert_eq!(
            document.classifier().unwrap().head_channels,
            head,
            "{}",
            published.name()
        );
    }
}

#[test]
fn the_nine_tenths_rule_is_the_first_versions_alone() {
    let first = ScalingRule::default();
    let second = ScalingRule {
        nine_tenths: false,
        ..first
    };
    assert_eq!(round_channels(16, 1.2, first), 24);
    assert_eq!(round_channels(16, 1.2, second), 16);
    assert_eq!(round_channels(16, 0.01, first), 8);
    assert_eq!(round_channels(20, 1.0, first), 20);
    assert_eq!(
        (round_layers(5, 1.2), round_layers(3, 1.1), round_layers(4, 0.1)),
        (6, 4, 1)
    );
    assert_eq!(round_layers(3, 1.1_f64.powi(2) / 1.21), 3);
}

#[test]
fn squeeze_is_a_share_of_the_blocks_input() {
    let blocks = Published::EfficientNetB0
        .document(Flavour::default(), 1000)
        .backbone
        .blocks();
    assert_eq!(
        (blocks[0].inputs, blocks[0].expanded, blocks[0].squeeze),
        (32, 32, Some(8))
    );
    assert_eq!(
        (blocks[1].inputs, blocks[1].expanded, blocks[1].squeeze),
        (16, 96, Some(4))
    );
    assert!(!blocks[0].expands() && blocks[0].projects() && blocks[1].expands());
}

#[test]
fn shares_that_a_step_drops_can_be_asked_for_with_a_name() {
    let named: Named =
        serde_json::from_str(r#"{"name": "efficientnet-b3", "dropout": 0.1, "stochastic-depth": 0.05}"#)
            .unwrap();
    let asked = named.classifier(7).unwrap();
    let mut published = Published::EfficientNetB3.document(Flavour::default(), 7);
    assert_eq!(asked.classifier().unwrap().dropout, 0.1);
    assert_eq!(asked.backbone.stochastic_depth, 0.05);
    published.backbone.stochastic_depth = 0.05;
    assert_eq!(asked.backbone, published.backbone);
    let refused = named.regressor(Regressor::suggested(2)).unwrap_err();
    assert_eq!(refused.problems[0].0, "dropout");
    let mut named = Named {
        dropout: None,
        ..named
    };
    let regressor = named.regressor(Regressor::suggested(2)).unwrap();
    assert_eq!(regressor.backbone.stochastic_depth, 0.05);
    named.stochastic_depth = Some(1.0);
    let refused = named.classifier(2).unwrap_err();
    assert_eq!(refused.problems[0].0, "backbone.stochastic-depth");
    let plain = serde_json::to_string(&Named::plain(Published::EfficientNetB3)).unwrap();
    assert!(
        !plain.contains("dropout") && !plain.contains("stochastic"),
        "{plain}"
    );
}

#[test]
fn stochastic_depth_grows_with_depth_and_only_where_there_is_a_shortcut() {
    let blocks = Published::EfficientNetV2B0
        .document(Flavour::default(), 1000)
        .backbone
        .blocks();
    assert_eq!(blocks.len(), 21);
    for (index, block) in blocks.iter().enumerate() {
        let expected = if block.skip {
            0.2 * index as f64 / 21.0
        } else {
            0.0
        };
        assert!((block.drop - expected).abs() < 1e-12);
    }
    assert!(blocks[20].skip && !blocks[13].skip);
}

#[test]
fn flavours_differ_in_padding_and_norm() {
    let norm = |published: Published, flavour| {
        let backbone = published.document(flavour, 10).backbone;
        (backbone.padding, backbone.norm.epsilon, backbone.norm.momentum)
    };
    let (symmetric, same) = (Padding::Symmetric, Padding::TensorflowSame);
    assert_eq!(
        norm(Published::EfficientNetB4, Flavour::Torchvision),
        (symmetric, 1e-5, 0.1)
    );
    assert_eq!(
        norm(Published::EfficientNetB5, Flavour::Torchvision),
        (symmetric, 1e-3, 0.01)
    );
    assert_eq!(
        norm(Published::EfficientNetV2S, Flavour::Torchvision),
        (symmetric, 1e-3, 0.1)
    );
    assert_eq!(
        norm(Published::EfficientNetV2S, Flavour::Timm),
        (symmetric, 1e-5, 0.1)
    );
    assert_eq!(
        norm(Published::EfficientNetLite0, Flavour::Tensorflow),
        (same, 1e-3, 0.1)
    );
}

#[test]
fn same_padding_is_lopsided_at_stride_two_on_even_sizes() {
    let same = Padding::TensorflowSame;
    assert_eq!(same.amounts(224, 3, 2), (0, 1));
    assert_eq!(same.amounts(225, 3, 2), (1, 1));
    assert_eq!(same.amounts(224, 5, 2), (1, 2));
    assert_eq!(same.amounts(7, 3, 1), (1, 1));
    assert_eq!(same.amounts(5, 1, 2), (0, 0));
    assert_eq!(Padding::Symmetric.amounts(224, 5, 2), (2, 2));
}

proptest! {
    /// Window, stride and padding give ceil(size / stride) places with either rule.
    #[test]
    fn both_paddings_give_the_same_grid(size in 1_usize..600, half in 0_usize..4, stride in 1_usize..3) {
        let kernel = 2 * half + 1;
        for padding in [Padding::Symmetric, Padding::TensorflowSame] {
            let (before, after) = padding.amounts(size, kernel, stride);
            // With a 1x1 window and stride 2, SAME may cover less than the whole axis.
            let places = (size + before + after - kernel) / stride + 1;
            prop_assert_eq!(places, strided(size, stride));
        }
    }

    #[test]
    fn halving_twice_is_dividing_by_four(size in 0_usize..10_000) {
        prop_assert_eq!(strided(strided(size, 2), 2), strided(size, 4));
    }

    /// Whatever numbers a document has, the check ends quickly and never panics.
    #[test]
    fn any_numbers_are_built_or_refused(
        channels: u32, kernel: u32, stride: u32, expansion: u32, layers: u32, squeeze: Option<f64>, epsilon: f64,
        neck in 0_usize..100, lateral: bool,
    ) {
        let mut document = Published::EfficientNetB0.document(Flavour::default(), 2);
        document.backbone.norm.epsilon = epsilon;
        let stage = &mut document.backbone.stages[2];
        (stage.channels, stage.kernel, stage.stride) = (channels, kernel, stride);
        (stage.expansion, stage.layers, stage.squeeze) = (expansion, layers, squeeze);
        let step = NeckStep { channels, upsampling: Upsampling::Bilinear, lateral };
        let regressor = Regressor { neck: vec![step; neck], head_channels: channels, classes: 2 };
        document.task = Task::Regressor(regressor);
        if document.check().is_ok() {
            prop_assert!(Layout::of(&document).unwrap().parameters() <= MAX_PARAMETERS);
        }
    }
}

fn faults(document: &Architecture) -> Vec<String> {
    let problems = document.check().unwrap_err().problems;
    problems.into_iter().map(|(place, _)| place).collect()
}

#[test]
fn every_fault_of_a_document_is_named_at_once() {
    let mut document = Published::EfficientNetV2B0.document(Flavour::default(), 0);
    document.name.clear();
    document.backbone.stem.kernel = 4;
    document.backbone.stages[1].layers = 0;
    document.backbone.stages[1].squeeze = Some(0.25);
    document.backbone.norm.epsilon = f64::NAN;
    document.backbone.stochastic_depth = 1.0;
    let expected = [
        "name",
        "backbone.stem.kernel",
        "backbone.stages[1].layers",
        "backbone.stages[1].squeeze",
        "backbone.norm.epsilon",
        "backbone.stochastic-depth",
        "task.classifier.classes",
    ];
    assert_eq!(faults(&document), expected);
}

#[test]
fn a_network_of_absurd_size_is_refused_though_each_number_is_in_range() {
    let mut document = Published::EfficientNetB0.document(Flavour::default(), 2);
    for stage in &mut document.backbone.stages {
        (stage.channels, stage.layers, stage.expansion) = (16_384, 256, 16);
    }
    assert_eq!(faults(&document), ["the network"]);
    assert!(document.check().unwrap_err().to_string().contains("parameters"));
}

#[test]
fn a_regressor_must_fit_its_backbone() {
    let named = Named::plain(Published::EfficientNetB0);
    let step = NeckStep {
        channels: 8,
        upsampling: Upsampling::Learned,
        lateral: true,
    };
    let with = |steps: usize| {
        let neck = vec![step.clone(); steps];
        named.regressor(Regressor {
            neck,
            head_channels: 8,
            classes: 1,
        })
    };
    let stride = |steps| with(steps).unwrap().output_stride();
    assert_eq!((stride(0), stride(1), stride(3), stride(4)), (32, 16, 4, 2));
    assert!(with(5).unwrap_err().to_string().contains("task.regressor.neck"));
    assert_eq!(with(3).unwrap().output_grid(97, 128), (25, 32));
    let laterals = with(4).unwrap().neck();
    let laterals: Vec<_> = laterals.iter().map(|layer| layer.lateral.unwrap()).collect();
    assert_eq!(laterals, [112, 40, 24, 16]);

    // A stem that halves twice at once leaves no features at stride 2.
    let mut without = with(4).unwrap();
    without.backbone.stages[0].stride = 2;
    without.backbone.stages[1].stride = 1;
    assert_eq!(faults(&without), ["task.regressor.neck[3]"]);
    let Task::Regressor(regressor) = &mut without.task else {
        panic!("a regressor");
    };
    // Without features to join there is no grid to double to, either.
    regressor.neck[3].lateral = false;
    assert_eq!(faults(&without), ["task.regressor.neck[3]"]);
}

#[test]
fn multipliers_must_be_positive_numbers() {
    for width in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
        let named = Named {
            width,
            ..Named::plain(Published::EfficientNetB0)
        };
        assert!(named.classifier(2).is_err(), "{width}");
    }
}

#[test]
fn documents_survive_json_and_unknown_fields_are_refused() {
    let named = Named::plain(Published::EfficientNetV2B2);
    for document in [
        named.classifier(3).unwrap(),
        named.regressor(Regressor::suggested(4)).unwrap(),
    ] {
        let text = serde_json::to_string(&document).unwrap();
        assert_eq!(serde_json::from_str::<Architecture>(&text).unwrap(), document);
        let unknown = text.replace("\"activation\"", "\"actuation\"");
        assert!(
            serde_json::from_str::<Architecture>(&unknown)
                .unwrap_err()
                .to_string()
                .contains("actuation")
        );
    }
}

#[test]
fn a_document_needs_only_what_has_no_usual_value() {
    let text = r#"{
        "name": "tiny",
        "backbone": {"stem": {"channels": 8}, "stages": [{"block": "inverted", "channels": 16, "stride": 2}]},
        "task": {"classifier": {"head-channels": 32, "classes": 2}}
    }"#;
    let document: Architecture = serde_json::from_str(text).unwrap();
    assert_eq!(
        document.backbone.norm,
        Norm {
            epsilon: 1e-3,
            momentum: 0.1
        }
    );
    assert_eq!(document.backbone.stages[0].kernel, 3);
    assert_eq!(
        Layout::of(&document)
            .unwrap()
            .find("blocks.0.depthwise.weight")
            .unwrap()
            .shape,
        [3, 3, 8]
    );
}
