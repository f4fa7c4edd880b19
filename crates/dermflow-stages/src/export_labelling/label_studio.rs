//! Label Studio: tasks with first answers, and the labelling configuration.
//!
//! Source: the pages "Import pre-annotated data" and "Customize your labeling configuration" of the
//! Label Studio documentation.

use dermflow_core::StageError;
use quick_xml::escape::escape;
use serde_json::{Value, json};

use super::known::Known;
use super::{Ask, Task};

/// The names that the configuration gives to what people fill in.
const BOXES: &str = "lesion";
const CLASS: &str = "diagnosis";

/// The labelling configuration.
pub fn config(classes: &[String], ask: Ask) -> String {
    let mut xml = "<View>\n  <Image name=\"image\" value=\"$image\" zoom=\"true\"/>\n".to_string();
    let mut group = |tag: &str, name: &str, item: &str, more: &str| {
        xml += &format!("  <{tag} name=\"{name}\" toName=\"image\"{more}>\n");
        for class in classes {
            xml += &format!("    <{item} value=\"{}\"/>\n", escape(class.as_str()));
        }
        xml += &format!("  </{tag}>\n");
    };
    if ask.boxes() {
        group("RectangleLabels", BOXES, "Label", "");
    }
    if ask.class() {
        group("Choices", CLASS, "Choice", " choice=\"single\"");
    }
    xml + "</View>\n"
}

/// The tasks as JSON.
///
/// # Errors
/// Where JSON can't hold them, which a finite number never causes.
pub fn tasks(
    tasks: &[Task],
    known: &Known,
    classes: &[String],
    ask: Ask,
    url: &str,
) -> Result<Vec<u8>, StageError> {
    let tasks: Vec<Value> = tasks
        .iter()
        .map(|task| {
            let data = json!({
                "image": format!("{url}{}", task.file),
                "sample_id": task.id.to_string(),
                "source": task.source,
            });
            match first_answer(task, known, classes, ask) {
                Some(answer) => json!({"data": data, "predictions": [answer]}),
                None => json!({ "data": data }),
            }
        })
        .collect();
    serde_json::to_vec_pretty(&tasks).map_err(|error| StageError::new(error.to_string()))
}

/// What is known of a task, of the classes that people can choose.
fn first_answer(task: &Task, known: &Known, classes: &[String], ask: Ask) -> Option<Value> {
    let region = |number: usize, name: &str, kind: &str, value: Value| {
        json!({
            "id": format!("known-{number}"),
            "from_name": name,
            "to_name": "image",
            "type": kind,
            "original_width": task.size.0,
            "original_height": task.size.1,
            "image_rotation": 0,
            "value": value,
        })
    };
    let mut result = Vec::new();
    let boxes = known
        .boxes(&task.id)
        .iter()
        .filter(|known| classes.contains(&known.label));
    for known in boxes.filter(|_| ask.boxes()) {
        let [x, y, width, height] = known.sides.map(|side| side * 100.0);
        let value = json!({
            "x": x, "y": y, "width": width, "height": height, "rotation": 0,
            "rectanglelabels": [known.label],
        });
        result.push(region(result.len() + 1, BOXES, "rectanglelabels", value));
    }
    let prediction = known.prediction(&task.id);
    let prediction =
        prediction.filter(|(label, _)| ask.class() && classes.iter().any(|class| class == label));
    if let Some((label, _)) = prediction {
        let value = json!({"choices": [label]});
        result.push(region(result.len() + 1, CLASS, "choices", value));
    }
    if result.is_empty() {
        return None;
    }
    let mut answer = json!({"model_version": "dermflow", "result": result});
    if let Some(sure) = prediction
        .and_then(|(_, sure)| sure)
        .filter(|sure| sure.is_finite())
    {
        answer["score"] = json!(f64::from(sure));
    }
    Some(answer)
}
