//! Tests of `import-table`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::array_value_to_string;
use dermflow_core::memory::MemoryContext;
use dermflow_core::{InputTypes, PortType, SampleId, StageError, StageKind};
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;

use super::{ImportTable, ImportTableParameters};
use crate::mutation::{changes, mutated, tries};

fn parameters(yaml: &str) -> ImportTableParameters {
    serde_yaml::from_str(yaml).unwrap()
}

fn import(name: &str, content: &[u8], yaml: &str) -> Result<MemoryContext, StageError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    let mut context = MemoryContext::default();
    context.add_source("path", path, Vec::new());
    ImportTable::run(&parameters(&format!("{{path: '{name}', {yaml}}}")), &mut context)?;
    Ok(context)
}

/// The table as texts by sample, and its types.
fn texts(table: &RecordBatch) -> (BTreeMap<String, Vec<String>>, Vec<DataType>) {
    let ids = table.column(0).as_fixed_size_binary();
    let rows = (0..table.num_rows()).map(|row| {
        let id = SampleId::from_bytes(ids.value(row).try_into().unwrap()).to_string();
        let values = table.columns()[1..].iter();
        (
            id,
            values
                .map(|column| array_value_to_string(column, row).unwrap())
                .collect(),
        )
    });
    let types = table.columns()[1..]
        .iter()
        .map(|column| column.data_type().clone());
    (rows.collect(), types.collect())
}

fn key(text: &str) -> String {
    SampleId::of_key(text).to_string()
}

fn rejects(context: &MemoryContext) -> Vec<String> {
    let table = context.output("rejects");
    let (sources, reasons) = (
        table.column(1).as_string::<i32>(),
        table.column(2).as_string::<i32>(),
    );
    let mut lines: Vec<String> = (0..table.num_rows())
        .map(|row| format!("{}: {}", sources.value(row), reasons.value(row)))
        .collect();
    lines.sort();
    lines
}

#[test]
fn types_are_inferred_from_the_whole_file_and_columns_keep_their_order() {
    let mut csv = "\u{feff}image,age,code,share,sick\r\n".to_string();
    for row in 0..9000 {
        csv += &format!("i{row},{row},00{row},0.5,true\r\n");
    }
    csv += "last,,7,3,\r\n";
    let context = import("a.csv", csv.as_bytes(), "key: image").unwrap();
    let (rows, types) = texts(&context.output("table"));
    use DataType::{Boolean, Float64, Int64, Utf8};
    assert_eq!(types, [Utf8, Int64, Utf8, Float64, Boolean]);
    assert_eq!(rows.len(), 9001);
    assert_eq!(rows[&key("last")], ["last", "", "7", "3.0", ""]);
    assert_eq!(context.metrics["rejects"], 0.0);
}

#[test]
fn declared_columns_are_renamed_typed_and_rows_that_do_not_fit_are_told_one_by_one() {
    let csv = "image,dx,age\na,nevus,3\nb,,4\nc,nevus,old\nd,nevus\n,nevus,1\ne,\"x\ny\",NA\na,nevus,9\n";
    let yaml = "key: image, unique: true, 'null': ['', NA], \
                columns: {label: {type: text, from: dx}, age: {type: integer, nullable: true}}";
    let context = import("a.csv", csv.as_bytes(), yaml).unwrap();
    let (rows, _) = texts(&context.output("table"));
    assert_eq!(rows.keys().cloned().collect::<Vec<_>>().len(), 2);
    assert_eq!(rows[&key("a")], ["3", "nevus"]);
    assert_eq!(rows[&key("e")], ["", "x\ny"]);
    let expected = [
        "a.csv line 3: `label` is missing",
        "a.csv line 4: `age`: `old` is not integer",
        "a.csv line 5: it has 2 values, and there are 3 columns",
        "a.csv line 6: `image`, which tells the sample, is missing",
        "a.csv line 9: an earlier row has the same sample id, and `unique: true` allows one row each",
    ];
    assert_eq!(rejects(&context), expected);
    assert!(context.lines.lock().unwrap()[0].contains("5 of 7 rows"));
}

#[test]
fn a_row_that_is_not_utf8_is_refused_and_the_others_come() {
    let context = import("a.tsv", b"k\tv\na\t1\nb\t\xff\n", "key: k").unwrap();
    assert_eq!(texts(&context.output("table")).0.len(), 1);
    assert_eq!(rejects(&context), ["a.tsv line 3: value 2 is not UTF-8"]);
}

#[test]
fn sample_ids_may_stand_in_the_file() {
    let id = key("x");
    let csv = format!("sample_id,v\n{id},1\nnonsense,2\n");
    let context = import("a.csv", csv.as_bytes(), "").unwrap();
    assert_eq!(texts(&context.output("table")).0[&id], ["1"]);
    assert!(rejects(&context)[0].contains("64 hexadecimal digits"));
    let refused = import("a.csv", csv.as_bytes(), "key: v").err().unwrap();
    assert!(
        refused.message.contains("ids are to come from elsewhere"),
        "{refused}"
    );
}

#[test]
fn json_lines_may_lack_values_and_strings_stay_text() {
    let lines =
        b"{\"k\": 1, \"n\": 2.5, \"s\": \"5\"}\n\n{\"k\": 2, \"late\": true}\nnonsense\n[1]\n{\"k\": [3]}\n";
    let context = import("a.jsonl", lines, "key: k").unwrap();
    let (rows, types) = texts(&context.output("table"));
    use DataType::{Boolean, Float64, Int64, Utf8};
    assert_eq!(types, [Int64, Boolean, Float64, Utf8]);
    assert_eq!(rows[&key("1")], ["1", "", "2.5", "5"]);
    assert_eq!(rows[&key("2")], ["2", "true", "", ""]);
    let told = rejects(&context).join("\n");
    assert!(
        told.contains("line 4: the line is no JSON:") && told.contains("line 5") && told.contains("line 6")
    );
}

#[test]
fn parquet_of_other_programs_is_coerced_and_its_rows_are_checked() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("image", DataType::Utf8, true),
        Field::new("age", DataType::Int32, true),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![Some("a"), None, Some("c")])),
        Arc::new(Int32Array::from(vec![Some(1), Some(2), None])),
    ];
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), None).unwrap();
    writer
        .write(&RecordBatch::try_new(schema, columns).unwrap())
        .unwrap();
    let bytes = writer.into_inner().unwrap();
    let context = import("a.parquet", &bytes, "key: image, columns: {age: integer}").unwrap();
    assert_eq!(
        texts(&context.output("table")).0,
        BTreeMap::from([(key("a"), vec!["1".to_string()])])
    );
    assert_eq!(
        rejects(&context),
        [
            "a.parquet row 2: `image`: it is missing",
            "a.parquet row 3: `age` is missing"
        ]
    );
    let inferred = import("a.parquet", &bytes, "key: image").unwrap();
    assert_eq!(
        texts(&inferred.output("table")).1,
        [DataType::Utf8, DataType::Int64]
    );
    assert!(import("a.parquet", b"PAR1", "key: image").is_err());
}

#[test]
fn what_is_wrong_with_the_file_as_a_whole_fails_in_words() {
    let expectations = [
        ("a,b\n1,2\n", "key: c", "no column `c`; its columns are `a`, `b`"),
        ("a,a\n1,2\n", "key: a", "stands twice"),
        (",a\n1,2\n", "key: a", "column 1 of the file has no name"),
        ("", "key: a", "is empty"),
        ("a\n1\n", "", "no column `sample_id`"),
    ];
    for (csv, yaml, words) in expectations {
        let error = import("a.csv", csv.as_bytes(), yaml).err().unwrap();
        assert!(error.message.contains(words), "{error}");
    }
}

#[test]
fn a_contract_is_promised_and_kept() {
    let csv = b"k,label,more\na,x,1\nb,,2\n";
    let context = import("a.csv", csv, "key: k, contract: Labels").unwrap();
    assert_eq!(texts(&context.output("table")).0[&key("a")], ["x", "a", "1"]);
    assert_eq!(rejects(&context), ["a.csv line 3: `label` is missing"]);
    let promised = |yaml: &str| ImportTable::outputs(&parameters(yaml), &InputTypes::new());
    let ports = promised("{path: a.csv, contract: Labels}").unwrap();
    let PortType::Table(table) = &ports[0].port_type else {
        panic!()
    };
    assert!(table.open && table.contract == "Labels" && table.column("label").is_some());
    let unmet = promised("{path: a.csv, contract: Labels, columns: {label: integer}}").unwrap_err();
    assert!(
        unmet.message.contains("`label` is integer, not text"),
        "{}",
        unmet.message
    );
    let unknown = promised("{path: a.csv, contract: Label}").unwrap_err();
    assert!(unknown.help.unwrap().contains("Labels"));
}

#[test]
fn parameters_that_make_no_sense_are_told_at_their_place() {
    let places = |yaml: &str| -> Vec<String> {
        let problems = ImportTable::check(&parameters(yaml));
        problems.into_iter().map(|problem| problem.parameter).collect()
    };
    assert_eq!(places("{path: a.csv, key: a, sample_id: b}"), ["sample_id"]);
    assert_eq!(places("{path: a.xls}"), ["path"]);
    assert_eq!(places("{path: a.csv, delimiter: 'é'}"), ["delimiter"]);
    assert_eq!(
        places("{path: a.parquet, delimiter: ';', 'null': [x]}"),
        ["delimiter", "null"]
    );
    assert_eq!(
        places("{path: a.csv, columns: {x: binary, sample_id: text}}"),
        ["columns.sample_id", "columns.x"]
    );
    assert!(places("{path: a.txt, format: csv, key: a}").is_empty());
}

#[test]
fn a_json_list_of_objects_is_read_as_rows_and_what_is_no_list_is_refused() {
    let list = b"\xef\xbb\xbf[{\"k\": \"a\", \"n\": 1},\n {\"k\": \"b\", \"n\": null, \"m\": true}, 7, {\"k\": \"c\", \"n\": [1]}]\n";
    let context = import("a.json", list, "key: k").unwrap();
    let (rows, types) = texts(&context.output("table"));
    assert_eq!(types, [DataType::Utf8, DataType::Boolean, DataType::Int64]);
    assert_eq!(rows[&key("a")], ["a", "", "1"]);
    assert_eq!(rows[&key("b")], ["b", "true", ""]);
    let expected = [
        "a.json row 3: it is no JSON object",
        "a.json row 4: `n` holds a list or an object",
    ];
    assert_eq!(rejects(&context), expected);
    for (text, words) in [
        ("{\"k\": 1}", "no JSON list"),
        ("[{\"k\": 1}", "EOF"),
        ("[] x", "trailing"),
        ("", "EOF"),
    ] {
        let error = import("a.json", text.as_bytes(), "key: k").err().unwrap();
        assert!(error.message.contains(words), "{text}: {error}");
    }
}

/// The same rows in each format, with every type and a missing value.
fn files() -> [(&'static str, Vec<u8>); 5] {
    let schema = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, false),
        Field::new("n", DataType::Int32, true),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["a", "b"])),
        Arc::new(Int32Array::from(vec![Some(1), None])),
    ];
    let mut parquet = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut parquet, schema.clone(), None).unwrap();
    writer
        .write(&RecordBatch::try_new(schema, columns).unwrap())
        .unwrap();
    writer.close().unwrap();
    let lines = "{\"k\":\"a\",\"n\":1,\"f\":0.5,\"b\":true,\"t\":\"x\"}\n{\"k\":\"b\",\"n\":null}\n";
    [
        (
            "a.csv",
            b"k,n,f,b,t\na,1,0.5,true,\"x, y\"\nb,,-1e9,false,\n".to_vec(),
        ),
        ("a.tsv", b"k\tn\tf\na\t1\t0.5\nb\t\t\n".to_vec()),
        ("a.jsonl", lines.as_bytes().to_vec()),
        (
            "a.json",
            format!("[{}]", lines.trim().replace('\n', ",")).into_bytes(),
        ),
        ("a.parquet", parquet),
    ]
}

#[test]
fn every_file_of_the_test_below_is_a_table() {
    for (name, bytes) in files() {
        let context = import(name, &bytes, "key: k").unwrap();
        assert_eq!(context.output("table").num_rows(), 2, "{name}");
    }
}

proptest! {
    #![proptest_config(tries(300))]
    #[test]
    fn damage_gives_a_table_or_words(file in prop::sample::select(files().to_vec()), changes in changes(), declared in any::<bool>()) {
        let with = match declared {
            true => "key: k, columns: {n: {type: integer, nullable: true}}",
            false => "key: k",
        };
        let (name, bytes) = file;
        let _ = import(name, &mutated(bytes, &changes), with);
    }
}
