//! Augmentation: random changes of training pictures, with boxes and heat maps following.
//!
//! [`Augmentation`] is a document that train kinds put under `with:`. It draws from an explicit
//! seed only ([`Dice`]), and its strengths can grow over the training (`method.md` C3:
//! [`Augmentation::between`]). Must not know of tables, batches or networks.
//!
//! ```
//! use dermflow_vision::augment::{Augmentation, Dice};
//! use dermflow_vision::picture::Picture;
//!
//! let plan = Augmentation { horizontal_flip: 1.0, ..Augmentation::default() };
//! let mut picture = Picture::filled(8, 8, [90, 60, 50]);
//! picture.set(0, 3, [255, 0, 0]);
//! let result = plan.apply(&picture, [8, 8], &mut Dice::new(20, 0, b"sample"));
//! assert_eq!(result.picture.at(7, 3), [255, 0, 0]);
//! assert_eq!(result.moved.point([0.5, 3.5]), [7.5, 3.5]);
//! ```

mod affine;
pub mod colour;
mod crop;
mod dice;
mod erase;
mod follow;
mod mix;
mod rand_augment;
#[cfg(test)]
mod tests;
pub mod warp;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use affine::Affine;
pub use crop::RandomCrop;
pub use dice::Dice;
pub use erase::{Erase, EraseFill};
pub use mix::{Mix, Mixing};
pub use rand_augment::{Operation, RandAugment};

use crate::boxes::PixelBox;
use crate::picture::Picture;

/// Random changes of training pictures. Each is off unless it is given; they are applied in
/// the order that they stand here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Augmentation {
    /// Takes a random part of the picture, resized to the network's size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<RandomCrop>,
    /// The probability that left and right are swapped.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub horizontal_flip: f64,
    /// The probability that above and below are swapped.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub vertical_flip: f64,
    /// The probability of a turn by 90, 180 or 270 degrees; by 180 where the picture is not
    /// square. Skin knows no up and down.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub quarter_turns: f64,
    /// Turns by up to this many degrees either way.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 180.0))]
    pub rotate: f64,
    /// Changes brightness, contrast, saturation and hue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colour: Option<ColourJitter>,
    /// Gaussian blur.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blur: Option<Blur>,
    /// RandAugment: some operations drawn from a list, all of one magnitude.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rand_augment: Option<RandAugment>,
    /// Erases a random rectangle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erase: Option<Erase>,
    /// Mixes pairs of pictures and their labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<Mix>,
    /// The colour where a turned or moved picture leaves nothing: red, green, blue. The
    /// default is ImageNet's mean.
    #[serde(default = "mean_colour")]
    pub fill: [u8; 3],
}

/// ImageNet's mean colour.
pub const MEAN_COLOUR: [u8; 3] = [124, 116, 104];

fn mean_colour() -> [u8; 3] {
    MEAN_COLOUR
}

impl Default for Augmentation {
    fn default() -> Augmentation {
        Augmentation {
            crop: None,
            horizontal_flip: 0.0,
            vertical_flip: 0.0,
            quarter_turns: 0.0,
            rotate: 0.0,
            colour: None,
            blur: None,
            rand_augment: None,
            erase: None,
            mix: None,
            fill: mean_colour(),
        }
    }
}

/// Colour jitter: each quality by a factor drawn evenly from 1 less to 1 more its strength.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColourJitter {
    /// The strength for brightness.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub brightness: f64,
    /// The strength for contrast.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub contrast: f64,
    /// The strength for saturation.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub saturation: f64,
    /// The hue turns by up to this share of the circle either way. Colours tell diseases
    /// apart: little is much here.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 0.5))]
    pub hue: f64,
}

/// A change of colours by a factor.
type Change = fn(&mut Picture, f64);

impl ColourJitter {
    fn apply(&self, picture: &mut Picture, dice: &mut Dice) {
        let changes: [(f64, Change); 3] = [
            (self.brightness, colour::brightness),
            (self.contrast, colour::contrast),
            (self.saturation, colour::saturation),
        ];
        for (strength, change) in changes {
            let factor = dice.between(1.0 - strength, 1.0 + strength);
            if strength > 0.0 {
                change(picture, factor.max(0.0));
            }
        }
        let turn = dice.between(-self.hue, self.hue);
        colour::hue(picture, turn);
    }
}

/// Gaussian blur of some pictures, as of a phone that did not focus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Blur {
    /// How often.
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub probability: f64,
    /// The standard deviation in pixels is drawn evenly up to this.
    #[serde(default = "two")]
    #[schemars(range(min = 0.0, max = 20.0))]
    pub sigma: f64,
}

fn half() -> f64 {
    0.5
}
fn two() -> f64 {
    2.0
}

/// A changed picture, and where its points went. Boxes follow by [`Augmented::follow`], heat
/// maps by [`Augmented::heatmap`], foreground maps by [`Augmented::foreground`].
#[derive(Clone, Debug, PartialEq)]
pub struct Augmented {
    /// The picture, of the size that was asked for.
    pub picture: Picture,
    /// From points of the stored picture to points of this one.
    pub moved: Affine,
    /// The part of the stored picture that the crop left, in its pixels.
    pub seen: PixelBox,
}

impl Augmentation {
    /// Changes a picture and resizes it to `size` (width, height). All but `mix`, which takes
    /// two pictures. The same dice give the same result; nothing is shared between calls.
    pub fn apply(&self, picture: &Picture, size: [usize; 2], dice: &mut Dice) -> Augmented {
        let [width, height] = size.map(|side| side.max(1));
        let whole = PixelBox::between([0.0, picture.width() as f64], [0.0, picture.height() as f64]);
        let part = match &self.crop {
            Some(crop) => crop.draw(picture, dice),
            None => whole,
        };
        let mut result = Moving {
            picture: warp::cropped(picture, &part, width, height),
            moved: Affine::crop(&part, width as f64, height as f64),
            pending: Affine::IDENTITY,
            fill: self.fill,
        };
        self.turn(&mut result, dice);
        if let Some(jitter) = &self.colour {
            result.settle();
            jitter.apply(&mut result.picture, dice);
        }
        if let Some(blur) = &self.blur {
            result.settle();
            let blurred = dice.chance(blur.probability);
            let sigma = dice.between(0.0, blur.sigma);
            if blurred {
                colour::blur(&mut result.picture, sigma);
            }
        }
        if let Some(rand_augment) = &self.rand_augment {
            rand_augment.apply(&mut result, dice);
        }
        result.settle();
        if let Some(erase) = &self.erase {
            erase.apply(&mut result.picture, dice);
        }
        Augmented {
            picture: result.picture,
            moved: result.moved,
            seen: part,
        }
    }

    /// What evaluation does: only the resizing.
    pub fn resized(picture: &Picture, size: [usize; 2]) -> Augmented {
        Augmentation::default().apply(picture, size, &mut Dice::new(0, 0, &[]))
    }

    fn turn(&self, result: &mut Moving, dice: &mut Dice) {
        let [width, height] = [result.picture.width() as f64, result.picture.height() as f64];
        if dice.chance(self.horizontal_flip) {
            result.step(&Affine::mirror_across(width));
        }
        if dice.chance(self.vertical_flip) {
            result.step(&Affine::mirror_down(height));
        }
        let (turned, turns) = (dice.chance(self.quarter_turns), 1 + dice.below(3));
        if turned && width == height {
            result.step(&Affine::quarter_turns(turns, width));
        } else if turned {
            result.step(&Affine::mirror_across(width).then(&Affine::mirror_down(height)));
        }
        let degrees = dice.between(-self.rotate, self.rotate);
        if degrees != 0.0 {
            result.step(&Affine::rotate(degrees, [width / 2.0, height / 2.0]));
        }
    }

    /// What types and ranges don't say is wrong with it: a path into the document, and what.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if let Some(crop) = &self.crop {
            interval("crop.area", crop.area, 0.0, 1.0, &mut problems);
            interval("crop.shape", crop.shape, 0.0, 100.0, &mut problems);
        }
        if let Some(erase) = &self.erase {
            interval("erase.area", erase.area, 0.0, 1.0, &mut problems);
            interval("erase.shape", erase.shape, 0.0, 100.0, &mut problems);
        }
        if let Some(rand_augment) = &self.rand_augment
            && rand_augment.of.is_empty()
            && rand_augment.operations > 0
        {
            let message = "names no operation to draw from; leave it out for all of them";
            problems.push(("rand-augment.of".to_string(), message.to_string()));
        }
        if let Some(Mix {
            mixup: 0.0,
            cutmix: 0.0,
            ..
        }) = &self.mix
        {
            problems.push(("mix".to_string(), "needs `mixup` or `cutmix` above 0".to_string()));
        }
        problems
    }
}

/// A pair of numbers must rise and lie above `above` and up to `most`.
fn interval(place: &str, [from, to]: [f64; 2], above: f64, most: f64, problems: &mut Vec<(String, String)>) {
    let fine = from > above && from <= to && to <= most;
    if !fine {
        let message = format!("must be two numbers, above {above}, up to {most}, the smaller one first");
        problems.push((place.to_string(), message));
    }
}

/// A picture at work: what has moved it, and what is still to move its pixels. Steps are
/// gathered, so that pixels are resampled once for several.
struct Moving {
    picture: Picture,
    moved: Affine,
    pending: Affine,
    fill: [u8; 3],
}

impl Moving {
    fn step(&mut self, step: &Affine) {
        self.moved = self.moved.then(step);
        self.pending = self.pending.then(step);
    }

    fn settle(&mut self) {
        if self.pending != Affine::IDENTITY {
            self.picture = warp::warped(&self.picture, &self.pending, self.fill);
            self.pending = Affine::IDENTITY;
        }
    }
}
