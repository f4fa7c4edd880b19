//! Tests of `export-labelling`: what is written, and that the importers read the answers back.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Float64Type;
use dermflow_core::memory::{MemoryContext, batch};
use dermflow_core::{SampleId, StageKind};
use dermflow_vision::placement::{PixelSize, Placement, ResizeMode};
use serde_json::{Value, json};

use super::{ExportLabelling, ExportLabellingParameters};
use crate::{ImportBoxes, ImportLabels};

/// Key, original size, how it is stored in 32 × 32.
const PHOTOS: [(&str, (u32, u32), ResizeMode); 3] = [
    ("x/a.jpg", (640, 480), ResizeMode::Letterbox),
    ("x/b.jpg", (200, 400), ResizeMode::Stretch),
    ("c d.jpg", (301, 299), ResizeMode::Crop),
];

fn samples() -> RecordBatch {
    let keys: Vec<&str> = PHOTOS.iter().map(|photo| photo.0).collect();
    let integers = |of: &dyn Fn(usize) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..PHOTOS.len()).map(of)))
    };
    let stored = PixelSize::new(32, 32).unwrap();
    let placements: Vec<Placement> = PHOTOS
        .iter()
        .map(|(_, (w, h), mode)| Placement::new(PixelSize::new(*w, *h).unwrap(), stored, *mode))
        .collect();
    let placed = |of: fn(&Placement) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(placements.iter().map(of)))
    };
    let pixels: BinaryArray = (0..PHOTOS.len())
        .map(|at| {
            Some(
                (0..32 * 32 * 3)
                    .map(|byte| (byte * (at + 3) % 251) as u8)
                    .collect::<Vec<u8>>(),
            )
        })
        .collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("source", Arc::new(StringArray::from(keys.clone()))),
        ("group", Arc::new(StringArray::from(vec![None::<&str>; 3]))),
        (
            "label",
            Arc::new(StringArray::from(vec![
                Some("nevus"),
                None,
                Some("<odd & \"one\">"),
            ])),
        ),
        ("width", integers(&|_| 32)),
        ("height", integers(&|_| 32)),
        ("original_width", integers(&|at| PHOTOS[at].1.0.into())),
        ("original_height", integers(&|at| PHOTOS[at].1.1.into())),
        ("placed_left", placed(|placement| placement.left)),
        ("placed_top", placed(|placement| placement.top)),
        ("placed_width", placed(|placement| placement.width)),
        ("placed_height", placed(|placement| placement.height)),
        ("pixels", Arc::new(pixels)),
    ];
    batch(&keys, columns)
}

const BOXES: [(&str, &str, [f64; 4]); 4] = [
    ("x/a.jpg", "nevus", [0.1, 0.2, 0.3, 0.4]),
    ("x/a.jpg", "<odd & \"one\">", [0.5, 0.5, 0.5, 0.5]),
    ("x/b.jpg", "nevus", [0.0, 0.0, 1.0, 1.0]),
    ("c d.jpg", "nevus", [0.25, 0.125, 1.0 / 3.0, 0.7]),
];

fn boxes() -> RecordBatch {
    let keys: Vec<&str> = BOXES.iter().map(|known| known.0).collect();
    let labels: ArrayRef = Arc::new(StringArray::from(BOXES.map(|known| known.1).to_vec()));
    let side =
        |at: usize| -> ArrayRef { Arc::new(Float64Array::from(BOXES.map(|known| known.2[at]).to_vec())) };
    batch(
        &keys,
        [
            ("label", labels),
            ("x", side(0)),
            ("y", side(1)),
            ("w", side(2)),
            ("h", side(3)),
        ],
    )
}

fn export(yaml: &str, extra: &[(&str, RecordBatch)]) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let parameters: ExportLabellingParameters = serde_yaml::from_str(yaml).unwrap();
    assert_eq!(ExportLabelling::check(&parameters), []);
    let mut context = MemoryContext::default();
    context.scratch = folder.path().to_path_buf();
    context.add_table("samples", samples());
    extra
        .iter()
        .for_each(|(port, table)| context.add_table(port, table.clone()));
    ExportLabelling::run(&parameters, &mut context).unwrap();
    context.output_files.remove("tasks").unwrap()
}

fn predictions() -> RecordBatch {
    let labels: ArrayRef = Arc::new(StringArray::from(vec!["nevus", "unknown"]));
    batch(&["x/b.jpg", "x/a.jpg"], [("label", labels)])
}

/// Boxes of a table by sample, label and corner, sides rounded to 1e-9.
fn sorted(table: &RecordBatch) -> Vec<(Vec<u8>, String, [i64; 4])> {
    let ids = table.column(0).as_fixed_size_binary();
    let labels = table.column(1).as_string::<i32>();
    let side = |at: usize, row: usize| {
        let value = table.column(2 + at).as_primitive::<Float64Type>().value(row);
        (value * 1e9).round() as i64
    };
    let rows = (0..table.num_rows()).map(|row| {
        let sides = [0, 1, 2, 3].map(|at| side(at, row));
        (ids.value(row).to_vec(), labels.value(row).to_string(), sides)
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    rows
}

fn import<K: StageKind>(name: &str, content: &[u8], yaml: &str) -> MemoryContext {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    let mut context = MemoryContext::default();
    context.add_source("path", path, Vec::new());
    context.add_table("samples", samples());
    let parameters: K::Parameters = serde_yaml::from_str(yaml).unwrap();
    K::run(&parameters, &mut context).unwrap();
    assert_eq!(
        context.output("rejects").num_rows(),
        0,
        "{:?}",
        context.output("rejects")
    );
    context
}

const CLASSES: &str = r#"classes: [nevus, '<odd & "one">']"#;

#[test]
fn answers_of_both_tools_come_back_as_the_boxes_that_went_out() {
    let files = export(
        &format!("{{{CLASSES}}}"),
        &[("boxes", boxes()), ("predictions", predictions())],
    );
    let expected = sorted(&boxes());
    let xml = &files["cvat/annotations.xml"];
    let back = import::<ImportBoxes>("a.xml", xml, "{path: a.xml, format: cvat}");
    assert_eq!(sorted(&back.output("boxes")), expected);
    let tags = import::<ImportLabels>("a.xml", xml, "{path: a.xml, format: cvat}").output("labels");
    assert_eq!(tags.num_rows(), 1);
    assert_eq!(
        tags.column(0).as_fixed_size_binary().value(0),
        SampleId::of_key("x/b.jpg").as_bytes()
    );

    // An annotator who accepts the first answers submits them as annotations.
    let mut tasks: Vec<Value> = serde_json::from_slice(&files["label-studio/tasks.json"]).unwrap();
    assert_eq!(tasks.len(), 3);
    for (number, task) in tasks.iter_mut().enumerate() {
        let answer = task["predictions"][0]["result"].clone();
        task["annotations"] = json!([{"was_cancelled": false, "result": answer}]);
        task["id"] = json!(number + 1);
        task.as_object_mut().unwrap().remove("predictions");
    }
    let answers = serde_json::to_vec(&tasks).unwrap();
    let back = import::<ImportBoxes>("l.json", &answers, "{path: l.json, format: label-studio}");
    assert_eq!(sorted(&back.output("boxes")), expected);
    let labels =
        import::<ImportLabels>("l.json", &answers, "{path: l.json, format: label-studio}").output("labels");
    assert_eq!(
        (labels.num_rows(), labels.column(1).as_string::<i32>().value(0)),
        (1, "nevus")
    );

    // Uploaded pictures get a prefix, and the data may be lost but for the picture's name.
    for task in &mut tasks {
        let image = task["data"]["image"]
            .as_str()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap()
            .to_string();
        task["data"] = json!({"image": format!("/data/upload/7/0a1b2c3d-{image}")});
    }
    let answers = serde_json::to_vec(&tasks).unwrap();
    let back = import::<ImportBoxes>("l.json", &answers, "{path: l.json, format: label-studio}");
    assert_eq!(sorted(&back.output("boxes")), expected);
}

#[test]
fn pictures_show_the_whole_original_and_selections_rule_which_and_in_which_order() {
    let ranks: ArrayRef = Arc::new(Int64Array::from(vec![2, 1]));
    let selection = batch(&["x/a.jpg", "c d.jpg"], [("rank", ranks)]);
    let files = export("{picture: png}", &[("selection", selection)]);
    let ids = ["c d.jpg", "x/a.jpg"].map(|key| SampleId::of_key(key).to_string());
    let tasks: Value = serde_json::from_slice(&files["label-studio/tasks.json"]).unwrap();
    let order: Vec<&str> = tasks
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["data"]["sample_id"].as_str().unwrap())
        .collect();
    assert_eq!(order, ids);
    assert_eq!(files.keys().filter(|name| name.starts_with("images/")).count(), 2);
    let letterboxed = image::load_from_memory(&files[&format!("images/{}.png", ids[1])])
        .unwrap()
        .into_rgb8();
    assert_eq!(letterboxed.dimensions(), (32, 24));
    // Row 4 of the stored picture is the first one below the bar.
    let stored: Vec<u8> = (4 * 32 * 3..5 * 32 * 3)
        .map(|byte| (byte * 3 % 251) as u8)
        .collect();
    assert_eq!(letterboxed.as_raw()[..32 * 3], stored);
}

#[test]
fn classes_are_found_and_escaped_and_only_what_is_asked_is_written() {
    let files = export(
        "{ask: class, tools: [label-studio], picture: jpeg}",
        &[("boxes", boxes())],
    );
    let config = String::from_utf8(files["label-studio/config.xml"].clone()).unwrap();
    assert!(config.contains("<Choice value=\"nevus\"/>"), "{config}");
    assert!(config.contains("&lt;odd &amp; &quot;one&quot;&gt;"), "{config}");
    assert!(!config.contains("Rectangle") && !files.contains_key("cvat/annotations.xml"));
    let tasks = String::from_utf8(files["label-studio/tasks.json"].clone()).unwrap();
    assert!(!tasks.contains("rectanglelabels"));
    assert!(files.keys().any(|name| name.ends_with(".jpg")));
}
