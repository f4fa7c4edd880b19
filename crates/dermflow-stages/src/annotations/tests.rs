//! Tests of the readers: what each format says, and that no bytes make one panic.

use dermflow_core::StageError;
use proptest::prelude::*;

use super::*;
use crate::mutation::{changes, mutated, tries};

/// What a reader finds, as lines: the box as corners in percent or pixels, as written.
fn found(read: impl FnOnce(EachFound<'_>) -> Result<(), StageError>) -> Vec<String> {
    let mut lines = Vec::new();
    read(&mut |found| {
        lines.push(match found {
            Ok(annotation) => {
                let label = annotation.label.as_deref().unwrap_or("-");
                let mark = annotation.mark.map_or("whole".to_string(), |mark| {
                    let [x0, y0, x1, y1] = mark.corners.map(|corner| (corner * 100.0).round() / 100.0);
                    let stated = mark.stated.map_or(String::new(), |size| format!(" of {size}"));
                    format!("{x0} {y0} {x1} {y1}{stated}")
                });
                format!("{}: {label} {mark}", annotation.image.text)
            }
            Err(refused) => format!("{} refused: {}", refused.place, refused.reason),
        });
        Ok(())
    })
    .unwrap();
    lines
}

const COCO: &str = r#"{
  "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 50}, {"id": 2, "file_name": "b.jpg"}],
  "categories": [{"id": 7, "name": "nevus"}],
  "annotations": [
    {"image_id": 1, "category_id": 7, "bbox": [10, 20, 30, 10]},
    {"image_id": 2, "category_id": 7, "segmentation": [[1, 2, 5, 9, 3, 4]]},
    {"image_id": 3, "category_id": 7, "bbox": [1, 1, 1, 1]},
    {"image_id": 1, "category_id": 8, "bbox": [1, 1, 1, 1]},
    {"image_id": 1, "category_id": 7, "bbox": [1, 1, 1]},
    {"image_id": 1, "category_id": 7, "bbox": [1, 1, 1, 1], "iscrowd": 1},
    {"image_id": 1, "category_id": 7},
    {"image_id": "x"}
  ]
}"#;

#[test]
fn coco_boxes_and_polygons_come_and_what_points_nowhere_is_refused() {
    let lines = found(|each| coco::read(COCO.as_bytes(), "c.json", each));
    assert_eq!(
        lines[..2],
        ["a.jpg: nevus 10 20 40 30 of 100x50", "b.jpg: nevus 1 2 5 9"]
    );
    let reasons = [
        "no image with the id 3",
        "no category with the id 8",
        "3 numbers",
        "crowd",
        "neither",
        "i64",
    ];
    assert_eq!(lines.len(), 8);
    for (line, words) in lines[2..].iter().zip(reasons) {
        assert!(
            line.contains(words) && line.starts_with("c.json annotation"),
            "{line}"
        );
    }
    assert!(
        coco::read(b"[]", "c.json", &mut |_| Ok(()))
            .unwrap_err()
            .message
            .contains("no COCO")
    );
}

const VOC: &str = "<annotation>
<filename>a.jpg</filename><size><width>100</width><height>50</height><depth>3</depth></size>
<object><name>nevus</name><bndbox><xmin>11</xmin><ymin>21</ymin><xmax>40</xmax><ymax>30</ymax></bndbox></object>
<object><name>mel</name></object>
<object><name>mel</name><bndbox><xmin>x</xmin><ymin>21</ymin><xmax>40</xmax><ymax>30</ymax></bndbox></object>
</annotation>";

#[test]
fn pascal_voc_objects_come_counted_from_0_or_from_1() {
    let lines = found(|each| pascal_voc::read(VOC.as_bytes(), "x/a.xml", false, each));
    assert_eq!(lines[0], "a.jpg: nevus 11 21 40 30 of 100x50");
    assert_eq!(lines[1], "x/a.xml line 4 refused: the object has no `bndbox`");
    assert!(
        lines[2].contains("line 5") && lines[2].contains("`xmin` is `x`"),
        "{}",
        lines[2]
    );
    let lines = found(|each| pascal_voc::read(VOC.as_bytes(), "x/a.xml", true, each));
    assert_eq!(lines[0], "a.jpg: nevus 10 20 40 30 of 100x50");
    let bare = "<annotation><object><name>n</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax>\
                </bndbox></object></annotation>";
    assert_eq!(
        found(|each| pascal_voc::read(bare.as_bytes(), "x/a.xml", false, each)),
        ["x/a: n 1 2 3 4"]
    );
    assert!(found(|each| pascal_voc::read(b"<a/>", "x.xml", false, each))[0].contains("no Pascal VOC"));
}

const CVAT: &str = r#"<?xml version="1.0"?><annotations><version>1.1</version><meta/>
<image id="0" name="x/a.jpg" width="100" height="50">
  <tag label="nevus" source="manual"></tag>
  <box label="mel" xtl="10" ytl="20" xbr="40" ybr="30" occluded="0"></box>
  <box label="mel" xtl="10" ytl="20" xbr="40" ybr="30" rotation="90"></box>
  <polygon label="mel" points="1,2;5,9;3,4"/>
  <ellipse label="mel" cx="10" cy="20" rx="5" ry="2"/>
  <mask label="mel" rle="1" left="3" top="4" width="5" height="6"/>
  <points label="mel" points="1,2"/>
  <box label="mel" xtl="10"/>
</image><image id="1" width="1" height="1"/></annotations>"#;

#[test]
fn cvat_shapes_come_with_their_bounds_and_tags_without() {
    let lines = found(|each| cvat::read(CVAT.as_bytes(), "c.xml", each));
    let expected = [
        "x/a.jpg: nevus whole",
        "x/a.jpg: mel 10 20 40 30 of 100x50",
        "x/a.jpg: mel 20 10 30 40 of 100x50",
        "x/a.jpg: mel 1 2 5 9 of 100x50",
        "x/a.jpg: mel 5 18 15 22 of 100x50",
        "x/a.jpg: mel 3 4 8 10 of 100x50",
        "c.xml line 9 refused: `points` is no shape that makes a box",
        "c.xml line 10 refused: its `ytl` is missing",
        "c.xml line 11 refused: the image's `name` is missing",
    ];
    assert_eq!(lines, expected);
    assert!(
        cvat::read(b"<a/>", "c.xml", &mut |_| Ok(()))
            .unwrap_err()
            .message
            .contains("no CVAT")
    );
}

const YOLO: &str = "0 0.5 0.5 0.2 0.4\n\n1 0.5 0.5 0.2 0.4 0.9\n1 0.1 0.2 0.5 0.6 0.3 0.3\n2 0.5 0.5 0.2 0.4\nx 1\n0 1 2\n0 a b c d\n";

#[test]
fn yolo_lines_are_boxes_predictions_or_polygons() {
    let classes = ["nevus".to_string(), "mel".to_string()];
    let lines = found(|each| yolo::read(YOLO.as_bytes(), "l/a.txt", &classes, each));
    assert_eq!(
        lines[..3],
        [
            "l/a: nevus 0.4 0.3 0.6 0.7",
            "l/a: mel 0.4 0.3 0.6 0.7",
            "l/a: mel 0.1 0.2 0.5 0.6"
        ]
    );
    let reasons = [
        "line 5 refused: its class is 2",
        "line 6",
        "2 coordinates",
        "no number",
    ];
    for (line, words) in lines[3..].iter().zip(reasons) {
        assert!(line.contains(words), "{line}");
    }
    assert_eq!(lines.len(), 7);
    let names = |text: &str| yolo::class_names(text.as_bytes());
    assert_eq!(names("nevus\nmel\n").unwrap(), classes);
    assert_eq!(names("path: x\nnames: [nevus, mel]\n").unwrap(), classes);
    assert_eq!(names("names: {0: nevus, 1: mel}\n").unwrap(), classes);
    assert!(
        names("names: {0: nevus, 2: mel}\n")
            .unwrap_err()
            .contains("numbered")
    );
    assert!(names("a\n\nb").is_err() && names("").is_err());
}

const LABEL_STUDIO: &str = r#"[
 {"id": 5, "data": {"image": "/data/upload/1/0a1b2c3d-a%20b.jpg"}, "annotations": [
   {"was_cancelled": true, "result": [{"type": "choices", "value": {"choices": ["no"]}}]},
   {"result": [
     {"id": "r1", "type": "rectanglelabels", "original_width": 200, "original_height": 100,
      "value": {"x": 10, "y": 20, "width": 30, "height": 10, "rotation": 0, "rectanglelabels": ["nevus"]}},
     {"id": "r2", "type": "rectanglelabels", "original_width": 200, "original_height": 100,
      "value": {"x": 50, "y": 20, "width": 10, "height": 10, "rotation": 90, "rectanglelabels": ["mel"]}},
     {"id": "r3", "type": "ellipselabels", "original_width": 200, "original_height": 100,
      "value": {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "ellipselabels": ["mel"]}},
     {"id": "r4", "type": "polygonlabels", "value": {"points": [[1, 2], [5, 9]], "polygonlabels": ["mel"]}},
     {"id": "r5", "type": "brushlabels", "value": {"brushlabels": ["mel"]}},
     {"id": "r6", "type": "rectanglelabels", "value": {"x": 10, "y": 20}},
     {"id": "r7", "type": "rectanglelabels", "image_rotation": 90,
      "value": {"x": 10, "y": 20, "width": 30, "height": 10, "rectanglelabels": ["nevus"]}},
     {"id": "r8", "type": "choices", "value": {"choices": ["nevus", "benign"]}},
     {"id": "r9", "type": "textarea", "value": {"text": ["a note"]}}
   ]}]},
 {"id": 6, "data": {"pic": "s3://bucket/x/c.jpg?sig=1"}, "annotations": [
   {"result": [{"type": "choices", "value": {"choices": ["wrong"]}}]},
   {"ground_truth": true, "result": [{"type": "choices", "value": {"choices": ["mel"]}}]}]},
 {"id": 7, "image": "a.jpg", "choice": "mel"},
 {"id": 8, "data": {"image": "/data/local-files/?d=set/d.jpg"}, "annotations": [{"result": []}]}
]"#;

#[test]
fn label_studio_regions_choices_and_addresses_are_read() {
    let lines = found(|each| label_studio::read(LABEL_STUDIO.as_bytes(), "e.json", each));
    let expected = [
        "0a1b2c3d-a b.jpg: nevus 10 20 40 30 of 200x100",
        "0a1b2c3d-a b.jpg: mel 45 20 50 40 of 200x100",
        "0a1b2c3d-a b.jpg: mel 40 30 60 70 of 200x100",
        "0a1b2c3d-a b.jpg: mel 1 2 5 9",
        "e.json task 5 region r5 refused: `brushlabels` makes no box; rectangles, ellipses and polygons do",
        "e.json task 5 region r6 refused: its `width` is missing or no number",
    ];
    assert_eq!(lines[..6], expected);
    assert!(lines[6].contains("image_rotation"), "{}", lines[6]);
    assert_eq!(
        lines[7..10],
        [
            "0a1b2c3d-a b.jpg: nevus whole",
            "0a1b2c3d-a b.jpg: benign whole",
            "bucket/x/c.jpg: mel whole"
        ]
    );
    assert!(lines[10].contains("not as JSON-MIN"), "{}", lines[10]);
    assert_eq!(lines.len(), 11);
}

/// Every reader over these bytes; only that they come back counts.
fn read_all(bytes: &[u8]) {
    let classes = ["nevus".to_string()];
    let mut each = |found: Result<Annotation, Refused>| {
        if let Ok(Annotation { mark: Some(mark), .. }) = found {
            let rules = Rules {
                outside: Outside::Clip,
                tolerance: 0.0,
                turned: Turned::Clockwise,
            };
            if let Some(size) = Size::new(100.0, 50.0) {
                let _ = rules.fractions(&mark, size);
            }
        }
        Ok(())
    };
    let _ = coco::read(bytes, "f", &mut each);
    let _ = cvat::read(bytes, "f", &mut each);
    let _ = label_studio::read(bytes, "f", &mut each);
    let _ = pascal_voc::read(bytes, "f", true, &mut each);
    let _ = yolo::read(bytes, "f", &classes, &mut each);
    let _ = yolo::class_names(bytes);
    let _ = masks::read(bytes, "f.png", &MaskParameters::NONE, &mut each);
}

/// A small mask as a PNG file.
fn mask() -> Vec<u8> {
    let picture = image::GrayImage::from_fn(9, 7, |x, y| image::Luma([if x > 2 && y > 3 { 255 } else { 0 }]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn a_mask_is_a_box_of_its_image() {
    let whole = |suffix: &str| MaskParameters {
        suffix: suffix.to_string(),
        ..MaskParameters::NONE
    };
    let lines = found(|each| masks::read(&mask(), "m/a_mask.png", &whole("_mask"), each));
    assert_eq!(lines, ["m/a: - 3 4 9 7 of 9x7"]);
    let lines = found(|each| masks::read(&mask(), "m/a.png", &whole("_mask"), each));
    assert!(lines[0].contains("doesn't end with `_mask`"), "{lines:?}");
    let large = MaskParameters {
        min_area: 0.9,
        ..whole("")
    };
    assert!(found(|each| masks::read(&mask(), "a.png", &large, each))[0].contains("min-area"));
}

proptest! {
    #![proptest_config(tries(400))]
    #[test]
    fn no_change_of_a_file_makes_a_reader_panic(
        which in 0usize..6,
        changes in changes(),
    ) {
        let files = [COCO, VOC, CVAT, YOLO, LABEL_STUDIO].map(|text| text.as_bytes().to_vec());
        let file = files.get(which).cloned().unwrap_or_else(mask);
        read_all(&mutated(file, &changes));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,100}") {
        read_all(&bytes);
        read_all(text.as_bytes());
    }
}
