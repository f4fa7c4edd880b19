//! [`Layer`]: one layer of a network by itself, to see what it costs: the very functions that a
//! whole network runs.
//!
//! Must not know how time is measured.

use crate::Parameters;
use crate::kernels::buffer::Buffer;

use super::block::{Forward, activation_back, block_back, convolution_back, merge};
use super::context::{Gradients, Grid, Normed, Source};
use super::convolve_back::Downstream;
use super::inference::Alone;
use super::plan::{BlockPlan, Convolution};
use super::{Images, Network, NetworkError};

/// Which layer of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first convolution, its norm and activation.
    Stem,
    /// The k×k convolution of a block, its norm and activation.
    Window(usize),
    /// What follows that convolution, by itself: norm and activation. While training, the norm's
    /// moments are taken by the convolution, and are not part of this.
    Norm(usize),
    /// A whole block.
    Block(usize),
}

/// A layer with a batch of inputs and of its output's gradients.
pub struct Layer<'a> {
    network: &'a Network,
    parameters: Parameters,
    statistics: Vec<f32>,
    part: Part,
    grid: Grid,
    input: Buffer,
    /// The convolution's output, for [`Part::Norm`].
    normed: Option<Normed>,
    alone: Alone,
    gradients: [Vec<f32>; 2],
}

impl<'a> Layer<'a> {
    /// The layer of a network; `images` are its input, of so many `channels`, in the place of the
    /// network's.
    ///
    /// # Errors
    /// Where weights or images have another length than the network or their shape asks for, or
    /// there is no such layer.
    pub fn new(
        network: &'a Network,
        parameters: Parameters,
        mut statistics: Vec<f32>,
        part: Part,
        images: Images<'_>,
    ) -> Result<Layer<'a>, NetworkError> {
        network.check_weights(&parameters, &statistics)?;
        let inner = &network.inner;
        let (block, of) = (block(network, part), convolution(network, part));
        let (Some(of), grid) = (of, images.grid()) else {
            return Err(NetworkError::NoLayer);
        };
        images.check(of.inputs)?;
        let context = inner.context(parameters.decayed.values(), parameters.plain.values());
        let input = context.pool.copy(images.pixels);
        let normed = matches!(part, Part::Norm(_)).then(|| {
            let mut forward = Forward {
                context,
                norm: inner.architecture.backbone.norm,
                statistics: &mut statistics,
                frozen_stages: 0,
            };
            forward.convolution(of, grid, Source::Plain(&input), None, context.activation)
        });
        let whole = block.filter(|_| matches!(part, Part::Block(_)));
        let alone = Alone::new(inner, of, whole, (&parameters, &statistics));
        let gradients = [&parameters.decayed, &parameters.plain].map(|flat| vec![0.0; flat.values().len()]);
        Ok(Layer {
            network,
            parameters,
            statistics,
            part,
            grid,
            input,
            normed,
            alone,
            gradients,
        })
    }

    /// Inference: norms are part of the weights.
    pub fn infer(&self) {
        let context = self.network.inner.context(&[], &[]);
        match &self.normed {
            Some(normed) => drop(merge(&context, normed, None, None)),
            None => drop(self.alone.run(&context, self.grid, &self.input)),
        }
    }

    /// Forward with batch statistics, and backward to the weights and the input.
    pub fn train(&mut self) {
        let inner = &self.network.inner;
        let context = inner.context(self.parameters.decayed.values(), self.parameters.plain.values());
        let [decayed, plain] = &mut self.gradients;
        let mut gradients = Gradients { decayed, plain };
        let mut forward = Forward {
            context,
            norm: inner.architecture.backbone.norm,
            statistics: &mut self.statistics,
            frozen_stages: 0,
        };
        if let Part::Block(_) = self.part
            && let Some(plan) = block(self.network, self.part)
        {
            // The output is a gradient as large as the output.
            let (gradient, saved) = forward.block(plan, self.grid, &self.input, None);
            drop(block_back(
                &context,
                plan,
                saved,
                &self.input,
                gradient,
                &mut gradients,
                true,
            ));
            return;
        }
        if let Some(normed) = &self.normed {
            let mut gradient = merge(&context, normed, None, None);
            activation_back(&context, normed, &mut gradient, None);
            return;
        }
        let Some(of) = convolution(self.network, self.part) else {
            return;
        };
        let source = Source::Plain(&self.input);
        let normed = forward.convolution(of, self.grid, source, None, context.activation);
        let mut gradient = merge(&context, &normed, None, None);
        let sums = activation_back(&context, &normed, &mut gradient, None);
        let downstream = match self.part {
            Part::Stem => Downstream::Unwanted,
            Part::Window(_) | Part::Norm(_) | Part::Block(_) => Downstream::Wanted(None),
        };
        convolution_back(
            &context,
            of,
            self.grid,
            source,
            &normed,
            &gradient,
            &sums,
            &mut gradients,
            downstream,
        );
    }
}

fn block(network: &Network, part: Part) -> Option<&BlockPlan> {
    match part {
        Part::Stem => None,
        Part::Window(block) | Part::Norm(block) | Part::Block(block) => network.inner.plan.blocks.get(block),
    }
}

/// The first convolution of the layer.
fn convolution(network: &Network, part: Part) -> Option<&Convolution> {
    let Some(block) = block(network, part) else {
        return matches!(part, Part::Stem).then_some(&network.inner.plan.stem);
    };
    let window = block.fused.as_ref().or(block.depthwise.as_ref());
    match part {
        Part::Block(_) => block.expand.as_ref().or(window),
        Part::Stem | Part::Window(_) | Part::Norm(_) => window,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::architecture::{Named, Published};
    use crate::layout::Weights;

    #[test]
    fn layers_run_forward_and_back_and_add_to_their_gradients_alone() {
        let named = Named {
            width: 0.25,
            depth: 0.3,
            ..Named::plain(Published::EfficientNetV2B0)
        };
        let network = Network::new(&named.classifier(3).unwrap()).unwrap();
        let [decayed, plain, statistics] =
            Weights::initialise(Arc::clone(network.layout()), 1).into_buffers();
        let parameters = Parameters::new(decayed, plain);
        let parts = [
            Part::Stem,
            Part::Window(0),
            Part::Norm(0),
            Part::Block(0),
            Part::Block(3),
            Part::Window(3),
        ];
        for part in parts {
            let of = convolution(&network, part).unwrap();
            let numbers = 2 * 5 * 6 * of.inputs;
            let pixels: Vec<f32> = (0..numbers).map(|at| (at * at % 7) as f32 / 7.0).collect();
            let images = Images {
                pixels: &pixels,
                count: 2,
                height: 5,
                width: 6,
            };
            let mut layer =
                Layer::new(&network, parameters.clone(), statistics.clone(), part, images).unwrap();
            layer.infer();
            layer.train();
            let touched = layer.gradients[0].iter().any(|gradient| *gradient != 0.0);
            assert_eq!(touched, part != Part::Norm(0), "{part:?}");
            let outside = layer.gradients[0].iter().enumerate();
            let mut outside = outside.filter(|(at, _)| *at < of.weight.start);
            assert!(outside.all(|(_, gradient)| *gradient == 0.0), "{part:?}");
        }
        let wrong = Images {
            pixels: &[0.0; 4],
            count: 1,
            height: 1,
            width: 1,
        };
        for part in [Part::Block(99), Part::Stem] {
            assert!(Layer::new(&network, parameters.clone(), statistics.clone(), part, wrong).is_err());
        }
    }
}
