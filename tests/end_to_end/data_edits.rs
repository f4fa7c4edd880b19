//! What an edit of the data costs: images that come, go or change, labels and boxes that are
//! corrected. Rows are counted as the program tells them.

use std::collections::BTreeMap;

use dermflow_tests::{Events, Project};

use crate::project::{digests, empty};

const PIPELINE: &str = "\
name: data
stages:
  photos: {kind: ingest, with: {root: photos, size: 8}}
  labels: {kind: import-labels, in: {samples: photos.samples}, with: {path: labels.csv}}
  boxes:
    kind: import-boxes
    in: {samples: photos.samples}
    with: {path: boxes.csv, label: label, unit: fractions, box: {corner-and-size: [x, y, w, h]}}
  heat: {kind: box-to-heatmap, in: {samples: photos.samples, boxes: boxes.boxes}}
  together: {kind: join, in: {left: boxes.boxes, right: labels.labels}, with: {prefix: true_}}
  pictured: {kind: join, in: {left: labels.labels, right: photos.samples}, with: {prefix: photo_}}
outputs: {heat: heat.heatmaps, together: together.table, pictured: pictured.table}
";

/// Enough for several partitions of tables with pixels.
const IMAGES: u32 = 600;

/// A bitmap of 4 by 3 pixels that no other number has.
fn bitmap(number: u32) -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    for field in [54 + 36, 0, 54, 40, 4, 3, 1 | 24 << 16, 0, 0, 0, 0, 0, 0] {
        bytes.extend(u32::to_le_bytes(field));
    }
    bytes.extend(number.to_le_bytes());
    bytes.resize(54 + 36, 100);
    bytes
}

/// The data as people edit them.
struct Data {
    project: Project,
    labels: BTreeMap<u32, &'static str>,
    /// Left sides of the boxes of an image, in hundredths.
    boxes: BTreeMap<u32, Vec<u32>>,
}

impl Data {
    fn new() -> Data {
        let project = empty();
        project.write("dermflow.yaml", PIPELINE);
        (0..IMAGES).for_each(|image| project.write(&format!("photos/{image}.bmp"), bitmap(image)));
        let labels = (0..IMAGES).map(|image| (image, ["nevus", "wart"][image as usize % 2]));
        let boxes = (0..IMAGES).map(|image| (image, vec![10 + image % 50; 1 + usize::from(image == 5)]));
        Data {
            labels: labels.collect(),
            boxes: boxes.collect(),
            project,
        }
    }

    fn run(&self) -> Events {
        let labels = self
            .labels
            .iter()
            .map(|(image, label)| format!("{image}.bmp,{label}\n"));
        let labels: String = labels.collect();
        self.project.write("labels.csv", format!("image,label\n{labels}"));
        let boxes = self.boxes.iter().flat_map(|(image, boxes)| {
            let row = move |x: &u32| format!("{image}.bmp,wart,0.{x},0.2,0.3,0.3\n");
            boxes.iter().map(row)
        });
        let boxes: String = boxes.collect();
        self.project
            .write("boxes.csv", format!("image,label,x,y,w,h\n{boxes}"));
        self.project.run(&["run"])
    }
}

/// For every map that was computed how many rows were computed and how many taken over.
fn rows(run: &Events) -> BTreeMap<&str, (u64, u64)> {
    let executed = run.of("stage-executed").into_iter();
    let maps = executed.filter(|event| !matches!(event["stage"].as_str(), Some("labels" | "boxes")));
    let number = |event: &serde_json::Value, name: &str| event[name].as_u64().unwrap();
    maps.map(|event| {
        let counts = (number(event, "rows_computed"), number(event, "rows_reused"));
        (event["stage"].as_str().unwrap(), counts)
    })
    .collect()
}

#[test]
fn an_edit_of_the_data_costs_the_rows_that_it_touches() {
    let mut data = Data::new();
    let all = [
        ("heat", (601, 0)),
        ("photos", (600, 0)),
        ("pictured", (600, 0)),
        ("together", (601, 0)),
    ];
    assert_eq!(rows(&data.run()), BTreeMap::from(all));

    // Three images come, without labels or boxes.
    (0..3).for_each(|more| {
        data.project
            .write(&format!("photos/new-{more}.bmp"), bitmap(10_000 + more))
    });
    let rerun = [("heat", (0, 601)), ("photos", (3, 600)), ("pictured", (0, 600))];
    assert_eq!(rows(&data.run()), BTreeMap::from(rerun));

    // Four labels are corrected.
    data.labels.extend((20..24).map(|image| (image, "scar")));
    let rerun = [("pictured", (4, 596)), ("together", (4, 597))];
    assert_eq!(rows(&data.run()), BTreeMap::from(rerun));

    // One box is moved, of an image with one and of an image with two.
    data.boxes.insert(7, vec![61]);
    let rerun = [("heat", (1, 600)), ("together", (1, 600))];
    assert_eq!(rows(&data.run()), BTreeMap::from(rerun));
    data.boxes.insert(5, vec![15, 62]);
    let rerun = [("heat", (2, 599)), ("together", (2, 599))];
    assert_eq!(rows(&data.run()), BTreeMap::from(rerun));

    // An image is taken again: its boxes and its label are those of another sample now.
    data.project.write("photos/9.bmp", bitmap(20_000));
    let rerun = [
        ("heat", (1, 600)),
        ("photos", (1, 602)),
        ("pictured", (1, 599)),
        ("together", (1, 600)),
    ];
    assert_eq!(rows(&data.run()), BTreeMap::from(rerun));

    // One goes, and all that was said of it.
    std::fs::remove_file(data.project.at("photos/11.bmp")).unwrap();
    data.labels.remove(&11);
    data.boxes.remove(&11);
    let rerun = [
        ("heat", (0, 600)),
        ("photos", (0, 602)),
        ("pictured", (0, 599)),
        ("together", (0, 600)),
    ];
    assert_eq!(rows(&data.run()), BTreeMap::from(rerun));

    let taken_over = digests(&data.project);
    std::fs::remove_dir_all(data.project.at(".dermflow")).unwrap();
    data.run();
    assert_eq!(digests(&data.project), taken_over, "as from nothing");
}
