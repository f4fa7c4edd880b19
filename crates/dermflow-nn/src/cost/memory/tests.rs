//! The bytes that the pool of a running network comes to own beside those that the model says.

use std::sync::Arc;

use super::*;
use crate::architecture::{Named, NeckStep, Published, Regressor, Upsampling};
use crate::layout::Weights;
use crate::network::{Draw, Images, Mode, Network};
use crate::{Parameters, tape_onto};
use dfdx::tensor::Gradients;
use dfdx::tensor_ops::{Backward, SumTo};

fn networks() -> Vec<(&'static str, Architecture)> {
    let narrow = |name| Named {
        width: 0.5,
        depth: 0.5,
        ..Named::plain(name)
    };
    let demo = narrow(Published::EfficientNetV2B0);
    let step = |channels| NeckStep {
        channels,
        upsampling: Upsampling::Bilinear,
        lateral: true,
    };
    let bilinear = Regressor {
        neck: [64, 48, 32].map(step).to_vec(),
        head_channels: 32,
        classes: 4,
    };
    let classifier = |named: Named| named.classifier(5).unwrap();
    vec![
        ("v2-b0", classifier(Named::plain(Published::EfficientNetV2B0))),
        ("b0", classifier(Named::plain(Published::EfficientNetB0))),
        ("lite0", classifier(Named::plain(Published::EfficientNetLite0))),
        ("narrow v2-b0", classifier(demo)),
        ("narrow v2-s", classifier(narrow(Published::EfficientNetV2S))),
        ("regressor", demo.regressor(Regressor::suggested(4)).unwrap()),
        ("bilinear", demo.regressor(bilinear).unwrap()),
    ]
}

struct Running {
    network: Network,
    parameters: Parameters,
    statistics: Vec<f32>,
    pixels: Vec<f32>,
    batch: BatchShape,
}

impl Running {
    fn new(architecture: &Architecture, batch: BatchShape) -> Running {
        let network = Network::new(architecture).unwrap();
        let weights = Weights::initialise(Arc::clone(network.layout()), 20);
        let [decayed, plain, statistics] = weights.into_buffers();
        let numbers = batch.images * batch.height * batch.width * 3;
        Running {
            network,
            parameters: Parameters::new(decayed, plain),
            statistics,
            pixels: (0..numbers).map(|at| (at % 251) as f32 / 251.0 - 0.5).collect(),
            batch,
        }
    }

    fn images(&self) -> Images<'_> {
        Images {
            pixels: &self.pixels,
            count: self.batch.images as usize,
            height: self.batch.height as usize,
            width: self.batch.width as usize,
        }
    }

    /// Bytes of the pool behind two training steps.
    fn train(&mut self) -> u64 {
        let mut statistics = self.statistics.clone();
        for _ in 0..2 {
            let (tape, mode) = (tape_onto(Gradients::leaky()), Mode::Train(Draw::default()));
            let (network, images) = (&self.network, self.images());
            if network.architecture().classifier().is_some() {
                let logits = network.logits(images, &self.parameters, &mut statistics, mode, tape);
                drop(logits.unwrap().sum().backward());
            } else {
                let maps = network.maps(images, &self.parameters, &mut statistics, mode, tape);
                let maps = maps.unwrap();
                drop((maps.heat.sum() + maps.size.sum()).backward());
            }
        }
        self.network.most_activation_bytes() as u64
    }

    /// Bytes of the pool behind two batches, weights with them.
    fn infer(&self) -> u64 {
        let inference = self
            .network
            .inference(&self.parameters, &self.statistics)
            .unwrap();
        for _ in 0..2 {
            if self.network.architecture().classifier().is_some() {
                inference.logits(self.images()).unwrap();
            } else {
                inference.maps(self.images()).unwrap();
            }
        }
        self.network.most_activation_bytes() as u64
    }
}

/// What the model says, and what there is: the pool, and in training weights and their gradients. In
/// inference the pool has the weights.
fn compared(architecture: &Architecture, batch: BatchShape, threads: u32, what: &str) -> [u64; 2] {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads as usize);
    let pool = pool.build().unwrap();
    let mut running = Running::new(architecture, batch);
    if what == "inference" {
        let (_, model) = inference_pool(architecture, batch, threads);
        return [model, pool.install(|| running.infer())];
    }
    let model = training_pool(&mut Forward::new(architecture, batch), threads);
    let [decayed, plain, statistics] = numbers(architecture);
    let beside = NUMBER * (2 * (decayed + plain) + statistics);
    [model, pool.install(|| running.train())].map(|bytes| bytes + beside)
}

#[test]
fn a_pool_comes_to_own_what_the_model_says() {
    let mut off = Vec::new();
    for (name, architecture) in networks() {
        for (images, height, width) in [(1, 96, 128), (5, 64, 64), (8, 40, 33)] {
            let batch = BatchShape {
                images,
                height,
                width,
            };
            for (threads, what) in [1, 2]
                .into_iter()
                .flat_map(|n| [(n, "training"), (n, "inference")])
            {
                let [model, found] = compared(&architecture, batch, threads, what);
                let ratio = model as f64 / found as f64;
                let told = format!("{name}, {images} × {height} × {width}, {threads}: {what} {ratio:.4}");
                println!("{told}");
                // Two threads may hold less at once than they could: so little work is soon done.
                let most = if threads == 1 { 1.03 } else { 1.12 };
                if !(0.97..=most).contains(&ratio) {
                    off.push(told);
                }
            }
        }
    }
    assert!(off.is_empty(), "{off:#?}");
}
