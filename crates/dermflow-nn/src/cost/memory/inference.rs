//! Inference: weights laid out once, then block after block over the batch.

use super::BatchShape;
use super::forward::{Convolution, Forward, Grid, fused};
use super::replay::{Held, Replay};
use crate::architecture::{Architecture, Block, BlockKind, Task, Upsampling};

/// Lays the weights out, and gives how many numbers that takes.
pub(super) fn load(architecture: &Architecture, replay: &mut Replay) -> u64 {
    let before = replay.most_bytes();
    let batch = BatchShape {
        images: 1,
        height: 1,
        width: 1,
    };
    let network = Forward::new(architecture, batch);
    let mut layers = vec![network.stem_convolution()];
    for block in &network.blocks {
        layers.extend(of_block(block));
    }
    match &architecture.task {
        Task::Classifier(classifier) => {
            let head = classifier.head_channels as usize;
            layers.push(Convolution::pointwise(architecture.backbone.channels(), head));
            layers.push(Convolution::pointwise(head, classifier.classes as usize));
        }
        Task::Regressor(_) => {
            for layer in &network.neck {
                layers.push(Convolution::of_step(layer));
                layers.extend(
                    layer
                        .lateral
                        .map(|channels| Convolution::pointwise(channels, layer.outputs)),
                );
            }
            layers.extend(network.heads().into_iter().flatten());
        }
    }
    // Nothing is given back before the network is dropped.
    for layer in layers {
        let numbers = match layer.kind {
            super::forward::Kind::Depthwise => layer.weights(),
            _ => layer.panels(),
        };
        replay.take(numbers);
    }
    (replay.most_bytes() - before) / super::NUMBER
}

fn of_block(block: &Block) -> Vec<Convolution> {
    let mut layers = Vec::new();
    match block.kind {
        BlockKind::Fused => layers.push(fused(block)),
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

/// One batch.
pub(super) fn run(architecture: &Architecture, batch: BatchShape, replay: &mut Replay) {
    let network = Forward::new(architecture, batch);
    let mut out = batch_of(replay, &network.stem_convolution(), network.image, network.stem);
    let mut joined = Vec::new();
    for (index, block) in network.blocks.iter().enumerate() {
        let next = block_of(replay, block, network.grid_before(index), network.grids[index]);
        replay.give(out);
        out = next;
        if network.neck.iter().any(|layer| layer.grid == Some(index)) {
            let numbers = network.grids[index].places().saturating_mul(block.outputs as u64);
            joined.push(replay.take(numbers));
        }
    }
    match &architecture.task {
        Task::Classifier(classifier) => {
            let (grid, channels) = (network.last_grid(), classifier.head_channels as usize);
            let head = Convolution::pointwise(architecture.backbone.channels(), channels);
            let features = batch_of(replay, &head, grid, grid);
            let pooled = replay.take(grid.images * channels as u64);
            let logits = replay.take(grid.images * u64::from(classifier.classes));
            replay.give_all([out, features, pooled, logits]);
        }
        Task::Regressor(_) => regressor(replay, &network, out),
    }
    replay.give_all(joined);
}

fn regressor(replay: &mut Replay, network: &Forward, mut out: Held) {
    let mut stride = network.architecture.backbone.stride();
    let mut from = network.last_grid();
    for layer in &network.neck {
        stride /= 2;
        let to = network.image.strided(stride);
        let side = layer.lateral.map(|channels| {
            let lateral = Convolution::pointwise(channels, layer.outputs);
            batch_of(replay, &lateral, to, to)
        });
        let of = Convolution::of_step(layer);
        let doubled = match layer.upsampling {
            Upsampling::Learned => None,
            Upsampling::Bilinear => Some(replay.take(to.places().saturating_mul(of.inputs))),
        };
        let next = batch_of(replay, &of, if doubled.is_some() { to } else { from }, to);
        replay.give_all(side.into_iter().chain(doubled).chain([out]));
        (out, from) = (next, to);
    }
    for [hidden, output] in network.heads() {
        let inside = batch_of(replay, &hidden, from, from);
        let map = batch_of(replay, &output, from, from);
        replay.give_all([inside, map]);
    }
    replay.give(out);
}

/// A convolution over a batch, image by image.
fn batch_of(replay: &mut Replay, of: &Convolution, from: Grid, to: Grid) -> Held {
    let out = replay.take(to.places().saturating_mul(of.outputs));
    let scratch = match of.kind {
        _ if of.is_pointwise() => 0,
        super::forward::Kind::Transposed => from.bordered(3, 1) * of.inputs,
        _ => to.bordered(of.kernel, of.stride) * of.inputs,
    };
    if scratch > 0 {
        replay.pieces(to.images, &[scratch]);
    }
    out
}

/// A block over a batch, image by image.
fn block_of(replay: &mut Replay, block: &Block, from: Grid, to: Grid) -> Held {
    let out = replay.take(to.places().saturating_mul(block.outputs as u64));
    let bordered = to.bordered(block.kernel as u64, block.stride as u64);
    let inner = to.of_image() * block.expanded as u64;
    let scratch = match block.kind {
        BlockKind::Fused if !block.projects() => vec![bordered * block.inputs as u64],
        BlockKind::Fused => vec![inner, bordered * block.inputs as u64],
        BlockKind::Inverted => {
            let wide = if block.expands() {
                from.of_image() * block.expanded as u64
            } else {
                0
            };
            vec![inner, bordered * block.expanded as u64, wide]
        }
    };
    replay.pieces(to.images, &scratch);
    out
}
