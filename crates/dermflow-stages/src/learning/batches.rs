//! [`PictureBatches`]: batches of augmented, normalised pictures with soft labels.
//!
//! A batch is a function of the seed, the epoch and its place alone. Must not know of networks
//! or of losses.

use std::sync::Arc;

use dermflow_core::{Problem, StageError};
use dermflow_nn::loss::SoftTargets;
use dermflow_nn::progressive::Progressive;
use dermflow_nn::sampling::{ClassSampling, Sampler};
use dermflow_nn::training::Batches;
use dermflow_vision::augment::{Augmentation, Mix, Mixing, RandAugment};
use dermflow_vision::picture::Picture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::normalise::Normalise;
use super::order::{Orders, Visit};
use super::pictures::Grids;
use super::prior::Prior;

/// How samples come to a training step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct BatchSettings {
    /// The most samples of a step; an epoch is cut into batches as equally large as can be.
    #[schemars(range(min = 1, max = 65_536))]
    pub size: usize,
    /// How often the samples of each class come.
    pub sampling: ClassSampling,
    /// Random changes of the pictures.
    pub augmentation: Augmentation,
    /// Image size, RandAugment's magnitude, dropout and mixing that grow over the training
    /// (`method.md` C3). What it names replaces what `augmentation` and the network say; its sizes
    /// are the network's during training, and must not go beyond the size that it is used at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progressive: Option<Progressive>,
}

impl Default for BatchSettings {
    fn default() -> BatchSettings {
        BatchSettings {
            size: 32,
            sampling: ClassSampling::default(),
            augmentation: Augmentation {
                horizontal_flip: 0.5,
                vertical_flip: 0.5,
                ..Augmentation::default()
            },
            progressive: None,
        }
    }
}

impl BatchSettings {
    /// What types and ranges don't say is wrong with it.
    pub fn check(&self) -> Vec<Problem> {
        let place = |path: String| format!("batches.{path}");
        let augmentation = self.augmentation.problems().into_iter();
        let mut problems: Vec<Problem> = augmentation
            .map(|(path, message)| Problem::new(place(format!("augmentation.{path}")), message))
            .collect();
        if let Some(Err(message)) = self
            .progressive
            .as_ref()
            .map(|progressive| progressive.ramp().check())
        {
            problems.push(Problem::new(place("progressive".to_string()), message));
        }
        problems
    }

    /// That no picture of a training is larger than those that the network is for.
    ///
    /// # Errors
    /// Tells both sides.
    pub fn check_side(&self, side: usize) -> Result<(), StageError> {
        let largest = self
            .progressive
            .as_ref()
            .map_or(side, |progressive| progressive.ramp().largest_image(side));
        match largest > side {
            true => Err(StageError::new(format!(
                "`batches.progressive` goes up to pictures of {largest} pixels, and the network is for {side}: \
                 what it learns there it would never be used for"
            ))
            .with_help("leave `image-size` out, which then ends at the network's own side, or give a larger side")),
            false => Ok(()),
        }
    }

    /// What holds in an epoch (from 0) of `epochs`, where the network's side is `side` pixels
    /// without progressive learning.
    pub fn at(&self, epoch: u64, epochs: u64, side: usize) -> EpochSettings {
        let Some(progressive) = &self.progressive else {
            return EpochSettings {
                side,
                dropout: None,
                augmentation: self.augmentation.clone(),
            };
        };
        let holds = progressive.ramp().at_epoch(epoch, epochs, side);
        let mut augmentation = self.augmentation.clone();
        if let Some(magnitude) = holds.magnitude
            && (magnitude > 0.0 || augmentation.rand_augment.is_some())
        {
            let own = augmentation.rand_augment.take().unwrap_or_default();
            augmentation.rand_augment = Some(RandAugment {
                magnitude,
                // Published ramps go beyond the strong end of timm's scale.
                limit: own.limit.max(magnitude),
                ..own
            });
        }
        if holds.mixup.is_some() || holds.cutmix.is_some() {
            let own = augmentation.mix.take().unwrap_or_default();
            let (mixup, cutmix) = (
                holds.mixup.unwrap_or(own.mixup),
                holds.cutmix.unwrap_or(own.cutmix),
            );
            augmentation.mix = (mixup > 0.0 || cutmix > 0.0).then_some(Mix { mixup, cutmix, ..own });
        }
        EpochSettings {
            side: holds.image_size,
            dropout: holds.dropout,
            augmentation,
        }
    }
}

/// What holds in an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochSettings {
    /// Height and width of the network's pictures.
    pub side: usize,
    /// The share of features that is dropped, where it is not the network's own.
    pub dropout: Option<f64>,
    /// Random changes of the pictures.
    pub augmentation: Augmentation,
}

/// A batch.
pub struct PictureBatch {
    /// `count · side · side · 3` numbers; 4 in the place of 3 where the foreground is a channel.
    pub pixels: Vec<f32>,
    /// Height and width.
    pub side: usize,
    /// A key of each sample, for what is drawn in the network.
    pub keys: Vec<u64>,
    /// The labels, mixed as the pictures are.
    pub targets: SoftTargets,
    /// The share of features that is dropped, where it is not the network's own.
    pub dropout: Option<f64>,
}

/// Where batches are made from.
pub struct PictureBatches {
    /// How.
    pub settings: BatchSettings,
    /// The pictures.
    pub pictures: Arc<Grids>,
    /// Each sample's picture and class.
    pub samples: Vec<(usize, usize)>,
    /// How many classes there are.
    pub classes: usize,
    /// Height and width of the network's pictures, without progressive learning.
    pub side: usize,
    /// How many epochs there will be.
    pub epochs: u64,
    /// From bytes to numbers.
    pub normalise: Normalise,
    /// The foreground prior, if there is one.
    pub prior: Option<Prior>,
    /// What everything random is drawn from.
    pub seed: u64,
    /// Draws the order.
    pub sampler: Sampler,
    /// The orders of the epochs at hand.
    pub orders: Orders,
}

/// A picture as a training step sees it.
#[derive(Clone)]
struct Shown {
    picture: Picture,
    /// A number for each pixel, where the foreground is a channel.
    channel: Option<Vec<f32>>,
}

impl Shown {
    /// As [`Mixing::pictures`], of the channel too.
    fn mix(&mut self, mixing: &Mixing, other: &Shown) {
        mixing.pictures(&mut self.picture, &other.picture);
        if let (Some(own), Some(other)) = (&mut self.channel, &other.channel) {
            mixing.numbers(own, other, self.picture.width());
        }
    }

    fn append(&self, normalise: &Normalise, pixels: &mut Vec<f32>) {
        match &self.channel {
            Some(channel) => normalise.append_with(&self.picture, channel, pixels),
            None => normalise.append(&self.picture, pixels),
        }
    }
}

impl PictureBatches {
    fn chosen(&self, epoch: u64, index: usize) -> Vec<Visit> {
        self.orders.batch(&self.sampler, epoch, self.settings.size, index)
    }

    /// A sample's picture, changed as this turn of it wants.
    fn picture(&self, visit: Visit, epoch: u64, holds: &EpochSettings) -> Result<Shown, String> {
        let (index, _) = self.samples[visit.sample];
        let id = self.pictures.id(index);
        let mut picture = self.pictures.picture(index)?;
        let map = match &self.prior {
            Some(prior) => prior.draw(id, epoch, visit)?.map(|map| (&prior.settings, map)),
            None => None,
        };
        if let Some((prior, map)) = &map
            && let Some(part) = prior.crop(&picture, map)
        {
            picture = part;
        }
        let mut dice = visit.dice(self.seed, epoch, id, b"");
        let mut changed = holds.augmentation.apply(&picture, [holds.side; 2], &mut dice);
        let behind = match &map {
            Some(_) => self.background(id, epoch, visit, holds)?,
            None => None,
        };
        let shown = map.and_then(|(prior, map)| prior.show(&mut changed, &map, behind));
        let is_channel = self
            .prior
            .as_ref()
            .is_some_and(|prior| prior.settings.is_channel());
        let nothing = || vec![0.0; changed.picture.width() * changed.picture.height()];
        Ok(Shown {
            channel: is_channel.then(|| shown.unwrap_or_else(nothing)),
            picture: changed.picture,
        })
    }

    /// The background that a sample's foreground is shown before in this turn, if there is one: of
    /// any sample, changed as that sample's pictures are, but in its own way.
    fn background(
        &self,
        id: &[u8],
        epoch: u64,
        visit: Visit,
        holds: &EpochSettings,
    ) -> Result<Option<Picture>, String> {
        let takes = |prior: &&Prior| prior.settings.takes_a_background();
        let Some(prior) = self.prior.as_ref().filter(takes) else {
            return Ok(None);
        };
        let (other, _) = self.samples[prior.draw_background(id, epoch, visit, self.samples.len())];
        let mut dice = visit.dice(self.seed, epoch, id, b"behind");
        let picture = self.pictures.picture(other)?;
        let changed = holds.augmentation.apply(&picture, [holds.side; 2], &mut dice);
        prior.background(self.pictures.id(other), changed).map(Some)
    }

    /// Mixes each picture with the one at the mirrored place, and its label.
    fn mix(&self, mix: &Mix, epoch: u64, chosen: &[Visit], pictures: &mut [Shown], labels: &mut [f32]) {
        let (before, labels_before) = (pictures.to_vec(), labels.to_vec());
        let classes = self.classes;
        for (place, picture) in pictures.iter_mut().enumerate() {
            let other = chosen.len() - 1 - place;
            let id = self.pictures.id(self.samples[chosen[place].sample].0);
            let mut dice = chosen[place].dice(self.seed, epoch, id, b"mix");
            let mixing = match other == place {
                true => Mixing::None,
                false => mix.draw(picture.picture.width(), picture.picture.height(), &mut dice),
            };
            picture.mix(&mixing, &before[other]);
            let own = &mut labels[place * classes..][..classes];
            mixing.labels(own, &labels_before[other * classes..][..classes]);
        }
    }
}

impl Batches for PictureBatches {
    type Batch = PictureBatch;

    fn batches(&self, _: u64) -> usize {
        self.samples.len().div_ceil(self.settings.size.max(1)).max(1)
    }

    fn batch(&self, epoch: u64, index: usize) -> Result<PictureBatch, String> {
        let holds = self.settings.at(epoch, self.epochs, self.side);
        let chosen = self.chosen(epoch, index);
        let pictures = chosen.iter().map(|visit| self.picture(*visit, epoch, &holds));
        let mut pictures = pictures.collect::<Result<Vec<Shown>, String>>()?;
        let mut labels = vec![0.0; chosen.len() * self.classes];
        for (place, visit) in chosen.iter().enumerate() {
            labels[place * self.classes + self.samples[visit.sample].1] = 1.0;
        }
        if let Some(mix) = &holds.augmentation.mix {
            self.mix(mix, epoch, &chosen, &mut pictures, &mut labels);
        }
        let mut pixels = Vec::new();
        for picture in &pictures {
            picture.append(&self.normalise, &mut pixels);
        }
        let targets = SoftTargets::new(labels, self.classes).map_err(|error| error.to_string())?;
        Ok(PictureBatch {
            pixels,
            side: holds.side,
            keys: chosen
                .iter()
                .map(|visit| visit.key(self.pictures.id(self.samples[visit.sample].0)))
                .collect(),
            targets,
            dropout: holds.dropout,
        })
    }

    fn samples(&self, epoch: u64, index: usize) -> Vec<usize> {
        let chosen = self.chosen(epoch, index).into_iter();
        chosen.map(|visit| visit.sample).collect()
    }
}

#[cfg(test)]
mod tests {
    use dermflow_vision::augment::Dice;

    use super::*;

    #[test]
    fn progressive_learning_sets_size_magnitude_and_mixing_of_each_epoch() {
        let settings = BatchSettings {
            progressive: serde_json::from_str(r#"{"paper": "m"}"#).unwrap(),
            ..BatchSettings::default()
        };
        let (first, last) = (settings.at(0, 8, 96), settings.at(7, 8, 96));
        assert_eq!((first.side, last.side), (128, 380));
        assert_eq!(first.augmentation.rand_augment.unwrap().magnitude, 5.0);
        assert_eq!(last.augmentation.mix.unwrap().mixup, 0.2);
        assert_eq!((first.augmentation.mix, first.dropout), (None, Some(0.1)));
        assert_eq!(BatchSettings::default().at(3, 8, 96).side, 96);
    }

    #[test]
    fn progressive_learning_goes_beyond_ten_and_replaces_mixing() {
        let settings: BatchSettings = serde_json::from_str(
            r#"{
                "progressive": {"paper": "m"},
                "augmentation": {
                    "rand-augment": {"operations": 1, "spread": 0, "probability": 1, "of": ["solarize-add"]},
                    "mix": {"mixup": 0.8}
                }
            }"#,
        )
        .unwrap();
        let added = |epoch| {
            let black = Picture::filled(4, 4, [0; 3]);
            let mut holds = settings.at(epoch, 8, 96);
            holds.augmentation.mix = None;
            let mut dice = Dice::new(1, epoch, b"");
            let changed = holds.augmentation.apply(&black, [4, 4], &mut dice);
            changed.picture.pixels()[0]
        };
        // 110 at magnitude 10; the paper's ramp goes from 5 to 20.
        assert_eq!((added(0), added(7)), (55, 220));
        assert_eq!(settings.at(0, 8, 96).augmentation.mix, None);
        assert_eq!(settings.at(7, 8, 96).augmentation.mix.unwrap().mixup, 0.2);
        assert!(settings.check_side(380).is_ok());
        let refused = settings.check_side(224).unwrap_err().to_string();
        assert!(refused.contains("380") && refused.contains("224"), "{refused}");
    }

    #[test]
    fn progressive_learning_leaves_alone_what_it_does_not_name() {
        let settings: BatchSettings = serde_json::from_str(
            r#"{
                "progressive": {"custom": {"cutmix": {"from": 0, "to": 1}}},
                "augmentation": {"rand-augment": {"magnitude": 7}, "mix": {"mixup": 0.8}}
            }"#,
        )
        .unwrap();
        let (first, last) = (settings.at(0, 4, 96), settings.at(3, 4, 96));
        assert_eq!((first.side, last.side), (48, 96));
        assert_eq!(last.dropout, None);
        assert_eq!(last.augmentation.rand_augment.clone().unwrap().magnitude, 7.0);
        let mixes = [first, last].map(|holds| holds.augmentation.mix.unwrap());
        assert_eq!(mixes.clone().map(|mix| mix.mixup), [0.8, 0.8]);
        assert_eq!(mixes.map(|mix| mix.cutmix), [0.0, 1.0]);
    }
}
