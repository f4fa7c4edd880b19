//! Tests of `import-labels`.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use dermflow_core::memory::MemoryContext;
use dermflow_core::{SampleId, StageError, StageKind};

use super::parameters::MISSING;
use super::{ImportLabels, ImportLabelsParameters};
use crate::import_boxes::tests::{samples, shared};

const IMAGES: [(&str, i64, i64); 4] = [
    ("mel/a.jpg", 200, 100),
    ("nv/b.jpg", 100, 100),
    ("nv/c.jpg", 100, 200),
    ("d.jpg", 9, 9),
];

fn parameters(yaml: &str) -> ImportLabelsParameters {
    let value: serde_yaml::Value = serde_yaml::from_str(yaml).unwrap();
    serde_yaml::with::singleton_map_recursive::deserialize(value).unwrap()
}

fn import(name: &str, content: &str, yaml: &str) -> Result<MemoryContext, StageError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, content).unwrap();
    let mut context = MemoryContext::default();
    context.add_source("path", path, Vec::new());
    context.add_table("samples", samples(&IMAGES));
    let path = if name.is_empty() {
        String::new()
    } else {
        format!("path: '{name}', ")
    };
    let parameters = parameters(&format!("{{{path}{yaml}}}"));
    assert_eq!(ImportLabels::check(&parameters), []);
    ImportLabels::run(&parameters, &mut context)?;
    Ok(context)
}

fn lines(table: &RecordBatch) -> Vec<String> {
    let ids = table.column(0).as_fixed_size_binary();
    let labels = table.column(1).as_string::<i32>();
    let rows = (0..table.num_rows()).map(|row| {
        let of = |(source, _, _): &&(&str, i64, i64)| SampleId::of_key(source).as_bytes() == ids.value(row);
        format!("{} {}", IMAGES.iter().find(of).unwrap().0, labels.value(row))
    });
    let mut lines: Vec<String> = rows.collect();
    lines.sort();
    lines
}

fn labels(context: &MemoryContext) -> Vec<String> {
    lines(&context.output("labels"))
}

fn reasons(context: &MemoryContext) -> Vec<String> {
    let table = context.output("rejects");
    let (sources, reasons) = (
        table.column(1).as_string::<i32>(),
        table.column(2).as_string::<i32>(),
    );
    let rows = (0..table.num_rows()).map(|row| format!("{}: {}", sources.value(row), reasons.value(row)));
    let mut lines: Vec<String> = rows.collect();
    lines.sort();
    lines
}

#[test]
fn rows_find_their_samples_and_bring_columns_along() {
    let csv = "file,dx,age\na,mel,30\nb.jpg,nv,\nx.jpg,nv,\nc.jpg,odd,\nnv/c.jpg,,\nd.jpg,nv,old\n";
    let yaml = "image: file, label: dx, classes: [mel, nv], columns: {years: {type: integer, from: age, nullable: true}}";
    let context = import("l.csv", csv, yaml).unwrap();
    assert_eq!(labels(&context), ["mel/a.jpg mel", "nv/b.jpg nv"]);
    let expected = [
        "l.csv line 4: no sample is called `x.jpg`",
        "l.csv line 5: `odd` is none of the 2 classes",
        "l.csv line 6: it has no label",
        "l.csv line 7: `years`: `old` is not integer",
    ];
    assert_eq!(reasons(&context), expected);
    let table = context.output("labels");
    let years = table.column_by_name("years").unwrap().as_primitive::<Int64Type>();
    assert_eq!(years.iter().flatten().collect::<Vec<_>>(), [30]);
    assert_eq!(context.metrics["samples_without_label"], 2.0);
}

#[test]
fn the_usual_spellings_of_a_missing_value_are_no_labels_and_no_values_of_other_columns() {
    let csv = "image,label,age,note\na,NaN,30,x\nb,nv,nan,N/A\nc,None,,y\nd,n/a,5,z\n";
    let columns =
        "columns: {years: {type: integer, from: age, nullable: true}, note: {type: text, nullable: true}}";
    let context = import("l.csv", csv, columns).unwrap();
    assert_eq!(labels(&context), ["nv/b.jpg nv"]);
    let expected = [
        "l.csv line 2: it has no label",
        "l.csv line 4: it has no label",
        "l.csv line 5: it has no label",
    ];
    assert_eq!(reasons(&context), expected);
    let table = context.output("labels");
    for name in ["years", "note"] {
        assert_eq!(table.column_by_name(name).unwrap().null_count(), 1, "{name}");
    }
    assert_eq!(context.metrics["labels"], 1.0);
    assert_eq!(context.metrics["rejects"], 3.0);
    assert_eq!(context.metrics["samples_without_label"], 3.0);

    for spelling in MISSING {
        let csv = format!("image,label\na,{spelling}\nb,nv\n");
        let context = import("l.csv", &csv, "").unwrap();
        assert_eq!(labels(&context), ["nv/b.jpg nv"], "{spelling}");
        assert_eq!(reasons(&context), ["l.csv line 2: it has no label"], "{spelling}");
    }
    let json =
        r#"[{"image": "a", "label": "NaN"}, {"image": "b", "label": null}, {"image": "c", "label": "nv"}]"#;
    let context = import("l.json", json, "").unwrap();
    assert_eq!(labels(&context), ["nv/c.jpg nv"]);
    assert_eq!(reasons(&context).len(), 2);
}

#[test]
fn what_is_not_quite_such_a_spelling_is_a_label_and_so_is_a_known_class_or_what_null_leaves_out() {
    for label in [
        "none", "na", "Nan", "NAN", "Null", "missing", "unknown", "0", " NaN",
    ] {
        let csv = format!("image,label\na,{label}\n");
        let context = import("l.csv", &csv, "").unwrap();
        assert_eq!(labels(&context), [format!("mel/a.jpg {label}")]);
    }
    let csv = "image,label\na,None\nb,NaN\nc,\n";
    let context = import("l.csv", csv, "classes: [None, nv]").unwrap();
    assert_eq!(labels(&context), ["mel/a.jpg None"]);
    assert_eq!(reasons(&context).len(), 2);
    let context = import("l.csv", csv, "'null': ['']").unwrap();
    assert_eq!(labels(&context), ["mel/a.jpg None", "nv/b.jpg NaN"]);
    assert_eq!(reasons(&context), ["l.csv line 4: it has no label"]);
    let context = import("l.csv", csv, "'null': ['None']").unwrap();
    assert_eq!(labels(&context), ["nv/b.jpg NaN", "nv/c.jpg "]);
    let written = parameters("{path: l.parquet}");
    assert_eq!(ImportLabels::check(&written), []);
    let written = parameters("{path: l.parquet, 'null': ['NaN']}");
    assert_eq!(ImportLabels::check(&written)[0].parameter, "null");
}

#[test]
fn what_is_said_of_an_image_twice_must_agree_unless_told_otherwise() {
    let csv = "image,label\na,mel\na,mel\nb,nv\nb,mel\nb,nv\n";
    let context = import("l.csv", csv, "").unwrap();
    assert_eq!(labels(&context), ["mel/a.jpg mel"]);
    assert_eq!(reasons(&context).len(), 3);
    assert!(reasons(&context)[0].contains("line 4: the labels of its image don't agree: `mel` 1x, `nv` 2x"));
    let context = import("l.csv", csv, "several: majority").unwrap();
    assert_eq!(labels(&context), ["mel/a.jpg mel", "nv/b.jpg nv"]);
    assert_eq!(labels(&import("l.csv", csv, "several: all").unwrap()).len(), 5);
}

#[test]
fn folders_tools_and_classes_of_boxes_give_labels_too() {
    let context = import("", "", "format: folder-names").unwrap();
    assert_eq!(labels(&context), ["mel/a.jpg mel", "nv/b.jpg nv", "nv/c.jpg nv"]);
    assert_eq!(reasons(&context), ["d.jpg: it lies in no folder"]);

    let studio = r#"[{"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"result": [
        {"type": "choices", "value": {"choices": ["mel"]}},
        {"type": "rectanglelabels", "value": {"x": 1, "y": 1, "width": 5, "height": 5, "rectanglelabels": ["lesion"]}}]}]}]"#;
    assert_eq!(
        labels(&import("l.json", studio, "format: label-studio").unwrap()),
        ["mel/a.jpg mel"]
    );
    let both = import(
        "l.json",
        studio,
        "format: label-studio, from-boxes: true, several: all",
    )
    .unwrap();
    assert_eq!(labels(&both), ["mel/a.jpg lesion", "mel/a.jpg mel"]);

    let coco = r#"{"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "nv"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}, {"image_id": 1, "category_id": 1, "bbox": [5, 5, 2, 2]}]}"#;
    assert_eq!(
        labels(&import("c.json", coco, "format: coco").unwrap()),
        ["mel/a.jpg nv"]
    );
    let json = r#"[{"image": "a", "label": "mel"}, 7, {"image": "b", "label": ["x"]}]"#;
    let context = import("l.json", json, "").unwrap();
    assert_eq!(labels(&context), ["mel/a.jpg mel"]);
    assert!(
        reasons(&context)[0].contains("row 2: it is no JSON object"),
        "{:?}",
        reasons(&context)
    );
}

#[test]
fn parameters_that_make_no_sense_are_told_at_their_place() {
    let places = |yaml: &str| -> Vec<String> {
        let problems = ImportLabels::check(&parameters(yaml));
        problems.into_iter().map(|problem| problem.parameter).collect()
    };
    assert_eq!(places("{}"), ["path"]);
    assert_eq!(places("{path: m, format: masks}"), ["format"]);
    assert_eq!(
        places("{path: l.csv, from-boxes: true, yolo: {class-file: x}}"),
        ["yolo", "from-boxes"]
    );
    assert_eq!(places("{path: l.csv, columns: {label: text}}"), ["columns.label"]);
    assert_eq!(places("{path: x, format: folder-names}"), ["path"]);
}

#[test]
fn labels_of_real_phone_photos_find_all_of_them() {
    let Some(pad) = shared("pad_ufes20") else {
        return;
    };
    let mut images = Vec::new();
    for entry in std::fs::read_dir(pad.join("images")).unwrap() {
        images.push(format!("images/{}", entry.unwrap().file_name().to_string_lossy()));
    }
    let images: Vec<(&str, i64, i64)> = images.iter().map(|name| (name.as_str(), 10, 10)).collect();
    let mut context = MemoryContext::default();
    context.add_table("samples", samples(&images));
    context.add_source("path", pad.join("labels.csv"), Vec::new());
    let yaml = "{path: labels.csv, label: class, columns: {group: {type: text, from: patient_id}}}";
    ImportLabels::run(&parameters(yaml), &mut context).unwrap();
    assert_eq!(context.output("labels").num_rows(), 342);
    assert_eq!(context.output("rejects").num_rows(), 0);
}
