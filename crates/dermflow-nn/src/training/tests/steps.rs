//! Ten steps from the same weights and batches as PyTorch took them; the losses were written
//! down by `benches/peers/training_steps.py`.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::perceptron::Perceptron;
use super::settings;
use crate::optimiser::Rates;
use crate::parameters::Parameters;
use crate::training::{Batches, Control, Event, Snapshot, Start, train};

const STEPS: &str = include_str!("../../../tests/data/perceptron_steps.json");

#[derive(Deserialize)]
struct Steps {
    weights: Vec<f32>,
    points: Vec<Vec<f32>>,
    labels: Vec<Vec<usize>>,
    losses: BTreeMap<String, Vec<f64>>,
}

impl Batches for Steps {
    type Batch = (Vec<f32>, Vec<usize>);
    fn batches(&self, _: u64) -> usize {
        self.points.len()
    }
    fn batch(&self, _: u64, index: usize) -> Result<Self::Batch, String> {
        Ok((self.points[index].clone(), self.labels[index].clone()))
    }
    fn samples(&self, _: u64, _: usize) -> Vec<usize> {
        Vec::new()
    }
}

#[test]
fn ten_steps_of_every_rule_have_the_losses_of_pytorch() {
    let steps: Steps = serde_json::from_str(STEPS).unwrap();
    let rules = [
        ("sgd", r#"{"sgd": {"momentum": 0.9, "nesterov": true}}"#, 0.05),
        ("adamw", r#"{"adamw": {}}"#, 0.005),
        ("rmsprop", r#"{"rmsprop": {}}"#, 0.005),
    ];
    assert_eq!(steps.losses.len(), rules.len());
    for (name, rule, rate) in rules {
        let settings = settings(&format!(
            r#"{{"epochs": 1, "average": null, "optimiser": {{"rule": {rule}, "weight-decay": 0.01}},
                "schedule": {{"learning-rate": {rate}, "shape": "constant"}}}}"#
        ));
        let start = Start {
            weights: Snapshot {
                parameters: Parameters::new(steps.weights.clone(), vec![0.0; Perceptron::PLAIN]),
                statistics: vec![0.0; 2],
            },
            rates: Rates::uniform(Perceptron::DECAYED, Perceptron::PLAIN),
            seed: 0,
        };
        let objective = Perceptron {
            dropout: 0.0,
            ..Perceptron::default()
        };
        let losses = RefCell::new(Vec::new());
        let control = Control {
            events: Box::new(|event| {
                if let Event::Step { loss, .. } = event {
                    losses.borrow_mut().push(loss);
                }
            }),
            ..Control::default()
        };
        train(&settings, start, &objective, &steps, control).unwrap();
        let (found, expected) = (losses.into_inner(), &steps.losses[name]);
        assert_eq!(found.len(), expected.len());
        for (step, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (found - expected).abs() / expected;
            assert!(error < 1e-5, "{name}, step {step}: {found}, PyTorch {expected}");
        }
    }
}
