//! The memory model beside what a process really takes: each case runs in a process of its own,
//! whose largest resident memory Linux tells.
#![cfg(target_os = "linux")]

use std::process::Command;
use std::sync::Arc;

use dermflow_nn::architecture::{Architecture, Named, NeckStep, Published, Regressor, Upsampling};
use dermflow_nn::cost::{BatchShape, TrainingSetup, inference_memory, training_memory};
use dermflow_nn::layout::Weights;
use dermflow_nn::network::{Draw, Images, Mode, Network};
use dermflow_nn::{Parameters, tape_onto};
use dfdx::tensor::Gradients;
use dfdx::tensor_ops::{Backward, SumTo};

const THREADS: u32 = 2;

/// Name, network, batch.
fn cases() -> Vec<(&'static str, Architecture, BatchShape)> {
    let plain = |name, classes| Named::plain(name).classifier(classes).unwrap();
    let narrow = Named {
        width: 0.5,
        depth: 0.5,
        ..Named::plain(Published::EfficientNetV2S)
    };
    let shape = |images, height, width| BatchShape {
        images,
        height,
        width,
    };
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
    let regressor = |regressor| {
        let named = Named::plain(Published::EfficientNetV2B0);
        named.regressor(regressor).unwrap()
    };
    vec![
        ("v2-b0", plain(Published::EfficientNetV2B0, 10), shape(16, 96, 96)),
        (
            "v2-b0, large",
            plain(Published::EfficientNetV2B0, 10),
            shape(4, 192, 160),
        ),
        ("b0", plain(Published::EfficientNetB0, 1000), shape(8, 128, 128)),
        ("lite0", plain(Published::EfficientNetLite0, 7), shape(8, 97, 130)),
        (
            "lite0 with a map",
            plain(Published::EfficientNetLite0, 7).with_map(true),
            shape(8, 97, 130),
        ),
        ("narrow v2-s", narrow.classifier(5).unwrap(), shape(32, 64, 64)),
        (
            "regressor",
            regressor(Regressor::suggested(4)),
            shape(4, 128, 128),
        ),
        ("bilinear", regressor(bilinear.clone()), shape(4, 96, 130)),
        (
            "v2-b0, one image",
            plain(Published::EfficientNetV2B0, 10),
            shape(1, 384, 416),
        ),
        (
            "b0, one image",
            plain(Published::EfficientNetB0, 1000),
            shape(1, 512, 512),
        ),
        ("bilinear, one image", regressor(bilinear), shape(1, 384, 320)),
    ]
}

/// Bytes that a line of this process's status tells, such as `VmHWM`.
fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    1024 * line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}

/// What a child process tells: the growth of its largest resident memory, and the most bytes that
/// its network's activations took.
fn measured(case: usize, what: &str) -> [u64; 2] {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "a_case_in_this_process", "--nocapture"])
        .env("DERMFLOW_MEMORY_CASE", format!("{case} {what}"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout).into_owned();
    let line = text.lines().find_map(|line| line.split_once("took "));
    let (_, numbers) = line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&child.stderr)));
    let mut numbers = numbers.split_whitespace().map(|number| number.parse().unwrap());
    [numbers.next().unwrap(), numbers.next().unwrap()]
}

#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn a_case_in_this_process() {
    let Ok(case) = std::env::var("DERMFLOW_MEMORY_CASE") else {
        return;
    };
    let (case, what) = case.split_once(' ').unwrap();
    let (_, architecture, batch) = cases().swap_remove(case.parse().unwrap());
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(THREADS as usize)
        .build()
        .unwrap();
    let network = Network::new(&architecture).unwrap();
    let before = status("VmRSS");
    pool.install(|| match what {
        "training" => train(&network, batch),
        _ => infer(&network, batch),
    });
    println!(
        "took {} {}",
        status("VmHWM") - before,
        network.most_activation_bytes()
    );
}

fn pixels(batch: BatchShape, channels: usize) -> Vec<f32> {
    let numbers = batch.images * batch.height * batch.width * channels as u32;
    (0..numbers).map(|at| (at % 251) as f32 / 251.0 - 0.5).collect()
}

fn images(batch: BatchShape, pixels: &[f32]) -> Images<'_> {
    Images {
        pixels,
        count: batch.images as usize,
        height: batch.height as usize,
        width: batch.width as usize,
    }
}

/// Two steps: the second finds the memory of the first.
fn train(network: &Network, batch: BatchShape) {
    let weights = Weights::initialise(Arc::clone(network.layout()), 20);
    let [decayed, plain, mut statistics] = weights.into_buffers();
    let parameters = Parameters::new(decayed, plain);
    let pixels = pixels(batch, network.architecture().input_channels());
    for seed in 0..2 {
        let mode = Mode::Train(Draw {
            seed,
            ..Draw::default()
        });
        let tape = tape_onto(Gradients::leaky());
        let images = images(batch, &pixels);
        let gradients = if network.architecture().classifier().is_some() {
            let logits = network.logits(images, &parameters, &mut statistics, mode, tape);
            logits.unwrap().sum().backward()
        } else {
            let maps = network.maps(images, &parameters, &mut statistics, mode, tape);
            let maps = maps.unwrap();
            (maps.heat.sum() + maps.size.sum()).backward()
        };
        drop(gradients);
    }
}

fn infer(network: &Network, batch: BatchShape) {
    let weights = Weights::initialise(Arc::clone(network.layout()), 20);
    let [decayed, plain, statistics] = weights.into_buffers();
    let parameters = Parameters::new(decayed, plain);
    let inference = network.inference_of(parameters, &statistics).unwrap();
    let pixels = pixels(batch, 3);
    for _ in 0..2 {
        let images = images(batch, &pixels);
        if network.architecture().classifier().is_some() {
            inference.logits(images).unwrap();
        } else {
            inference.maps(images).unwrap();
        }
    }
}

/// Fails where activations differ by more than a tenth, or all that is resident, which the
/// system's allocator has a part in, by more than a fifth.
fn assert_near(name: &str, what: &str, predicted: u64, found: u64) {
    let ratio = predicted as f64 / found as f64;
    let within = if what == "activations" { 0.1 } else { 0.2 };
    println!("{name}: {what} predicted {predicted}, found {found}: {ratio:.3}");
    assert!(
        (1.0 - within..=1.0 + within).contains(&ratio),
        "{name}: {what} {predicted} for {found}"
    );
}

#[test]
fn a_training_step_takes_the_predicted_memory() {
    let setup = TrainingSetup {
        optimiser_numbers: 0,
        average: false,
        batches: 1,
        threads: THREADS,
    };
    for (index, (name, architecture, batch)) in cases().into_iter().enumerate() {
        let memory = training_memory(&architecture, batch, &setup);
        let [resident, activations] = measured(index, "training");
        assert_near(name, "activations", memory.activations, activations);
        assert_near(name, "resident", memory.total(), resident);
    }
}

#[test]
fn inference_takes_the_predicted_memory() {
    // A network with a map infers only between epochs of its training, from a copy of its weights
    // without it; what a step takes is more.
    let cases = cases().into_iter().enumerate();
    for (index, (name, architecture, batch)) in cases.filter(|(_, case)| !case.1.backbone.stem.map) {
        let memory = inference_memory(&architecture, batch, THREADS);
        let [resident, _] = measured(index, "inference");
        assert_near(name, "resident", memory.total(), resident);
    }
}
