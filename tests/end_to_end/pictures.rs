//! Pictures through the program: what a change of a folder, a list or an archive costs, and
//! the demo's own pictures.

use std::path::Path;

use dermflow_tests::Project;

use crate::project::{copy, empty};

/// A bitmap of one colour.
fn bitmap(width: u32, height: u32, colour: u8) -> Vec<u8> {
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
    bytes.resize(54 + (stride * height) as usize, colour);
    bytes
}

fn photos(project: &Project, numbers: std::ops::Range<u8>) {
    for number in numbers {
        project.write(&format!("photos/{number:03}.bmp"), bitmap(10, 6, number));
    }
}

/// The rows that a run computed anew, of a stage.
fn computed_rows(project: &Project, arguments: &[&str]) -> u64 {
    project.run(arguments).number("rows_computed")
}

#[test]
fn one_new_picture_decodes_one_picture() {
    let project = empty();
    photos(&project, 0..40);
    project.write("photos/broken.jpg", "not a picture");
    project.write(
        "dermflow.yaml",
        "name: folder
stages:
  photos: {kind: ingest, with: {root: photos, size: 8}}
outputs: {photos: photos.samples, refused: photos.rejects, twice: photos.duplicates}
",
    );
    assert_eq!(computed_rows(&project, &["run"]), 41);
    project.write("photos/new.bmp", bitmap(10, 6, 200));
    project.write("photos/copy.bmp", bitmap(10, 6, 0));
    // The copy has the bytes of a picture, so that sample is looked at again.
    assert_eq!(computed_rows(&project, &["run"]), 3);
    std::fs::remove_file(project.at("photos/new.bmp")).unwrap();
    assert_eq!(computed_rows(&project, &["run"]), 0);
}

#[test]
fn a_list_says_which_files_are_decoded_and_a_change_of_it_decodes_what_it_names() {
    let project = empty();
    photos(&project, 0..20);
    let list = |rows: &[(&str, &str)]| {
        let rows: String = rows
            .iter()
            .map(|(file, label)| format!("{file},{label}\n"))
            .collect();
        format!("file,label\n{rows}")
    };
    project.write(
        "list.csv",
        list(&[("003.bmp", "mel"), ("007.bmp", "nev"), ("gone.bmp", "nev")]),
    );
    project.write(
        "dermflow.yaml",
        "name: listed
stages:
  found: {kind: list-files, with: {path: photos}}
  list: {kind: import-table, with: {path: list.csv, key: file, columns: {file: text, label: text}}}
  listed: {kind: join-files, in: {files: found.files, list: list.table}, with: {column: file, label: label}}
  photos: {kind: ingest, in: {files: listed.files}, with: {root: photos, size: 8}}
outputs: {photos: photos.samples, missing: listed.rejects}
",
    );
    let run = project.run(&["run"]);
    assert_eq!(run.computed(), ["found", "list", "listed", "photos"]);
    let shown = project.done(&["show", "listed.rejects"]).out;
    assert!(shown.contains("gone.bmp"), "{shown}");
    // A picture that the list doesn't name is listed, and decoded by nobody.
    project.write("photos/other.bmp", bitmap(4, 4, 77));
    assert_eq!(decoded(&project), (0, 2));
    project.write(
        "list.csv",
        list(&[("003.bmp", "mel"), ("007.bmp", "bcc"), ("008.bmp", "bcc")]),
    );
    assert_eq!(decoded(&project), (2, 1));
}

/// How many pictures the stage `photos` decodes in a run, and how many it takes over.
fn decoded(project: &Project) -> (u64, u64) {
    let run = project.run(&["run"]);
    let events = run.of("stage-executed");
    let event = events.iter().find(|event| event["stage"] == "photos");
    let event = event.expect("the folder or the list changed, so the stage is looked at");
    let rows = |name: &str| event[name].as_u64().unwrap();
    (rows("rows_computed"), rows("rows_reused"))
}

#[test]
fn an_archive_is_ingested_like_a_folder() {
    let project = empty();
    let mut archive = Vec::new();
    for number in 0..5u8 {
        let content = bitmap(5, 5, number);
        let mut header = [0u8; 512];
        header[..5].copy_from_slice(format!("{number}.bmp").as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend(header);
        archive.extend(&content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    project.write("photos.tar", archive);
    project.write(
        "dermflow.yaml",
        "name: packed
stages:
  packed: {kind: unpack, with: {path: photos.tar}}
  photos: {kind: ingest, in: {files: packed.files}, with: {size: 8, pattern: '{number}.*'}}
outputs: {photos: photos.samples}
",
    );
    assert_eq!(project.run(&["run"]).computed(), ["packed", "photos"]);
    assert_eq!(project.run(&["run"]).executed(), 0);
}

/// The pipeline that reads the demo's pictures, as people run it.
#[test]
fn every_picture_of_the_demo_is_ingested() {
    let project = empty();
    let pipelines = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../pipelines"));
    copy(pipelines, &project.at("pipelines"));
    let read = [
        "run",
        "pipelines/demo.yaml",
        "--until",
        "as-found",
        "--until",
        "truth",
    ];
    assert_eq!(project.run(&read).computed(), ["as-found", "photos", "truth"]);
    let rows = |output: &str| -> u64 {
        let shown = project.done(&["show", output, "--json"]).out;
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        shown["rows"].as_u64().unwrap()
    };
    let all = [
        "photos.samples",
        "photos.rejects",
        "photos.duplicates",
        "truth.labels",
        "truth.rejects",
    ];
    assert_eq!(all.map(rows), [1072, 0, 0, 1072, 0]);
    assert_eq!(project.run(&read).executed(), 0);
}
