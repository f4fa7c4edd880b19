//! How a class's logit changes with the features that a stage of blocks gives: what Grad-CAM weighs
//! channels by (Selvaraju et al. 2017).
//!
//! Must not know what maps are made of it.

use std::borrow::Cow;
use std::sync::Arc;

use crate::Parameters;
use crate::kernels::buffer::Buffer;
use crate::layout::{Group, moved};

use super::context::{Gradients, Grid};
use super::inference::Grids;
use super::plan::Top;
use super::recorded::{self, Saved};
use super::{Images, Inner, Mode, Network, NetworkError};

/// A classifier's features somewhere inside, and what hangs on them.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassGradients {
    /// `images · classes`.
    pub logits: Vec<f32>,
    /// What the stage's last block gives.
    pub features: Grids,
    /// Of each image's chosen logit with respect to its features; zero where none was chosen.
    pub gradients: Grids,
}

impl Network {
    /// The features that the `stage`th stage of blocks gives (the first is 1), and the gradients with
    /// respect to them of one logit of each image, which `choose` picks by the image's place in the
    /// batch and its logits. Norms use the running statistics and nothing is drawn, as in inference; a
    /// map is not read. The same bytes for any number of threads.
    ///
    /// # Errors
    /// Where a buffer has the wrong length, the network is no classifier or has no such stage.
    pub fn class_gradients(
        &self,
        images: Images<'_>,
        parameters: &Parameters,
        statistics: &[f32],
        stage: usize,
        choose: impl Fn(usize, &[f32]) -> Option<usize>,
    ) -> Result<ClassGradients, NetworkError> {
        images.check(3)?;
        self.check_weights(parameters, statistics)?;
        let stages = self.architecture().backbone.stages.len();
        if !(1..=stages).contains(&stage) {
            return Err(NetworkError::NoStage { asked: stage, stages });
        }
        let (inner, parameters) = self.without_map(parameters);
        let Top::Classifier { linear, .. } = &inner.plan.top else {
            return Err(NetworkError::NoClassifier);
        };
        let mode = Mode::FrozenStatistics {
            frozen_stages: stage + 1,
        };
        let mut statistics = statistics.to_vec();
        let ([logits, _], saved) = recorded::forward(inner, images, &parameters, &mut statistics, mode);
        let mut chosen = vec![0.0; logits.len()];
        for (image, own) in logits.chunks_exact(linear.outputs).enumerate() {
            if let Some(class) = choose(image, own).filter(|class| *class < linear.outputs) {
                chosen[image * linear.outputs + class] = 1.0;
            }
        }
        // There are both: the stem, at least, is below what counts as trained.
        let (grid, features) = saved.bottom().ok_or(NetworkError::NoLayer)?;
        let gradients = back_to(inner, &parameters, saved, chosen).ok_or(NetworkError::NoLayer)?;
        Ok(ClassGradients {
            logits,
            features: grids(grid, &features),
            gradients: grids(grid, &gradients),
        })
    }

    /// The network as it infers, and its weights.
    fn without_map<'a>(&'a self, parameters: &'a Parameters) -> (&'a Arc<Inner>, Cow<'a, Parameters>) {
        match &self.inner.without_map {
            None => (&self.inner, Cow::Borrowed(parameters)),
            Some(without) => {
                let decayed = moved(&self.inner.layout, &without.layout, parameters.decayed.values());
                let plain = parameters.plain.values().to_vec();
                (without, Cow::Owned(Parameters::new(decayed, plain)))
            }
        }
    }
}

/// From the logits' gradient to that of what the first part above the stage has read. The weights'
/// gradients are worked out on the way, and not needed.
fn back_to(inner: &Inner, parameters: &Parameters, saved: Saved, logits: Vec<f32>) -> Option<Buffer> {
    let [mut decayed, mut plain] =
        [Group::Decayed, Group::Plain].map(|group| vec![0.0; inner.layout.length(group)]);
    let mut gradients = Gradients {
        decayed: &mut decayed,
        plain: &mut plain,
    };
    let context = inner.context(parameters.decayed.values(), parameters.plain.values());
    let outputs = [logits, Vec::new()];
    recorded::run_backward(inner, &context, saved, outputs, &mut gradients, true)
}

fn grids(grid: Grid, values: &[f32]) -> Grids {
    Grids {
        values: values.to_vec(),
        count: grid.count,
        height: grid.height,
        width: grid.width,
        channels: values.len() / grid.places().max(1),
    }
}
