//! Test-time augmentation of `classifier-infer`, against pictures that are flipped and turned here
//! and then judged one by one, as they are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch};
use arrow::datatypes::Float32Type;
use dermflow_core::memory::MemoryContext;

use crate::exported::run;

/// Height and width of the pictures and of the network's: nothing is resized.
const SIDE: usize = 32;

const CLASSES: usize = 3;

/// Trained, so that it says different things of a picture and of its mirror image.
const CLASSIFIER: &str = "{architecture: {published: {name: efficientnetv2-b0, width: 0.15, depth: 0.2}}, side: 32, \
    classes: [class-0, class-1, class-2], batches: {size: 4}, \
    training: {epochs: 8, average: null, schedule: {learning-rate: 0.01, warm-up: 1}}}";

/// Probabilities and energies are added up in single precision; they are about 1.
const TOLERANCE: f64 = 1e-6;

/// So far off is a wrong mean, at the least: no tolerance hides it.
const WRONG: f64 = 100.0 * TOLERANCE;

#[test]
fn what_is_said_over_views_is_the_mean_of_what_is_said_of_each_view() {
    let mut made = MemoryContext::default();
    let with = format!("{{images: 12, width: {SIDE}, height: {SIDE}, classes: {CLASSES}}}");
    run("synthesize", &with, &mut made).unwrap();
    let (samples, model) = (made.output("samples"), trained(&made));
    let each: Vec<Vec<f64>> = (0..8)
        .map(|number| {
            let [across, down, turned] = [1, 2, 4].map(|bit| number & bit != 0);
            let moved = with_pixels(&samples, |pixels| moved(pixels, across, down, turned));
            numbers(&said(moved, &model, "one"))
        })
        .collect();
    let each: Vec<&[f64]> = each.iter().map(Vec::as_slice).collect();
    assert_eq!(numbers(&said(samples.clone(), &model, "one")), each[0]);
    for (views, count) in [("flips", 4), ("flips-and-turns", 8)] {
        let predictions = said(samples.clone(), &model, views);
        let found = numbers(&predictions);
        let each = &each[..count];
        let off = furthest(&found, &mean(each));
        assert!(off < TOLERANCE, "{views}: {off}");
        for left_out in 0..count {
            let others = each.iter().enumerate().filter(|(at, _)| *at != left_out);
            let others: Vec<&[f64]> = others.map(|(_, view)| *view).collect();
            let off = furthest(&found, &mean(&others));
            assert!(off > WRONG, "{views} without view {left_out}: {off}");
        }
        let off = furthest(&found, &of_mean_scores(each));
        assert!(
            off > WRONG,
            "{views}: the mean of scores is not that of probabilities: {off}"
        );
        likeliest_are_named(&predictions, &found);
    }
}

/// A model that learned from these pictures and their true labels.
fn trained(made: &MemoryContext) -> PathBuf {
    let mut context = MemoryContext::default();
    context.add_table("samples", made.output("samples"));
    context.add_table("labels", made.output("truth"));
    run("classifier-train", CLASSIFIER, &mut context).unwrap();
    let path = made.scratch.join("model.safetensors");
    std::fs::write(&path, &context.output_models["model"]).unwrap();
    path
}

/// What `classifier-infer` says of pictures.
fn said(samples: RecordBatch, model: &Path, views: &str) -> RecordBatch {
    let mut context = MemoryContext::default();
    context.add_table("samples", samples);
    context.add_model("model", model);
    run("classifier-infer", &format!("{{views: {views}}}"), &mut context).unwrap();
    context.output("predictions")
}

/// The same samples with other pixels.
fn with_pixels(samples: &RecordBatch, change: impl Fn(&[u8]) -> Vec<u8>) -> RecordBatch {
    let schema = samples.schema();
    let place = schema.index_of("pixels").unwrap();
    let pixels = samples.column(place).as_binary::<i32>();
    let changed = (0..pixels.len()).map(|row| change(pixels.value(row)));
    let mut columns = samples.columns().to_vec();
    columns[place] = Arc::new(BinaryArray::from_iter_values(changed));
    RecordBatch::try_new(schema, columns).unwrap()
}

/// A picture with left and right swapped, then above and below, then turned by 90 degrees.
fn moved(pixels: &[u8], across: bool, down: bool, turned: bool) -> Vec<u8> {
    let row = |line: &[u8]| -> Vec<[u8; 3]> {
        let pixels = line.chunks_exact(3);
        pixels.map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
    };
    let mut rows: Vec<Vec<[u8; 3]>> = pixels.chunks_exact(3 * SIDE).map(row).collect();
    if across {
        for row in &mut rows {
            row.reverse();
        }
    }
    if down {
        rows.reverse();
    }
    if turned {
        let column = |at: usize| -> Vec<[u8; 3]> { rows.iter().rev().map(|row| row[at]).collect() };
        rows = (0..SIDE).map(column).collect();
    }
    rows.concat().as_flattened().to_vec()
}

/// The probabilities of all classes and then the energy, of one sample after another.
fn numbers(predictions: &RecordBatch) -> Vec<f64> {
    let column = |name: &str| predictions.column_by_name(name).unwrap();
    let probabilities = column("probabilities").as_list::<i32>();
    let energies = column("energy").as_primitive::<Float32Type>();
    let mut numbers = Vec::new();
    for row in 0..predictions.num_rows() {
        let own = probabilities.value(row);
        let own = own.as_primitive::<Float32Type>().values();
        assert_eq!(own.len(), CLASSES);
        numbers.extend(own.iter().map(|probability| f64::from(*probability)));
        numbers.push(f64::from(energies.value(row)));
    }
    numbers
}

fn mean(views: &[&[f64]]) -> Vec<f64> {
    let sum = |at: usize| -> f64 { views.iter().map(|view| view[at]).sum() };
    let count = views.len() as f64;
    (0..views[0].len()).map(|at| sum(at) / count).collect()
}

/// The probabilities and energies of the means of the network's outputs, before the softmax. An
/// output is the logarithm of its probability, less the energy.
fn of_mean_scores(views: &[&[f64]]) -> Vec<f64> {
    let scores = |said: &[f64]| -> Vec<f64> {
        let energy = said[CLASSES];
        said[..CLASSES]
            .iter()
            .map(|probability| probability.ln() - energy)
            .collect()
    };
    let scores: Vec<Vec<f64>> = views
        .iter()
        .map(|view| view.chunks_exact(CLASSES + 1).flat_map(scores).collect())
        .collect();
    let scores: Vec<&[f64]> = scores.iter().map(Vec::as_slice).collect();
    let said = |scores: &[f64]| -> Vec<f64> {
        let sum: f64 = scores.iter().map(|score| score.exp()).sum();
        let mut said: Vec<f64> = scores.iter().map(|score| score.exp() / sum).collect();
        said.push(-sum.ln());
        said
    };
    mean(&scores).chunks_exact(CLASSES).flat_map(said).collect()
}

/// The largest difference of two numbers at one place.
fn furthest(left: &[f64], right: &[f64]) -> f64 {
    assert_eq!(left.len(), right.len());
    let pairs = left.iter().zip(right);
    pairs
        .map(|(left, right)| (left - right).abs())
        .fold(0.0, f64::max)
}

/// The label of each row is that of the highest of its means.
fn likeliest_are_named(predictions: &RecordBatch, numbers: &[f64]) {
    let column = |name: &str| predictions.column_by_name(name).unwrap();
    let labels = column("label").as_string::<i32>();
    let told = column("probability").as_primitive::<Float32Type>();
    for (row, own) in numbers.chunks_exact(CLASSES + 1).enumerate() {
        let highest = own[..CLASSES].iter().copied().fold(0.0, f64::max);
        assert_eq!(f64::from(told.value(row)), highest);
        let class = own.iter().position(|probability| *probability == highest);
        assert_eq!(labels.value(row), format!("class-{}", class.unwrap()));
    }
}
