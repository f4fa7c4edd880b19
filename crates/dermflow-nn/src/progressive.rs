//! Progressive learning with adaptive regularisation (requirement C3): image size,
//! augmentation, dropout and mixing grow together, stage by stage.
//!
//! Tan and Le 2021 (EfficientNetV2) describe one schedule in the paper's Table 6 and released
//! another one as code; both are here by name. Nothing here knows how a picture is augmented.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How image size and regularisation grow over a training.
///
/// ```
/// use dermflow_nn::progressive::Progressive;
///
/// let paper: Progressive = serde_json::from_str(r#"{"paper": "s"}"#)?;
/// let ramp = paper.ramp();
/// assert_eq!(ramp.at_epoch(0, 8, 300).image_size, 128);
/// assert_eq!(ramp.at_epoch(7, 8, 300).image_size, 300);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Progressive {
    /// The schedule of the paper's Table 6: four stages from the smallest to the largest of
    /// everything.
    Paper(PaperModel),
    /// The schedule of the released code: the first stage is a quarter of the way from 128
    /// pixels to the largest size already, and dropout stays.
    ReleasedCode(ReleasedModel),
    /// One's own.
    Custom(Ramp),
}

/// The models of the paper's Table 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PaperModel {
    /// EfficientNetV2-S: 128 to 300 pixels.
    S,
    /// EfficientNetV2-M: 128 to 380 pixels.
    M,
    /// EfficientNetV2-L: 128 to 380 pixels, more of everything.
    L,
}

/// The models that the released code has a schedule for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReleasedModel {
    /// EfficientNetV2-B0: up to 192 pixels.
    B0,
    /// EfficientNetV2-B1: up to 192 pixels.
    B1,
    /// EfficientNetV2-B2: up to 208 pixels.
    B2,
    /// EfficientNetV2-B3: up to 240 pixels.
    B3,
    /// EfficientNetV2-S: up to 300 pixels.
    S,
    /// EfficientNetV2-M: up to 384 pixels.
    M,
    /// EfficientNetV2-L: up to 384 pixels, more of everything.
    L,
}

/// A quantity in the first and in the last stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FromTo {
    /// In the first stage.
    pub from: f64,
    /// In the last stage.
    pub to: f64,
}

impl FromTo {
    /// The same in every stage.
    pub fn constant(value: f64) -> FromTo {
        FromTo {
            from: value,
            to: value,
        }
    }

    fn at(&self, share: f64) -> f64 {
        self.from + (self.to - self.from) * share
    }
}

/// Stages of equal length, in each of which everything is fixed, growing in a straight line
/// from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ramp {
    /// How many stages.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 100))]
    pub stages: u32,
    /// The side of the square picture, in pixels; parts of a pixel are cut off. Left out, it grows
    /// from half the side of the network's pictures to the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_size: Option<FromTo>,
    /// The magnitude of RandAugment. Left out, it stays as it is without progressive learning, as
    /// does everything below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub magnitude: Option<FromTo>,
    /// The share of features dropped before the classifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropout: Option<FromTo>,
    /// The parameter of mixup's beta distribution; 0 turns it off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixup: Option<FromTo>,
    /// The parameter of cutmix's beta distribution; 0 turns it off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cutmix: Option<FromTo>,
}

fn four() -> u32 {
    4
}

/// What holds in one stage; none is what holds without progressive learning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regularisation {
    /// The side of the square picture, in pixels.
    pub image_size: usize,
    /// The magnitude of RandAugment.
    pub magnitude: Option<f64>,
    /// The share of features dropped before the classifier.
    pub dropout: Option<f64>,
    /// The parameter of mixup's beta distribution; 0 turns it off.
    pub mixup: Option<f64>,
    /// The parameter of cutmix's beta distribution; 0 turns it off.
    pub cutmix: Option<f64>,
}

impl Progressive {
    /// The schedule, its name resolved.
    pub fn ramp(&self) -> Ramp {
        let ft = |from: f64, to: f64| Some(FromTo { from, to });
        match *self {
            Progressive::Custom(ramp) => ramp,
            Progressive::Paper(model) => {
                let (size, magnitude, mixup, dropout) = match model {
                    PaperModel::S => (300.0, 15.0, 0.0, 0.3),
                    PaperModel::M => (380.0, 20.0, 0.2, 0.4),
                    PaperModel::L => (380.0, 25.0, 0.5, 0.5),
                };
                Ramp {
                    stages: 4,
                    image_size: ft(128.0, size),
                    magnitude: ft(5.0, magnitude),
                    dropout: ft(0.1, dropout),
                    mixup: ft(0.0, mixup),
                    cutmix: ft(0.0, 0.0),
                }
            }
            Progressive::ReleasedCode(model) => {
                let (size, magnitude, mixing, dropout) = match model {
                    ReleasedModel::B0 | ReleasedModel::B1 => (192.0, 0.0, 0.0, 0.2),
                    ReleasedModel::B2 => (208.0, 0.0, 0.0, 0.3),
                    ReleasedModel::B3 => (240.0, 0.0, 0.0, 0.3),
                    ReleasedModel::S => (300.0, 10.0, 0.0, 0.2),
                    ReleasedModel::M => (384.0, 15.0, 0.2, 0.3),
                    ReleasedModel::L => (384.0, 20.0, 0.5, 0.4),
                };
                // The B models use AutoAugment, which has no magnitude, and mix nothing: there it is
                // left to whoever trains.
                let is_b = magnitude == 0.0;
                let grows = |from: f64, to: f64| ft(from, to).filter(|_| !is_b);
                Ramp {
                    stages: 4,
                    image_size: ft(128.0 + (size - 128.0) / 4.0, size),
                    magnitude: grows(5.0, magnitude),
                    dropout: Some(FromTo::constant(dropout)),
                    mixup: grows(0.0, mixing),
                    cutmix: grows(0.0, mixing),
                }
            }
        }
    }
}

impl Ramp {
    /// The stage (from 0) that an epoch (from 0) of `epochs` belongs to; stages are as equally
    /// long as whole epochs allow.
    pub fn stage_of(&self, epoch: u64, epochs: u64) -> u32 {
        let stages = u64::from(self.stages.max(1));
        let stage = u128::from(epoch) * u128::from(stages) / u128::from(epochs.max(1));
        stage.min(u128::from(stages - 1)) as u32
    }

    /// What holds in an epoch (from 0) of `epochs`, for a network whose pictures have this side.
    pub fn at_epoch(&self, epoch: u64, epochs: u64, side: usize) -> Regularisation {
        self.at_stage(self.stage_of(epoch, epochs), side)
    }

    /// What holds in a stage, counted from 0; one stage alone is the last one.
    pub fn at_stage(&self, stage: u32, side: usize) -> Regularisation {
        let share = match self.stages {
            0 | 1 => 1.0,
            stages => f64::from(stage.min(stages - 1)) / f64::from(stages - 1),
        };
        Regularisation {
            // A hair more, so that a size that is whole in decimal is not cut to the one below.
            image_size: (self.sizes(side).at(share) + 1e-6).max(1.0) as usize,
            magnitude: self.magnitude.map(|magnitude| magnitude.at(share)),
            dropout: self.dropout.map(|dropout| dropout.at(share)),
            mixup: self.mixup.map(|mixup| mixup.at(share)),
            cutmix: self.cutmix.map(|cutmix| cutmix.at(share)),
        }
    }

    /// The largest image of any stage, in pixels, for a network whose pictures have this side.
    pub fn largest_image(&self, side: usize) -> usize {
        let FromTo { from, to } = self.sizes(side);
        from.max(to).max(1.0) as usize
    }

    fn sizes(&self, side: usize) -> FromTo {
        self.image_size.unwrap_or(FromTo {
            from: (side as f64 / 2.0).max(8.0).min(side as f64),
            to: side as f64,
        })
    }

    /// Whether every number is in its range.
    ///
    /// # Errors
    /// Names the first field that isn't, in words.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=100).contains(&self.stages) {
            return Err(format!(
                "`stages` is {}; it must lie between 1 and 100",
                self.stages
            ));
        }
        for (field, quantity, least, most) in [
            ("image-size", self.image_size, 8.0, 4096.0),
            ("magnitude", self.magnitude, 0.0, 30.0),
            ("dropout", self.dropout, 0.0, 0.95),
            ("mixup", self.mixup, 0.0, 10.0),
            ("cutmix", self.cutmix, 0.0, 10.0),
        ] {
            for value in quantity
                .into_iter()
                .flat_map(|quantity| [quantity.from, quantity.to])
            {
                if !(least..=most).contains(&value) {
                    return Err(format!(
                        "`{field}` is {value}; it must lie between {least} and {most}"
                    ));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(json: &str) -> Vec<usize> {
        let progressive: Progressive = serde_json::from_str(json).unwrap();
        let ramp = progressive.ramp();
        ramp.check().unwrap();
        (0..ramp.stages)
            .map(|stage| ramp.at_stage(stage, 96).image_size)
            .collect()
    }

    #[test]
    fn the_paper_grows_from_the_smallest_to_the_largest() {
        assert_eq!(sizes(r#"{"paper": "s"}"#), [128, 185, 242, 300]);
        let ramp = Progressive::Paper(PaperModel::L).ramp();
        let (first, last) = (ramp.at_stage(0, 380), ramp.at_stage(3, 380));
        assert_eq!((first.magnitude, last.magnitude), (Some(5.0), Some(25.0)));
        assert_eq!((first.dropout, last.dropout), (Some(0.1), Some(0.5)));
        assert_eq!((first.mixup, last.mixup), (Some(0.0), Some(0.5)));
        assert_eq!(last.cutmix, Some(0.0));
    }

    #[test]
    fn the_released_code_starts_a_quarter_of_the_way_and_keeps_dropout() {
        assert_eq!(sizes(r#"{"released-code": "s"}"#), [171, 214, 257, 300]);
        assert_eq!(sizes(r#"{"released-code": "b0"}"#), [144, 160, 176, 192]);
        let ramp = Progressive::ReleasedCode(ReleasedModel::M).ramp();
        let (first, last) = (ramp.at_stage(0, 384), ramp.at_stage(3, 384));
        assert_eq!((first.dropout, last.dropout), (Some(0.3), Some(0.3)));
        assert_eq!((first.magnitude, last.magnitude), (Some(5.0), Some(15.0)));
        assert_eq!((first.cutmix, last.cutmix), (Some(0.0), Some(0.2)));
        assert_eq!(last.mixup, Some(0.2));
    }

    #[test]
    fn what_is_not_named_is_left_alone_and_sizes_follow_the_network() {
        let b0 = Progressive::ReleasedCode(ReleasedModel::B0)
            .ramp()
            .at_stage(3, 192);
        assert_eq!((b0.magnitude, b0.mixup, b0.cutmix), (None, None, None));
        let progressive: Progressive =
            serde_json::from_str(r#"{"custom": {"magnitude": {"from": 5, "to": 9}}}"#).unwrap();
        let ramp = progressive.ramp();
        let stages = [0, 1, 2, 3].map(|stage| ramp.at_stage(stage, 160));
        assert_eq!(stages.map(|stage| stage.image_size), [80, 106, 133, 160]);
        assert_eq!((stages[3].magnitude, stages[3].dropout), (Some(9.0), None));
        assert_eq!(ramp.largest_image(160), 160);
        assert_eq!(ramp.at_stage(0, 6).image_size, 6);
    }

    #[test]
    fn every_stage_has_its_epochs_and_the_last_one_ends_the_training() {
        let ramp = Progressive::Paper(PaperModel::S).ramp();
        let stages: Vec<u32> = (0..10).map(|epoch| ramp.stage_of(epoch, 10)).collect();
        assert_eq!(stages, [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]);
        // Fewer epochs than stages skip some.
        assert_eq!(ramp.stage_of(0, 1), 0);
        assert_eq!(ramp.stage_of(1, 2), 2);
        assert_eq!(ramp.stage_of(u64::MAX, u64::MAX), 3);
    }

    #[test]
    fn one_stage_is_the_last_one_and_ranges_are_checked() {
        let json = r#"{"custom": {"stages": 1, "image-size": {"from": 64, "to": 96}}}"#;
        assert_eq!(sizes(json), [96]);
        let ramp = Ramp {
            dropout: Some(FromTo::constant(1.5)),
            ..Progressive::Paper(PaperModel::S).ramp()
        };
        assert!(ramp.check().unwrap_err().contains("dropout"));
    }
}
