//! [`Adjoint`]: the way back through [`Filters`](super::Filters): gradients of what was read, and
//! of the windows.
//!
//! With the gradient dy of a tile's four places, `A dy Aᵀ` is that of its 16 sums. Their products
//! with the transformed input are the gradients of the transformed windows, and their products with
//! those windows that of the transformed input: 16 products in the place of 36, both times.

use std::sync::Arc;

use super::super::bordered::Bordered;
use super::super::buffer::{Buffer, Pool};
use super::super::lanes::{ByVectors, InstructionSet, Kernel, Lanes, each_vector, load, store};
use super::super::panels::Panels;
use super::super::product::{End, OuterSum, Product};
use super::transform::TilesIn;
use super::windows::WindowsBack;
use super::{PRODUCTS, band, transformed};

/// Tiles of a band, about: more than forward, so that sums of the windows' gradients, which are as
/// many as the windows, are read less often.
pub(super) const BAND: usize = 64;

/// A convolution's windows for its way back.
pub(crate) struct Adjoint {
    inputs: usize,
    outputs: usize,
    /// Right sides of the products that give the gradient of what was read, where it is wanted.
    products: Vec<Panels>,
}

/// What one thread needs for its images.
pub(crate) struct Scratch {
    read: Buffer,
    up: Buffer,
    /// Gradients of the transformed windows.
    windows: Buffer,
}

/// One image on its way back.
pub(crate) struct Image<'a> {
    /// Of the result.
    pub(crate) size: (usize, usize),
    /// The gradient of the result in its [`Adjoint::bordered`] grid.
    pub(crate) up: &'a [f32],
    /// What was read, in its [`Filters::bordered`] grid.
    pub(crate) read: &'a [f32],
    /// A grid as that of `read`, to which its gradient is added; empty where it is unwanted.
    pub(crate) back: &'a mut [f32],
}

/// Numbers of a [`Scratch`], for a grid of so many lines and columns of tiles.
pub(crate) fn scratch_numbers((lines, columns): (usize, usize), inputs: usize, outputs: usize) -> [usize; 3] {
    let tiles = PRODUCTS * band(lines, columns, BAND) * columns;
    [tiles * inputs, tiles * outputs, PRODUCTS * inputs * outputs]
}

impl Adjoint {
    /// From weights `[outputs, 3, 3, inputs]`; `wanted` says whether the gradient of what was read
    /// is.
    pub(crate) fn new(
        pool: &Arc<Pool>,
        set: InstructionSet,
        weight: &[f32],
        outputs: usize,
        wanted: bool,
    ) -> Adjoint {
        let inputs = weight.len() / (9 * outputs);
        let mut products = Vec::new();
        if wanted {
            let windows = transformed(pool, set, weight, inputs);
            let matrices = windows.chunks_exact(inputs * outputs);
            products.extend(matrices.map(|matrix| {
                let row = |output: usize| &matrix[output * inputs..(output + 1) * inputs];
                Panels::from_rows(pool, set, outputs, inputs, row)
            }));
        }
        Adjoint {
            inputs,
            outputs,
            products,
        }
    }

    /// The grid that a result's gradients of `size` are read from.
    pub(crate) fn bordered(size: (usize, usize)) -> Bordered {
        let whole = (size.0.next_multiple_of(2), size.1.next_multiple_of(2));
        Bordered::new(whole, (0, 0), size)
    }

    /// For images of this size, gradients of the windows at zero.
    pub(crate) fn scratch(&self, pool: &Arc<Pool>, size: (usize, usize)) -> Scratch {
        let tiles = (size.0.div_ceil(2), size.1.div_ceil(2));
        let [read, up, windows] = scratch_numbers(tiles, self.inputs, self.outputs);
        Scratch {
            read: pool.take(read),
            up: pool.take(up),
            windows: pool.zeros(windows),
        }
    }

    /// One image.
    pub(crate) fn run(&self, set: InstructionSet, image: Image<'_>, scratch: &mut Scratch) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let (lines, columns) = (image.size.0.div_ceil(2), image.size.1.div_ceil(2));
        let pitch = (2 * columns + 2) * inputs;
        let most = band(lines, columns, BAND);
        for first in (0..lines).step_by(most.max(1)) {
            let lines = most.min(lines - first);
            let count = lines * columns;
            let read = &mut scratch.read[..PRODUCTS * count * inputs];
            let up = &mut scratch.up[..PRODUCTS * count * outputs];
            set.run(TilesIn {
                grid: &image.read[2 * first * pitch..],
                pitch,
                channels: inputs,
                lines,
                columns,
                tiles: read,
            });
            set.run(TilesUp {
                up: &image.up[4 * first * columns * outputs..],
                channels: outputs,
                lines,
                columns,
                sums: up,
            });
            let windows = scratch.windows.chunks_exact_mut(inputs * outputs);
            let pairs = up
                .chunks_exact(count * outputs)
                .zip(read.chunks_exact_mut(count * inputs));
            for (product, ((up, read), windows)) in pairs.zip(windows).enumerate() {
                set.run(OuterSum {
                    left: up,
                    left_line: 0,
                    left_step: outputs,
                    right: read,
                    right_line: 0,
                    right_step: inputs,
                    lines: 1,
                    steps: count,
                    rows: outputs,
                    columns: inputs,
                    out: windows,
                    out_stride: inputs,
                });
                // The tiles that were read are not needed any longer: their gradients take their place.
                if let Some(panels) = self.products.get(product) {
                    set.run(Product::plain(up, panels.all(), read, End::Store));
                }
            }
            if !image.back.is_empty() {
                set.run(TilesBack {
                    tiles: read,
                    channels: inputs,
                    lines,
                    columns,
                    pitch,
                    grid: &mut image.back[2 * first * pitch..],
                });
            }
        }
    }

    /// Adds the gradients of the windows to those of the weights.
    pub(crate) fn weigh(&self, set: InstructionSet, scratch: &Scratch, weight: &mut [f32]) {
        set.run(WindowsBack {
            sums: &scratch.windows,
            inputs: self.inputs,
            weight,
        });
    }
}

/// `A dy Aᵀ` of every tile's four places.
struct TilesUp<'a> {
    /// From the band's first line on, two lines for each line of tiles.
    up: &'a [f32],
    channels: usize,
    lines: usize,
    columns: usize,
    /// `[16, tiles, channels]`.
    sums: &'a mut [f32],
}

/// A line of two through `A`; the last is to be taken away, so its sign is left out.
#[inline(always)]
fn line_up<L: Lanes>(y: [L; 2]) -> [L; 4] {
    [y[0], y[0] + y[1], y[0] - y[1], y[1]]
}

impl ByVectors for TilesUp<'_> {
    #[inline(always)]
    unsafe fn vector<L: Lanes, const WHOLE: bool>(&mut self, tile: usize, channel: usize, count: usize) {
        let (line, column) = (tile / self.columns, tile % self.columns);
        // SAFETY: as the caller vouches.
        unsafe {
            let zero = L::splat(0.0);
            let pitch = 2 * self.columns * self.channels;
            let at = 2 * line * pitch + 2 * column * self.channels + channel;
            let mut turned = [[zero; 4]; 2];
            for (i, turned) in turned.iter_mut().enumerate() {
                let from = self.up.as_ptr().add(at + i * pitch);
                let left = load::<L, WHOLE>(from, count);
                *turned = line_up([left, load::<L, WHOLE>(from.add(self.channels), count)]);
            }
            let apart = self.lines * self.columns * self.channels;
            let to = self.sums.as_mut_ptr().add(tile * self.channels + channel);
            #[allow(clippy::needless_range_loop, reason = "columns, not lines")]
            for j in 0..4 {
                let y = line_up([turned[0][j], turned[1][j]]);
                for (i, y) in y.into_iter().enumerate() {
                    let value = if (i == 3) == (j == 3) { y } else { zero - y };
                    store::<L, WHOLE>(value, to.add((4 * i + j) * apart), count);
                }
            }
        }
    }
}

impl Kernel for TilesUp<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        let tiles = self.lines * self.columns;
        assert!(4 * tiles * self.channels <= self.up.len());
        assert!(PRODUCTS * tiles * self.channels <= self.sums.len());
        let channels = self.channels;
        // SAFETY: checked above.
        unsafe { each_vector::<L, _>(&mut self, tiles, channels) }
    }
}

/// Adds `B d Bᵀ` of every tile's 16 gradients d to the places that the tile was read from.
struct TilesBack<'a> {
    /// `[16, tiles, channels]`.
    tiles: &'a [f32],
    channels: usize,
    lines: usize,
    columns: usize,
    pitch: usize,
    /// From the band's first line on.
    grid: &'a mut [f32],
}

/// A line of four through `B`.
#[inline(always)]
fn line_back<L: Lanes>(d: [L; 4]) -> [L; 4] {
    let middle = d[1] - d[2];
    [d[0], middle + d[3], d[1] + d[2] - d[0], d[3]]
}

impl ByVectors for TilesBack<'_> {
    #[inline(always)]
    unsafe fn vector<L: Lanes, const WHOLE: bool>(&mut self, tile: usize, channel: usize, count: usize) {
        let (line, column) = (tile / self.columns, tile % self.columns);
        // SAFETY: as the caller vouches.
        unsafe {
            let apart = self.lines * self.columns * self.channels;
            let from = self.tiles.as_ptr().add(tile * self.channels + channel);
            let mut turned = [[L::splat(0.0); 4]; 4];
            for (i, turned) in turned.iter_mut().enumerate() {
                let mut d = [L::splat(0.0); 4];
                for (j, d) in d.iter_mut().enumerate() {
                    *d = load::<L, WHOLE>(from.add((4 * i + j) * apart), count);
                }
                *turned = line_back(d);
            }
            let at = 2 * line * self.pitch + 2 * column * self.channels + channel;
            let to = self.grid.as_mut_ptr().add(at);
            #[allow(clippy::needless_range_loop, reason = "columns, not lines")]
            for j in 0..4 {
                let d = line_back([turned[0][j], turned[1][j], turned[2][j], turned[3][j]]);
                for (i, d) in d.into_iter().enumerate() {
                    let to = to.add(i * self.pitch + j * self.channels);
                    // The last line and the last column of `B` take away.
                    let value = load::<L, WHOLE>(to, count);
                    let value = if (i == 3) == (j == 3) {
                        value + d
                    } else {
                        value - d
                    };
                    store::<L, WHOLE>(value, to, count);
                }
            }
        }
    }
}

impl Kernel for TilesBack<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        let tiles = self.lines * self.columns;
        if tiles == 0 || self.channels == 0 {
            return;
        }
        assert!(PRODUCTS * tiles * self.channels <= self.tiles.len());
        let written = (2 * self.lines + 1) * self.pitch + (2 * self.columns + 2) * self.channels;
        assert!(written <= self.grid.len());
        let channels = self.channels;
        // SAFETY: checked above.
        unsafe { each_vector::<L, _>(&mut self, tiles, channels) }
    }
}
