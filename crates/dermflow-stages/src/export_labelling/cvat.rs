//! CVAT: first answers in the format "CVAT for images 1.1", and the labels for a new task.
//!
//! The pictures are uploaded as a task with these labels; then the annotations are uploaded to it.
//! Source: CVAT's manual, pages "CVAT for image" and "Label constructor".

use std::fmt::Write;

use dermflow_core::StageError;
use quick_xml::escape::escape;
use serde_json::json;

use super::known::Known;
use super::{Ask, Task};

/// The labels for the raw label constructor.
///
/// # Errors
/// Where JSON can't hold them, which texts never cause.
pub fn labels(classes: &[String]) -> Result<Vec<u8>, StageError> {
    let labels: Vec<_> = classes
        .iter()
        .map(|class| json!({"name": class, "type": "any", "attributes": []}))
        .collect();
    serde_json::to_vec_pretty(&labels).map_err(|error| StageError::new(error.to_string()))
}

/// The images with their boxes in pixels and their tags.
pub fn annotations(tasks: &[Task], known: &Known, classes: &[String], ask: Ask) -> String {
    let mut xml =
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<annotations>\n  <version>1.1</version>\n".to_string();
    for (number, task) in tasks.iter().enumerate() {
        let (width, height) = task.size;
        // Writing to a String can't fail.
        let _ = writeln!(
            xml,
            "  <image id=\"{number}\" name=\"{}\" width=\"{width}\" height=\"{height}\">",
            task.file
        );
        let boxes = known
            .boxes(&task.id)
            .iter()
            .filter(|known| classes.contains(&known.label));
        for known in boxes.filter(|_| ask.boxes()) {
            let [x, y, w, h] = known.sides;
            let (width, height) = (width as f64, height as f64);
            let _ = writeln!(
                xml,
                "    <box label=\"{}\" source=\"auto\" occluded=\"0\" xtl=\"{}\" ytl=\"{}\" xbr=\"{}\" ybr=\"{}\" z_order=\"0\"/>",
                escape(known.label.as_str()),
                x * width,
                y * height,
                (x + w) * width,
                (y + h) * height
            );
        }
        let prediction = known.prediction(&task.id).filter(|_| ask.class());
        if let Some((label, _)) = prediction.filter(|(label, _)| classes.iter().any(|class| class == label)) {
            let _ = writeln!(xml, "    <tag label=\"{}\" source=\"auto\"/>", escape(label));
        }
        xml += "  </image>\n";
    }
    xml + "</annotations>\n"
}
