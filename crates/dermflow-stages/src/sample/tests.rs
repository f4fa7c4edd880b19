//! Tests of `sample`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use dermflow_core::memory::{MemoryContext, batch};
use dermflow_core::{Column, ColumnType, InputTypes, PortType, Shape, StageKind, TableType};

use super::{Sample, SampleParameters};

fn parameters(yaml: &str) -> SampleParameters {
    serde_yaml::from_str(yaml).unwrap()
}

/// `keys`, each with the label that its number gives.
fn table(keys: std::ops::Range<usize>) -> RecordBatch {
    let names: Vec<String> = keys.clone().map(|key| key.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let labels: StringArray = keys.map(|key| ["a", "b", "b"].get(key % 4).copied()).collect();
    batch(&names, [("label", Arc::new(labels) as ArrayRef)])
}

fn run(yaml: &str, table: RecordBatch, seed: u64, batch_rows: usize) -> RecordBatch {
    let mut context = MemoryContext::default();
    context.seed = seed;
    context.batch_rows = batch_rows;
    context.add_table("table", table);
    Sample::run(&parameters(yaml), &mut context).unwrap();
    context.output("table")
}

fn ids(table: &RecordBatch) -> BTreeSet<Vec<u8>> {
    let ids = table.column(0).as_fixed_size_binary();
    (0..ids.len()).map(|row| ids.value(row).to_vec()).collect()
}

#[test]
fn a_share_is_near_its_size_and_follows_the_seed() {
    let taken = run("share: 0.2", table(0..5000), 1, 100);
    assert!((850..1150).contains(&taken.num_rows()), "{}", taken.num_rows());
    assert_ne!(ids(&taken), ids(&run("share: 0.2", table(0..5000), 2, 100)));
    assert_eq!(run("share: 1", table(0..50), 1, 7).num_rows(), 50);
    assert_eq!(run("share: 0", table(0..50), 1, 7).num_rows(), 0);
}

#[test]
fn adding_rows_changes_the_choice_for_no_other_sample() {
    let few = ids(&run("share: 0.3", table(0..500), 1, 64));
    let many = ids(&run("share: 0.3", table(0..1000), 1, 64));
    let old = ids(&table(0..500));
    assert_eq!(few, many.intersection(&old).cloned().collect());
    // A larger share holds the smaller one.
    assert!(ids(&run("share: 0.2", table(0..500), 1, 64)).is_subset(&few));
}

#[test]
fn rows_takes_exactly_so_many_and_the_same_whatever_the_batches() {
    let taken = run("rows: 37", table(0..500), 1, 1);
    assert_eq!(taken.num_rows(), 37);
    assert_eq!(taken, run("rows: 37", table(0..500), 1, 8192));
    assert_eq!(run("rows: 37", table(0..5), 1, 8).num_rows(), 5);
}

fn counts(table: &RecordBatch) -> BTreeMap<Option<String>, usize> {
    let mut counts = BTreeMap::new();
    for label in table.column(1).as_string::<i32>() {
        *counts.entry(label.map(str::to_string)).or_default() += 1;
    }
    counts
}

#[test]
fn by_chooses_within_each_value_missing_ones_included() {
    let expected = |a, b, none| {
        BTreeMap::from([
            (Some("a".to_string()), a),
            (Some("b".to_string()), b),
            (None, none),
        ])
    };
    assert_eq!(
        counts(&run("{rows: 10, by: label}", table(0..400), 1, 16)),
        expected(10, 10, 10)
    );
    assert_eq!(
        counts(&run("{share: 0.25, by: label}", table(0..400), 1, 16)),
        expected(25, 50, 25)
    );
}

#[test]
fn a_sample_is_taken_with_all_its_rows() {
    let names: Vec<String> = (0..300).map(|row| (row / 3).to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for yaml in ["share: 0.4", "rows: 20", "{rows: 5, by: label}"] {
        let labels: StringArray = (0..300).map(|row| Some(["x", "y"][row % 2])).collect();
        let rows = batch(&names, [("label", Arc::new(labels) as ArrayRef)]);
        let taken = run(yaml, rows, 3, 2);
        assert_eq!(taken.num_rows(), 3 * ids(&taken).len(), "{yaml}");
        assert!(taken.num_rows() > 0);
    }
}

#[test]
fn only_a_plain_share_is_a_map() {
    assert!(matches!(
        Sample::shape(&parameters("share: 0.5")),
        Shape::Map { .. }
    ));
    assert_eq!(Sample::shape(&parameters("rows: 5")), Shape::Whole);
    assert_eq!(
        Sample::shape(&parameters("{share: 0.5, by: label}")),
        Shape::Whole
    );
}

#[test]
fn wrong_parameters_are_told_at_their_place() {
    let places = |yaml: &str| -> Vec<String> {
        let problems = Sample::check(&parameters(yaml));
        problems.into_iter().map(|problem| problem.parameter).collect()
    };
    assert_eq!(places("{}"), [""]);
    assert_eq!(places("{rows: 1, share: 0.5}"), [""]);
    assert_eq!(places("share: .nan"), ["share"]);
    assert_eq!(places("rows: 0"), ["rows"]);
    let floats = TableType::exactly([Column::new("x", ColumnType::Float64)]);
    let wired = InputTypes::from([("table".to_string(), vec![PortType::Table(floats)])]);
    for column in ["x", "y"] {
        let problem =
            Sample::outputs(&parameters(&format!("{{rows: 1, by: {column}}}")), &wired).unwrap_err();
        assert_eq!(problem.parameter, "by");
    }
}
