//! What lies over a picture follows it: boxes, heat maps, foreground maps.
//!
//! Must not know what moved the picture, only where its points went and what of it is seen.

use super::warp::neighbours;
use super::{Affine, Augmented};
use crate::boxes::PixelBox;
use crate::heatmap::{BLIND, Heatmap, PEAK};

impl Augmented {
    /// Where a lesion's box goes, or none where nothing of it is left.
    ///
    /// A lesion is the ellipse in its box, and so its new box is the one around the moved
    /// ellipse ([`Affine::moved`]). Of a lesion that the crop or the frame cuts, the box is
    /// that of what may be seen, which an ellipse doesn't always fill.
    pub fn follow(&self, pixels: &PixelBox) -> Option<PixelBox> {
        let kept = pixels.intersection(&self.seen)?;
        let mut moved = self.moved.moved(pixels);
        if kept != *pixels {
            let corners = [
                [kept.left, kept.top],
                [kept.right(), kept.top],
                [kept.left, kept.bottom()],
                [kept.right(), kept.bottom()],
            ]
            .map(|corner| self.moved.point(corner));
            let [x, y] = [0, 1].map(|axis: usize| {
                let along = corners.map(|corner| corner[axis]);
                let [low, high] = [f64::min, f64::max].map(|pick| along.into_iter().reduce(pick));
                [low.unwrap_or(0.0), high.unwrap_or(0.0)]
            });
            moved = moved.intersection(&PixelBox::between(x, y))?;
        }
        moved.clipped(self.picture.width(), self.picture.height())
    }

    /// Where a point of the stored picture is in this one, or none where it isn't seen.
    pub fn follow_point(&self, point: [f64; 2]) -> Option<[f64; 2]> {
        if !holds(&self.seen, point) {
            return None;
        }
        let moved = self.moved.point(point);
        let frame = [self.picture.width() as f64, self.picture.height() as f64];
        holds(&PixelBox::between([0.0, frame[0]], [0.0, frame[1]]), moved).then_some(moved)
    }

    /// A heat map over the stored picture as one over this picture, at the same stride.
    ///
    /// A cell is blind where the cell under its middle is; else it is bilinear over those
    /// neighbours that are not. Where the picture shows its fill there is background, as on
    /// the bars of a letterboxed picture. `centres` are the lesion centres in the stored
    /// picture's pixels: the cells that they go to, and no others, are [`PEAK`].
    pub fn heatmap(&self, map: &Heatmap, stride: usize, centres: &[[f64; 2]]) -> Heatmap {
        let stride = stride.max(1);
        let mut result = self.resampled(map, stride, Some(BLIND));
        for code in result.codes_mut() {
            if *code == PEAK {
                *code = PEAK - 1;
            }
        }
        let [columns, rows] = [result.width(), result.height()];
        for [x, y] in centres.iter().filter_map(|centre| self.follow_point(*centre)) {
            let column = ((x / stride as f64) as usize).min(columns - 1);
            let row = ((y / stride as f64) as usize).min(rows - 1);
            result.codes_mut()[row * columns + column] = PEAK;
        }
        result
    }

    /// A foreground map (value = code / 255, no code is blind) over the stored picture as one
    /// over this picture, at the same stride.
    pub fn foreground(&self, map: &Heatmap, stride: usize) -> Heatmap {
        self.resampled(map, stride.max(1), None)
    }

    fn resampled(&self, map: &Heatmap, stride: usize, blind: Option<u8>) -> Heatmap {
        let mut result = Heatmap::background(self.picture.width(), self.picture.height(), stride);
        let back: Option<Affine> = self.moved.inverse().filter(|_| !map.codes().is_empty());
        let Some(back) = back else {
            return result;
        };
        let columns = result.width();
        for (cell, code) in result.codes_mut().iter_mut().enumerate() {
            let middle = [cell % columns, cell / columns].map(|at| (at as f64 + 0.5) * stride as f64);
            let point = back.point(middle);
            // The middle of a cell at the border may lie beyond the picture by itself.
            let inside = [point[0].min(self.seen.right()), point[1].min(self.seen.bottom())];
            let beyond = (point[0] - inside[0]).max(point[1] - inside[1]);
            if holds(&self.seen, inside) && beyond <= stride as f64 / 2.0 {
                *code = sampled(map, point.map(|at| at / stride as f64), blind);
            }
        }
        result
    }
}

fn holds(pixels: &PixelBox, [x, y]: [f64; 2]) -> bool {
    (pixels.left..=pixels.right()).contains(&x) && (pixels.top..=pixels.bottom()).contains(&y)
}

/// The code at a point in units of cells.
fn sampled(map: &Heatmap, [x, y]: [f64; 2], blind: Option<u8>) -> u8 {
    let under = [
        (x as usize).min(map.width() - 1),
        (y as usize).min(map.height() - 1),
    ];
    let nearest = map.code(under[0], under[1]);
    if Some(nearest) == blind {
        return nearest;
    }
    let (left, right, across) = neighbours(x, map.width());
    let (above, below, down) = neighbours(y, map.height());
    let corners = [
        (map.code(left, above), (256 - across) * (256 - down)),
        (map.code(right, above), across * (256 - down)),
        (map.code(left, below), (256 - across) * down),
        (map.code(right, below), across * down),
    ];
    let seen = corners.iter().filter(|(code, _)| Some(*code) != blind);
    let (sum, weight) = seen.fold((0_u64, 0_u64), |(sum, all), (code, weight)| {
        (
            sum + u64::from(*code) * u64::from(*weight),
            all + u64::from(*weight),
        )
    });
    match weight {
        0 => nearest,
        _ => ((sum + weight / 2) / weight) as u8,
    }
}
