//! A training step's way back, which frees what the way forward has kept.

use super::convolution::{Convolution, Grid, Kind};
use super::cuts::{gated_lanes, is_one_sum, lanes, tile_rows, winograd_lanes};
use super::forward::{Forward, Saved, SavedBlock, SavedStep, SavedTop};
use super::replay::{Held, Replay};
use crate::architecture::{Block, BlockKind, NeckLayer, Upsampling};
use crate::kernels::winograd;

pub(super) struct Backward<'f, 'a> {
    pub(super) of: &'f Forward<'a>,
    pub(super) replay: &'f mut Replay,
}

/// What becomes of the gradient of what a convolution has read.
enum Downstream {
    Unwanted,
    New,
    AddedTo(Held),
}

impl Backward<'_, '_> {
    pub(super) fn run(&mut self, saved: Saved) {
        let Saved {
            pixels,
            last,
            joins,
            blocks,
            top,
        } = saved;
        let (mut gradient, mut joined) = match top {
            SavedTop::Classifier { head, features } => (self.classifier(head, features), Vec::new()),
            SavedTop::Regressor { steps, heads } => self.regressor(steps, heads, joins),
        };
        self.replay.give(last);
        let mut stem = None;
        let mut inputs = Vec::new();
        for (index, block) in blocks.into_iter().enumerate().rev() {
            if inputs.is_empty() {
                inputs = self.inputs_again(index, &mut stem);
            }
            joined.retain(|&(at, held)| {
                if at == index {
                    self.replay.give(held);
                }
                at != index
            });
            let input = inputs.pop();
            gradient = self.block(index, block, gradient);
            self.replay.give_all(input);
        }
        if stem.is_none() {
            stem = Some(self.stem_again());
        }
        let (image, grid) = (self.of.image, self.of.stem);
        self.convolution(
            &self.of.stem_convolution(),
            image,
            grid,
            false,
            Downstream::Unwanted,
        );
        self.replay.give_all([gradient, pixels].into_iter().chain(stem));
    }

    /// The stem's output, worked out again.
    fn stem_again(&mut self) -> Held {
        let (image, grid) = (self.of.image, self.of.stem);
        let stem = self.of.stem_convolution();
        stem.forward(self.replay, image, grid, false)
    }

    /// The input of a block and, before it, those of blocks before as far as each adds to the one
    /// before.
    fn inputs_again(&mut self, index: usize, stem: &mut Option<Held>) -> Vec<Held> {
        let first = (0..index).rev().find(|&block| !self.of.blocks[block].skip);
        let mut inputs = Vec::new();
        if first.is_none() {
            *stem = Some(self.stem_again());
            let channels = self.of.stem_convolution().outputs;
            inputs.push(self.replay.take(self.of.stem.places().saturating_mul(channels)));
        }
        for block in first.unwrap_or(0)..index {
            inputs.push(self.of.out(self.replay, block));
        }
        inputs
    }

    /// A convolution: gives the gradient of what it has read, if that is wanted.
    fn convolution(
        &mut self,
        of: &Convolution,
        from: Grid,
        to: Grid,
        normed: bool,
        downstream: Downstream,
    ) -> Option<Held> {
        let added = matches!(downstream, Downstream::AddedTo(_));
        let gradient = match downstream {
            Downstream::Unwanted => None,
            Downstream::New => Some(self.replay.take(from.places().saturating_mul(of.inputs))),
            Downstream::AddedTo(held) => Some(held),
        };
        let mut held = Vec::new();
        if of.by_winograd() {
            if gradient.is_some() {
                held.push(of.windows(self.replay, of.outputs, of.inputs));
            }
        } else if of.kind == Kind::Depthwise {
            held.push(self.replay.take(of.weights()));
        } else if gradient.is_some() || of.kind == Kind::Transposed {
            held.push(
                self.replay
                    .take(of.kernel * of.kernel * of.outputs * of.inputs.next_multiple_of(16)),
            );
        }
        let rows = from.places();
        let tile = tile_rows(of.inputs + of.outputs);
        if of.is_pointwise() && is_one_sum(rows, of.inputs, of.outputs) {
            held.push(self.replay.take(rows * of.outputs));
            held.push(self.replay.take(if normed { rows * of.inputs } else { 0 }));
            self.replay.give_all(held);
            return gradient;
        }
        let pieces = match of.is_pointwise() {
            true => lanes(rows.div_ceil(tile), rows),
            false if of.by_winograd() => winograd_lanes(from.images, to.places()),
            false if of.kind == Kind::Transposed => lanes(from.images, from.places()),
            false => lanes(from.images, to.places()),
        };
        held.push(self.replay.take(pieces.saturating_mul(of.weights())));
        let large = to.bordered(of.kernel, of.stride);
        let of_image = from.of_image() * of.inputs;
        let scratch = match of.kind {
            Kind::Dense if of.is_pointwise() => {
                let value = if normed { tile * of.inputs } else { 0 };
                vec![tile * of.outputs, value]
            }
            Kind::Dense if of.by_winograd() => {
                let (inputs, outputs) = (of.inputs as usize, of.outputs as usize);
                let of_lane = from.images.div_ceil(pieces.max(1));
                let images = (winograd::images_of_band(to.size()) as u64).min(of_lane);
                let tiles = to.size_in_tiles();
                let own = winograd::scratch_numbers(images as usize, tiles, inputs, outputs);
                let mut all = vec![images * to.of_image() * of.outputs];
                all.extend(own.map(|numbers| numbers as u64));
                all
            }
            Kind::Dense => vec![to.bordered(of.kernel, 1) * of.outputs, large * of.inputs],
            Kind::Depthwise => {
                let spread = from.bordered(of.kernel, 1) * of.inputs;
                vec![spread, large * of.inputs, if added { of_image } else { 0 }]
            }
            Kind::Transposed => vec![from.bordered(4, 2) * of.outputs],
        };
        self.replay.pieces(pieces, &scratch);
        self.replay.give_all(held);
        gradient
    }

    /// A block: takes its output's gradient and gives its input's.
    fn block(&mut self, index: usize, saved: SavedBlock, gradient: Held) -> Held {
        let block = self.of.blocks[index].clone();
        let (from, to) = (self.of.grid_before(index), self.of.grids[index]);
        let mut kept = None;
        let mut gradient = gradient;
        if block.skip && (!block.projects() || block.drop > 0.0) {
            kept = Some(gradient);
            gradient = self.replay.take(to.places().saturating_mul(block.outputs as u64));
        }
        if let Some(last) = saved.last {
            let inner = self.project(&block, to, saved.gates);
            self.replay.give(last);
            match block.skip && kept.is_none() {
                true => kept = Some(gradient),
                false => self.replay.give(gradient),
            }
            gradient = inner;
        }
        let base = kept.map_or(Downstream::New, Downstream::AddedTo);
        let first = match block.kind {
            BlockKind::Fused => Convolution::fused(&block),
            BlockKind::Inverted => Convolution::depthwise(&block),
        };
        let Some(wide) = saved.wide else {
            let below = self.convolution(&first, from, to, false, base);
            self.replay.give_all(saved.inner.into_iter().chain([gradient]));
            return below.unwrap_or(gradient);
        };
        let of_wide = self.convolution(&first, from, to, true, Downstream::New);
        self.replay.give_all(saved.inner.into_iter().chain([gradient]));
        let expand = Convolution::pointwise(block.inputs, block.expanded);
        let below = self.convolution(&expand, from, from, false, base);
        self.replay.give_all(of_wide.into_iter().chain([wide]));
        below.unwrap_or(gradient)
    }

    /// A block's last convolution, and squeeze-and-excite where it has that.
    fn project(&mut self, block: &Block, grid: Grid, gates: Option<[Held; 3]>) -> Held {
        let of = Convolution::pointwise(block.expanded, block.outputs);
        let (Some(gates), Some(squeeze)) = (gates, block.squeeze) else {
            let gradient = self.convolution(&of, grid, grid, true, Downstream::New);
            return gradient.unwrap_or_else(|| self.replay.take(0));
        };
        let (channels, narrow) = (block.expanded as u64, squeeze as u64);
        let mut held = vec![self.replay.take(of.outputs * channels.next_multiple_of(16))];
        held.push(self.replay.take(channels * narrow.next_multiple_of(16)));
        held.push(self.replay.take(narrow * channels.next_multiple_of(16)));
        let gradient = self.replay.take(grid.places().saturating_mul(channels));
        let wide = grid.of_image() * channels;
        if is_one_sum(grid.places(), channels, of.outputs) {
            held.push(self.replay.take(grid.places() * of.outputs));
            held.push(self.replay.take(grid.places() * channels));
            self.replay.pieces(gated_lanes(grid.images), &[wide, channels]);
        } else {
            let pieces = lanes(grid.images, grid.places());
            held.push(self.replay.take(pieces * of.weights()));
            self.replay
                .pieces(pieces, &[grid.of_image() * of.outputs, wide, wide, channels]);
        }
        // Each image's gradients of the small layers stay until all are there.
        for _ in 0..grid.images.min(1024) {
            held.push(self.replay.take(channels));
            held.push(self.replay.take(narrow));
        }
        self.replay.give_all(held);
        self.replay.give_all(gates);
        gradient
    }

    fn classifier(&mut self, head: Held, features: Held) -> Held {
        let grid = self.of.last_grid();
        let architecture = self.of.architecture;
        let classifier = architecture.classifier();
        let (channels, classes) = classifier.map_or((1, 1), |classifier| {
            (classifier.head_channels as usize, u64::from(classifier.classes))
        });
        let panels = self.replay.take(classes * (channels as u64).next_multiple_of(16));
        let of_features = self.replay.take(grid.images * channels as u64);
        let of_head = self.replay.take(grid.places().saturating_mul(channels as u64));
        let of = Convolution::pointwise(architecture.backbone.channels(), channels);
        let gradient = self.convolution(&of, grid, grid, false, Downstream::New);
        self.replay
            .give_all([panels, of_features, of_head, head, features]);
        gradient.unwrap_or(of_head)
    }

    /// The gradient of the last block's output, and those of the blocks that joined the neck.
    fn regressor(
        &mut self,
        steps: Vec<SavedStep>,
        heads: [Held; 2],
        mut joins: Vec<(usize, Held)>,
    ) -> (Held, Vec<(usize, Held)>) {
        let mut grid = self.of.image.strided(self.of.architecture.output_stride());
        let mut gradient = None;
        for (hidden, [of, output]) in heads.into_iter().zip(self.of.heads()) {
            let inside = self.convolution(&output, grid, grid, true, Downstream::New);
            let base = gradient.map_or(Downstream::New, Downstream::AddedTo);
            gradient = self.convolution(&of, grid, grid, false, base);
            self.replay.give_all(inside.into_iter().chain([hidden]));
        }
        let mut joined = Vec::new();
        let neck = &self.of.neck;
        for (index, (layer, step)) in neck.iter().zip(steps).enumerate().rev() {
            let below = match index {
                0 => self.of.last_grid(),
                _ => self
                    .of
                    .image
                    .strided(self.of.architecture.output_stride() << (neck.len() - index)),
            };
            let own = gradient.unwrap_or_else(|| self.replay.take(0));
            self.replay.give(step.out);
            gradient = self.neck(layer, &step, below, grid, own, &mut joined);
            joins.retain(|&(at, held)| {
                let read = layer.grid == Some(at);
                if read {
                    self.replay.give(held);
                }
                !read
            });
            grid = below;
        }
        self.replay.give_all(joins.into_iter().map(|(_, held)| held));
        (gradient.unwrap_or_else(|| self.replay.take(0)), joined)
    }

    fn neck(
        &mut self,
        layer: &NeckLayer,
        step: &SavedStep,
        from: Grid,
        to: Grid,
        gradient: Held,
        joined: &mut Vec<(usize, Held)>,
    ) -> Option<Held> {
        if let (Some(held), Some(channels)) = (step.lateral, layer.lateral) {
            let lateral = Convolution::pointwise(channels, layer.outputs);
            let of_features = self.convolution(&lateral, to, to, false, Downstream::New);
            joined.extend(layer.grid.zip(of_features));
            self.replay.give(held);
        }
        let of = Convolution::of_step(layer);
        let below = match layer.upsampling {
            Upsampling::Learned => self.convolution(&of, from, to, false, Downstream::New),
            Upsampling::Bilinear => {
                let doubled = self.convolution(&of, to, to, false, Downstream::New);
                let below = self.replay.take(from.places().saturating_mul(of.inputs));
                self.replay.give_all(doubled);
                Some(below)
            }
        };
        self.replay
            .give_all(step.doubled.into_iter().chain([step.up, gradient]));
        below
    }
}
