//! Cases of the kinds around labels: importers, classes, splits, leakage, labelling.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, ListArray, StringArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};

use crate::Case;
use crate::world::World;

pub fn cases() -> Vec<Case> {
    let version = |kind| match kind {
        "import-boxes" | "import-labels" => 2,
        _ => 1,
    };
    let case = |kind, with, prepare: fn(&mut World, bool), golden| Case {
        kind,
        with,
        prepare,
        golden: (version(kind), golden),
    };
    vec![
        case(
            "check-leakage",
            "{near-duplicates: 3, on-leak: warn}",
            folds,
            "06b3aa4c85cf",
        ),
        case(
            "check-leakage",
            "{names: [a, b], on-leak: warn}",
            two_sides,
            "65fb9a34642d",
        ),
        case(
            "export-labelling",
            "{classes: [melanoma, nevus]}",
            known,
            "41cac1790295",
        ),
        case(
            "export-labelling",
            "{ask: boxes, tools: [cvat], picture: png}",
            known,
            "73dd4a734e9a",
        ),
        case(
            "import-boxes",
            "{path: b.csv, label: class, box: {corners: [p, q, r, s]}, unit: pixels, outside: clip, \
             columns: {note: {type: text, nullable: true}}}",
            boxes_table,
            "7de27a9e6b92",
        ),
        case(
            "import-boxes",
            "{path: masks, format: masks, masks: {per: component}, class: lesion}",
            masks,
            "5a634b729586",
        ),
        case(
            "import-labels",
            "{path: l.csv, several: majority}",
            labels_table,
            "49f8056f842d",
        ),
        case("import-labels", "{format: folder-names}", images, "0d77b0564b54"),
        case(
            "merge-classes",
            "{groups: {malignant: [melanoma]}, unknown: drop, missing: drop}",
            table,
            "cb1ad107aca1",
        ),
        case(
            "merge-classes",
            "{map: {nevus: mole}, unknown: keep}",
            table,
            "b62e1af90fe4",
        ),
        case(
            "select-for-labelling",
            "{budget: 7, stratify: label, group: group, per-group: 2}",
            images,
            "5889542ac0dc",
        ),
        case(
            "select-for-labelling",
            "{budget: 7, by: margin, shares: equal, stratify: label}",
            predicted,
            "5ffab0b0fbad",
        ),
        case(
            "select-for-labelling",
            "{budget: 5, by: diverse}",
            images,
            "108f5e6130a1",
        ),
        case(
            "split",
            "{shares: {train: 0.6, test: 0.4}}",
            images,
            "5e9f2aeb7cd9",
        ),
        case(
            "split",
            "{shares: {test: 0.25}, folds: 3, exact: true}",
            images,
            "4d07c3030725",
        ),
    ]
}

fn images(world: &mut World, rows: bool) {
    world.samples("samples", 0..40, rows);
}

fn table(world: &mut World, rows: bool) {
    world.table("table", 0..40, rows, ["label", "age", "share"]);
}

fn names(range: std::ops::Range<usize>, rows: bool) -> Vec<String> {
    let range = if rows { range } else { 0..0 };
    range.map(|number| format!("s/{number}.jpg")).collect()
}

fn folds(world: &mut World, rows: bool) {
    images(world, rows);
    let keys = names(0..38, rows);
    let folds: StringArray = (0..keys.len())
        .map(|n| Some(["train", "test"][n % 5 / 3]))
        .collect();
    world.rows_of("splits", &keys, vec![("fold", Arc::new(folds))]);
}

fn two_sides(world: &mut World, rows: bool) {
    world.samples("samples", 0..20, rows);
    world.samples("samples", 15..40, rows);
}

fn known(world: &mut World, rows: bool) {
    images(world, rows);
    let keys = names(0..12, rows);
    let labels: StringArray = (0..keys.len())
        .map(|n| Some(["nevus", "melanoma"][n % 2]))
        .collect();
    let side = |first: f64, step: f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(
            (0..keys.len()).map(|n| first + step * n as f64),
        ))
    };
    let columns = vec![
        ("label", Arc::new(labels) as ArrayRef),
        ("x", side(0.0, 0.03)),
        ("y", side(0.5, -0.02)),
        ("w", side(0.2, 0.01)),
        ("h", side(0.3, 0.015)),
    ];
    world.rows_of("boxes", &keys, columns);
}

fn boxes_table(world: &mut World, rows: bool) {
    images(world, rows);
    let mut text = "image,class,p,q,r,s,note\n".to_string();
    if rows {
        for n in 0..60 {
            text += &format!(
                "{}.jpg,c{},{},{},{},{},n{n}\n",
                n % 45,
                n % 3,
                n,
                n / 2,
                n + 40 + n % 30,
                n / 2 + 9
            );
        }
        text += "1.jpg,c1,9,9,1,1,\n1.jpg,c1,x,0,1,1,\nshort\n";
    }
    world.source("path", "b.csv", &text);
}

fn labels_table(world: &mut World, rows: bool) {
    images(world, rows);
    let mut text = "image,label\n".to_string();
    if rows {
        for n in 0..90 {
            text += &format!("s/{}.jpg,c{}\n", n % 43, n % 4);
        }
        text += "1.jpg,\nshort\n";
    }
    world.source("path", "l.csv", &text);
}

fn masks(world: &mut World, rows: bool) {
    images(world, rows);
    let mask = |n: u32| {
        let marked = |x: u32, y: u32| (x / 4 + y / 3 + n).is_multiple_of(3) && x > n;
        let picture =
            image::GrayImage::from_fn(24, 12, |x, y| image::Luma([if marked(x, y) { 255 } else { 0 }]));
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    let mut files = Vec::new();
    if rows {
        files.extend([
            ("1.png", mask(1)),
            ("2.png", mask(2)),
            ("30.png", mask(20)),
            ("99.png", mask(3)),
        ]);
        files.push(("3.png", b"no picture".to_vec()));
    }
    world.source_folder("path", &files);
}

fn predicted(world: &mut World, rows: bool) {
    images(world, rows);
    let keys = names(0..35, rows);
    let sure = |n: usize| 0.5 + (n * 7 % 50) as f32 / 100.0;
    let labels: StringArray = (0..keys.len())
        .map(|n| Some(["nevus", "melanoma"][n % 2]))
        .collect();
    let most = Float32Array::from_iter_values((0..keys.len()).map(sure));
    let values = Float32Array::from_iter_values((0..keys.len()).flat_map(|n| [sure(n), 1.0 - sure(n)]));
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let lists = ListArray::new(
        item,
        OffsetBuffer::from_repeated_length(2, keys.len()),
        Arc::new(values),
        None,
    );
    let columns = vec![
        ("label", Arc::new(labels) as ArrayRef),
        ("probability", Arc::new(most)),
        ("probabilities", Arc::new(lists)),
    ];
    world.rows_of("predictions", &keys, columns);
}
