//! Tests of `rank-resample`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, StringArray};
use arrow::datatypes::{Float32Type, Float64Type, Int64Type};
use dermflow_core::memory::{MemoryContext, batch};
use dermflow_core::{SampleId, StageError, StageKind};
use proptest::prelude::*;

use super::{RankResample, RankResampleParameters};
use crate::lesions::texts;

fn parameters(yaml: &str) -> RankResampleParameters {
    serde_yaml::from_str(yaml).unwrap()
}

/// Runs over predictions (label, probability), whose keys are their numbers.
fn run(
    yaml: &str,
    predicted: &[(&str, f32)],
    training: &[&str],
    seed: u64,
) -> Result<MemoryContext, StageError> {
    let keys: Vec<String> = (0..predicted.len()).map(|key| key.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let labels: StringArray = predicted.iter().map(|(label, _)| Some(*label)).collect();
    let probabilities: Float32Array = predicted
        .iter()
        .map(|(_, probability)| Some(*probability))
        .collect();
    let columns: [(&str, ArrayRef); 2] = [
        ("label", Arc::new(labels)),
        ("probability", Arc::new(probabilities)),
    ];
    let training_keys: Vec<String> = (0..training.len()).map(|key| format!("t{key}")).collect();
    let training_keys: Vec<&str> = training_keys.iter().map(String::as_str).collect();
    let mut context = MemoryContext::default();
    context.seed = seed;
    context.batch_rows = 3;
    context.add_table("predictions", batch(&keys, columns));
    context.add_table("training", texts(&training_keys, "label", training));
    RankResample::run(&parameters(yaml), &mut context).map(|()| context)
}

/// The selection: ids with label and rank, sorted.
fn selection(context: &MemoryContext) -> Vec<(Vec<u8>, String, i64)> {
    let table = context.output("selection");
    let ids = table.column(0).as_fixed_size_binary();
    let labels = table.column_by_name("label").unwrap().as_string::<i32>();
    let ranks = table.column_by_name("rank").unwrap().as_primitive::<Int64Type>();
    let rows = (0..ids.len()).map(|row| {
        (
            ids.value(row).to_vec(),
            labels.value(row).to_string(),
            ranks.value(row),
        )
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    rows
}

/// Each class's samples from the surest to the least sure, by a plain sort of everything.
fn sorted_by_class<'a>(predicted: &[(&'a str, f32)]) -> BTreeMap<&'a str, Vec<(f32, SampleId)>> {
    let mut classes: BTreeMap<&str, Vec<(f32, SampleId)>> = BTreeMap::new();
    for (key, (label, probability)) in predicted.iter().enumerate() {
        let id = SampleId::of_key(&key.to_string());
        classes.entry(label).or_default().push((*probability, id));
    }
    for samples in classes.values_mut() {
        samples.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
    }
    classes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_selection_is_that_of_a_plain_sort(
        predicted in proptest::collection::vec(
            (
                prop_oneof![Just("a"), Just("b"), Just("c")],
                prop_oneof![(0_u8..5).prop_map(|step| f32::from(step) / 4.0), 0.0_f32..1.0, 0.9999_f32..1.0],
            ),
            1..60,
        ),
        training in proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("d")], 1..10),
        size in 1_u64..40,
        floor in prop_oneof![Just(0.0_f64), 0.0..1.0],
    ) {
        let yaml = format!("{{size: {size}, short: leave, min-probability: {floor}}}");
        let context = run(&yaml, &predicted, &training, 0).unwrap();
        let quota = context.output("quota");
        let classes = quota.column_by_name("class").unwrap().as_string::<i32>();
        let taken = quota.column_by_name("taken").unwrap().as_primitive::<Int64Type>();
        let wanted = quota.column_by_name("wanted").unwrap().as_primitive::<Int64Type>();
        prop_assert_eq!(wanted.values().iter().sum::<i64>(), size as i64);
        let sorted = sorted_by_class(&predicted);
        let mut expected = Vec::new();
        for row in 0..quota.num_rows() {
            let class = classes.value(row);
            let samples = sorted.get(class).map(Vec::as_slice).unwrap_or_default();
            let likely: Vec<_> = samples.iter().filter(|(share, _)| f64::from(*share) >= floor).collect();
            prop_assert_eq!(taken.value(row), wanted.value(row).min(likely.len() as i64));
            for (rank, (_, id)) in (1..).zip(likely.iter().take(taken.value(row) as usize)) {
                expected.push((id.as_bytes().to_vec(), class.to_string(), rank));
            }
        }
        expected.sort();
        prop_assert_eq!(selection(&context), expected);
    }

    #[test]
    fn probabilities_fall_as_ranks_rise(
        shares in proptest::collection::vec(0.0_f32..=1.0, 1..60),
    ) {
        let predicted: Vec<(&str, f32)> = shares.iter().map(|share| ("a", *share)).collect();
        let context = run("ratio: 1", &predicted, &["a"], 0).unwrap();
        let table = context.output("selection");
        let ranks = table.column_by_name("rank").unwrap().as_primitive::<Int64Type>();
        let probabilities = table.column_by_name("probability").unwrap().as_primitive::<Float32Type>();
        let mut rows: Vec<(i64, f32)> = ranks.values().iter().copied().zip(probabilities.values().iter().copied()).collect();
        rows.sort_by_key(|row| row.0);
        prop_assert!(rows.iter().zip(1..).all(|((rank, _), expected)| *rank == expected));
        prop_assert!(rows.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        prop_assert_eq!(rows.len(), shares.len());
    }
}

fn predicted(counts: &[(&'static str, usize)]) -> Vec<(&'static str, f32)> {
    let of = |(label, count): &(&'static str, usize)| {
        let (label, count) = (*label, *count);
        (0..count).map(move |at| (label, 0.5 + at as f32 / (2.0 * count as f32)))
    };
    counts.iter().flat_map(of).collect()
}

fn taken(context: &MemoryContext) -> Vec<(String, i64)> {
    let quota = context.output("quota");
    let classes = quota.column_by_name("class").unwrap().as_string::<i32>();
    let taken = quota.column_by_name("taken").unwrap().as_primitive::<Int64Type>();
    let mut rows: Vec<(String, i64)> = (0..quota.num_rows())
        .map(|row| (classes.value(row).to_string(), taken.value(row)))
        .collect();
    rows.sort();
    rows
}

#[test]
fn shares_are_kept_or_told_to_differ_and_a_short_class_is_logged() {
    let predicted = predicted(&[("a", 100), ("b", 6), ("z", 50)]);
    let training = ["a", "a", "b"];
    let context = run("size: 30", &predicted, &training, 0).unwrap();
    let of = |a, b| vec![("a".to_string(), a), ("b".to_string(), b), ("z".to_string(), 0)];
    assert_eq!(taken(&context), of(12, 6));
    assert_eq!(context.metrics["class-share-distance"], 0.0);
    // Half of |100/156 - 2/3| + |6/156 - 1/3| + 50/156.
    let expected = ((2.0 / 3.0 - 100.0 / 156.0) + (1.0 / 3.0 - 6.0 / 156.0) + 50.0 / 156.0) / 2.0;
    assert!((context.metrics["class-share-distance-of-predictions"] - expected).abs() < 1e-12);
    assert_eq!(context.metrics["short-classes"], 1.0);
    assert!(context.lines.lock().unwrap()[0].contains("`b` runs short: 10 wanted, 6"));
    let context = run("{size: 30, short: leave}", &predicted, &training, 0).unwrap();
    assert_eq!(taken(&context), of(20, 6));
    let expected = 20.0 / 26.0 - 2.0 / 3.0;
    assert!((context.metrics["class-share-distance"] - expected).abs() < 1e-12);
    let differences = context.output("quota");
    let differences = differences
        .column_by_name("difference")
        .unwrap()
        .as_primitive::<Float64Type>();
    let sum: f64 = differences
        .values()
        .iter()
        .map(|difference| difference.abs())
        .sum();
    assert!((sum / 2.0 - expected).abs() < 1e-12);
}

/// A training counts a sample once, whatever rows it has: shares that hold by repeated rows would
/// not be those that it learns from.
#[test]
fn no_sample_is_taken_twice() {
    let repeating = serde_yaml::from_str::<RankResampleParameters>("{size: 9, short: repeat}");
    let refusal = repeating.err().unwrap().to_string();
    assert!(
        refusal.contains("`repeat`") && refusal.contains("`leave`"),
        "{refusal}"
    );
    let predicted = [("a", 0.9), ("a", 0.8), ("b", 0.7)];
    let context = run("{size: 9, short: leave}", &predicted, &["a", "a", "b"], 0).unwrap();
    let rows = selection(&context);
    let ids: BTreeSet<&Vec<u8>> = rows.iter().map(|(id, ..)| id).collect();
    assert_eq!((rows.len(), ids.len()), (3, 3));
}

#[test]
fn random_order_follows_the_seed_and_takes_other_samples_than_ranking() {
    let predicted = predicted(&[("a", 200)]);
    let ids = |yaml: &str, seed: u64| selection(&run(yaml, &predicted, &["a"], seed).unwrap());
    let random = "{size: 50, order: random}";
    assert_eq!(ids(random, 1), ids(random, 1));
    assert_ne!(ids(random, 1), ids(random, 2));
    assert_ne!(ids(random, 1), ids("size: 50", 1));
    assert_eq!(ids("size: 50", 1), ids("size: 50", 2));
    let context = run(random, &predicted, &["a"], 1).unwrap();
    let table = context.output("selection");
    let shares = table
        .column_by_name("probability")
        .unwrap()
        .as_primitive::<Float32Type>();
    let mean = shares.values().iter().sum::<f32>() / 50.0;
    assert!((mean - 0.75).abs() < 0.08, "{mean}");
}

#[test]
fn bad_rows_and_impossible_shares_are_told() {
    let refusal = |predicted: &[(&str, f32)], training: &[&str]| {
        run("size: 2", predicted, training, 0).err().unwrap().message
    };
    assert!(refusal(&[("a", f32::NAN)], &["a"]).contains("NaN"));
    assert!(refusal(&[("a", 1.5)], &["a"]).contains("1.5"));
    assert!(refusal(&[("a", 0.5)], &[]).contains("no labels"));
    assert!(refusal(&[("b", 0.5)], &["a", "b"]).contains("class `a`"));
    let context = run("size: 2", &[], &["a"], 0).unwrap();
    assert_eq!(selection(&context).len(), 0);
    let places = |yaml: &str| RankResample::check(&parameters(yaml)).len();
    assert_eq!(
        (
            places("{}"),
            places("{size: 1, ratio: 1}"),
            places("{ratio: 0.5}")
        ),
        (1, 1, 0)
    );
    assert_eq!(places("{size: 1, min-probability: .nan}"), 1);
}
