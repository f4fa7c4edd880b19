//! Tests of `join`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use dermflow_core::memory::{MemoryContext, batch};
use dermflow_core::{Column, ColumnType, InputTypes, PortType, Reads, SampleId, StageKind, TableType};
use proptest::prelude::*;

use super::{Join, JoinParameters};

fn parameters(yaml: &str) -> JoinParameters {
    serde_yaml::from_str(yaml).unwrap()
}

fn numbered(keys: &[String], column: &str) -> RecordBatch {
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..keys.len() as i64));
    batch(&keys, [(column, numbers)])
}

/// Rows as (id, left number, right number).
type Row = (Vec<u8>, i64, Option<i64>);

fn joined(how: &str, left: &[String], right: &[String], batch_rows: usize) -> Vec<Row> {
    let mut context = MemoryContext::default();
    context.batch_rows = batch_rows;
    context.add_table("left", numbered(left, "l"));
    context.add_table("right", numbered(right, "r"));
    Join::run(&parameters(&format!("how: {how}")), &mut context).unwrap();
    let out = context.output("table");
    let ids = out.column(0).as_fixed_size_binary();
    let lefts = out.column(1).as_primitive::<Int64Type>();
    let rights = out
        .column_by_name("r")
        .map(|column| column.as_primitive::<Int64Type>());
    (0..out.num_rows())
        .map(|row| {
            let right = rights.and_then(|rights| (!rights.is_null(row)).then(|| rights.value(row)));
            (ids.value(row).to_vec(), lefts.value(row), right)
        })
        .collect()
}

/// The same by nested loops over a map.
fn expected(how: &str, left: &[String], right: &[String]) -> Vec<Row> {
    let mut lookup: BTreeMap<&String, Vec<i64>> = BTreeMap::new();
    for (at, key) in right.iter().enumerate() {
        lookup.entry(key).or_default().push(at as i64);
    }
    let mut rows = Vec::new();
    for (at, key) in left.iter().enumerate() {
        let id = SampleId::of_key(key).as_bytes().to_vec();
        let found = lookup.get(key);
        match (how, found) {
            ("inner" | "left", Some(found)) => {
                rows.extend(found.iter().map(|right| (id.clone(), at as i64, Some(*right))));
            }
            ("left" | "anti", None) | ("semi", Some(_)) => rows.push((id, at as i64, None)),
            _ => {}
        }
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows
}

proptest! {
    #[test]
    fn every_join_is_what_nested_loops_give(
        left in proptest::collection::vec("[a-f]", 0..12),
        right in proptest::collection::vec("[a-f]", 0..12),
        batch_rows in 1usize..5,
    ) {
        for how in ["inner", "left", "semi", "anti"] {
            prop_assert_eq!(joined(how, &left, &right, batch_rows), expected(how, &left, &right), "{}", how);
        }
    }
}

#[test]
fn a_sample_with_many_rows_on_both_sides_gives_every_pair_in_order() {
    let many = vec!["x".to_string(); 200];
    let rows = joined("inner", &many, &many, 8192);
    assert_eq!(rows, expected("inner", &many, &many));
    assert_eq!(rows.len(), 40_000);
}

fn wired(left: &[&str], right: &[&str]) -> InputTypes {
    let table = |names: &[&str]| {
        let columns = names.iter().map(|name| Column::new(*name, ColumnType::Text));
        vec![PortType::Table(TableType::exactly(columns))]
    };
    InputTypes::from([
        ("left".to_string(), table(left)),
        ("right".to_string(), table(right)),
    ])
}

#[test]
fn columns_that_clash_are_told_with_the_remedy_and_a_prefix_mends_it() {
    let clash = wired(&["label"], &["label", "age"]);
    let problem = Join::outputs(&parameters("{}"), &clash).unwrap_err();
    assert!(
        problem.message.contains("two columns `label`"),
        "{}",
        problem.message
    );
    assert!(problem.help.unwrap().contains("`prefix`"));
    let outputs = Join::outputs(&parameters("{how: left, prefix: r_}"), &clash).unwrap();
    let PortType::Table(table) = &outputs[0].port_type else {
        panic!()
    };
    assert!(table.column("r_label").is_some_and(|column| column.nullable));
    assert!(table.column("label").is_some_and(|column| !column.nullable));
    // A prefix can't make a second sample id either.
    let hidden = Join::outputs(&parameters("prefix: sample_"), &wired(&[], &["id"]));
    assert!(hidden.unwrap_err().message.contains("`sample_id`"));
}

#[test]
fn a_clash_that_was_not_known_fails_the_run_in_words() {
    let mut context = MemoryContext::default();
    context.add_table("left", numbered(&["a".to_string()], "n"));
    context.add_table("right", numbered(&["a".to_string()], "n"));
    let error = Join::run(&parameters("{}"), &mut context).unwrap_err();
    assert!(error.message.contains("two columns `n`"), "{error}");
}

#[test]
fn semi_and_anti_read_only_ids_of_the_right_table() {
    let inputs = Join::inputs(&parameters("how: anti"));
    assert_eq!(inputs.ports[1].reads, Reads::Columns(Vec::new()));
    assert_eq!(Join::check(&parameters("{how: anti, prefix: x}")).len(), 1);
}
