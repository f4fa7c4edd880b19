//! [`Adjoint`]: the way back through [`Filters`](super::Filters): gradients of what was read, and
//! of the windows.
//!
//! With the gradient dy of a tile's 16 places, `A dy Aᵀ` is that of its 36 sums. Their products
//! with the transformed input are the gradients of the transformed windows, and their products with
//! those windows that of the transformed input: 36 products in the place of 144, both times.

use std::sync::Arc;

use super::super::buffer::{Buffer, Pool};
use super::super::lanes::{ByVectors, InstructionSet, Kernel, Lanes, each_vector, load, store};
use super::super::panels::Panels;
use super::super::product::{End, OuterSum, Product};
use super::lines::three::{SIDE, factors_back};
use super::lines::{Factors, ResultsBack, column};
use super::tiles::{Cut, Frame, Tile, Tiles};
use super::transform::TilesIn;
use super::windows::WindowsBack;
use super::{apart, transformed};

/// Products for each tile.
const PRODUCTS: usize = SIDE * SIDE;

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

/// Some images on their way back.
pub(crate) struct Gradients<'a> {
    pub(crate) images: usize,
    /// Of the result.
    pub(crate) size: (usize, usize),
    /// The gradient of the result, `[images, lines, columns, outputs]`.
    pub(crate) up: &'a [f32],
    /// Of what was read, `[images, lines, columns, inputs]`.
    pub(crate) frame: Frame,
    pub(crate) read: &'a [f32],
    /// To which its gradient is added, where that is wanted.
    pub(crate) back: Option<&'a mut [f32]>,
}

/// Numbers of a [`Scratch`], for so many images of so many lines and columns of tiles.
pub(crate) fn scratch_numbers(
    images: usize,
    tiles: (usize, usize),
    inputs: usize,
    outputs: usize,
) -> [usize; 3] {
    let tiles = Cut::new(images, tiles, BAND).tiles();
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

    /// For so many images of this size, gradients of the windows at zero.
    pub(crate) fn scratch(&self, pool: &Arc<Pool>, images: usize, size: (usize, usize)) -> Scratch {
        let tiles = super::tiles(size);
        let [read, up, windows] = scratch_numbers(images, tiles, self.inputs, self.outputs);
        Scratch {
            read: pool.take(read),
            up: pool.take(up),
            windows: pool.zeros(windows),
        }
    }

    /// Some images, no more than the scratch is for.
    pub(crate) fn run(&self, set: InstructionSet, of: Gradients<'_>, scratch: &mut Scratch) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let mut back = of.back;
        for band in Cut::new(of.images, super::tiles(of.size), BAND).bands() {
            let count = band.tiles();
            let of_read = Tiles {
                frame: of.frame,
                channels: inputs,
                band,
            };
            let of_up = Tiles {
                frame: Frame {
                    size: of.size,
                    before: (0, 0),
                },
                channels: outputs,
                band,
            };
            let (read_apart, up_apart) = (of_read.apart(), of_up.apart());
            let read = &mut scratch.read[..PRODUCTS * read_apart];
            let up = &mut scratch.up[..PRODUCTS * up_apart];
            set.run(TilesIn {
                turn: Factors::<3>,
                of: of_read,
                images: of.read,
                matrices: read,
            });
            set.run(TilesIn {
                turn: ResultsBack,
                of: of_up,
                images: of.up,
                matrices: up,
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
            if let Some(back) = &mut back {
                set.run(TilesBack {
                    of: of_read,
                    matrices: read,
                    images: back,
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

/// Adds `B d Bᵀ` of every tile's 36 gradients d to the places that the tile was read from.
struct TilesBack<'a> {
    of: Tiles,
    /// [`PRODUCTS`] matrices `[tiles, channels]`, [`Tiles::apart`].
    matrices: &'a [f32],
    /// All images.
    images: &'a mut [f32],
}

impl ByVectors for TilesBack<'_> {
    type Unit = (usize, Tile);

    #[inline(always)]
    fn unit(&self, tile: usize) -> (usize, Tile) {
        self.of.tile(tile)
    }

    #[inline(always)]
    unsafe fn vector<L: Lanes, const WHOLE: bool>(
        &mut self,
        (from, tile): (usize, Tile),
        channel: usize,
        count: usize,
    ) {
        let inside = tile.is_inside(SIDE);
        // SAFETY: as the caller vouches; places outside are not touched.
        unsafe {
            let apart = self.of.apart();
            let from = self.matrices.as_ptr().add(from + channel);
            let mut turned = [[L::splat(0.0); SIDE]; SIDE];
            for (i, turned) in turned.iter_mut().enumerate() {
                let mut d = [L::splat(0.0); SIDE];
                for (j, d) in d.iter_mut().enumerate() {
                    *d = load::<L, WHOLE>(from.add((SIDE * i + j) * apart), count);
                }
                *turned = factors_back(d);
            }
            let to = self.images.as_mut_ptr();
            let to = to.wrapping_offset(tile.start).wrapping_add(channel);
            for j in 0..SIDE {
                let d = factors_back(column(&turned, j));
                for (i, d) in d.into_iter().enumerate() {
                    let to = to.wrapping_add(tile.behind(i, j));
                    if inside {
                        store::<L, WHOLE>(load::<L, WHOLE>(to, count) + d, to, count);
                    } else {
                        let count = tile.part(i, j, count);
                        (L::load_first(to, count) + d).store_first(to, count);
                    }
                }
            }
        }
    }
}

impl Kernel for TilesBack<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        self.of.check::<SIDE>(self.images, self.matrices);
        let (tiles, channels) = (self.of.band.tiles(), self.of.channels);
        // SAFETY: checked above.
        unsafe { each_vector::<L, _>(&mut self, tiles, channels) }
    }
}
