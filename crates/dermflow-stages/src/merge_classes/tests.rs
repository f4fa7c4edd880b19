//! Tests of `merge-classes`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use dermflow_core::memory::{MemoryContext, batch};
use dermflow_core::{StageError, StageKind};

use super::{MergeClasses, MergeClassesParameters};

const LABELS: [Option<&str>; 6] = [
    Some("mel"),
    Some("nv"),
    Some("bcc"),
    Some("NV "),
    None,
    Some("odd"),
];

fn run(yaml: &str, file: Option<&str>) -> Result<MemoryContext, StageError> {
    let parameters: MergeClassesParameters = serde_yaml::from_str(yaml).unwrap();
    let labels: ArrayRef = Arc::new(StringArray::from(LABELS.to_vec()));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..6));
    let mut context = MemoryContext::default();
    let folder = tempfile::tempdir().unwrap();
    if let Some(text) = file {
        let path = folder.path().join("classes.csv");
        std::fs::write(&path, text).unwrap();
        context.add_source("file", path, Vec::new());
    }
    let keys = ["0", "1", "2", "3", "4", "5"];
    context.add_table("table", batch(&keys, [("label", labels), ("n", numbers)]));
    context.batch_rows = 2;
    MergeClasses::run(&parameters, &mut context)?;
    Ok(context)
}

/// The labels by row number.
fn merged(context: &MemoryContext) -> Vec<(i64, Option<String>)> {
    let table = context.output("table");
    let labels = table.column(1).as_string::<i32>();
    let numbers = table.column(2).as_primitive::<Int64Type>();
    let rows = (0..table.num_rows()).map(|row| {
        let label = (!labels.is_null(row)).then(|| labels.value(row).to_string());
        (numbers.value(row), label)
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    rows
}

fn labelled(rows: &[(i64, &str)]) -> Vec<(i64, Option<String>)> {
    rows.iter()
        .map(|(row, label)| (*row, Some((*label).to_string())))
        .collect()
}

#[test]
fn labels_are_mapped_grouped_and_dropped() {
    let yaml =
        "{map: {nv: nevus}, groups: {malignant: [mel, bcc]}, drop: [odd], ignore-case: true, missing: drop}";
    let context = run(yaml, None).unwrap();
    let expected = [(0, "malignant"), (1, "nevus"), (2, "malignant"), (3, "nevus")];
    assert_eq!(merged(&context), labelled(&expected));
    let table = context.output("table");
    assert!(!table.schema().field(1).is_nullable());
    let counts = context.output("counts");
    let rows = counts.column(4).as_primitive::<Int64Type>();
    assert_eq!(rows.values().iter().sum::<i64>(), 6);
}

#[test]
fn unknown_labels_fail_with_their_counts_or_stay_or_go() {
    let error = run("{map: {nv: nevus, mel: mel, bcc: mel}}", None).err().unwrap();
    assert!(
        error.message.contains("`NV ` (1 rows)") && error.message.contains("`odd` (1 rows)"),
        "{error}"
    );
    let kept = run("{map: {nv: nevus}, unknown: keep}", None).unwrap();
    assert_eq!(merged(&kept).len(), 6);
    assert_eq!(kept.metrics["unknown_labels"], 4.0);
    let dropped = run("{map: {nv: nevus}, unknown: drop}", None).unwrap();
    assert_eq!(merged(&dropped), [(1, Some("nevus".to_string())), (4, None)]);
}

#[test]
fn a_file_says_the_same_line_by_line() {
    let yaml = "{file: classes.csv, unknown: drop, missing: drop}";
    let context = run(yaml, Some("from,to\nnv,nevus\nmel,\n")).unwrap();
    assert_eq!(merged(&context), labelled(&[(1, "nevus")]));
    let error = run(yaml, Some("from,to\nnv,a\nmel,b\nnv,c\n")).err().unwrap();
    assert!(
        error.message.contains("line 4") && error.message.contains("elsewhere"),
        "{error}"
    );
    assert!(
        run(yaml, Some("from,to\na,b,c\n"))
            .err()
            .unwrap()
            .message
            .contains("line 2")
    );
}

#[test]
fn parameters_that_make_no_sense_are_told_at_their_place() {
    let places = |yaml: &str| -> Vec<String> {
        let problems = MergeClasses::check(&serde_yaml::from_str(yaml).unwrap());
        problems.into_iter().map(|problem| problem.parameter).collect()
    };
    assert_eq!(places("{}"), [""]);
    assert_eq!(places("{map: {a: b}, drop: [a]}"), ["drop"]);
    assert_eq!(places("{map: {a: b}, groups: {c: [a]}}"), ["groups.c"]);
    assert_eq!(places("{map: {a: b, A: c}, ignore-case: true}"), ["map.a"]);
    assert_eq!(places("{map: {a: ''}}"), ["map.a"]);
    assert!(places("{map: {a: b}, groups: {b: [a, b]}}").is_empty());
}
