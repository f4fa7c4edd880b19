//! Class activation maps (Zhou et al. 2016): exact for networks that end in a mean over places
//! and a linear layer; up to their scale the same as Grad-CAM on the last features. And Grad-CAM
//! (Selvaraju et al. 2017) on the features of an earlier stage, whose grid is finer.
//!
//! Must not know of tables or models.

use dermflow_nn::network::{ClassGradients, Grids};
use dermflow_vision::boxes::PixelBox;
use dermflow_vision::picture::Picture;

/// What speaks for a class at each place, negative parts left out.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationMap {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

/// How a map lies to the boxes of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// The share of the map's sum that lies within boxes; none where the map is zero.
    pub energy: Option<f64>,
    /// The share of the picture that lies within boxes: what a flat map's energy would be.
    pub area: f64,
    /// 1 if the middle of the highest cell lies within a box, else 0 (the pointing game, Zhang et al.
    /// 2016); of equally high cells, the share of them. 0 where the map is zero.
    pub peak: f64,
}

impl ActivationMap {
    /// The map of picture `place` for `class`, by the linear layer's weights `classes · channels`.
    pub fn of(features: &Grids, place: usize, linear: &[f32], class: usize) -> ActivationMap {
        let channels = features.channels;
        let weights = linear
            .get(class * channels..(class + 1) * channels)
            .unwrap_or_default();
        ActivationMap::weighted(features, place, weights)
    }

    /// Grad-CAM's map of picture `place`: a channel weighs as much as the logit changes with it, in
    /// the mean over places.
    pub fn of_gradients(found: &ClassGradients, place: usize) -> ActivationMap {
        let channels = found.gradients.channels;
        let cells = found.gradients.height * found.gradients.width;
        let mut weights = vec![0.0; channels];
        let own = &found.gradients.values[place * cells * channels..][..cells * channels];
        for cell in own.chunks_exact(channels) {
            for (weight, gradient) in weights.iter_mut().zip(cell) {
                *weight += gradient / cells as f32;
            }
        }
        ActivationMap::weighted(&found.features, place, &weights)
    }

    /// The sum over channels of feature by weight, where it is positive.
    fn weighted(features: &Grids, place: usize, weights: &[f32]) -> ActivationMap {
        let channels = features.channels;
        let cells = features.height * features.width;
        let own = &features.values[place * cells * channels..][..cells * channels];
        let values = own.chunks_exact(channels).map(|cell| {
            let sum: f32 = cell
                .iter()
                .zip(weights)
                .map(|(feature, weight)| feature * weight)
                .sum();
            sum.max(0.0)
        });
        ActivationMap {
            width: features.width,
            height: features.height,
            values: values.collect(),
        }
    }

    /// The value at the middle of a pixel of a picture of `size`, bilinear between cells.
    fn at(&self, column: usize, row: usize, size: [usize; 2]) -> f32 {
        let along = |pixel: usize, pixels: usize, cells: usize| {
            let at = (pixel as f32 + 0.5) / pixels as f32 * cells as f32 - 0.5;
            let at = at.clamp(0.0, (cells - 1) as f32);
            let first = at as usize;
            (first, (first + 1).min(cells - 1), at - first as f32)
        };
        let (left, right, across) = along(column, size[0], self.width);
        let (above, below, down) = along(row, size[1], self.height);
        let value = |x: usize, y: usize| self.values[y * self.width + x];
        let upper = value(left, above) * (1.0 - across) + value(right, above) * across;
        let lower = value(left, below) * (1.0 - across) + value(right, below) * across;
        upper * (1.0 - down) + lower * down
    }

    /// How it lies to boxes in the pixels of a picture of `size` (width, height).
    pub fn attention(&self, boxes: &[PixelBox], size: [usize; 2]) -> Attention {
        let within = |x: f64, y: f64| {
            boxes
                .iter()
                .any(|one| x >= one.left && x < one.right() && y >= one.top && y < one.bottom())
        };
        let (mut all, mut inside, mut covered) = (0.0, 0.0, 0u64);
        for row in 0..size[1] {
            for column in 0..size[0] {
                let value = self.at(column, row, size);
                let hit = within(column as f64 + 0.5, row as f64 + 0.5);
                all += f64::from(value);
                covered += u64::from(hit);
                if hit {
                    inside += f64::from(value);
                }
            }
        }
        // Between cells the map is never higher than in them; beyond the middles of those at the border
        // it is as high, so that pixels would be found at the picture's edge.
        let highest = self.values.iter().copied().fold(0.0, f32::max);
        let cells = self.values.iter().enumerate();
        let highest = cells.filter(|(_, value)| **value == highest && highest > 0.0);
        let middle =
            |at: usize, cells: usize, pixels: usize| (at as f64 + 0.5) / cells as f64 * pixels as f64;
        let (mut peaks, mut hits) = (0u32, 0u32);
        for (cell, _) in highest {
            let x = middle(cell % self.width, self.width, size[0]);
            let y = middle(cell / self.width, self.height, size[1]);
            peaks += 1;
            hits += u32::from(within(x, y));
        }
        Attention {
            energy: (all > 0.0).then(|| inside / all),
            area: covered as f64 / (size[0] * size[1]).max(1) as f64,
            peak: f64::from(hits) / f64::from(peaks.max(1)),
        }
    }
}

/// A picture with the map over it: grey where it is low, warm where it is high.
pub fn painted(picture: &Picture, map: &ActivationMap) -> Picture {
    let size = [picture.width(), picture.height()];
    let highest = map.values.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let mut result = picture.clone();
    for row in 0..size[1] {
        for column in 0..size[0] {
            let share = map.at(column, row, size) / highest;
            let pixel = picture.at(column, row);
            let grey = pixel.iter().map(|value| f32::from(*value)).sum::<f32>() / 3.0;
            let heat = [255.0, 200.0 * share, 40.0 * (1.0 - share)];
            let mix = |channel: usize| {
                let calm = 0.6 * grey + 0.4 * f32::from(pixel[channel]);
                let strength = 0.65 * share;
                (calm * (1.0 - strength) + heat[channel] * strength) as u8
            };
            result.set(column, row, [mix(0), mix(1), mix(2)]);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features() -> Grids {
        // Two channels on 2 × 2 cells: the first speaks at the upper left, the second elsewhere.
        Grids {
            values: vec![1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0],
            count: 1,
            height: 2,
            width: 2,
            channels: 2,
        }
    }

    #[test]
    fn a_map_is_the_features_by_the_weights_of_the_class_without_what_speaks_against() {
        let linear = [2.0, -1.0, 0.5, 1.0];
        assert_eq!(
            ActivationMap::of(&features(), 0, &linear, 0).values,
            [2.0, 0.0, 0.0, 0.0]
        );
        assert_eq!(
            ActivationMap::of(&features(), 0, &linear, 1).values,
            [0.5, 1.0, 1.0, 1.0]
        );
    }

    #[test]
    fn grad_cam_weighs_a_channel_by_the_mean_of_its_gradient_over_places() {
        let gradients = Grids {
            // The first channel's mean is 2, the second's -1.
            values: vec![8.0, 0.0, 0.0, 0.0, 0.0, -4.0, 0.0, 0.0],
            ..features()
        };
        let found = ClassGradients {
            logits: Vec::new(),
            features: features(),
            gradients,
        };
        let map = ActivationMap::of_gradients(&found, 0);
        assert_eq!(map, ActivationMap::of(&features(), 0, &[2.0, -1.0], 0));
        assert_eq!(map.values, [2.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn energy_in_a_box_is_high_where_the_map_is_and_equals_the_area_of_a_flat_map() {
        let map = ActivationMap::of(&features(), 0, &[1.0, 0.0], 0);
        let upper_left = PixelBox::between([0.0, 8.0], [0.0, 8.0]);
        let attention = map.attention(&[upper_left], [16, 16]);
        assert!(attention.energy.unwrap() > 0.5, "{attention:?}");
        assert_eq!(attention.peak, 1.0);
        assert!((attention.area - 0.25).abs() < 1e-9);
        let flat = ActivationMap::of(&features(), 0, &[1.0, 1.0], 0).attention(&[upper_left], [16, 16]);
        assert!((flat.energy.unwrap() - flat.area).abs() < 1e-6);
        assert_eq!(flat.peak, 0.25);
        // Whatever corner a cell lies in, its middle is where it is highest.
        let middle = PixelBox::between([2.0, 6.0], [2.0, 6.0]);
        assert_eq!(map.attention(&[middle], [16, 16]).peak, 1.0);
        let edge = PixelBox::between([0.0, 2.0], [0.0, 2.0]);
        assert_eq!(map.attention(&[edge], [16, 16]).peak, 0.0);
        let nothing = ActivationMap::of(&features(), 0, &[-1.0, -1.0], 0).attention(&[upper_left], [16, 16]);
        assert_eq!((nothing.energy, nothing.peak), (None, 0.0));
    }
}
