use proptest::prelude::*;

use super::*;
use crate::architecture::{Named, Published};
use crate::layout::{Group, Layout};

fn settings(json: &str) -> OptimiserSettings {
    serde_json::from_str(json).unwrap()
}

/// Three steps on one weight w and one bias, with the gradient 3w + 1 and 2b − 1, by `rule`
/// written out in float64.
fn by_hand(decay: f64, mut rule: impl FnMut(usize, u64, f64, f64) -> f64) -> (f64, f64) {
    let (mut weight, mut bias) = (0.5f64, -0.25f64);
    for step in 1..=3 {
        let slopes = (3.0 * weight + 1.0, 2.0 * bias - 1.0);
        weight = rule(0, step, weight, slopes.0 + decay * weight);
        bias = rule(1, step, bias, slopes.1);
    }
    (weight, bias)
}

fn by_optimiser(settings: &OptimiserSettings) -> (f64, f64) {
    let mut parameters = Parameters::new(vec![0.5], vec![-0.25]);
    let mut optimiser = Optimiser::new(settings, Rates::uniform(1, 1)).unwrap();
    for _ in 0..3 {
        let (weight, bias) = (parameters.decayed.values()[0], parameters.plain.values()[0]);
        let gradients = ParameterGradients {
            decayed: vec![3.0 * weight + 1.0],
            plain: vec![2.0 * bias - 1.0],
        };
        optimiser.step(&mut parameters, &gradients, 0.1);
    }
    (
        parameters.decayed.values()[0].into(),
        parameters.plain.values()[0].into(),
    )
}

fn close(found: (f64, f64), expected: (f64, f64)) {
    let near = |a: f64, b: f64| (a - b).abs() < 1e-6 * b.abs().max(1.0);
    assert!(
        near(found.0, expected.0) && near(found.1, expected.1),
        "{found:?} {expected:?}"
    );
}

#[test]
fn sgd_with_and_without_nesterov_is_that_of_the_papers() {
    for nesterov in [false, true] {
        let mut velocity = [0.0; 2];
        let expected = by_hand(0.1, |at, _, value, slope| {
            velocity[at] = 0.9 * velocity[at] + slope;
            let change = if nesterov {
                slope + 0.9 * velocity[at]
            } else {
                velocity[at]
            };
            value - 0.1 * change
        });
        let json = format!(r#"{{"rule": {{"sgd": {{"nesterov": {nesterov}}}}}, "weight-decay": 0.1}}"#);
        close(by_optimiser(&settings(&json)), expected);
    }
    let expected = by_hand(0.1, |_, _, value, slope| value - 0.1 * slope);
    close(
        by_optimiser(&settings(
            r#"{"rule": {"sgd": {"momentum": 0}}, "weight-decay": 0.1}"#,
        )),
        expected,
    );
}

#[test]
fn adam_decays_within_the_gradient_and_adamw_apart_from_it() {
    for (name, within, apart) in [("adam", 0.1, 0.0), ("adamw", 0.0, 0.1)] {
        let (mut mean, mut square) = ([0.0; 2], [0.0; 2]);
        let expected = by_hand(within, |at, step, value, slope| {
            mean[at] = 0.9 * mean[at] + 0.1 * slope;
            square[at] = 0.999 * square[at] + 0.001 * slope * slope;
            let corrected = mean[at] / (1.0 - 0.9f64.powi(step as i32));
            let root = (square[at] / (1.0 - 0.999f64.powi(step as i32))).sqrt();
            let shrunk = if at == 0 {
                value * (1.0 - 0.1 * apart)
            } else {
                value
            };
            shrunk - 0.1 * corrected / (root + 1e-8)
        });
        let json = format!(r#"{{"rule": {{"{name}": {{}}}}, "weight-decay": 0.1}}"#);
        close(by_optimiser(&settings(&json)), expected);
    }
}

#[test]
fn rmsprop_starts_at_one_has_epsilon_in_the_root_and_the_rate_in_the_momentum() {
    let (mut square, mut change) = ([1.0; 2], [0.0; 2]);
    let expected = by_hand(0.1, |at, _, value, slope| {
        square[at] = 0.9 * square[at] + 0.1 * slope * slope;
        change[at] = 0.9 * change[at] + 0.1 * slope / (square[at] + 1e-3).sqrt();
        value - change[at]
    });
    close(
        by_optimiser(&settings(r#"{"rule": {"rmsprop": {}}, "weight-decay": 0.1}"#)),
        expected,
    );
}

#[test]
fn frozen_stages_stay_and_each_stage_learns_slower_than_the_one_above() {
    let stages = [[0..16, 0..16], [16..32, 16..16], [32..34, 16..18]];
    let rates = Rates::by_stage(&stages, 1, 0.5);
    let rule = settings(r#"{"rule": {"sgd": {"momentum": 0}}, "weight-decay": 0}"#);
    let mut parameters = Parameters::new(vec![0.0; 34], vec![0.0; 18]);
    let mut optimiser = Optimiser::new(&rule, rates).unwrap();
    let ones = ParameterGradients {
        decayed: vec![1.0; 34],
        plain: vec![1.0; 18],
    };
    optimiser.step(&mut parameters, &ones, 1.0);
    let (weights, plain) = (parameters.decayed.values(), parameters.plain.values());
    assert_eq!((weights[0], weights[15], plain[15]), (0.0, 0.0, 0.0));
    assert_eq!((weights[16], weights[31]), (-0.5, -0.5));
    assert_eq!((weights[32], plain[16], plain[17]), (-1.0, -1.0, -1.0));
}

#[test]
fn the_rates_of_a_network_follow_its_stages() {
    let architecture = Named::plain(Published::EfficientNetV2B0).classifier(3).unwrap();
    let layout = Layout::of(&architecture).unwrap();
    let lengths = [layout.length(Group::Decayed), layout.length(Group::Plain)];
    let whole = Rates::of(&layout, 0, 1.0);
    assert_eq!(whole, Rates::uniform(lengths[0], lengths[1]));
    let graded = Rates::of(&layout, 2, 0.8);
    assert_eq!(graded.lengths(), lengths);
    let factor_of = |name: &str| {
        let tensor = layout.find(name).unwrap();
        let spans = &graded.groups()[tensor.group as usize];
        let span = spans.iter().find(|span| span.range.contains(&tensor.offset));
        span.unwrap().factor
    };
    assert_eq!(factor_of("stem.weight"), 0.0);
    assert_eq!(factor_of("classifier.bias"), 1.0);
    assert_eq!(factor_of("classifier.weight"), 1.0);
    let last_block = layout
        .tensors()
        .iter()
        .rev()
        .find(|tensor| tensor.name.starts_with("blocks.") && tensor.group == Group::Decayed)
        .unwrap();
    assert!((factor_of(&last_block.name) - 0.64).abs() < 1e-12);
}

#[test]
fn a_restored_optimiser_goes_on_as_if_nothing_happened() {
    for rule in ["sgd", "adam", "adamw", "rmsprop"] {
        let settings = settings(&format!(r#"{{"rule": {{"{rule}": {{}}}}}}"#));
        let gradients = |step: u64| ParameterGradients {
            decayed: vec![step as f32 - 1.5; 3],
            plain: vec![0.5 / (step + 1) as f32; 2],
        };
        let start = || Parameters::new(vec![1.0, -1.0, 0.25], vec![0.5, 0.0]);
        let rates = || Rates::uniform(3, 2);
        let mut whole = start();
        let mut optimiser = Optimiser::new(&settings, rates()).unwrap();
        (0..6).for_each(|step| optimiser.step(&mut whole, &gradients(step), 0.01));
        let mut parts = start();
        let mut first = Optimiser::new(&settings, rates()).unwrap();
        (0..3).for_each(|step| first.step(&mut parts, &gradients(step), 0.01));
        let mut second = Optimiser::new(&settings, rates()).unwrap();
        second.restore(first.state().clone()).unwrap();
        (3..6).for_each(|step| second.step(&mut parts, &gradients(step), 0.01));
        assert_eq!(parts.decayed.values(), whole.decayed.values(), "{rule}");
        assert_eq!(parts.plain.values(), whole.plain.values(), "{rule}");
    }
}

#[test]
fn the_state_of_another_rule_or_size_is_refused() {
    let adam = Optimiser::new(&OptimiserSettings::default(), Rates::uniform(3, 2)).unwrap();
    let mut sgd = Optimiser::new(&settings(r#"{"rule": {"sgd": {}}}"#), Rates::uniform(3, 2)).unwrap();
    assert!(sgd.restore(adam.state().clone()).is_err());
    let mut larger = Optimiser::new(&OptimiserSettings::default(), Rates::uniform(4, 2)).unwrap();
    assert!(larger.restore(adam.state().clone()).is_err());
}

#[test]
fn fields_out_of_range_and_unknown_ones_are_named() {
    for (json, field) in [
        (r#"{"layer-decay": 0}"#, "layer-decay"),
        (r#"{"accumulate": 0}"#, "accumulate"),
        (r#"{"clip": 0}"#, "clip"),
        (r#"{"rule": {"adam": {"beta2": 1}}}"#, "beta2"),
    ] {
        let error = settings(json).check().unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
    let unknown = serde_json::from_str::<OptimiserSettings>(r#"{"decay": 1}"#).unwrap_err();
    assert!(unknown.to_string().contains("decay"));
}

proptest! {
    #[test]
    fn the_norm_is_that_of_all_numbers_and_the_same_for_any_thread_count(
        decayed in proptest::collection::vec(-10.0f32..10.0, 0..200),
        plain in proptest::collection::vec(-10.0f32..10.0, 0..20),
        repeat in 1usize..400,
    ) {
        let gradients = ParameterGradients { decayed: decayed.repeat(repeat), plain };
        let all = gradients.decayed.iter().chain(&gradients.plain);
        let expected = all.map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| global_norm(&gradients))
        };
        prop_assert!((on(1) - expected).abs() <= 1e-9 * expected.max(1.0));
        prop_assert_eq!(on(1).to_bits(), on(3).to_bits());
    }
}
