//! [`Picture`]: pixels in memory. Must not know of files, formats or where pixels go.

/// An RGB picture with 8 bits a channel; neither side is zero.
///
/// ```
/// use dermflow_vision::picture::Picture;
/// let mut picture = Picture::filled(3, 2, [10, 20, 30]);
/// picture.set(2, 1, [255, 0, 0]);
/// assert_eq!(picture.at(2, 1), [255, 0, 0]);
/// assert_eq!(picture.pixels().len(), 3 * 2 * 3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Picture {
    /// A picture of one colour. A side of zero becomes one.
    pub fn filled(width: usize, height: usize, colour: [u8; 3]) -> Picture {
        let (width, height) = (width.max(1), height.max(1));
        Picture {
            width,
            height,
            pixels: colour.repeat(width * height),
        }
    }

    /// A picture of these bytes: rows from the top, red, green and blue of each pixel. None
    /// where a side is zero or the length is not `width` × `height` × 3.
    pub fn of_pixels(width: usize, height: usize, pixels: Vec<u8>) -> Option<Picture> {
        let length = width.checked_mul(height)?.checked_mul(3)?;
        (length > 0 && length == pixels.len()).then_some(Picture {
            width,
            height,
            pixels,
        })
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The bytes.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The bytes, to be changed.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// The bytes by themselves.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// The colour of a pixel.
    pub fn at(&self, column: usize, row: usize) -> [u8; 3] {
        let start = (row * self.width + column) * 3;
        [self.pixels[start], self.pixels[start + 1], self.pixels[start + 2]]
    }

    /// Changes the colour of a pixel.
    pub fn set(&mut self, column: usize, row: usize, colour: [u8; 3]) {
        let start = (row * self.width + column) * 3;
        self.pixels[start..start + 3].copy_from_slice(&colour);
    }
}
