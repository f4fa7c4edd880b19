//! [`Description`]: what a model file's header tells beside the tensors.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;

/// The version of the header's text. A file of a later one is refused.
const VERSION: u32 = 1;

/// The longest name of a class, in bytes.
const MAX_NAME: usize = 500;

/// All that is needed to use a network's weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Description {
    /// The version of this text: 1.
    #[serde(default = "version")]
    pub version: u32,
    /// The network.
    pub architecture: Architecture,
    /// The classes, in the order of the network's scores or heat maps.
    pub classes: Vec<String>,
    /// How a picture becomes the network's input.
    pub preprocessing: Preprocessing,
    /// What it was trained from, by name: digests of data, other models, seeds, settings.
    #[serde(default)]
    pub trained_from: BTreeMap<String, String>,
}

/// How a picture becomes a network's input: resized, divided by 255, less the mean, divided by the
/// deviation, per channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Preprocessing {
    /// Pixels, top to bottom.
    #[schemars(range(min = 1, max = 16384))]
    pub height: u32,
    /// Pixels, left to right.
    #[schemars(range(min = 1, max = 16384))]
    pub width: u32,
    /// How a picture with another ratio of sides is made to fit.
    pub resize: ResizeMode,
    /// How pixels are interpolated.
    pub interpolation: Interpolation,
    /// Red, green and blue on the scale 0 to 1: what is taken away.
    pub mean: [f32; 3],
    /// Red, green and blue on the scale 0 to 1: what the rest is divided by.
    pub deviation: [f32; 3],
}

/// How a picture is made to fit a height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ResizeMode {
    /// The whole picture, with bars where its sides have another ratio.
    Letterbox,
    /// The largest middle part with the right ratio of sides.
    Crop,
    /// The whole picture, each side for itself.
    Stretch,
}

/// How pixels are interpolated when a picture is resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// The nearest pixel.
    Nearest,
    /// The mean over the area.
    Box,
    /// Triangle.
    Bilinear,
    /// Cubic (Catmull-Rom, a = -0.5, as Pillow has it).
    Bicubic,
    /// Lanczos over three lobes.
    Lanczos,
}

impl Preprocessing {
    /// What most weights trained on ImageNet expect: its mean and deviation.
    pub fn imagenet(height: u32, width: u32) -> Preprocessing {
        Preprocessing {
            height,
            width,
            resize: ResizeMode::Letterbox,
            interpolation: Interpolation::Bicubic,
            mean: [0.485, 0.456, 0.406],
            deviation: [0.229, 0.224, 0.225],
        }
    }

    /// What TensorFlow's later weights expect (EfficientNet-Lite, EfficientNetV2-S to XL): from -1
    /// to 1.
    pub fn inception(height: u32, width: u32) -> Preprocessing {
        Preprocessing {
            mean: [0.5; 3],
            deviation: [0.5; 3],
            ..Preprocessing::imagenet(height, width)
        }
    }

    fn check(&self) -> Result<(), String> {
        for (name, side) in [("height", self.height), ("width", self.width)] {
            if !(1..=16_384).contains(&side) {
                return Err(format!(
                    "preprocessing.{name} is {side}, and must lie between 1 and 16384"
                ));
            }
        }
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            return Err("preprocessing.mean must be finite".to_owned());
        }
        let positive = |deviation: &f32| *deviation > 0.0 && deviation.is_finite();
        match self.deviation.iter().all(positive) {
            true => Ok(()),
            false => Err("preprocessing.deviation must be more than 0 and finite".to_owned()),
        }
    }
}

impl Description {
    /// A description of this crate's version.
    pub fn new(
        architecture: Architecture,
        classes: impl IntoIterator<Item = impl Into<String>>,
        preprocessing: Preprocessing,
    ) -> Description {
        Description {
            version: VERSION,
            architecture,
            classes: classes.into_iter().map(Into::into).collect(),
            preprocessing,
            trained_from: BTreeMap::new(),
        }
    }

    /// Whether its parts fit each other.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.version != VERSION {
            let Description { version, .. } = self;
            return Err(format!("version {version}; this program knows version {VERSION}"));
        }
        self.architecture.check().map_err(|error| error.to_string())?;
        if self.architecture.backbone.stem.map {
            return Err("the network reads a map, which it may in training only".to_owned());
        }
        let (named, computed) = (self.classes.len(), self.architecture.classes());
        if named as u64 != u64::from(computed) {
            return Err(format!(
                "names {named} classes, and the network tells {computed} apart"
            ));
        }
        let mut seen = BTreeSet::new();
        for class in &self.classes {
            check_class_name(class)?;
            if !seen.insert(class) {
                return Err(format!("two classes are called {class:?}"));
            }
        }
        self.preprocessing.check()
    }
}

/// Whether a model file takes this as the name of a class, to be asked before a training.
///
/// # Errors
/// Tells what a name must have.
pub fn check_class_name(name: &str) -> Result<(), String> {
    match name.is_empty() || name.len() > MAX_NAME {
        true => Err(format!(
            "a class's name must have 1 to {MAX_NAME} bytes: {name:.40?}"
        )),
        false => Ok(()),
    }
}

fn version() -> u32 {
    VERSION
}
