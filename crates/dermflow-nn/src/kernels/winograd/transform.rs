//! The transforms of tiles into matrices, and of matrices of sums into places.

use std::ops::Range;

use super::super::activation::{Activate, with_activation};
use super::super::lanes::{ByVectors, Kernel, Lanes, WIDTH, each_vector, load, store};
use super::super::product::{Distances, Finishing, Places};
use super::apart;
use super::lines::{self, Line, Minimal, PLACES, Turn};
use super::tiles::{Band, Tile, Tiles};

/// `T d Tᵀ` of every tile d of `FROM` × `FROM` places, four apart, where T is what [`Turn`] does to a line:
/// `Bᵀ d B` of what is read, or `A dy Aᵀ` of a result's gradient.
pub(super) struct TilesIn<'a, T, const FROM: usize, const TO: usize> {
    pub(super) turn: T,
    pub(super) of: Tiles,
    /// All images.
    pub(super) images: &'a [f32],
    /// `TO` · `TO` matrices `[tiles, channels]`, [`Tiles::apart`].
    pub(super) matrices: &'a mut [f32],
}

impl<T: Turn<FROM, TO>, const FROM: usize, const TO: usize> TilesIn<'_, T, FROM, TO> {
    /// A tile's lines through the transform.
    ///
    /// # Safety
    /// As for [`Tile::line`].
    #[inline(always)]
    unsafe fn by_lines<L: Lanes, const WHOLE: bool, const INSIDE: bool>(
        &self,
        tile: Tile,
        from: *const f32,
        count: usize,
    ) -> [[L; TO]; FROM] {
        // SAFETY: as the caller vouches.
        unsafe {
            let mut turned = [[L::splat(0.0); TO]; FROM];
            for (i, turned) in turned.iter_mut().enumerate() {
                *turned = self
                    .turn
                    .turn(tile.line::<L, WHOLE, INSIDE, FROM>(from, i, count));
            }
            turned
        }
    }
}

impl<T: Turn<FROM, TO>, const FROM: usize, const TO: usize> ByVectors for TilesIn<'_, T, FROM, TO> {
    type Unit = (usize, Tile);

    #[inline(always)]
    fn unit(&self, tile: usize) -> (usize, Tile) {
        self.of.tile(tile)
    }

    #[inline(always)]
    unsafe fn vector<L: Lanes, const WHOLE: bool>(
        &mut self,
        (to, tile): (usize, Tile),
        channel: usize,
        count: usize,
    ) {
        let from = self.images.as_ptr();
        let from = from.wrapping_offset(tile.start).wrapping_add(channel);
        // SAFETY: as the caller vouches.
        unsafe {
            let turned = match tile.is_inside(FROM) {
                true => self.by_lines::<L, WHOLE, true>(tile, from, count),
                false => self.by_lines::<L, WHOLE, false>(tile, from, count),
            };
            let apart = self.of.apart();
            let to = self.matrices.as_mut_ptr().add(to + channel);
            for j in 0..TO {
                let d = self.turn.turn(lines::column(&turned, j));
                for (i, d) in d.into_iter().enumerate() {
                    store::<L, WHOLE>(d, to.add((TO * i + j) * apart), count);
                }
            }
        }
    }
}

impl<T: Turn<FROM, TO>, const FROM: usize, const TO: usize> Kernel for TilesIn<'_, T, FROM, TO> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        self.of.check::<TO>(self.images, self.matrices);
        let (tiles, channels) = (self.of.band.tiles(), self.of.channels);
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
    /// One tile, of this image, line and column of tiles.
    ///
    /// # Safety
    /// As for [`Kernel::run`], which checked the slices: the tile and the channels are there.
    #[inline(always)]
    unsafe fn vector<L: Lanes, A: Activate, const WHOLE: bool>(
        &mut self,
        tile: usize,
        (image, line, column): (usize, usize, usize),
        channel: usize,
        count: usize,
    ) {
        let wide = self.channels.len();
        let (y, x) = (PLACES * line, PLACES * column);
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
                let sums = Minimal::results(lines::column(&turned, j));
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
                let place = self.band.place(tile);
                // SAFETY: checked above.
                unsafe {
                    for channel in (0..whole).step_by(WIDTH) {
                        self.vector::<L, A, true>(tile, place, channel, WIDTH);
                    }
                    if whole < wide {
                        self.vector::<L, A, false>(tile, place, whole, wide - whole);
                    }
                }
            }
        });
    }
}
