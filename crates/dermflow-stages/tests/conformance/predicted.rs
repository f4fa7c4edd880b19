//! Inputs of the kinds that judge predictions or choose by them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, Float32Array, Float32Builder, Float64Array, Int64Array, ListBuilder,
    RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field};
use dermflow_core::memory::batch;

use crate::world::World;

/// Predictions of three classes for the samples 0 to 39, true labels of 5 to 44, one in six of a
/// class that the model doesn't know, with patients, ages, skin types and folds.
pub fn evaluated(world: &mut World, rows: bool) {
    world.add("predictions", predictions(), rows);
    let truth = |key: usize| ["a", "b", "a", "c", "b", "unknown"][key * 7 % 6];
    world.add(
        "truth",
        table(5..45, [("label", texts(5..45, |key| Some(truth(key))))]),
        rows,
    );
    about_samples(world, rows);
}

/// The same, with the true labels of samples that are not of the fold `test` wired to `validation`.
pub fn validated(world: &mut World, rows: bool) {
    evaluated(world, rows);
    let keys = || (6..40).step_by(3);
    let truths = ["a", "b", "a", "c", "b", "a"];
    let labels: StringArray = keys().map(|key| Some(truths[key % 6])).collect();
    let keys: Vec<String> = keys().map(|key: usize| key.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let length = if rows { keys.len() } else { 0 };
    let table = batch(&keys, [("label", Arc::new(labels) as ArrayRef)]);
    world
        .tables
        .push(("validation".to_string(), table.slice(0, length)));
}

/// Patients, ages, skin types and folds of the samples 0 to 39.
fn about_samples(world: &mut World, rows: bool) {
    let ages: Int64Array = (0..40)
        .map(|key| (key % 9 != 0).then_some(key * 17 % 90))
        .collect();
    let attributes = [
        (
            "patient",
            texts(0..40, |key| Some(["p", "q", "r", "s", "t", "u"][key / 7])),
        ),
        ("age", Arc::new(ages) as ArrayRef),
        (
            "skin",
            texts(0..40, |key| ["light", "dark"].get(key % 3).copied()),
        ),
    ];
    world.add("attributes", table(0..40, attributes), rows);
    let folds = texts(0..40, |key| Some(["valid", "test", "test"][key % 3]));
    world.add("splits", table(0..40, [("fold", folds)]), rows);
}

/// The same predictions, and a training set of other class shares.
pub fn resampled(world: &mut World, rows: bool) {
    world.add("predictions", predictions(), rows);
    let training = texts(0..12, |key| Some(["a", "a", "b", "c"][key % 4]));
    world.add("training", table(0..12, [("label", training)]), rows);
}

/// True boxes of the samples 0 to 19, two of every third, and detections of 0 to 24 that miss
/// some.
pub fn detected(world: &mut World, rows: bool) {
    let keys: Vec<usize> = (0..20)
        .flat_map(|key| vec![key; 1 + usize::from(key % 3 == 0)])
        .collect();
    world.add("boxes", boxes(&keys, 0.0), rows);
    let keys: Vec<usize> = (0..25).flat_map(|key| vec![key; 1 + key % 2]).collect();
    let mut detections = boxes(&keys, 0.07);
    let probabilities: Float32Array = (0..keys.len())
        .map(|at| Some((at * 29 % 31) as f32 / 31.0))
        .collect();
    let named = detections
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect::<Vec<_>>();
    let columns = named
        .iter()
        .map(String::as_str)
        .zip(detections.columns().to_vec())
        .skip(1);
    let columns: Vec<(&str, ArrayRef)> = columns
        .chain([("probability", Arc::new(probabilities) as ArrayRef)])
        .collect();
    let texts: Vec<String> = keys.iter().map(usize::to_string).collect();
    detections = batch(&texts.iter().map(String::as_str).collect::<Vec<_>>(), columns);
    world.add("detections", detections, rows);
    about_samples(world, rows);
}

/// Boxes of the samples 0 to 19, and heat of 2 to 23 with its pictures.
pub fn heated(world: &mut World, rows: bool) {
    world.add("boxes", boxes(&(0..20).collect::<Vec<_>>(), 0.0), rows);
    let cells =
        |key: usize| -> Vec<u8> { (0..12).map(|cell| ((cell * 37 + key * 11) % 256) as u8).collect() };
    let heat: BinaryArray = (2..24).map(|key| Some(cells(key))).collect();
    let all = |number: i64| Arc::new(Int64Array::from(vec![number; 22])) as ArrayRef;
    let columns = [
        ("height", all(3)),
        ("width", all(4)),
        ("heat", Arc::new(heat) as ArrayRef),
    ];
    world.add("foreground", table(2..24, columns), rows);
    let placed = |number: f64| Arc::new(Float64Array::from(vec![number; 22])) as ArrayRef;
    let columns = [
        ("width", all(30)),
        ("height", all(24)),
        ("placed_left", placed(0.0)),
        ("placed_top", placed(0.125)),
        ("placed_width", placed(1.0)),
        ("placed_height", placed(0.75)),
    ];
    world.add("samples", table(2..24, columns), rows);
    about_samples(world, rows);
}

/// A box for each key, moved by `off`; those of one sample lie side by side.
fn boxes(keys: &[usize], off: f64) -> RecordBatch {
    let texts: Vec<String> = keys.iter().map(usize::to_string).collect();
    let labels: StringArray = keys.iter().map(|key| Some(["a", "b"][key % 2])).collect();
    let side = |of: &dyn Fn(usize, usize) -> f64| -> ArrayRef {
        let all = keys.iter().enumerate().map(|(at, key)| Some(of(at, *key)));
        Arc::new(all.collect::<Float64Array>())
    };
    let columns: [(&str, ArrayRef); 5] = [
        ("label", Arc::new(labels)),
        (
            "x",
            side(&|at, key| 0.05 * (key % 5) as f64 + 0.4 * (at % 2) as f64 + off),
        ),
        (
            "y",
            side(&|_, key| 0.1 * (key % 4) as f64 + off * (key % 3) as f64),
        ),
        ("w", side(&|_, key| 0.2 + 0.05 * (key % 3) as f64)),
        ("h", side(&|_, _| 0.3)),
    ];
    batch(&texts.iter().map(String::as_str).collect::<Vec<_>>(), columns)
}

/// The same predictions, and labels of which some disagree and some are unknown to the model.
pub fn audited(world: &mut World, rows: bool) {
    world.add("predictions", predictions(), rows);
    let given = texts(3..43, |key| Some(["a", "b", "c", "a", "healthy"][key * 11 % 5]));
    world.add("labels", table(3..43, [("label", given)]), rows);
}

/// The same predictions twice, of two models: the second says of each sample what the first says of
/// the one 39 from it.
pub fn averaged(world: &mut World, rows: bool) {
    world.add("predictions", predictions(), rows);
    world.add("predictions", predictions_of(|key| 39 - key), rows);
}

/// The same, and the folds that the two models did not learn from.
pub fn averaged_by_folds(world: &mut World, rows: bool) {
    averaged(world, rows);
    let folds = texts(0..40, |key| Some(["valid", "test", "train"][key % 3]));
    world.add("splits", table(0..40, [("fold", folds)]), rows);
}

fn predictions() -> RecordBatch {
    predictions_of(|key| key)
}

fn predictions_of(place: impl Fn(usize) -> usize) -> RecordBatch {
    let rows: Vec<[f32; 3]> = (0..40)
        .map(&place)
        .map(|key| {
            let [first, second] = [(key * 37 % 11) as f32, (key * 53 % 7) as f32].map(|part| part + 1.0);
            let sum = first + second + 3.0;
            [first / sum, second / sum, 3.0 / sum]
        })
        .collect();
    let best = |row: &[f32; 3]| {
        (0..3)
            .max_by(|left, right| row[*left].total_cmp(&row[*right]))
            .unwrap()
    };
    let labels = texts(0..40, |key| Some(["a", "b", "c"][best(&rows[key])]));
    let probabilities: Float32Array = rows.iter().map(|row| Some(row[best(row)])).collect();
    let mut lists =
        ListBuilder::new(Float32Builder::new()).with_field(Field::new("item", DataType::Float32, false));
    for row in &rows {
        lists.values().append_slice(row);
        lists.append(true);
    }
    let energies: Float32Array = (0..40)
        .map(place)
        .map(|key| Some(-((key * 29 % 13) as f32) / 4.0))
        .collect();
    let columns: [(&str, ArrayRef); 4] = [
        ("label", labels),
        ("probability", Arc::new(probabilities)),
        ("probabilities", Arc::new(lists.finish())),
        ("energy", Arc::new(energies)),
    ];
    table(0..40, columns)
}

fn texts(keys: std::ops::Range<usize>, of: impl Fn(usize) -> Option<&'static str>) -> ArrayRef {
    Arc::new(keys.map(of).collect::<StringArray>())
}

fn table<const N: usize>(keys: std::ops::Range<usize>, columns: [(&str, ArrayRef); N]) -> RecordBatch {
    let keys: Vec<String> = keys.map(|key| key.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert!(columns.iter().all(|(_, column)| column.len() == keys.len()));
    batch(&keys, columns)
}
