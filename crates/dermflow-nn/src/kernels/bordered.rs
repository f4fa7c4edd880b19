//! [`Bordered`]: an image with zeros around it, so that windows may reach over its edge.
//!
//! Must not know of windows.

/// A grid inside a larger one of zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bordered {
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Lines above the grid and places left of it.
    pub(crate) above: usize,
    pub(crate) left: usize,
    /// Lines and places of the grid that are inside; the rest is cut off.
    pub(crate) lines: usize,
    pub(crate) steps: usize,
}

impl Bordered {
    pub(crate) fn new(whole: (usize, usize), before: (usize, usize), grid: (usize, usize)) -> Bordered {
        Bordered {
            height: whole.0,
            width: whole.1,
            above: before.0,
            left: before.1,
            lines: grid.0.min(whole.0.saturating_sub(before.0)),
            steps: grid.1.min(whole.1.saturating_sub(before.1)),
        }
    }

    /// Numbers of the bordered grid.
    pub(crate) fn len(&self, channels: usize) -> usize {
        self.height * self.width * channels
    }

    /// Numbers between the starts of two lines.
    pub(crate) fn pitch(&self, channels: usize) -> usize {
        self.width * channels
    }

    /// Where the grid's first place lies.
    pub(crate) fn start(&self, channels: usize) -> usize {
        (self.above * self.width + self.left) * channels
    }

    /// Writes zeros around the grid.
    pub(crate) fn clear(&self, channels: usize, grid: &mut [f32]) {
        let pitch = self.pitch(channels);
        let (from, to) = (self.left * channels, (self.left + self.steps) * channels);
        for (line, values) in grid.chunks_exact_mut(pitch).enumerate() {
            if line < self.above || line >= self.above + self.lines {
                values.fill(0.0);
            } else {
                values[..from].fill(0.0);
                values[to..].fill(0.0);
            }
        }
    }

    /// [`Bordered::copy`] of images one behind another into as many grids.
    pub(crate) fn copy_all(&self, channels: usize, image_width: usize, images: &[f32], grids: &mut [f32]) {
        let grids = grids.chunks_exact_mut(self.len(channels));
        let of_image = images.len() / grids.len();
        for (image, grid) in images.chunks_exact(of_image).zip(grids) {
            self.copy(channels, image_width, image, grid);
        }
    }

    /// Copies an image of `image_width` places a line into the grid, with zeros around it.
    pub(crate) fn copy(&self, channels: usize, image_width: usize, image: &[f32], grid: &mut [f32]) {
        self.clear(channels, grid);
        let (pitch, start) = (self.pitch(channels), self.start(channels));
        for line in 0..self.lines {
            let from = &image[line * image_width * channels..][..self.steps * channels];
            grid[start + line * pitch..][..from.len()].copy_from_slice(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_goes_into_a_border_of_zeros() {
        let border = Bordered::new((4, 5), (1, 2), (2, 2));
        let image: Vec<f32> = (1..=8).map(|number| number as f32).collect();
        let mut grid = vec![f32::NAN; border.len(2)];
        border.copy(2, 2, &image, &mut grid);
        assert_eq!(grid.iter().sum::<f32>(), 36.0);
        let (start, pitch) = (border.start(2), border.pitch(2));
        assert_eq!(grid[start..][..4], image[..4]);
        assert_eq!(grid[start + pitch..][..4], image[4..]);
    }
}
