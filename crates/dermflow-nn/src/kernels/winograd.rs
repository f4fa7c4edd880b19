//! [`Filters`]: convolutions of stride 1 by Winograd's minimal filtering, F(4×4, 3×3) and F(4×4, 2×2).
//!
//! 16 adjacent places of the result of a 3×3 window need 36 products for each pair of channels in place
//! of 144, those of a 2×2 window 25 in place of 64: tiles of 6×6 or 5×5 places of the input and the
//! windows are transformed, multiplied number by number (as many matrix products over all tiles), and
//! transformed back (Lavin and Gray 2016, "Fast algorithms for convolutional neural networks",
//! arXiv:1509.09308). The way back of 3×3 windows, [`Adjoint`], makes as many. A 2×2 window is what a
//! 4×4 one that doubles the grid has for each of the four phases of its result.
//!
//! Tiles go in bands, of one image or of several, and columns in panels, whose numbers stay in a second
//! cache. Must not know of norms or batches.
#![allow(unsafe_code)]

mod back;
mod lines;
#[cfg(test)]
mod tests;
mod tiles;
mod transform;
mod windows;

use std::sync::Arc;

use super::buffer::{Buffer, Pool};
use super::lanes::InstructionSet;
use super::panels::Panels;
use super::product::{Distances, End, Finishing, Places, Product};
pub(crate) use back::{Adjoint, Gradients, scratch_numbers};
use lines::{Factors, Line, Minimal};
pub(crate) use tiles::Frame;
use tiles::{Cut, Tiles};
use transform::{TilesIn, TilesOut};
use windows::WindowsIn;

/// Lines and columns of the result that a tile has; pieces of a grid begin at a multiple of it.
pub(crate) const PLACES: usize = lines::PLACES;

/// Windows of a 3×3 convolution.
pub(crate) type Filters3 = Filters<{ lines::three::SIDE }, 3>;

/// Windows of one phase of a 4×4 convolution that doubles the grid.
pub(crate) type Filters2 = Filters<{ lines::two::SIDE }, 2>;

/// Tiles of a band, about.
const BAND: usize = 48;

/// Whether a dense convolution is faster this way: with few channels the transforms cost more than
/// the products save.
pub(crate) fn applies(kernel: usize, stride: usize, inputs: usize, outputs: usize) -> bool {
    kernel == 3 && stride == 1 && inputs >= 24 && outputs >= 16
}

/// Whether one that doubles the grid is: its windows become six times as many numbers, which have to stay
/// near while the few tiles of small grids go through them.
pub(crate) fn applies_to_phases(kernel: usize, stride: usize, inputs: usize, outputs: usize) -> bool {
    kernel == 4 && stride == 2 && inputs >= 24 && outputs >= 16 && inputs * outputs <= 1 << 13
}

/// Products for each tile, for a window of so many lines and columns.
pub(crate) fn products(window: usize) -> usize {
    (PLACES + window - 1).pow(2)
}

/// The numbers of transformed windows for a convolution between so many channels.
pub(crate) fn numbers(window: usize, inputs: usize, outputs: usize) -> usize {
    products(window) * inputs * outputs.next_multiple_of(super::lanes::WIDTH)
}

/// Numbers of the transformed tiles of a band, of images of so many lines and columns of tiles: of
/// the input, and of a panel's worth of the output.
pub(crate) fn band_numbers(
    window: usize,
    images: usize,
    tiles: (usize, usize),
    inputs: usize,
    outputs: usize,
) -> [usize; 2] {
    let tiles = Cut::new(images, tiles, BAND).tiles();
    [inputs, outputs.min(64)].map(|channels| products(window) * apart(tiles * channels))
}

/// Lines and columns of tiles of a result of `size`.
pub(crate) fn tiles(size: (usize, usize)) -> (usize, usize) {
    (size.0.div_ceil(PLACES), size.1.div_ceil(PLACES))
}

/// How many tiles that are.
pub(crate) fn count_of_tiles(size: (usize, usize)) -> usize {
    let (lines, columns) = tiles(size);
    lines * columns
}

/// How many images of a result of `size` fill a band.
pub(crate) fn images_of_band(size: (usize, usize)) -> usize {
    (BAND / count_of_tiles(size).max(1)).max(1)
}

/// How far apart matrices of so many numbers begin that are written and read together: an odd number
/// of cache lines, so that they don't fall on the same places of a cache.
fn apart(numbers: usize) -> usize {
    super::lanes::WIDTH * (numbers.div_ceil(super::lanes::WIDTH) | 1)
}

/// Transformed windows as the right sides of the `SIDE` · `SIDE` products, one below the other.
pub(crate) struct Filters<const SIDE: usize, const TAPS: usize> {
    products: Panels,
}

/// Some images through a convolution.
pub(crate) struct Images<'a> {
    /// Of what is read, `[images, lines, columns, inputs]`.
    pub(crate) frame: Frame,
    pub(crate) read: &'a [f32],
    /// Of the result.
    pub(crate) places: Places,
    pub(crate) distances: Distances,
    pub(crate) out: &'a mut [f32],
    pub(crate) finishing: Finishing<'a>,
}

/// Weights `[outputs, 3, 3, inputs]` as `[outputs, 6, 6, inputs]`.
fn transformed(pool: &Arc<Pool>, set: InstructionSet, weight: &[f32], inputs: usize) -> Buffer {
    let mut windows = pool.take(weight.len() / 9 * products(3));
    set.run(WindowsIn {
        weight,
        inputs,
        windows: &mut windows,
    });
    windows
}

impl Filters3 {
    /// From weights `[outputs, 3, 3, inputs]` as they are, for a single step.
    pub(crate) fn of_weights(
        pool: &Arc<Pool>,
        set: InstructionSet,
        weight: &[f32],
        outputs: usize,
    ) -> Filters3 {
        let inputs = weight.len() / (9 * outputs);
        let windows = transformed(pool, set, weight, inputs);
        Self::of_transformed(pool, set, &windows, outputs)
    }
}

impl<const SIDE: usize, const TAPS: usize> Filters<SIDE, TAPS>
where
    Minimal: Line<SIDE, TAPS>,
{
    const PRODUCTS: usize = SIDE * SIDE;

    /// From windows whose numbers at (line, column) for an output are `tap`, one for each of `inputs`,
    /// times the output's `gain`, in float64: for weights that are used again and again.
    pub(crate) fn new<'a>(
        pool: &Arc<Pool>,
        set: InstructionSet,
        inputs: usize,
        gain: &[f32],
        tap: impl Fn(usize, (usize, usize)) -> &'a [f32],
    ) -> Self {
        let mut windows = pool.take(Self::PRODUCTS * gain.len() * inputs);
        let mut sums = vec![0.0; inputs];
        let of_outputs = windows.chunks_exact_mut((Self::PRODUCTS * inputs).max(1));
        for (output, to) in of_outputs.enumerate() {
            for (product, to) in to.chunks_exact_mut(inputs).enumerate() {
                let (row, column) = (&Minimal::WINDOW[product / SIDE], &Minimal::WINDOW[product % SIDE]);
                sums.fill(0.0);
                for (i, row) in row.iter().enumerate() {
                    for (j, column) in column.iter().enumerate() {
                        for (sum, number) in sums.iter_mut().zip(tap(output, (i, j))) {
                            *sum += row * column * f64::from(*number);
                        }
                    }
                }
                for (to, sum) in to.iter_mut().zip(&sums) {
                    *to = (sum * f64::from(gain[output])) as f32;
                }
            }
        }
        Self::of_transformed(pool, set, &windows, gain.len())
    }

    /// From windows `[outputs, SIDE, SIDE, inputs]`.
    fn of_transformed(pool: &Arc<Pool>, set: InstructionSet, windows: &[f32], outputs: usize) -> Self {
        let depth = windows.len() / outputs.max(1);
        let of = |output: usize| &windows[output * depth..(output + 1) * depth];
        Filters {
            products: Panels::from_columns(pool, set, depth, outputs, of, None),
        }
    }

    /// How many numbers they hold.
    pub(crate) fn numbers(&self) -> usize {
        self.products.numbers()
    }

    /// Some images.
    pub(crate) fn run(&self, pool: &Arc<Pool>, set: InstructionSet, images: Images<'_>) {
        let (inputs, outputs) = (self.products.depth() / Self::PRODUCTS, self.products.columns());
        let Images { places, out, .. } = images;
        let tiles = tiles((places.lines, places.steps));
        let numbers = band_numbers(TAPS, places.images, tiles, inputs, outputs);
        let [mut read, mut sums] = numbers.map(|numbers| pool.take(numbers));
        for band in Cut::new(places.images, tiles, BAND).bands() {
            let count = band.tiles();
            let of_read = Tiles {
                frame: images.frame,
                channels: inputs,
                band,
            };
            set.run(TilesIn {
                turn: Factors::<TAPS>,
                of: of_read,
                images: images.read,
                matrices: &mut read,
            });
            for panel in self.products.each() {
                let wide = panel.columns();
                let numbers = count * wide.len();
                for product in 0..Self::PRODUCTS {
                    let sums = &mut sums[product * apart(numbers)..][..numbers];
                    let read = &read[product * of_read.apart()..][..count * inputs];
                    let right = panel.matrix(product, inputs);
                    set.run(Product::plain(read, right, sums, End::Store));
                }
                set.run(TilesOut::<SIDE, TAPS> {
                    sums: &sums,
                    channels: wide,
                    band,
                    places,
                    distances: images.distances,
                    out,
                    finishing: images.finishing,
                });
            }
        }
    }
}
