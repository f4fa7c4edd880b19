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

/// How many cells across and down the network's picture of `size` (width, height) is. Where a side is
/// no multiple of `stride`, that is no whole number: the last cells reach beyond the picture.
pub fn exact_cells(size: [u32; 2], stride: usize) -> [f64; 2] {
    size.map(|side| f64::from(side) / stride as f64)
}

/// One map of picture `place` of `size` (width, height), for each `stride` × `stride` of its
/// pixels the highest heat of any class (H5: class and size are dropped); value = code / 255.
/// `exact` is of [`exact_cells`].
pub fn foreground(heat: &Grids, exact: [f64; 2], place: usize, size: [usize; 2], stride: usize) -> Heatmap {
    let mut map = Heatmap::background(size[0], size[1], stride);
    let columns = map.width();
    // The cells of the network's map under a cell of this one, at least one.
    let under = |cell: usize, side: usize, cells: usize, exact: f64| {
        let at = |pixel: usize| pixel.min(side) as f64 / side as f64 * exact;
        let from = (at(cell * stride) + 1e-9) as usize;
        let to = (at((cell + 1) * stride) - 1e-9).ceil() as usize;
        from.min(cells - 1)..to.clamp(from.min(cells - 1) + 1, cells)
    };
    for (cell, code) in map.codes_mut().iter_mut().enumerate() {
        let rows = under(cell / columns, size[1], heat.height, exact[1]);
        let across = under(cell % columns, size[0], heat.width, exact[0]);
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
/// (CenterNet's decoding). `sizes` are in cells; `exact` is of [`exact_cells`].
pub fn lesions(
    heat: &Grids,
    sizes: &Grids,
    exact: [f64; 2],
    place: usize,
    threshold: f32,
    most: usize,
) -> Vec<Found> {
    // The middle of the part of a cell that lies in the picture, where its lesion is.
    let middle = |cell: usize, exact: f64| (cell as f64 + (cell as f64 + 1.0).min(exact)) / 2.0;
    let [across, down] = exact;
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
                found.push(Found {
                    class,
                    score,
                    of_map: PixelBox {
                        left: (middle(column, across) - width / 2.0) / across,
                        top: (middle(row, down) - height / 2.0) / down,
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
        let found = lesions(&heat, &sizes, [4.0; 2], 0, 0.3, 10);
        assert_eq!(found.len(), 1);
        let of = found[0].of_map;
        assert_eq!([of.left, of.top, of.width, of.height], [0.125, 0.5, 0.5, 0.25]);
        assert!((found[0].score - 0.952_574).abs() < 1e-5);
        assert!(lesions(&heat, &sizes, [4.0; 2], 0, 0.96, 10).is_empty());
        assert!(lesions(&heat, &sizes, [4.0; 2], 0, 0.3, 0).is_empty());
    }

    #[test]
    fn a_foreground_cell_is_the_highest_of_those_under_it_whatever_the_sizes() {
        let [heat, _] = maps(2, 0);
        // Cells of 4 pixels to cells of 8.
        let map = foreground(&heat, [4.0; 2], 0, [16, 16], 8);
        assert_eq!((map.width(), map.height()), (2, 2));
        assert_eq!(map.codes(), [0, 0, 243, 0]);
        // The stored picture is larger than the network's and no multiple of 8.
        let map = foreground(&heat, [4.0; 2], 0, [36, 20], 8);
        assert_eq!((map.width(), map.height()), (5, 3));
        assert_eq!(map.codes()[5..7], [243, 243]);
    }

    #[test]
    fn cells_stand_for_as_many_pixels_where_the_last_ones_reach_beyond_the_picture() {
        // 13 pixels in 4 cells of 4.
        let exact = exact_cells([13, 13], 4);
        assert_eq!(exact, [3.25; 2]);
        let [heat, sizes] = maps(2, 1);
        let of = lesions(&heat, &sizes, exact, 0, 0.3, 10)[0].of_map;
        // 8 pixels by 4 around the middle of the cell, 6 pixels from the left and 10 from above.
        let pixels = [of.left, of.top, of.width, of.height].map(|share| share * 13.0);
        for (found, wanted) in pixels.into_iter().zip([2.0, 8.0, 8.0, 4.0]) {
            assert!((found - wanted).abs() < 1e-9, "{pixels:?}");
        }
        // The picture is stored twice as large: cells of 8 of its pixels are those of the network.
        let map = foreground(&maps(2, 0)[0], exact, 0, [26, 26], 8);
        assert_eq!((map.width(), map.height()), (4, 4));
        let lit: [[u8; 4]; 4] = [[0; 4], [0; 4], [243, 225, 0, 0], [0; 4]];
        assert_eq!(map.codes(), lit.concat());
    }

    #[test]
    fn a_lesion_is_told_in_the_cell_that_learning_put_it_in() {
        for side in 25..=32_u32 {
            let exact = exact_cells([side; 2], 8);
            for pixel in 0..side as usize {
                // As `LesionData::centre` places it.
                let cell = pixel / 8;
                let [heat, sizes] = maps(cell, 0);
                let of = lesions(&heat, &sizes, exact, 0, 0.3, 1)[0].of_map;
                let told = (of.top + of.height / 2.0) * f64::from(side);
                let off = told - (pixel as f64 + 0.5);
                assert!(
                    off.abs() < 4.0 && told < f64::from(side),
                    "{side}: {pixel} is told at {told}"
                );
                assert!((of.height * f64::from(side) - 8.0).abs() < 1e-9);
            }
        }
    }
}
