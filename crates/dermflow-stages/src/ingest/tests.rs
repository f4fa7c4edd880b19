use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Float64Type, Int64Type, Schema};
use dermflow_core::memory::MemoryContext;
use dermflow_core::{Cause, Column, ColumnType, Contract, InputTypes, SampleId, sample_ids};

use super::*;

/// A bitmap of one colour with one other pixel, `(width, height)`.
fn bitmap(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
    let stride = (width * 3).div_ceil(4) * 4;
    let mut bytes = b"BM".to_vec();
    for number in [
        54 + stride * height,
        0,
        54,
        40,
        width,
        height,
        1 | 24 << 16,
        0,
        0,
        0,
        0,
        0,
        0,
    ] {
        bytes.extend(number.to_le_bytes());
    }
    for row in 0..height {
        let mut line: Vec<u8> = (0..width).flat_map(|_| colour).collect();
        if row == 0 {
            line[..3].copy_from_slice(&[1, 2, 3]);
        }
        line.resize(stride as usize, 0);
        bytes.extend(line);
    }
    bytes
}

type Files<'a> = [(&'a str, Vec<u8>)];

fn listing(files: &Files<'_>, with_content: bool) -> RecordBatch {
    let ids: Vec<SampleId> = files
        .iter()
        .map(|(_, content)| SampleId::of_content(content))
        .collect();
    let mut known = TableType::of(Contract::named("FileList").unwrap());
    let names: StringArray = files.iter().map(|(name, _)| Some(*name)).collect();
    let bytes: Int64Array = files.iter().map(|(_, content)| content.len() as i64).collect();
    let mut columns: Vec<ArrayRef> = vec![sample_ids(&ids), Arc::new(names), Arc::new(bytes)];
    if with_content {
        known.columns.push(Column::new("content", ColumnType::Binary));
        columns.push(Arc::new(BinaryArray::from_iter_values(
            files.iter().map(|(_, content)| content),
        )));
    }
    RecordBatch::try_new(known.schema(), columns).unwrap()
}

fn write(folder: &Path, files: &Files<'_>) {
    for (name, content) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

fn parameters(yaml: &str) -> IngestParameters {
    serde_yaml::from_str(&format!("{{{yaml}}}")).unwrap()
}

fn run_over(
    on_disk: &Files<'_>,
    listed: RecordBatch,
    with: &str,
    threads: usize,
) -> Result<MemoryContext, StageError> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), on_disk);
    let mut context = MemoryContext::default();
    context.threads = threads;
    context.batch_rows = 2;
    context.add_source("root", folder.path(), Vec::new());
    context.add_table(FILES_PORT, listed);
    Ingest::run(&parameters(with), &mut context)?;
    Ok(context)
}

fn run(files: &Files<'_>, with: &str) -> MemoryContext {
    run_over(files, listing(files, false), &format!("root: photos, {with}"), 1).unwrap()
}

/// Texts of columns, row by row, missing ones as `-`; sorted.
fn texts(table: &RecordBatch, columns: &[&str]) -> Vec<String> {
    let text = |row: usize, name: &&str| {
        let column = table.column_by_name(name).unwrap().as_string::<i32>();
        if column.is_valid(row) {
            column.value(row).to_string()
        } else {
            "-".to_string()
        }
    };
    let row = |row: usize| {
        columns
            .iter()
            .map(|name| text(row, name))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut rows: Vec<String> = (0..table.num_rows()).map(row).collect();
    rows.sort();
    rows
}

#[test]
fn every_file_ends_in_one_output() {
    let files = [
        ("a.bmp", bitmap(6, 3, [9; 3])),
        ("b/copy.bmp", bitmap(6, 3, [9; 3])),
        ("c.jpg", b"not a picture".to_vec()),
        ("d.jpg", b"not a picture".to_vec()),
        ("e.bmp", bitmap(2, 2, [7; 3])),
        ("empty.png", Vec::new()),
    ];
    let context = run(&files, "size: 4");
    assert_eq!(
        texts(&context.output("samples"), &["source", "label"]),
        ["a.bmp -", "e.bmp -"]
    );
    assert_eq!(
        texts(&context.output("duplicates"), &["source", "kept"]),
        ["b/copy.bmp a.bmp"]
    );
    assert_eq!(
        texts(&context.output("rejects"), &["source", "reason"]),
        [
            "c.jpg its content is no JPEG, PNG, WebP, BMP, TIFF or GIF picture",
            "d.jpg its content is no JPEG, PNG, WebP, BMP, TIFF or GIF picture",
            "empty.png the file is empty",
        ]
    );
}

#[test]
fn a_sample_says_what_is_stored_and_where_the_original_lies() {
    let file = [("a.bmp", bitmap(8, 4, [200, 100, 50]))];
    let samples = run(&file, "size: 4, bars: [1, 1, 1], filter: box").output("samples");
    let number = |name: &str| {
        samples
            .column_by_name(name)
            .unwrap()
            .as_primitive::<Int64Type>()
            .value(0)
    };
    let share = |name: &str| {
        samples
            .column_by_name(name)
            .unwrap()
            .as_primitive::<Float64Type>()
            .value(0)
    };
    assert_eq!(
        ["width", "height", "original_width", "original_height"].map(number),
        [4, 4, 8, 4]
    );
    let placed = ["placed_left", "placed_top", "placed_width", "placed_height"].map(share);
    assert_eq!(placed, [0.0, 0.25, 1.0, 0.5]);
    let pixels = samples
        .column_by_name("pixels")
        .unwrap()
        .as_binary::<i32>()
        .value(0)
        .to_vec();
    assert_eq!(pixels.len(), 4 * 4 * 3);
    assert_eq!(
        (&pixels[..3], &pixels[12..15]),
        (&[1u8, 1, 1][..], &[50u8, 100, 200][..])
    );
    assert!(samples.column_by_name("perceptual_hash").is_none());
    let hashed = run(&file, "perceptual-hash: true").output("samples");
    assert!(hashed.column_by_name("perceptual_hash").is_some());
    let width = hashed
        .column_by_name("width")
        .unwrap()
        .as_primitive::<Int64Type>()
        .value(0);
    assert_eq!(width, 8, "without a size each picture keeps its own");
}

#[test]
fn columns_come_from_paths_and_a_copy_under_another_label_is_told() {
    let same = bitmap(3, 3, [1; 3]);
    let files = [
        ("mel/P1_7.bmp", same.clone()),
        ("nevus/P2_8.bmp", same),
        ("nevus/P3_9.bmp", bitmap(3, 3, [2; 3])),
        ("stray.bmp", bitmap(3, 3, [3; 3])),
    ];
    let context = run(&files, "size: 2, pattern: '{label}/{group}_{visit}.bmp'");
    let samples = texts(&context.output("samples"), &["source", "label", "group", "visit"]);
    assert_eq!(samples, ["mel/P1_7.bmp mel P1 7", "nevus/P3_9.bmp nevus P3 9"]);
    let duplicates = texts(
        &context.output("duplicates"),
        &["source", "kept", "kept_label", "label", "group"],
    );
    assert_eq!(duplicates, ["nevus/P2_8.bmp mel/P1_7.bmp mel nevus P2"]);
    let rejects = texts(&context.output("rejects"), &["source", "reason"]);
    assert_eq!(rejects, ["stray.bmp its path doesn't fit the pattern"]);
}

#[test]
fn a_copy_that_fits_the_pattern_is_kept_where_the_first_does_not_fit() {
    let same = bitmap(3, 3, [1; 3]);
    let files = [("a.bmp", same.clone()), ("mel/b.bmp", same)];
    let context = run(&files, "size: 2, pattern: '{label}/*'");
    assert_eq!(
        texts(&context.output("samples"), &["source", "label"]),
        ["mel/b.bmp mel"]
    );
    assert_eq!(context.output("duplicates").num_rows(), 0);
    assert_eq!(texts(&context.output("rejects"), &["source"]), ["a.bmp"]);
}

#[test]
fn files_may_come_with_their_bytes_and_with_columns() {
    let files = [
        ("x/a.bmp", bitmap(3, 3, [5; 3])),
        ("x/b.bmp", bitmap(3, 3, [6; 3])),
    ];
    let listed = listing(&files, true);
    let mut fields: Vec<_> = listed.schema().fields().iter().cloned().collect();
    let mut columns = listed.columns().to_vec();
    for (name, values) in [
        ("label", [Some("mel"), None]),
        ("camera", [Some("X1"), Some("Y2")]),
    ] {
        fields.push(Arc::new(Column::nullable(name, ColumnType::Text).field()));
        columns.push(Arc::new(StringArray::from(values.to_vec())));
    }
    let listed = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let context = run_over(&[], listed, "size: 2, pattern: '{group}/*'", 1).unwrap();
    let samples = texts(
        &context.output("samples"),
        &["source", "group", "label", "camera"],
    );
    assert_eq!(samples, ["x/a.bmp x mel X1", "x/b.bmp x - Y2"]);
}

#[test]
fn of_a_folder_only_the_listed_files_are_read() {
    let files = [("a.bmp", bitmap(3, 3, [5; 3])), ("b.bmp", bitmap(3, 3, [6; 3]))];
    let context = run_over(&files, listing(&files[1..], false), "root: photos, size: 2", 1).unwrap();
    assert_eq!(texts(&context.output("samples"), &["source"]), ["b.bmp"]);
    let error = run_over(&files[..1], listing(&files, false), "root: photos, size: 2", 1)
        .err()
        .unwrap();
    assert_eq!(error.cause, Cause::SourceChanged);
    let changed = [("a.bmp", bitmap(3, 3, [99; 3]))];
    let error = run_over(&changed, listing(&files[..1], false), "root: photos", 1)
        .err()
        .unwrap();
    assert_eq!(error.cause, Cause::SourceChanged);
}

#[test]
fn limits_refuse_and_the_memory_of_all_threads_is_one_limit() {
    let files: Vec<(String, Vec<u8>)> = (0..40)
        .map(|at| (format!("{at:02}.bmp"), bitmap(90 + at, 90, [at as u8; 3])))
        .collect();
    let files: Vec<(&str, Vec<u8>)> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.clone()))
        .collect();
    let tight = "root: photos, size: 8, limits: {pixels: 11000, bytes: 34000, memory: 1000000}";
    let alone = run_over(&files, listing(&files, false), tight, 1).unwrap();
    let many = run_over(&files, listing(&files, false), tight, 5).unwrap();
    for port in ["samples", "rejects", "duplicates"] {
        assert_eq!(alone.output(port), many.output(port));
    }
    let reasons = texts(&alone.output("rejects"), &["reason"]);
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("pixels, and the limit is 11000")),
        "{reasons:?}"
    );
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("bytes, and the limit is 34000")),
        "{reasons:?}"
    );
    assert!(alone.output("samples").num_rows() > 5);
}

#[test]
fn parameters_that_make_no_sense_are_told_at_their_place() {
    let places = |yaml: &str| -> Vec<String> {
        parameters(yaml)
            .problems()
            .into_iter()
            .map(|problem| problem.parameter)
            .collect()
    };
    assert_eq!(places("matching: ['*.jpg']"), ["matching"]);
    assert_eq!(places("root: x, size: 0"), ["size"]);
    assert_eq!(places("root: x, size: {width: 10, height: 20000}"), ["size"]);
    assert_eq!(places("root: x, pattern: '*.jpg'"), ["pattern"]);
    assert!(places("root: x, size: 224, pattern: '{label}/*'").is_empty());
    let square = parameters("root: x, size: {width: 9, height: 9}");
    assert_eq!(square.settings(), parameters("root: x, size: 9").settings());
    let outputs = |yaml: &str| Ingest::outputs(&parameters(yaml), &InputTypes::new());
    let problem = outputs("root: x, pattern: '{width}/*'").unwrap_err();
    assert!(
        problem.message.contains("a second column `width`"),
        "{}",
        problem.message
    );
}

#[test]
fn a_pattern_that_fits_no_file_is_told() {
    let context = run(&[], "matching: ['**/*.JPG']");
    let lines = context.lines.lock().unwrap();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("below `photos` matches `**/*.JPG`")),
        "{lines:?}"
    );
}
