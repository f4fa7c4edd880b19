//! Grids, and convolutions by their lengths: what one takes forward.

use super::BatchShape;
use super::cuts::{tile_rows, winograd_groups};
use super::replay::{Held, Replay};
use crate::architecture::{Block, NeckLayer, Upsampling};
use crate::kernels::winograd;

/// A grid of the whole batch.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) images: u64,
    pub(super) height: u64,
    pub(super) width: u64,
}

impl Grid {
    pub(super) fn of(batch: BatchShape) -> Grid {
        Grid {
            images: u64::from(batch.images),
            height: u64::from(batch.height),
            width: u64::from(batch.width),
        }
    }

    pub(super) fn of_image(self) -> u64 {
        self.height * self.width
    }

    pub(super) fn places(self) -> u64 {
        self.images.saturating_mul(self.of_image())
    }

    pub(super) fn strided(self, stride: usize) -> Grid {
        let stride = stride.max(1) as u64;
        Grid {
            height: self.height.div_ceil(stride),
            width: self.width.div_ceil(stride),
            ..self
        }
    }

    /// Lines and columns.
    pub(super) fn size(self) -> (usize, usize) {
        let side = |side: u64| usize::try_from(side).unwrap_or(usize::MAX);
        (side(self.height), side(self.width))
    }

    /// Tiles of Winograd's way, top to bottom and left to right.
    pub(super) fn size_in_tiles(self) -> (usize, usize) {
        winograd::tiles(self.size())
    }

    /// Numbers of an image with a border for windows of `kernel`.
    pub(super) fn bordered(self, kernel: u64, stride: u64) -> u64 {
        let side = |small: u64| (small.max(1) - 1) * stride + kernel;
        side(self.height) * side(self.width)
    }
}

/// One convolution by its lengths.
#[derive(Clone, Copy)]
pub(super) struct Convolution {
    pub(super) kind: Kind,
    pub(super) kernel: u64,
    pub(super) stride: u64,
    pub(super) inputs: u64,
    pub(super) outputs: u64,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Dense,
    Depthwise,
    Transposed,
}

impl Convolution {
    pub(super) fn dense(kernel: usize, stride: usize, inputs: usize, outputs: usize) -> Convolution {
        Convolution {
            kind: Kind::Dense,
            kernel: kernel as u64,
            stride: stride as u64,
            inputs: inputs as u64,
            outputs: outputs as u64,
        }
    }

    pub(super) fn pointwise(inputs: usize, outputs: usize) -> Convolution {
        Convolution::dense(1, 1, inputs, outputs)
    }

    /// The k×k convolution of a fused block.
    pub(super) fn fused(block: &Block) -> Convolution {
        let outputs = if block.expands() {
            block.expanded
        } else {
            block.outputs
        };
        Convolution::dense(block.kernel, block.stride, block.inputs, outputs)
    }

    pub(super) fn depthwise(block: &Block) -> Convolution {
        Convolution {
            kind: Kind::Depthwise,
            ..Convolution::dense(block.kernel, block.stride, block.expanded, block.expanded)
        }
    }

    pub(super) fn of_step(layer: &NeckLayer) -> Convolution {
        match layer.upsampling {
            Upsampling::Learned => Convolution {
                kind: Kind::Transposed,
                ..Convolution::dense(4, 2, layer.inputs, layer.outputs)
            },
            Upsampling::Bilinear => Convolution::dense(3, 1, layer.inputs, layer.outputs),
        }
    }

    pub(super) fn is_pointwise(&self) -> bool {
        self.kind == Kind::Dense && self.kernel == 1 && self.stride == 1
    }

    pub(super) fn weights(&self) -> u64 {
        match self.kind {
            Kind::Depthwise => self.kernel * self.kernel * self.inputs,
            Kind::Dense | Kind::Transposed => self.kernel * self.kernel * self.inputs * self.outputs,
        }
    }

    /// Weights as the right side of a matrix product.
    pub(super) fn panels(&self) -> u64 {
        self.kernel * self.kernel * self.inputs * self.outputs.next_multiple_of(16)
    }

    /// Whether fewer products are made than there are.
    pub(super) fn by_winograd(&self) -> bool {
        let [kernel, stride, inputs, outputs] =
            [self.kernel, self.stride, self.inputs, self.outputs].map(|number| number as usize);
        self.kind == Kind::Dense && winograd::applies(kernel, stride, inputs, outputs)
    }

    /// Whether that is so for each phase of a doubled grid, in inference.
    pub(super) fn by_phases(&self) -> bool {
        let [kernel, stride, inputs, outputs] =
            [self.kernel, self.stride, self.inputs, self.outputs].map(|number| number as usize);
        self.kind == Kind::Transposed && winograd::applies_to_phases(kernel, stride, inputs, outputs)
    }

    /// Transformed windows as right sides of this depth and so many columns.
    pub(super) fn windows(&self, replay: &mut Replay, depth: u64, columns: u64) -> Held {
        let products = winograd::products(3) as u64;
        let windows = replay.take(products * self.inputs * self.outputs);
        let panels = replay.take(products * depth * columns.next_multiple_of(16));
        replay.give(windows);
        panels
    }

    /// Forward: gives the output. `normed` inputs go through a norm on the way.
    pub(super) fn forward(&self, replay: &mut Replay, from: Grid, to: Grid, normed: bool) -> Held {
        let held = match self.kind {
            Kind::Depthwise => Vec::new(),
            Kind::Dense if self.by_winograd() => vec![self.windows(replay, self.inputs, self.outputs)],
            Kind::Dense => vec![replay.take(self.panels())],
            Kind::Transposed => {
                let turned = replay.take(self.weights());
                let panels = replay.take(self.panels());
                replay.give(turned);
                vec![panels]
            }
        };
        let y = replay.take(to.places().saturating_mul(self.outputs));
        match self.kind {
            Kind::Dense if self.is_pointwise() => {
                let scratch = if normed {
                    tile_rows(self.inputs) * self.inputs
                } else {
                    0
                };
                replay.pieces(64, &[scratch]);
            }
            Kind::Dense if self.by_winograd() => {
                let (inputs, outputs) = (self.inputs as usize, self.outputs as usize);
                let groups = winograd_groups(to.images, to.size());
                let images = to.images.div_ceil(groups.max(1)) as usize;
                let band = winograd::band_numbers(3, images, to.size_in_tiles(), inputs, outputs);
                replay.pieces(groups, &band.map(|numbers| numbers as u64));
            }
            Kind::Dense | Kind::Depthwise => {
                replay.pieces(to.images, &[to.bordered(self.kernel, self.stride) * self.inputs]);
            }
            Kind::Transposed => replay.pieces(to.images, &[from.bordered(3, 1) * self.inputs]),
        }
        replay.give_all(held);
        y
    }
}
