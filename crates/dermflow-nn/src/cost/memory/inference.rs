//! Inference: groups of images through segments of steps, when the weights are laid out.

use super::BatchShape;
use super::convolution::{Convolution, Grid, Kind};
use super::cuts::{idle_threads, pieces_of};
use super::forward::Forward;
use super::loading::{of_block, weights};
use super::replay::{Held, Replay};
use crate::architecture::{Architecture, Block, BlockKind, Task};
use crate::kernels::lanes::WIDTH;
use crate::kernels::{panels, winograd};
use crate::network::segments::{Extent, groups, segments};

/// A step that a group of images goes through.
pub(super) struct Step {
    from: Grid,
    to: Grid,
    outputs: u64,
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
        let heads = hidden_of_heads(&network).filter(|_| segment.steps.end == steps.len());
        // A regressor's last features are there for a group at a time.
        let next = match heads {
            Some(_) => None,
            None => Some(replay.take(last.to.places().saturating_mul(last.outputs))),
        };
        let mut group = Group::new(replay, batch.images, segment.groups, threads);
        let mut held = Vec::new();
        for step in &steps[segment.steps.clone()] {
            let next = match std::ptr::eq(step, last) && heads.is_none() {
                true => Vec::new(),
                false => group.take(group.images * step.to.of_image() * step.outputs),
            };
            group.run(step);
            group.give(std::mem::replace(&mut held, next));
        }
        if let Some(hidden) = &heads {
            let inside = group.take(group.images * last.to.of_image() * hidden.outputs);
            group.convolution(hidden, last.to, last.to);
            group.give(inside);
        }
        group.give(held);
        let before = std::mem::replace(&mut out, next);
        match segment.steps.start.checked_sub(1) {
            Some(step) if steps[step].kept => joined.extend(before),
            _ => replay.give_all(before),
        }
    }
    classifier(replay, &network, threads);
    replay.give_all(out.into_iter().chain(joined));
}

/// The hidden convolution of a regressor's heads, which run one after another.
fn hidden_of_heads(network: &Forward) -> Option<Convolution> {
    match network.architecture.task {
        Task::Classifier(_) => None,
        Task::Regressor(_) => Some(network.heads()[0][0]),
    }
}

pub(super) fn steps(network: &Forward) -> Vec<Step> {
    let step = |from, to, outputs: usize, kept, kind: StepKind| Step {
        from,
        to,
        outputs: outputs as u64,
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

impl Step {
    /// Its layers, as they are laid out.
    pub(super) fn layers(&self) -> Vec<Convolution> {
        match &self.kind {
            StepKind::Convolution(own) => vec![*own],
            StepKind::Block(block) => of_block(block),
            StepKind::Neck(up, lateral) => [*up].into_iter().chain(*lateral).collect(),
        }
    }

    /// See [`Extent::rows`].
    fn rows(&self) -> usize {
        let (lines, columns) = self.to.size();
        let by_winograd = self.layers().first().is_some_and(Convolution::by_winograd);
        match &self.kind {
            StepKind::Neck(up, _) if up.by_phases() => {
                winograd::count_of_tiles((lines.div_ceil(2), columns.div_ceil(2)))
            }
            StepKind::Neck(up, _) if up.kind == Kind::Transposed => lines * columns / 4,
            _ if by_winograd => winograd::count_of_tiles((lines, columns)),
            _ => lines * columns,
        }
    }

    fn extent(&self) -> Extent {
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Extent {
            rows: self.rows(),
            weights: number(self.layers().iter().map(weights).sum()),
            kept: self.kept,
        }
    }
}

/// Images that go through a segment together, and as many groups more as there are threads for.
struct Group<'a> {
    replay: &'a mut Replay,
    images: u64,
    /// Groups at once.
    groups: usize,
    /// Threads for each.
    threads: u64,
}

impl<'a> Group<'a> {
    fn new(replay: &'a mut Replay, images: u32, groups: usize, threads: u32) -> Group<'a> {
        Group {
            replay,
            images: u64::from(images).div_ceil(groups as u64),
            groups: groups.min(threads.max(1) as usize),
            threads: idle_threads(threads, groups as u64),
        }
    }

    /// For each group at work.
    fn take(&mut self, numbers: u64) -> Vec<Held> {
        (0..self.groups).map(|_| self.replay.take(numbers)).collect()
    }

    fn give(&mut self, held: Vec<Held>) {
        self.replay.give_all(held);
    }

    /// For a moment, together.
    fn touch(&mut self, lengths: &[u64]) {
        let held: Vec<Held> = lengths.iter().flat_map(|&numbers| self.take(numbers)).collect();
        self.give(held);
    }

    fn run(&mut self, step: &Step) {
        match &step.kind {
            StepKind::Convolution(of) => self.convolution(of, step.from, step.to),
            StepKind::Block(block) => self.block(block, step.from, step.to),
            StepKind::Neck(up, lateral) => {
                let places = self.images * step.to.of_image();
                let side = lateral.map(|_| self.take(places * step.outputs));
                match up.kind {
                    Kind::Transposed => self.convolution(up, step.from, step.to),
                    Kind::Dense | Kind::Depthwise => {
                        let doubled = self.take(places * up.inputs);
                        self.convolution(up, step.to, step.to);
                        self.give(doubled);
                    }
                }
                self.give(side.unwrap_or_default());
            }
        }
    }

    /// One image after another: with a border, and what its pieces are transformed into.
    fn convolution(&mut self, of: &Convolution, from: Grid, to: Grid) {
        match of.kind {
            _ if of.is_pointwise() => {}
            Kind::Dense if of.by_winograd() => {
                self.bands(3, of, to.of_image(), to.size_in_tiles());
            }
            Kind::Transposed if of.by_phases() => {
                let half = |side: usize| side.div_ceil(2);
                let tiles = winograd::tiles((half(to.size().0), half(to.size().1)));
                self.bands(2, of, to.of_image(), tiles);
            }
            Kind::Transposed => self.bordered(from.bordered(3, 1) * of.inputs),
            Kind::Dense | Kind::Depthwise => self.bordered(to.bordered(of.kernel, of.stride) * of.inputs),
        }
    }

    /// Images with a border: all of them, or one after another where other threads take pieces of each.
    fn bordered(&mut self, of_image: u64) {
        let images = if self.threads == 1 { self.images } else { 1 };
        self.touch(&[images * of_image]);
    }

    /// Bands of tiles, all images' together or those of pieces of one's.
    fn bands(&mut self, window: usize, of: &Convolution, places: u64, (lines, columns): (usize, usize)) {
        let (inputs, outputs) = (of.inputs as usize, of.outputs as usize);
        let (pieces, images) = match self.threads {
            1 => (1, usize::try_from(self.images).unwrap_or(usize::MAX)),
            threads => (
                pieces_of(places * of.weights(), threads).min(lines.max(1) as u64),
                1,
            ),
        };
        let lines = lines.div_ceil(usize::try_from(pieces).unwrap_or(usize::MAX));
        let band = winograd::band_numbers(window, images, (lines, columns), inputs, outputs);
        let lengths: Vec<u64> = (0..pieces)
            .flat_map(|_| band.map(|numbers| numbers as u64))
            .collect();
        self.touch(&lengths);
    }

    fn block(&mut self, block: &Block, from: Grid, to: Grid) {
        let expanded = block.expanded as u64;
        let inside = match block.projects() {
            true => self.take(self.images * to.of_image() * expanded),
            false => Vec::new(),
        };
        match block.kind {
            BlockKind::Fused => self.convolution(&Convolution::fused(block), from, to),
            BlockKind::Inverted => {
                let means = self.take(block.squeeze.map_or(0, |_| self.images * expanded));
                match block.expands() {
                    true => self.expanded(block, from, to),
                    false => {
                        let border = to.bordered(block.kernel as u64, block.stride as u64);
                        self.touch(&[border * expanded]);
                    }
                }
                if let Some(squeeze) = block.squeeze {
                    let narrow = self.images * squeeze as u64;
                    self.touch(&[narrow, self.images * expanded, narrow]);
                }
                self.give(means);
            }
        }
        self.give(inside);
    }

    /// An expansion and the depthwise convolution behind it, a panel's channels at a time.
    fn expanded(&mut self, block: &Block, from: Grid, to: Grid) {
        let expanded = block.expanded as u64;
        let panels = panels::cut(block.expanded, MOST_VECTORS).map(|panel| panel.vectors * WIDTH);
        let panels: Vec<u64> = panels.map(|columns| (columns as u64).min(expanded)).collect();
        let products = self.images * from.of_image() * block.inputs as u64 * expanded;
        let pieces = pieces_of(products, self.threads).min(panels.len() as u64);
        let border = to.bordered(block.kernel as u64, block.stride as u64);
        let widest = panels.iter().max().copied().unwrap_or(0);
        let mut lengths = Vec::new();
        if pieces > 1 {
            // A piece's channels lie by themselves before they are laid to the others.
            let columns = expanded.div_ceil(pieces);
            let means = block.squeeze.map_or(0, |_| self.images * columns);
            for _ in 0..pieces {
                lengths.extend([self.images * to.of_image() * columns, means]);
            }
        }
        lengths.extend((0..pieces).map(|_| self.images * border * widest));
        self.touch(&lengths);
    }
}

/// Vectors of the widest panel of any instruction set: costs don't hang on the machine that works them
/// out.
const MOST_VECTORS: usize = 4;

/// A classifier's head and pooling.
fn classifier(replay: &mut Replay, network: &Forward, threads: u32) {
    let Some(classifier) = network.architecture.classifier() else {
        return;
    };
    let (grid, channels) = (network.last_grid(), u64::from(classifier.head_channels));
    let count = usize::try_from(grid.images).unwrap_or(usize::MAX);
    let places = usize::try_from(grid.of_image()).unwrap_or(usize::MAX);
    let groups = groups(places, count, threads as usize) as u64;
    let pooled = replay.take(grid.images * channels);
    let group = grid.images.div_ceil(groups);
    replay.pieces(groups, &[group * grid.of_image() * channels]);
    replay.give(pooled);
}
