//! A network through the training loop, with an optimiser, an average, best weights and checkpoints.

use std::sync::Arc;

use dermflow_nn::layout::Weights;
use dermflow_nn::network::{Draw, Mode, Network};
use dermflow_nn::optimiser::Rates;
use dermflow_nn::training::{
    Batches, Better, Control, Evaluation, Objective, ObjectiveError, Outcome, Score, Snapshot, Start,
    StepContext, Trained, TrainingSettings, train,
};
use dermflow_nn::{Parameters, TrainingTape};
use dfdx::tensor_ops::MeanTo;

use crate::{BatchShape, images, pixels};

const CHANNELS: usize = 3;

/// Batches of the same pixels, two an epoch.
struct Same(BatchShape);

impl Batches for Same {
    type Batch = Vec<f32>;

    fn batches(&self, _: u64) -> usize {
        2
    }

    fn batch(&self, _: u64, _: usize) -> Result<Vec<f32>, String> {
        Ok(pixels(self.0, CHANNELS))
    }

    fn samples(&self, _: u64, index: usize) -> Vec<usize> {
        vec![index]
    }
}

/// The mean square of a classifier's outputs, and a score that is better after each epoch.
struct Small<'a> {
    network: &'a Network,
    batch: BatchShape,
}

impl Objective for Small<'_> {
    type Batch = Vec<f32>;

    fn loss(
        &self,
        pixels: Vec<f32>,
        parameters: &Parameters,
        statistics: &mut [f32],
        context: &StepContext,
        tape: TrainingTape,
    ) -> Result<Outcome, ObjectiveError> {
        let mode = Mode::Train(Draw {
            seed: context.seed,
            ..Draw::default()
        });
        let images = images(self.batch, &pixels);
        let logits = self.network.logits(images, parameters, statistics, mode, tape);
        let logits = logits.map_err(|error| ObjectiveError::Failed(error.to_string()))?;
        Ok(Outcome {
            loss: logits.square().mean(),
            samples: self.batch.images as usize,
            figures: Vec::new(),
        })
    }

    fn scores(&self) -> Vec<Score> {
        vec![Score {
            name: "epoch".into(),
            better: Better::Higher,
        }]
    }

    fn evaluate(
        &self,
        parameters: &Parameters,
        statistics: &[f32],
        evaluation: &Evaluation<'_>,
    ) -> Result<Vec<f64>, ObjectiveError> {
        let inference = self.network.inference(parameters, statistics).unwrap();
        let pixels = pixels(self.batch, CHANNELS);
        inference.logits(images(self.batch, &pixels)).unwrap();
        drop(inference);
        self.network.release_memory();
        Ok(vec![evaluation.epoch as f64])
    }
}

/// Three epochs.
pub fn trained(network: &Network, batch: BatchShape) -> Trained {
    let settings = r#"{"epochs": 3, "optimiser": {"rule": {"adamw": {}}}, "average": {"decay": 0.9},
        "schedule": {"learning-rate": 1e-4}}"#;
    let settings: TrainingSettings = serde_json::from_str(settings).unwrap();
    let weights = Weights::initialise(Arc::clone(network.layout()), 20);
    let [decayed, plain, statistics] = weights.into_buffers();
    let start = Start {
        weights: Snapshot {
            parameters: Parameters::new(decayed, plain),
            statistics,
        },
        rates: Rates::of(network.layout(), 0, 1.0),
        seed: 20,
    };
    let folder = tempfile::tempdir().unwrap();
    let control = Control {
        checkpoints: Some(folder.path()),
        ..Control::default()
    };
    train(&settings, start, &Small { network, batch }, &Same(batch), control).unwrap()
}
