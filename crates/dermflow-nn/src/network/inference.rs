//! [`Inference`]: a network without a tape, norms folded into its weights.
//!
//! A block is run image by image: what it makes inside never leaves a near cache. Must not know
//! of training.

use std::sync::Arc;

use crate::Parameters;
use crate::kernels::activation::Nonlinearity;
use crate::kernels::buffer::Buffer;
use crate::kernels::depthwise::Depthwise;
use crate::kernels::panels::Panels;
use crate::kernels::parallel::{self, Disjoint};
use crate::kernels::product::Product;
use crate::kernels::rows::Affine;
use crate::kernels::rows::{ColumnSums, Extent, Finish, NormActivate, ScaleChannels};
use crate::kernels::window::Window;

use super::context::{Context, Grid};
use super::convolve::transposed_panels;
use super::gated::GatePanels;
use super::norm::Constants;
use super::plan::{BlockPlan, Convolution, Kind, NeckPlan, Plan, SqueezePlan, Top};
use super::regressor::double;
use super::{Images, Inner, NetworkError};

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

/// A network with weights, ready to infer.
pub struct Inference {
    inner: Arc<Inner>,
    parameters: Parameters,
    stem: Folded,
    blocks: Vec<FoldedBlock>,
    top: FoldedTop,
}

/// A convolution whose norm is part of its weights.
struct Folded {
    of: Convolution,
    weights: FoldedWeights,
    bias: Vec<f32>,
    /// A mean of zero and a gain of one, for kernels that apply a norm.
    neutral: [Vec<f32>; 2],
}

enum FoldedWeights {
    Panels(Panels),
    Depthwise(Buffer),
    /// One for each phase of the doubled grid, and the gain, which is not folded.
    Transposed(Vec<Panels>, Vec<f32>),
}

struct FoldedBlock {
    fused: Option<Folded>,
    expand: Option<Folded>,
    depthwise: Option<Folded>,
    squeeze: Option<GatePanels>,
    project: Option<Folded>,
}

#[allow(clippy::large_enum_variant, reason = "a network has one")]
enum FoldedTop {
    Classifier {
        head: Folded,
        linear: Folded,
    },
    Regressor {
        neck: Vec<(Folded, Option<Folded>)>,
        heads: Box<[[Folded; 2]; 2]>,
    },
}

impl Folded {
    fn new(context: &Context<'_>, of: &Convolution, statistics: &[f32], epsilon: f64) -> Folded {
        let weight = &context.decayed[of.weight.clone()];
        let (gain, bias) = match &of.norm {
            Some(norm) => Constants::running(norm, context.plain, statistics, epsilon).folded(),
            None => {
                let bias = of.bias.clone().unwrap_or_default();
                (vec![1.0; of.outputs], context.plain[bias].to_vec())
            }
        };
        let weights = match of.kind {
            Kind::Dense => {
                let depth = weight.len() / of.outputs;
                let column = |n: usize| &weight[n * depth..(n + 1) * depth];
                let panels =
                    Panels::from_columns(context.pool, context.set, depth, of.outputs, column, Some(&gain));
                FoldedWeights::Panels(panels)
            }
            Kind::Depthwise => {
                let mut folded = context.pool.copy(weight);
                for tap in folded.chunks_exact_mut(of.outputs) {
                    tap.iter_mut()
                        .zip(&gain)
                        .for_each(|(weight, gain)| *weight *= gain);
                }
                FoldedWeights::Depthwise(folded)
            }
            Kind::Transposed => {
                // Phases don't depend on the size of the grid.
                let window = context.window(of, (2, 2), None);
                FoldedWeights::Transposed(transposed_panels(context, of, &window), gain)
            }
        };
        Folded {
            of: of.clone(),
            weights,
            neutral: [vec![0.0; bias.len()], vec![1.0; bias.len()]],
            bias,
        }
    }

    /// Bias (and gain, where that is not folded) as a norm.
    fn affine(&self) -> Affine<'_> {
        Affine {
            mean: &self.neutral[0],
            gain: match &self.weights {
                FoldedWeights::Transposed(_, gain) => gain,
                _ => &self.neutral[1],
            },
            shift: &self.bias,
        }
    }

    fn window(&self, context: &Context<'_>, size: (usize, usize), target: Option<(usize, usize)>) -> Window {
        context.window(&self.of, size, target)
    }

    /// One image, without bias and activation. Gives the grid of the result.
    fn image(
        &self,
        context: &Context<'_>,
        size: (usize, usize),
        target: Option<(usize, usize)>,
        from: &[f32],
        out: &mut [f32],
    ) {
        let window = self.window(context, size, target);
        let inputs = self.of.inputs;
        match &self.weights {
            FoldedWeights::Panels(panels) if window.is_pointwise() => {
                context.set.run(Product::plain(from, panels, out, false));
            }
            FoldedWeights::Panels(panels) => {
                let border = window.bordered_large();
                let mut grid = context.pool.take(border.len(inputs));
                border.copy(inputs, size.1, from, &mut grid);
                window.gather(context.set, &grid, inputs, panels, out);
            }
            FoldedWeights::Depthwise(_) => {
                let border = window.bordered_large();
                let mut grid = context.pool.take(border.len(inputs));
                border.copy(inputs, size.1, from, &mut grid);
                self.depthwise(context, &window, &grid, out);
            }
            FoldedWeights::Transposed(panels, _) => {
                let border = window.bordered_small();
                let mut grid = context.pool.take(border.len(inputs));
                border.copy(inputs, size.1, from, &mut grid);
                window.spread(context.set, &grid, inputs, panels, out, false);
            }
        }
    }

    fn depthwise(&self, context: &Context<'_>, window: &Window, grid: &[f32], out: &mut [f32]) {
        if let FoldedWeights::Depthwise(weights) = &self.weights {
            context.set.run(Depthwise {
                channels: self.of.inputs,
                kernel: self.of.kernel,
                stride: self.of.stride,
                grid,
                pitch: window.bordered_large().pitch(self.of.inputs),
                weights,
                lines: window.small.0,
                steps: window.small.1,
                out,
            });
        }
    }

    /// Adds the bias, activates, adds a shortcut.
    fn finish(
        &self,
        context: &Context<'_>,
        nonlinearity: Nonlinearity,
        shortcut: Option<&[f32]>,
        values: &mut [f32],
    ) {
        if let FoldedWeights::Transposed(_, gain) = &self.weights {
            context.set.run(ScaleChannels { values, gate: gain });
        }
        context.set.run(Finish {
            extent: Extent::flat(values.len() / self.of.outputs, self.of.outputs),
            values,
            values_line: 0,
            bias: &self.bias,
            nonlinearity,
            shortcut,
        });
    }

    /// A batch, with bias, activation and shortcut.
    fn batch(
        &self,
        context: &Context<'_>,
        grid: Grid,
        target: Option<(usize, usize)>,
        input: &[f32],
        nonlinearity: Nonlinearity,
        shortcut: Option<&[f32]>,
    ) -> (Buffer, Grid) {
        let window = self.window(context, grid.size(), target);
        let size = if self.of.kind == Kind::Transposed {
            window.large
        } else {
            window.small
        };
        let out_grid = grid.with_size(size);
        let (from, to) = (
            grid.of_image() * self.of.inputs,
            out_grid.of_image() * self.of.outputs,
        );
        let mut out = context.pool.take(grid.count * to);
        let parts = Disjoint::new(&mut out);
        parallel::for_each(grid.count, |image| {
            // SAFETY: images do not overlap.
            #[allow(unsafe_code)]
            let out = unsafe { parts.part(image * to..(image + 1) * to) };
            let own = &input[image * from..(image + 1) * from];
            self.image(context, grid.size(), target, own, out);
            let shortcut = shortcut.map(|shortcut| &shortcut[image * to..(image + 1) * to]);
            self.finish(context, nonlinearity, shortcut, out);
        });
        (out, out_grid)
    }
}

impl FoldedBlock {
    fn new(context: &Context<'_>, plan: &BlockPlan, statistics: &[f32], epsilon: f64) -> FoldedBlock {
        let fold = |of: &Option<Convolution>| {
            of.as_ref()
                .map(|of| Folded::new(context, of, statistics, epsilon))
        };
        FoldedBlock {
            fused: fold(&plan.fused),
            expand: fold(&plan.expand),
            depthwise: fold(&plan.depthwise),
            squeeze: plan
                .squeeze
                .as_ref()
                .map(|squeeze| GatePanels::new(context, squeeze)),
            project: fold(&plan.project),
        }
    }

    /// A batch through the block.
    fn batch(&self, context: &Context<'_>, plan: &BlockPlan, grid: Grid, input: &[f32]) -> (Buffer, Grid) {
        let Some(inner) = self.fused.as_ref().or(self.depthwise.as_ref()) else {
            unreachable!("a block has a k×k convolution");
        };
        let out_grid = grid.with_size(inner.window(context, grid.size(), None).small);
        let last = self.project.as_ref().unwrap_or(inner);
        let from = grid.of_image() * input_channels(plan, inner);
        let to = out_grid.of_image() * last.of.outputs;
        let mut out = context.pool.take(grid.count * to);
        let parts = Disjoint::new(&mut out);
        parallel::for_each(grid.count, |image| {
            // SAFETY: images do not overlap.
            #[allow(unsafe_code)]
            let out = unsafe { parts.part(image * to..(image + 1) * to) };
            let own = &input[image * from..(image + 1) * from];
            self.image(context, plan, grid.size(), out_grid.size(), own, out);
        });
        (out, out_grid)
    }

    fn image(
        &self,
        context: &Context<'_>,
        plan: &BlockPlan,
        size: (usize, usize),
        out_size: (usize, usize),
        input: &[f32],
        out: &mut [f32],
    ) {
        let activation = context.activation;
        let shortcut = plan.skip.then_some(input);
        let places = out_size.0 * out_size.1;
        let Some(project) = &self.project else {
            if let Some(fused) = &self.fused {
                fused.image(context, size, None, input, out);
                fused.finish(context, activation, shortcut, out);
            }
            return;
        };
        let mut inner = context.pool.take(places * project.of.inputs);
        if let Some(fused) = &self.fused {
            fused.image(context, size, None, input, &mut inner);
            fused.finish(context, activation, None, &mut inner);
        }
        if let Some(depthwise) = &self.depthwise {
            self.depthwise_image(context, depthwise, size, input, &mut inner);
            depthwise.finish(context, activation, None, &mut inner);
        }
        if let (Some(panels), Some(squeeze)) = (&self.squeeze, &plan.squeeze) {
            gate(context, panels, squeeze, places, &mut inner);
        }
        project.image(context, out_size, None, &inner, out);
        project.finish(context, Nonlinearity::Identity, shortcut, out);
    }

    /// Expansion, written straight into the bordered grid that the depthwise windows read.
    fn depthwise_image(
        &self,
        context: &Context<'_>,
        depthwise: &Folded,
        size: (usize, usize),
        input: &[f32],
        out: &mut [f32],
    ) {
        let window = depthwise.window(context, size, None);
        let (border, channels) = (window.bordered_large(), depthwise.of.inputs);
        let mut grid = context.pool.take(border.len(channels));
        match &self.expand {
            None => border.copy(channels, size.1, input, &mut grid),
            Some(expand) => {
                let mut wide = context.pool.take(size.0 * size.1 * channels);
                expand.image(context, size, None, input, &mut wide);
                border.clear(channels, &mut grid);
                context.set.run(NormActivate {
                    extent: Extent {
                        lines: border.lines,
                        steps: border.steps,
                        channels,
                    },
                    from: &wide,
                    from_line: size.1 * channels,
                    affine: expand.affine(),
                    nonlinearity: context.activation,
                    to: &mut grid[border.start(channels)..],
                    to_line: border.pitch(channels),
                });
            }
        }
        depthwise.depthwise(context, &window, &grid, out);
    }
}

fn input_channels(plan: &BlockPlan, inner: &Folded) -> usize {
    plan.expand
        .as_ref()
        .map_or(inner.of.inputs, |expand| expand.inputs)
}

/// Squeeze-and-excite of one image, in place.
fn gate(context: &Context<'_>, panels: &GatePanels, plan: &SqueezePlan, places: usize, values: &mut [f32]) {
    let channels = plan.excite.outputs;
    let mut pooled = context.pool.zeros(channels);
    context.set.run(ColumnSums {
        rows: values,
        factor: 1.0 / places as f32,
        sums: &mut pooled,
    });
    let mut narrow = context.pool.take(plan.squeeze.outputs);
    let mut gate = context.pool.take(channels);
    panels.gate(context, plan, &pooled, &mut narrow, &mut gate);
    context.set.run(ScaleChannels { values, gate: &gate });
}

impl Inference {
    pub(super) fn new(inner: &Arc<Inner>, parameters: &Parameters, statistics: &[f32]) -> Inference {
        let context = inner.context(parameters.decayed.values(), parameters.plain.values());
        let epsilon = inner.architecture.backbone.norm.epsilon;
        let fold = |of: &Convolution| Folded::new(&context, of, statistics, epsilon);
        let plan = &inner.plan;
        let top = match &plan.top {
            Top::Classifier { head, linear, .. } => FoldedTop::Classifier {
                head: fold(head),
                linear: fold(linear),
            },
            Top::Regressor { neck, heads } => FoldedTop::Regressor {
                neck: neck
                    .iter()
                    .map(|step| (fold(&step.upsample), step.lateral.as_ref().map(fold)))
                    .collect(),
                heads: Box::new(
                    [0, 1].map(|head: usize| [fold(&heads[head].hidden), fold(&heads[head].output)]),
                ),
            },
        };
        Inference {
            stem: fold(&plan.stem),
            blocks: plan
                .blocks
                .iter()
                .map(|block| FoldedBlock::new(&context, block, statistics, epsilon))
                .collect(),
            top,
            inner: Arc::clone(inner),
            parameters: parameters.clone(),
        }
    }

    fn context(&self) -> Context<'_> {
        self.inner
            .context(self.parameters.decayed.values(), self.parameters.plain.values())
    }

    fn plan(&self) -> &Plan {
        &self.inner.plan
    }

    /// A classifier's logits, `images · classes`.
    ///
    /// # Errors
    /// Where the images have other numbers than their shape says, or the network is no classifier.
    pub fn logits(&self, images: Images<'_>) -> Result<Vec<f32>, NetworkError> {
        Ok(self.logits_and_features(images)?.0)
    }

    /// A classifier's logits, and the features whose mean over places the last layer reads: the
    /// weights of a class times these give its class activation map.
    ///
    /// # Errors
    /// As for [`Inference::logits`].
    pub fn logits_and_features(&self, images: Images<'_>) -> Result<(Vec<f32>, Grids), NetworkError> {
        images.check(3)?;
        let FoldedTop::Classifier { head, linear } = &self.top else {
            return Err(NetworkError::NoClassifier);
        };
        let context = self.context();
        let (out, grid, _) = self.backbone(images, &[]);
        let (features, grid) = head.batch(&context, grid, None, &out, context.activation, None);
        let channels = head.of.outputs;
        let mut pooled = context.pool.zeros(grid.count * channels);
        for (image, to) in pooled.chunks_exact_mut(channels).enumerate() {
            let len = grid.of_image() * channels;
            context.set.run(ColumnSums {
                rows: &features[image * len..(image + 1) * len],
                factor: 1.0 / grid.of_image() as f32,
                sums: to,
            });
        }
        let places = Grid {
            count: grid.count,
            height: 1,
            width: 1,
        };
        let (logits, _) = linear.batch(&context, places, None, &pooled, Nonlinearity::Identity, None);
        let features = grids(&features, grid, channels);
        Ok((logits.to_vec(), features))
    }

    /// A regressor's maps: logits of heat (one channel per class), and inner diameters (width,
    /// height).
    ///
    /// # Errors
    /// Where the images have other numbers than their shape says, or the network is no regressor.
    pub fn maps(&self, images: Images<'_>) -> Result<[Grids; 2], NetworkError> {
        images.check(3)?;
        let (FoldedTop::Regressor { neck, heads }, Top::Regressor { neck: steps, .. }) =
            (&self.top, &self.plan().top)
        else {
            return Err(NetworkError::NoRegressor);
        };
        let context = self.context();
        let joins: Vec<usize> = steps.iter().filter_map(|step| step.grid).collect();
        let (mut out, mut grid, joined) = self.backbone(images, &joins);
        for ((up, lateral), step) in neck.iter().zip(steps) {
            let join = joined.iter().find(|(block, ..)| Some(*block) == step.grid);
            (out, grid) = neck_step(&context, step, (up, lateral.as_ref()), grid, &out, join);
        }
        Ok([0, 1].map(|head: usize| {
            let [hidden, output] = &heads[head];
            let (inside, grid) = hidden.batch(&context, grid, None, &out, context.activation, None);
            let (map, grid) = output.batch(&context, grid, None, &inside, Nonlinearity::Identity, None);
            grids(&map, grid, output.of.outputs)
        }))
    }

    /// The last block's output, and those of the blocks in `joins`.
    fn backbone(&self, images: Images<'_>, joins: &[usize]) -> (Buffer, Grid, Vec<(usize, Grid, Buffer)>) {
        let context = self.context();
        let (mut out, mut grid) = self.stem.batch(
            &context,
            images.grid(),
            None,
            images.pixels,
            context.activation,
            None,
        );
        let mut joined = Vec::new();
        for (index, (block, plan)) in self.blocks.iter().zip(&self.plan().blocks).enumerate() {
            (out, grid) = block.batch(&context, plan, grid, &out);
            if joins.contains(&index) {
                joined.push((index, grid, context.pool.copy(&out)));
            }
        }
        (out, grid, joined)
    }
}

fn neck_step(
    context: &Context<'_>,
    plan: &NeckPlan,
    (up, lateral): (&Folded, Option<&Folded>),
    grid: Grid,
    input: &[f32],
    join: Option<&(usize, Grid, Buffer)>,
) -> (Buffer, Grid) {
    let target = join.map_or((2 * grid.height, 2 * grid.width), |(_, grid, _)| grid.size());
    let large = grid.with_size(target);
    let side = lateral.zip(join).map(|(lateral, (_, grid, features))| {
        lateral
            .batch(context, *grid, None, features, Nonlinearity::Identity, None)
            .0
    });
    if plan.upsample.kind == Kind::Transposed {
        up.batch(
            context,
            grid,
            Some(target),
            input,
            context.activation,
            side.as_deref(),
        )
    } else {
        let doubled = double(context, plan.upsample.inputs, grid, input, large);
        up.batch(
            context,
            large,
            None,
            &doubled,
            context.activation,
            side.as_deref(),
        )
    }
}

fn grids(values: &[f32], grid: Grid, channels: usize) -> Grids {
    Grids {
        values: values.to_vec(),
        count: grid.count,
        height: grid.height,
        width: grid.width,
        channels,
    }
}
