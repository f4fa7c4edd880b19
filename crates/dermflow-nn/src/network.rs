//! [`Network`]: runs an architecture's document, on dfdx's tape for training and without it for
//! inference.
//!
//! A whole network is one operation on the tape: between its input and its output nothing is a
//! dfdx tensor, so that what the backward pass needs is stored once (a convolution's output;
//! activations are worked out again), is freed as it is used, and its memory is used again by
//! the next step. Results are the same bytes for any number of threads and on every processor.
//!
//! This module must not know of losses, optimisers, files, or where images come from.
//!
//! ```
//! use std::sync::Arc;
//! use dermflow_nn::architecture::{Named, Published};
//! use dermflow_nn::layout::{Group, Weights};
//! use dermflow_nn::network::{Images, Network};
//! use dermflow_nn::Parameters;
//!
//! let architecture = Named::plain(Published::EfficientNetV2B0).classifier(3)?;
//! let network = Network::new(&architecture)?;
//! let [decayed, plain, statistics] = Weights::neutral(Arc::clone(network.layout())).into_buffers();
//! let parameters = Parameters::new(decayed, plain);
//! let pixels = vec![0.5; 2 * 33 * 40 * 3];
//! let images = Images { pixels: &pixels, count: 2, height: 33, width: 40 };
//! let logits = network.inference(&parameters, &statistics)?.logits(images)?;
//! assert_eq!(logits, [0.0; 6]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod block;
mod class_gradients;
mod classifier;
mod context;
mod convolve;
mod convolve_back;
mod draws;
mod error;
mod gated;
mod inference;
mod layer;
mod norm;
mod plan;
mod recorded;
#[cfg(test)]
mod reference;
mod regressor;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use dfdx::prelude::PutTape;
use dfdx::tensor::{Cpu, Tape, Tensor, TensorFromVec};

use crate::architecture::{Architecture, InvalidArchitecture};
use crate::kernels::buffer::Pool;
use crate::kernels::lanes::InstructionSet;
use crate::layout::{Group, Layout, moved};
use crate::{Parameters, TrainingTape};

pub use class_gradients::ClassGradients;
pub(crate) use context::{idle_threads, is_one_sum, lanes, pieces_of, winograd_groups, winograd_lanes};
pub(crate) use convolve::tile_rows;
pub use error::NetworkError;
pub(crate) use gated::{gated_lanes, images_together};
use inference::Loading;
pub(crate) use inference::{GIVEN_UP, segments};
pub use inference::{Grids, Inference};
pub use layer::{Layer, Part};

use context::{Context, Grid};
use plan::{Plan, Top};

/// A batch of images: red, green, blue of every pixel, row by row, image by image, normalised as
/// the network expects. A network that is trained with a map reads that as a fourth number.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    /// `count · height · width · 3` numbers; with a map, 4 in the place of 3.
    pub pixels: &'a [f32],
    /// How many images; at least one.
    pub count: usize,
    /// Pixels, at least one; need not be a multiple of the network's stride.
    pub height: usize,
    /// Pixels, at least one.
    pub width: usize,
}

/// How a network runs on a tape.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// Norms use the batch's statistics and move the running ones; blocks are skipped and
    /// features dropped.
    Train(Draw<'a>),
    /// Norms use the running statistics and leave them; nothing is drawn. Gradients flow all the
    /// same.
    FrozenStatistics {
        /// Stages (as [`Layout::stages`] counts them) from the first that are not trained.
        frozen_stages: usize,
    },
}

/// What is drawn in a training step, and from what.
#[derive(Clone, Copy, Debug, Default)]
pub struct Draw<'a> {
    /// Of this step.
    pub seed: u64,
    /// A key for every image, on which its draws depend; its place in the batch where there is
    /// none.
    pub samples: &'a [u64],
    /// Replaces the document's dropout (progressive learning).
    pub dropout: Option<f64>,
    /// Stages (as [`Layout::stages`] counts them) from the first that are not trained: they use
    /// running statistics and store nothing.
    pub frozen_stages: usize,
}

/// A regressor's output on the tape.
pub struct Maps {
    /// Logits of the heat maps, `[images, height, width, classes]`; it carries the tape.
    pub heat: Tensor<(usize, usize, usize, usize), f32, Cpu, TrainingTape>,
    /// Inner diameters (width, height), `[images, height, width, 2]`; its tape is empty and is
    /// joined with the other's by whatever computes with both.
    pub size: Tensor<(usize, usize, usize, usize), f32, Cpu, TrainingTape>,
}

/// A network that can be run; its weights are elsewhere.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
}

/// What outlives a call, for backward operations.
struct Inner {
    architecture: Architecture,
    layout: Arc<Layout>,
    plan: Plan,
    pool: Arc<Pool>,
    set: InstructionSet,
    /// The same network without a map, where this one reads one.
    without_map: Option<Arc<Inner>>,
}

impl Network {
    /// The network of a document.
    ///
    /// # Errors
    /// Where the document can't be built.
    pub fn new(architecture: &Architecture) -> Result<Network, InvalidArchitecture> {
        Self::on(architecture, InstructionSet::best())
    }

    /// The same on a given instruction set; results are the same bytes on all.
    ///
    /// # Errors
    /// Where the document can't be built.
    pub fn on(architecture: &Architecture, set: InstructionSet) -> Result<Network, InvalidArchitecture> {
        let mut inner = Inner::new(architecture, set, Arc::default())?;
        if architecture.backbone.stem.map {
            let without = architecture.clone().with_map(false);
            inner.without_map = Some(Arc::new(Inner::new(&without, set, Arc::clone(&inner.pool))?));
        }
        Ok(Network {
            inner: Arc::new(inner),
        })
    }

    /// The document.
    pub fn architecture(&self) -> &Architecture {
        &self.inner.architecture
    }

    /// Where every tensor lies.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.inner.layout
    }

    /// Bytes of activations held for the next step, and the most that were in use at once.
    pub fn activation_bytes(&self) -> (usize, usize) {
        self.inner.pool.bytes()
    }

    /// The most bytes of activations that were held at once.
    pub fn most_activation_bytes(&self) -> usize {
        self.inner.pool.most_bytes()
    }

    /// Gives the memory held for the next step back to the system: after training or an evaluation, or
    /// when the image size changes.
    pub fn release_memory(&self) {
        self.inner.pool.trim();
    }

    /// A classifier's logits, `[images, classes]`, with what the backward pass needs on the tape.
    ///
    /// # Errors
    /// Where a buffer has the wrong length, or the network is no classifier.
    pub fn logits(
        &self,
        images: Images<'_>,
        parameters: &Parameters,
        statistics: &mut [f32],
        mode: Mode<'_>,
        mut tape: TrainingTape,
    ) -> Result<Tensor<(usize, usize), f32, Cpu, TrainingTape>, NetworkError> {
        self.check(images, parameters, statistics)?;
        let Top::Classifier { linear, .. } = &self.inner.plan.top else {
            return Err(NetworkError::NoClassifier);
        };
        let classes = linear.outputs;
        let (values, saved) = recorded::forward(&self.inner, images, parameters, statistics, mode);
        let [logits, _] = values;
        let logits = Cpu::default().tensor_from_vec(logits, (images.count, classes));
        let (inner, owner, ghost) = (Arc::clone(&self.inner), parameters.clone(), logits.ghost());
        tape.add_backward_op(move |gradients| {
            let logits = std::mem::take(&mut **gradients.get_or_alloc_mut(&ghost)?);
            recorded::backward(&inner, &owner, saved, [logits, Vec::new()], gradients)
        });
        Ok(logits.put_tape(tape))
    }

    /// A regressor's maps, with what the backward pass needs on the tape.
    ///
    /// # Errors
    /// Where a buffer has the wrong length, or the network is no regressor.
    pub fn maps(
        &self,
        images: Images<'_>,
        parameters: &Parameters,
        statistics: &mut [f32],
        mode: Mode<'_>,
        mut tape: TrainingTape,
    ) -> Result<Maps, NetworkError> {
        self.check(images, parameters, statistics)?;
        let Top::Regressor { heads, .. } = &self.inner.plan.top else {
            return Err(NetworkError::NoRegressor);
        };
        let (height, width) = self.inner.architecture.output_grid(images.height, images.width);
        let shape = |head: usize| (images.count, height, width, heads[head].output.outputs);
        let (values, saved) = recorded::forward(&self.inner, images, parameters, statistics, mode);
        let [heat, size] = values;
        let device = Cpu::default();
        let heat = device.tensor_from_vec(heat, shape(0));
        let size = device.tensor_from_vec(size, shape(1));
        let (inner, owner, ghosts) = (
            Arc::clone(&self.inner),
            parameters.clone(),
            [heat.ghost(), size.ghost()],
        );
        tape.add_backward_op(move |gradients| {
            let mut own = [Vec::new(), Vec::new()];
            for (own, ghost) in own.iter_mut().zip(&ghosts) {
                *own = std::mem::take(&mut **gradients.get_or_alloc_mut(ghost)?);
            }
            recorded::backward(&inner, &owner, saved, own, gradients)
        });
        Ok(Maps {
            heat: heat.put_tape(tape),
            size: size.put_tape(TrainingTape::default()),
        })
    }

    /// The network with these weights, ready to infer: norms are folded into the weights, and
    /// all weights laid out anew as they are read. There is no map then: what the stem gives to it is
    /// left out.
    ///
    /// # Errors
    /// Where a buffer has the wrong length.
    pub fn inference(&self, parameters: &Parameters, statistics: &[f32]) -> Result<Inference, NetworkError> {
        self.check_weights(parameters, statistics)?;
        let [decayed, plain] =
            [&parameters.decayed, &parameters.plain].map(|flat| Cow::Borrowed(flat.values()));
        Ok(self.folded(decayed, plain, statistics))
    }

    /// The same with weights that nobody else needs: they are given up as they are laid out, so
    /// that no more than a few MiB of them are there twice.
    ///
    /// # Errors
    /// Where a buffer has the wrong length.
    pub fn inference_of(
        &self,
        parameters: Parameters,
        statistics: &[f32],
    ) -> Result<Inference, NetworkError> {
        self.check_weights(&parameters, statistics)?;
        let Parameters { decayed, plain } = parameters;
        let [decayed, plain] = [decayed, plain].map(|flat| Cow::Owned(flat.into_values()));
        Ok(self.folded(decayed, plain, statistics))
    }

    fn folded(&self, decayed: Cow<'_, [f32]>, plain: Cow<'_, [f32]>, statistics: &[f32]) -> Inference {
        let (inner, decayed) = match &self.inner.without_map {
            None => (&self.inner, decayed),
            Some(without) => {
                let moved = moved(&self.inner.layout, &without.layout, &decayed);
                (without, Cow::Owned(moved))
            }
        };
        let loading = Loading {
            decayed,
            plain,
            statistics,
        };
        Inference::new(inner, loading)
    }

    fn check(
        &self,
        images: Images<'_>,
        parameters: &Parameters,
        statistics: &[f32],
    ) -> Result<(), NetworkError> {
        images.check(self.inner.architecture.input_channels())?;
        self.check_weights(parameters, statistics)
    }

    fn check_weights(&self, parameters: &Parameters, statistics: &[f32]) -> Result<(), NetworkError> {
        for (group, found) in [
            (Group::Decayed, parameters.decayed.values().len()),
            (Group::Plain, parameters.plain.values().len()),
            (Group::Statistics, statistics.len()),
        ] {
            let expected = self.inner.layout.length(group);
            if found != expected {
                return Err(NetworkError::WrongWeights {
                    group,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }
}

impl Images<'_> {
    fn check(&self, channels: usize) -> Result<(), NetworkError> {
        let numbers = [self.count, self.height, self.width, channels]
            .iter()
            .try_fold(1usize, |product, &extent| product.checked_mul(extent));
        if numbers != Some(self.pixels.len()) || self.pixels.is_empty() {
            return Err(NetworkError::WrongImages {
                found: self.pixels.len(),
                count: self.count,
                height: self.height,
                width: self.width,
                channels,
            });
        }
        Ok(())
    }

    fn grid(&self) -> Grid {
        Grid {
            count: self.count,
            height: self.height,
            width: self.width,
        }
    }
}

impl Inner {
    fn new(
        architecture: &Architecture,
        set: InstructionSet,
        pool: Arc<Pool>,
    ) -> Result<Inner, InvalidArchitecture> {
        let layout = Arc::new(Layout::of(architecture)?);
        let plan = Plan::of(architecture, &layout);
        Ok(Inner {
            architecture: architecture.clone(),
            layout,
            plan,
            pool,
            set,
            without_map: None,
        })
    }

    fn context<'a>(&'a self, decayed: &'a [f32], plain: &'a [f32]) -> Context<'a> {
        Context {
            set: self.set,
            pool: &self.pool,
            decayed,
            plain,
            padding: self.architecture.backbone.padding,
            activation: self.plan.activation,
            pieces: 1,
        }
    }
}
