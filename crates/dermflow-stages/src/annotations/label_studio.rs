//! Label Studio's JSON export: tasks with what annotators marked and chose, in percent.
//!
//! Rectangles, ellipses, polygons and keypoint-free regions count with their bounds, turned ones
//! with the bounds of their corners; choices hold for the whole image. Where annotations of a
//! task are marked as ground truth, only these count; skipped ones never do. Source: the pages
//! "Export annotations" and "Image region results" of the Label Studio documentation.

use dermflow_core::{SampleId, StageError};
use serde_json::{Map, Value};

use super::rectangle::{Mark, Size, Unit};
use super::{Annotation, EachFound, ImageName, Refused};

/// Reads a file's bytes; `file` is what messages call it.
///
/// # Errors
/// Where it is no export at all, or `each` fails.
pub fn read(bytes: &[u8], file: &str, each: EachFound<'_>) -> Result<(), StageError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let tasks: Vec<Value> = serde_json::from_slice(bytes).map_err(|error| {
        StageError::new(format!("{file} is no Label Studio export: {error}"))
            .with_help("export the project as JSON: a list of tasks")
    })?;
    for (number, task) in tasks.iter().enumerate() {
        let id = task
            .get("id")
            .and_then(Value::as_i64)
            .unwrap_or(number as i64 + 1);
        let place = format!("{file} task {id}");
        match results(task) {
            Ok((image, results)) => {
                for result in results {
                    one(&place, &image, result, each)?;
                }
            }
            Err(reason) => each(Err(Refused::new(place, reason)))?,
        }
    }
    Ok(())
}

/// The image of a task and what was said of it.
fn results(task: &Value) -> Result<(ImageName, Vec<&Value>), String> {
    let annotations = task.get("annotations").or_else(|| task.get("completions"));
    let annotations = annotations.and_then(Value::as_array).ok_or_else(|| {
        "it has no `annotations`: export the project as JSON, not as JSON-MIN or CSV".to_string()
    })?;
    let image = image_name(task)?;
    let is = |annotation: &Value, what: &str| annotation.get(what).and_then(Value::as_bool) == Some(true);
    let done = annotations
        .iter()
        .filter(|annotation| !is(annotation, "was_cancelled"));
    let truth = done.clone().any(|annotation| is(annotation, "ground_truth"));
    let counting = done.filter(|annotation| !truth || is(annotation, "ground_truth"));
    let results = counting.filter_map(|annotation| annotation.get("result")?.as_array());
    Ok((image, results.flatten().collect()))
}

/// What the task calls its image: `sample_id` where `export-labelling` wrote it, and the one
/// text in `data` that names a picture.
fn image_name(task: &Value) -> Result<ImageName, String> {
    let data = task.get("data").and_then(Value::as_object);
    let data = data.ok_or_else(|| "it has no `data`".to_string())?;
    let text = |key: &str| data.get(key).and_then(Value::as_str);
    let id = text("sample_id").and_then(|text| text.parse::<SampleId>().ok());
    let address = text("image").or_else(|| {
        data.values()
            .filter_map(Value::as_str)
            .find(|text| is_picture(text))
    });
    match (address, id) {
        (Some(address), id) => Ok(ImageName {
            id,
            ..ImageName::new(path_of(address))
        }),
        (None, Some(id)) => Ok(ImageName {
            id: Some(id),
            ..ImageName::new(id.to_string())
        }),
        (None, None) => Err("its `data` names no image".to_string()),
    }
}

fn is_picture(text: &str) -> bool {
    let path = path_of(text).to_lowercase();
    [".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"]
        .iter()
        .any(|extension| path.ends_with(extension))
}

/// The path in an address: `/data/local-files/?d=a/b.jpg`, `s3://bucket/a/b.jpg?x=y`.
fn path_of(address: &str) -> String {
    let path = match address.split_once("?d=") {
        Some((_, path)) => path,
        None => address.split(['?', '#']).next().unwrap_or(address),
    };
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let path = path.split('&').next().unwrap_or(path);
    // Uploads lie under numbered folders that mean nothing outside of the tool.
    let path = path
        .strip_prefix("/data/upload/")
        .map_or(path, |rest| rest.rsplit('/').next().unwrap_or(rest));
    percent_decoded(path)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_string())
}

fn one(place: &str, image: &ImageName, result: &Value, each: EachFound<'_>) -> Result<(), StageError> {
    let region = result.get("id").and_then(Value::as_str).unwrap_or("without id");
    let region: String = region.chars().take(40).collect();
    let place = format!("{place} region {region}");
    let (labels, mark) = match region_of(result) {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(()),
        Err(reason) => return each(Err(Refused::new(place, reason))),
    };
    let labels: Vec<Option<String>> = match labels.is_empty() {
        true => vec![None],
        false => labels.into_iter().map(Some).collect(),
    };
    for label in labels {
        each(Ok(Annotation {
            place: place.clone(),
            image: image.clone(),
            label,
            mark,
        }))?;
    }
    Ok(())
}

/// The labels and the place of a result; none for what is neither region nor choice, such as a
/// comment or a rating.
#[allow(clippy::type_complexity, reason = "a pair that lives for one call")]
fn region_of(result: &Value) -> Result<Option<(Vec<String>, Option<Mark>)>, String> {
    let kind = result.get("type").and_then(Value::as_str).unwrap_or_default();
    let value = result.get("value").and_then(Value::as_object);
    let value = value.ok_or_else(|| "it has no `value`".to_string())?;
    let texts = |key: &str| -> Vec<String> {
        let listed = value.get(key).and_then(Value::as_array).into_iter().flatten();
        listed
            .filter_map(|text| text.as_str().map(str::to_string))
            .collect()
    };
    match kind {
        "choices" => Ok(Some((texts("choices"), None))),
        "rectanglelabels" | "ellipselabels" | "polygonlabels" | "labels" | "rectangle" | "ellipse"
        | "polygon" => {
            let labels = ["rectanglelabels", "ellipselabels", "polygonlabels", "labels"];
            let labels = labels.into_iter().flat_map(texts).collect();
            Ok(Some((labels, Some(mark_of(result, value)?))))
        }
        "brushlabels" | "keypointlabels" | "brush" | "keypoint" => Err(format!(
            "`{kind}` makes no box; rectangles, ellipses and polygons do"
        )),
        _ => Ok(None),
    }
}

fn mark_of(result: &Value, value: &Map<String, Value>) -> Result<Mark, String> {
    let side = |key: &str| result.get(key).and_then(Value::as_f64);
    let stated = side("original_width")
        .zip(side("original_height"))
        .and_then(|(width, height)| Size::new(width, height));
    if result
        .get("image_rotation")
        .and_then(Value::as_f64)
        .unwrap_or(0.0)
        != 0.0
    {
        return Err(
            "the annotator turned the picture (`image_rotation`), so its box can't be placed".to_string(),
        );
    }
    if let Some(points) = value.get("points") {
        let points = points.as_array().into_iter().flatten();
        let points = points.filter_map(|point| Some([point.get(0)?.as_f64()?, point.get(1)?.as_f64()?]));
        return Mark::around(points, Unit::Percent, stated)
            .ok_or_else(|| "it has too few points".to_string());
    }
    let number = |key: &str| {
        let number = value.get(key).and_then(Value::as_f64);
        number.ok_or_else(|| format!("its `{key}` is missing or no number"))
    };
    let (x, y) = (number("x")?, number("y")?);
    let turned = value.get("rotation").and_then(Value::as_f64).unwrap_or(0.0);
    // An ellipse has its centre at x, y, and turns about it; a rectangle turns about its corner.
    let (corners, pivot) = match value.contains_key("radiusX") {
        true => {
            let (rx, ry) = (number("radiusX")?, number("radiusY")?);
            ([x - rx, y - ry, x + rx, y + ry], [x, y])
        }
        false => ([x, y, x + number("width")?, y + number("height")?], [x, y]),
    };
    match turned {
        0.0 => Ok(Mark {
            corners,
            unit: Unit::Percent,
            stated,
        }),
        degrees => around_turned(corners, pivot, degrees, stated),
    }
}

/// The bounds of a turned region. Turning happens in pixels, so the picture's shape must be known.
fn around_turned(
    [x0, y0, x1, y1]: [f64; 4],
    pivot: [f64; 2],
    degrees: f64,
    stated: Option<Size>,
) -> Result<Mark, String> {
    let size = stated.ok_or_else(|| "it is turned, and the picture's size isn't told".to_string())?;
    let (sin, cos) = degrees.to_radians().sin_cos();
    let aspect = size.width / size.height;
    let turned = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]].map(|[x, y]| {
        let (dx, dy) = ((x - pivot[0]) * aspect, y - pivot[1]);
        [
            pivot[0] + (dx * cos - dy * sin) / aspect,
            pivot[1] + dx * sin + dy * cos,
        ]
    });
    Mark::around(turned, Unit::Percent, stated).ok_or_else(|| "a coordinate is no number".to_string())
}
