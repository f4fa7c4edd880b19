use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::architecture::{Architecture, Flavour, Named, NeckStep, Published, Regressor, Upsampling};
use crate::layout::{Group, Layout};
use crate::model_file::{Description, Preprocessing};

fn small(name: Published, flavour: Flavour) -> Named {
    Named {
        flavour,
        width: 0.25,
        depth: 0.3,
        ..Named::plain(name)
    }
}

fn regressor() -> Architecture {
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
        classes: 3,
    };
    small(Published::EfficientNetV2B0, Flavour::Tensorflow)
        .regressor(regressor)
        .unwrap()
}

/// Weights with statistics that are not neutral.
fn weights(architecture: &Architecture) -> Weights {
    let mut weights = Weights::initialise(Arc::new(Layout::of(architecture).unwrap()), 3);
    for (at, value) in weights.buffer_mut(Group::Statistics).iter_mut().enumerate() {
        *value = 0.5 + (at % 7) as f32 / 8.0;
    }
    weights
}

fn written(architecture: &Architecture, options: &OnnxOptions) -> message::Model {
    message::Model::decode(export_onnx(&weights(architecture), options).unwrap().as_slice()).unwrap()
}

fn all_options() -> Vec<OnnxOptions> {
    let mut all = Vec::new();
    for fold_norms in [true, false] {
        for size in [None, Some([97, 64])] {
            let probabilities = size.is_some();
            all.push(OnnxOptions {
                fold_norms,
                probabilities,
                size,
            });
        }
    }
    all
}

/// Every value is made once, before it is used, and every constant is used.
#[test]
fn graphs_are_in_an_order_in_which_they_can_run() {
    let classifier = small(Published::EfficientNetB0, Flavour::Tensorflow)
        .classifier(5)
        .unwrap();
    for architecture in [classifier, regressor()] {
        for options in all_options() {
            let graph = written(&architecture, &options).graph.unwrap();
            let mut made: BTreeSet<&str> = graph
                .initializers
                .iter()
                .map(|tensor| tensor.name.as_str())
                .collect();
            assert_eq!(made.len(), graph.initializers.len());
            let mut unused = made.clone();
            made.extend(["image", ""]);
            for node in &graph.nodes {
                for input in &node.inputs {
                    assert!(made.contains(input.as_str()), "{} of {}", input, node.name);
                    unused.remove(input.as_str());
                }
                assert!(made.insert(&node.outputs[0]), "{}", node.name);
            }
            assert!(
                graph
                    .outputs
                    .iter()
                    .all(|output| made.contains(output.name.as_str()))
            );
            // A grid that needs no cut leaves the constants of the cut.
            let cut = BTreeSet::from(["rows-and-columns", "zeros"]);
            assert!(unused.is_subset(&cut), "{unused:?}");
        }
    }
}

#[test]
fn sizes_of_constants_are_their_extents() {
    for options in all_options() {
        for tensor in written(&regressor(), &options).graph.unwrap().initializers {
            let numbers: i64 = tensor.extents.iter().product();
            let width = if tensor.number == message::FLOAT { 4 } else { 8 };
            assert_eq!(tensor.raw.len() as i64, numbers * width, "{}", tensor.name);
        }
    }
}

fn attribute<'a>(graph: &'a message::Graph, node: &str, name: &str) -> Option<&'a message::Attribute> {
    let node = graph.nodes.iter().find(|found| found.name == node).unwrap();
    node.attributes.iter().find(|attribute| attribute.name == name)
}

#[test]
fn tensorflows_padding_is_explicit_for_a_fixed_size_and_the_runtimes_otherwise() {
    let architecture = small(Published::EfficientNetB0, Flavour::Tensorflow)
        .classifier(5)
        .unwrap();
    let with = |size| {
        let options = OnnxOptions {
            size,
            ..OnnxOptions::default()
        };
        written(&architecture, &options).graph.unwrap()
    };
    let pads =
        |graph: &message::Graph, node| attribute(graph, node, "pads").map(|pads| pads.integers.clone());
    let fixed = with(Some([96, 97]));
    // Above, left, below, right: 96 is padded below alone, 97 on both sides.
    assert_eq!(pads(&fixed, "stem"), Some(vec![0, 1, 1, 1]));
    let open = with(None);
    assert_eq!(pads(&open, "stem"), None);
    assert_eq!(attribute(&open, "stem", "auto_pad").unwrap().text, b"SAME_UPPER");
    assert_eq!(pads(&open, "blocks.0.depthwise"), Some(vec![1, 1, 1, 1]));
    let symmetric = small(Published::EfficientNetB0, Flavour::Timm)
        .classifier(5)
        .unwrap();
    let symmetric = written(&symmetric, &OnnxOptions::default()).graph.unwrap();
    assert_eq!(pads(&symmetric, "stem"), Some(vec![1, 1, 1, 1]));
}

#[test]
fn folded_norms_leave_no_operator_and_the_right_weights() {
    let architecture = small(Published::EfficientNetV2B0, Flavour::Torchvision)
        .classifier(5)
        .unwrap();
    let weights = weights(&architecture);
    let folded = written(&architecture, &OnnxOptions::default()).graph.unwrap();
    let options = OnnxOptions {
        fold_norms: false,
        ..OnnxOptions::default()
    };
    let apart = written(&architecture, &options).graph.unwrap();
    let norms = |graph: &message::Graph| {
        let norms = graph
            .nodes
            .iter()
            .filter(|node| node.operator == "BatchNormalization");
        norms.count()
    };
    assert_eq!(norms(&folded), 0);
    let means = weights
        .layout()
        .tensors()
        .iter()
        .filter(|spec| spec.name.ends_with("norm.mean"));
    assert_eq!(norms(&apart), means.count());

    let first = |graph: &message::Graph, name: &str| {
        let tensor = graph
            .initializers
            .iter()
            .find(|tensor| tensor.name == name)
            .unwrap();
        f32::from_le_bytes(*tensor.raw.first_chunk().unwrap())
    };
    let at = |name: &str| weights.view(name).unwrap()[0];
    let factor = at("stem.norm.scale") / (at("stem.norm.variance") + 1e-3).sqrt();
    let expected = at("stem.weight") * factor;
    assert!((first(&folded, "stem.weight") - expected).abs() < 1e-6);
    let expected = at("stem.norm.shift") - at("stem.norm.mean") * factor;
    assert!((first(&folded, "stem.bias") - expected).abs() < 1e-6);
}

#[test]
fn a_model_brings_its_classes_and_preprocessing() {
    let architecture = regressor();
    let weights = weights(&architecture);
    let description = Description::new(architecture, ["a", "b", "c"], Preprocessing::imagenet(96, 96));
    let model = Model::new(description, weights).unwrap();
    let bytes = export_model_onnx(&model, &OnnxOptions::default()).unwrap();
    let file = message::Model::decode(bytes.as_slice()).unwrap();
    assert_eq!(file.metadata[0].value, r#"["a","b","c"]"#);
    let preprocessing: Preprocessing = serde_json::from_str(&file.metadata[1].value).unwrap();
    assert_eq!(preprocessing, model.description.preprocessing);
}

#[test]
fn sizes_that_no_image_has_are_refused() {
    for size in [[0, 10], [10, 100_000]] {
        let options = OnnxOptions {
            size: Some(size),
            ..OnnxOptions::default()
        };
        assert!(
            export_onnx(&weights(&regressor()), &options)
                .unwrap_err()
                .to_string()
                .contains("size")
        );
    }
}
