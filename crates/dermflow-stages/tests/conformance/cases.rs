//! The table of cases: one line or more for each kind.
//!
//! A new kind adds a line here. Its golden digest is told by the suite when it fails.

use crate::Case;
use crate::world::World;

/// Every case.
pub fn cases() -> Vec<Case> {
    let case = |kind, with, prepare: fn(&mut World, bool), version, golden| Case {
        kind,
        with,
        prepare,
        golden: (version, golden),
    };
    vec![
        case("concat", "{source-column: from}", three_tables, 1, "d2e45e023197"),
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
        case("join", "{how: inner}", two_tables, 1, "01eed9053b3b"),
        case(
            "join",
            "{how: left, prefix: right_}",
            two_tables,
            1,
            "8adc8ab6b7a3",
        ),
        case("join", "{how: anti}", two_tables, 1, "642a092cff23"),
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
        case("sample", "{share: 0.4}", one_table, 1, "cd3508e49a10"),
        case("sample", "{rows: 7}", one_table, 1, "241817465f6c"),
        case("sample", "{share: 0.4, by: label}", one_table, 1, "6e555b068240"),
    ]
}

const PROGRAM: &str = "{command: [/bin/sh, run.sh], files: [run.sh], \
    outputs: {passed: {table: {age: {type: integer, nullable: true}, label: {type: text, nullable: true}, share: float64}}, \
    notes: files}}";

const DRAW: &str =
    r#"{command: "grep '\"seed\"' \"$DERMFLOW_CONTEXT\" > outputs/draw/seed.txt", outputs: {draw: files}}"#;

fn one_table(world: &mut World, rows: bool) {
    world.table("table", 0..40, rows, ["label", "age", "share"]);
}

fn two_tables(world: &mut World, rows: bool) {
    world.table("left", 0..40, rows, ["label", "age", "share"]);
    world.table("right", 20..60, rows, ["label_b", "age_b", "share_b"]);
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
