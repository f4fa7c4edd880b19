//! The memory model beside what a process really takes, within a tenth: each case runs in a process of
//! its own, whose largest resident memory Linux tells, and in which other networks ran before, so that the
//! program's code, stacks and the like are in memory. What a network's pool of memory comes to own is
//! compared to the byte by the model's own tests.
//!
//! Of the networks that the benchmarks have, for one to 32 images and one and two threads:
//! `cargo test --release -p dermflow-nn --test memory -- --ignored a_table --nocapture`
#![cfg(target_os = "linux")]

#[path = "memory/whole_training.rs"]
mod whole_training;

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

/// A whole training: steps, and all that the loop keeps beside them.
const WHOLE: &str = "whole-training";

/// Name, network, batch.
type Case = (&'static str, Architecture, BatchShape);

fn shape(images: u32, height: u32, width: u32) -> BatchShape {
    BatchShape {
        images,
        height,
        width,
    }
}

fn plain(name: Published, classes: u32) -> Architecture {
    Named::plain(name).classifier(classes).unwrap()
}

fn narrowed(name: Published, width: f64, depth: f64) -> Named {
    Named {
        width,
        depth,
        ..Named::plain(name)
    }
}

/// A document's regressor as it is suggested, and with a bilinear neck.
fn regressors(named: &Named) -> [Architecture; 2] {
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
    [Regressor::suggested(4), bilinear].map(|regressor| named.regressor(regressor).unwrap())
}

fn cases() -> Vec<Case> {
    let narrow = narrowed(Published::EfficientNetV2S, 0.5, 0.5);
    let demo = narrowed(Published::EfficientNetV2B0, 0.5, 0.5);
    let [regressor, bilinear] = regressors(&Named::plain(Published::EfficientNetV2B0));
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
        ("narrow v2-b0", demo.classifier(4).unwrap(), shape(32, 96, 96)),
        (
            "narrow v2-b0, one image",
            demo.classifier(4).unwrap(),
            shape(1, 96, 96),
        ),
        ("narrow regressor", regressors(&demo)[0].clone(), shape(8, 96, 96)),
        ("regressor", regressor, shape(4, 128, 128)),
        ("bilinear", bilinear.clone(), shape(4, 96, 130)),
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
        ("bilinear, one image", bilinear, shape(1, 384, 320)),
    ]
}

/// Networks of the benchmarks, and those of the demo, for several counts of images.
fn table() -> Vec<Case> {
    let v2 = plain(Published::EfficientNetV2B0, 50);
    let [regressor, _] = regressors(&Named::plain(Published::EfficientNetV2B0));
    let demo = narrowed(Published::EfficientNetV2B0, 0.5, 0.5);
    let networks = [
        ("efficientnetv2-b0", v2.clone(), 96),
        ("efficientnetv2-b0", v2.clone(), 128),
        ("efficientnetv2-b0", v2, 192),
        ("efficientnet-b0", plain(Published::EfficientNetB0, 50), 224),
        ("efficientnetv2-s", plain(Published::EfficientNetV2S, 50), 128),
        ("regressor on efficientnetv2-b0", regressor.clone(), 128),
        ("regressor on efficientnetv2-b0", regressor, 256),
        (
            "efficientnetv2-b0, half as wide and deep",
            demo.classifier(4).unwrap(),
            96,
        ),
        ("regressor on that one", regressors(&demo)[0].clone(), 96),
    ];
    let batches = networks.into_iter().flat_map(|(name, network, side)| {
        [1, 8, 16, 32].map(|images| (name, network.clone(), shape(images, side, side)))
    });
    batches.collect()
}

/// A training in which each copy of the weights counts: they take more than what lies between layers.
fn whole() -> Case {
    let network = plain(Published::EfficientNetB0, 1000);
    ("b0, a whole training", network, shape(2, 32, 32))
}

/// Bytes that a line of this process's status tells, such as `VmHWM`.
fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    1024 * line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}

/// What a child process tells: the growth of its largest resident memory.
fn measured(case: usize, what: &str, threads: u32) -> u64 {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "a_case_in_this_process", "--nocapture"])
        .env("DERMFLOW_MEMORY_CASE", format!("{case} {what} {threads}"))
        // The C library's allocator would keep what the networks before have given back, and use
        // it for this one.
        .envs(["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"].map(|name| (name, "65536")))
        .env("MALLOC_TOP_PAD_", "0")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout).into_owned();
    let line = text.lines().find_map(|line| line.split_once("took "));
    let (_, bytes) = line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&child.stderr)));
    bytes.trim().parse().unwrap()
}

#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn a_case_in_this_process() {
    let Ok(case) = std::env::var("DERMFLOW_MEMORY_CASE") else {
        return;
    };
    let words: Vec<&str> = case.split(' ').collect();
    let [case, what, threads] = words[..] else {
        panic!("{case}");
    };
    let mut all = cases().into_iter().chain(table()).chain([whole()]);
    let (_, architecture, batch) = all.nth(case.parse().unwrap()).unwrap();
    let pool = threads_of(threads.parse().unwrap());
    warm_up(&pool);
    let network = Network::new(&architecture).unwrap();
    // From here on, the most that the process had is counted anew.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS");
    pool.install(|| run(&network, batch, what));
    println!("took {}", status("VmHWM").saturating_sub(before));
}

fn threads_of(threads: u32) -> rayon::ThreadPool {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads as usize);
    pool.build().unwrap()
}

/// Small networks that run all the code there is, for what a process comes to have but once.
fn warm_up(pool: &rayon::ThreadPool) {
    let small = |name| narrowed(name, 0.2, 0.3).classifier(3).unwrap();
    let names = [
        Published::EfficientNetB0,
        Published::EfficientNetV2B0,
        Published::EfficientNetLite0,
    ];
    let regressors = regressors(&narrowed(Published::EfficientNetV2B0, 0.2, 0.3));
    for architecture in names.map(small).into_iter().chain(regressors) {
        for what in ["training", "inference"] {
            for images in [1, 4] {
                let network = Network::new(&architecture).unwrap();
                pool.install(|| run(&network, shape(images, 64, 64), what));
            }
        }
    }
}

/// Two steps, or batches: the second finds the memory of the first.
fn run(network: &Network, batch: BatchShape, what: &str) {
    match what {
        "training" => train(network, batch),
        WHOLE => drop(whole_training::trained(network, batch)),
        _ => infer(network, batch),
    }
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

fn predicted(architecture: &Architecture, batch: BatchShape, what: &str, threads: u32) -> u64 {
    let memory = match what {
        "training" => {
            let setup = TrainingSetup {
                optimiser_numbers: 0,
                average: false,
                best_weights: false,
                batches: 1,
                threads,
            };
            training_memory(architecture, batch, &setup)
        }
        WHOLE => {
            let setup = TrainingSetup {
                batches: 3,
                threads,
                ..TrainingSetup::default()
            };
            training_memory(architecture, batch, &setup)
        }
        _ => inference_memory(architecture, batch, threads),
    };
    memory.total()
}

fn is_near(ratio: f64) -> bool {
    (0.9..=1.1).contains(&ratio)
}

/// Fails where the two differ by more than a tenth.
fn compare(what: &str) {
    let cases = cases().into_iter().enumerate();
    // A network with a map infers only between epochs of its training, from a copy of its weights
    // without it; what a step takes is more.
    let cases = cases.filter(|(_, case)| what == "training" || !case.1.backbone.stem.map);
    let mut off = Vec::new();
    for (index, (name, architecture, batch)) in cases {
        let predicted = predicted(&architecture, batch, what, THREADS);
        let found = measured(index, what, THREADS);
        let ratio = predicted as f64 / found as f64;
        let told = format!("{name}: {what}: predicted {predicted}, found {found}: {ratio:.3}");
        println!("{told}");
        if !is_near(ratio) {
            off.push(told);
        }
    }
    assert!(off.is_empty(), "{off:#?}");
}

#[test]
fn a_training_step_takes_the_predicted_memory() {
    compare("training");
}

/// Its epochs get better and better, so that the best weights are replaced, and each leaves a checkpoint.
#[test]
fn a_whole_training_takes_the_predicted_memory() {
    let (name, architecture, batch) = whole();
    let predicted = predicted(&architecture, batch, WHOLE, THREADS);
    let found = measured(cases().len() + table().len(), WHOLE, THREADS);
    let ratio = predicted as f64 / found as f64;
    assert!(
        is_near(ratio),
        "{name}: predicted {predicted}, found {found}: {ratio:.3}"
    );
}

#[test]
fn inference_takes_the_predicted_memory() {
    compare("inference");
}

#[test]
#[ignore = "takes minutes"]
fn a_table() {
    println!(
        "| network | size | batch | threads | training, MiB | measured | ratio | inference, MiB | measured | ratio |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let first = cases().len();
    let mut off = Vec::new();
    for (index, (name, architecture, batch)) in table().into_iter().enumerate() {
        for threads in [1, 2] {
            let cells = ["training", "inference"].map(|what| {
                let model = predicted(&architecture, batch, what, threads) as f64;
                let found = measured(first + index, what, threads) as f64;
                let ratio = model / found;
                if !is_near(ratio) {
                    off.push((name, batch, threads, what, ratio));
                }
                let [model, found] = [model, found].map(|bytes| bytes / f64::from(1 << 20));
                format!("{model:.1} | {found:.1} | {ratio:.3}")
            });
            let (side, images) = (batch.height, batch.images);
            println!(
                "| {name} | {side} | {images} | {threads} | {} |",
                cells.join(" | ")
            );
        }
    }
    assert!(off.is_empty(), "{off:#?}");
}
