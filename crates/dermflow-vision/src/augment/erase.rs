//! Random erasing (Zhong et al., 2017). Boxes and maps stay as they are: the lesion is still
//! there, it is only not seen.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Dice, MEAN_COLOUR};
use crate::picture::Picture;

/// A rectangle of the picture that is erased.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Erase {
    /// How often.
    #[serde(default = "quarter")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub probability: f64,
    /// The rectangle's area as a share of the picture's, drawn evenly between the two.
    #[serde(default = "area")]
    pub area: [f64; 2],
    /// Its width over its height, drawn evenly in logarithms between the two.
    #[serde(default = "shape")]
    pub shape: [f64; 2],
    /// What is put there.
    #[serde(default)]
    pub fill: EraseFill,
}

/// What is put where something was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EraseFill {
    /// ImageNet's mean colour.
    #[default]
    Mean,
    /// Every value by itself, drawn evenly.
    Noise,
}

fn quarter() -> f64 {
    0.25
}
fn area() -> [f64; 2] {
    [0.02, 1.0 / 3.0]
}
fn shape() -> [f64; 2] {
    [0.3, 1.0 / 0.3]
}

impl Default for Erase {
    fn default() -> Erase {
        Erase {
            probability: quarter(),
            area: area(),
            shape: shape(),
            fill: EraseFill::default(),
        }
    }
}

/// How often a rectangle is drawn before the picture is left alone.
const ATTEMPTS: usize = 10;

impl Erase {
    pub(super) fn apply(&self, picture: &mut Picture, dice: &mut Dice) {
        if !dice.chance(self.probability) {
            return;
        }
        let (width, height) = (picture.width(), picture.height());
        for _ in 0..ATTEMPTS {
            let area = dice.between(self.area[0], self.area[1]) * (width * height) as f64;
            let shape = dice.between(self.shape[0].ln(), self.shape[1].ln()).exp();
            let across = (area * shape).sqrt().round() as usize;
            let down = (area / shape).sqrt().round() as usize;
            if across == 0 || down == 0 || across > width || down > height {
                continue;
            }
            let left = dice.below(width - across + 1);
            let top = dice.below(height - down + 1);
            for row in top..top + down {
                for column in left..left + across {
                    let colour = match self.fill {
                        EraseFill::Mean => MEAN_COLOUR,
                        EraseFill::Noise => [dice.byte(), dice.byte(), dice.byte()],
                    };
                    picture.set(column, row, colour);
                }
            }
            return;
        }
    }
}
