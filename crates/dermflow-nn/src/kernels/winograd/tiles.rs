//! Tiles: where they lie in images, and which go through the products together.

use super::super::lanes::{Lanes, load};
use super::super::window::{Phase, Window};
use super::apart;
use super::lines::PLACES;

/// The images that windows are read from, of so many lines and columns, one behind another. Around
/// them are zeros, which are not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) size: (usize, usize),
    /// How far above and left of an image its first window begins; less than zero where that is inside.
    pub(crate) before: (isize, isize),
}

impl Frame {
    /// Of what a convolution reads.
    pub(crate) fn of(window: &Window) -> Frame {
        Frame {
            size: window.large,
            before: (window.above as isize, window.left as isize),
        }
    }

    /// Of what a convolution that doubles the grid reads for a phase of its result.
    pub(crate) fn of_phase(window: &Window, phase: &Phase) -> Frame {
        Frame {
            size: window.small,
            before: (-phase.first.0, -phase.first.1),
        }
    }

    /// The same for windows that begin so many lines further down.
    pub(crate) fn moved_down(self, line: usize) -> Frame {
        Frame {
            before: (self.before.0 - line as isize, self.before.1),
            ..self
        }
    }

    /// The tile in this line and column of tiles of an image.
    #[inline(always)]
    fn tile(self, (image, line, column): (usize, usize, usize), channels: usize) -> Tile {
        let at = |tile: usize, before: isize| (PLACES * tile) as isize - before;
        let corner = (at(line, self.before.0), at(column, self.before.1));
        let (lines, columns) = (self.size.0 as isize, self.size.1 as isize);
        let place = (image as isize * lines + corner.0) * columns + corner.1;
        Tile {
            frame: self,
            corner,
            channels,
            start: place * channels as isize,
        }
    }
}

/// A tile in images of so many channels; it may reach over their edges.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    frame: Frame,
    /// Line and column of its first place in its image.
    corner: (isize, isize),
    channels: usize,
    /// The number at which that place lies, or would lie, in all images.
    pub(super) start: isize,
}

impl Tile {
    /// Whether `side` lines and columns of it are in the image.
    #[inline(always)]
    pub(super) fn is_inside(&self, side: usize) -> bool {
        let inside = |at: isize, size: usize| at >= 0 && at as usize + side <= size;
        inside(self.corner.0, self.frame.size.0) && inside(self.corner.1, self.frame.size.1)
    }

    /// Whether its place in this line and column is.
    #[inline(always)]
    fn has(&self, line: usize, column: usize) -> bool {
        // One below zero is a large number.
        ((self.corner.0 as usize).wrapping_add(line) < self.frame.size.0)
            & ((self.corner.1 as usize).wrapping_add(column) < self.frame.size.1)
    }

    /// `count`, or none where its place in this line and column is outside: a branch for each place, which
    /// is another one for the next tile, would cost more than what is read.
    #[inline(always)]
    pub(super) fn part(&self, line: usize, column: usize, count: usize) -> usize {
        count * usize::from(self.has(line, column))
    }

    /// How many numbers behind its first place this one lies.
    #[inline(always)]
    pub(super) fn behind(&self, line: usize, column: usize) -> usize {
        (line * self.frame.size.1 + column) * self.channels
    }

    /// Numbers of a line, zeros outside of the image. `INSIDE` says that all are in it.
    ///
    /// # Safety
    /// The images can be read, and `from` is a number of the tile's first place.
    #[inline(always)]
    pub(super) unsafe fn line<L: Lanes, const WHOLE: bool, const INSIDE: bool, const SIDE: usize>(
        &self,
        from: *const f32,
        line: usize,
        count: usize,
    ) -> [L; SIDE] {
        // SAFETY: as the caller vouches; places outside are not read.
        unsafe {
            let mut numbers = [L::splat(0.0); SIDE];
            for (column, numbers) in numbers.iter_mut().enumerate() {
                let from = from.wrapping_add(self.behind(line, column));
                *numbers = match INSIDE {
                    true => load::<L, WHOLE>(from, count),
                    false => L::load_first(from, self.part(line, column, count)),
                };
            }
            numbers
        }
    }
}

/// Tiles that go through the products together: those of some lines of some images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Band {
    /// The first image, and how many.
    pub(super) image: usize,
    pub(super) images: usize,
    /// The first line of tiles in each, and how many.
    pub(super) line: usize,
    pub(super) lines: usize,
    /// Tiles of a line.
    pub(super) columns: usize,
}

impl Band {
    /// How many tiles these are.
    pub(super) fn tiles(&self) -> usize {
        self.images * self.lines * self.columns
    }

    /// The image, line and column of a tile.
    #[inline(always)]
    pub(super) fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (line, column) = (tile / self.columns, tile % self.columns);
        (
            self.image + line / self.lines,
            self.line + line % self.lines,
            column,
        )
    }
}

/// A band's tiles in images of so many channels.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    pub(super) frame: Frame,
    pub(super) channels: usize,
    pub(super) band: Band,
}

impl Tiles {
    /// Where a tile's numbers begin in each of the matrices `[tiles, channels]`, and where it lies in the
    /// images.
    #[inline(always)]
    pub(super) fn tile(&self, tile: usize) -> (usize, Tile) {
        let place = self.band.place(tile);
        (tile * self.channels, self.frame.tile(place, self.channels))
    }

    /// How far apart the matrices are.
    #[inline(always)]
    pub(super) fn apart(&self) -> usize {
        apart(self.band.tiles() * self.channels)
    }

    /// Panics unless there are so many numbers of images, and of `SIDE` · `SIDE` matrices.
    pub(super) fn check<const SIDE: usize>(&self, images: &[f32], matrices: &[f32]) {
        let last = self.band.image + self.band.images;
        assert!(last * self.frame.size.0 * self.frame.size.1 * self.channels <= images.len());
        assert!(SIDE * SIDE * self.apart() <= matrices.len());
    }
}

/// How images are cut into bands of about so many tiles: several images where they are small, else some
/// lines of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    images: usize,
    lines: usize,
    columns: usize,
    /// Images and lines of a band.
    band: (usize, usize),
}

impl Cut {
    /// For images of so many lines and columns of tiles.
    pub(super) fn new(images: usize, (lines, columns): (usize, usize), tiles: usize) -> Cut {
        let of_image = lines * columns;
        let band = match tiles / of_image.max(1) {
            0 => (1, lines.div_ceil(of_image.div_ceil(tiles).min(lines.max(1)))),
            most => (images.div_ceil(images.div_ceil(most).max(1)), lines),
        };
        Cut {
            images,
            lines,
            columns,
            band,
        }
    }

    /// Tiles of the largest band.
    pub(super) fn tiles(&self) -> usize {
        self.band.0 * self.band.1 * self.columns
    }

    /// All bands, in the order of images and lines.
    pub(super) fn bands(self) -> impl Iterator<Item = Band> {
        let (images, lines) = self.band;
        let starts = (0..self.images).step_by(images.max(1));
        starts.flat_map(move |image| {
            (0..self.lines).step_by(lines.max(1)).map(move |line| Band {
                image,
                images: images.min(self.images - image),
                line,
                lines: lines.min(self.lines - line),
                columns: self.columns,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(images: usize, size: (usize, usize)) -> Vec<(usize, usize, usize, usize)> {
        let bands = Cut::new(images, size, 48).bands();
        bands
            .map(|band| (band.image, band.images, band.line, band.lines))
            .collect()
    }

    #[test]
    fn bands_have_lines_of_one_image_or_several_images() {
        assert_eq!(cut(1, (12, 12)), [(0, 1, 0, 4), (0, 1, 4, 4), (0, 1, 8, 4)]);
        assert_eq!(
            cut(2, (2, 100)),
            [(0, 1, 0, 1), (0, 1, 1, 1), (1, 1, 0, 1), (1, 1, 1, 1)]
        );
        assert_eq!(cut(7, (4, 4)), [(0, 3, 0, 4), (3, 3, 0, 4), (6, 1, 0, 4)]);
        assert_eq!(cut(4, (4, 4)), [(0, 2, 0, 4), (2, 2, 0, 4)]);
        assert_eq!(cut(3, (0, 0)), []);
        assert_eq!(cut(0, (3, 3)), []);
        assert_eq!(Cut::new(4, (4, 4), 48).tiles(), 32);
        let band = Cut::new(7, (4, 4), 48).bands().nth(1);
        assert_eq!(
            band.map(|band| (band.tiles(), band.place(21))),
            Some((48, (4, 1, 1)))
        );
    }

    #[test]
    fn tiles_are_inside_or_reach_over_an_edge() {
        let frame = Frame {
            size: (9, 10),
            before: (1, -1),
        };
        let tile = frame.tile((2, 1, 0), 3);
        assert_eq!((tile.corner, tile.start), ((3, 1), (2 * 90 + 3 * 10 + 1) * 3));
        assert!(tile.is_inside(6) && !tile.is_inside(7));
        assert!(tile.has(5, 8) && !tile.has(6, 8) && !tile.has(5, 9));
        assert_eq!(tile.behind(1, 2), 36);
        let tile = frame.tile((0, 0, 2), 3);
        assert_eq!((tile.corner, tile.start), ((-1, 9), -3));
        assert!(!tile.is_inside(6));
        assert!(!tile.has(0, 0) && tile.has(1, 0) && !tile.has(1, 1));
    }
}
