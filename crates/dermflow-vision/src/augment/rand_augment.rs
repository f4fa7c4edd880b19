//! RandAugment (Cubuk et al., 2019): a few operations drawn from a list, all of one magnitude.
//!
//! Operations and ranges are those of timm's "increasing" set, where a higher magnitude is
//! always a stronger change, on its scale of 0 to 10. Two differ, so that magnitude 0 changes
//! nothing and progressive learning (`method.md` C3) can start from it: `posterize` keeps 8
//! bits at 0 (timm: 4) and one at the strong end (timm: none, a black picture), and the
//! operations without a strength (`auto-contrast`, `equalize`, `invert`) are applied more
//! rarely below magnitude 10, by a tenth for each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Affine, Dice, Moving, colour};
use crate::picture::Picture;

/// RandAugment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandAugment {
    /// How many operations are drawn for a picture; one may be drawn twice.
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 16))]
    pub operations: u32,
    /// How strong they are: 0 changes nothing, 10 is the strong end of timm's scale.
    #[serde(default = "nine")]
    #[schemars(range(min = 0.0, max = 30.0))]
    pub magnitude: f64,
    /// The standard deviation of the magnitude, drawn for each operation.
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 10.0))]
    pub spread: f64,
    /// The strongest magnitude that a draw may reach.
    #[serde(default = "ten")]
    #[schemars(range(min = 0.0, max = 30.0))]
    pub limit: f64,
    /// The probability that a drawn operation is applied.
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub probability: f64,
    /// The operations to draw from; left out, all of them.
    #[serde(default = "all")]
    pub of: Vec<Operation>,
}

fn two() -> u32 {
    2
}
fn nine() -> f64 {
    9.0
}
fn half() -> f64 {
    0.5
}
fn ten() -> f64 {
    10.0
}
fn all() -> Vec<Operation> {
    Operation::ALL.to_vec()
}

impl Default for RandAugment {
    fn default() -> RandAugment {
        RandAugment {
            operations: two(),
            magnitude: nine(),
            spread: half(),
            limit: ten(),
            probability: half(),
            of: all(),
        }
    }
}

/// An operation of [`RandAugment`], with its range at magnitude 10. Signs are drawn evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Stretches each channel to the full range.
    AutoContrast,
    /// Spreads each channel's values evenly.
    Equalize,
    /// The negative.
    Invert,
    /// Turns by up to ± 30 degrees.
    Rotate,
    /// Keeps fewer bits of each value: 8 down to 1.
    Posterize,
    /// Inverts values from a threshold on: 256 down to 0.
    Solarize,
    /// Adds up to 110 to values below 128.
    SolarizeAdd,
    /// Saturation by a factor of 1 ± 0.9.
    Color,
    /// Contrast by a factor of 1 ± 0.9.
    Contrast,
    /// Brightness by a factor of 1 ± 0.9.
    Brightness,
    /// Sharpness by a factor of 1 ± 0.9.
    Sharpness,
    /// Slants rows by up to ± 0.3.
    ShearX,
    /// Slants columns by up to ± 0.3.
    ShearY,
    /// Moves sideways by up to ± 0.45 of the width, also beyond magnitude 10.
    TranslateX,
    /// Moves up or down by up to ± 0.45 of the height, also beyond magnitude 10.
    TranslateY,
}

impl Operation {
    /// Every operation, in timm's order.
    pub const ALL: [Operation; 15] = [
        Operation::AutoContrast,
        Operation::Equalize,
        Operation::Invert,
        Operation::Rotate,
        Operation::Posterize,
        Operation::Solarize,
        Operation::SolarizeAdd,
        Operation::Color,
        Operation::Contrast,
        Operation::Brightness,
        Operation::Sharpness,
        Operation::ShearX,
        Operation::ShearY,
        Operation::TranslateX,
        Operation::TranslateY,
    ];

    /// Whether it has no strength, only on and off.
    fn is_switch(self) -> bool {
        matches!(
            self,
            Operation::AutoContrast | Operation::Equalize | Operation::Invert
        )
    }

    /// The map of a geometric operation at a share of its range, for a picture of this size.
    fn geometry(self, share: f64, [width, height]: [f64; 2], dice: &mut Dice) -> Option<Affine> {
        let centre = [width / 2.0, height / 2.0];
        // Published ramps go up to magnitude 25: no picture may leave its frame for that.
        let away = 0.45 * share.min(1.0);
        Some(match self {
            Operation::Rotate => Affine::rotate(dice.signed(30.0 * share), centre),
            Operation::ShearX => Affine::around(centre, [[1.0, dice.signed(0.3 * share)], [0.0, 1.0]]),
            Operation::ShearY => Affine::around(centre, [[1.0, 0.0], [dice.signed(0.3 * share), 1.0]]),
            Operation::TranslateX => Affine::translate([dice.signed(away * width), 0.0]),
            Operation::TranslateY => Affine::translate([0.0, dice.signed(away * height)]),
            _ => return None,
        })
    }

    /// Changes the colours at a share of the range.
    fn recolour(self, share: f64, picture: &mut Picture, dice: &mut Dice) {
        let mut factor = || (1.0 + dice.signed(0.9 * share)).max(0.1);
        match self {
            Operation::AutoContrast => colour::auto_contrast(picture),
            Operation::Equalize => colour::equalize(picture),
            Operation::Invert => colour::pointwise(picture, |value| 255 - value),
            Operation::Posterize => {
                let lost = (8.0 * share).round().clamp(0.0, 7.0) as u32;
                colour::pointwise(picture, |value| value & (0xff_u32 << lost) as u8);
            }
            Operation::Solarize => {
                let threshold = 256 - ((share * 256.0) as i32).min(256);
                let solarized = |value| match i32::from(value) < threshold {
                    true => value,
                    false => 255 - value,
                };
                colour::pointwise(picture, solarized);
            }
            Operation::SolarizeAdd => {
                let added = (share * 110.0).min(255.0) as u8;
                let solarized = |value: u8| match value < 128 {
                    true => value.saturating_add(added),
                    false => value,
                };
                colour::pointwise(picture, solarized);
            }
            Operation::Color => colour::saturation(picture, factor()),
            Operation::Contrast => colour::contrast(picture, factor()),
            Operation::Brightness => colour::brightness(picture, factor()),
            Operation::Sharpness => colour::sharpness(picture, factor()),
            Operation::Rotate
            | Operation::ShearX
            | Operation::ShearY
            | Operation::TranslateX
            | Operation::TranslateY => {}
        }
    }
}

impl RandAugment {
    pub(super) fn apply(&self, moving: &mut Moving, dice: &mut Dice) {
        for _ in 0..self.operations {
            self.step(moving, dice);
        }
    }

    fn step(&self, moving: &mut Moving, dice: &mut Dice) {
        if self.of.is_empty() {
            return;
        }
        let operation = self.of[dice.below(self.of.len())];
        let magnitude = dice
            .normal(self.magnitude, self.spread.min(self.magnitude))
            .min(self.limit)
            .max(0.0);
        let share = magnitude / 10.0;
        let probability = match operation.is_switch() {
            true => self.probability * share.min(1.0),
            false => self.probability,
        };
        if !dice.chance(probability) || magnitude == 0.0 {
            return;
        }
        let size = [moving.picture.width() as f64, moving.picture.height() as f64];
        match operation.geometry(share, size, dice) {
            Some(step) => moving.step(&step),
            None => {
                moving.settle();
                operation.recolour(share, &mut moving.picture, dice);
            }
        }
    }
}
