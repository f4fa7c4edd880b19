//! The transforms of tiles into matrices, and of matrices of sums into places.

use std::ops::Range;

use super::super::activation::{Activate, with_activation};
use super::super::lanes::{ByVectors, Kernel, Lanes, WIDTH, each_vector, load, store};
use super::super::product::Finishing;
use super::lines::{PLACES, SIDE, factors, results};
use super::{PRODUCTS, apart};

/// `Bᵀ d B` of every tile d of 6×6 places, four apart.
pub(super) struct TilesIn<'a> {
    /// From the band's first line on.
    pub(super) grid: &'a [f32],
    pub(super) pitch: usize,
    pub(super) channels: usize,
    /// Tiles from top to bottom, and from left to right.
    pub(super) lines: usize,
    pub(super) columns: usize,
    /// [`PRODUCTS`] matrices `[tiles, channels]`, [`apart`].
    pub(super) tiles: &'a mut [f32],
}

impl ByVectors for TilesIn<'_> {
    #[inline(always)]
    unsafe fn vector<L: Lanes, const WHOLE: bool>(&mut self, tile: usize, channel: usize, count: usize) {
        let (line, column) = (tile / self.columns, tile % self.columns);
        // SAFETY: as the caller vouches.
        unsafe {
            let at = PLACES * (line * self.pitch + column * self.channels) + channel;
            let from = self.grid.as_ptr().add(at);
            let mut turned = [[L::splat(0.0); SIDE]; SIDE];
            for (i, turned) in turned.iter_mut().enumerate() {
                let from = from.add(i * self.pitch);
                let mut d = [L::splat(0.0); SIDE];
                for (j, d) in d.iter_mut().enumerate() {
                    *d = load::<L, WHOLE>(from.add(j * self.channels), count);
                }
                *turned = factors(d);
            }
            let apart = apart(self.lines * self.columns * self.channels);
            let to = self.tiles.as_mut_ptr().add(tile * self.channels + channel);
            #[allow(clippy::needless_range_loop, reason = "columns, not lines")]
            for j in 0..SIDE {
                let d = factors(turned.map(|line| line[j]));
                for (i, d) in d.into_iter().enumerate() {
                    store::<L, WHOLE>(d, to.add((SIDE * i + j) * apart), count);
                }
            }
        }
    }
}

impl Kernel for TilesIn<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        let tiles = self.lines * self.columns;
        if tiles == 0 || self.channels == 0 {
            return;
        }
        let read = (PLACES * self.lines + 1) * self.pitch + (PLACES * self.columns + 2) * self.channels;
        assert!(read <= self.grid.len());
        assert!(PRODUCTS * apart(tiles * self.channels) <= self.tiles.len());
        let channels = self.channels;
        // SAFETY: checked above.
        unsafe { each_vector::<L, _>(&mut self, tiles, channels) }
    }
}

/// `Aᵀ m A` of every tile's sums m, and what follows a convolution.
pub(super) struct TilesOut<'a> {
    /// [`PRODUCTS`] matrices `[tiles, channels]`, [`apart`].
    pub(super) sums: &'a [f32],
    /// Which of the result's channels these are, of how many.
    pub(super) channels: Range<usize>,
    pub(super) all_channels: usize,
    /// The band's first line of tiles, and its tiles.
    pub(super) first: usize,
    pub(super) lines: usize,
    pub(super) columns: usize,
    /// The whole result.
    pub(super) size: (usize, usize),
    pub(super) out: &'a mut [f32],
    pub(super) finishing: Finishing<'a>,
}

impl TilesOut<'_> {
    /// One tile.
    ///
    /// # Safety
    /// As for [`Kernel::run`], which checked the slices: the tile and the channels are there.
    #[inline(always)]
    unsafe fn vector<L: Lanes, A: Activate, const WHOLE: bool>(
        &mut self,
        tile: usize,
        channel: usize,
        count: usize,
    ) {
        let wide = self.channels.len();
        let (y, x) = (
            PLACES * (self.first + tile / self.columns),
            PLACES * (tile % self.columns),
        );
        // SAFETY: as the caller vouches; places outside of the result are left out.
        unsafe {
            let apart = apart(self.lines * self.columns * wide);
            let from = self.sums.as_ptr().add(tile * wide + channel);
            let mut turned = [[L::splat(0.0); PLACES]; SIDE];
            for (i, turned) in turned.iter_mut().enumerate() {
                let mut m = [L::splat(0.0); SIDE];
                for (j, m) in m.iter_mut().enumerate() {
                    *m = load::<L, WHOLE>(from.add((SIDE * i + j) * apart), count);
                }
                *turned = results(m);
            }
            let channel = self.channels.start + channel;
            let bias = load::<L, WHOLE>(self.finishing.bias.as_ptr().add(channel), count);
            #[allow(clippy::needless_range_loop, reason = "columns, not lines")]
            for j in 0..PLACES.min(self.size.1 - x) {
                let sums = results(turned.map(|line| line[j]));
                for (i, sum) in sums.into_iter().enumerate().take(self.size.0 - y) {
                    let at = ((y + i) * self.size.1 + x + j) * self.all_channels + channel;
                    let mut value = A::value(sum + bias);
                    if let Some(shortcut) = self.finishing.shortcut {
                        value = value + load::<L, WHOLE>(shortcut.as_ptr().add(at), count);
                    }
                    store::<L, WHOLE>(value, self.out.as_mut_ptr().add(at), count);
                }
            }
        }
    }
}

impl Kernel for TilesOut<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        let (tiles, wide) = (self.lines * self.columns, self.channels.len());
        let places = self.size.0 * self.size.1;
        assert!(PRODUCTS * apart(tiles * wide) <= self.sums.len());
        assert!(self.channels.end <= self.all_channels && places * self.all_channels <= self.out.len());
        assert!(self.first + self.lines <= self.size.0.div_ceil(PLACES));
        assert!(self.columns <= self.size.1.div_ceil(PLACES));
        assert!(self.finishing.gain.is_none());
        assert!(
            self.finishing
                .holds(self.channels.end, places * self.all_channels)
        );
        let whole = wide / WIDTH * WIDTH;
        with_activation!(self.finishing.nonlinearity, A => {
            for tile in 0..tiles {
                // SAFETY: checked above.
                unsafe {
                    for channel in (0..whole).step_by(WIDTH) {
                        self.vector::<L, A, true>(tile, channel, WIDTH);
                    }
                    if whole < wide {
                        self.vector::<L, A, false>(tile, whole, wide - whole);
                    }
                }
            }
        });
    }
}
