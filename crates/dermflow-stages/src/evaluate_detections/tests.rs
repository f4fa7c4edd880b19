//! Tests of `evaluate-detections`: against pycocotools and numpy on real boxes, and at the edges.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{Float64Type, Int64Type};
use dermflow_core::memory::{MemoryContext, batch};
use dermflow_core::{StageError, StageKind};

use super::{EvaluateDetections, EvaluateDetectionsParameters};
use crate::lesions::{records, texts};

fn parameters(yaml: &str) -> EvaluateDetectionsParameters {
    serde_yaml::from_str(yaml).unwrap()
}

/// Boxes as (image, label, x, y, w, h, probability); true ones have no use for the last.
type Row<'a> = (&'a str, &'a str, [f64; 4], f32);

fn boxes(rows: &[Row], detections: bool) -> RecordBatch {
    let keys: Vec<&str> = rows.iter().map(|row| row.0).collect();
    let labels: StringArray = rows.iter().map(|row| Some(row.1)).collect();
    let mut columns: Vec<(&str, ArrayRef)> = vec![("label", Arc::new(labels))];
    for (at, name) in ["x", "y", "w", "h"].into_iter().enumerate() {
        columns.push((
            name,
            Arc::new(rows.iter().map(|row| Some(row.2[at])).collect::<Float64Array>()),
        ));
    }
    if detections {
        let probabilities: Float32Array = rows.iter().map(|row| Some(row.3)).collect();
        columns.push(("probability", Arc::new(probabilities)));
    }
    batch(&keys, columns)
}

fn run(
    yaml: &str,
    detections: &[Row],
    truth: &[Row],
    samples: Option<&[&str]>,
) -> Result<MemoryContext, StageError> {
    let mut context = MemoryContext::default();
    context.add_table("detections", boxes(detections, true));
    context.add_table("boxes", boxes(truth, false));
    if let Some(samples) = samples {
        context.add_table("samples", batch(samples, []));
    }
    EvaluateDetections::run(&parameters(yaml), &mut context).map(|()| context)
}

/// Values of all images by name and class.
fn figures(context: &MemoryContext) -> BTreeMap<(String, Option<String>), f64> {
    let table = context.output("metrics");
    let names = table.column_by_name("name").unwrap().as_string::<i32>();
    let classes = table.column_by_name("class").unwrap().as_string::<i32>();
    let values = table
        .column_by_name("value")
        .unwrap()
        .as_primitive::<Float64Type>();
    let class = |row: usize| (!classes.is_null(row)).then(|| classes.value(row).to_string());
    (0..names.len())
        .map(|row| ((names.value(row).to_string(), class(row)), values.value(row)))
        .collect()
}

fn overall(context: &MemoryContext, name: &str) -> Option<f64> {
    figures(context).get(&(name.to_string(), None)).copied()
}

#[test]
fn figures_of_real_boxes_are_those_of_numpy_and_near_those_of_pycocotools() {
    let [found, truth] = [
        &include_bytes!("../../tests/data/lesion_detections.csv")[..],
        &include_bytes!("../../tests/data/lesion_boxes.csv")[..],
    ]
    .map(records);
    fn row(record: &[String]) -> Row<'_> {
        let side = |at: usize| record[at].parse().unwrap();
        let probability = record.get(6).map_or(1.0, |text| text.parse().unwrap());
        (
            &record[0],
            &record[1],
            [side(2), side(3), side(4), side(5)],
            probability,
        )
    }
    let found: Vec<Row> = found.iter().map(|record| row(record)).collect();
    let truth: Vec<Row> = truth.iter().map(|record| row(record)).collect();
    let context = run("bootstrap: {resamples: 50}", &found, &truth, None).unwrap();
    let expected: serde_json::Value =
        serde_json::from_slice(include_bytes!("../../tests/data/localisation_figures.json")).unwrap();
    for (name, value) in expected["detections"].as_object().unwrap() {
        let given = overall(&context, name).unwrap();
        assert!(
            (given - value.as_f64().unwrap()).abs() < 1e-9,
            "{name}: {given} is not {value}"
        );
    }
    // pycocotools reads precision at 101 recalls only, so it is near, not equal.
    let coco = expected["coco_average_precision"].as_f64().unwrap();
    let given = overall(&context, "average-precision").unwrap();
    assert!((given - coco).abs() < 0.01, "{given} is not near {coco}");
    assert_eq!(context.output("matches").num_rows(), found.len());
}

#[test]
fn classes_are_matched_among_themselves_and_together_whatever_they_are() {
    let truth = [
        ("1", "a", [0.0, 0.0, 0.5, 0.5], 1.0),
        ("1", "b", [0.5, 0.5, 0.5, 0.5], 1.0),
    ];
    let found = [
        ("1", "b", [0.0, 0.0, 0.5, 0.5], 0.9),
        ("1", "b", [0.5, 0.5, 0.5, 0.5], 0.8),
    ];
    let context = run("{}", &found, &truth, None).unwrap();
    let figures = figures(&context);
    let of = |name: &str, class: Option<&str>| figures[&(name.to_string(), class.map(str::to_string))];
    assert_eq!(of("average-precision", None), 1.0);
    assert_eq!(of("average-precision", Some("a")), 0.0);
    // The first detection of `b` is wrong, the second right.
    assert_eq!(of("average-precision", Some("b")), 0.5);
    assert_eq!(of("mean-average-precision", None), 0.25);
    assert_eq!(of("centre-error", None), 0.0);
}

#[test]
fn images_without_a_lesion_count_only_where_they_are_named() {
    let truth = [("1", "a", [0.0, 0.0, 0.5, 0.5], 1.0)];
    let found = [
        ("2", "a", [0.0, 0.0, 0.5, 0.5], 0.9),
        ("1", "a", [0.0, 0.0, 0.5, 0.5], 0.8),
    ];
    let context = run("{}", &found, &truth, None).unwrap();
    assert_eq!(overall(&context, "average-precision"), Some(1.0));
    assert_eq!(overall(&context, "samples"), Some(1.0));
    let context = run("{}", &found, &truth, Some(&["1", "2", "3"])).unwrap();
    assert_eq!(overall(&context, "average-precision"), Some(0.5));
    assert_eq!(overall(&context, "samples"), Some(3.0));
    assert_eq!(overall(&context, "detections-per-image"), Some(2.0 / 3.0));
}

#[test]
fn nothing_found_is_a_precision_of_zero_and_no_lesions_leave_it_undefined() {
    let truth = [("1", "a", [0.0, 0.0, 0.5, 0.5], 1.0)];
    let context = run("{}", &[], &truth, None).unwrap();
    assert_eq!(overall(&context, "average-precision"), Some(0.0));
    assert_eq!(overall(&context, "centre-error"), None);
    let context = run("{}", &[], &[], Some(&["1"])).unwrap();
    assert_eq!(overall(&context, "average-precision"), None);
}

#[test]
fn matches_are_those_of_the_fold_that_is_judged() {
    let truth = [
        ("1", "a", [0.0, 0.0, 0.5, 0.5], 1.0),
        ("2", "a", [0.0, 0.0, 0.5, 0.5], 1.0),
    ];
    let found = [
        ("1", "a", [0.0, 0.0, 0.5, 0.5], 0.9),
        ("2", "a", [0.0, 0.0, 0.5, 0.5], 0.8),
        ("2", "a", [0.5, 0.5, 0.5, 0.5], 0.7),
    ];
    let matches = |fold: &str| {
        let mut context = MemoryContext::default();
        context.add_table("detections", boxes(&found, true));
        context.add_table("boxes", boxes(&truth, false));
        context.add_table("splits", texts(&["1", "2"], "fold", &["train", "test"]));
        EvaluateDetections::run(&parameters(fold), &mut context).unwrap();
        let table = context.output("matches");
        let ranks = table.column_by_name("rank").unwrap().as_primitive::<Int64Type>();
        ranks.values().to_vec()
    };
    assert_eq!(matches("fold: test"), [1, 2]);
    assert_eq!(matches("fold: train"), [1]);
    assert_eq!(matches("{}").len(), 3);
}

#[test]
fn boxes_that_are_none_and_folds_that_are_not_there_are_told() {
    let truth = [("1", "a", [0.0, 0.0, 0.0, 0.5], 1.0)];
    assert!(
        run("{}", &[], &truth, None)
            .err()
            .unwrap()
            .message
            .contains("`boxes`")
    );
    let found = [("1", "a", [0.0, 0.0, 0.5, 0.5], f32::NAN)];
    let truth = [("1", "a", [0.0, 0.0, 0.5, 0.5], 1.0)];
    assert!(
        run("{}", &found, &truth, None)
            .err()
            .unwrap()
            .message
            .contains("`probability`")
    );
    let mut context = MemoryContext::default();
    context.add_table("detections", boxes(&[], true));
    context.add_table("boxes", boxes(&truth, false));
    context.add_table("splits", texts(&["1"], "fold", &["train"]));
    let error = EvaluateDetections::run(&parameters("fold: test"), &mut context).unwrap_err();
    assert!(error.help.unwrap().contains("train"));
}
