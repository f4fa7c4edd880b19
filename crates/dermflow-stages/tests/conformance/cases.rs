//! The table of cases: one line or more for each kind.
//!
//! A new kind adds a line here. Its golden digest is told by the suite when it fails.

#[path = "labelling.rs"]
mod labelling;
#[path = "learning.rs"]
pub mod learning;

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use dermflow_core::memory::{MemoryContext, batch};

use crate::Case;
use crate::pictures::{bitmap, gif, oriented_jpeg, tar};
use crate::predicted::{
    audited, averaged, averaged_by_folds, detected, evaluated, heated, resampled, validated,
};
use crate::world::World;

/// Every case.
pub fn cases() -> Vec<Case> {
    let case = |kind, with, prepare: fn(&mut World, bool), version, golden| Case {
        kind,
        with,
        prepare,
        golden: (version, golden),
    };
    let mut all = vec![
        case(
            "average-predictions",
            "{classes: [a, b, c]}",
            averaged,
            1,
            "e43f73ef82ee",
        ),
        case(
            "average-predictions",
            "{classes: [a, b, c], held-out: [valid, test]}",
            averaged_by_folds,
            1,
            "c11921bd558d",
        ),
        case("box-to-heatmap", "{}", boxes_and_samples, 1, "6b30e9835c45"),
        case(
            "box-to-heatmap",
            "{stride: 2, decay: cosine, edge: 0.2, blind: {ratio: 0.25, of: radius, width: smaller}}",
            boxes_and_samples,
            1,
            "63036a103164",
        ),
        case(
            "box-to-heatmap",
            "{shape: center-net}",
            boxes_and_samples,
            1,
            "fe45d7d25a62",
        ),
        case(
            "box-to-heatmap",
            "{shape: ttf-net, blind: {}}",
            boxes_and_samples,
            1,
            "307e3ad03933",
        ),
        case("concat", "{source-column: from}", three_tables, 1, "d2e45e023197"),
        case("evaluate", JUDGED, evaluated, 5, "803aff324968"),
        case(
            "evaluate",
            "{classes: [a, b, c], bootstrap: {resamples: 0}}",
            evaluated,
            5,
            "558a2560c0d4",
        ),
        case(
            "evaluate-detections",
            "{group: patient, slices: [skin], min-samples: 2, bootstrap: {resamples: 20}}",
            detected,
            2,
            "c5376357e294",
        ),
        case(
            "evaluate-foreground",
            "{region: ellipse, fold: test, bootstrap: {resamples: 20}}",
            heated,
            3,
            "92a7aac85019",
        ),
        case(
            "contact-sheet",
            "{side: 32, columns: 5, rows: 2, images: 12}",
            pictures,
            3,
            "96027d9522c0",
        ),
        case(
            "contact-sheet",
            "{title: two, side: 40, per-label: 2, order: sample}",
            pictures,
            3,
            "3903e6aeecdb",
        ),
        case(
            "filter",
            "{where: {column: age, at-least: 18, below: 65}, columns: [label]}",
            one_table,
            1,
            "46109f7e0b4c",
        ),
        case(
            "filter",
            "{where: {not: {column: label, matches: 'mel*'}}}",
            one_table,
            1,
            "27971f5bde05",
        ),
        case(
            "import-table",
            "{path: a.csv, key: k, columns: {n: integer}, unique: true}",
            csv_file,
            1,
            "1b83c93211e2",
        ),
        case(
            "import-table",
            "{path: a.csv, key: k}",
            csv_file,
            1,
            "c3d81756952a",
        ),
        case(
            "inject-noise",
            "{share: 0.4, foreign: {share: 0.5}}",
            labels_and_foreign,
            1,
            "1c3b8c862b52",
        ),
        case(
            "inject-noise",
            "{share: 0.4, to: frequent}",
            labels_and_foreign,
            1,
            "b4176683c12e",
        ),
        case(
            "inject-noise",
            "{confusion: {nevus: {melanoma: 0.5}}}",
            labels_and_foreign,
            1,
            "3f2840db6c60",
        ),
        case(
            "ingest",
            "{root: photos, size: 12, pattern: '{label}/{group}-{visit}.*', perceptual-hash: true}",
            photos,
            2,
            "d8dfa27927c8",
        ),
        case(
            "ingest",
            "{size: {width: 9, height: 7}, mode: crop, filter: lanczos}",
            photos_with_bytes,
            2,
            "52c50ece4876",
        ),
        case("join", "{how: inner}", two_tables, 1, "01eed9053b3b"),
        case(
            "join",
            "{how: left, prefix: right_}",
            two_tables,
            1,
            "8adc8ab6b7a3",
        ),
        case("join", "{how: anti}", two_tables, 1, "642a092cff23"),
        case(
            "join-files",
            "{column: name, label: kind, columns: [age], unlisted: keep}",
            files_and_list,
            1,
            "58f3ddc917eb",
        ),
        case("label-audit", "{classes: [a, b, c]}", audited, 1, "adbebdec8648"),
        case(
            "label-audit",
            "{classes: [a, b, c], suspect: both, rank-by: self-confidence}",
            audited,
            1,
            "45f388885d7f",
        ),
        case("list-files", "{path: listed}", folder, 1, "1dc9a09b1ed6"),
        case(
            "list-files",
            "{path: listed, content: true}",
            folder,
            1,
            "93e92cc6073e",
        ),
        case("process", PROGRAM, program, 1, "ced837904729"),
        case("random-process", DRAW, nothing, 1, "d9fb280f1e93"),
        case(
            "rank-resample",
            "{size: 12, short: leave, min-probability: 0.4}",
            resampled,
            2,
            "1650a59c71d6",
        ),
        case(
            "rank-resample",
            "{ratio: 0.5, order: random}",
            resampled,
            2,
            "022e90e572bf",
        ),
        case("rank-resample", "{ratio: 2}", resampled, 2, "070cc1212718"),
        case("sample", "{share: 0.4}", one_table, 1, "cd3508e49a10"),
        case("sample", "{rows: 7}", one_table, 1, "241817465f6c"),
        case("sample", "{share: 0.4, by: label}", one_table, 1, "6e555b068240"),
        case(
            "synthesize",
            "{images: 20, width: 16, height: 12}",
            nothing,
            1,
            "77acbe0183c2",
        ),
        case(
            "synthesize",
            "{images: 20, width: 24, height: 24, classes: 12, tail: 1, held-out: 2, lesions: 2, mixed: 0.5, \
             healthy: 0.2, shortcut: 0.5, label-noise: 0.3, pictures-per-patient: 3}",
            nothing,
            1,
            "df2fef2204cb",
        ),
        case("unpack", "{path: a.tar}", archive, 1, "7a993410f43e"),
    ];
    all.push(case("evaluate", VALIDATED, validated, 5, "063abf9ad8f5"));
    all.extend(labelling::cases());
    all.extend(learning::cases());
    all
}

const PROGRAM: &str = "{command: [/bin/sh, run.sh], files: [run.sh], \
    outputs: {passed: {table: {age: {type: integer, nullable: true}, label: {type: text, nullable: true}, share: float64}}, \
    notes: files}}";

const JUDGED: &str = "{classes: [a, b, c], fold: test, group: patient, slices: [skin, {column: age, bounds: [50]}], \
    min-samples: 3, top: [2], bootstrap: {resamples: 50}, temperature: {fold: valid}, curve-points: 7, \
    operating-points: {sure: {by: energy, fold: valid, coverage: 0.9}, fixed: {threshold: 0.5}}}";

const VALIDATED: &str = "{classes: [a, b, c], fold: test, group: patient, unseen: [unknown], bootstrap: {resamples: 20}, \
    temperature: {}, operating-points: {sure: {coverage: 0.9}}, class-groups: {some: [a, b, unknown]}, \
    sensitivity-at-specificity: [0.5], decision-curves: {from: 0.2, to: 0.8, points: 4}}";

const DRAW: &str =
    r#"{command: "grep '\"seed\"' \"$DERMFLOW_CONTEXT\" > outputs/draw/seed.txt", outputs: {draw: files}}"#;

fn one_table(world: &mut World, rows: bool) {
    world.table("table", 0..40, rows, ["label", "age", "share"]);
}

fn two_tables(world: &mut World, rows: bool) {
    world.table("left", 0..40, rows, ["label", "age", "share"]);
    world.table("right", 20..60, rows, ["label_b", "age_b", "share_b"]);
}

/// Lesions of three classes; some images have several, some none, and one box in nine is empty.
fn boxes_and_samples(world: &mut World, rows: bool) {
    let images: Vec<String> = (0..30).map(|image| image.to_string()).collect();
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    let places = ["placed_left", "placed_top", "placed_width", "placed_height"];
    let placed = [0.0, 0.125, 1.0, 0.75].map(|place| floats((0..30).map(|_| place)));
    let sizes = [("width", 48), ("height", 64)].map(|(name, size)| (name, integers((0..30).map(|_| size))));
    let samples = batch(&images, sizes.into_iter().chain(places.into_iter().zip(placed)));
    let lesions: Vec<usize> = (0..40).map(|lesion| lesion * lesion % 23).collect();
    let keys: Vec<&str> = lesions.iter().map(|image| images[*image]).collect();
    let labels: StringArray = (0..40)
        .map(|lesion| ["wart", "nevus", "eczema"].get(lesion % 3).copied())
        .collect();
    let part = |of: usize| floats((0..40).map(move |lesion| (lesion * 7 % of) as f64 / of as f64));
    let sides = [
        ("x", part(13)),
        ("y", part(11)),
        ("w", part(9)),
        ("h", floats((0..40).map(|_| 0.3))),
    ];
    let labels: ArrayRef = Arc::new(labels);
    let boxes = batch(&keys, std::iter::once(("label", labels)).chain(sides));
    for (port, table) in [("boxes", boxes), ("samples", samples)] {
        let length = if rows { table.num_rows() } else { 0 };
        world.tables.push((port.to_string(), table.slice(0, length)));
    }
}

/// Made-up pictures, larger than they are shown, with labels, boxes and maps. Where
/// `synthesize` changes, what is drawn here changes with it.
fn pictures(world: &mut World, rows: bool) {
    let run = |kind: &str, with: &str, context: &mut MemoryContext| {
        let kind = dermflow_stages::registry().get(kind).unwrap().clone();
        let parameters = kind.parse(&serde_yaml::from_str(with).unwrap()).unwrap();
        kind.run(&parameters, context).unwrap();
    };
    let images = if rows { 40 } else { 0 };
    let mut made = MemoryContext::default();
    let with =
        format!("{{images: {images}, width: 64, height: 48, classes: 5, label-noise: 0.3, mixed: 0.3}}");
    run("synthesize", &with, &mut made);
    made.add_table("samples", made.output("samples"));
    made.add_table("boxes", made.output("boxes"));
    run("box-to-heatmap", "{}", &mut made);
    for (port, output) in [
        ("samples", "samples"),
        ("labels", "truth"),
        ("boxes", "boxes"),
        ("heatmaps", "heatmaps"),
    ] {
        world.tables.push((port.to_string(), made.output(output)));
    }
    // A heat map's columns hold those of a foreground map.
    let foreground = made.output("heatmaps");
    world.tables.push((
        "foreground".to_string(),
        foreground.slice(0, foreground.num_rows() / 2),
    ));
}

fn labels_and_foreign(world: &mut World, rows: bool) {
    world.table("labels", 0..40, rows, ["label", "age", "share"]);
    world.table("foreign", 100..120, rows, ["label", "age", "share"]);
}

fn floats(values: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

fn integers(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn three_tables(world: &mut World, rows: bool) {
    for keys in [0..20, 10..30, 50..51] {
        world.table("tables", keys, rows, ["label", "age", "share"]);
    }
}

fn csv_file(world: &mut World, rows: bool) {
    let mut text = "k,n,text,share\n".to_string();
    if rows {
        for row in 0..60 {
            text += &format!("{},{row},t{},{}\n", row % 50, row % 7, f64::from(row) / 4.0);
        }
        text += "bad,x,,\nshort\n";
    }
    world.source("path", "a.csv", &text);
}

fn folder(world: &mut World, rows: bool) {
    let files = [("a.txt", "one"), ("b.txt", "two"), ("c.txt", "one")];
    world.listed_folder(if rows { &files } else { &[] });
}

fn program(world: &mut World, rows: bool) {
    world.table("rows", 0..40, rows, ["label", "age", "share"]);
    world.wired_files("notes", &[("a.txt", if rows { "one" } else { "" })]);
    let script =
        "cp inputs/rows/part-00000.parquet outputs/passed.parquet && cp inputs/notes/a.txt outputs/notes/\n";
    world.source("files.0.path", "run.sh", script);
}

fn nothing(_: &mut World, _: bool) {}

/// Pictures of several formats, one of them twice; and files that are none.
fn picture_files(rows: bool) -> Vec<(&'static str, Vec<u8>)> {
    let files = vec![
        ("mel/P1-1.bmp", bitmap(20, 10)),
        ("mel/P2-1.jpg", oriented_jpeg()),
        ("nevus/P3-1.png", bitmap(20, 10)),
        ("nevus/P4-2.gif", gif()),
        ("nevus/P5-1.jpg", oriented_jpeg()[..200].to_vec()),
        ("nevus/P6-1.jpg", b"<html>not found".to_vec()),
        ("stray.bmp", bitmap(3, 40)),
    ];
    if rows { files } else { Vec::new() }
}

fn photos(world: &mut World, rows: bool) {
    world.listed_bytes("root", &picture_files(rows), false);
}

fn photos_with_bytes(world: &mut World, rows: bool) {
    world.listed_bytes("root", &picture_files(rows), true);
}

fn archive(world: &mut World, rows: bool) {
    world.source("path", "a.tar", tar(&picture_files(rows)));
}

/// Files, and a list that names two of them and one that isn't there.
fn files_and_list(world: &mut World, rows: bool) {
    let sources = ["a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg"];
    world.texts(
        "files",
        rows,
        &[("source", &sources), ("camera", &["X", "Y", "X", "Y"])],
    );
    let named = ["b/3.jpg", "missing.jpg", "a/1.jpg"];
    world.texts(
        "list",
        rows,
        &[
            ("name", &named),
            ("kind", &["mel", "nev", "bcc"]),
            ("age", &["5", "6", "7"]),
        ],
    );
}
