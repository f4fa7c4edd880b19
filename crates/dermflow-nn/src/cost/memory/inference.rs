//! Inference: weights laid out once, then groups of images through segments of steps.

use super::BatchShape;
use super::convolution::{Convolution, Grid, Kind};
use super::cuts::{idle_threads, pieces_of};
use super::forward::Forward;
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
        let group = Group {
            images: u64::from(batch.images).div_ceil(segment.groups as u64),
            threads: idle_threads(threads, segment.groups as u64),
        };
        let inside = steps[segment.steps.clone()].iter();
        let inside = inside.map(|step| step.scratch(group)).max();
        // Buffers between the segment's steps: those of two are held at once.
        let between = steps[segment.steps.start..segment.steps.end - 1].iter();
        let between = between
            .map(|step| group.images * step.to.of_image() * step.outputs)
            .max();
        let lengths = between.into_iter().chain(inside);
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
    fn scratch(&self, group: Group) -> u64 {
        match &self.kind {
            StepKind::Convolution(of) => group.bordered(of, self.from, self.to),
            StepKind::Block(block) => self.of_block(block, group),
            StepKind::Neck(up, lateral) => {
                let places = group.images * self.to.of_image();
                let side = lateral.map_or(0, |_| places * self.outputs);
                let (doubled, from) = match up.kind {
                    Kind::Transposed => (0, self.from),
                    Kind::Dense | Kind::Depthwise => (places * up.inputs, self.to),
                };
                side + doubled + group.bordered(up, from, self.to)
            }
        }
    }

    fn of_block(&self, block: &Block, group: Group) -> u64 {
        let fused = || group.bordered(&Convolution::fused(block), self.from, self.to);
        let expanded = block.expanded as u64;
        let border = self.to.bordered(block.kernel as u64, block.stride as u64);
        let inner = group.images * self.to.of_image() * expanded;
        match block.kind {
            BlockKind::Fused if !block.projects() => fused(),
            BlockKind::Fused => inner + fused(),
            BlockKind::Inverted if block.expands() => {
                let places = group.images * self.from.of_image();
                let products = places * block.inputs as u64 * expanded;
                let pieces = pieces_of(products, group.threads).min(expanded.div_ceil(PANEL));
                // A piece's channels lie by themselves before they are laid to the others.
                let apart = if pieces > 1 { inner } else { 0 };
                // Each piece has a panel's channels in a grid at a time.
                inner + apart + pieces * group.images * border * PANEL.min(expanded)
            }
            BlockKind::Inverted => inner + border * expanded,
        }
    }
}

/// Images that go through a segment together.
#[derive(Clone, Copy)]
struct Group {
    images: u64,
    /// Threads for them.
    threads: u64,
}

impl Group {
    /// The input of a convolution with a border, of one image, and what its pieces are transformed
    /// into.
    fn bordered(&self, of: &Convolution, from: Grid, to: Grid) -> u64 {
        match of.kind {
            _ if of.is_pointwise() => 0,
            Kind::Dense if of.by_winograd() => {
                let pieces = pieces_of(to.of_image() * of.weights(), self.threads);
                let (lines, columns) = to.size_in_tiles();
                let lines = lines.div_ceil(usize::try_from(pieces).unwrap_or(usize::MAX));
                let (inputs, outputs) = (of.inputs as usize, of.outputs as usize);
                let band = winograd::band_numbers((lines, columns), inputs, outputs);
                let tiles: u64 = band.iter().map(|numbers| *numbers as u64).sum();
                to.bordered(4, 1) * of.inputs + pieces * tiles
            }
            Kind::Transposed => from.bordered(3, 1) * of.inputs,
            Kind::Dense | Kind::Depthwise => to.bordered(of.kernel, of.stride) * of.inputs,
        }
    }
}

/// Columns of most panels of a matrix.
const PANEL: u64 = 48;

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
            let one = Group {
                images: 1,
                threads: idle_threads(threads, grid.images),
            };
            replay.pieces(grid.images, &[inside, one.bordered(&hidden, grid, grid)]);
        }
    }
}
