//! How long one layer takes: inference, or a training step of it (forward with batch statistics,
//! backward to weights and input). Each line of standard input, seconds, is answered by one of JSON
//! after a turn that long, with the times of its fastest round.
//!
//!     echo 1 | layer_speed LAYER KERNEL STRIDE INPUTS OUTPUTS SIZE BATCH infer|train THREADS
//!     echo 1 | layer_speed copy NUMBERS
//!
//! LAYER is `dense`, `depthwise`, `norm` (norm and activation behind a depthwise convolution),
//! `squeeze` (depthwise convolution, squeeze-and-excite to a quarter, 1x1 convolution) or `relu` (a
//! dense convolution with the cheapest activation: a matrix product). `cpu` counts the thread's
//! processor time, for one thread; times are of the fastest round. `copy` tells how long numbers
//! of memory take to be copied.

mod turns;

use std::sync::Arc;

use dermflow_nn::Parameters;
use dermflow_nn::architecture::{
    Activation, Architecture, Backbone, BlockKind, Classifier, Norm, Padding, Stage, Stem, Task,
};
use dermflow_nn::layout::Weights;
use dermflow_nn::network::{Images, Layer, Network, Part};
use turns::Failure;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [what, count] = &arguments[..]
        && what == "copy"
    {
        return copy(count.parse()?);
    }
    let [layer, kernel, stride, inputs, outputs, size, batch, what, threads] = &arguments[..] else {
        return Err("usage: see the head of examples/layer_speed.rs".into());
    };
    let (kernel, stride): (u32, u32) = (kernel.parse()?, stride.parse()?);
    let (inputs, outputs): (u32, u32) = (inputs.parse()?, outputs.parse()?);
    let (size, count): (usize, usize) = (size.parse()?, batch.parse()?);
    let architecture = architecture(layer, kernel, stride, inputs, outputs);
    let network = Network::new(&architecture)?;
    let [decayed, plain, statistics] = Weights::initialise(Arc::clone(network.layout()), 1).into_buffers();
    let channels = if layer == "stem" { 3 } else { inputs as usize };
    let pixels: Vec<f32> = (0..count * size * size * channels)
        .map(|at| ((at * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0)
        .collect();
    let images = Images {
        pixels: &pixels,
        count,
        height: size,
        width: size,
    };
    let part = match &layer[..] {
        "stem" => Part::Stem,
        "squeeze" => Part::Block(0),
        "norm" => Part::Norm(0),
        _ => Part::Window(0),
    };
    let mut layer = Layer::new(
        &network,
        Parameters::new(decayed, plain),
        statistics,
        part,
        images,
    )?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads.parse()?)
        .build()?;
    pool.install(|| match &what[..] {
        "train" => take_turns(|| layer.train()),
        _ => take_turns(|| layer.infer()),
    })
}

fn take_turns(mut round: impl FnMut()) -> Result<(), Failure> {
    let round = || {
        round();
        Ok(())
    };
    turns::take(round, String::new)
}

/// A network whose first block has the layer.
fn architecture(layer: &str, kernel: u32, stride: u32, inputs: u32, outputs: u32) -> Architecture {
    let dense = matches!(layer, "dense" | "relu" | "stem");
    let stage = Stage {
        block: if dense {
            BlockKind::Fused
        } else {
            BlockKind::Inverted
        },
        kernel: if layer == "stem" { 3 } else { kernel },
        stride: if layer == "stem" { 1 } else { stride },
        expansion: 1,
        channels: outputs,
        layers: 1,
        squeeze: (layer == "squeeze").then_some(0.25),
    };
    Architecture {
        name: layer.to_owned(),
        backbone: Backbone {
            stem: Stem {
                channels: if layer == "stem" { outputs } else { inputs },
                kernel: if layer == "stem" { kernel } else { 3 },
                stride: if layer == "stem" { stride } else { 2 },
                map: false,
            },
            stages: vec![stage],
            activation: if layer == "relu" {
                Activation::Relu
            } else {
                Activation::Silu
            },
            padding: Padding::Symmetric,
            norm: Norm::default(),
            stochastic_depth: 0.0,
        },
        task: Task::Classifier(Classifier {
            head_channels: 16,
            classes: 2,
            dropout: 0.0,
        }),
    }
}

fn copy(count: usize) -> Result<(), Failure> {
    let from = vec![1.0f32; count];
    let mut to = vec![0.0f32; count];
    take_turns(|| {
        to.copy_from_slice(&from);
        std::hint::black_box(&mut to);
    })
}
