//! Random resized crops. Must not know how a part is resized.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Dice;
use crate::boxes::PixelBox;
use crate::picture::Picture;

/// A random part of the picture (Szegedy et al., 2015; torchvision's `RandomResizedCrop`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomCrop {
    /// The part's area as a share of the picture's, drawn evenly between the two.
    #[serde(default = "area")]
    pub area: [f64; 2],
    /// The part's width over its height, relative to the picture's own shape, drawn evenly in
    /// logarithms between the two.
    #[serde(default = "shape")]
    pub shape: [f64; 2],
    /// How often; else the whole picture is taken.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub probability: f64,
}

fn area() -> [f64; 2] {
    [0.08, 1.0]
}
fn shape() -> [f64; 2] {
    [3.0 / 4.0, 4.0 / 3.0]
}
fn one() -> f64 {
    1.0
}

impl Default for RandomCrop {
    fn default() -> RandomCrop {
        RandomCrop {
            area: area(),
            shape: shape(),
            probability: one(),
        }
    }
}

/// How often a part is drawn before the largest one of an allowed shape is taken.
const ATTEMPTS: usize = 10;

impl RandomCrop {
    /// Draws a part, in pixels of the picture; it need not fall on whole ones.
    pub fn draw(&self, picture: &Picture, dice: &mut Dice) -> PixelBox {
        let [width, height] = [picture.width() as f64, picture.height() as f64];
        let whole = PixelBox::between([0.0, width], [0.0, height]);
        if !dice.chance(self.probability) {
            return whole;
        }
        for _ in 0..ATTEMPTS {
            let area = dice.between(self.area[0], self.area[1]);
            let shape = dice.between(self.shape[0].ln(), self.shape[1].ln()).exp();
            let [across, down] = [(area * shape).sqrt(), (area / shape).sqrt()];
            let [left, top] = [dice.unit(), dice.unit()];
            if across <= 1.0 && down <= 1.0 {
                return PixelBox {
                    left: left * (1.0 - across) * width,
                    top: top * (1.0 - down) * height,
                    width: across * width,
                    height: down * height,
                };
            }
        }
        whole
    }
}
