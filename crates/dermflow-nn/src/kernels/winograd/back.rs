//! [`Adjoint`]: the way back through [`Filters`](super::Filters): gradients of what was read, and
//! of the windows.
//!
//! With the gradient dy of a tile's 16 places, `A dy Aᵀ` is that of its 36 sums. Their products
//! with the transformed input are the gradients of the transformed windows, and their products with
//! those windows that of the transformed input: 36 products in the place of 144, both times.

use std::sync::Arc;

use super::super::bordered::Bordered;
use super::super::buffer::{Buffer, Pool};
use super::super::lanes::{ByVectors, InstructionSet, Kernel, Lanes, each_vector, load, store};
use super::super::panels::Panels;
use super::super::product::{End, OuterSum, Product};
use super::lines::{PLACES, SIDE, factors_back, results_back};
use super::transform::TilesIn;
use super::windows::WindowsBack;
use super::{PRODUCTS, apart, band, transformed};

/// Tiles of a band, about: more than forward, so that sums of the windows' gradients, which are as
/// many as the windows, are read less often.
pub(super) const BAND: usize = 64;

/// A convolution's windows for its way back.
pub(crate) struct Adjoint {
    inputs: usize,
    outputs: usize,
    /// Right sides of the products that give the gradient of what was read, one below the other;
    /// where it is wanted.
    products: Option<Panels>,
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
    let tiles = band(lines, columns, BAND) * columns;
    let of = |numbers: usize| PRODUCTS * apart(numbers);
    [
        of(tiles * inputs),
        of(tiles * outputs),
        PRODUCTS * inputs * outputs,
    ]
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
        let products = wanted.then(|| {
            let windows = transformed(pool, set, weight, inputs);
            let row = |row: usize| {
                let (product, output) = (row / outputs, row % outputs);
                &windows[(output * PRODUCTS + product) * inputs..][..inputs]
            };
            Panels::from_rows(pool, set, PRODUCTS * outputs, inputs, row)
        });
        Adjoint {
            inputs,
            outputs,
            products,
        }
    }

    /// The grid that a result's gradients of `size` are read from.
    pub(crate) fn bordered(size: (usize, usize)) -> Bordered {
        let whole = (size.0.next_multiple_of(PLACES), size.1.next_multiple_of(PLACES));
        Bordered::new(whole, (0, 0), size)
    }

    /// For images of this size, gradients of the windows at zero.
    pub(crate) fn scratch(&self, pool: &Arc<Pool>, size: (usize, usize)) -> Scratch {
        let tiles = super::tiles(size);
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
        let (lines, columns) = super::tiles(image.size);
        let pitch = (PLACES * columns + 2) * inputs;
        let most = band(lines, columns, BAND);
        for first in (0..lines).step_by(most.max(1)) {
            let lines = most.min(lines - first);
            let count = lines * columns;
            let (read_apart, up_apart) = (apart(count * inputs), apart(count * outputs));
            let read = &mut scratch.read[..PRODUCTS * read_apart];
            let up = &mut scratch.up[..PRODUCTS * up_apart];
            set.run(TilesIn {
                grid: &image.read[PLACES * first * pitch..],
                pitch,
                channels: inputs,
                lines,
                columns,
                tiles: read,
            });
            set.run(TilesUp {
                up: &image.up[PLACES * PLACES * first * columns * outputs..],
                channels: outputs,
                lines,
                columns,
                sums: up,
            });
            let windows = scratch.windows.chunks_exact_mut(inputs * outputs);
            let pairs = up.chunks_exact(up_apart).zip(read.chunks_exact_mut(read_apart));
            for (product, ((up, read), windows)) in pairs.zip(windows).enumerate() {
                let (up, read) = (&up[..count * outputs], &mut read[..count * inputs]);
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
                if let Some(panels) = &self.products {
                    let right = panels.all().matrix(product, outputs);
                    set.run(Product::plain(up, right, read, End::Store));
                }
            }
            if !image.back.is_empty() {
                set.run(TilesBack {
                    tiles: read,
                    channels: inputs,
                    lines,
                    columns,
                    pitch,
                    grid: &mut image.back[PLACES * first * pitch..],
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

/// `A dy Aᵀ` of every tile's 16 places.
struct TilesUp<'a> {
    /// From the band's first line on, four lines for each line of tiles.
    up: &'a [f32],
    channels: usize,
    lines: usize,
    columns: usize,
    /// [`PRODUCTS`] matrices `[tiles, channels]`, [`apart`].
    sums: &'a mut [f32],
}

impl ByVectors for TilesUp<'_> {
    #[inline(always)]
    unsafe fn vector<L: Lanes, const WHOLE: bool>(&mut self, tile: usize, channel: usize, count: usize) {
        let (line, column) = (tile / self.columns, tile % self.columns);
        // SAFETY: as the caller vouches.
        unsafe {
            let pitch = PLACES * self.columns * self.channels;
            let at = PLACES * (line * pitch + column * self.channels) + channel;
            let mut turned = [[L::splat(0.0); SIDE]; PLACES];
            for (i, turned) in turned.iter_mut().enumerate() {
                let from = self.up.as_ptr().add(at + i * pitch);
                let mut y = [L::splat(0.0); PLACES];
                for (j, y) in y.iter_mut().enumerate() {
                    *y = load::<L, WHOLE>(from.add(j * self.channels), count);
                }
                *turned = results_back(y);
            }
            let apart = apart(self.lines * self.columns * self.channels);
            let to = self.sums.as_mut_ptr().add(tile * self.channels + channel);
            #[allow(clippy::needless_range_loop, reason = "columns, not lines")]
            for j in 0..SIDE {
                let y = results_back(turned.map(|line| line[j]));
                for (i, y) in y.into_iter().enumerate() {
                    store::<L, WHOLE>(y, to.add((SIDE * i + j) * apart), count);
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
        assert!(PLACES * PLACES * tiles * self.channels <= self.up.len());
        assert!(PRODUCTS * apart(tiles * self.channels) <= self.sums.len());
        let channels = self.channels;
        // SAFETY: checked above.
        unsafe { each_vector::<L, _>(&mut self, tiles, channels) }
    }
}

/// Adds `B d Bᵀ` of every tile's 36 gradients d to the places that the tile was read from.
struct TilesBack<'a> {
    /// [`PRODUCTS`] matrices `[tiles, channels]`, [`apart`].
    tiles: &'a [f32],
    channels: usize,
    lines: usize,
    columns: usize,
    pitch: usize,
    /// From the band's first line on.
    grid: &'a mut [f32],
}

impl ByVectors for TilesBack<'_> {
    #[inline(always)]
    unsafe fn vector<L: Lanes, const WHOLE: bool>(&mut self, tile: usize, channel: usize, count: usize) {
        let (line, column) = (tile / self.columns, tile % self.columns);
        // SAFETY: as the caller vouches.
        unsafe {
            let apart = apart(self.lines * self.columns * self.channels);
            let from = self.tiles.as_ptr().add(tile * self.channels + channel);
            let mut turned = [[L::splat(0.0); SIDE]; SIDE];
            for (i, turned) in turned.iter_mut().enumerate() {
                let mut d = [L::splat(0.0); SIDE];
                for (j, d) in d.iter_mut().enumerate() {
                    *d = load::<L, WHOLE>(from.add((SIDE * i + j) * apart), count);
                }
                *turned = factors_back(d);
            }
            let at = PLACES * (line * self.pitch + column * self.channels) + channel;
            let to = self.grid.as_mut_ptr().add(at);
            #[allow(clippy::needless_range_loop, reason = "columns, not lines")]
            for j in 0..SIDE {
                let d = factors_back(turned.map(|line| line[j]));
                for (i, d) in d.into_iter().enumerate() {
                    let to = to.add(i * self.pitch + j * self.channels);
                    store::<L, WHOLE>(load::<L, WHOLE>(to, count) + d, to, count);
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
        assert!(PRODUCTS * apart(tiles * self.channels) <= self.tiles.len());
        let written = (PLACES * self.lines + 1) * self.pitch + (PLACES * self.columns + 2) * self.channels;
        assert!(written <= self.grid.len());
        let channels = self.channels;
        // SAFETY: checked above.
        unsafe { each_vector::<L, _>(&mut self, tiles, channels) }
    }
}
