//! The network in float64, written as plainly as it can be: what the fast one is tested against.

use crate::architecture::{Activation, Architecture, BlockKind, Task, Upsampling};
use crate::layout::{Group, Layout, Slot, Unit};

use super::draws::Draws;

/// Numbers of a batch on a grid, channels last.
#[derive(Clone)]
pub(super) struct Batch {
    pub(super) values: Vec<f64>,
    pub(super) count: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
}

/// How norms behave, and what is drawn.
#[derive(Clone, Copy)]
pub(super) struct Manner<'a> {
    pub(super) draws: Option<Draws<'a>>,
    pub(super) of_batch: bool,
    pub(super) frozen_stages: usize,
}

/// A network's weights in float64.
pub(super) struct Reference<'a> {
    pub(super) architecture: &'a Architecture,
    pub(super) layout: &'a Layout,
    /// Decayed, plain, statistics.
    pub(super) buffers: [Vec<f64>; 3],
}

impl Batch {
    pub(super) fn new(count: usize, height: usize, width: usize, channels: usize) -> Batch {
        Batch {
            values: vec![0.0; count * height * width * channels],
            count,
            height,
            width,
            channels,
        }
    }

    fn at(&self, n: usize, y: usize, x: usize, c: usize) -> usize {
        ((n * self.height + y) * self.width + x) * self.channels + c
    }

    fn map(mut self, f: impl Fn(f64) -> f64) -> Batch {
        self.values.iter_mut().for_each(|value| *value = f(*value));
        self
    }

    fn plus(mut self, other: &Batch) -> Batch {
        assert_eq!(self.values.len(), other.values.len());
        self.values
            .iter_mut()
            .zip(&other.values)
            .for_each(|(a, b)| *a += b);
        self
    }
}

impl Reference<'_> {
    fn tensor(&self, unit: Unit, slot: Slot) -> Option<&[f64]> {
        let spec = self.layout.tensor(unit, slot)?;
        Some(&self.buffers[spec.group as usize][spec.range()])
    }

    fn act(&self, batch: Batch) -> Batch {
        match self.architecture.backbone.activation {
            Activation::Silu => batch.map(|x| x / (1.0 + (-x).exp())),
            Activation::Relu6 => batch.map(|x| x.clamp(0.0, 6.0)),
            Activation::Relu => batch.map(|x| x.max(0.0)),
        }
    }

    fn bias(&self, mut batch: Batch, unit: Unit) -> Batch {
        let bias = self.tensor(unit, Slot::Bias).unwrap();
        let channels = batch.channels;
        batch
            .values
            .iter_mut()
            .enumerate()
            .for_each(|(at, value)| *value += bias[at % channels]);
        batch
    }

    fn convolve(&self, input: &Batch, unit: Unit, stride: usize) -> Batch {
        let spec = self.layout.tensor(unit, Slot::Weight).unwrap();
        let weight = self.tensor(unit, Slot::Weight).unwrap();
        let depthwise = spec.shape.len() == 3;
        let (outputs, kernel) = match spec.shape[..] {
            [kernel, _, channels] => (channels, kernel),
            [outputs, kernel, ..] => (outputs, kernel),
            _ => unreachable!(),
        };
        let padding = self.architecture.backbone.padding;
        let (above, _) = padding.amounts(input.height, kernel, stride);
        let (left, _) = padding.amounts(input.width, kernel, stride);
        let mut out = Batch::new(
            input.count,
            input.height.div_ceil(stride),
            input.width.div_ceil(stride),
            outputs,
        );
        for n in 0..out.count {
            for y in 0..out.height {
                for x in 0..out.width {
                    for i in 0..kernel {
                        for j in 0..kernel {
                            let (from_y, from_x) = (y * stride + i, x * stride + j);
                            if from_y < above || from_x < left {
                                continue;
                            }
                            let (from_y, from_x) = (from_y - above, from_x - left);
                            if from_y >= input.height || from_x >= input.width {
                                continue;
                            }
                            for o in 0..outputs {
                                let to = out.at(n, y, x, o);
                                if depthwise {
                                    out.values[to] += weight[(i * kernel + j) * outputs + o]
                                        * input.values[input.at(n, from_y, from_x, o)];
                                    continue;
                                }
                                for c in 0..input.channels {
                                    out.values[to] += weight
                                        [((o * kernel + i) * kernel + j) * input.channels + c]
                                        * input.values[input.at(n, from_y, from_x, c)];
                                }
                            }
                        }
                    }
                }
            }
        }
        out
    }

    fn norm(&mut self, mut batch: Batch, unit: Unit, manner: Manner<'_>) -> Batch {
        let rule = self.architecture.backbone.norm;
        let scale = self.tensor(unit, Slot::Scale).unwrap().to_vec();
        let shift = self.tensor(unit, Slot::Shift).unwrap().to_vec();
        let stage = self.layout.tensor(unit, Slot::Weight).unwrap().stage;
        let mean_at = self.layout.tensor(unit, Slot::Mean).unwrap().offset;
        let variance_at = self.layout.tensor(unit, Slot::Variance).unwrap().offset;
        let channels = batch.channels;
        let rows = batch.values.len() / channels;
        let statistics = &mut self.buffers[Group::Statistics as usize];
        for channel in 0..channels {
            let own = || batch.values.iter().skip(channel).step_by(channels);
            let (mut mean, mut variance) = (statistics[mean_at + channel], statistics[variance_at + channel]);
            if manner.of_batch && stage >= manner.frozen_stages {
                mean = own().sum::<f64>() / rows as f64;
                let squares: f64 = own().map(|value| (value - mean).powi(2)).sum();
                variance = squares / rows as f64;
                let momentum = rule.momentum;
                let move_to =
                    |running: &mut f64, batch: f64| *running = *running * (1.0 - momentum) + batch * momentum;
                move_to(&mut statistics[mean_at + channel], mean);
                if rows > 1 {
                    move_to(
                        &mut statistics[variance_at + channel],
                        squares / (rows - 1) as f64,
                    );
                }
            }
            let deviation = 1.0 / (variance + rule.epsilon).sqrt();
            for row in 0..rows {
                let value = &mut batch.values[row * channels + channel];
                *value = (*value - mean) * deviation * scale[channel] + shift[channel];
            }
        }
        batch
    }

    fn gate(&self, input: Batch, block: usize) -> Batch {
        let places = (input.height * input.width) as f64;
        let mut pooled = Batch::new(input.count, 1, 1, input.channels);
        for n in 0..input.count {
            for y in 0..input.height {
                for x in 0..input.width {
                    for c in 0..input.channels {
                        pooled.values[n * input.channels + c] += input.values[input.at(n, y, x, c)] / places;
                    }
                }
            }
        }
        let narrow = self.act(self.bias(
            self.convolve(&pooled, Unit::Squeeze(block), 1),
            Unit::Squeeze(block),
        ));
        let gate = self
            .bias(
                self.convolve(&narrow, Unit::Excite(block), 1),
                Unit::Excite(block),
            )
            .map(|x| 1.0 / (1.0 + (-x).exp()));
        let mut out = input;
        let (channels, of_image) = (out.channels, out.height * out.width * out.channels);
        for (at, value) in out.values.iter_mut().enumerate() {
            *value *= gate.values[at / of_image * channels + at % channels];
        }
        out
    }

    fn double_learned(&self, input: &Batch, unit: Unit, target: (usize, usize)) -> Batch {
        let shape = &self.layout.tensor(unit, Slot::Weight).unwrap().shape;
        let weight = self.tensor(unit, Slot::Weight).unwrap();
        let outputs = shape[2];
        let mut out = Batch::new(input.count, target.0, target.1, outputs);
        for n in 0..input.count {
            for y in 0..input.height {
                for x in 0..input.width {
                    for i in 0..4 {
                        for j in 0..4 {
                            let (to_y, to_x) = (2 * y + i, 2 * x + j);
                            if to_y < 1 || to_x < 1 || to_y > target.0 || to_x > target.1 {
                                continue;
                            }
                            for o in 0..outputs {
                                let to = out.at(n, to_y - 1, to_x - 1, o);
                                for c in 0..input.channels {
                                    out.values[to] += weight
                                        [((i * 4 + j) * outputs + o) * input.channels + c]
                                        * input.values[input.at(n, y, x, c)];
                                }
                            }
                        }
                    }
                }
            }
        }
        out
    }

    fn double_bilinear(&self, input: &Batch, target: (usize, usize)) -> Batch {
        let mut out = Batch::new(input.count, target.0, target.1, input.channels);
        // PyTorch's rule: source = (place + 0.5) / 2 - 0.5, not below 0; the next place is clamped.
        let source = |place: usize, size: usize| {
            let at = ((place as f64 + 0.5) / 2.0 - 0.5).max(0.0);
            let low = at as usize;
            (low, (low + 1).min(size - 1), at - low as f64)
        };
        for n in 0..out.count {
            for y in 0..out.height {
                for x in 0..out.width {
                    let (y0, y1, fy) = source(y, input.height);
                    let (x0, x1, fx) = source(x, input.width);
                    for c in 0..out.channels {
                        let at = |y, x| input.values[input.at(n, y, x, c)];
                        let to = out.at(n, y, x, c);
                        out.values[to] = (at(y0, x0) * (1.0 - fx) + at(y0, x1) * fx) * (1.0 - fy)
                            + (at(y1, x0) * (1.0 - fx) + at(y1, x1) * fx) * fy;
                    }
                }
            }
        }
        out
    }

    /// Logits and nothing, or heat and size; moves the running statistics.
    pub(super) fn forward(&mut self, images: &Batch, manner: Manner<'_>) -> [Vec<f64>; 2] {
        let backbone = &self.architecture.backbone;
        let stem = self.convolve(images, Unit::Stem, backbone.stem.stride as usize);
        let stem = self.norm(stem, Unit::Stem, manner);
        let mut out = self.act(stem);
        let mut outputs = Vec::new();
        for (index, block) in backbone.blocks().iter().enumerate() {
            let input = out.clone();
            match block.kind {
                BlockKind::Fused => {
                    let fused = self.convolve(&out, Unit::Fused(index), block.stride);
                    let fused = self.norm(fused, Unit::Fused(index), manner);
                    out = self.act(fused);
                }
                BlockKind::Inverted => {
                    if block.expands() {
                        let wide = self.convolve(&out, Unit::Expand(index), 1);
                        let wide = self.norm(wide, Unit::Expand(index), manner);
                        out = self.act(wide);
                    }
                    let inner = self.convolve(&out, Unit::Depthwise(index), block.stride);
                    let inner = self.norm(inner, Unit::Depthwise(index), manner);
                    out = self.act(inner);
                    if block.squeeze.is_some() {
                        out = self.gate(out, index);
                    }
                }
            }
            if block.projects() {
                let last = self.convolve(&out, Unit::Project(index), 1);
                out = self.norm(last, Unit::Project(index), manner);
            }
            if block.skip {
                let drawn = block.drop > 0.0 && block.stage + 1 >= manner.frozen_stages;
                if let Some(draws) = manner.draws.filter(|_| drawn) {
                    let keep = draws.depth(index, block.drop, out.count);
                    let len = out.values.len() / out.count;
                    out.values
                        .iter_mut()
                        .enumerate()
                        .for_each(|(at, value)| *value *= f64::from(keep[at / len]));
                }
                out = out.plus(&input);
            }
            outputs.push(out.clone());
        }
        match &self.architecture.task {
            Task::Classifier(classifier) => {
                let head = self.convolve(&out, Unit::Head, 1);
                let head = self.norm(head, Unit::Head, manner);
                let head = self.act(head);
                let places = (head.height * head.width) as f64;
                let mut pooled = Batch::new(head.count, 1, 1, head.channels);
                for (at, value) in head.values.iter().enumerate() {
                    let image = at / (head.height * head.width * head.channels);
                    pooled.values[image * head.channels + at % head.channels] += value / places;
                }
                if let Some(draws) = manner.draws.filter(|_| classifier.dropout > 0.0) {
                    let factors = draws.dropout(classifier.dropout, head.count, head.channels);
                    pooled
                        .values
                        .iter_mut()
                        .zip(factors)
                        .for_each(|(value, factor)| *value *= f64::from(factor));
                }
                let weight = self.tensor(Unit::Classifier, Slot::Weight).unwrap();
                let classes = classifier.classes as usize;
                let mut logits = Batch::new(head.count, 1, 1, classes);
                for (at, logit) in logits.values.iter_mut().enumerate() {
                    let row = &pooled.values[at / classes * head.channels..][..head.channels];
                    let weight = &weight[at % classes * head.channels..][..head.channels];
                    *logit = row.iter().zip(weight).map(|(a, b)| a * b).sum();
                }
                [self.bias(logits, Unit::Classifier).values, Vec::new()]
            }
            Task::Regressor(_) => {
                for (index, layer) in self.architecture.neck().iter().enumerate() {
                    let place = layer.grid.map(|block| outputs[block].clone());
                    let target = place.as_ref().map_or((2 * out.height, 2 * out.width), |place| {
                        (place.height, place.width)
                    });
                    let up = match layer.upsampling {
                        Upsampling::Learned => self.double_learned(&out, Unit::Upsample(index), target),
                        Upsampling::Bilinear => {
                            let doubled = self.double_bilinear(&out, target);
                            self.convolve(&doubled, Unit::Upsample(index), 1)
                        }
                    };
                    let up = self.norm(up, Unit::Upsample(index), manner);
                    out = self.act(up);
                    if let (Some(_), Some(place)) = (layer.lateral, place) {
                        let side = self.convolve(&place, Unit::Lateral(index), 1);
                        out = out.plus(&self.norm(side, Unit::Lateral(index), manner));
                    }
                }
                [
                    (Unit::HeatHidden, Unit::HeatOutput),
                    (Unit::SizeHidden, Unit::SizeOutput),
                ]
                .map(|(hidden, output)| {
                    let inside = self.act(self.bias(self.convolve(&out, hidden, 1), hidden));
                    self.bias(self.convolve(&inside, output, 1), output).values
                })
            }
        }
    }
}
