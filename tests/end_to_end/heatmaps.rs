//! Heat maps cost what changed: one box draws one image again, and labels and pixels nothing.

use dermflow_tests::{Events, Project};

use crate::project::{digests, empty};

const HEAT: &str = "\
name: heat
stages:
  photos:
    kind: import-table
    with:
      path: photos.csv
      key: photo
      unique: true
      columns:
        label: text
        width: integer
        height: integer
        placed_left: float64
        placed_top: float64
        placed_width: float64
        placed_height: float64
  lesions:
    kind: import-table
    with: {path: boxes.csv, key: photo, columns: {label: text, x: float64, y: float64, w: float64, h: float64}}
  heat:
    kind: box-to-heatmap
    in: {samples: photos.table, boxes: lesions.table}
    with: {stride: 4}
outputs: {heat: heat.heatmaps, rejects: heat.rejects}
";

fn photos(count: usize) -> String {
    let row = |at: usize| format!("{at},wart,64,48,0,0.125,1,0.75\n");
    let rows: String = (0..count).map(row).collect();
    format!("photo,label,width,height,placed_left,placed_top,placed_width,placed_height\n{rows}")
}

fn boxes(count: usize) -> String {
    let row = |at: usize| format!("{at},wart,0.{},0.25,0.2,0.3\n", 10 + at % 60);
    let rows: String = (0..count).map(row).collect();
    format!("photo,label,x,y,w,h\n{rows}")
}

fn project(count: usize) -> Project {
    let project = empty();
    project.write("dermflow.yaml", HEAT);
    project.write("photos.csv", photos(count));
    project.write("boxes.csv", boxes(count));
    project
}

fn rows(events: &Events) -> (u64, u64) {
    let all = events.of("stage-executed");
    let event = all.into_iter().find(|event| event["stage"] == "heat").unwrap();
    (
        event["rows_computed"].as_u64().unwrap(),
        event["rows_reused"].as_u64().unwrap(),
    )
}

#[test]
fn one_changed_box_draws_one_image_again() {
    let project = project(200);
    assert_eq!(rows(&project.run(&["run"])), (200, 0));
    project.write(
        "boxes.csv",
        boxes(200).replace("\n7,wart,0.17,", "\n7,wart,0.18,"),
    );
    let second = project.run(&["run"]);
    assert_eq!(second.computed(), ["heat", "lesions"]);
    assert_eq!(rows(&second), (1, 199));
    let taken_over = digests(&project);
    std::fs::remove_dir_all(project.at(".dermflow")).unwrap();
    project.run(&["run"]);
    assert_eq!(digests(&project), taken_over);
}

#[test]
fn relabelled_images_keep_their_heat_maps_and_moved_ones_do_not() {
    let project = project(40);
    project.run(&["run"]);
    project.write("photos.csv", photos(40).replace("wart", "nevus"));
    assert_eq!(project.run(&["run"]).computed(), ["photos"]);
    project.write("photos.csv", photos(40).replace("0.125", "0.25"));
    assert_eq!(project.run(&["run"]).computed(), ["heat", "photos"]);
}

#[test]
fn an_image_that_is_resized_or_new_draws_its_own_maps_alone() {
    let project = project(40);
    project.run(&["run"]);
    // Image 40 has no box.
    project.write("photos.csv", photos(41));
    let run = project.run(&["run"]);
    assert_eq!(
        (run.computed(), rows(&run)),
        (vec!["heat".to_string(), "photos".to_string()], (0, 40))
    );
    project.write(
        "photos.csv",
        photos(41).replace("\n7,wart,64,48,", "\n7,wart,32,24,"),
    );
    assert_eq!(rows(&project.run(&["run"])), (1, 39));
    // Without its image a box is refused; that is a row, too.
    project.write(
        "photos.csv",
        photos(41).replace("\n7,wart,64,48,", "\nx,wart,32,24,"),
    );
    assert_eq!(rows(&project.run(&["run"])), (1, 39));
    let taken_over = digests(&project);
    std::fs::remove_dir_all(project.at(".dermflow")).unwrap();
    project.run(&["run"]);
    assert_eq!(digests(&project), taken_over);
}

#[test]
fn made_up_photos_become_heat_maps_and_a_sheet_to_look_at() {
    let project = empty();
    project.write(
        "dermflow.yaml",
        "\
name: look
seed: 20
stages:
  photos:
    kind: synthesize
    with: {images: 30, width: 32, height: 24, classes: 3, label-noise: 0.3}
  heat:
    kind: box-to-heatmap
    in: {samples: photos.samples, boxes: photos.boxes}
  look:
    kind: contact-sheet
    in: {samples: photos.samples, labels: photos.truth, boxes: photos.boxes, heatmaps: heat.heatmaps}
    with: {side: 32, images: 12}
outputs: {sheets: look.sheets}
",
    );
    assert_eq!(project.run(&["run"]).computed(), ["heat", "look", "photos"]);
    let sheet = std::fs::read(project.at("results/look/sheets/sheet-001.png")).unwrap();
    assert_eq!(&sheet[..4], b"\x89PNG");
    let again = project.run(&["run"]);
    assert_eq!((again.executed(), again.hit()), (0, 3));
    // What is shown elsewhere on the sheet costs the sheet alone.
    let wider = project.run(&["run", "--set", "stages.look.with.side=40"]);
    assert_eq!(wider.computed(), ["look"]);
}
