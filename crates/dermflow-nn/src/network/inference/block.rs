//! [`FoldedBlock`]: a block over some images at once. Must not know which blocks a network has.

use crate::kernels::activation::Nonlinearity;
use crate::kernels::rows::ScaleChannels;

use super::super::Inner;
use super::super::context::{Context, Grid};
use super::super::gated::{self, GatePanels};
use super::super::plan::{BlockPlan, Convolution, SqueezePlan};
use super::Loading;
use super::depthwise::{Inside, Layer};
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

    /// See [`Extent::rows`](super::segments::Extent::rows), for an output on this grid.
    pub(super) fn rows(&self, to: Grid) -> usize {
        self.inner().rows(to)
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
        let mut means = context.pool.take(match self.squeeze {
            Some(_) => from.count * channels,
            None => 0,
        });
        let layer = Layer::new(context, depthwise, from);
        let all = Inside {
            values: &mut *inside,
            means: self.squeeze.is_some().then_some(&mut *means),
            channels: 0..channels,
        };
        match &self.expand {
            Some(expand) => layer.expanded(expand, from, input, all),
            None => layer.copied(from, input, all),
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
