//! Mixup and CutMix: two pictures become one, and their labels with them.
//!
//! Must not know who is mixed with whom: the caller pairs samples (timm pairs each picture of
//! a batch with the one at the mirrored place) and draws once for a batch or once for a pair.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Dice;
use crate::picture::Picture;

/// Whether and how pictures are mixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// The alpha of mixup's Beta distribution (Zhang et al., 2018); 0 is no mixup.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 10.0))]
    pub mixup: f64,
    /// The alpha of CutMix's Beta distribution (Yun et al., 2019); 0 is no CutMix.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 10.0))]
    pub cutmix: f64,
    /// The probability that anything is mixed.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub probability: f64,
    /// Where both are on, the probability of CutMix.
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub switch: f64,
}

fn one() -> f64 {
    1.0
}
fn half() -> f64 {
    0.5
}

impl Default for Mix {
    fn default() -> Mix {
        Mix {
            mixup: 0.0,
            cutmix: 0.0,
            probability: one(),
            switch: half(),
        }
    }
}

/// How two pictures of one size are mixed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mixing {
    /// They are not: the first stays.
    None,
    /// Every pixel is the weighted mean, with this weight on the first.
    Blend {
        /// From 0 to 1.
        share: f64,
    },
    /// The second covers a rectangle of the first: columns `left..right`, rows `top..bottom`.
    Cut {
        /// First column.
        left: usize,
        /// First row.
        top: usize,
        /// Column behind the last.
        right: usize,
        /// Row behind the last.
        bottom: usize,
        /// The share of the picture that is still the first's.
        share: f64,
    },
}

impl Mix {
    /// Draws how to mix pictures of this size.
    pub fn draw(&self, width: usize, height: usize, dice: &mut Dice) -> Mixing {
        let (mixup, cutmix) = (self.mixup > 0.0, self.cutmix > 0.0);
        if !dice.chance(self.probability) || !(mixup || cutmix) {
            return Mixing::None;
        }
        let cut = match (mixup, cutmix) {
            (true, true) => dice.chance(self.switch),
            (_, only) => only,
        };
        match cut {
            false => Mixing::Blend {
                share: dice.beta(self.mixup),
            },
            true => Mixing::cut(dice.beta(self.cutmix), width, height, dice),
        }
    }
}

impl Mixing {
    /// A rectangle of the picture's shape over `1 - share` of it, its middle anywhere; what
    /// lies outside is cut off, and the share is what is left.
    fn cut(share: f64, width: usize, height: usize, dice: &mut Dice) -> Mixing {
        let side = (1.0 - share).max(0.0).sqrt();
        let mut span = |cells: usize| {
            let half = (cells as f64 * side) as usize / 2;
            let middle = dice.below(cells);
            (middle.saturating_sub(half), (middle + half).min(cells))
        };
        let (left, right) = span(width);
        let (top, bottom) = span(height);
        let covered = (right - left) * (bottom - top);
        Mixing::Cut {
            left,
            top,
            right,
            bottom,
            share: 1.0 - covered as f64 / (width * height).max(1) as f64,
        }
    }

    /// The weight of the first.
    pub fn share(&self) -> f64 {
        match self {
            Mixing::None => 1.0,
            Mixing::Blend { share } | Mixing::Cut { share, .. } => *share,
        }
    }

    /// Mixes the second picture into the first; of another size it is left alone.
    pub fn pictures(&self, first: &mut Picture, second: &Picture) {
        if (first.width(), first.height()) != (second.width(), second.height()) {
            return;
        }
        match *self {
            Mixing::None => {}
            Mixing::Blend { share } => {
                let share = share as f32;
                for (a, b) in first.pixels_mut().iter_mut().zip(second.pixels()) {
                    *a = (f32::from(*a) * share + f32::from(*b) * (1.0 - share) + 0.5) as u8;
                }
            }
            Mixing::Cut {
                left,
                top,
                right,
                bottom,
                ..
            } => {
                for row in top..bottom {
                    let start = row * second.width();
                    let part = (start + left) * 3..(start + right) * 3;
                    first.pixels_mut()[part.clone()].copy_from_slice(&second.pixels()[part]);
                }
            }
        }
    }

    /// Mixes numbers as it mixes pictures: one for each pixel, row by row of pictures that are
    /// `width` pixels wide. Of another size they are left alone.
    pub fn numbers(&self, first: &mut [f32], second: &[f32], width: usize) {
        if first.len() != second.len() {
            return;
        }
        match *self {
            Mixing::None => {}
            Mixing::Blend { share } => {
                let share = share as f32;
                for (a, b) in first.iter_mut().zip(second) {
                    *a = *a * share + b * (1.0 - share);
                }
            }
            Mixing::Cut {
                left,
                top,
                right,
                bottom,
                ..
            } => {
                for row in top..bottom {
                    let part = row * width + left..row * width + right;
                    first[part.clone()].copy_from_slice(&second[part]);
                }
            }
        }
    }

    /// Mixes labels: the probabilities of each class, or one-hot vectors.
    pub fn labels(&self, first: &mut [f32], second: &[f32]) {
        let share = self.share() as f32;
        for (a, b) in first.iter_mut().zip(second) {
            *a = *a * share + b * (1.0 - share);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_share_is_what_is_left_of_the_first(
            seed in any::<u64>(), (width, height) in (1..50_usize, 1..50_usize), cutmix in 0.1..3.0,
        ) {
            let mix = Mix { cutmix, ..Mix::default() };
            let mixing = mix.draw(width, height, &mut Dice::new(seed, 0, b""));
            let mut first = Picture::filled(width, height, [1; 3]);
            mixing.pictures(&mut first, &Picture::filled(width, height, [2; 3]));
            let left = first.pixels().iter().filter(|value| **value == 1).count();
            let share = left as f64 / first.pixels().len() as f64;
            prop_assert!((share - mixing.share()).abs() < 1e-9);
            let mut label = [1.0, 0.0];
            mixing.labels(&mut label, &[0.0, 1.0]);
            prop_assert!((f64::from(label[0]) - share).abs() < 1e-6);
            prop_assert!((label[0] + label[1] - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn a_blend_is_the_weighted_mean_and_nothing_is_mixed_at_zero() {
        let mut first = Picture::filled(2, 2, [100, 0, 255]);
        Mixing::Blend { share: 0.75 }.pictures(&mut first, &Picture::filled(2, 2, [200, 100, 255]));
        assert_eq!(first.at(1, 1), [125, 25, 255]);
        assert_eq!(Mix::default().draw(4, 4, &mut Dice::new(0, 0, b"")), Mixing::None);
    }

    #[test]
    fn both_are_drawn_where_both_are_on() {
        let mix = Mix {
            mixup: 0.4,
            cutmix: 1.0,
            switch: 0.25,
            ..Mix::default()
        };
        let drawn: Vec<Mixing> = (0..400)
            .map(|epoch| mix.draw(32, 32, &mut Dice::new(0, epoch, b"")))
            .collect();
        let cuts = drawn
            .iter()
            .filter(|mixing| matches!(mixing, Mixing::Cut { .. }))
            .count();
        assert!((70..130).contains(&cuts), "{cuts} of 400, 100 expected");
        assert!(!drawn.contains(&Mixing::None));
    }
}
