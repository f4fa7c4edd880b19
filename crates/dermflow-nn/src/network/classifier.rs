//! The top of a classifier: 1x1 convolution, mean over places, dropout, linear.
//!
//! Must not know what is below.

use std::sync::Arc;

use crate::kernels::activation::Nonlinearity;
use crate::kernels::buffer::Buffer;
use crate::kernels::panels::Panels;
use crate::kernels::parallel;
use crate::kernels::product::{End, Finishing, Product};
use crate::kernels::rows::{ColumnSums, Extent, NormActivate};

use super::block::{Forward, activation_back, convolution_back};
use super::context::{Context, Gradients, Grid, Normed, Source, one_sum};
use super::convolve_back::Downstream;
use super::plan::Convolution;

/// What the backward pass needs.
pub(super) struct SavedClassifier {
    input: Arc<Buffer>,
    grid: Grid,
    head: Normed,
    /// Features as the linear layer read them.
    features: Buffer,
    dropout: Option<Vec<f32>>,
}

/// Means over places of `act(norm(y))`, `[images, channels]`.
pub(super) fn pooled(context: &Context<'_>, from: &Normed) -> Buffer {
    let channels = from.channels();
    let places = from.grid.of_image();
    let mut features = context.pool.zeros(from.grid.count * channels);
    parallel::for_each(parallel::equal(&mut features, from.grid.count), |image, to| {
        let mut value = context.pool.take(places * channels);
        context.set.run(NormActivate {
            extent: Extent::flat(places, channels),
            from: from.image(image),
            from_line: 0,
            affine: from.affine(),
            nonlinearity: from.nonlinearity,
            to: &mut value,
            to_line: 0,
        });
        context.set.run(ColumnSums {
            rows: &value,
            factor: 1.0 / places as f32,
            sums: to,
        });
    });
    features
}

/// A linear layer over rows: `[rows, inputs]` to `[rows, outputs]`.
pub(super) fn linear(context: &Context<'_>, of: &Convolution, rows: &[f32]) -> Vec<f32> {
    let weight = &context.decayed[of.weight.clone()];
    let column = |n: usize| &weight[n * of.inputs..(n + 1) * of.inputs];
    let panels = Panels::from_columns(context.pool, context.set, of.inputs, of.outputs, column, None);
    let mut out = vec![0.0; rows.len() / of.inputs * of.outputs];
    let bias = of.bias.clone().unwrap_or_default();
    let end = End::Finish(Finishing {
        gain: None,
        bias: &context.plain[bias],
        nonlinearity: Nonlinearity::Identity,
        shortcut: None,
    });
    context.set.run(Product::plain(rows, panels.all(), &mut out, end));
    out
}

impl Forward<'_> {
    /// Logits `[images, classes]`; `dropout` has a factor for every feature of every image.
    pub(super) fn classifier(
        &mut self,
        head: &Convolution,
        last: &Convolution,
        grid: Grid,
        input: Arc<Buffer>,
        dropout: Option<Vec<f32>>,
    ) -> (Vec<f32>, SavedClassifier) {
        let activation = self.context.activation;
        let normed = self.convolution(head, grid, Source::Plain(&input), None, activation);
        let mut features = pooled(&self.context, &normed);
        if let Some(dropout) = &dropout {
            scale(&mut features, dropout);
        }
        let logits = linear(&self.context, last, &features);
        let saved = SavedClassifier {
            input,
            grid,
            head: normed,
            features,
            dropout,
        };
        (logits, saved)
    }
}

fn scale(values: &mut [f32], factors: &[f32]) {
    for (value, factor) in values.iter_mut().zip(factors) {
        *value *= factor;
    }
}

impl SavedClassifier {
    /// What the top has read, and its grid.
    pub(super) fn input(&self) -> (Grid, Arc<Buffer>) {
        (self.grid, Arc::clone(&self.input))
    }

    /// From the logits' gradient to the input's, if that is wanted (`below`); only the linear
    /// layer's weights are trained without `trained`.
    pub(super) fn back(
        self,
        context: &Context<'_>,
        head: &Convolution,
        last: &Convolution,
        logits_gradient: &[f32],
        gradients: &mut Gradients<'_>,
        (trained, below): (bool, bool),
    ) -> Option<Buffer> {
        let (count, channels) = (self.grid.count, last.inputs);
        let weight_gradient = &mut gradients.decayed[last.weight.clone()];
        let up = (logits_gradient, last.outputs);
        one_sum(context.set, up, (&self.features, channels), weight_gradient);
        if let Some(bias) = &last.bias {
            context.set.run(ColumnSums {
                rows: logits_gradient,
                factor: 1.0,
                sums: &mut gradients.plain[bias.clone()],
            });
        }
        if !trained {
            return None;
        }
        let weight = &context.decayed[last.weight.clone()];
        let panels = Panels::from_rows(context.pool, context.set, last.outputs, channels, |k| {
            &weight[k * channels..(k + 1) * channels]
        });
        let mut features = context.pool.take(count * channels);
        let product = Product::plain(logits_gradient, panels.all(), &mut features, End::Store);
        context.set.run(product);
        if let Some(dropout) = &self.dropout {
            scale(&mut features, dropout);
        }
        let places = self.head.grid.of_image();
        let mut gradient = context.pool.take(count * places * channels);
        let share = 1.0 / places as f32;
        parallel::for_each(parallel::equal(&mut gradient, count), |image, to| {
            for place in to.chunks_exact_mut(channels) {
                let from = &features[image * channels..(image + 1) * channels];
                for (to, from) in place.iter_mut().zip(from) {
                    *to = from * share;
                }
            }
        });
        let sums = activation_back(context, &self.head, &mut gradient, None);
        let downstream = if below {
            Downstream::Wanted(None)
        } else {
            Downstream::Unwanted
        };
        let source = Source::Plain(&self.input);
        let gone = convolution_back(
            context, head, self.grid, source, &self.head, &gradient, &sums, gradients, downstream,
        );
        gone.gradient
    }
}
