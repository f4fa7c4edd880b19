//! Tests of `box-to-heatmap`; how a box is drawn is tested where it is drawn.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Float32Type, Int64Type};
use dermflow_core::memory::{MemoryContext, batch};
use dermflow_core::{SampleId, StageError, StageKind};

use super::{BoxToHeatmap, BoxToHeatmapParameters};

type Lesion = (&'static str, &'static str, [f64; 4]);
type Image = (&'static str, i64, i64, [f64; 4]);

fn boxes(lesions: &[Lesion]) -> RecordBatch {
    let keys: Vec<&str> = lesions.iter().map(|lesion| lesion.0).collect();
    let labels: StringArray = lesions.iter().map(|lesion| Some(lesion.1)).collect();
    let side = |at: usize| -> ArrayRef {
        Arc::new(
            lesions
                .iter()
                .map(|lesion| Some(lesion.2[at]))
                .collect::<Float64Array>(),
        )
    };
    let labels: ArrayRef = Arc::new(labels);
    let sides = ["x", "y", "w", "h"].into_iter().zip((0..4).map(side));
    batch(&keys, std::iter::once(("label", labels)).chain(sides))
}

/// Images of a name, a width, a height and a placement.
fn samples(images: &[Image]) -> RecordBatch {
    let keys: Vec<&str> = images.iter().map(|image| image.0).collect();
    let size = |of: fn(&Image) -> i64| -> ArrayRef {
        Arc::new(images.iter().map(|image| Some(of(image))).collect::<Int64Array>())
    };
    let placed = |at: usize| -> ArrayRef {
        Arc::new(
            images
                .iter()
                .map(|image| Some(image.3[at]))
                .collect::<Float64Array>(),
        )
    };
    let names = ["placed_left", "placed_top", "placed_width", "placed_height"];
    let sizes = [
        ("width", size(|image| image.1)),
        ("height", size(|image| image.2)),
    ];
    batch(
        &keys,
        sizes.into_iter().chain(names.into_iter().zip((0..4).map(placed))),
    )
}

const WHOLE: [f64; 4] = [0.0, 0.0, 1.0, 1.0];

fn run(with: &str, boxes: RecordBatch, samples: RecordBatch) -> Result<MemoryContext, StageError> {
    let parameters: BoxToHeatmapParameters = serde_yaml::from_str(with).unwrap();
    assert_eq!(BoxToHeatmap::check(&parameters), []);
    let mut context = MemoryContext::default();
    context.add_table("boxes", boxes);
    context.add_table("samples", samples);
    BoxToHeatmap::run(&parameters, &mut context)?;
    Ok(context)
}

/// The numbers of a list column in a row.
fn numbers(table: &RecordBatch, column: &str, row: usize) -> Vec<f32> {
    let lists = table.column_by_name(column).unwrap().as_list::<i32>();
    lists.value(row).as_primitive::<Float32Type>().values().to_vec()
}

fn integer(table: &RecordBatch, column: &str, row: usize) -> i64 {
    table
        .column_by_name(column)
        .unwrap()
        .as_primitive::<Int64Type>()
        .value(row)
}

#[test]
fn each_image_and_class_has_one_map_with_all_its_lesions() {
    let lesions = [
        ("a", "wart", [0.5, 0.5, 0.25, 0.125]),
        ("a", "nevus", [0.0, 0.0, 0.25, 0.25]),
        ("a", "wart", [0.0, 0.5, 0.125, 0.25]),
        ("b", "wart", [0.25, 0.25, 0.5, 0.5]),
    ];
    let images = [("b", 64, 32, WHOLE), ("a", 128, 64, WHOLE), ("c", 10, 10, WHOLE)];
    let context = run("{stride: 4}", boxes(&lesions), samples(&images)).unwrap();
    let maps = context.output("heatmaps");
    assert_eq!(maps.num_rows(), 3);
    assert_eq!(context.output("rejects").num_rows(), 0);
    let ids = maps.column(0).as_fixed_size_binary();
    let a: Vec<usize> = (0..3)
        .filter(|row| ids.value(*row) == SampleId::of_key("a").as_bytes())
        .collect();
    let classes = maps.column_by_name("class").unwrap().as_string::<i32>();
    assert_eq!(
        a.iter().map(|row| classes.value(*row)).collect::<Vec<_>>(),
        ["nevus", "wart"]
    );
    let wart = a[1];
    assert_eq!(
        (integer(&maps, "width", wart), integer(&maps, "height", wart)),
        (32, 16)
    );
    // 0.625 × 128, 0.5625 × 64; 0.0625 × 128, 0.625 × 64.
    assert_eq!(numbers(&maps, "centres", wart), [80.0, 36.0, 8.0, 40.0]);
    assert_eq!(numbers(&maps, "diameters", wart), [32.0, 8.0, 16.0, 16.0]);
    let heat = maps
        .column_by_name("heat")
        .unwrap()
        .as_binary::<i32>()
        .value(wart);
    let peaks: Vec<usize> = (0..heat.len()).filter(|cell| heat[*cell] == 254).collect();
    assert_eq!(peaks, [9 * 32 + 20, 10 * 32 + 2]);
}

#[test]
fn a_letterboxed_original_is_drawn_where_it_lies() {
    // Twice as wide as high in a square: the upper and lower quarter are bars.
    let images = [("a", 64, 64, [0.0, 0.25, 1.0, 0.5])];
    let context = run(
        "{stride: 1, blind: {ratio: 0}}",
        boxes(&[("a", "wart", WHOLE)]),
        samples(&images),
    )
    .unwrap();
    let maps = context.output("heatmaps");
    assert_eq!(numbers(&maps, "centres", 0), [32.0, 32.0]);
    assert_eq!(numbers(&maps, "diameters", 0), [64.0, 32.0]);
    let heat = maps.column_by_name("heat").unwrap().as_binary::<i32>().value(0);
    let rows: Vec<usize> = (0..64)
        .filter(|row| heat[row * 64..][..64].iter().any(|code| *code > 0))
        .collect();
    assert_eq!((rows[0], rows[rows.len() - 1]), (16, 47));
}

#[test]
fn boxes_that_cannot_be_drawn_are_rejects_with_reasons() {
    let lesions = [
        ("a", "wart", [0.1, 0.1, 0.0, 0.2]),
        ("a", "wart", [f64::NAN, 0.1, 0.1, 0.2]),
        ("a", "wart", [0.9, 0.1, 0.05, 0.2]),
        ("a", "wart", [0.4, 0.4, 0.2, 0.2]),
        ("elsewhere", "wart", [0.4, 0.4, 0.2, 0.2]),
    ];
    // Cropped: the right and left quarter of the original are not stored.
    let images = [("a", 64, 64, [-0.5, 0.0, 2.0, 1.0])];
    let context = run("{}", boxes(&lesions), samples(&images)).unwrap();
    let maps = context.output("heatmaps");
    assert_eq!(maps.num_rows(), 1);
    assert_eq!(numbers(&maps, "centres", 0), [32.0, 32.0]);
    let rejects = context.output("rejects");
    let reasons = rejects.column_by_name("reason").unwrap().as_string::<i32>();
    let mut reasons: Vec<&str> = reasons.iter().flatten().collect();
    reasons.sort();
    assert_eq!(reasons.len(), 4);
    for (reason, word) in reasons
        .iter()
        .zip(["finite", "empty", "stored picture", "`samples`"])
    {
        assert!(reason.contains(word), "{reason}");
    }
}

#[test]
fn the_other_shapes_have_no_ring_unless_it_is_asked_for() {
    let blind = |with: &str| {
        let lesion = [("a", "wart", [0.25, 0.25, 0.5, 0.5])];
        let context = run(with, boxes(&lesion), samples(&[("a", 128, 128, WHOLE)])).unwrap();
        let maps = context.output("heatmaps");
        let heat = maps.column_by_name("heat").unwrap().as_binary::<i32>().value(0);
        heat.contains(&255)
    };
    assert!(blind("{}"));
    assert!(!blind("{blind: {ratio: 0}}"));
    for shape in ["center-net", "ttf-net"] {
        assert!(!blind(&format!("{{shape: {shape}}}")));
        assert!(blind(&format!("{{shape: {shape}, blind: {{}}}}")));
    }
}

#[test]
fn an_edge_that_no_gaussian_has_is_told() {
    let problems = |with: &str| BoxToHeatmap::check(&serde_yaml::from_str(with).unwrap()).len();
    assert_eq!(problems("{edge: 0}"), 1);
    assert_eq!(problems("{edge: 0, decay: linear}"), 0);
    assert_eq!(problems("{edge: 1.0}"), 1);
}

#[test]
fn an_image_without_a_size_is_told_by_its_column() {
    let error = run(
        "{}",
        boxes(&[("a", "wart", WHOLE)]),
        samples(&[("a", 0, 20, WHOLE)]),
    )
    .err()
    .unwrap();
    assert!(error.message.contains("`width` is 0"), "{error}");
}
