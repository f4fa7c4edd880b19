//! A training step forward, with what it keeps for the way back.

use super::BatchShape;
use super::backward::Backward;
use super::convolution::{Convolution, Grid};
use super::cuts::images_together;
use super::replay::{Held, Replay};
use crate::architecture::{Architecture, Block, BlockKind, NeckLayer, Task, Upsampling};

/// What a block keeps for the way back, beside its input.
#[derive(Default)]
pub(super) struct SavedBlock {
    pub(super) wide: Option<Held>,
    pub(super) inner: Option<Held>,
    pub(super) gates: Option<[Held; 3]>,
    pub(super) last: Option<Held>,
}

/// The network by the lengths of its layers.
pub(super) struct Forward<'a> {
    pub(super) architecture: &'a Architecture,
    pub(super) image: Grid,
    pub(super) stem: Grid,
    pub(super) blocks: Vec<Block>,
    /// The grid of each block's output.
    pub(super) grids: Vec<Grid>,
    pub(super) neck: Vec<NeckLayer>,
}

/// All that a step keeps.
pub(super) struct Saved {
    pub(super) pixels: Held,
    /// The last block's output, which the top has read.
    pub(super) last: Held,
    /// Outputs of the blocks that join the neck.
    pub(super) joins: Vec<(usize, Held)>,
    pub(super) blocks: Vec<SavedBlock>,
    pub(super) top: SavedTop,
}

pub(super) enum SavedTop {
    Classifier { head: Held, features: Held },
    Regressor { steps: Vec<SavedStep>, heads: [Held; 2] },
}

pub(super) struct SavedStep {
    pub(super) doubled: Option<Held>,
    pub(super) up: Held,
    pub(super) lateral: Option<Held>,
    pub(super) out: Held,
}

impl<'a> Forward<'a> {
    pub(super) fn new(architecture: &'a Architecture, batch: BatchShape) -> Forward<'a> {
        let image = Grid::of(batch);
        let stem = image.strided(architecture.backbone.stem.stride as usize);
        let blocks = architecture.backbone.blocks();
        let mut grid = stem;
        let grids = blocks.iter().map(|block| {
            grid = grid.strided(block.stride);
            grid
        });
        Forward {
            architecture,
            image,
            stem,
            grids: grids.collect(),
            blocks,
            neck: architecture.neck(),
        }
    }

    pub(super) fn image_numbers(&self) -> u64 {
        let channels = self.architecture.input_channels() as u64;
        self.image.places().saturating_mul(channels)
    }

    /// Numbers that a step keeps between its ways forward and back, as [`Forward::forward`]
    /// takes them; small ones, such as gates and a regressor's neck, are left out.
    pub(super) fn kept_numbers(&self) -> u64 {
        let of = |grid: Grid, channels: usize| grid.places().saturating_mul(channels as u64);
        let mut kept = self.image_numbers();
        for (index, block) in self.blocks.iter().enumerate() {
            let (from, to) = (self.grid_before(index), self.grids[index]);
            let wide = match block.kind {
                BlockKind::Inverted if block.expands() => of(from, block.expanded),
                _ => 0,
            };
            let inner = match block.kind {
                BlockKind::Inverted => block.expanded,
                BlockKind::Fused if block.expands() => block.expanded,
                BlockKind::Fused => block.outputs,
            };
            let last = match block.projects() {
                true => of(to, block.outputs),
                false => 0,
            };
            let own = [wide, of(to, inner), last];
            kept = own.into_iter().fold(kept, u64::saturating_add);
        }
        match &self.architecture.task {
            Task::Classifier(classifier) => {
                kept.saturating_add(of(self.last_grid(), classifier.head_channels as usize))
            }
            Task::Regressor(_) => kept,
        }
    }

    /// Outputs, which lie outside of the pool.
    pub(super) fn output_bytes(&self) -> u64 {
        let channels = u64::from(self.architecture.classes());
        let numbers = match &self.architecture.task {
            Task::Classifier(_) => self.image.images.saturating_mul(channels),
            Task::Regressor(_) => {
                let places = self.image.strided(self.architecture.output_stride()).places();
                places.saturating_mul(channels + 2)
            }
        };
        numbers.saturating_mul(super::NUMBER)
    }

    pub(super) fn stem_convolution(&self) -> Convolution {
        let stem = &self.architecture.backbone.stem;
        Convolution::dense(
            stem.kernel as usize,
            stem.stride as usize,
            self.architecture.input_channels(),
            stem.channels as usize,
        )
    }

    /// The grid of a block's input.
    pub(super) fn grid_before(&self, index: usize) -> Grid {
        match index {
            0 => self.stem,
            _ => self.grids[index - 1],
        }
    }

    /// The grid of the last block.
    pub(super) fn last_grid(&self) -> Grid {
        self.grid_before(self.blocks.len())
    }

    /// A block's output.
    pub(super) fn out(&self, replay: &mut Replay, index: usize) -> Held {
        let channels = self.blocks[index].outputs as u64;
        replay.take(self.grids[index].places().saturating_mul(channels))
    }

    /// One whole step, forward and back.
    pub(super) fn step(&mut self, replay: &mut Replay) {
        let saved = self.forward(replay);
        Backward { of: self, replay }.run(saved);
    }

    fn forward(&self, replay: &mut Replay) -> Saved {
        let pixels = replay.take(self.image_numbers());
        let stem = self.stem_convolution();
        let y = stem.forward(replay, self.image, self.stem, false);
        let mut last = replay.take(self.stem.places().saturating_mul(stem.outputs));
        replay.give(y);
        let mut blocks = Vec::with_capacity(self.blocks.len());
        let mut joins: Vec<(usize, Held)> = Vec::new();
        for (index, block) in self.blocks.iter().enumerate() {
            blocks.push(self.block(replay, index, block));
            let before = std::mem::replace(&mut last, self.out(replay, index));
            if self
                .neck
                .iter()
                .any(|layer| index > 0 && layer.grid == Some(index - 1))
            {
                joins.push((index - 1, before));
            } else {
                replay.give(before);
            }
        }
        let top = match &self.architecture.task {
            Task::Classifier(classifier) => {
                let (grid, channels) = (self.last_grid(), classifier.head_channels as usize);
                let head = Convolution::pointwise(self.architecture.backbone.channels(), channels);
                let head = head.forward(replay, grid, grid, false);
                let features = replay.take(grid.images.saturating_mul(channels as u64));
                replay.pieces(grid.images, &[grid.of_image() * channels as u64]);
                let linear = Convolution::pointwise(channels, classifier.classes as usize);
                let panels = replay.take(linear.panels());
                replay.give(panels);
                SavedTop::Classifier { head, features }
            }
            Task::Regressor(_) => self.regressor(replay),
        };
        Saved {
            pixels,
            last,
            joins,
            blocks,
            top,
        }
    }

    fn block(&self, replay: &mut Replay, index: usize, block: &Block) -> SavedBlock {
        let (from, to) = (self.grid_before(index), self.grids[index]);
        let mut saved = SavedBlock::default();
        match block.kind {
            BlockKind::Fused => {
                saved.inner = Some(Convolution::fused(block).forward(replay, from, to, false));
            }
            BlockKind::Inverted => {
                if block.expands() {
                    let expand = Convolution::pointwise(block.inputs, block.expanded);
                    saved.wide = Some(expand.forward(replay, from, from, false));
                }
                let depthwise = Convolution::depthwise(block);
                saved.inner = Some(depthwise.forward(replay, from, to, block.expands()));
            }
        }
        if let Some(squeeze) = block.squeeze {
            let project = Convolution::pointwise(block.expanded, block.outputs);
            let small = [
                Convolution::pointwise(block.expanded, squeeze),
                Convolution::pointwise(squeeze, block.expanded),
            ];
            let mut panels = vec![replay.take(project.panels())];
            panels.extend(small.map(|of| replay.take(of.panels())));
            let wide = block.expanded as u64;
            saved.gates =
                Some([wide, squeeze as u64, wide].map(|channels| replay.take(to.images * channels)));
            saved.last = Some(replay.take(to.places().saturating_mul(project.outputs)));
            let together = images_together(to.of_image(), to.images);
            let group = [to.of_image() * wide, squeeze as u64].map(|numbers| together * numbers);
            replay.pieces(to.images.div_ceil(together), &group);
            replay.give_all(panels);
        } else if block.projects() {
            let project = Convolution::pointwise(block.expanded, block.outputs);
            saved.last = Some(project.forward(replay, to, to, true));
        }
        saved
    }

    fn regressor(&self, replay: &mut Replay) -> SavedTop {
        let mut stride = self.architecture.backbone.stride();
        let mut from = self.last_grid();
        let mut steps = Vec::with_capacity(self.neck.len());
        for layer in &self.neck {
            stride /= 2;
            let to = self.image.strided(stride);
            let of = Convolution::of_step(layer);
            let doubled = match layer.upsampling {
                Upsampling::Learned => None,
                Upsampling::Bilinear => Some(replay.take(to.places().saturating_mul(of.inputs))),
            };
            let up = of.forward(replay, if doubled.is_some() { to } else { from }, to, false);
            let numbers = to.places().saturating_mul(of.outputs);
            let lateral = layer.lateral.map(|channels| {
                let lateral = Convolution::pointwise(channels, layer.outputs);
                lateral.forward(replay, to, to, false)
            });
            let side = lateral.map(|_| replay.take(numbers));
            let out = replay.take(numbers);
            replay.give_all(side);
            steps.push(SavedStep {
                doubled,
                up,
                lateral,
                out,
            });
            from = to;
        }
        let heads = self.heads().map(|[hidden, output]| {
            let y = hidden.forward(replay, from, from, false);
            let map = output.forward(replay, from, from, true);
            replay.give(map);
            y
        });
        SavedTop::Regressor { steps, heads }
    }

    /// Both heads' convolutions; nothing but lengths of 1 for a classifier, which has none.
    pub(super) fn heads(&self) -> [[Convolution; 2]; 2] {
        let features = match self.neck.last() {
            Some(layer) => layer.outputs,
            None => self.architecture.backbone.channels(),
        };
        let inside = self
            .architecture
            .regressor()
            .map_or(1, |regressor| regressor.head_channels as usize);
        [self.architecture.classes() as usize, 2].map(|channels| {
            let hidden = Convolution::dense(3, 1, features, inside);
            [hidden, Convolution::pointwise(inside, channels)]
        })
    }
}
