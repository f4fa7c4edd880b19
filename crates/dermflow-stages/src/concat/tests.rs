//! Tests of `concat`.

use arrow::array::{Array, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use dermflow_core::memory::{MemoryContext, batch};
use proptest::prelude::*;

use super::*;

fn parameters(yaml: &str) -> ConcatParameters {
    serde_yaml::from_str(yaml).unwrap()
}

fn run(yaml: &str, tables: Vec<RecordBatch>, batch_rows: usize) -> Result<RecordBatch, StageError> {
    let mut context = MemoryContext::default();
    context.batch_rows = batch_rows;
    for table in tables {
        context.add_table("tables", table);
    }
    Concat::run(&parameters(yaml), &mut context)?;
    Ok(context.output("table"))
}

fn numbers(keys: &[String], first: i64) -> RecordBatch {
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + keys.len() as i64));
    batch(&keys, [("n", values)])
}

proptest! {
    #[test]
    fn every_row_is_there_once_and_rows_of_a_sample_are_in_order_of_the_tables(
        tables in proptest::collection::vec(proptest::collection::vec("[a-e]", 0..8), 1..5),
        batch_rows in 1usize..4,
    ) {
        let batches: Vec<RecordBatch> =
            tables.iter().enumerate().map(|(at, keys)| numbers(keys, at as i64 * 100)).collect();
        let out = run("source-column: from", batches, batch_rows).unwrap();
        let mut expected: Vec<(Vec<u8>, i64, String)> = Vec::new();
        for (at, keys) in tables.iter().enumerate() {
            for (row, key) in keys.iter().enumerate() {
                let id = SampleId::of_key(key).as_bytes().to_vec();
                expected.push((id, at as i64 * 100 + row as i64, (at + 1).to_string()));
            }
        }
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        let (ids, values, from) = (out.column(0).as_fixed_size_binary(), out.column(1), out.column(2));
        let given: Vec<(Vec<u8>, i64, String)> = (0..out.num_rows())
            .map(|row| (
                ids.value(row).to_vec(),
                values.as_primitive::<Int64Type>().value(row),
                from.as_string::<i32>().value(row).to_string(),
            ))
            .collect();
        prop_assert_eq!(given, expected);
    }
}

#[test]
fn unique_refuses_a_repeated_sample_within_and_across_tables() {
    let of = |keys: &[&str]| numbers(&keys.iter().map(|key| (*key).to_string()).collect::<Vec<_>>(), 0);
    assert!(run("unique: true", vec![of(&["a", "b"]), of(&["c"])], 1).is_ok());
    for tables in [
        vec![of(&["a", "b"]), of(&["b"])],
        vec![of(&["a", "a"]), of(&["b"])],
    ] {
        let error = run("unique: true", tables, 1).unwrap_err();
        assert!(error.message.contains("more than one row"), "{error}");
    }
}

fn wired(tables: &[&[(&str, ColumnType)]]) -> InputTypes {
    let table = |columns: &&[(&str, ColumnType)]| {
        let columns = columns
            .iter()
            .map(|(name, column_type)| Column::new(*name, column_type.clone()));
        PortType::Table(TableType::exactly(columns))
    };
    InputTypes::from([("tables".to_string(), tables.iter().map(table).collect())])
}

#[test]
fn columns_that_disagree_are_told_before_the_run() {
    use ColumnType::{Integer, Text};
    let ask = |yaml: &str, tables: &[&[(&str, ColumnType)]]| {
        Concat::outputs(&parameters(yaml), &wired(tables))
            .unwrap_err()
            .message
    };
    let typed = ask("{}", &[&[("a", Text)], &[("a", Integer)]]);
    assert!(
        typed.contains("`a` is text before, but integer in table 2"),
        "{typed}"
    );
    let extra = ask("{}", &[&[("a", Text)], &[("a", Text), ("b", Text)]]);
    assert!(extra.contains("has a column `b`"), "{extra}");
    let lacking = ask("{}", &[&[("a", Text), ("b", Text)], &[("a", Text)]]);
    assert!(lacking.contains("lacks the column `b`"), "{lacking}");
    let names = ask("{source-column: s, source-names: [x]}", &[&[], &[]]);
    assert!(names.contains("1 names for 2 tables"), "{names}");
    let clash = ask("source-column: a", &[&[("a", Text)]]);
    assert!(clash.contains("already have a column `a`"), "{clash}");
}

#[test]
fn columns_may_stand_in_another_order_and_one_side_may_allow_missing_values() {
    let texts = |values: Vec<Option<&str>>| -> ArrayRef { Arc::new(StringArray::from(values)) };
    let one = batch(
        &["a"],
        [("x", texts(vec![Some("1")])), ("y", texts(vec![Some("2")]))],
    );
    let two = batch(&["b"], [("y", texts(vec![None])), ("x", texts(vec![Some("3")]))]);
    let out = run("{}", vec![one.clone(), two], 8).unwrap();
    assert_eq!(out.column_by_name("y").unwrap().null_count(), 1);
    assert_eq!(out.schema().field(1).name(), "x");
    let refused = run("{}", vec![one, batch(&["b"], [("x", texts(vec![Some("3")]))])], 8).unwrap_err();
    assert!(refused.message.contains("lacks the column `y`"), "{refused}");
}
