//! Drawing boxes on a heat map.
//!
//! Must not know where boxes come from. All is computed in f64 and in pixels; a cell has the
//! value of the point in its middle.

use super::gaussian::Gaussian;
use super::{BLIND, Drawing, Heatmap, PEAK, Shape, code_of};
use crate::boxes::PixelBox;
use crate::ellipse::Ellipse;

impl Drawing {
    /// The map of these boxes on a picture of `width` × `height` pixels.
    ///
    /// First all rings, then all foregrounds, so that foreground beats blind and blind beats
    /// background whatever the order of boxes; where foregrounds overlap the maximum wins
    /// (`method.md` H3). The cell that holds a box's centre is exactly [`PEAK`], and no other is.
    /// A box whose centre lies outside the picture is drawn as far as it is seen, without one.
    pub fn draw(&self, width: usize, height: usize, boxes: &[PixelBox]) -> Heatmap {
        let mut map = Heatmap::background(width, height, self.stride);
        for pixels in boxes {
            self.ring(&mut map, pixels);
        }
        for pixels in boxes {
            match self.shape {
                Shape::Ellipse => self.ellipse(&mut map, pixels),
                Shape::CenterNet => self.gaussian(&mut map, pixels, Gaussian::center_net),
                Shape::TtfNet => self.gaussian(&mut map, pixels, Gaussian::ttf_net),
            }
        }
        for pixels in boxes {
            if let Some([column, row]) = self.centre_cell(width, height, pixels) {
                map.codes[row * map.width + column] = PEAK;
            }
        }
        map
    }

    /// Column and row of the cell that holds the centre of a box, where that lies in the
    /// picture of `width` × `height` pixels. A centre on the right or lower border counts to
    /// the last cell.
    pub fn centre_cell(&self, width: usize, height: usize, pixels: &PixelBox) -> Option<[usize; 2]> {
        let one = |at: f64, size: usize| {
            let inside = size > 0 && (0.0..=size as f64).contains(&at);
            let last = size.div_ceil(self.stride.max(1)).saturating_sub(1);
            inside.then(|| ((at / self.stride.max(1) as f64) as usize).min(last))
        };
        let [x, y] = pixels.centre();
        Some([one(x, width)?, one(y, height)?])
    }

    fn ring(&self, map: &mut Heatmap, pixels: &PixelBox) {
        let widths = self.blind.widths(pixels);
        if widths != [0.0; 2] {
            let outer = Ellipse::inscribed(pixels).grown(widths);
            self.each_cell(map, &outer, |code, _| *code = BLIND);
        }
    }

    fn ellipse(&self, map: &mut Heatmap, pixels: &PixelBox) {
        self.each_cell(map, &Ellipse::inscribed(pixels), |code, distance| {
            raise(code, code_of(self.decay.value(distance, self.edge)));
        });
    }

    /// Calls `each` for the cells whose middle is in the ellipse, with the normalised distance.
    fn each_cell(&self, map: &mut Heatmap, ellipse: &Ellipse, each: impl Fn(&mut u8, f64)) {
        let stride = self.stride.max(1) as f64;
        let span = |axis: usize, cells: usize| {
            let [centre, reach] = [ellipse.centre[axis], ellipse.semi_axes[axis]];
            let first = ((centre - reach) / stride - 1.0).max(0.0) as usize;
            let end = ((centre + reach) / stride + 1.0).max(0.0) as usize;
            first.min(cells)..end.min(cells)
        };
        let columns = span(0, map.width);
        for row in span(1, map.height) {
            let y = (row as f64 + 0.5) * stride;
            for column in columns.clone() {
                let distance = ellipse.distance((column as f64 + 0.5) * stride, y);
                if distance <= 1.0 {
                    each(&mut map.codes[row * map.width + column], distance);
                }
            }
        }
    }

    /// A Gaussian of whole cells around the cell that holds the centre, which may lie outside
    /// the picture.
    fn gaussian(&self, map: &mut Heatmap, pixels: &PixelBox, of: fn([f64; 2]) -> Gaussian) {
        let stride = self.stride.max(1) as f64;
        let gaussian = of([pixels.width / stride, pixels.height / stride]);
        let [middle_x, middle_y] = pixels.centre().map(|at| (at / stride).floor() as i64);
        let span = |middle: i64, radius: i64, cells: usize| {
            let first = middle.saturating_sub(radius).max(0);
            first..middle.saturating_add(radius + 1).min(cells as i64).max(first)
        };
        for row in span(middle_y, gaussian.radii[1], map.height) {
            for column in span(middle_x, gaussian.radii[0], map.width) {
                if let Some(value) = gaussian.value([column - middle_x, row - middle_y]) {
                    raise(
                        &mut map.codes[row as usize * map.width + column as usize],
                        code_of(value),
                    );
                }
            }
        }
    }
}

/// Foreground over whatever is there: blind gives way, and of two foregrounds the higher stays.
fn raise(code: &mut u8, to: u8) {
    *code = match *code {
        BLIND => to,
        lower => lower.max(to),
    };
}
