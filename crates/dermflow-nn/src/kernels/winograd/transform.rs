//! The transforms of tiles into 16 matrices, and of 16 matrices of sums into places.

use std::ops::Range;

use super::super::activation::{Activate, with_activation};
use super::super::lanes::{ByVectors, Kernel, Lanes, WIDTH, each_vector, load, store};
use super::super::product::Finishing;
use super::PRODUCTS;

/// `Bᵀ d B` of every tile d of 4×4 places, two apart.
pub(super) struct TilesIn<'a> {
    /// From the band's first line on.
    pub(super) grid: &'a [f32],
    pub(super) pitch: usize,
    pub(super) channels: usize,
    /// Tiles from top to bottom, and from left to right.
    pub(super) lines: usize,
    pub(super) columns: usize,
    /// `[16, tiles, channels]`.
    pub(super) tiles: &'a mut [f32],
}

/// A line of four through `Bᵀ`.
#[inline(always)]
fn line_in<L: Lanes>(d: [L; 4]) -> [L; 4] {
    [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]
}

/// A line of four through `Aᵀ`.
#[inline(always)]
fn line_out<L: Lanes>(m: [L; 4]) -> [L; 2] {
    [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]
}

impl ByVectors for TilesIn<'_> {
    #[inline(always)]
    unsafe fn vector<L: Lanes, const WHOLE: bool>(&mut self, tile: usize, channel: usize, count: usize) {
        let (line, column) = (tile / self.columns, tile % self.columns);
        // SAFETY: as the caller vouches.
        unsafe {
            let at = 2 * line * self.pitch + 2 * column * self.channels + channel;
            let from = self.grid.as_ptr().add(at);
            let mut turned = [[L::splat(0.0); 4]; 4];
            for (i, turned) in turned.iter_mut().enumerate() {
                let from = from.add(i * self.pitch);
                let mut d = [L::splat(0.0); 4];
                for (j, d) in d.iter_mut().enumerate() {
                    *d = load::<L, WHOLE>(from.add(j * self.channels), count);
                }
                *turned = line_in(d);
            }
            let apart = self.lines * self.columns * self.channels;
            let to = self.tiles.as_mut_ptr().add(tile * self.channels + channel);
            #[allow(clippy::needless_range_loop, reason = "columns, not lines")]
            for j in 0..4 {
                let d = line_in([turned[0][j], turned[1][j], turned[2][j], turned[3][j]]);
                for (i, d) in d.into_iter().enumerate() {
                    store::<L, WHOLE>(d, to.add((4 * i + j) * apart), count);
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
        let read = (2 * self.lines + 1) * self.pitch + (2 * self.columns + 2) * self.channels;
        assert!(read <= self.grid.len());
        assert!(PRODUCTS * tiles * self.channels <= self.tiles.len());
        let channels = self.channels;
        // SAFETY: checked above.
        unsafe { each_vector::<L, _>(&mut self, tiles, channels) }
    }
}

/// `Aᵀ m A` of every tile's sums m, and what follows a convolution.
pub(super) struct TilesOut<'a> {
    /// `[16, tiles, channels]`.
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
        let (y, x) = (2 * (self.first + tile / self.columns), 2 * (tile % self.columns));
        // SAFETY: as the caller vouches; places outside of the result are left out.
        unsafe {
            let apart = self.lines * self.columns * wide;
            let from = self.sums.as_ptr().add(tile * wide + channel);
            let mut turned = [[L::splat(0.0); 2]; 4];
            for (i, turned) in turned.iter_mut().enumerate() {
                let mut m = [L::splat(0.0); 4];
                for (j, m) in m.iter_mut().enumerate() {
                    *m = load::<L, WHOLE>(from.add((4 * i + j) * apart), count);
                }
                *turned = line_out(m);
            }
            let channel = self.channels.start + channel;
            let bias = load::<L, WHOLE>(self.finishing.bias.as_ptr().add(channel), count);
            #[allow(clippy::needless_range_loop, reason = "columns, not lines")]
            for j in 0..2.min(self.size.1 - x) {
                let sums = line_out([turned[0][j], turned[1][j], turned[2][j], turned[3][j]]);
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
        assert!(PRODUCTS * tiles * wide <= self.sums.len());
        assert!(self.channels.end <= self.all_channels && places * self.all_channels <= self.out.len());
        assert!(2 * (self.first + self.lines) <= self.size.0 + 1 && 2 * self.columns <= self.size.1 + 1);
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
