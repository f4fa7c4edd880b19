//! CVAT for images 1.1 (XML): every image with its shapes in pixels, and tags.
//!
//! Polygons, ellipses and masks count with their bounds, a turned box with the bounds of its
//! corners. Source: CVAT's manual, page "CVAT for image".

use dermflow_core::StageError;

use super::rectangle::{Mark, Size, Unit};
use super::xml::{self, Element, number};
use super::{Annotation, EachFound, ImageName, Refused};

/// Reads a file's bytes; `file` is what messages call it.
///
/// # Errors
/// Where it is no CVAT file at all, or `each` fails.
pub fn read(bytes: &[u8], file: &str, each: EachFound<'_>) -> Result<(), StageError> {
    let refuse = |reason: String| {
        let help = "export the task as `CVAT for images 1.1` and unpack annotations.xml";
        StageError::new(format!("{file} is no CVAT file: {reason}")).with_help(help)
    };
    let root = xml::parse(bytes).map_err(refuse)?;
    if root.name != "annotations" {
        return Err(refuse(format!(
            "its element is `{}`, not `annotations`",
            root.name
        )));
    }
    if root.child("track").is_some() && root.child("image").is_none() {
        return Err(refuse("it holds tracks of a video".to_string()));
    }
    for image in root.all("image") {
        let Some(name) = image.attribute("name") else {
            let place = format!("{file} line {}", image.line);
            each(Err(Refused::new(place, "the image's `name` is missing")))?;
            continue;
        };
        let sides = image.number("width").ok().zip(image.number("height").ok());
        let stated = sides.and_then(|(width, height)| Size::new(width, height));
        for shape in image.children() {
            let place = format!("{file} line {}", shape.line);
            each(match mark(shape, stated) {
                Ok(mark) => Ok(Annotation {
                    place,
                    image: ImageName::new(name),
                    label: shape.attribute("label").map(str::to_string),
                    mark,
                }),
                Err(reason) => Err(Refused::new(place, reason)),
            })?;
        }
    }
    Ok(())
}

/// Where in the image; none for a tag.
fn mark(shape: &Element, stated: Option<Size>) -> Result<Option<Mark>, String> {
    let pixels = |corners| Mark {
        corners,
        unit: Unit::Pixels,
        stated,
    };
    let all = |names: [&str; 4]| -> Result<[f64; 4], String> {
        let mut numbers = [0.0; 4];
        for (number, name) in numbers.iter_mut().zip(names) {
            *number = shape.number(name)?;
        }
        Ok(numbers)
    };
    match shape.name.as_str() {
        "tag" => Ok(None),
        "box" => {
            let corners = all(["xtl", "ytl", "xbr", "ybr"])?;
            let turned = match shape.attribute("rotation") {
                Some(text) => number("rotation", text)?,
                None => 0.0,
            };
            match turned {
                0.0 => Ok(Some(pixels(corners))),
                degrees => around_turned(corners, degrees, stated).map(Some),
            }
        }
        "ellipse" => {
            let [x, y, rx, ry] = all(["cx", "cy", "rx", "ry"])?;
            Ok(Some(pixels([x - rx, y - ry, x + rx, y + ry])))
        }
        "mask" => {
            let corner_and_size = all(["left", "top", "width", "height"])?;
            Ok(Some(Mark::of_corner_and_size(
                corner_and_size,
                Unit::Pixels,
                stated,
            )))
        }
        "polygon" | "polyline" => {
            let points = shape.attribute("points").unwrap_or_default();
            let points: Result<Vec<[f64; 2]>, String> = points
                .split(';')
                .map(|point| {
                    let (x, y) = point
                        .split_once(',')
                        .ok_or("its `points` are no pairs of numbers")?;
                    Ok([number("points", x)?, number("points", y)?])
                })
                .collect();
            let mark = Mark::around(points?, Unit::Pixels, stated);
            mark.map(Some).ok_or_else(|| "it has too few points".to_string())
        }
        other => Err(format!("`{other}` is no shape that makes a box")),
    }
}

/// The bounds of a box that is turned about its centre.
fn around_turned([x0, y0, x1, y1]: [f64; 4], degrees: f64, stated: Option<Size>) -> Result<Mark, String> {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let centre = [(x0 + x1) / 2.0, (y0 + y1) / 2.0];
    let turned = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]].map(|[x, y]| {
        let (dx, dy) = (x - centre[0], y - centre[1]);
        [centre[0] + dx * cos - dy * sin, centre[1] + dx * sin + dy * cos]
    });
    Mark::around(turned, Unit::Pixels, stated).ok_or_else(|| "a coordinate is no number".to_string())
}
