//! The eight ways in which a camera may have been held (Exif tag 274, CIPA DC-008).

use crate::placement::PixelSize;

/// How stored rows and columns become what was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orientation {
    /// Rows and columns change places, first.
    transposed: bool,
    /// Then left and right do.
    mirrored: bool,
    /// And top and bottom.
    flipped: bool,
}

impl Orientation {
    /// The one with this Exif number. Others than 1 to 8 mean nothing, and change nothing.
    pub fn from_exif(number: u8) -> Orientation {
        let (transposed, mirrored, flipped) = match number {
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => (false, false, false),
        };
        Orientation {
            transposed,
            mirrored,
            flipped,
        }
    }

    /// Whether nothing is to be done.
    pub fn is_upright(self) -> bool {
        self == Orientation::default()
    }

    /// Whether rows become columns.
    pub fn is_transposed(self) -> bool {
        self.transposed
    }

    /// The size as it is seen, of the size as it is stored, and the other way round.
    pub fn oriented(self, size: PixelSize) -> PixelSize {
        match self.transposed {
            true => size.transposed(),
            false => size,
        }
    }

    /// Puts an RGB8 picture of size `from` (as it is stored) on a canvas `columns` wide, its
    /// upper left corner as it is seen at (`left`, `top`). The picture must fit there.
    pub(crate) fn put(
        self,
        pixels: &[u8],
        from: PixelSize,
        canvas: &mut [u8],
        columns: u32,
        (left, top): (u32, u32),
    ) {
        let seen = self.oriented(from);
        let (wide, high) = (seen.width as usize, seen.height as usize);
        let stride = from.width as usize * 3;
        for y in 0..high {
            let start = ((top as usize + y) * columns as usize + left as usize) * 3;
            let row = &mut canvas[start..start + wide * 3];
            let down = if self.flipped { high - 1 - y } else { y };
            if !self.transposed && !self.mirrored {
                row.copy_from_slice(&pixels[down * stride..down * stride + wide * 3]);
                continue;
            }
            for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                let across = if self.mirrored { wide - 1 - x } else { x };
                let at = match self.transposed {
                    true => across * stride + down * 3,
                    false => down * stride + across * 3,
                };
                pixel.copy_from_slice(&pixels[at..at + 3]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of 3 × 2 whose pixels are 1 to 6, as each orientation shows it.
    #[test]
    fn each_orientation_shows_the_picture_as_the_standard_draws_it() {
        let size = PixelSize::new(3, 2).unwrap();
        let stored: Vec<u8> = (1..=6).flat_map(|value| [value; 3]).collect();
        let expected: [(u8, &[u8]); 9] = [
            (0, &[1, 2, 3, 4, 5, 6]),
            (1, &[1, 2, 3, 4, 5, 6]),
            (2, &[3, 2, 1, 6, 5, 4]),
            (3, &[6, 5, 4, 3, 2, 1]),
            (4, &[4, 5, 6, 1, 2, 3]),
            (5, &[1, 4, 2, 5, 3, 6]),
            (6, &[4, 1, 5, 2, 6, 3]),
            (7, &[6, 3, 5, 2, 4, 1]),
            (8, &[3, 6, 2, 5, 1, 4]),
        ];
        for (number, values) in expected {
            let orientation = Orientation::from_exif(number);
            let seen = orientation.oriented(size);
            let mut canvas = vec![0; 18];
            orientation.put(&stored, size, &mut canvas, seen.width, (0, 0));
            let shown: Vec<u8> = canvas.chunks(3).map(|pixel| pixel[0]).collect();
            assert_eq!(shown, values, "orientation {number}");
        }
    }

    #[test]
    fn a_picture_is_put_where_it_belongs_on_a_larger_canvas() {
        let size = PixelSize::new(1, 2).unwrap();
        let mut canvas = vec![9; 4 * 3 * 3];
        Orientation::from_exif(6).put(&[1, 1, 1, 2, 2, 2], size, &mut canvas, 4, (1, 2));
        let values: Vec<u8> = canvas.chunks(3).map(|pixel| pixel[0]).collect();
        assert_eq!(values, [9, 9, 9, 9, 9, 9, 9, 9, 9, 2, 1, 9]);
    }
}
