//! Tests of `average-predictions`.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Float32Type;
use dermflow_core::memory::MemoryContext;
use dermflow_core::{InputTypes, PortType, SampleId, StageError, StageKind, TableType};
use proptest::prelude::*;

use super::{AveragePredictions, AveragePredictionsParameters};
use crate::lesions::{predictions, texts};

const CLASSES: [&str; 2] = ["a", "b"];

fn parameters(yaml: &str) -> AveragePredictionsParameters {
    serde_yaml::from_str(yaml).unwrap()
}

/// Predictions that give `b` these probabilities.
fn of_b(keys: &[&str], shares: &[f32], energy: Option<Vec<f32>>) -> RecordBatch {
    let rows: Vec<[f32; 2]> = shares.iter().map(|share| [1.0 - share, *share]).collect();
    let rows: Vec<&[f32]> = rows.iter().map(|row| row.as_slice()).collect();
    predictions(keys, &CLASSES, &rows, energy)
}

fn run(
    with: &str,
    tables: Vec<RecordBatch>,
    splits: Option<RecordBatch>,
) -> Result<MemoryContext, StageError> {
    let mut context = MemoryContext::default();
    context.batch_rows = 2;
    for table in tables {
        context.add_table("predictions", table);
    }
    if let Some(splits) = splits {
        context.add_table("splits", splits);
    }
    let with = parameters(&format!("{{classes: [a, b], {with}}}"));
    AveragePredictions::run(&with, &mut context).map(|()| context)
}

/// Of each sample the label and the probability of `b`.
fn told(context: &MemoryContext, keys: &[&str]) -> Vec<(String, f32)> {
    let table = context.output("predictions");
    let ids = table.column(0).as_fixed_size_binary();
    assert_eq!(ids.len(), keys.len());
    let labels = table.column_by_name("label").unwrap().as_string::<i32>();
    let lists = table.column_by_name("probabilities").unwrap().as_list::<i32>();
    let own = table
        .column_by_name("probability")
        .unwrap()
        .as_primitive::<Float32Type>();
    let told = |key: &&str| {
        let id = SampleId::of_key(key);
        let row = (0..ids.len())
            .find(|row| ids.value(*row) == id.as_bytes())
            .unwrap();
        let list = lists.value(row);
        let list = list.as_primitive::<Float32Type>();
        let label = labels.value(row).to_string();
        let place = CLASSES.iter().position(|class| *class == label).unwrap();
        assert_eq!(own.value(row), list.value(place));
        (label, list.value(1))
    };
    keys.iter().map(told).collect()
}

#[test]
fn the_mean_decides_and_a_sure_model_outvotes_two_unsure_ones() {
    let keys = ["1", "2", "3"];
    let tables = vec![
        of_b(&keys, &[0.25, 0.5, 1.0], Some(vec![-1.0, 0.0, 2.0])),
        of_b(&keys, &[0.375, 0.5, 0.5], Some(vec![-3.0, 0.0, 1.0])),
        of_b(&keys, &[1.0, 0.5, 0.0], Some(vec![-5.0, 0.0, 0.0])),
    ];
    let context = run("", tables, None).unwrap();
    let told = told(&context, &keys);
    assert_eq!(told[0], ("b".to_string(), 1.625 / 3.0));
    assert_eq!(told[1], ("a".to_string(), 0.5), "of equal ones the first");
    assert_eq!(told[2].1, 0.5);
    let energy = context.output("predictions");
    let energy = energy
        .column_by_name("energy")
        .unwrap()
        .as_primitive::<Float32Type>();
    assert_eq!(energy.values().iter().sum::<f32>(), -3.0 + 1.0);
    assert_eq!(context.metrics["samples"], 3.0);
    let same = "share of averaged samples of which all models say the same";
    assert_eq!(context.metrics[same], 1.0 / 3.0);
}

#[test]
fn a_sample_of_a_fold_is_told_by_the_model_that_did_not_learn_from_it() {
    let keys = ["1", "2", "3"];
    let tables = || {
        vec![
            of_b(&keys, &[0.0, 0.25, 1.0], None),
            of_b(&keys, &[0.875, 0.75, 0.5], None),
        ]
    };
    let splits = texts(&["1", "2"], "fold", &["one", "two"]);
    let context = run("held-out: [two, one]", tables(), Some(splits)).unwrap();
    let shares: Vec<f32> = told(&context, &keys)
        .into_iter()
        .map(|(_, share)| share)
        .collect();
    assert_eq!(shares, [0.875, 0.25, 0.75]);
    assert_eq!(context.metrics["out-of-fold samples"], 2.0);
    assert!(context.output("predictions").column_by_name("energy").is_none());
    // Models need say nothing of what others stand for.
    let tables = vec![
        of_b(&["2", "3"], &[0.25, 1.0], None),
        of_b(&["1", "3"], &[0.875, 0.5], None),
    ];
    let splits = texts(&["1", "2"], "fold", &["one", "two"]);
    let context = run("held-out: [two, one]", tables, Some(splits)).unwrap();
    assert_eq!(told(&context, &keys)[0].1, 0.875);
}

#[test]
fn what_does_not_fit_is_told() {
    let refusal = |with: &str, tables, splits| {
        let Err(error) = run(with, tables, splits) else {
            panic!("it was taken")
        };
        error.message
    };
    let missing = vec![of_b(&["1", "2"], &[0.0, 0.0], None), of_b(&["1"], &[0.0], None)];
    let told = refusal("", missing, None);
    assert!(told.contains("table 2 of `predictions` lacks sample"), "{told}");
    let twice = vec![of_b(&["1", "1"], &[0.0, 0.0], None)];
    assert!(refusal("", twice, None).contains("2 rows"));
    let other = vec![predictions(&["1"], &["b", "a"], &[&[0.9, 0.1]], None)];
    assert!(refusal("", other, None).contains("place 1"));
    let unsplit = vec![of_b(&["1"], &[0.0], None)];
    let splits = texts(&["1", "1"], "fold", &["x", "y"]);
    assert!(refusal("held-out: [x]", unsplit, Some(splits)).contains("2 rows"));
}

#[test]
fn settings_that_can_not_be_are_told_at_their_place() {
    let wired = |tables: usize, splits: bool| {
        let of =
            |table: RecordBatch| PortType::Table(TableType::from_schema("Table", &table.schema()).unwrap());
        let predictions = vec![of(of_b(&["1"], &[0.0], None)); tables];
        let mut wired = InputTypes::from([("predictions".to_string(), predictions)]);
        if splits {
            let splits = of(texts(&["1"], "fold", &["x"]));
            wired.insert("splits".to_string(), vec![splits]);
        }
        wired
    };
    let place = |with: &str, wired: InputTypes| {
        let problem = AveragePredictions::outputs(&parameters(with), &wired).err()?;
        Some((problem.parameter, problem.message))
    };
    let told = place("{classes: [a], held-out: [x]}", wired(2, true)).unwrap();
    assert_eq!(told.0, "held-out");
    assert!(told.1.contains("1 folds for 2 tables"), "{}", told.1);
    assert_eq!(
        place("{classes: [a], held-out: [x]}", wired(1, false)).unwrap().0,
        "held-out"
    );
    assert_eq!(place("{classes: [a]}", wired(1, true)).unwrap().0, "held-out");
    assert_eq!(place("{}", wired(1, false)).unwrap().0, "classes");
    assert_eq!(place("{classes: [a]}", wired(1, false)), None);
    let twice = AveragePredictions::check(&parameters("{classes: [a], held-out: [x, y, x]}"));
    assert_eq!(twice[0].parameter, "held-out.2");
}

proptest! {
    #[test]
    fn one_table_is_its_own_mean_and_order_does_not_matter(shares in proptest::collection::vec(0.0_f32..1.0, 1..9)) {
        let keys: Vec<String> = (0..shares.len()).map(|key| key.to_string()).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let turned: Vec<f32> = shares.iter().map(|share| 1.0 - share).collect();
        let alone = run("", vec![of_b(&keys, &shares, None)], None).unwrap();
        for ((_, told), share) in told(&alone, &keys).iter().zip(&shares) {
            prop_assert_eq!(told, share);
        }
        let tables = [of_b(&keys, &shares, None), of_b(&keys, &turned, None)];
        let one = run("", tables.to_vec(), None).unwrap();
        let other = run("", tables.into_iter().rev().collect(), None).unwrap();
        prop_assert_eq!(one.output("predictions"), other.output("predictions"));
    }
}
