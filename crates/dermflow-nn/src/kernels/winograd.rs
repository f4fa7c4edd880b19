//! [`Filters`]: 3×3 convolutions of stride 1 by Winograd's minimal filtering, F(4×4, 3×3).
//!
//! 16 adjacent places of the result need 36 products for each pair of channels in place of 144:
//! tiles of 6×6 places of the input and the windows are transformed, multiplied number by number
//! (36 matrix products over all tiles), and transformed back (Lavin and Gray 2016, "Fast
//! algorithms for convolutional neural networks", arXiv:1509.09308). The way back, [`Adjoint`],
//! makes as many.
//!
//! Tiles go in bands, and columns in panels, whose numbers stay in a second cache. Must not know
//! of norms or batches.
#![allow(unsafe_code)]

mod back;
mod lines;
#[cfg(test)]
mod tests;
mod transform;
mod windows;

use std::sync::Arc;

use super::bordered::Bordered;
use super::buffer::{Buffer, Pool};
use super::lanes::InstructionSet;
use super::panels::Panels;
use super::product::{End, Finishing, Product};
pub(crate) use back::{Adjoint, Image, scratch_numbers};
use lines::{SIDE, WINDOW};
use transform::{TilesIn, TilesOut};
use windows::WindowsIn;

/// Lines and columns of the result that a tile has; pieces of a grid begin at a multiple of it.
pub(crate) const PLACES: usize = lines::PLACES;

/// Products for each tile.
pub(crate) const PRODUCTS: usize = lines::SIDE * lines::SIDE;

/// Tiles of a band, about.
const BAND: usize = 48;

/// Whether a dense convolution is faster this way: with few channels the transforms cost more than
/// the products save.
pub(crate) fn applies(kernel: usize, stride: usize, inputs: usize, outputs: usize) -> bool {
    kernel == 3 && stride == 1 && inputs >= 24 && outputs >= 16
}

/// The numbers of transformed windows for a convolution between so many channels.
pub(crate) fn numbers(inputs: usize, outputs: usize) -> usize {
    PRODUCTS * inputs * outputs.next_multiple_of(super::lanes::WIDTH)
}

/// Numbers of the transformed tiles of a band, of a grid of so many lines and columns of tiles: of
/// the input, and of a panel's worth of the output.
pub(crate) fn band_numbers((lines, columns): (usize, usize), inputs: usize, outputs: usize) -> [usize; 2] {
    let tiles = band(lines, columns, BAND) * columns;
    [inputs, outputs.min(64)].map(|channels| PRODUCTS * apart(tiles * channels))
}

/// Lines and columns of tiles of a result of `size`.
pub(crate) fn tiles(size: (usize, usize)) -> (usize, usize) {
    (size.0.div_ceil(PLACES), size.1.div_ceil(PLACES))
}

/// How far apart matrices of so many numbers begin that are written and read together: an odd number
/// of cache lines, so that they don't fall on the same places of a cache.
fn apart(numbers: usize) -> usize {
    super::lanes::WIDTH * (numbers.div_ceil(super::lanes::WIDTH) | 1)
}

/// Lines of tiles in a band of about so many tiles.
fn band(lines: usize, columns: usize, tiles: usize) -> usize {
    let bands = (lines * columns).div_ceil(tiles).clamp(1, lines.max(1));
    lines.div_ceil(bands)
}

/// Transformed windows as the right sides of the [`PRODUCTS`] products, one below the other.
pub(crate) struct Filters {
    products: Panels,
}

/// Weights `[outputs, 3, 3, inputs]` as `[outputs, 6, 6, inputs]`.
fn transformed(pool: &Arc<Pool>, set: InstructionSet, weight: &[f32], inputs: usize) -> Buffer {
    let mut windows = pool.take(weight.len() / 9 * PRODUCTS);
    set.run(WindowsIn {
        weight,
        inputs,
        windows: &mut windows,
    });
    windows
}

impl Filters {
    /// From weights `[outputs, 3, 3, inputs]` as they are, for a single step.
    pub(crate) fn of_weights(
        pool: &Arc<Pool>,
        set: InstructionSet,
        weight: &[f32],
        outputs: usize,
    ) -> Filters {
        let inputs = weight.len() / (9 * outputs);
        let windows = transformed(pool, set, weight, inputs);
        Self::of_transformed(pool, set, &windows, outputs)
    }

    /// From weights `[outputs, 3, 3, inputs]`, those of each output times its `gain`, in float64: for
    /// weights that are used again and again.
    pub(crate) fn new(pool: &Arc<Pool>, set: InstructionSet, weight: &[f32], gain: &[f32]) -> Filters {
        let outputs = gain.len();
        let inputs = weight.len() / (9 * outputs.max(1));
        let mut windows = pool.take(PRODUCTS * outputs * inputs);
        let of_outputs = windows.chunks_exact_mut((PRODUCTS * inputs).max(1));
        for (output, to) in of_outputs.enumerate() {
            let window = &weight[output * 9 * inputs..(output + 1) * 9 * inputs];
            for (product, to) in to.chunks_exact_mut(inputs).enumerate() {
                let (row, column) = (WINDOW[product / SIDE], WINDOW[product % SIDE]);
                for (input, to) in to.iter_mut().enumerate() {
                    let mut sum = 0.0;
                    for (i, row) in row.iter().enumerate() {
                        for (j, column) in column.iter().enumerate() {
                            sum += row * column * f64::from(window[(i * 3 + j) * inputs + input]);
                        }
                    }
                    *to = (sum * f64::from(gain[output])) as f32;
                }
            }
        }
        Self::of_transformed(pool, set, &windows, outputs)
    }

    /// From weights `[outputs, 6, 6, inputs]`.
    fn of_transformed(pool: &Arc<Pool>, set: InstructionSet, windows: &[f32], outputs: usize) -> Filters {
        let depth = windows.len() / outputs.max(1);
        let of = |output: usize| &windows[output * depth..(output + 1) * depth];
        Filters {
            products: Panels::from_columns(pool, set, depth, outputs, of, None),
        }
    }

    fn inputs(&self) -> usize {
        self.products.depth() / PRODUCTS
    }

    /// How many numbers they hold.
    pub(crate) fn numbers(&self) -> usize {
        self.products.numbers()
    }

    /// The grid that tiles are read from, for a result of `size`; the window reaches `before`
    /// (above, left) of a place.
    pub(crate) fn bordered(size: (usize, usize), before: (usize, usize)) -> Bordered {
        let extent = |side: usize| side.next_multiple_of(PLACES) + 2;
        Bordered::new((extent(size.0), extent(size.1)), before, size)
    }

    /// One image of `size` in its [`Filters::bordered`] grid.
    pub(crate) fn run(
        &self,
        pool: &Arc<Pool>,
        set: InstructionSet,
        grid: &[f32],
        size: (usize, usize),
        out: &mut [f32],
        finishing: Finishing<'_>,
    ) {
        let inputs = self.inputs();
        let outputs = self.products.columns();
        let (lines, columns) = tiles(size);
        let pitch = (PLACES * columns + 2) * inputs;
        let band = band(lines, columns, BAND);
        let [of_input, of_output] = band_numbers((lines, columns), inputs, outputs);
        let (mut read, mut sums) = (pool.take(of_input), pool.take(of_output));
        for first in (0..lines).step_by(band.max(1)) {
            let band = band.min(lines - first);
            let count = band * columns;
            let read_apart = apart(count * inputs);
            let read = &mut read[..PRODUCTS * read_apart];
            set.run(TilesIn {
                grid: &grid[PLACES * first * pitch..],
                pitch,
                channels: inputs,
                lines: band,
                columns,
                tiles: read,
            });
            for panel in self.products.each() {
                let wide = panel.columns();
                let numbers = count * wide.len();
                for product in 0..PRODUCTS {
                    let sums = &mut sums[product * apart(numbers)..][..numbers];
                    let read = &read[product * read_apart..][..count * inputs];
                    let right = panel.matrix(product, inputs);
                    set.run(Product::plain(read, right, sums, End::Store));
                }
                set.run(TilesOut {
                    sums: &sums,
                    channels: wide,
                    all_channels: outputs,
                    first,
                    lines: band,
                    columns,
                    size,
                    out,
                    finishing,
                });
            }
        }
    }
}
