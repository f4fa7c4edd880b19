//! Whole networks through the training loop: what they learn, and that they learn it as
//! PyTorch's do and with the same bytes on any number of threads.

#[path = "training/classify.rs"]
mod classify;
#[path = "training/ten_steps.rs"]
mod ten_steps;

use std::collections::BTreeMap;

use classify::{Classify, Pictures, architecture, start};
use dermflow_nn::network::Network;
use dermflow_nn::training::{Control, Trained, TrainingSettings, train};
use serde::Deserialize;

const PYTORCH: &str = include_str!("data/network_steps.json");

fn trained(epochs: u64, batches: usize, unseen: usize) -> Trained {
    let json = format!(
        r#"{{"epochs": {epochs}, "average": {{"decay": 0.9}},
            "optimiser": {{"rule": {{"adamw": {{}}}}, "clip": 5}},
            "schedule": {{"learning-rate": 0.004, "warm-up": 0.5}}}}"#
    );
    let settings: TrainingSettings = serde_json::from_str(&json).unwrap();
    let network = Network::new(&architecture()).unwrap();
    let pictures = || Pictures {
        side: 32,
        batch: 16,
        batches,
    };
    let objective = Classify {
        network: network.clone(),
        pictures: pictures(),
        unseen,
    };
    train(
        &settings,
        start(&network, 7),
        &objective,
        &pictures(),
        Control::default(),
    )
    .unwrap()
}

#[test]
fn a_small_efficientnet_learns_to_tell_made_up_pictures_apart() {
    let trained = trained(5, 12, 90);
    let (first, last) = (&trained.history[0], &trained.history[4]);
    assert!(last.loss < 0.5 * first.loss, "{:?}", trained.history);
    assert!(trained.best.score > 0.85, "{:?}", trained.history);
}

#[test]
fn a_network_trains_to_the_same_bytes_on_any_number_of_threads() {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let snapshot = pool.install(|| trained(1, 2, 3).last);
        let parameters = snapshot.parameters;
        [
            parameters.decayed.into_values(),
            parameters.plain.into_values(),
            snapshot.statistics,
        ]
    };
    let one = on(1);
    assert!(one == on(2), "two threads give other weights than one");
    assert!(one == on(5), "five threads give other weights than one");
}

#[derive(Deserialize)]
struct Expected {
    losses: BTreeMap<String, Vec<f64>>,
    outputs: BTreeMap<String, Vec<f64>>,
}

#[test]
fn ten_steps_of_a_network_have_the_losses_and_then_the_outputs_of_pytorch() {
    let expected: Expected = serde_json::from_str(PYTORCH).unwrap();
    let given = ten_steps::given();
    assert_eq!(given.len(), expected.losses.len());
    for (rule, given) in given {
        let losses = &expected.losses[&rule];
        assert_eq!(given.losses.len(), losses.len());
        for (step, (found, wanted)) in given.losses.iter().zip(losses).enumerate() {
            let error = (found - wanted).abs() / wanted;
            assert!(error < 1e-3, "{rule}, step {step}: {found}, PyTorch {wanted}");
        }
        let outputs = &expected.outputs[&rule];
        let largest = outputs.iter().fold(0.0f64, |most, output| most.max(output.abs()));
        assert_eq!(given.outputs.len(), outputs.len());
        for (found, wanted) in given.outputs.iter().zip(outputs) {
            // Adam turns the rounding of gradients that are nearly 0 into whole steps.
            let error = (found - wanted).abs() / largest;
            assert!(error < 3e-2, "{rule}, evaluated: {found}, PyTorch {wanted}");
        }
    }
}
