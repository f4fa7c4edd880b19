use std::sync::Arc;

use dfdx::prelude::*;
use dfdx::tensor::Gradients;

use super::draws::Draws;
use super::reference::{Batch, Manner, Reference};
use super::*;
use crate::architecture::*;
use crate::kernels::testing::{close, numbers};
use crate::layout::{Role, Slot, Unit, Weights};
use crate::tape_onto;

mod class_gradients;
mod inference;
mod map;
mod same_bytes;
mod training;

fn stage(block: BlockKind, kernel: u32, stride: u32, expansion: u32, channels: u32, layers: u32) -> Stage {
    Stage {
        block,
        kernel,
        stride,
        expansion,
        channels,
        layers,
        squeeze: (block == BlockKind::Inverted).then_some(0.25),
    }
}

fn backbone(stages: Vec<Stage>, activation: Activation, padding: Padding) -> Backbone {
    Backbone {
        stem: Stem {
            channels: 8,
            kernel: 3,
            stride: 2,
            map: false,
        },
        stages,
        activation,
        padding,
        norm: Norm::default(),
        stochastic_depth: 0.4,
    }
}

fn classifier(backbone: Backbone) -> Architecture {
    Architecture {
        name: "small".into(),
        backbone,
        task: Task::Classifier(Classifier {
            head_channels: 18,
            dropout: 0.3,
            classes: 3,
        }),
    }
}

fn v2() -> Architecture {
    let stages = vec![
        stage(BlockKind::Fused, 3, 1, 1, 8, 2),
        stage(BlockKind::Fused, 3, 2, 4, 12, 2),
        stage(BlockKind::Inverted, 3, 2, 4, 12, 2),
        stage(BlockKind::Inverted, 5, 1, 3, 20, 1),
    ];
    classifier(backbone(stages, Activation::Silu, Padding::TensorflowSame))
}

fn v1() -> Architecture {
    let stages = vec![
        stage(BlockKind::Inverted, 3, 1, 1, 8, 2),
        stage(BlockKind::Inverted, 5, 2, 6, 10, 2),
        stage(BlockKind::Inverted, 3, 2, 6, 18, 1),
    ];
    classifier(backbone(stages, Activation::Silu, Padding::Symmetric))
}

fn lite() -> Architecture {
    let mut stages = vec![
        stage(BlockKind::Inverted, 3, 1, 1, 8, 1),
        stage(BlockKind::Inverted, 5, 2, 6, 10, 2),
    ];
    stages.iter_mut().for_each(|stage| stage.squeeze = None);
    classifier(backbone(stages, Activation::Relu6, Padding::TensorflowSame))
}

fn regressor(upsampling: Upsampling) -> Architecture {
    let stages = vec![
        stage(BlockKind::Fused, 3, 2, 1, 8, 1),
        stage(BlockKind::Fused, 3, 2, 4, 12, 1),
        stage(BlockKind::Inverted, 3, 2, 4, 16, 2),
    ];
    let step = |channels, lateral| NeckStep {
        channels,
        upsampling,
        lateral,
    };
    Architecture {
        name: "small".into(),
        backbone: backbone(stages, Activation::Silu, Padding::TensorflowSame),
        task: Task::Regressor(Regressor {
            neck: vec![step(12, true), step(10, upsampling == Upsampling::Learned)],
            head_channels: 6,
            classes: 3,
        }),
    }
}

/// Wide enough for convolutions that make fewer products, in its neck and heads, too.
fn wide_regressor() -> Architecture {
    let stages = vec![
        stage(BlockKind::Fused, 3, 2, 1, 24, 1),
        stage(BlockKind::Fused, 3, 2, 1, 25, 1),
        stage(BlockKind::Inverted, 3, 2, 2, 30, 1),
    ];
    let step = |channels| NeckStep {
        channels,
        upsampling: Upsampling::Learned,
        lateral: true,
    };
    Architecture {
        name: "wide".into(),
        backbone: backbone(stages, Activation::Silu, Padding::Symmetric),
        task: Task::Regressor(Regressor {
            neck: vec![step(26), step(24)],
            head_channels: 17,
            classes: 3,
        }),
    }
}

/// Wide enough for convolutions that make fewer products, and for gradients of weights that are not
/// cut into lanes.
fn wide() -> Architecture {
    let mut backbone = backbone(
        vec![
            stage(BlockKind::Fused, 3, 1, 1, 24, 2),
            stage(BlockKind::Fused, 3, 2, 2, 25, 2),
            stage(BlockKind::Inverted, 3, 2, 4, 48, 2),
        ],
        Activation::Silu,
        Padding::TensorflowSame,
    );
    backbone.stem.channels = 24;
    classifier(backbone)
}

fn all() -> Vec<Architecture> {
    vec![
        wide(),
        v2(),
        v1(),
        lite(),
        regressor(Upsampling::Learned),
        regressor(Upsampling::Bilinear),
        wide_regressor(),
    ]
}

/// Weights that make all parts matter.
fn weights(layout: &Arc<Layout>) -> Weights {
    let mut weights = Weights::neutral(Arc::clone(layout));
    for (index, spec) in layout.tensors().iter().enumerate() {
        let fan_in = match spec.role {
            Role::Convolution | Role::Linear => spec.shape[1..].iter().product::<usize>(),
            Role::Depthwise => spec.shape[0] * spec.shape[1],
            Role::TransposedConvolution => 4 * spec.shape[3],
            _ => 1,
        } as f32;
        let values = numbers(index as u64 + 1, spec.len());
        for (to, value) in weights.of_mut(spec).iter_mut().zip(values) {
            *to = match spec.role {
                Role::NormScale => 1.0 + 0.4 * value,
                Role::RunningVariance => 0.7 + 0.4 * value,
                Role::NormShift | Role::Bias | Role::RunningMean => 0.4 * value,
                _ => value * (3.0 / fan_in).sqrt(),
            };
        }
    }
    weights
}

struct Case {
    network: Network,
    parameters: Parameters,
    statistics: Vec<f32>,
    pixels: Vec<f32>,
    shape: (usize, usize, usize),
}

impl Case {
    fn new(architecture: &Architecture, shape: (usize, usize, usize)) -> Case {
        Case::on(architecture, shape, InstructionSet::best())
    }

    fn on(architecture: &Architecture, shape: (usize, usize, usize), set: InstructionSet) -> Case {
        let network = Network::on(architecture, set).unwrap();
        let [decayed, plain, statistics] = weights(network.layout()).into_buffers();
        Case {
            network,
            parameters: Parameters::new(decayed, plain),
            statistics,
            pixels: numbers(99, shape.0 * shape.1 * shape.2 * architecture.input_channels()),
            shape,
        }
    }

    fn images(&self) -> Images<'_> {
        Images {
            pixels: &self.pixels,
            count: self.shape.0,
            height: self.shape.1,
            width: self.shape.2,
        }
    }

    fn reference(&self) -> (Reference<'_>, Batch) {
        let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
        let reference = Reference {
            architecture: self.network.architecture(),
            layout: self.network.layout(),
            buffers: [
                wide(self.parameters.decayed.values()),
                wide(self.parameters.plain.values()),
                wide(&self.statistics),
            ],
        };
        let channels = self.network.architecture().input_channels();
        let mut images = Batch::new(self.shape.0, self.shape.1, self.shape.2, channels);
        images.values = wide(&self.pixels);
        (reference, images)
    }

    /// Outputs, gradients of `Σ output · factor` (decayed, plain), and statistics after it.
    fn step(&self, mode: Mode<'_>) -> ([Vec<f32>; 2], [Vec<f32>; 2], Vec<f32>) {
        let mut statistics = self.statistics.clone();
        let tape = tape_onto(Gradients::leaky());
        let images = self.images();
        let device = Cpu::default();
        let (outputs, mut gradients) = if self.network.architecture().classifier().is_some() {
            let logits = self
                .network
                .logits(images, &self.parameters, &mut statistics, mode, tape)
                .unwrap();
            let values = logits.as_vec();
            let factors = device.tensor_from_vec(numbers(7, values.len()), *logits.shape());
            ([values, Vec::new()], (logits * factors).sum().backward())
        } else {
            let maps = self
                .network
                .maps(images, &self.parameters, &mut statistics, mode, tape)
                .unwrap();
            let (heat, size) = (maps.heat.as_vec(), maps.size.as_vec());
            let heat_factors = device.tensor_from_vec(numbers(7, heat.len()), *maps.heat.shape());
            let size_factors = device.tensor_from_vec(numbers(8, size.len()), *maps.size.shape());
            let loss = (maps.heat * heat_factors).sum() + (maps.size * size_factors).sum();
            ([heat, size], loss.backward())
        };
        let own = [
            self.parameters
                .decayed
                .slot()
                .take_gradient(&mut gradients)
                .unwrap(),
            self.parameters
                .plain
                .slot()
                .take_gradient(&mut gradients)
                .unwrap(),
        ];
        (outputs, own, statistics)
    }
}

fn loss(outputs: &[Vec<f64>; 2]) -> f64 {
    let part = |values: &[f64], seed| {
        let factors = numbers(seed, values.len());
        values
            .iter()
            .zip(factors)
            .map(|(value, factor)| value * f64::from(factor))
            .sum::<f64>()
    };
    part(&outputs[0], 7) + part(&outputs[1], 8)
}

const SAMPLES: &[u64] = &[5, 6, 7, 8];

fn draw(frozen_stages: usize) -> Draw<'static> {
    Draw {
        seed: 3,
        samples: SAMPLES,
        dropout: None,
        frozen_stages,
    }
}

fn manner(mode: Mode<'_>) -> Manner<'_> {
    match mode {
        Mode::Train(draw) => Manner {
            draws: Some(Draws {
                seed: draw.seed,
                samples: draw.samples,
            }),
            of_batch: true,
            frozen_stages: draw.frozen_stages,
        },
        Mode::FrozenStatistics { frozen_stages } => Manner {
            draws: None,
            of_batch: false,
            frozen_stages,
        },
    }
}

#[test]
fn wrong_images_weights_and_questions_are_errors() {
    let case = Case::new(&v2(), (1, 8, 8));
    let mut statistics = case.statistics.clone();
    let mode = Mode::FrozenStatistics { frozen_stages: 0 };
    let mut images = case.images();
    images.width = 9;
    let tape = || tape_onto(Gradients::leaky());
    let refused = case
        .network
        .logits(images, &case.parameters, &mut statistics, mode, tape())
        .err()
        .unwrap();
    assert!(
        refused.to_string().contains("1 images of 8 × 9 pixels"),
        "{refused}"
    );
    let refused = case
        .network
        .maps(case.images(), &case.parameters, &mut statistics, mode, tape())
        .err();
    assert_eq!(refused, Some(NetworkError::NoRegressor));
    let foreign = Parameters::new(vec![0.0], case.parameters.plain.values().to_vec());
    let refused = case.network.inference(&foreign, &case.statistics).err().unwrap();
    assert!(
        refused.to_string().contains("Decayed buffer has 1 numbers"),
        "{refused}"
    );
}
