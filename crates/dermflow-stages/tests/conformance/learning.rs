//! Cases of the kinds that train and use networks: small networks, small pictures.
//!
//! Kinds that train have no result without samples, so they get theirs in the world without
//! rows, too; that they refuse an empty table in words is tested beside `classifier-train`.

use dermflow_core::memory::MemoryContext;
use dermflow_nn::architecture::{Architecture, Named, Published, Regressor};
use dermflow_nn::layout::{Layout, Weights};
use dermflow_nn::model_file::{Description, Model, Preprocessing};

use crate::Case;
use crate::world::World;

const CLASSIFIER: &str = "{architecture: {published: {name: efficientnetv2-b0, width: 0.15, depth: 0.2}}, side: 32, \
    batches: {size: 8, sampling: balanced, augmentation: {horizontal-flip: 0.5, mix: {mixup: 0.2}}}, \
    training: {epochs: 2, schedule: {learning-rate: 0.002}}}";

const JOINT: &str = "{classifier: {architecture: {published: {name: efficientnet-b0, width: 0.15, depth: 0.1}}, side: 24, \
    batches: {size: 8}, training: {epochs: 1}}, foreground: {probability: 0.5, apply: blur-background}}";

/// The map as a channel, mixed, flipped and cropped with the picture.
const CHANNEL: &str = "{classifier: {architecture: {published: {name: efficientnet-b0, width: 0.15, depth: 0.1}}, side: 24, \
    batches: {size: 8, augmentation: {horizontal-flip: 0.5, mix: {mixup: 0.2, cutmix: 1.0}}}, training: {epochs: 2}}, \
    foreground: {probability: 0.5, apply: extra-channel}}";

/// The foreground before the background of another picture.
const BACKGROUND: &str = "{classifier: {architecture: {published: {name: efficientnet-b0, width: 0.15, depth: 0.1}}, side: 24, \
    batches: {size: 8, augmentation: {horizontal-flip: 0.5}}, training: {epochs: 1}}, \
    foreground: {probability: 0.5, apply: another-background}}";

pub const REGRESSOR: &str = "{architecture: {published: {name: efficientnetv2-b0, width: 0.15, depth: 0.2}}, side: 32, \
    head-channels: 8, neck: [{channels: 16}, {channels: 16}, {channels: 8, lateral: true}], batches: {size: 8}, \
    training: {epochs: 2}}";

const WIRED: &str = "{batches: {size: 8}, training: {epochs: 1}}";

const SCALED: &str = "{baseline: {published: {name: efficientnetv2-b0, width: 0.15, depth: 0.2}}, classes: 3, \
    limits: {multiply-adds: 9000000, training-memory: 60000000}, \
    search: {size: 32, size-multiple: 8, batch: 8, growth: {grid: {phi: {from: -1.0, to: 2.0, step: 0.5}}}}}";

pub fn cases() -> Vec<Case> {
    let version = |kind| match kind {
        "classifier-train" | "joint-retrain" => 10,
        "regressor-train" => 9,
        "compound-scale" => 7,
        "explain" | "regressor-infer" => 6,
        "classifier-infer" => 5,
        "evaluate-detections" | "import-model" => 2,
        _ => 1,
    };
    let case = |kind, with, prepare: fn(&mut World, bool), golden| Case {
        kind,
        with,
        prepare,
        golden: (version(kind), golden),
    };
    vec![
        case("classifier-infer", "{}", with_classifier, "86640563a39c"),
        case(
            "classifier-infer",
            "{views: flips-and-turns}",
            with_classifier,
            "ee7a14310fcb",
        ),
        case("classifier-train", CLASSIFIER, labelled, "075403cf6548"),
        case(
            "classifier-train",
            WIRED,
            labelled_with_architecture,
            "ea14e2fdff99",
        ),
        case("compound-scale", SCALED, nothing, "b97696c05fd4"),
        case(
            "evaluate-detections",
            "{overlap: 0.3}",
            found_by_a_regressor,
            "ff319baf57a5",
        ),
        case(
            "explain",
            "{pictures: 3}",
            with_classifier_and_boxes,
            "662b703e25f2",
        ),
        case(
            "explain",
            "{method: grad-cam, stage: 2, pictures: 2}",
            with_classifier_and_boxes,
            "8f049fcdaf08",
        ),
        case("export-model", "{format: timm}", a_classifier, "033568164bbd"),
        case(
            "export-model",
            "{format: {onnx: {probabilities: true}}, name: skin}",
            a_classifier,
            "5ab7c42836cc",
        ),
        case(
            "import-model",
            "{path: weights.safetensors, architecture: {published: {name: efficientnetv2-b0, width: 0.15, depth: 0.2}}, outputs: 4}",
            weights_file,
            "b08e7c44c7c3",
        ),
        case("joint-retrain", JOINT, labelled_with_maps, "6c2eb819b1ac"),
        case("joint-retrain", CHANNEL, labelled_with_maps, "f61e977849fb"),
        case("joint-retrain", BACKGROUND, labelled_with_maps, "65de04b1b984"),
        case(
            "regressor-infer",
            "{threshold: 0.0, most: 3}",
            with_regressor,
            "96092230ea01",
        ),
        case("regressor-train", REGRESSOR, with_heatmaps, "a965b229f086"),
        case("trap-sets", "{donors: other-class}", with_boxes, "4ba01e78232b"),
        case(
            "trap-sets",
            "{region: foreground, threshold: 0.01, fill: mean}",
            with_maps,
            "6fadf752ca2b",
        ),
    ]
}

/// What `synthesize` makes, and heat maps of it.
fn made(images: usize) -> MemoryContext {
    let run = |kind: &str, with: &str, context: &mut MemoryContext| {
        let kind = dermflow_stages::registry().get(kind).unwrap().clone();
        let parameters = kind.parse(&serde_yaml::from_str(with).unwrap()).unwrap();
        kind.run(&parameters, context).unwrap();
    };
    let mut made = MemoryContext::default();
    let with = format!("{{images: {images}, width: 32, height: 32, classes: 3}}");
    run("synthesize", &with, &mut made);
    made.add_table("samples", made.output("samples"));
    made.add_table("boxes", made.output("boxes"));
    run("box-to-heatmap", "{stride: 4}", &mut made);
    made
}

fn wire(world: &mut World, images: usize, ports: &[(&str, &str)]) {
    let made = made(images);
    for (port, output) in ports {
        world.tables.push(((*port).to_string(), made.output(output)));
    }
}

fn labelled(world: &mut World, _: bool) {
    wire(world, 24, &[("samples", "samples"), ("labels", "truth")]);
}

fn labelled_with_maps(world: &mut World, rows: bool) {
    labelled(world, rows);
    let inferred = inferred(world, "{}");
    world
        .tables
        .push(("foreground".to_string(), inferred.output("foreground")));
}

/// What `regressor-infer` makes of the first table of the world, by a network of random weights.
fn inferred(world: &World, with: &str) -> MemoryContext {
    let model = network(regressor());
    let path = world.folder.path().join("for-maps.safetensors");
    model.save(&path).unwrap();
    let mut context = MemoryContext::default();
    context.add_table("samples", world.tables[0].1.clone());
    context.add_model("model", path);
    let kind = dermflow_stages::registry()
        .get("regressor-infer")
        .unwrap()
        .clone();
    let parameters = kind.parse(&serde_yaml::from_str(with).unwrap()).unwrap();
    kind.run(&parameters, &mut context).unwrap();
    context
}

/// Boxes as `regressor-infer` tells them: what it writes is what `evaluate-detections` reads.
fn found_by_a_regressor(world: &mut World, rows: bool) {
    let images = if rows { 12 } else { 0 };
    wire(world, images, &[("samples", "samples"), ("boxes", "boxes")]);
    let found = inferred(world, "{threshold: 0.0, most: 3}").output("boxes");
    world.tables.push(("detections".to_string(), found));
}

fn nothing(_: &mut World, _: bool) {}

fn labelled_with_architecture(world: &mut World, rows: bool) {
    labelled(world, rows);
    let kind = dermflow_stages::registry().get("compound-scale").unwrap().clone();
    let parameters = kind.parse(&serde_yaml::from_str(SCALED).unwrap()).unwrap();
    let mut context = MemoryContext::default();
    kind.run(&parameters, &mut context).unwrap();
    let chosen = context.output("architecture");
    world.tables.push(("architecture".to_string(), chosen));
}

fn with_boxes(world: &mut World, rows: bool) {
    let images = if rows { 12 } else { 0 };
    wire(world, images, &[("samples", "samples"), ("boxes", "boxes")]);
}

fn with_maps(world: &mut World, rows: bool) {
    wire(world, if rows { 12 } else { 0 }, &[("samples", "samples")]);
    let maps = inferred(world, "{}").output("foreground");
    world.tables.push(("foreground".to_string(), maps));
}

pub fn with_heatmaps(world: &mut World, _: bool) {
    wire(world, 16, &[("samples", "samples"), ("heatmaps", "heatmaps")]);
}

fn narrow() -> Named {
    Named {
        width: 0.15,
        depth: 0.2,
        ..Named::plain(Published::EfficientNetV2B0)
    }
}

/// A narrow annotator.
pub fn regressor() -> Architecture {
    narrow().regressor(Regressor::suggested(3)).unwrap()
}

/// A narrow classifier.
pub fn classifier() -> Architecture {
    narrow().classifier(3).unwrap()
}

/// A model of weights drawn from a seed.
pub fn network(architecture: Architecture) -> Model {
    let weights = Weights::initialise(Layout::of(&architecture).unwrap().into(), 7);
    let classes = ["a", "b", "c"];
    let description = Description::new(architecture, classes, Preprocessing::imagenet(32, 32));
    Model::new(description, weights).unwrap()
}

fn model(world: &mut World, kind: &'static str, architecture: Architecture) {
    let path = world.folder.path().join(format!("{kind}.safetensors"));
    network(architecture).save(&path).unwrap();
    world.models.push(("model".to_string(), kind, path));
}

fn with_classifier(world: &mut World, rows: bool) {
    wire(world, if rows { 12 } else { 0 }, &[("samples", "samples")]);
    model(world, "classifier", classifier());
}

fn with_classifier_and_boxes(world: &mut World, rows: bool) {
    wire(
        world,
        if rows { 12 } else { 0 },
        &[("samples", "samples"), ("boxes", "boxes")],
    );
    model(world, "classifier", classifier());
}

fn with_regressor(world: &mut World, rows: bool) {
    wire(world, if rows { 12 } else { 0 }, &[("samples", "samples")]);
    model(world, "regressor", regressor());
}

fn a_classifier(world: &mut World, _: bool) {
    model(world, "classifier", classifier());
}

/// A file with timm's names and three outputs, read for a network of four.
fn weights_file(world: &mut World, _: bool) {
    let bytes = dermflow_nn::weights::export(
        &network(classifier()).weights,
        dermflow_nn::weights::Convention::Timm,
    );
    world.source("path", "weights.safetensors", bytes.unwrap());
}
