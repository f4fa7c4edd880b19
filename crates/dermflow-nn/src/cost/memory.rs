//! Peak memory of a training step and of inference (`method.md` C2).
//!
//! The network takes its activations from a pool that keeps what is given back. So a step's memory
//! is what the pool comes to own, and that is found by going through the step with lengths in the
//! place of numbers: what is taken, in which order, and when it is given back. What the pool does
//! not hold (weights, gradients, the optimiser's state, the batch) is added. This module must know
//! how `network` runs, and no numbers; a test compares it with what a step really takes.

mod backward;
mod convolution;
mod cuts;
mod forward;
mod inference;
mod loading;
mod replay;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;
use crate::layout::walk;
use forward::Forward;
use replay::Replay;

/// Bytes of a float32.
const NUMBER: u64 = 4;

/// A batch of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BatchShape {
    /// How many images.
    #[schemars(range(min = 1, max = 65536))]
    pub images: u32,
    /// Pixels, top to bottom.
    #[schemars(range(min = 1, max = 16384))]
    pub height: u32,
    /// Pixels, left to right.
    #[schemars(range(min = 1, max = 16384))]
    pub width: u32,
}

/// How a training step is run, as far as it takes memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TrainingSetup {
    /// Numbers that the optimiser keeps for each parameter: 1 for SGD with momentum, 2 for AdamW
    /// and RMSprop with momentum.
    #[schemars(range(min = 0, max = 8))]
    pub optimiser_numbers: u32,
    /// Whether an average of the weights is kept.
    pub average: bool,
    /// Whether the best weights so far are kept beside those at work, as a whole training does; a step
    /// alone doesn't.
    pub best_weights: bool,
    /// Batches in memory at once: the one at work, and those made ready beside it.
    #[schemars(range(min = 1, max = 64))]
    pub batches: u32,
    /// Threads at work; each has room of its own for pieces of a layer.
    #[schemars(range(min = 1, max = 1024))]
    pub threads: u32,
}

impl Default for TrainingSetup {
    fn default() -> TrainingSetup {
        TrainingSetup {
            optimiser_numbers: 2,
            average: true,
            best_weights: true,
            batches: crate::training::BATCHES_HELD as u32,
            threads: 2,
        }
    }
}

/// Bytes by what they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Memory {
    /// Weights and running statistics.
    pub weights: u64,
    /// Gradients of the parameters, the optimiser's numbers, the average, the best weights so far.
    pub training: u64,
    /// Batches of images.
    pub images: u64,
    /// All that lies between layers, and room for pieces of a layer.
    pub activations: u64,
    /// For inference of few or small images, what it takes more while weights are laid out anew,
    /// before there are images: those that were loaded are then there in part beside those laid out.
    pub loading: u64,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        let parts = [
            self.weights,
            self.training,
            self.images,
            self.activations,
            self.loading,
        ];
        parts.into_iter().fold(0, u64::saturating_add)
    }
}

/// The most memory that training takes, the program itself not counted: that of a step, by when the best
/// weights of the epochs before are kept. At an epoch's end they are written over, a checkpoint is
/// written and read a few numbers at a time, and an evaluation lays weights out in the place of the
/// gradient.
///
/// The document's numbers must be in range (see [`Architecture::check`]).
pub fn training_memory(architecture: &Architecture, batch: BatchShape, setup: &TrainingSetup) -> Memory {
    let mut network = Forward::new(architecture, batch);
    let pool = training_pool(&mut network, setup.threads);
    beside(architecture, &network, setup, pool)
}

/// Bytes that the pool comes to own.
fn training_pool(network: &mut Forward, threads: u32) -> u64 {
    let mut replay = Replay::new(threads);
    // The second step finds what the first has given back.
    for _ in 0..2 {
        network.step(&mut replay);
    }
    replay.most_bytes()
}

/// What training takes at the very least: all that a step keeps for its way back is held at once.
/// Costs a small part of [`training_memory`], for a search that has a limit.
///
/// The document's numbers must be in range (see [`Architecture::check`]).
pub fn training_memory_at_least(
    architecture: &Architecture,
    batch: BatchShape,
    setup: &TrainingSetup,
) -> Memory {
    let pixels = Forward::new(architecture, batch);
    beside(
        architecture,
        &pixels,
        setup,
        pixels.kept_numbers().saturating_mul(NUMBER),
    )
}

/// The activations with all that lies outside of their pool.
fn beside(architecture: &Architecture, pixels: &Forward, setup: &TrainingSetup, activations: u64) -> Memory {
    let [decayed, plain, statistics] = numbers(architecture);
    let parameters = decayed + plain;
    let own = u64::from(setup.optimiser_numbers) + 1;
    let copies = u64::from(setup.average) + u64::from(setup.best_weights);
    let batches = u64::from(setup.batches);
    Memory {
        weights: (parameters + statistics) * NUMBER,
        training: (parameters.saturating_mul(own) + copies * (parameters + statistics)) * NUMBER,
        images: batches.saturating_mul(pixels.image_numbers()) * NUMBER,
        // Outputs and their gradients.
        activations: activations.saturating_add(pixels.output_bytes().saturating_mul(2)),
        loading: 0,
    }
}

/// The most memory that inference takes, the program itself not counted, with its weights laid out by
/// [`Network::inference_of`](crate::network::Network::inference_of): then they are there once, as the
/// kernels read them, for those that were loaded are given up on the way. There is no map then.
///
/// The document's numbers must be in range (see [`Architecture::check`]).
pub fn inference_memory(architecture: &Architecture, batch: BatchShape, threads: u32) -> Memory {
    let architecture = &architecture.clone().with_map(false);
    let [_, plain, statistics] = numbers(architecture);
    let (loaded, pool) = inference_pool(architecture, batch, threads);
    let pixels = Forward::new(architecture, batch);
    let running = Memory {
        weights: (loaded.panels + loaded.biases + statistics) * NUMBER,
        images: pixels.image_numbers().saturating_mul(NUMBER),
        activations: (pool - loaded.panels * NUMBER).saturating_add(pixels.output_bytes()),
        ..Memory::default()
    };
    let loading = loaded
        .most
        .saturating_add(plain + statistics)
        .saturating_mul(NUMBER);
    Memory {
        loading: loading.saturating_sub(running.total()),
        ..running
    }
}

/// What laying the weights out takes, and the bytes that the pool, with them in it, comes to own.
fn inference_pool(architecture: &Architecture, batch: BatchShape, threads: u32) -> (loading::Loaded, u64) {
    let mut replay = Replay::new(threads);
    let loaded = loading::load(architecture, &mut replay);
    for _ in 0..2 {
        inference::run(architecture, batch, threads, &mut replay);
    }
    (loaded, replay.most_bytes())
}

/// How many numbers there are in each group: decayed and plain parameters, and running statistics.
fn numbers(architecture: &Architecture) -> [u64; 3] {
    let mut numbers = [0_u64; 3];
    walk(architecture, &mut |entry| {
        let at = entry.slot.group() as usize;
        numbers[at] = numbers[at].saturating_add(entry.len());
    });
    numbers
}
