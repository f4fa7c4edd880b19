//! [`Filters`]: 3×3 convolutions of stride 1 by Winograd's minimal filtering, F(2×2, 3×3).
//!
//! Four adjacent places of the result need 16 products for each pair of channels in place of 36:
//! tiles of 4×4 places of the input and the windows are transformed, multiplied number by number
//! (16 matrix products over all tiles), and transformed back (Lavin and Gray 2016, "Fast
//! algorithms for convolutional neural networks", arXiv:1509.09308). The transforms only add; a
//! result's error is about twice that of plain sums. The way back, [`Adjoint`], makes as many.
//!
//! Tiles go in bands, and columns in panels, whose numbers stay in a second cache. Must not know
//! of norms or batches.
#![allow(unsafe_code)]

mod back;
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
use transform::{TilesIn, TilesOut};
use windows::WindowsIn;

/// Products for each tile.
const PRODUCTS: usize = 16;

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
    let tiles = PRODUCTS * band(lines, columns, BAND) * columns;
    [tiles * inputs, tiles * outputs.min(64)]
}

/// Lines of tiles in a band of about so many tiles.
fn band(lines: usize, columns: usize, tiles: usize) -> usize {
    let bands = (lines * columns).div_ceil(tiles).clamp(1, lines.max(1));
    lines.div_ceil(bands)
}

/// Transformed windows as the right sides of the 16 products.
pub(crate) struct Filters {
    products: Vec<Panels>,
}

/// Rows of the matrix G that transforms a line of a window.
const WINDOW: [[f64; 3]; 4] = [
    [1.0, 0.0, 0.0],
    [0.5, 0.5, 0.5],
    [0.5, -0.5, 0.5],
    [0.0, 0.0, 1.0],
];

/// Weights `[outputs, 3, 3, inputs]` as 16 matrices `[outputs, inputs]`.
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
        let products = windows.chunks_exact(inputs * outputs).map(|matrix| {
            let of = |output: usize| &matrix[output * inputs..(output + 1) * inputs];
            Panels::from_columns(pool, set, inputs, outputs, of, None)
        });
        Filters {
            products: products.collect(),
        }
    }

    /// From weights `[outputs, 3, 3, inputs]`, those of each output times its `gain`, in float64: for
    /// weights that are used again and again.
    pub(crate) fn new(pool: &Arc<Pool>, set: InstructionSet, weight: &[f32], gain: &[f32]) -> Filters {
        let outputs = gain.len();
        let inputs = weight.len() / (9 * outputs.max(1));
        let mut turned = pool.take(outputs * inputs);
        let products = (0..PRODUCTS).map(|product| {
            let (row, column) = (WINDOW[product / 4], WINDOW[product % 4]);
            for (output, to) in turned.chunks_exact_mut(inputs.max(1)).enumerate() {
                let window = &weight[output * 9 * inputs..(output + 1) * 9 * inputs];
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
            let of = |output: usize| &turned[output * inputs..(output + 1) * inputs];
            Panels::from_columns(pool, set, inputs, outputs, of, None)
        });
        Filters {
            products: products.collect(),
        }
    }

    fn inputs(&self) -> usize {
        self.products[0].depth()
    }

    /// How many numbers they hold.
    pub(crate) fn numbers(&self) -> usize {
        self.products.iter().map(Panels::numbers).sum()
    }

    /// The grid that tiles are read from, for a result of `size`; the window reaches `before`
    /// (above, left) of a place.
    pub(crate) fn bordered(size: (usize, usize), before: (usize, usize)) -> Bordered {
        let extent = |side: usize| side.next_multiple_of(2) + 2;
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
        let outputs = self.products[0].columns();
        let (lines, columns) = (size.0.div_ceil(2), size.1.div_ceil(2));
        let pitch = (2 * columns + 2) * inputs;
        let band = band(lines, columns, BAND);
        let [of_input, of_output] = band_numbers((lines, columns), inputs, outputs);
        let (mut tiles, mut sums) = (pool.take(of_input), pool.take(of_output));
        for first in (0..lines).step_by(band.max(1)) {
            let band = band.min(lines - first);
            let count = band * columns;
            let tiles = &mut tiles[..PRODUCTS * count * inputs];
            set.run(TilesIn {
                grid: &grid[2 * first * pitch..],
                pitch,
                channels: inputs,
                lines: band,
                columns,
                tiles,
            });
            for panel in 0..self.products[0].each().count() {
                let rights = self
                    .products
                    .iter()
                    .filter_map(|product| product.each().nth(panel));
                let mut wide = 0..0;
                for (product, right) in rights.enumerate() {
                    wide = right.columns();
                    let sums = &mut sums[product * count * wide.len()..(product + 1) * count * wide.len()];
                    let tiles = &tiles[product * count * inputs..(product + 1) * count * inputs];
                    set.run(Product::plain(tiles, right, sums, End::Store));
                }
                set.run(TilesOut {
                    sums: &sums[..PRODUCTS * count * wide.len()],
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
