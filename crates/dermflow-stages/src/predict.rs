//! What a classifier says of picture files: the work behind `dermflow predict`.
//!
//! Files are read, decoded, turned upright and resized by the code of `ingest`, judged by that of
//! `classifier-infer`, and explained by that of `explain`, so that a model says of a file what it
//! says of it in a pipeline whose `ingest` stores pictures in the network's size. Files go through
//! in order, some at a time, whatever their number. Must not know of stores or command lines.
//!
//! ```no_run
//! use dermflow_stages::predict::{Outcome, Plan, Predictor, found};
//!
//! let predictor = Predictor::open("skin.safetensors".as_ref(), Plan::default()).unwrap();
//! predictor.run(found(&["photos".to_string()]), &mut |outcome| {
//!     if let Outcome::Judged(judged) = outcome {
//!         println!("{}: {}", judged.path.display(), judged.class);
//!     }
//!     Ok(())
//! })
//! .unwrap();
//! ```

mod files;
mod reject;
mod report;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use dermflow_core::{SampleId, StageError};
use dermflow_nn::model_file::{Interpolation, Model, ResizeMode as HeaderResizeMode};
use dermflow_nn::network::Images;
use dermflow_vision::limits::{Limits, Refusal};
use dermflow_vision::picture::Picture;
use dermflow_vision::placement::{PixelSize, ResizeMode};
pub use dermflow_vision::resize::ResizeFilter;
use dermflow_vision::stored_picture::{Settings, Workbench};

pub use crate::classifier_infer::Views;
pub use files::{Found, found};
pub use reject::Reject;
pub use report::{Format, Report};

use crate::classifier_infer::judge;
use crate::ingest::decoding::Decoding;
use crate::ingest::in_order::{Bounds, in_order};
use crate::learning::activation::{ActivationMap, painted};
use crate::learning::classifier::highest;
use crate::learning::infer::Loaded;

/// How many pictures go through the network at once.
const AT_ONCE: usize = 32;

/// How files are judged.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Over which views of a picture probabilities are averaged.
    pub views: Views,
    /// The height and width that pictures are first stored in, as `ingest` has it; none is the
    /// network's own.
    pub size: Option<u32>,
    /// The resampling filter, as `ingest` has it. None is the default of `ingest` for a model that
    /// was trained here, whose header tells how training resized what `ingest` had stored; and
    /// what the header tells for an imported one.
    pub filter: Option<ResizeFilter>,
    /// When the model says that it doesn't know.
    pub reject: Option<Reject>,
    /// Whether activation maps are painted.
    pub painted: bool,
    /// Threads that decode, and that the network uses.
    pub threads: usize,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            views: Views::One,
            size: None,
            filter: None,
            reject: None,
            painted: false,
            threads: 1,
        }
    }
}

/// What became of a file.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is a picture, and the model said something.
    Judged(Judged),
    /// It gives no picture.
    Refused {
        /// The file, or what was asked for.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// What the model says of a file.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The file.
    pub path: PathBuf,
    /// The id that the file's bytes have as a sample.
    pub sample: SampleId,
    /// The likeliest class.
    pub class: String,
    /// Its probability.
    pub probability: f32,
    /// Those of all classes, in the model's order.
    pub probabilities: Vec<f32>,
    /// The energy; lower is surer.
    pub energy: f32,
    /// Whether the model should say that it doesn't know; none where nothing was asked.
    pub rejected: Option<bool>,
    /// The picture as the network sees it, and the same with the map over it.
    pub painted: Option<[Picture; 2]>,
}

/// A model ready for files.
pub struct Predictor {
    loaded: Loaded,
    decoding: Decoding,
    plan: Plan,
}

/// A decoded file, waiting for the network.
struct Waiting {
    path: PathBuf,
    sample: SampleId,
    picture: Picture,
}

/// A file that was looked at.
enum Decoded {
    Picture(Waiting),
    Refused { path: PathBuf, reason: String },
}

impl Predictor {
    /// The classifier in a model file.
    ///
    /// # Errors
    /// Where the file can't be read, or holds something else than a classifier.
    pub fn open(path: &Path, plan: Plan) -> Result<Predictor, StageError> {
        let model = Model::load(path).map_err(|error| StageError::new(error.to_string()))?;
        let description = &model.description;
        if description.architecture.classifier().is_none() {
            let message = format!("{} finds lesions, and tells no classes apart", path.display());
            return Err(StageError::new(message).with_help("name a classifier's model"));
        }
        let wanted = &description.preprocessing;
        let side = |side: u32| plan.size.unwrap_or(side);
        let settings = Settings {
            size: PixelSize::new(side(wanted.width), side(wanted.height)),
            mode: match wanted.resize {
                HeaderResizeMode::Letterbox => ResizeMode::Letterbox,
                HeaderResizeMode::Crop => ResizeMode::Crop,
                HeaderResizeMode::Stretch => ResizeMode::Stretch,
            },
            filter: plan.filter.unwrap_or(match wanted.interpolation {
                // What training interpolates stored pictures by; a file is resampled as `ingest` does.
                Interpolation::Nearest | Interpolation::Bilinear => ResizeFilter::default(),
                Interpolation::Box => ResizeFilter::Box,
                Interpolation::Bicubic => ResizeFilter::Bicubic,
                Interpolation::Lanczos => ResizeFilter::Lanczos,
            }),
            // As `ingest` has them.
            background: [255; 3],
            bars: [0; 3],
        };
        Ok(Predictor {
            decoding: Decoding::with(settings, Limits::default()),
            loaded: Loaded::of(model)?,
            plan,
        })
    }

    /// The classes in the order of the probabilities.
    pub fn classes(&self) -> &[String] {
        &self.loaded.description.classes
    }

    /// Judges files, and hands each outcome on in their order.
    ///
    /// # Errors
    /// The first error of `each`, and where the network can't be run. A file that gives no picture
    /// is no error, but an outcome.
    pub fn run(
        &self,
        files: impl IntoIterator<Item = Found>,
        each: &mut dyn FnMut(Outcome) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        let mut files = files.into_iter();
        let mut waiting: Vec<Decoded> = Vec::new();
        let bounds = Bounds {
            helpers: &|| self.plan.threads.saturating_sub(1),
            ahead: self.decoding.ahead().unwrap_or(1),
        };
        in_order(
            bounds,
            &mut || Ok(files.next()),
            &<(Workbench, Vec<u8>)>::default,
            &|state, found| Ok(self.decoded(state, found)),
            &mut |decoded| {
                waiting.push(decoded);
                match waiting.len() < AT_ONCE {
                    true => Ok(()),
                    false => self.tell(std::mem::take(&mut waiting), each),
                }
            },
        )?;
        self.tell(waiting, each)
    }

    fn decoded(&self, (workbench, buffer): &mut (Workbench, Vec<u8>), found: Found) -> Decoded {
        let path = match found {
            Found::File(path) => path,
            Found::Nothing { path, reason } => return Decoded::Refused { path, reason },
        };
        match self.picture(&path, workbench, buffer) {
            Ok((sample, picture)) => Decoded::Picture(Waiting {
                path,
                sample,
                picture,
            }),
            Err(reason) => Decoded::Refused { path, reason },
        }
    }

    fn picture(
        &self,
        path: &Path,
        workbench: &mut Workbench,
        buffer: &mut Vec<u8>,
    ) -> Result<(SampleId, Picture), String> {
        let limits = self.decoding.limits();
        let failed = |error: std::io::Error| format!("it can't be read: {error}");
        let mut file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        limits.check_bytes(bytes).map_err(|refusal| refusal.to_string())?;
        buffer.clear();
        let most = limits.bytes.saturating_add(1);
        file.by_ref().take(most).read_to_end(buffer).map_err(failed)?;
        let stored = self.decoding.stored(buffer, workbench);
        let stored = stored.map_err(|refusal: Refusal| refusal.to_string())?.picture;
        let (width, height) = (stored.size.width as usize, stored.size.height as usize);
        let picture = Picture::of_pixels(width, height, stored.pixels);
        let picture = picture.ok_or_else(|| "it has no pixels".to_string())?;
        Ok((SampleId::of_content(buffer), self.loaded.resized(&picture)))
    }

    /// Judges what is decoded, and hands it on.
    fn tell(
        &self,
        decoded: Vec<Decoded>,
        each: &mut dyn FnMut(Outcome) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        let pictures: Vec<Picture> = decoded
            .iter()
            .filter_map(|one| match one {
                Decoded::Picture(waiting) => Some(waiting.picture.clone()),
                Decoded::Refused { .. } => None,
            })
            .collect();
        let mut judged = self.judged(&pictures)?.into_iter();
        for one in decoded {
            let outcome = match one {
                Decoded::Refused { path, reason } => Outcome::Refused { path, reason },
                Decoded::Picture(waiting) => {
                    let said = judged.next();
                    let said = said.ok_or_else(|| StageError::new("the network left out a picture"))?;
                    Outcome::Judged(Judged {
                        path: waiting.path,
                        sample: waiting.sample,
                        ..said
                    })
                }
            };
            each(outcome)?;
        }
        Ok(())
    }

    /// What the network says of pictures; paths and ids are left to be filled in.
    fn judged(&self, pictures: &[Picture]) -> Result<Vec<Judged>, StageError> {
        if pictures.is_empty() {
            return Ok(Vec::new());
        }
        let said = self.loaded.within_threads(self.plan.threads.max(1), |network| {
            judge(&self.loaded, network, pictures, self.plan.views)
        })?;
        let classes: Vec<usize> = said.iter().map(|said| highest(&said.probabilities)).collect();
        let mut maps = match self.plan.painted {
            true => self.maps(pictures, &classes)?,
            false => Vec::new(),
        };
        let mut judged = Vec::with_capacity(pictures.len());
        for (place, (said, class)) in said.into_iter().zip(classes).enumerate() {
            let probability = said.probabilities[class];
            let map = maps.get_mut(place).and_then(std::mem::take);
            judged.push(Judged {
                path: PathBuf::new(),
                sample: SampleId::from_bytes([0; 32]),
                class: self.classes()[class].clone(),
                probability,
                energy: said.energy,
                rejected: self
                    .plan
                    .reject
                    .map(|reject| reject.rejects(probability, said.energy)),
                probabilities: said.probabilities,
                painted: map.map(|map| [pictures[place].clone(), painted(&pictures[place], &map)]),
            });
        }
        Ok(judged)
    }

    /// Where the network looks for each picture's class.
    fn maps(
        &self,
        pictures: &[Picture],
        classes: &[usize],
    ) -> Result<Vec<Option<ActivationMap>>, StageError> {
        let mut pixels = Vec::new();
        for picture in pictures {
            self.loaded.normalise.append(picture, &mut pixels);
        }
        let images = Images {
            pixels: &pixels,
            count: pictures.len(),
            height: self.loaded.description.preprocessing.height as usize,
            width: self.loaded.description.preprocessing.width as usize,
        };
        let (_, features) = self.loaded.within_threads(self.plan.threads.max(1), |network| {
            network
                .logits_and_features(images)
                .map_err(|error| StageError::new(error.to_string()))
        })?;
        let map = |(place, class): (usize, &usize)| {
            Some(ActivationMap::of(&features, place, &self.loaded.linear, *class))
        };
        Ok(classes.iter().enumerate().map(map).collect())
    }
}
