//! Ten steps of a small network from weights and pictures that PyTorch was given too; see
//! `benches/peers/training_steps.py`.

use std::cell::RefCell;
use std::collections::BTreeMap;

use dermflow_nn::network::{Images, Network};
use dermflow_nn::training::{Control, Event, Trained, TrainingSettings, train};

use super::classify::{Classify, Pictures, architecture, start};

pub const STEPS: usize = 10;
pub const SEED: u64 = 4;

/// The rule's name in the table of losses, the rule and its learning rate.
const RULES: [(&str, &str, f64); 3] = [
    ("sgd", r#"{"sgd": {"momentum": 0.9, "nesterov": true}}"#, 0.002),
    ("adamw", r#"{"adamw": {}}"#, 0.001),
    ("rmsprop", r#"{"rmsprop": {}}"#, 0.001),
];

/// Not a multiple of the network's stride, so that odd grids are padded.
pub fn pictures() -> Pictures {
    Pictures {
        side: 40,
        batch: 12,
        batches: STEPS,
    }
}

/// What each rule gives: the loss of every batch before the step that it causes, and then the
/// outputs for the first batch, with running statistics.
pub struct Given {
    pub losses: Vec<f64>,
    pub outputs: Vec<f64>,
}

/// Trains with every rule.
pub fn given() -> BTreeMap<String, Given> {
    let rules = RULES.map(|(name, rule, rate)| (name.to_string(), one(rule, rate)));
    rules.into_iter().collect()
}

fn one(rule: &str, rate: f64) -> Given {
    let settings: TrainingSettings = serde_json::from_str(&format!(
        r#"{{"epochs": 1, "average": null, "optimiser": {{"rule": {rule}, "weight-decay": 0.01}},
            "schedule": {{"learning-rate": {rate}, "shape": "constant"}}}}"#
    ))
    .unwrap();
    let network = Network::new(&architecture()).unwrap();
    let objective = Classify {
        network: network.clone(),
        pictures: pictures(),
        unseen: 0,
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
    let trained = train(&settings, start(&network, SEED), &objective, &pictures(), control).unwrap();
    Given {
        outputs: outputs(&network, &trained),
        losses: losses.into_inner(),
    }
}

fn outputs(network: &Network, trained: &Trained) -> Vec<f64> {
    let pictures = pictures();
    let pixels: Vec<f32> = (0..pictures.batch)
        .flat_map(|sample| pictures.picture(sample).1)
        .collect();
    let images: Images<'_> = pictures.images(&pixels);
    let inference = network
        .inference(&trained.last.parameters, &trained.last.statistics)
        .unwrap();
    let outputs = inference.logits(images).unwrap();
    outputs.into_iter().map(f64::from).collect()
}
