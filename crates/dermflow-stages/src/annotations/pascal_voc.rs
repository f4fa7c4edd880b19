//! Pascal VOC XML: one file an image, with its objects' boxes in pixels.
//!
//! The VOC data sets count pixels from 1 and include the last one; most tools that write the
//! format today (CVAT, Label Studio, Roboflow) count from 0 as everyone else. Which of the two
//! a file does can't be seen in it, so a parameter says it. Source: the development kit of the
//! Pascal VOC challenge 2012.

use dermflow_core::StageError;

use super::rectangle::{Mark, Size, Unit};
use super::xml::{self, Element, number};
use super::{Annotation, EachFound, ImageName, Refused};

/// Reads a file's bytes; `file` is its path below the folder.
///
/// # Errors
/// Where `each` fails.
pub fn read(bytes: &[u8], file: &str, one_based: bool, each: EachFound<'_>) -> Result<(), StageError> {
    let root = match xml::parse(bytes) {
        Ok(root) if root.name == "annotation" => root,
        Ok(root) => {
            let reason = format!(
                "it is no Pascal VOC file: its element is `{}`, not `annotation`",
                root.name
            );
            return each(Err(Refused::new(file, reason)));
        }
        Err(reason) => return each(Err(Refused::new(file, format!("it is no XML: {reason}")))),
    };
    // Tools that write no file name call the XML as the image.
    let image = match root.text_of("filename") {
        Some(name) => ImageName::new(name),
        None => ImageName::of_stem(file.strip_suffix(".xml").unwrap_or(file)),
    };
    let stated = match stated(&root) {
        Ok(stated) => stated,
        Err(reason) => return each(Err(Refused::new(file, reason))),
    };
    for object in root.all("object") {
        let place = format!("{file} line {}", object.line);
        each(match corners(object, one_based) {
            Ok(corners) => Ok(Annotation {
                place,
                image: image.clone(),
                label: object.text_of("name").map(str::to_string),
                mark: Some(Mark {
                    corners,
                    unit: Unit::Pixels,
                    stated,
                }),
            }),
            Err(reason) => Err(Refused::new(place, reason)),
        })?;
    }
    Ok(())
}

/// The picture's size. Some tools leave it out or write 0.
fn stated(root: &Element) -> Result<Option<Size>, String> {
    let Some(size) = root.child("size") else {
        return Ok(None);
    };
    let side = |name: &str| size.text_of(name).map(|text| number(name, text)).transpose();
    Ok(side("width")?
        .zip(side("height")?)
        .and_then(|(width, height)| Size::new(width, height)))
}

fn corners(object: &Element, one_based: bool) -> Result<[f64; 4], String> {
    let bounds = object
        .child("bndbox")
        .ok_or_else(|| "the object has no `bndbox`".to_string())?;
    let coordinate = |name: &str| {
        let text = bounds
            .text_of(name)
            .ok_or_else(|| format!("its `{name}` is missing"))?;
        number(name, text)
    };
    let first = if one_based { 1.0 } else { 0.0 };
    Ok([
        coordinate("xmin")? - first,
        coordinate("ymin")? - first,
        coordinate("xmax")?,
        coordinate("ymax")?,
    ])
}
