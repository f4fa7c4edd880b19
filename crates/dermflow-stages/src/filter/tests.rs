//! Tests of `filter`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float32Array, Int64Array, RecordBatch, StringArray};
use dermflow_core::memory::{MemoryContext, batch};
use dermflow_core::{Column, ColumnType, InputTypes, PortType, Problem, Reads, StageKind, TableType};
use proptest::prelude::*;

use super::{Filter, FilterParameters};

fn parameters(yaml: &str) -> FilterParameters {
    serde_yaml::from_str(yaml).unwrap()
}

fn table() -> RecordBatch {
    let ages: ArrayRef = Arc::new(Int64Array::from(vec![
        Some(17),
        Some(18),
        None,
        Some(65),
        Some(40),
    ]));
    let names: ArrayRef = Arc::new(StringArray::from(vec![
        "a.jpg", "b.png", "c.jpg", "d.jpg", "e.png",
    ]));
    let shares: ArrayRef = Arc::new(Float32Array::from(vec![0.1, 0.2, f32::NAN, 0.3, 0.4]));
    batch(
        &["1", "2", "3", "4", "5"],
        [("age", ages), ("name", names), ("share", shares)],
    )
}

fn names(yaml: &str) -> Vec<String> {
    let mut context = MemoryContext::default();
    context.add_table("table", table());
    Filter::run(&parameters(yaml), &mut context).unwrap();
    let out = context.output("table");
    let column = out.column_by_name("name").unwrap().as_string::<i32>().clone();
    let mut names: Vec<String> = column
        .iter()
        .flatten()
        .map(|name| name[..1].to_string())
        .collect();
    names.sort();
    names
}

#[test]
fn each_test_keeps_the_rows_that_it_says() {
    let expectations = [
        ("equals: 18", "b"),
        ("not-equals: 18", "ade"),
        ("in: [17, 65]", "ad"),
        ("not-in: [17, 65]", "be"),
        ("not-in: []", "abde"),
        ("at-least: 18", "bde"),
        ("at-most: 18", "ab"),
        ("above: 17.5", "bde"),
        ("below: 17.5", "a"),
        ("is-null: true", "c"),
        ("is-null: false", "abde"),
        ("at-least: 18, below: 65", "be"),
    ];
    for (test, kept) in expectations {
        assert_eq!(
            names(&format!("where: {{column: age, {test}}}")).concat(),
            kept,
            "{test}"
        );
    }
    assert_eq!(names("where: {column: name, matches: '*.jpg'}").concat(), "acd");
    assert_eq!(names("where: {column: name, above: 'c'}").concat(), "cde");
}

#[test]
fn a_written_fraction_equals_the_same_fraction_in_a_narrow_column_and_nan_equals_nothing() {
    assert_eq!(names("where: {column: share, equals: 0.1}").concat(), "a");
    assert_eq!(names("where: {column: share, above: 0.1}").concat(), "bde");
    assert_eq!(
        names("where: {not: {column: share, at-most: 0.2}}").concat(),
        "cde"
    );
}

#[test]
fn conditions_combine() {
    let yaml = "where: {any: [{column: age, above: 60}, {all: [{column: age, below: 20}, {not: {column: name, matches: '*.png'}}]}]}";
    assert_eq!(names(yaml).concat(), "ad");
}

#[test]
fn kept_columns_make_the_reads_precise() {
    let given = parameters("{where: {not: {column: age, above: 3}}, columns: [name]}");
    let reads = &Filter::inputs(&given).ports[0].reads;
    assert_eq!(
        *reads,
        Reads::Columns(vec!["age".to_string(), "name".to_string()])
    );
    let all = parameters("where: {column: age, above: 3}");
    assert_eq!(Filter::inputs(&all).ports[0].reads, Reads::All);
    let mut context = MemoryContext::default();
    context.add_table("table", table());
    Filter::run(&given, &mut context).unwrap();
    let out = context.output("table");
    let columns: Vec<String> = out
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    assert_eq!(columns, ["sample_id", "name"]);
}

fn outputs(yaml: &str, open: bool) -> Result<TableType, Problem> {
    let mut table = TableType::exactly([
        Column::new("age", ColumnType::Integer),
        Column::new("name", ColumnType::Text),
    ]);
    table.open = open;
    let wired = InputTypes::from([("table".to_string(), vec![PortType::Table(table)])]);
    match Filter::outputs(&parameters(yaml), &wired)?.remove(0).port_type {
        PortType::Table(table) => Ok(table),
        other => panic!("{other}"),
    }
}

#[test]
fn wrong_columns_and_types_are_told_with_their_place_before_the_run() {
    let expectations = [
        (
            "where: {column: Age, above: 3}",
            "where.column",
            "`age` (integer)",
        ),
        (
            "where: {all: [{column: age, equals: old}]}",
            "where.all.0.equals",
            "`old` is not a number",
        ),
        (
            "where: {not: {column: name, at-least: 7}}",
            "where.not.at-least",
            "in quotes",
        ),
        (
            "where: {column: age, matches: '1*'}",
            "where.matches",
            "only text",
        ),
        (
            "{where: {column: age, above: 3}, columns: [nam]}",
            "columns.0",
            "`name` (text)",
        ),
    ];
    for (yaml, place, words) in expectations {
        let problem = outputs(yaml, false).unwrap_err();
        assert_eq!(problem.parameter, place);
        assert!(problem.message.contains(words), "{}", problem.message);
    }
    let kept = outputs("{columns: [name, unknown]}", true).unwrap();
    assert!(kept.open && kept.column("name").is_some());
}

#[test]
fn a_column_that_turns_out_missing_fails_the_run_in_words() {
    let mut context = MemoryContext::default();
    context.add_table("table", table());
    let error = Filter::run(&parameters("where: {column: sex, equals: f}"), &mut context).unwrap_err();
    assert!(error.message.contains("no column `sex`"), "{error}");
}

#[test]
fn a_condition_without_one_clear_form_is_refused_at_its_place() {
    let places = |yaml: &str| -> Vec<String> {
        let problems = Filter::check(&parameters(yaml));
        problems.into_iter().map(|problem| problem.parameter).collect()
    };
    assert_eq!(places("{}"), [""]);
    assert_eq!(places("where: {column: a}"), ["where"]);
    assert_eq!(places("where: {equals: 3}"), ["where"]);
    assert_eq!(
        places("where: {all: [{column: a, equals: 1, not: {}}]}"),
        ["where.all.0", "where.all.0.not"]
    );
    assert_eq!(places("where: {any: []}"), ["where.any"]);
    assert_eq!(places("where: {column: a, in: []}"), ["where.in"]);
    assert_eq!(places("where: {column: a, equals: .nan}"), ["where.equals"]);
    assert_eq!(places("where: {column: a, matches: '[x'}"), ["where.matches"]);
    assert_eq!(places("columns: [a, a, sample_id]"), ["columns.1", "columns.2"]);
}

proptest! {
    /// `not` is the exact complement: no row is lost between a filter and its opposite.
    #[test]
    fn a_filter_and_its_negation_share_out_the_rows(
        values in proptest::collection::vec(proptest::option::of(any::<i64>()), 0..20),
        bound in prop_oneof![any::<i64>().prop_map(|n| n.to_string()), (-1e19f64..1e19).prop_map(|n| format!("{n:?}"))],
    ) {
        let keys: Vec<String> = (0..values.len()).map(|row| row.to_string()).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let column: ArrayRef = Arc::new(Int64Array::from(values.clone()));
        let count = |yaml: &str| {
            let mut context = MemoryContext::default();
            context.add_table("table", batch(&keys, [("v", column.clone())]));
            Filter::run(&parameters(yaml), &mut context).unwrap();
            context.output("table").num_rows()
        };
        let kept = count(&format!("where: {{column: v, above: {bound}}}"));
        let rest = count(&format!("where: {{not: {{column: v, above: {bound}}}}}"));
        prop_assert_eq!(kept + rest, values.len());
        // Against arithmetic that can't round.
        let exact: f64 = bound.parse().unwrap();
        if exact.abs() < 9e15 || bound.contains('.') {
            let expected = values.iter().flatten().filter(|value| {
                let value = i128::from(**value);
                if exact.fract() == 0.0 { value > exact as i128 } else { value > exact.floor() as i128 }
            });
            prop_assert_eq!(kept, expected.count());
        }
    }
}
