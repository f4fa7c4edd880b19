//! From a regressor's maps to foreground and boxes.
//!
//! Must not know of tables or models.

use dermflow_nn::network::Grids;
use dermflow_vision::boxes::PixelBox;
use dermflow_vision::heatmap::Heatmap;

/// A lesion that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Which heat map it stands in.
    pub class: usize,
    /// The heat at its centre, from 0 to 1.
    pub score: f32,
    /// Where, in fractions of the picture.
    pub of_map: PixelBox,
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// The logit of a picture's cell for a class.
fn logit(heat: &Grids, place: usize, row: usize, column: usize, class: usize) -> f32 {
    heat.values[((place * heat.height + row) * heat.width + column) * heat.channels + class]
}

/// One map of picture `place` of `size` (width, height), for each `stride` × `stride` of its
/// pixels the highest heat of any class (H5: class and size are dropped); value = code / 255.
pub fn foreground(heat: &Grids, place: usize, size: [usize; 2], stride: usize) -> Heatmap {
    let mut map = Heatmap::background(size[0], size[1], stride);
    let columns = map.width();
    // The cells of the network's map under a cell of this one, at least one.
    let under = |cell: usize, side: usize, cells: usize| {
        let at = |pixel: usize| pixel.min(side) as f64 / side as f64 * cells as f64;
        let from = (at(cell * stride) + 1e-9) as usize;
        let to = (at((cell + 1) * stride) - 1e-9).ceil() as usize;
        from.min(cells - 1)..to.clamp(from.min(cells - 1) + 1, cells)
    };
    for (cell, code) in map.codes_mut().iter_mut().enumerate() {
        let rows = under(cell / columns, size[1], heat.height);
        let across = under(cell % columns, size[0], heat.width);
        let mut highest = f32::NEG_INFINITY;
        for row in rows {
            for column in across.clone() {
                for class in 0..heat.channels {
                    highest = highest.max(logit(heat, place, row, column, class));
                }
            }
        }
        *code = (sigmoid(highest) * 255.0 + 0.5) as u8;
    }
    map
}

/// The lesions of picture `place`, the highest score first: cells that are the highest of their
/// class within one cell around them, with a score of at least `threshold`, at most `most`
/// (CenterNet's decoding). `sizes` are in cells.
pub fn lesions(heat: &Grids, sizes: &Grids, place: usize, threshold: f32, most: usize) -> Vec<Found> {
    let mut found = Vec::new();
    for row in 0..heat.height {
        for column in 0..heat.width {
            for class in 0..heat.channels {
                let own = logit(heat, place, row, column, class);
                let score = sigmoid(own);
                if score < threshold || !is_highest(heat, place, row, column, class, own) {
                    continue;
                }
                let at = ((place * sizes.height + row) * sizes.width + column) * sizes.channels;
                let [width, height] =
                    [sizes.values[at], sizes.values[at + 1]].map(|side| f64::from(side.max(0.0)));
                let (across, down) = (heat.width as f64, heat.height as f64);
                found.push(Found {
                    class,
                    score,
                    of_map: PixelBox {
                        left: (column as f64 + 0.5 - width / 2.0) / across,
                        top: (row as f64 + 0.5 - height / 2.0) / down,
                        width: width / across,
                        height: height / down,
                    },
                });
            }
        }
    }
    // A stable sort: equal scores stay in the order of their cells.
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(most);
    found
}

fn is_highest(heat: &Grids, place: usize, row: usize, column: usize, class: usize, own: f32) -> bool {
    let rows = row.saturating_sub(1)..(row + 2).min(heat.height);
    rows.into_iter().all(|y| {
        let mut columns = column.saturating_sub(1)..(column + 2).min(heat.width);
        columns.all(|x| logit(heat, place, y, x, class) <= own)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture with one class on a grid of 4 × 4 cells, background but for one cell.
    fn maps(row: usize, column: usize) -> [Grids; 2] {
        let mut heat = Grids {
            values: vec![-10.0; 16],
            count: 1,
            height: 4,
            width: 4,
            channels: 1,
        };
        heat.values[row * 4 + column] = 3.0;
        heat.values[row * 4 + column + 1] = 2.0;
        let sizes = Grids {
            values: [2.0, 1.0].repeat(16),
            channels: 2,
            ..heat.clone()
        };
        [heat, sizes]
    }

    #[test]
    fn only_the_highest_cell_around_is_a_lesion_with_its_size_in_fractions() {
        let [heat, sizes] = maps(2, 1);
        let found = lesions(&heat, &sizes, 0, 0.3, 10);
        assert_eq!(found.len(), 1);
        let of = found[0].of_map;
        assert_eq!([of.left, of.top, of.width, of.height], [0.125, 0.5, 0.5, 0.25]);
        assert!((found[0].score - 0.952_574).abs() < 1e-5);
        assert!(lesions(&heat, &sizes, 0, 0.96, 10).is_empty());
        assert!(lesions(&heat, &sizes, 0, 0.3, 0).is_empty());
    }

    #[test]
    fn a_foreground_cell_is_the_highest_of_those_under_it_whatever_the_sizes() {
        let [heat, _] = maps(2, 0);
        // Cells of 4 pixels to cells of 8.
        let map = foreground(&heat, 0, [16, 16], 8);
        assert_eq!((map.width(), map.height()), (2, 2));
        assert_eq!(map.codes(), [0, 0, 243, 0]);
        // The stored picture is larger than the network's and no multiple of 8.
        let map = foreground(&heat, 0, [36, 20], 8);
        assert_eq!((map.width(), map.height()), (5, 3));
        assert_eq!(map.codes()[5..7], [243, 243]);
    }
}
