//! The map of each picture, made in the way that was asked for.
//!
//! Must not know of boxes or files.

use dermflow_core::{StageContext, StageError};
use dermflow_nn::network::{Images, Network};
use dermflow_nn::training::Snapshot;

use crate::columns::ids_of;
use crate::learning::activation::ActivationMap;
use crate::learning::classes::Labelled;
use crate::learning::classifier::highest;
use crate::learning::infer::{Loaded, Part};
use crate::learning::network::{model, snapshot};

use super::{ExplainMethod, ExplainParameters};

/// A class and its map; none for a picture that is left out.
pub type Explained = Option<(usize, ActivationMap)>;

/// A classifier, and how its maps are made.
pub struct Explainer {
    loaded: Loaded,
    /// For Grad-CAM, which needs the network as it is trained.
    gradients: Option<GradCam>,
}

struct GradCam {
    network: Network,
    weights: Snapshot,
    stage: usize,
}

impl Explainer {
    /// The classifier wired to `model`.
    ///
    /// # Errors
    /// Where it can't be read or built.
    pub fn read(parameters: &ExplainParameters, context: &dyn StageContext) -> Result<Explainer, StageError> {
        let model = model(context, "model")?;
        let gradients = match parameters.method {
            ExplainMethod::ClassActivation => None,
            ExplainMethod::GradCam => {
                let architecture = &model.description.architecture;
                let stages = architecture.backbone.stages.len();
                let stage = parameters.stage.map_or(stages, |stage| stage as usize);
                let network =
                    Network::new(architecture).map_err(|error| StageError::new(error.to_string()))?;
                Some(GradCam {
                    network,
                    weights: snapshot(model.weights.clone()),
                    stage,
                })
            }
        };
        Ok(Explainer {
            loaded: Loaded::of(model)?,
            gradients,
        })
    }

    /// The classes that maps are of, by number.
    pub fn classes(&self) -> &[String] {
        &self.loaded.description.classes
    }

    /// A map and its class for each picture that is explained: the predicted class, or that of `labels`.
    ///
    /// # Errors
    /// Where the network refuses the pictures, or threads can't be started.
    pub fn maps(
        &self,
        part: &Part,
        labels: Option<&Labelled>,
        threads: usize,
    ) -> Result<Vec<Explained>, StageError> {
        let mut pixels = Vec::new();
        for picture in &part.pictures {
            self.loaded
                .normalise
                .append(&self.loaded.resized(picture), &mut pixels);
        }
        let images = Images {
            pixels: &pixels,
            count: part.pictures.len(),
            height: self.loaded.description.preprocessing.height as usize,
            width: self.loaded.description.preprocessing.width as usize,
        };
        let ids = ids_of(&part.rows)?;
        let chosen = |place: usize, logits: &[f32]| match labels {
            None => Some(highest(logits)),
            Some(labels) => labels
                .label(ids.value(place))
                .and_then(|label| self.classes().iter().position(|class| class == label)),
        };
        match &self.gradients {
            None => self.class_activation(images, chosen, threads),
            Some(gradients) => self.grad_cam(gradients, images, chosen, threads),
        }
    }

    fn class_activation(
        &self,
        images: Images<'_>,
        chosen: impl Fn(usize, &[f32]) -> Option<usize>,
        threads: usize,
    ) -> Result<Vec<Explained>, StageError> {
        let (logits, features) = self.loaded.within_threads(threads, |network| {
            network
                .logits_and_features(images)
                .map_err(|error| StageError::new(error.to_string()))
        })?;
        let maps = logits.chunks_exact(self.classes().len()).enumerate();
        let maps = maps.map(|(place, logits)| {
            let class = chosen(place, logits)?;
            let map = ActivationMap::of(&features, place, &self.loaded.linear, class);
            Some((class, map))
        });
        Ok(maps.collect())
    }

    fn grad_cam(
        &self,
        gradients: &GradCam,
        images: Images<'_>,
        chosen: impl Fn(usize, &[f32]) -> Option<usize> + Sync + Send,
        threads: usize,
    ) -> Result<Vec<Explained>, StageError> {
        let GradCam {
            network,
            weights: Snapshot {
                parameters,
                statistics,
            },
            stage,
        } = gradients;
        let found = self.loaded.within_threads(threads, |_| {
            network
                .class_gradients(images, parameters, statistics, *stage, &chosen)
                .map_err(|error| StageError::new(error.to_string()))
        })?;
        let maps = found.logits.chunks_exact(self.classes().len()).enumerate();
        let maps = maps.map(|(place, logits)| {
            let class = chosen(place, logits)?;
            Some((class, ActivationMap::of_gradients(&found, place)))
        });
        Ok(maps.collect())
    }
}
