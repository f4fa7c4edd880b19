//! Tests of `import-boxes`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Float64Type;
use dermflow_core::memory::{MemoryContext, batch};
use dermflow_core::{NamedFile, StageError, StageKind};

use super::{ImportBoxes, ImportBoxesParameters};

fn parameters(yaml: &str) -> ImportBoxesParameters {
    let value: serde_yaml::Value = serde_yaml::from_str(yaml).unwrap();
    serde_yaml::with::singleton_map_recursive::deserialize(value).unwrap()
}

/// Samples of these sources, widths and heights.
pub fn samples(images: &[(&str, i64, i64)]) -> RecordBatch {
    let keys: Vec<&str> = images.iter().map(|(source, _, _)| *source).collect();
    let sources: ArrayRef = Arc::new(StringArray::from(keys.clone()));
    let widths: ArrayRef = Arc::new(Int64Array::from_iter_values(images.iter().map(|image| image.1)));
    let heights: ArrayRef = Arc::new(Int64Array::from_iter_values(images.iter().map(|image| image.2)));
    let columns = [
        ("source", sources),
        ("original_width", widths),
        ("original_height", heights),
    ];
    batch(&keys, columns)
}

const IMAGES: [(&str, i64, i64); 3] = [
    ("s/a.jpg", 200, 100),
    ("s/b.jpg", 100, 100),
    ("s/c.jpg", 100, 200),
];

fn import(name: &str, content: &str, yaml: &str) -> Result<MemoryContext, StageError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    let mut context = MemoryContext::default();
    context.add_source("path", path, Vec::new());
    context.add_table("samples", samples(&IMAGES));
    let parameters = parameters(&format!("{{path: '{name}', {yaml}}}"));
    assert_eq!(ImportBoxes::check(&parameters), []);
    ImportBoxes::run(&parameters, &mut context)?;
    Ok(context)
}

/// The boxes as lines, sorted.
fn boxes(context: &MemoryContext, sources: &[(&str, i64, i64)]) -> Vec<String> {
    let table = context.output("boxes");
    let ids = table.column(0).as_fixed_size_binary();
    let labels = table.column(1).as_string::<i32>();
    let side = |at: usize, row: usize| {
        let value = table.column(2 + at).as_primitive::<Float64Type>().value(row);
        (value * 1e4).round() / 1e4
    };
    let rows = (0..table.num_rows()).map(|row| {
        let of = |source: &&(&str, i64, i64)| {
            dermflow_core::SampleId::of_key(source.0).as_bytes() == ids.value(row)
        };
        let source = sources.iter().find(of).unwrap().0;
        let [x, y, w, h] = [0, 1, 2, 3].map(|at| side(at, row));
        format!("{source} {} {x} {y} {w} {h}", labels.value(row))
    });
    let mut lines: Vec<String> = rows.collect();
    lines.sort();
    lines
}

fn rejects(context: &MemoryContext) -> Vec<String> {
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
fn rows_become_boxes_or_rejects_with_their_line_and_reason() {
    let csv = "image,dx,l,t,w,h,age\n\
               a.jpg,nevus,20,10,100,50,3\n\
               b.jpg,mel,90,0,20,50,\n\
               z.jpg,mel,0,0,1,1,\n\
               a.jpg,odd,0,0,1,1,\n\
               a.jpg,nevus,5,5,-2,1,\n\
               a.jpg,nevus,5,5,0,1,\n\
               a.jpg,nevus,nan,5,1,1,\n\
               a.jpg,nevus,,5,1,1,\n\
               a.jpg,nevus,x,5,1,1,\n\
               a.jpg,,5,5,1,1,4\n";
    let yaml = "label: dx, box: {corner-and-size: [l, t, w, h]}, unit: pixels, classes: [nevus, mel], \
                columns: {age: {type: integer, nullable: true}}";
    let context = import("b.csv", csv, yaml).unwrap();
    assert_eq!(boxes(&context, &IMAGES), ["s/a.jpg nevus 0.1 0.1 0.5 0.5"]);
    let age = context.output("boxes");
    assert_eq!(age.schema().field(6).name(), "age");
    let expected = [
        "b.csv line 10: `l`: `x` is not float64",
        "b.csv line 11: it has no class: wire `labels`, or give a `class`",
        "b.csv line 3: it reaches out of the picture by 0.1000 of its side, more than the tolerance 0.01",
        "b.csv line 4: no sample is called `z.jpg`",
        "b.csv line 5: `odd` is none of the 2 classes",
        "b.csv line 6: its corners are reversed: the second lies left of or above the first",
        "b.csv line 7: it is empty: a side is 0",
        "b.csv line 8: a coordinate is no number",
        "b.csv line 9: `l` is missing",
    ];
    assert_eq!(rejects(&context), expected);
    assert_eq!((context.metrics["boxes"], context.metrics["rejects"]), (1.0, 9.0));
}

#[test]
fn every_form_of_columns_and_every_format_gives_the_same_box() {
    let expected = ["s/a.jpg nevus 0.1 0.1 0.5 0.5"];
    let all = [
        (
            "b.csv",
            "image,c,p,q,r,s\na.jpg,nevus,20,10,120,60\n",
            "label: c, box: {corners: [p, q, r, s]}, unit: pixels",
        ),
        (
            "b.tsv",
            "image\tp\tq\tr\ts\ns/a.jpg\t0.35\t0.35\t0.5\t0.5\n",
            "class: nevus, box: {centre-and-size: [p, q, r, s]}, unit: fractions",
        ),
        (
            "b.json",
            r#"[{"image": "a", "c": "nevus", "p": 10, "q": 10, "r": 50, "s": 50}]"#,
            "label: c, box: {corner-and-size: [p, q, r, s]}, unit: percent",
        ),
        (
            "b.jsonl",
            r#"{"image": "a", "p": 10, "q": 5, "r": 60, "s": 30, "w": 100, "h": 50}"#,
            "class: nevus, box: {corners: [p, q, r, s]}, unit: pixels, size: [w, h]",
        ),
        (
            "c.json",
            r#"{"images": [{"id": 1, "file_name": "a.jpg", "width": 200, "height": 100}], "categories": [{"id": 1, "name": "nevus"}], "annotations": [{"image_id": 1, "category_id": 1, "bbox": [20, 10, 100, 50]}]}"#,
            "format: coco",
        ),
        (
            "c.xml",
            r#"<annotations><image name="a.jpg" width="200" height="100"><box label="nevus" xtl="20" ytl="10" xbr="120" ybr="60"/><tag label="x"/></image></annotations>"#,
            "format: cvat",
        ),
        (
            "l.json",
            r#"[{"data": {"image": "a.jpg"}, "annotations": [{"result": [{"type": "rectanglelabels", "value": {"x": 10, "y": 10, "width": 50, "height": 50, "rectanglelabels": ["nevus"]}}]}]}]"#,
            "format: label-studio",
        ),
    ];
    for (name, content, yaml) in all {
        let context = import(name, content, yaml).unwrap();
        assert_eq!(rejects(&context), Vec::<String>::new(), "{name}");
        assert_eq!(boxes(&context, &IMAGES), expected, "{name}");
    }
}

/// A folder given to `path`, with its files.
fn folder(context: &mut MemoryContext, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let named = files.iter().map(|(name, content)| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        NamedFile {
            name: (*name).to_string(),
            path,
        }
    });
    let named = named.collect();
    context.add_source("path", folder.path(), named);
    folder
}

#[test]
fn folders_of_yolo_and_voc_files_are_read_by_their_names() {
    let mut context = MemoryContext::default();
    context.add_table("samples", samples(&IMAGES));
    let files = [
        ("l/a.txt", "1 0.35 0.35 0.5 0.5\n"),
        ("l/z.txt", "0 0.5 0.5 0.1 0.1\n"),
        ("classes.txt", "mel\nnevus\n"),
    ];
    let _folder = folder(&mut context, &files);
    ImportBoxes::run(&parameters("{path: l, format: yolo}"), &mut context).unwrap();
    assert_eq!(boxes(&context, &IMAGES), ["s/a.jpg nevus 0.1 0.1 0.5 0.5"]);
    assert_eq!(rejects(&context), ["l/z.txt line 1: no sample is called `l/z`"]);

    let voc = "<annotation><object><name>nevus</name><bndbox><xmin>21</xmin><ymin>11</ymin><xmax>120</xmax>\
               <ymax>60</ymax></bndbox></object></annotation>";
    let mut context = MemoryContext::default();
    context.add_table("samples", samples(&IMAGES));
    let _folder = folder(&mut context, &[("a.xml", voc)]);
    ImportBoxes::run(
        &parameters("{path: l, format: pascal-voc, one-based: true}"),
        &mut context,
    )
    .unwrap();
    assert_eq!(boxes(&context, &IMAGES), ["s/a.jpg nevus 0.1 0.1 0.5 0.5"]);
}

#[test]
fn boxes_drawn_on_the_file_as_stored_are_turned_or_refused() {
    // c.jpg stands upright at 100 x 200; the tool showed the file as stored, 200 x 100.
    let csv = "image,p,q,r,s,w,h\nc.jpg,20,10,120,60,200,100\n";
    let yaml = "class: mel, box: {corners: [p, q, r, s]}, unit: pixels, size: [w, h]";
    let refused = import("b.csv", csv, yaml).unwrap();
    assert!(
        rejects(&refused)[0].contains("as stored, 200x100"),
        "{:?}",
        rejects(&refused)
    );
    let turned = import("b.csv", csv, &format!("{yaml}, turned: clockwise")).unwrap();
    assert_eq!(boxes(&turned, &IMAGES), ["s/c.jpg mel 0.4 0.1 0.5 0.5"]);
}

#[test]
fn parameters_that_make_no_sense_are_told_at_their_place() {
    let places = |yaml: &str| -> Vec<String> {
        let problems = ImportBoxes::check(&parameters(yaml));
        problems.into_iter().map(|problem| problem.parameter).collect()
    };
    assert_eq!(places("{path: a.csv}"), ["box", "unit"]);
    assert_eq!(
        places("{path: a.json, format: coco, label: x, one-based: true}"),
        ["one-based", "label"]
    );
    assert_eq!(places("{path: '', format: coco}"), ["path"]);
    assert_eq!(places("{path: a, format: folder-names}"), ["path", "format"]);
    assert_eq!(
        places("{path: a.csv, box: {corners: [a, b, c, d]}, unit: pixels, columns: {label: text}}"),
        ["columns.label"]
    );
    assert_eq!(
        places("{path: m, format: masks, matching: ['*.png'], masks: {per: component}}"),
        [""; 0]
    );
}

/// The folder of real data, where it is there.
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data")
        .join(name);
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// Samples of the images in a table with columns `image`, and size.
fn real_samples(table: &Path, columns: [&str; 2], images: &Path) -> Vec<(String, i64, i64)> {
    let mut reader = csv::Reader::from_path(table).unwrap();
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|other| other == name);
    let (image, sides) = (at("image").unwrap(), columns.map(at));
    let rows = reader.records().map(|record| {
        let record = record.unwrap();
        let side = |which: usize| sides[which].map(|at| record[at].parse::<i64>().unwrap());
        let size = || image::image_dimensions(images.join(&record[image])).unwrap();
        let width = side(0).unwrap_or_else(|| size().0.into());
        let height = side(1).unwrap_or_else(|| size().1.into());
        (record[image].to_string(), width, height)
    });
    rows.collect()
}

fn real_import(images: &[(String, i64, i64)], path: &Path, yaml: &str) -> MemoryContext {
    let mut context = MemoryContext::default();
    let images: Vec<(&str, i64, i64)> = images
        .iter()
        .map(|(name, w, h)| (name.as_str(), *w, *h))
        .collect();
    context.add_table("samples", samples(&images));
    let mut files: Vec<NamedFile> = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            files.push(NamedFile { name, path });
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
    }
    context.add_source("path", path, files);
    ImportBoxes::run(&parameters(yaml), &mut context).unwrap();
    context
}

/// Boxes by sample, in the order in which they lie in the table.
fn sides(context: &MemoryContext) -> Vec<(Vec<u8>, [f64; 4])> {
    let table = context.output("boxes");
    let ids = table.column(0).as_fixed_size_binary();
    let side = |at: usize, row: usize| table.column(2 + at).as_primitive::<Float64Type>().value(row);
    let rows = 0..table.num_rows();
    rows.map(|row| (ids.value(row).to_vec(), [0, 1, 2, 3].map(|at| side(at, row))))
        .collect()
}

#[test]
fn boxes_from_real_masks_are_those_that_the_data_set_gives() {
    let Some(pad) = shared("pad_ufes20") else {
        return;
    };
    let images = real_samples(&pad.join("labels.csv"), ["w", "h"], &pad.join("images"));
    let table = "{path: boxes.csv, label: class, box: {corners: [x0, y0, x1, y1]}, unit: fractions}";
    let given = real_import(&images, &pad.join("boxes.csv"), table);
    assert_eq!(rejects(&given), Vec::<String>::new());
    let made = real_import(
        &images,
        &pad.join("masks"),
        "{path: masks, format: masks, class: lesion}",
    );
    let (given, made) = (sides(&given), sides(&made));
    assert_eq!((given.len(), made.len()), (329, 329));
    let mut near = 0;
    for ((id, given), (other, made)) in given.iter().zip(&made) {
        assert_eq!(id, other);
        let within = |most: f64| given.iter().zip(made).all(|(a, b)| (a - b).abs() <= most);
        // The boxes of the file were measured on masks of the photos' full size: here a side may
        // lie a pixel or two further, and thin ends of one lesion are gone.
        assert!(within(0.03), "{given:?} {made:?}");
        near += usize::from(within(1.0 / 128.0));
    }
    assert!(near >= 325, "only {near} of 329 boxes are near those of the file");
}

#[test]
fn real_boxes_of_dermoscopy_lie_inside_their_pictures() {
    let Some(isic) = shared("isic2017") else {
        return;
    };
    let images = real_samples(
        &isic.join("labels.csv"),
        ["orig_w", "orig_h"],
        &isic.join("images"),
    );
    let table = "{path: boxes.csv, label: class, box: {corners: [x0, y0, x1, y1]}, unit: fractions, \
                 classes: [nevus, melanoma, seborrheic_keratosis], tolerance: 0}";
    let context = real_import(&images, &isic.join("boxes.csv"), table);
    assert_eq!(rejects(&context), Vec::<String>::new());
    assert_eq!(sides(&context).len(), 2000);
}
