use super::*;
use crate::architecture::{Named, Published, Regressor};
use crate::layout::Group;

fn layout() -> Arc<Layout> {
    let architecture = Named::plain(Published::EfficientNetV2B0).classifier(40).unwrap();
    Arc::new(Layout::of(&architecture).unwrap())
}

fn regressor() -> Arc<Layout> {
    let named = Named::plain(Published::EfficientNetV2B0);
    Arc::new(Layout::of(&named.regressor(Regressor::suggested(3)).unwrap()).unwrap())
}

/// Mean and standard deviation.
fn moments(values: &[f32]) -> (f64, f64) {
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
    let squares = values.iter().map(|&value| (f64::from(value) - mean).powi(2));
    (mean, (squares.sum::<f64>() / values.len() as f64).sqrt())
}

/// The deviation of a tensor is within four standard errors of what it should be.
fn assert_deviation(weights: &Weights, name: &str, expected: f64) {
    let values = weights.view(name).unwrap();
    let (mean, deviation) = moments(values);
    let error = 1.0 / (values.len() as f64).sqrt();
    assert!(mean.abs() < 4.0 * expected * error, "{name}: mean {mean}");
    assert!(
        (deviation / expected - 1.0).abs() < 4.0 * error,
        "{name}: {deviation} for {expected}"
    );
}

#[test]
fn convolutions_are_drawn_by_their_fan_out() {
    let weights = Weights::initialise(layout(), 20);
    assert_deviation(&weights, "stem.weight", (2.0 / (9.0 * 32.0_f64)).sqrt());
    assert_deviation(&weights, "blocks.1.fused.weight", (2.0 / (9.0 * 64.0_f64)).sqrt());
    assert_deviation(&weights, "blocks.20.expand.weight", (2.0 / 1152.0_f64).sqrt());
    assert_deviation(&weights, "blocks.20.project.weight", (2.0 / 192.0_f64).sqrt());
    // Nine places of the window, whatever the number of channels.
    assert_deviation(&weights, "blocks.20.depthwise.weight", (2.0 / 9.0_f64).sqrt());
    assert_deviation(&weights, "blocks.20.squeeze.weight", (2.0 / 48.0_f64).sqrt());
}

#[test]
fn the_classifier_is_uniform_and_biases_are_zero() {
    let weights = Weights::initialise(layout(), 20);
    let bound = 1.0 / 1280.0_f64.sqrt();
    assert_deviation(&weights, "classifier.weight", bound / 3.0_f64.sqrt());
    let most = weights
        .view("classifier.weight")
        .unwrap()
        .iter()
        .fold(0.0, |most: f32, value| most.max(value.abs()));
    assert!(f64::from(most) <= bound && f64::from(most) > 0.999 * bound);
    for name in ["classifier.bias", "blocks.20.squeeze.bias", "stem.norm.shift"] {
        assert!(weights.view(name).unwrap().iter().all(|&bias| bias == 0.0));
    }
    assert!(
        weights
            .view("head.norm.scale")
            .unwrap()
            .iter()
            .all(|&scale| scale == 1.0)
    );
}

#[test]
fn a_regressors_maps_begin_near_a_tenth() {
    let weights = Weights::initialise(regressor(), 20);
    for &bias in weights.view("heat.output.bias").unwrap() {
        let heat = 1.0 / (1.0 + (-bias).exp());
        assert!((heat - 0.1).abs() < 1e-3);
    }
    assert!(
        weights
            .view("size.output.bias")
            .unwrap()
            .iter()
            .all(|&bias| bias == 0.0)
    );
    assert_deviation(&weights, "heat.output.weight", 0.001);
    assert_deviation(
        &weights,
        "neck.0.upsample.weight",
        (2.0 / (16.0 * 128.0_f64)).sqrt(),
    );
}

#[test]
fn networks_with_the_same_backbone_start_with_it_the_same() {
    let (classifier, regressor) = (
        Weights::initialise(layout(), 7),
        Weights::initialise(regressor(), 7),
    );
    let mut shared = 0;
    for spec in regressor.layout().tensors() {
        if let Some(values) = classifier.view(&spec.name) {
            assert_eq!(values, regressor.of(spec), "{}", spec.name);
            shared += 1;
        }
    }
    assert!(shared > 300);
}

#[test]
fn seeds_differ_and_one_unit_can_be_drawn_again() {
    let fresh = Weights::initialise(layout(), 1);
    assert_ne!(
        fresh.view("stem.weight"),
        Weights::initialise(layout(), 2).view("stem.weight")
    );
    let mut changed = fresh.clone();
    changed.view_mut("classifier.weight").unwrap().fill(3.0);
    changed.view_mut("classifier.bias").unwrap().fill(3.0);
    changed.initialise_unit(Unit::Classifier, 1);
    assert_eq!(changed, fresh);
}

/// Pipelines find their results again by hash: a seed must mean the same on every machine.
#[test]
fn a_seed_always_gives_the_same_bytes() {
    let weights = Weights::initialise(layout(), 20);
    let mut hasher = blake3::Hasher::new();
    for value in weights.buffer(Group::Decayed) {
        hasher.update(&value.to_le_bytes());
    }
    assert_eq!(
        hasher.finalize().to_hex().as_str(),
        "c0efd7c2bf54668a1a12112a156f164d253b64098c86d1089585116be470ea8a"
    );
}
