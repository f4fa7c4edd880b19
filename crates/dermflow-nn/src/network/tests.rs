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

/// Outputs, statistics and gradients (by central differences) against the float64 network.
fn check(architecture: &Architecture, shape: (usize, usize, usize), mode: Mode<'_>, picks: usize) {
    let case = Case::new(architecture, shape);
    let (outputs, gradients, statistics) = case.step(mode);
    let (mut reference, images) = case.reference();
    let before = reference.buffers[2].clone();
    let expected = reference.forward(&images, manner(mode));
    for (found, expected) in outputs.iter().zip(&expected) {
        assert_eq!(found.len(), expected.len());
        found
            .iter()
            .zip(expected)
            .for_each(|(found, expected)| close(*found, *expected, 2e-4));
    }
    statistics
        .iter()
        .zip(&reference.buffers[2])
        .for_each(|(found, expected)| close(*found, *expected, 1e-4));
    let (frozen, layout) = (manner(mode).frozen_stages, Arc::clone(case.network.layout()));
    for spec in layout
        .tensors()
        .iter()
        .filter(|spec| spec.group != Group::Statistics)
    {
        let own = &gradients[spec.group as usize][spec.range()];
        let largest = own.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        if spec.stage < frozen {
            assert_eq!(largest, 0.0, "{} is not trained", spec.name);
            continue;
        }
        let checked = picks.min(spec.len());
        for pick in 0..checked {
            let at = (pick * 7919 + spec.len() / 2) % spec.len();
            let mut difference = [0.0; 2];
            for (side, step) in [1e-5, -1e-5].into_iter().enumerate() {
                reference.buffers[2].clone_from(&before);
                reference.buffers[spec.group as usize][spec.offset + at] += step;
                difference[side] = loss(&reference.forward(&images, manner(mode)));
                reference.buffers[spec.group as usize][spec.offset + at] -= step;
            }
            let expected = (difference[0] - difference[1]) / 2e-5;
            let bound = 1e-3 * f64::from(largest) + 2e-4 * expected.abs() + 1e-5;
            assert!(
                (f64::from(own[at]) - expected).abs() <= bound,
                "{}[{at}]: {} and not {expected}; largest {largest}",
                spec.name,
                own[at]
            );
        }
    }
}

#[test]
fn training_agrees_with_the_float64_network_in_outputs_statistics_and_gradients() {
    for architecture in all() {
        check(&architecture, (3, 21, 15), Mode::Train(draw(0)), 2);
    }
}

#[test]
fn running_statistics_with_a_tape_give_gradients_and_stay_as_they_are() {
    for architecture in all() {
        check(
            &architecture,
            (2, 12, 16),
            Mode::FrozenStatistics { frozen_stages: 0 },
            1,
        );
        let case = Case::new(&architecture, (2, 20, 24));
        let (_, _, after) = case.step(Mode::FrozenStatistics { frozen_stages: 0 });
        assert_eq!(after, case.statistics);
    }
}

/// A network that reads a map, its pixels with the map or with zeros in its place, and the same
/// network without it.
fn with_map(shown: bool) -> [Case; 2] {
    let shape = (3, 21, 15);
    let mut with = Case::new(&v2().with_map(true), shape);
    if !shown {
        with.pixels.chunks_exact_mut(4).for_each(|pixel| pixel[3] = 0.0);
    }
    let mut without = Case::new(&v2(), shape);
    let (from, to) = (with.network.layout(), without.network.layout());
    let decayed = moved(from, to, with.parameters.decayed.values());
    without.parameters = Parameters::new(decayed, with.parameters.plain.values().to_vec());
    without.statistics.clone_from(&with.statistics);
    let pixels = with.pixels.chunks_exact(4);
    without.pixels = pixels.flat_map(|pixel| pixel[..3].to_vec()).collect();
    [with, without]
}

/// Where the stem's weights of the map lie.
fn weights_of_map(network: &Network) -> impl Iterator<Item = usize> {
    let stem = network.layout().tensor(Unit::Stem, Slot::Weight).unwrap();
    stem.range().skip(3).step_by(4)
}

#[test]
fn the_weights_of_a_map_have_the_gradient_of_the_float64_network() {
    let [case, _] = with_map(true);
    let mode = Mode::Train(draw(0));
    let (outputs, [decayed, _], _) = case.step(mode);
    let (mut reference, images) = case.reference();
    let before = reference.buffers[2].clone();
    let expected = reference.forward(&images, manner(mode));
    for (found, expected) in outputs[0].iter().zip(&expected[0]) {
        close(*found, *expected, 2e-4);
    }
    let largest = decayed.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let mut some = 0.0f32;
    for at in weights_of_map(&case.network) {
        let [more, less] = [1e-5, -1e-5].map(|step| {
            reference.buffers[2].clone_from(&before);
            reference.buffers[0][at] += step;
            let loss = loss(&reference.forward(&images, manner(mode)));
            reference.buffers[0][at] -= step;
            loss
        });
        let expected = (more - less) / 2e-5;
        let bound = 1e-3 * f64::from(largest) + 2e-4 * expected.abs() + 1e-5;
        assert!(
            (f64::from(decayed[at]) - expected).abs() <= bound,
            "{at}: {} and not {expected}",
            decayed[at]
        );
        some = some.max(decayed[at].abs());
    }
    assert!(some > 1e-2, "{some}");
}

#[test]
fn a_map_of_zeros_adds_nothing_and_has_no_gradient() {
    let [with, without] = with_map(false);
    for mode in [Mode::Train(draw(0)), Mode::FrozenStatistics { frozen_stages: 0 }] {
        let (one, other) = (with.step(mode), without.step(mode));
        // Zeros that are added change no sum, whatever it is: the same bytes.
        assert_eq!((one.0, one.2), (other.0, other.2));
        let [decayed, plain] = one.1;
        assert!(weights_of_map(&with.network).all(|at| decayed[at] == 0.0));
        let (from, to) = (with.network.layout(), without.network.layout());
        assert_eq!(
            (moved(from, to, &decayed), plain),
            (other.1[0].clone(), other.1[1].clone())
        );
    }
}

#[test]
fn what_infers_reads_no_map_and_is_the_network_without_one() {
    let [with, without] = with_map(false);
    let [one, other] = [&with, &without].map(|case| {
        let network = case
            .network
            .inference(&case.parameters, &case.statistics)
            .unwrap();
        assert_eq!(
            network.logits(with.images()).unwrap_err(),
            NetworkError::WrongImages {
                found: with.pixels.len(),
                count: 3,
                height: 21,
                width: 15,
                channels: 3,
            }
        );
        network.logits(without.images()).unwrap()
    });
    assert_eq!(one, other);
    let (trained, _, _) = with.step(Mode::FrozenStatistics { frozen_stages: 0 });
    for (found, expected) in one.iter().zip(&trained[0]) {
        close(*found, f64::from(*expected), 1e-4);
    }
}

#[test]
fn frozen_stages_have_no_gradients_and_keep_their_statistics() {
    for (architecture, frozen) in [
        (v2(), 1),
        (v2(), 3),
        (v1(), 2),
        (regressor(Upsampling::Learned), 2),
    ] {
        check(&architecture, (2, 13, 16), Mode::Train(draw(frozen)), 1);
    }
    let stages = Case::new(&v2(), (1, 8, 8)).network.layout().stages();
    check(&v2(), (2, 13, 16), Mode::Train(draw(stages - 1)), 1);
}

#[test]
fn inference_agrees_with_the_float64_network() {
    for architecture in all() {
        let case = Case::new(&architecture, (3, 33, 25));
        let (mut reference, images) = case.reference();
        let manner = Manner {
            draws: None,
            of_batch: false,
            frozen_stages: 0,
        };
        let expected = reference.forward(&images, manner);
        let inference = case
            .network
            .inference(&case.parameters, &case.statistics)
            .unwrap();
        let found = if architecture.classifier().is_some() {
            [inference.logits(case.images()).unwrap(), Vec::new()]
        } else {
            inference.maps(case.images()).unwrap().map(|grids| grids.values)
        };
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.len(), expected.len());
            found
                .iter()
                .zip(expected)
                .for_each(|(found, expected)| close(*found, *expected, 1e-4));
        }
    }
}

#[test]
fn features_times_the_last_layer_give_the_logits() {
    let case = Case::new(&v2(), (2, 40, 40));
    let inference = case
        .network
        .inference(&case.parameters, &case.statistics)
        .unwrap();
    let (logits, features) = inference.logits_and_features(case.images()).unwrap();
    assert_eq!(
        (features.count, features.height, features.width, features.channels),
        (2, 5, 5, 18)
    );
    let layout = case.network.layout();
    let weight = &case.parameters.decayed.values()[layout.find("classifier.weight").unwrap().range()];
    let bias = &case.parameters.plain.values()[layout.find("classifier.bias").unwrap().range()];
    for (at, logit) in logits.iter().enumerate() {
        let (image, class) = (at / 3, at % 3);
        let map = features.values[image * 25 * 18..(image + 1) * 25 * 18].chunks_exact(18);
        let sum: f64 = map
            .map(|place| {
                let products = place.iter().zip(&weight[class * 18..]);
                products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
            })
            .sum();
        close(*logit, sum / 25.0 + f64::from(bias[class]), 1e-4);
    }
}

#[test]
fn one_two_and_four_threads_give_the_same_bytes() {
    for architecture in all() {
        let case = Case::new(&architecture, (5, 36, 40));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| case.step(Mode::Train(draw(0))))
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(4));
        assert_eq!(one, case.step(Mode::Train(draw(0))));
    }
}

#[test]
fn a_single_image_is_shared_out_among_threads_and_gives_what_it_gives_in_a_batch() {
    for architecture in all() {
        let case = Case::new(&architecture, (2, 97, 110));
        let inference = case
            .network
            .inference(&case.parameters, &case.statistics)
            .unwrap();
        let run = |images: Images<'_>, threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| match architecture.classifier() {
                Some(_) => [inference.logits(images).unwrap(), Vec::new()],
                None => inference.maps(images).unwrap().map(|grids| grids.values),
            })
        };
        let batch = run(case.images(), 1);
        let images = case.pixels.chunks_exact(case.pixels.len() / 2);
        for (index, pixels) in images.enumerate() {
            let image = Images {
                pixels,
                count: 1,
                ..case.images()
            };
            for threads in [1, 2, 3, 7] {
                for (batch, alone) in batch.iter().zip(run(image, threads)) {
                    assert_eq!(batch[index * alone.len()..(index + 1) * alone.len()], alone);
                }
            }
        }
        assert_eq!(run(case.images(), 5), batch);
    }
}

#[test]
fn every_instruction_set_gives_the_same_bytes() {
    for architecture in all() {
        let mut results = InstructionSet::available().into_iter().map(|set| {
            let case = Case::on(&architecture, (2, 21, 16), set);
            let inference = case
                .network
                .inference(&case.parameters, &case.statistics)
                .unwrap();
            (
                case.step(Mode::Train(draw(0))),
                inference.logits(case.images()).ok(),
            )
        });
        let first = results.next().unwrap();
        for other in results {
            assert_eq!(first, other);
        }
    }
}

#[test]
fn one_value_a_channel_is_normalised_to_the_shift_and_leaves_the_variance() {
    // One image that shrinks to a single place: the last norms see one value a channel.
    let case = Case::new(&v2(), (1, 8, 8));
    let (outputs, gradients, statistics) = case.step(Mode::Train(draw(0)));
    assert!(outputs[0].iter().all(|value| value.is_finite()));
    assert!(gradients.iter().flatten().all(|value| value.is_finite()));
    let layout = case.network.layout();
    let variance = layout.find("head.norm.variance").unwrap().range();
    assert_eq!(statistics[variance.clone()], case.statistics[variance]);
    let mean = layout.find("head.norm.mean").unwrap().range();
    assert_ne!(statistics[mean.clone()], case.statistics[mean]);
    check(&v2(), (1, 8, 8), Mode::Train(draw(0)), 1);
}

#[test]
fn any_image_size_works_down_to_one_pixel() {
    for architecture in all() {
        for shape in [(1, 1, 1), (2, 7, 3), (1, 31, 64)] {
            let case = Case::new(&architecture, shape);
            let (outputs, gradients, _) = case.step(Mode::Train(draw(0)));
            assert!(outputs.iter().flatten().all(|value| value.is_finite()));
            assert!(gradients.iter().flatten().all(|value| value.is_finite()));
        }
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

#[test]
fn steps_use_the_memory_of_steps_before() {
    let case = Case::new(&v2(), (4, 32, 32));
    case.step(Mode::Train(draw(0)));
    let first = case.network.activation_bytes().0;
    for _ in 0..4 {
        case.step(Mode::Train(draw(0)));
    }
    assert!(case.network.activation_bytes().0 < 2 * first);
    case.network.release_memory();
    assert_eq!(case.network.activation_bytes().0, 0);
}
