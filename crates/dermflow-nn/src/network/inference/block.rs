//! [`FoldedBlock`]: a block over some images at once.
//!
//! The channels of an inverted block's inside don't meet before squeeze-and-excite: a panel's
//! worth of them is expanded, convolved and averaged at a time, in a grid that stays in a near
//! cache. Must not know which blocks a network has.

use crate::kernels::activation::Nonlinearity;
use crate::kernels::bordered::Bordered;
use crate::kernels::depthwise::{self, Depthwise};
use crate::kernels::product::{Distances, End, Places, Product};
use crate::kernels::rows::ScaleChannels;
use crate::kernels::window::Window;

use super::super::Inner;
use super::super::context::{Context, Grid};
use super::super::gated::{self, GatePanels};
use super::super::plan::{BlockPlan, Convolution, SqueezePlan};
use super::Loading;
use super::folded::Folded;

/// A block with its weights as kernels read them.
pub(super) struct FoldedBlock {
    fused: Option<Folded>,
    expand: Option<Folded>,
    depthwise: Option<Folded>,
    squeeze: Option<Squeeze>,
    project: Option<Folded>,
    skip: bool,
}

struct Squeeze {
    panels: GatePanels,
    biases: [Vec<f32>; 2],
}

impl FoldedBlock {
    pub(super) fn new(inner: &Inner, plan: &BlockPlan, loading: &Loading<'_>) -> FoldedBlock {
        let fold = |of: &Option<Convolution>| of.as_ref().map(|of| loading.fold(inner, of));
        let context = inner.context(&loading.decayed, &loading.plain);
        let squeeze = |plan: &SqueezePlan| Squeeze {
            panels: GatePanels::new(&context, plan),
            biases: [&plan.squeeze, &plan.excite].map(|of| gated::bias(&context, of).to_vec()),
        };
        FoldedBlock {
            fused: fold(&plan.fused),
            expand: fold(&plan.expand),
            depthwise: fold(&plan.depthwise),
            squeeze: plan.squeeze.as_ref().map(squeeze),
            project: fold(&plan.project),
            skip: plan.skip,
        }
    }

    /// The k×k convolution.
    fn inner(&self) -> &Folded {
        let inner = self.fused.as_ref().or(self.depthwise.as_ref());
        inner.unwrap_or_else(|| unreachable!("a block has a k×k convolution"))
    }

    /// How many numbers the weights are, as kernels read them.
    pub(super) fn numbers(&self) -> usize {
        let folded = [&self.fused, &self.expand, &self.depthwise, &self.project];
        let folded = folded.into_iter().flatten().map(Folded::numbers);
        folded.sum::<usize>()
            + self
                .squeeze
                .as_ref()
                .map_or(0, |squeeze| squeeze.panels.numbers())
    }

    /// Channels of the output.
    pub(super) fn outputs(&self) -> usize {
        self.project.as_ref().unwrap_or(self.inner()).of.outputs
    }

    /// The grid of the output.
    pub(super) fn grid(&self, context: &Context<'_>, from: Grid) -> Grid {
        self.inner().grid(context, from, None)
    }

    /// Some images through the block.
    pub(super) fn run(&self, context: &Context<'_>, from: Grid, input: &[f32], out: &mut [f32]) {
        let shortcut = self.skip.then_some(input);
        let inner = self.inner();
        let to = self.grid(context, from);
        let activated = |shortcut| inner.finishing(context.activation, shortcut);
        let inside = |out: &mut [f32], shortcut| match &self.depthwise {
            Some(depthwise) => self.inverted(context, depthwise, from, input, out),
            None => inner.run(context, from, None, input, activated(shortcut), out),
        };
        // Without a projection there is a fused convolution, or a depthwise one by itself.
        let Some(project) = &self.project else {
            return inside(out, shortcut);
        };
        let mut values = context.pool.take(to.places() * project.of.inputs);
        inside(&mut values, None);
        let finishing = project.finishing(Nonlinearity::Identity, shortcut);
        project.run(context, to, None, &values, finishing, out);
    }

    /// Expansion, depthwise convolution, squeeze-and-excite.
    fn inverted(
        &self,
        context: &Context<'_>,
        depthwise: &Folded,
        from: Grid,
        input: &[f32],
        inside: &mut [f32],
    ) {
        let channels = depthwise.of.inputs;
        let window = depthwise.window(context, from, None);
        let mut means = context.pool.take(match self.squeeze {
            Some(_) => from.count * channels,
            None => 0,
        });
        let mut layer = Layer {
            context,
            of: depthwise,
            border: window.bordered_large(),
            window,
            inside,
            means: self.squeeze.is_some().then_some(&mut *means),
        };
        match &self.expand {
            Some(expand) => layer.expanded(expand, from, input),
            None => layer.copied(from, input),
        }
        if let Some(squeeze) = &self.squeeze {
            squeeze.run(context, &means, inside);
        }
    }
}

impl Squeeze {
    /// Gates some images by their means over places.
    fn run(&self, context: &Context<'_>, means: &[f32], values: &mut [f32]) {
        let [narrow, channels] = [0, 1].map(|layer: usize| self.biases[layer].len());
        let count = means.len() / channels;
        let mut inside = context.pool.take(count * narrow);
        let mut gates = context.pool.take(count * channels);
        let biases = [&self.biases[0][..], &self.biases[1]];
        self.panels.gate(context, biases, means, &mut inside, &mut gates);
        let images = values.chunks_exact_mut(values.len() / count);
        for (values, gate) in images.zip(gates.chunks_exact(channels)) {
            context.set.run(ScaleChannels { values, gate });
        }
    }
}

/// A depthwise convolution of some images.
struct Layer<'a> {
    context: &'a Context<'a>,
    of: &'a Folded,
    window: Window,
    border: Bordered,
    /// The result, and its means over places where they are wanted.
    inside: &'a mut [f32],
    means: Option<&'a mut [f32]>,
}

impl Layer<'_> {
    /// Of the input expanded, some channels at a time.
    fn expanded(&mut self, expand: &Folded, from: Grid, input: &[f32]) {
        let (context, border, inputs) = (self.context, self.border, expand.of.inputs);
        let end = End::Finish(expand.finishing(context.activation, None));
        let widest = expand.panels().map(|panel| panel.columns().len()).max();
        let mut grids = context.pool.take(from.count * border.len(widest.unwrap_or(0)));
        let mut cleared = 0;
        for right in expand.panels() {
            let columns = right.columns();
            let wide = columns.len();
            let len = border.len(wide);
            if cleared != wide {
                for grid in grids.chunks_exact_mut(len).take(from.count) {
                    border.clear(wide, grid);
                }
                cleared = wide;
            }
            context.set.run(Product {
                left: input,
                places: Places {
                    images: from.count,
                    lines: border.lines,
                    steps: border.steps,
                },
                left_distances: Distances {
                    image: from.of_image() * inputs,
                    line: from.width * inputs,
                    step: inputs,
                },
                runs: 1,
                run_pitch: 0,
                run_length: inputs,
                right,
                out: &mut grids[border.start(wide)..],
                out_distances: Distances {
                    image: len,
                    line: border.pitch(wide),
                    step: wide,
                },
                end,
            });
            for (image, grid) in grids.chunks_exact(len).take(from.count).enumerate() {
                self.image(image, grid, (columns.start, wide));
            }
        }
    }

    /// Of the input as it is.
    fn copied(&mut self, from: Grid, input: &[f32]) {
        let (border, channels) = (self.border, self.of.of.inputs);
        let mut grid = self.context.pool.take(border.len(channels));
        let images = input.chunks_exact(from.of_image() * channels);
        for (image, input) in images.enumerate() {
            border.copy(channels, from.width, input, &mut grid);
            self.image(image, &grid, (0, channels));
        }
    }

    /// Some channels (the first, and how many) of one image in its bordered grid.
    fn image(&mut self, image: usize, grid: &[f32], (first, wide): (usize, usize)) {
        let channels = self.of.of.inputs;
        let (lines, steps) = self.window.small;
        let means = self.means.as_deref_mut();
        self.context.set.run(Depthwise {
            channels: wide,
            kernel: self.of.of.kernel,
            stride: self.of.of.stride,
            grid,
            pitch: self.border.pitch(wide),
            grid_step: wide,
            weights: &self.of.depthwise()[first..],
            weights_step: channels,
            lines,
            steps,
            out: &mut self.inside[image * lines * steps * channels + first..],
            out_step: channels,
            finish: Some(depthwise::Finish {
                bias: &self.of.bias[first..],
                nonlinearity: self.context.activation,
                means: means.map(|means| &mut means[image * channels + first..]),
            }),
        });
    }
}
