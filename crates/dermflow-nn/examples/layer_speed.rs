//! How long one layer takes: inference, or a training step of it (forward with batch statistics,
//! backward to weights and input). Prints one line of JSON.
//!
//!     layer_speed LAYER KERNEL STRIDE INPUTS OUTPUTS SIZE BATCH infer|train THREADS SECONDS
//!     layer_speed copy NUMBERS SECONDS
//!
//! LAYER is `dense`, `depthwise`, `norm` (norm and activation behind a depthwise convolution),
//! `squeeze` (depthwise convolution, squeeze-and-excite to a quarter, 1x1 convolution) or `relu` (a
//! dense convolution with the cheapest activation: a matrix product). `cpu` counts the thread's
//! processor time, for one thread; times are of the fastest round. `copy` tells how long numbers
//! of memory take to be copied.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use dermflow_nn::Parameters;
use dermflow_nn::architecture::{
    Activation, Architecture, Backbone, BlockKind, Classifier, Norm, Padding, Stage, Stem, Task,
};
use dermflow_nn::layout::Weights;
use dermflow_nn::network::{Images, Layer, Network, Part};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [what, count, seconds] = &arguments[..]
        && what == "copy"
    {
        return copy(count.parse()?, seconds.parse()?);
    }
    let [
        layer,
        kernel,
        stride,
        inputs,
        outputs,
        size,
        batch,
        what,
        threads,
        seconds,
    ] = &arguments[..]
    else {
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
    let seconds: f64 = seconds.parse()?;
    let (wall, cpu) = pool.install(|| match &what[..] {
        "train" => timed(seconds, || layer.train()),
        _ => timed(seconds, || layer.infer()),
    });
    println!("{{\"wall\": {wall}, \"cpu\": {cpu}}}");
    Ok(())
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

fn copy(count: usize, seconds: f64) -> Result<(), Box<dyn Error>> {
    let from = vec![1.0f32; count];
    let mut to = vec![0.0f32; count];
    let (wall, cpu) = timed(seconds, || {
        to.copy_from_slice(&from);
        std::hint::black_box(&mut to);
    });
    println!("{{\"wall\": {wall}, \"cpu\": {cpu}}}");
    Ok(())
}

/// Wall and processor seconds of the fastest rounds, after one that doesn't count. Rounds are run
/// together for a quarter of a second: the system tells processor time to a few milliseconds.
fn timed(seconds: f64, mut round: impl FnMut()) -> (f64, f64) {
    round();
    let start = Instant::now();
    round();
    let together = (0.25 / start.elapsed().as_secs_f64().max(1e-9)).ceil().max(1.0) as u32;
    let (mut wall, mut cpu, mut rounds) = (f64::MAX, f64::MAX, 0);
    let begin = Instant::now();
    while rounds < 3 || begin.elapsed().as_secs_f64() < seconds {
        let (start, start_cpu) = (Instant::now(), processor_seconds());
        (0..together).for_each(|_| round());
        wall = wall.min(start.elapsed().as_secs_f64() / f64::from(together));
        cpu = cpu.min((processor_seconds() - start_cpu) / f64::from(together));
        rounds += 1;
    }
    (wall, cpu)
}

/// Of this thread; not a number where the system doesn't tell.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.map_or(f64::NAN, |nanoseconds| nanoseconds / 1e9)
}
