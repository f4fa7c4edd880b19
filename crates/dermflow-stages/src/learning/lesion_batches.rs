//! [`LesionBatches`]: batches of augmented pictures with heat maps and lesion sizes that follow them.
//! Must not know of networks or losses.

use std::sync::Arc;

use dermflow_nn::loss::Centre;
use dermflow_nn::sampling::Sampler;
use dermflow_nn::training::Batches;
use dermflow_vision::augment::{Augmentation, Augmented};
use dermflow_vision::boxes::PixelBox;
use dermflow_vision::picture::Picture;

use super::batches::BatchSettings;
use super::classes::Classes;
use super::lesions::{ClassMap, Lesions};
use super::normalise::Normalise;
use super::order::{Orders, Visit};
use super::pictures::Grids;

/// A batch of pictures with their truth.
pub struct LesionBatch {
    /// Normalised: `pictures · side · side · 3`.
    pub pixels: Vec<f32>,
    /// The pictures' side.
    pub side: usize,
    /// What each sample's draws hang on.
    pub keys: Vec<u64>,
    /// The dropout rate, where it grows over the training.
    pub dropout: Option<f64>,
    /// What is learned.
    pub truth: Truth,
}

/// What maps and sizes are compared with.
#[derive(Default)]
pub struct Truth {
    /// One code a cell: `pictures · height · width · classes`.
    pub codes: Vec<u8>,
    /// Where sizes are known.
    pub centres: Vec<Centre>,
}

/// Samples with their lesions.
pub struct LesionData {
    /// Stored pictures.
    pub pictures: Arc<Grids>,
    /// The heat maps of each, and where lesions lie.
    pub lesions: Arc<Lesions>,
    /// What is told apart.
    pub classes: Classes,
    /// What pixels are measured by.
    pub normalise: Normalise,
    /// Pixels a cell.
    pub stride: usize,
}

impl LesionData {
    /// Adds a picture's truth, moved as the picture was, as number `place` of a batch.
    fn add(&self, maps: &[ClassMap], changed: &Augmented, place: usize, truth: &mut Truth) {
        let side = changed.picture.width();
        let cells = side.div_ceil(self.stride);
        let classes = self.classes.len();
        let start = truth.codes.len();
        truth.codes.resize(start + cells * cells * classes, 0);
        for map in maps {
            let Some(class) = self.classes.place(&map.class) else {
                continue;
            };
            let heat = changed.heatmap(&map.map, self.stride, &map.centres);
            for (cell, code) in heat.codes().iter().enumerate() {
                truth.codes[start + cell * classes + class] = *code;
            }
            for (centre, diameters) in map.centres.iter().zip(&map.diameters) {
                truth
                    .centres
                    .extend(self.centre(*centre, *diameters, changed, place));
            }
        }
    }

    /// Pictures as they are, resized, and their truth.
    pub fn measured(&self, pictures: &[usize], side: usize) -> Result<(Vec<f32>, Truth), String> {
        let mut pixels = Vec::new();
        let mut truth = Truth::default();
        for (place, picture) in pictures.iter().enumerate() {
            let stored: Picture = self.pictures.picture(*picture)?;
            let resized = Augmentation::resized(&stored, [side; 2]);
            self.normalise.append(&resized.picture, &mut pixels);
            let maps = self.lesions.of(self.pictures.id(*picture));
            self.add(maps, &resized, place, &mut truth);
        }
        Ok((pixels, truth))
    }

    /// A lesion's centre cell and its diameters in cells, unless it left the picture.
    fn centre(
        &self,
        centre: [f64; 2],
        diameters: [f64; 2],
        changed: &Augmented,
        place: usize,
    ) -> Option<Centre> {
        let [x, y] = changed.follow_point(centre)?;
        let half = diameters.map(|diameter| diameter / 2.0);
        let lesion = PixelBox::between(
            [centre[0] - half[0], centre[0] + half[0]],
            [centre[1] - half[1], centre[1] + half[1]],
        );
        // The whole ellipse, also where the frame cuts it: its centre is seen.
        let lesion = changed.moved.moved(&lesion);
        let side = changed.picture.width();
        let cells = side.div_ceil(self.stride);
        let cell = |at: f64| ((at / self.stride as f64) as usize).min(cells - 1);
        Some(Centre {
            sample: place,
            row: cell(y),
            column: cell(x),
            size: [lesion.width, lesion.height].map(|side| (side / self.stride as f64) as f32),
        })
    }
}

/// Where batches are made from.
pub struct LesionBatches {
    /// How large, and how pictures are changed.
    pub settings: BatchSettings,
    /// What they are made from.
    pub data: Arc<LesionData>,
    /// Each sample's picture.
    pub samples: Vec<usize>,
    /// The pictures' side, where it doesn't grow.
    pub side: usize,
    /// How long the training is.
    pub epochs: u64,
    /// What is drawn is drawn from it.
    pub seed: u64,
    /// Which samples come when.
    pub sampler: Sampler,
    /// The orders of epochs in use.
    pub orders: Orders,
}

impl LesionBatches {
    fn chosen(&self, epoch: u64, index: usize) -> Vec<Visit> {
        self.orders.batch(&self.sampler, epoch, self.settings.size, index)
    }
}

impl Batches for LesionBatches {
    type Batch = LesionBatch;

    fn batches(&self, _: u64) -> usize {
        self.samples.len().div_ceil(self.settings.size.max(1)).max(1)
    }

    fn batch(&self, epoch: u64, index: usize) -> Result<LesionBatch, String> {
        let holds = self.settings.at(epoch, self.epochs, self.side);
        let augmentation = Augmentation {
            mix: None,
            ..holds.augmentation
        };
        let mut batch = LesionBatch {
            pixels: Vec::new(),
            side: holds.side,
            keys: Vec::new(),
            dropout: holds.dropout,
            truth: Truth::default(),
        };
        for (place, visit) in self.chosen(epoch, index).into_iter().enumerate() {
            let picture = self.samples[visit.sample];
            let id = self.data.pictures.id(picture);
            let mut dice = visit.dice(self.seed, epoch, id, b"");
            let stored = self.data.pictures.picture(picture)?;
            let changed = augmentation.apply(&stored, [holds.side; 2], &mut dice);
            self.data.normalise.append(&changed.picture, &mut batch.pixels);
            batch.keys.push(visit.key(id));
            self.data
                .add(self.data.lesions.of(id), &changed, place, &mut batch.truth);
        }
        Ok(batch)
    }

    fn samples(&self, epoch: u64, index: usize) -> Vec<usize> {
        let chosen = self.chosen(epoch, index).into_iter();
        chosen.map(|visit| visit.sample).collect()
    }
}
