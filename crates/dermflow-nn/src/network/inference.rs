//! [`Inference`]: a network without a tape, norms folded into its weights.
//!
//! Must not know of training.

mod alone;
mod block;
mod depthwise;
mod folded;
pub(crate) mod segments;
mod steps;

use std::borrow::Cow;
use std::sync::Arc;

use crate::kernels::activation::Nonlinearity;
use crate::kernels::buffer::Buffer;
use crate::kernels::parallel;
use crate::kernels::rows::ColumnSums;

use super::context::{Context, Grid};
use super::plan::{Convolution, PlanStep, Top};
use super::{Images, Inner, NetworkError};
pub(super) use alone::Alone;
use block::FoldedBlock;
use folded::Folded;
use segments::groups;
use steps::{Step, Steps};

/// Numbers on a grid, channels last.
#[derive(Clone, Debug, PartialEq)]
pub struct Grids {
    /// `count · height · width · channels` numbers.
    pub values: Vec<f32>,
    /// How many images.
    pub count: usize,
    /// Places from top to bottom.
    pub height: usize,
    /// Places from left to right.
    pub width: usize,
    /// Numbers of a place.
    pub channels: usize,
}

/// A network with weights of its own, ready to infer.
pub struct Inference {
    inner: Arc<Inner>,
    steps: Steps,
    top: FoldedTop,
}

#[allow(clippy::large_enum_variant, reason = "a network has one")]
enum FoldedTop {
    Classifier {
        head: Folded,
        linear: Folded,
    },
    Regressor {
        /// Heat, then size; the hidden convolution, then the output.
        heads: Box<[[Folded; 2]; 2]>,
    },
}

/// A network's parameters while its weights are laid out anew. Those that are owned are given up
/// on the way, so that a large network's weights are not there twice.
pub(super) struct Loading<'a> {
    pub(super) decayed: Cow<'a, [f32]>,
    pub(super) plain: Cow<'a, [f32]>,
    pub(super) statistics: &'a [f32],
}

/// Weights are given up when so many numbers are not needed any longer: 4 MiB.
pub(crate) const GIVEN_UP: usize = 1 << 20;

impl Loading<'_> {
    /// Gives up what lies behind the first `needed` weights.
    fn keep(&mut self, needed: usize) {
        if let Cow::Owned(values) = &mut self.decayed
            && values.len().saturating_sub(needed) >= GIVEN_UP
        {
            values.truncate(needed);
            values.shrink_to_fit();
        }
    }

    fn fold(&self, inner: &Inner, of: &Convolution) -> Folded {
        let context = inner.context(&self.decayed, &self.plain);
        let epsilon = inner.architecture.backbone.norm.epsilon;
        Folded::new(&context, of, self.statistics, epsilon)
    }
}

impl Inference {
    /// Lays the weights out from the last step to the first, as they lie one behind another.
    pub(super) fn new(inner: &Arc<Inner>, mut loading: Loading<'_>) -> Inference {
        let plan = &inner.plan;
        let top = match &plan.top {
            Top::Classifier { head, linear, .. } => FoldedTop::Classifier {
                linear: loading.fold(inner, linear),
                head: loading.fold(inner, head),
            },
            Top::Regressor { heads, .. } => {
                let fold = |of: &Convolution| loading.fold(inner, of);
                let heads = [0, 1].map(|head: usize| [fold(&heads[head].hidden), fold(&heads[head].output)]);
                FoldedTop::Regressor {
                    heads: Box::new(heads),
                }
            }
        };
        let mut steps = Vec::with_capacity(plan.steps());
        for index in (0..plan.steps()).rev() {
            loading.keep(plan.weights_before(index + 1));
            steps.push(match plan.step(index) {
                PlanStep::Stem(of) => Step::Stem(loading.fold(inner, of)),
                PlanStep::Block(block) => Step::Block(FoldedBlock::new(inner, block, &loading)),
                PlanStep::Neck(step) => Step::Neck {
                    up: loading.fold(inner, &step.upsample),
                    lateral: step.lateral.as_ref().map(|of| loading.fold(inner, of)),
                    // The stem is the first step.
                    join: step.grid.map(|block| block + 1),
                },
            });
        }
        steps.reverse();
        Inference {
            inner: Arc::clone(inner),
            steps: Steps(steps),
            top,
        }
    }

    /// Rules and memory; the weights are in the steps.
    fn context(&self) -> Context<'_> {
        self.inner.context(&[], &[])
    }

    /// A classifier's logits, `images · classes`.
    ///
    /// # Errors
    /// Where the images have other numbers than their shape says, or the network is no classifier.
    pub fn logits(&self, images: Images<'_>) -> Result<Vec<f32>, NetworkError> {
        Ok(self.classify(images, false)?.0)
    }

    /// A classifier's logits, and the features whose mean over places the last layer reads: the
    /// weights of a class times these give its class activation map.
    ///
    /// # Errors
    /// As for [`Inference::logits`].
    pub fn logits_and_features(&self, images: Images<'_>) -> Result<(Vec<f32>, Grids), NetworkError> {
        self.classify(images, true)
    }

    /// The features are empty unless they are wanted.
    fn classify(&self, images: Images<'_>, wanted: bool) -> Result<(Vec<f32>, Grids), NetworkError> {
        images.check(3)?;
        let FoldedTop::Classifier { head, linear } = &self.top else {
            return Err(NetworkError::NoClassifier);
        };
        let context = self.context();
        let (out, grid) = self.steps.run(&context, images);
        let mut features = Grids::new(grid, head.of.outputs, wanted);
        let pooled = pooled(&context, head, grid, &out, &mut features.values);
        let mut logits = vec![0.0; grid.count * linear.of.outputs];
        let rows = grid.with_size((1, 1));
        let finishing = linear.finishing(Nonlinearity::Identity, None);
        linear.run(&context, rows, None, &pooled, finishing, &mut logits);
        Ok((logits, features))
    }

    /// A regressor's maps: logits of heat (one channel per class), and inner diameters (width,
    /// height).
    ///
    /// # Errors
    /// Where the images have other numbers than their shape says, or the network is no regressor.
    pub fn maps(&self, images: Images<'_>) -> Result<[Grids; 2], NetworkError> {
        images.check(3)?;
        let FoldedTop::Regressor { heads } = &self.top else {
            return Err(NetworkError::NoRegressor);
        };
        let context = self.context();
        let grid = self.steps.grid(&context, images.grid());
        let channels = [0, 1].map(|head: usize| heads[head][1].of.outputs);
        let mut maps = channels.map(|channels| Grids::new(grid, channels, true));
        let values = maps.each_mut().map(|map| &mut map.values[..]);
        let parts = |groups| {
            let [heat, size] = values;
            let of_image = |head: usize| grid.of_image() * channels[head];
            let heat = parallel::shares(heat, grid.count, groups, of_image(0));
            let size = parallel::shares(size, grid.count, groups, of_image(1));
            heat.into_iter().zip(size).collect()
        };
        self.steps
            .run_then(&context, images, parts, |context, grid, input, (heat, size)| {
                for ([hidden, output], map) in heads.iter().zip([heat, size]) {
                    let mut inside = context.pool.take(grid.places() * hidden.of.outputs);
                    let finishing = hidden.finishing(context.activation, None);
                    hidden.run(context, grid, None, input, finishing, &mut inside);
                    let finishing = output.finishing(Nonlinearity::Identity, None);
                    output.run(context, grid, None, &inside, finishing, map);
                }
            });
        Ok(maps)
    }
}

/// Means over places of the last convolution's features, `[images, channels]`; the features
/// themselves go to `features` unless that is empty.
fn pooled(context: &Context<'_>, head: &Folded, grid: Grid, input: &[f32], features: &mut [f32]) -> Buffer {
    let (count, channels) = (grid.count, head.of.outputs);
    let pieces = groups(grid.of_image(), count, rayon::current_num_threads());
    let mut pooled = context.pool.zeros(count * channels);
    let of_image = grid.of_image() * channels;
    let kept = if features.is_empty() { 0 } else { of_image };
    let parts = parallel::shares(&mut pooled, count, pieces, channels)
        .into_iter()
        .zip(parallel::shares(features, count, pieces, kept));
    let from = grid.of_image() * head.of.inputs;
    let context = &context.for_groups(pieces);
    parallel::for_each(parts.collect(), |piece, (pooled, features)| {
        let images = parallel::share(count, pieces, piece);
        let grid = grid.with_count(images.len());
        let mut scratch = context.pool.take(match kept {
            0 => grid.places() * channels,
            _ => 0,
        });
        let out = if kept == 0 { &mut *scratch } else { features };
        let input = &input[images.start * from..images.end * from];
        head.run(
            context,
            grid,
            None,
            input,
            head.finishing(context.activation, None),
            out,
        );
        for (rows, sums) in out.chunks_exact(of_image).zip(pooled.chunks_exact_mut(channels)) {
            context.set.run(ColumnSums {
                rows,
                factor: 1.0 / grid.of_image() as f32,
                sums,
            });
        }
    });
    pooled
}

impl Grids {
    /// Zeros, or nothing where they are not wanted.
    fn new(grid: Grid, channels: usize, wanted: bool) -> Grids {
        Grids {
            values: vec![0.0; if wanted { grid.places() * channels } else { 0 }],
            count: grid.count,
            height: grid.height,
            width: grid.width,
            channels,
        }
    }
}
