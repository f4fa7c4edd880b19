//! The transforms of tiles into matrices, and of matrices of sums into places.

use std::ops::Range;

use super::super::activation::{Activate, with_activation};
use super::super::lanes::{ByVectors, Kernel, Lanes, WIDTH, each_vector, load, store};
use super::super::product::{Distances, Finishing, Places};
use super::apart;
use super::lines::{Line, Minimal, PLACES, column};
use super::tiles::{Band, Frame, Tile};

/// `Bᵀ d B` of every tile d of `SIDE` × `SIDE` places, four apart.
pub(super) struct TilesIn<'a, const SIDE: usize, const TAPS: usize> {
    pub(super) frame: Frame,
    /// All images.
    pub(super) images: &'a [f32],
    pub(super) channels: usize,
    pub(super) band: Band,
    /// `SIDE` · `SIDE` matrices `[tiles, channels]`, [`apart`].
    pub(super) tiles: &'a mut [f32],
}

impl<const SIDE: usize, const TAPS: usize> TilesIn<'_, SIDE, TAPS>
where
    Minimal: Line<SIDE, TAPS>,
{
    /// A tile's lines through the transform.
    ///
    /// # Safety
    /// As for [`Tile::line`].
    #[inline(always)]
    unsafe fn by_lines<L: Lanes, const WHOLE: bool, const INSIDE: bool>(
        tile: Tile,
        from: *const f32,
        count: usize,
    ) -> [[L; SIDE]; SIDE] {
        // SAFETY: as the caller vouches.
        unsafe {
            let mut turned = [[L::splat(0.0); SIDE]; SIDE];
            for (i, turned) in turned.iter_mut().enumerate() {
                *turned = Minimal::factors(tile.line::<L, WHOLE, INSIDE, SIDE>(from, i, count));
            }
            turned
        }
    }
}

impl<const SIDE: usize, const TAPS: usize> ByVectors for TilesIn<'_, SIDE, TAPS>
where
    Minimal: Line<SIDE, TAPS>,
{
    type Unit = (usize, Tile);

    #[inline(always)]
    fn unit(&self, tile: usize) -> (usize, Tile) {
        (
            tile * self.channels,
            self.frame.tile(self.band.place(tile), self.channels),
        )
    }

    #[inline(always)]
    unsafe fn vector<L: Lanes, const WHOLE: bool>(
        &mut self,
        (to, tile): (usize, Tile),
        channel: usize,
        count: usize,
    ) {
        let from = self
            .images
            .as_ptr()
            .wrapping_offset(tile.start)
            .wrapping_add(channel);
        // SAFETY: as the caller vouches.
        unsafe {
            let turned = match tile.is_inside(SIDE) {
                true => Self::by_lines::<L, WHOLE, true>(tile, from, count),
                false => Self::by_lines::<L, WHOLE, false>(tile, from, count),
            };
            let apart = apart(self.band.tiles() * self.channels);
            let to = self.tiles.as_mut_ptr().add(to + channel);
            for j in 0..SIDE {
                let d = Minimal::factors(column(&turned, j));
                for (i, d) in d.into_iter().enumerate() {
                    store::<L, WHOLE>(d, to.add((SIDE * i + j) * apart), count);
                }
            }
        }
    }
}

impl<const SIDE: usize, const TAPS: usize> Kernel for TilesIn<'_, SIDE, TAPS>
where
    Minimal: Line<SIDE, TAPS>,
{
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        let (tiles, channels) = (self.band.tiles(), self.channels);
        let images = self.band.image + self.band.images;
        assert!(images * self.frame.places() * channels <= self.images.len());
        assert!(SIDE * SIDE * apart(tiles * channels) <= self.tiles.len());
        // SAFETY: checked above.
        unsafe { each_vector::<L, _>(&mut self, tiles, channels) }
    }
}

/// `Aᵀ m A` of every tile's sums m, and what follows a convolution.
pub(super) struct TilesOut<'a, const SIDE: usize, const TAPS: usize> {
    /// `SIDE` · `SIDE` matrices `[tiles, channels]`, [`apart`].
    pub(super) sums: &'a [f32],
    /// Which of the result's channels these are.
    pub(super) channels: Range<usize>,
    pub(super) band: Band,
    /// All images of the result.
    pub(super) places: Places,
    pub(super) distances: Distances,
    pub(super) out: &'a mut [f32],
    pub(super) finishing: Finishing<'a>,
}

impl<const SIDE: usize, const TAPS: usize> TilesOut<'_, SIDE, TAPS>
where
    Minimal: Line<SIDE, TAPS>,
{
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
        let (image, y, x) = self.band.place(tile);
        let (y, x) = (PLACES * y, PLACES * x);
        let Distances { line, step, .. } = self.distances;
        let start = image * self.distances.image + y * line + x * step;
        // SAFETY: as the caller vouches; places outside of the result are left out.
        unsafe {
            let apart = apart(self.band.tiles() * wide);
            let from = self.sums.as_ptr().add(tile * wide + channel);
            let mut turned = [[L::splat(0.0); PLACES]; SIDE];
            for (i, turned) in turned.iter_mut().enumerate() {
                let mut m = [L::splat(0.0); SIDE];
                for (j, m) in m.iter_mut().enumerate() {
                    *m = load::<L, WHOLE>(from.add((SIDE * i + j) * apart), count);
                }
                *turned = Minimal::results(m);
            }
            let channel = self.channels.start + channel;
            let bias = load::<L, WHOLE>(self.finishing.bias.as_ptr().add(channel), count);
            for j in 0..PLACES.min(self.places.steps - x) {
                let sums = Minimal::results(column(&turned, j));
                for (i, sum) in sums.into_iter().enumerate().take(self.places.lines - y) {
                    let at = start + i * line + j * step + channel;
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

impl<const SIDE: usize, const TAPS: usize> Kernel for TilesOut<'_, SIDE, TAPS>
where
    Minimal: Line<SIDE, TAPS>,
{
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        let (tiles, wide) = (self.band.tiles(), self.channels.len());
        if tiles == 0 {
            return;
        }
        assert!(SIDE * SIDE * apart(tiles * wide) <= self.sums.len());
        assert!(self.band.image + self.band.images <= self.places.images);
        assert!(self.band.line + self.band.lines <= self.places.lines.div_ceil(PLACES));
        assert!(self.band.columns <= self.places.steps.div_ceil(PLACES));
        let written = self.distances.last(self.places) + self.channels.end;
        assert!(written <= self.out.len());
        assert!(self.finishing.gain.is_none());
        assert!(self.finishing.holds(self.channels.end, written));
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
