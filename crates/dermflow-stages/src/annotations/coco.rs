//! COCO JSON: `images`, `categories` and `annotations` with boxes in pixels.
//!
//! Where an annotation has no `bbox`, the bounds of its polygons count. Source: the data format
//! page of the COCO data set (cocodataset.org).

use std::collections::HashMap;

use dermflow_core::StageError;
use serde::Deserialize;
use serde_json::Value;

use super::rectangle::{Mark, Size, Unit};
use super::{Annotation, EachFound, ImageName, Refused};

#[derive(Deserialize)]
struct File {
    images: Vec<Value>,
    #[serde(default)]
    annotations: Vec<Value>,
    #[serde(default)]
    categories: Vec<Value>,
}

#[derive(Deserialize)]
struct CocoImage {
    id: i64,
    file_name: String,
    width: Option<f64>,
    height: Option<f64>,
}

#[derive(Deserialize)]
struct Category {
    id: i64,
    name: String,
}

#[derive(Deserialize)]
struct CocoAnnotation {
    image_id: i64,
    category_id: Option<i64>,
    bbox: Option<Vec<f64>>,
    #[serde(default)]
    segmentation: Value,
    #[serde(default)]
    iscrowd: Value,
}

/// Reads a file's bytes; `file` is what messages call it.
///
/// # Errors
/// Where it is no COCO file at all, or `each` fails.
pub fn read(bytes: &[u8], file: &str, each: EachFound<'_>) -> Result<(), StageError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let whole: File = serde_json::from_slice(bytes).map_err(|error| {
        StageError::new(format!("{file} is no COCO JSON: {error}"))
            .with_help("it must be an object with `images`, `annotations` and `categories`")
    })?;
    let mut images = HashMap::new();
    for (number, image) in whole.images.into_iter().enumerate() {
        let place = format!("{file} image {}", number + 1);
        match serde_json::from_value::<CocoImage>(image) {
            Ok(image) => drop(images.insert(image.id, image)),
            Err(error) => each(Err(Refused::new(place, error.to_string())))?,
        }
    }
    let mut categories = HashMap::new();
    for (number, category) in whole.categories.into_iter().enumerate() {
        let place = format!("{file} category {}", number + 1);
        match serde_json::from_value::<Category>(category) {
            Ok(category) => drop(categories.insert(category.id, category.name)),
            Err(error) => each(Err(Refused::new(place, error.to_string())))?,
        }
    }
    for (number, annotation) in whole.annotations.into_iter().enumerate() {
        let place = format!("{file} annotation {}", number + 1);
        let found = one(annotation, &images, &categories);
        each(match found {
            Ok((image, label, mark)) => Ok(Annotation {
                place,
                image,
                label,
                mark: Some(mark),
            }),
            Err(reason) => Err(Refused::new(place, reason)),
        })?;
    }
    Ok(())
}

fn one(
    annotation: Value,
    images: &HashMap<i64, CocoImage>,
    categories: &HashMap<i64, String>,
) -> Result<(ImageName, Option<String>, Mark), String> {
    let annotation: CocoAnnotation = serde_json::from_value(annotation).map_err(|error| error.to_string())?;
    if matches!(&annotation.iscrowd, Value::Bool(true)) || annotation.iscrowd.as_i64() == Some(1) {
        return Err("it marks a crowd (`iscrowd`), not one lesion".to_string());
    }
    let image = images
        .get(&annotation.image_id)
        .ok_or_else(|| format!("the file has no image with the id {}", annotation.image_id))?;
    let label = match annotation.category_id {
        None => None,
        Some(id) => {
            let name = categories.get(&id);
            Some(
                name.ok_or_else(|| format!("the file has no category with the id {id}"))?
                    .clone(),
            )
        }
    };
    let stated = image
        .width
        .zip(image.height)
        .and_then(|(width, height)| Size::new(width, height));
    let mark = match annotation.bbox {
        Some(bbox) => {
            let bbox: [f64; 4] = bbox
                .try_into()
                .map_err(|bbox: Vec<f64>| format!("its `bbox` has {} numbers, not 4", bbox.len()))?;
            Mark::of_corner_and_size(bbox, Unit::Pixels, stated)
        }
        None => polygon(&annotation.segmentation, stated)
            .ok_or_else(|| "it has neither `bbox` nor polygons".to_string())?,
    };
    Ok((ImageName::new(image.file_name.as_str()), label, mark))
}

/// The bounds of `[[x, y, x, y, …], …]`.
fn polygon(segmentation: &Value, stated: Option<Size>) -> Option<Mark> {
    let mut points = Vec::new();
    for polygon in segmentation.as_array()? {
        for pair in polygon.as_array()?.chunks_exact(2) {
            points.push([pair[0].as_f64()?, pair[1].as_f64()?]);
        }
    }
    Mark::around(points, Unit::Pixels, stated)
}
