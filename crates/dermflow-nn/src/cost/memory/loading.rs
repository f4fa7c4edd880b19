//! Weights laid out as inference reads them, from the last step to the first, while those that were
//! loaded are given up.

use super::BatchShape;
use super::convolution::{Convolution, Kind};
use super::forward::Forward;
use super::inference::{Step, steps};
use super::replay::Replay;
use crate::architecture::{Architecture, Block, BlockKind, Task};
use crate::kernels::winograd;
use crate::network::GIVEN_UP;

/// What laying the weights out takes, in numbers.
pub(super) struct Loaded {
    /// Weights as kernels read them.
    pub(super) panels: u64,
    /// Biases of layers with their norms folded in.
    pub(super) biases: u64,
    /// The most that was there at once: those two so far, and what of the decayed parameters was
    /// not given up yet.
    pub(super) most: u64,
}

/// Lays the weights out, from the last step to the first.
pub(super) fn load(architecture: &Architecture, replay: &mut Replay) -> Loaded {
    let batch = BatchShape {
        images: 1,
        height: 1,
        width: 1,
    };
    let network = Forward::new(architecture, batch);
    let mut all: Vec<Vec<Convolution>> = steps(&network).iter().map(Step::layers).collect();
    all.push(of_top(&network));
    let own = |layers: &[Convolution]| layers.iter().map(Convolution::weights).sum::<u64>();
    // Weights of this step and those before it; what is still there of them all.
    let mut needed: u64 = all.iter().map(|layers| own(layers)).sum();
    let mut kept = needed;
    let mut loaded = Loaded {
        panels: 0,
        biases: 0,
        most: 0,
    };
    for layers in all.iter().rev() {
        if kept - needed >= GIVEN_UP as u64 {
            kept = needed;
        }
        for layer in layers {
            lay_out(layer, replay);
            loaded.biases += layer.outputs;
        }
        loaded.panels = replay.most_bytes() / super::NUMBER;
        let now = [kept, loaded.biases, loaded.panels];
        loaded.most = loaded.most.max(now.into_iter().fold(0, u64::saturating_add));
        needed -= own(layers);
    }
    loaded
}

/// Nothing of it is given back before the network is dropped, but for a copy that is laid out from.
fn lay_out(layer: &Convolution, replay: &mut Replay) {
    let copied = match layer.kind {
        Kind::Transposed if layer.by_phases() => {
            for _ in 0..pieces(layer) {
                let windows = replay.take(winograd::products(2) as u64 * layer.inputs * layer.outputs);
                replay.take(weights(layer) / pieces(layer));
                replay.give(windows);
            }
            return;
        }
        Kind::Transposed => Some(layer.weights()),
        Kind::Dense if layer.by_winograd() => {
            Some(winograd::products(3) as u64 * layer.inputs * layer.outputs)
        }
        Kind::Dense | Kind::Depthwise => None,
    };
    let copied = copied.map(|numbers| replay.take(numbers));
    for _ in 0..pieces(layer) {
        replay.take(weights(layer) / pieces(layer));
    }
    replay.give_all(copied);
}

/// Layers of what stands on the backbone and its neck, as they are laid out.
fn of_top(network: &Forward) -> Vec<Convolution> {
    match &network.architecture.task {
        Task::Classifier(classifier) => {
            let head = classifier.head_channels as usize;
            vec![
                Convolution::pointwise(head, classifier.classes as usize),
                Convolution::pointwise(network.architecture.backbone.channels(), head),
            ]
        }
        Task::Regressor(_) => network.heads().into_iter().flatten().collect(),
    }
}

/// Numbers of a layer's weights as kernels read them.
pub(super) fn weights(of: &Convolution) -> u64 {
    let (inputs, outputs) = (of.inputs as usize, of.outputs as usize);
    match of.kind {
        Kind::Depthwise => of.weights(),
        Kind::Dense if of.by_winograd() => winograd::numbers(3, inputs, outputs) as u64,
        Kind::Transposed if of.by_phases() => pieces(of) * winograd::numbers(2, inputs, outputs) as u64,
        Kind::Dense | Kind::Transposed => of.panels(),
    }
}

/// In how many buffers they lie.
fn pieces(of: &Convolution) -> u64 {
    match of.kind {
        Kind::Transposed => 4,
        Kind::Dense | Kind::Depthwise => 1,
    }
}

pub(super) fn of_block(block: &Block) -> Vec<Convolution> {
    let mut layers = Vec::new();
    match block.kind {
        BlockKind::Fused => layers.push(Convolution::fused(block)),
        BlockKind::Inverted => {
            if block.expands() {
                layers.push(Convolution::pointwise(block.inputs, block.expanded));
            }
            layers.push(Convolution::depthwise(block));
        }
    }
    if let Some(squeeze) = block.squeeze {
        layers.push(Convolution::pointwise(block.expanded, squeeze));
        layers.push(Convolution::pointwise(squeeze, block.expanded));
    }
    if block.projects() {
        layers.push(Convolution::pointwise(block.expanded, block.outputs));
    }
    layers
}
