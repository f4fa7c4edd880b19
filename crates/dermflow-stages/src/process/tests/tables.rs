//! Tables on their way into and out of a program.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, Date32Array, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use dermflow_core::memory::batch;
use dermflow_core::{SampleId, StageError, StageKind, TableFiles};
use parquet::arrow::ArrowWriter;

use super::{Process, parameters, world};
use crate::process::parameters::Command;

fn parquet(path: &Path, rows: &RecordBatch) {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

/// Runs a program that leaves `rows` as its table.
fn leave(rows: &RecordBatch, table: &str) -> Result<RecordBatch, StageError> {
    let (scratch, mut context) = world();
    let path = scratch.path().join("made.parquet");
    parquet(&path, rows);
    context.add_source("files.0.path", path, Vec::new());
    let yaml = format!(
        "{{command: cp made.parquet outputs/t.parquet, files: [made.parquet], outputs: {{t: {{table: {table}}}}}}}"
    );
    Process::run(&parameters(&yaml), &mut context)?;
    Ok(context.output("t"))
}

fn rows(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn hex(keys: &[&str]) -> ArrayRef {
    Arc::new(
        keys.iter()
            .map(|key| Some(SampleId::of_key(key).to_string()))
            .collect::<StringArray>(),
    )
}

#[test]
fn a_table_of_a_foreign_program_is_coerced_to_what_was_declared() {
    let labels: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
    let ages: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    let given = rows(vec![
        ("age", ages),
        ("label", labels),
        ("sample_id", hex(&["a", "b"])),
    ]);
    let table = leave(&given, "{age: {type: integer, nullable: true}, label: text}").unwrap();
    let types: Vec<&DataType> = table.columns().iter().map(|column| column.data_type()).collect();
    assert_eq!(
        types,
        [&DataType::FixedSizeBinary(32), &DataType::Int64, &DataType::Utf8]
    );
    let open = leave(&given, "Labels").unwrap();
    assert_eq!(open.column_by_name("age").unwrap().data_type(), &DataType::Int64);
    let bytes: Vec<_> = ["a", "b"]
        .iter()
        .map(|key| SampleId::of_key(key).as_bytes().to_vec())
        .collect();
    let binary: ArrayRef = Arc::new(BinaryArray::from_iter_values(bytes));
    let raw = leave(&rows(vec![("sample_id", binary)]), "{}").unwrap();
    let first = raw.column(0).as_fixed_size_binary().value(0).to_vec();
    assert!(
        [SampleId::of_key("a"), SampleId::of_key("b")]
            .iter()
            .any(|id| id.as_bytes()[..] == first)
    );
}

#[test]
fn a_table_that_breaks_its_contract_is_refused_in_words() {
    let texts = |values: Vec<Option<&str>>| -> ArrayRef { Arc::new(StringArray::from(values)) };
    let good = texts(vec![Some("x"), Some("y")]);
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![1, 2]));
    let expectations = [
        (
            rows(vec![("label", good.clone())]),
            "Labels",
            "no column `sample_id`",
        ),
        (
            rows(vec![("sample_id", hex(&["a", "b"]))]),
            "Labels",
            "no column `label` (text)",
        ),
        (
            rows(vec![("sample_id", good.clone())]),
            "{}",
            "row 1: `x` is not a digest",
        ),
        (
            rows(vec![
                ("sample_id", hex(&["a", "b"])),
                ("label", texts(vec![Some("x"), None])),
            ]),
            "Labels",
            "`label`: the value in row 2 is missing",
        ),
        (
            rows(vec![("sample_id", hex(&["a", "b"])), ("label", good.clone())]),
            "{}",
            "`label` is not among those declared",
        ),
        (
            rows(vec![("sample_id", hex(&["a", "b"])), ("label", dates)]),
            "{label: text}",
            "2017-05-04",
        ),
        (
            rows(vec![("sample_id", hex(&["a", "b"])), ("n", good)]),
            "{n: integer}",
            "it is text (Utf8), not integer",
        ),
    ];
    for (given, table, words) in expectations {
        let error = leave(&given, table).unwrap_err();
        assert!(
            error.message.contains(words) && error.message.contains("output `t`"),
            "{error}"
        );
    }
}

#[test]
fn a_table_comes_in_as_parquet_with_its_schema() {
    let (scratch, mut context) = world();
    let given = batch(&["a", "b"], []);
    let path = scratch.path().join("blob");
    parquet(&path, &given);
    let files = TableFiles {
        schema: given.schema(),
        parquet: vec![path],
        rows: 2,
    };
    context.add_table("t", given.clone());
    context.add_table_files("t", files.clone());
    for _ in 0..2 {
        context.add_table("many", given.clone());
        context.add_table_files("many", files.clone());
    }
    let script = "cp inputs/t/part-00000.parquet outputs/t.parquet && test -e inputs/many/1/part-00000.parquet \
                  && cp \"$DERMFLOW_CONTEXT\" outputs/told/context.json";
    let mut with = parameters("{command: '', outputs: {told: files, t: {table: Table}}}");
    with.command = Command::Shell(script.to_string());
    Process::run(&with, &mut context).unwrap();
    assert_eq!(context.output("t").num_rows(), 2);
    let json: serde_json::Value =
        serde_json::from_slice(&context.output_files["told"]["context.json"]).unwrap();
    let input = &json["inputs"]["t"];
    assert_eq!(
        (input["kind"].as_str(), input["rows"].as_u64()),
        (Some("table"), Some(2))
    );
    assert_eq!(input["schema"][0]["name"], "sample_id");
    assert_eq!(json["inputs"]["many"].as_array().unwrap().len(), 2);
}
