//! Inference: weights laid out once, then groups of images through segments of steps.

use super::BatchShape;
use super::forward::{Convolution, Forward, Grid, Kind, fused};
use super::replay::{Held, Replay};
use crate::architecture::{Architecture, Block, BlockKind, Task};
use crate::kernels::winograd;
use crate::network::segments::{Extent, groups, segments};

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
        for _ in 0..pieces(&layer) {
            replay.take(weights(&layer) / pieces(&layer));
        }
    }
    (replay.most_bytes() - before) / super::NUMBER
}

/// Numbers of a layer's weights as kernels read them.
fn weights(of: &Convolution) -> u64 {
    match of.kind {
        Kind::Depthwise => of.weights(),
        Kind::Dense if of.by_winograd() => winograd::numbers(of.inputs as usize, of.outputs as usize) as u64,
        Kind::Dense | Kind::Transposed => of.panels(),
    }
}

/// In how many buffers they lie.
fn pieces(of: &Convolution) -> u64 {
    match of.kind {
        Kind::Dense if of.by_winograd() => 16,
        Kind::Transposed => 4,
        Kind::Dense | Kind::Depthwise => 1,
    }
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

/// A step that a group of images goes through.
struct Step {
    from: Grid,
    to: Grid,
    outputs: u64,
    weights: u64,
    kept: bool,
    kind: StepKind,
}

enum StepKind {
    Convolution(Convolution),
    Block(Block),
    /// A step of the neck, with the channels that join.
    Neck(Convolution, Option<Convolution>),
}

/// One batch.
pub(super) fn run(architecture: &Architecture, batch: BatchShape, threads: u32, replay: &mut Replay) {
    let network = Forward::new(architecture, batch);
    let steps = steps(&network);
    let extents: Vec<Extent> = steps.iter().map(Step::extent).collect();
    let images = usize::try_from(batch.images).unwrap_or(usize::MAX);
    let mut joined = Vec::new();
    let mut out: Option<Held> = None;
    for segment in segments(&extents, images, threads as usize) {
        let last = &steps[segment.steps.end - 1];
        let next = replay.take(last.to.places().saturating_mul(last.outputs));
        let group = u64::from(batch.images).div_ceil(segment.groups as u64);
        let inside: Vec<u64> = steps[segment.steps.clone()]
            .iter()
            .flat_map(|step| step.scratch(group))
            .collect();
        // Buffers between the segment's steps: those of two are held at once.
        let between = steps[segment.steps.start..segment.steps.end - 1].iter();
        let between = between
            .map(|step| group * step.to.of_image() * step.outputs)
            .max();
        let lengths = between.into_iter().chain(inside.iter().copied().max());
        replay.pieces(segment.groups as u64, &lengths.collect::<Vec<_>>());
        let before = out.replace(next);
        match segment.steps.start.checked_sub(1) {
            Some(step) if steps[step].kept => joined.extend(before),
            _ => replay.give_all(before),
        }
    }
    top(replay, &network, threads);
    replay.give_all(out.into_iter().chain(joined));
}

fn steps(network: &Forward) -> Vec<Step> {
    let step = |from, to, outputs: usize, kept, kind: StepKind| Step {
        from,
        to,
        outputs: outputs as u64,
        weights: kind.weights(),
        kept,
        kind,
    };
    let stem = network.stem_convolution();
    let channels = network.architecture.backbone.stem.channels as usize;
    let mut all = vec![step(
        network.image,
        network.stem,
        channels,
        false,
        StepKind::Convolution(stem),
    )];
    for (index, block) in network.blocks.iter().enumerate() {
        let kept = network.neck.iter().any(|layer| layer.grid == Some(index));
        let (from, to) = (network.grid_before(index), network.grids[index]);
        all.push(step(
            from,
            to,
            block.outputs,
            kept,
            StepKind::Block(block.clone()),
        ));
    }
    let mut stride = network.architecture.backbone.stride();
    let mut from = network.last_grid();
    for layer in &network.neck {
        stride /= 2;
        let to = network.image.strided(stride);
        let lateral = layer
            .lateral
            .map(|channels| Convolution::pointwise(channels, layer.outputs));
        let kind = StepKind::Neck(Convolution::of_step(layer), lateral);
        all.push(step(from, to, layer.outputs, false, kind));
        from = to;
    }
    all
}

impl StepKind {
    fn weights(&self) -> u64 {
        match self {
            StepKind::Convolution(own) => weights(own),
            StepKind::Block(block) => of_block(block).iter().map(weights).sum(),
            StepKind::Neck(up, lateral) => weights(up) + lateral.as_ref().map_or(0, weights),
        }
    }
}

impl Step {
    fn extent(&self) -> Extent {
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Extent {
            places: number(self.to.of_image()),
            weights: number(self.weights),
            kept: self.kept,
        }
    }

    /// What is held inside of the step for a group of images, together: the largest counts.
    fn scratch(&self, group: u64) -> Option<u64> {
        Some(match &self.kind {
            StepKind::Convolution(of) => bordered(of, self.from, self.to),
            StepKind::Block(block) => self.of_block(block, group),
            StepKind::Neck(up, lateral) => {
                let numbers = group * self.to.of_image() * self.outputs;
                let side = lateral.map_or(0, |_| numbers);
                let doubled = match up.kind {
                    Kind::Transposed => 0,
                    Kind::Dense | Kind::Depthwise => group * self.to.of_image() * up.inputs,
                };
                let from = if doubled > 0 { self.to } else { self.from };
                side + doubled + bordered(up, from, self.to)
            }
        })
    }

    fn of_block(&self, block: &Block, group: u64) -> u64 {
        let border = self.to.bordered(block.kernel as u64, block.stride as u64);
        let inner = group * self.to.of_image() * block.expanded as u64;
        match block.kind {
            BlockKind::Fused if !block.projects() => bordered(&fused(block), self.from, self.to),
            BlockKind::Fused => inner + bordered(&fused(block), self.from, self.to),
            // A panel's channels at a time.
            BlockKind::Inverted if block.expands() => {
                inner + group * border * PANEL.min(block.expanded as u64)
            }
            BlockKind::Inverted => inner + border * block.expanded as u64,
        }
    }
}

/// Columns of most panels of a matrix.
const PANEL: u64 = 48;

/// The input of a convolution with a border, of one image, and what it is transformed into.
fn bordered(of: &Convolution, from: Grid, to: Grid) -> u64 {
    match of.kind {
        _ if of.is_pointwise() => 0,
        Kind::Dense if of.by_winograd() => {
            let (inputs, outputs) = (of.inputs as usize, of.outputs as usize);
            let band = winograd::band_numbers(to.size_in_tiles(), inputs, outputs);
            let tiles = band.map(|numbers| numbers as u64);
            (to.bordered(4, 1) * of.inputs) + tiles[0] + tiles[1]
        }
        Kind::Transposed => from.bordered(3, 1) * of.inputs,
        Kind::Dense | Kind::Depthwise => to.bordered(of.kernel, of.stride) * of.inputs,
    }
}

/// What stands on the backbone.
fn top(replay: &mut Replay, network: &Forward, threads: u32) {
    match &network.architecture.task {
        Task::Classifier(classifier) => {
            let (grid, channels) = (network.last_grid(), u64::from(classifier.head_channels));
            let count = usize::try_from(grid.images).unwrap_or(usize::MAX);
            let places = usize::try_from(grid.of_image()).unwrap_or(usize::MAX);
            let groups = groups(places, count, threads as usize) as u64;
            let pooled = replay.take(grid.images * channels);
            let group = grid.images.div_ceil(groups);
            replay.pieces(groups, &[group * grid.of_image() * channels]);
            replay.give(pooled);
        }
        Task::Regressor(regressor) => {
            let grid = network.image.strided(network.architecture.output_stride());
            let inside = grid.of_image() * u64::from(regressor.head_channels);
            let [[hidden, _], _] = network.heads();
            replay.pieces(grid.images, &[inside, bordered(&hidden, grid, grid)]);
        }
    }
}
