//! Tests of `evaluate-foreground`: against scikit-learn on real heat, and at the edges.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::Float64Type;
use dermflow_core::memory::{MemoryContext, batch};
use dermflow_core::{StageError, StageKind};

use super::{EvaluateForeground, EvaluateForegroundParameters};
use crate::lesions::records;

fn parameters(yaml: &str) -> EvaluateForegroundParameters {
    serde_yaml::from_str(yaml).unwrap()
}

fn boxes(rows: &[(&str, [f64; 4])]) -> RecordBatch {
    let keys: Vec<&str> = rows.iter().map(|row| row.0).collect();
    let labels: StringArray = rows.iter().map(|_| Some("a")).collect();
    let mut columns: Vec<(&str, ArrayRef)> = vec![("label", Arc::new(labels))];
    for (at, name) in ["x", "y", "w", "h"].into_iter().enumerate() {
        columns.push((
            name,
            Arc::new(rows.iter().map(|row| Some(row.1[at])).collect::<Float64Array>()),
        ));
    }
    batch(&keys, columns)
}

/// Grids of `side` × `side` cells.
fn heat(rows: &[(&str, Vec<u8>)], side: i64) -> RecordBatch {
    let keys: Vec<&str> = rows.iter().map(|row| row.0).collect();
    let sides = || Arc::new(Int64Array::from(vec![side; rows.len()])) as ArrayRef;
    let cells: BinaryArray = rows.iter().map(|row| Some(row.1.as_slice())).collect();
    batch(
        &keys,
        [
            ("height", sides()),
            ("width", sides()),
            ("heat", Arc::new(cells) as ArrayRef),
        ],
    )
}

/// Pictures of `side` × `side` pixels and where the originals are placed.
fn samples(rows: &[(&str, [f64; 4])], side: i64) -> RecordBatch {
    let keys: Vec<&str> = rows.iter().map(|row| row.0).collect();
    let sides = || Arc::new(Int64Array::from(vec![side; rows.len()])) as ArrayRef;
    let mut columns: Vec<(&str, ArrayRef)> = vec![("width", sides()), ("height", sides())];
    for (at, name) in ["placed_left", "placed_top", "placed_width", "placed_height"]
        .into_iter()
        .enumerate()
    {
        columns.push((
            name,
            Arc::new(rows.iter().map(|row| Some(row.1[at])).collect::<Float64Array>()),
        ));
    }
    batch(&keys, columns)
}

fn run(yaml: &str, tables: [RecordBatch; 3]) -> Result<MemoryContext, StageError> {
    let mut context = MemoryContext::default();
    for (port, table) in ["foreground", "boxes", "samples"].into_iter().zip(tables) {
        context.add_table(port, table);
    }
    EvaluateForeground::run(&parameters(yaml), &mut context).map(|()| context)
}

#[test]
fn figures_of_real_heat_are_those_of_scikit_learn() {
    let number = |text: &String| text.parse::<f64>().unwrap();
    let sides = |record: &[String], first: usize| [0, 1, 2, 3].map(|at| number(&record[first + at]));
    let lesions = records(include_bytes!("../../tests/data/lesion_boxes.csv"));
    let lesions: Vec<(&str, [f64; 4])> = lesions
        .iter()
        .map(|record| (record[0].as_str(), sides(record, 2)))
        .collect();
    let maps = records(include_bytes!("../../tests/data/lesion_heat.csv"));
    let placed: Vec<(&str, [f64; 4])> = maps
        .iter()
        .map(|record| (record[0].as_str(), sides(record, 1)))
        .collect();
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    };
    let grids: Vec<(&str, Vec<u8>)> = maps
        .iter()
        .map(|record| (record[0].as_str(), bytes(&record[5])))
        .collect();
    let tables = [heat(&grids, 8), boxes(&lesions), samples(&placed, 64)];
    let context = run("bootstrap: {resamples: 100}", tables).unwrap();
    let expected: serde_json::Value =
        serde_json::from_slice(include_bytes!("../../tests/data/localisation_figures.json")).unwrap();
    for (name, value) in expected["heat"].as_object().unwrap() {
        let given = context.metrics[name];
        assert!(
            (given - value.as_f64().unwrap()).abs() < 1e-9,
            "{name}: {given} is not {value}"
        );
    }
    assert_eq!(context.metrics["samples"], 100.0);
    let table = context.output("metrics");
    let low = table.column_by_name("low").unwrap().as_primitive::<Float64Type>();
    assert_eq!(low.null_count(), 2, "only the two counts have no interval");
    assert_eq!(context.output("images").num_rows(), 100);
}

const WHOLE: [f64; 4] = [0.0, 0.0, 1.0, 1.0];

#[test]
fn images_without_heat_are_counted_and_those_without_a_box_are_not_judged() {
    let lesions = boxes(&[
        ("1", [0.0, 0.0, 0.5, 0.5]),
        ("1", [0.5, 0.5, 0.5, 0.5]),
        ("2", [0.0, 0.0, 0.5, 0.5]),
    ]);
    let grids = heat(&[("1", vec![255, 0, 0, 255]), ("3", vec![0; 4])], 2);
    let context = run("{}", [grids, lesions, samples(&[("1", WHOLE), ("3", WHOLE)], 16)]).unwrap();
    assert_eq!(context.metrics["samples"], 1.0);
    assert_eq!(context.metrics["images-without-heat"], 1.0);
    for name in ["overlap", "auroc", "energy-in-lesion", "pointing-game"] {
        assert_eq!(context.metrics[name], 1.0, "{name}");
    }
    assert_eq!(context.metrics["centre-error"], 0.0);
}

#[test]
fn an_image_whose_heat_is_blank_is_no_hit_and_is_told() {
    // A quarter of each image is lesion; the heat of the second says nothing.
    let lesions = boxes(&[("1", [0.0, 0.0, 0.5, 0.5]), ("2", [0.0, 0.0, 0.5, 0.5])]);
    let grids = heat(&[("1", vec![255, 0, 0, 0]), ("2", vec![0; 4])], 2);
    let context = run("{}", [grids, lesions, samples(&[("1", WHOLE), ("2", WHOLE)], 16)]).unwrap();
    assert_eq!(context.metrics["samples"], 2.0);
    assert_eq!(context.metrics["pointing-game"], (1.0 + 0.25) / 2.0);
    assert_eq!(context.metrics["blank-heat"], 0.5);
    assert!(context.metrics["centre-error"] > 0.0);
    // Where there is no heat, no share of it lies in the lesion: the first image's is the mean.
    assert_eq!(context.metrics["energy-in-lesion"], 1.0);
    let images = context.output("images");
    let energy = images.column_by_name("energy_in_lesion").unwrap();
    assert_eq!(energy.null_count(), 1);
    assert_eq!(images.column_by_name("blank_heat").unwrap().null_count(), 0);
}

#[test]
fn a_grid_of_another_size_and_a_missing_picture_are_told() {
    let lesions = || boxes(&[("1", [0.0, 0.0, 0.5, 0.5])]);
    let grids = || heat(&[("1", vec![255, 0, 0, 255])], 2);
    let error = run("{}", [grids(), lesions(), samples(&[("1", WHOLE)], 32)])
        .err()
        .unwrap();
    assert!(error.message.contains("4 × 4 cells at stride 8"), "{error}");
    let error = run("{}", [grids(), lesions(), samples(&[("2", WHOLE)], 16)])
        .err()
        .unwrap();
    assert!(error.message.contains("`samples` lacks"), "{error}");
    let error = run(
        "{}",
        [grids(), lesions(), samples(&[("1", [0.0, 0.0, 0.0, 1.0])], 16)],
    )
    .err()
    .unwrap();
    assert!(error.message.contains("placed at"), "{error}");
    let context = run("stride: 16", [grids(), lesions(), samples(&[("1", WHOLE)], 32)]).unwrap();
    assert_eq!(context.metrics["samples"], 1.0);
}
