//! YOLO text files: one file an image, one box a line, in fractions of the picture.
//!
//! `CLASS X Y W H` with the centre at x, y; six values are a prediction with its confidence
//! last; more are a polygon, of which the bounds count. Source: the data set pages of the
//! Ultralytics documentation.

use dermflow_core::StageError;
use serde::Deserialize;

use super::rectangle::{Mark, Unit};
use super::{Annotation, EachFound, ImageName, Refused};

/// Reads a file's bytes; `file` is its path below the folder, `classes` the names by number.
///
/// # Errors
/// Where `each` fails.
pub fn read(bytes: &[u8], file: &str, classes: &[String], each: EachFound<'_>) -> Result<(), StageError> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return each(Err(Refused::new(file, "it is not UTF-8")));
    };
    let image = ImageName::of_stem(file.strip_suffix(".txt").unwrap_or(file));
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let place = format!("{file} line {}", number + 1);
        each(match one(line, classes) {
            Ok((label, mark)) => Ok(Annotation {
                place,
                image: image.clone(),
                label: Some(label),
                mark: Some(mark),
            }),
            Err(reason) => Err(Refused::new(place, reason)),
        })?;
    }
    Ok(())
}

fn one(line: &str, classes: &[String]) -> Result<(String, Mark), String> {
    let mut values = line.split_ascii_whitespace();
    let class = values.next().unwrap_or_default();
    let class: usize = class.parse().map_err(|_| {
        let shown: String = class.chars().take(40).collect();
        format!("it starts with `{shown}`, which is no number of a class")
    })?;
    let label = classes.get(class).ok_or_else(|| {
        format!(
            "its class is {class}, and the {} classes are numbered from 0",
            classes.len()
        )
    })?;
    let numbers: Result<Vec<f64>, String> = values
        .map(|value| {
            value
                .parse::<f64>()
                .map_err(|_| "a coordinate is no number".to_string())
        })
        .collect();
    let numbers = numbers?;
    let mark = match numbers[..] {
        [x, y, w, h] | [x, y, w, h, _] => Mark::of_centre_and_size([x, y, w, h], Unit::Fractions, None),
        _ if numbers.len() >= 6 && numbers.len().is_multiple_of(2) => {
            let points = numbers.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
            Mark::around(points, Unit::Fractions, None)
                .ok_or_else(|| "a coordinate is no number".to_string())?
        }
        _ => return Err(format!("it has {} coordinates, not 4", numbers.len())),
    };
    Ok((label.clone(), mark))
}

/// A data set description of Ultralytics: `names` as a list or by number.
#[derive(Deserialize)]
struct DataSet {
    names: Names,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    Listed(Vec<String>),
    Numbered(std::collections::BTreeMap<usize, String>),
}

/// The class names in a file: YAML with `names`, or one a line.
///
/// # Errors
/// In words, where it names none.
pub fn class_names(bytes: &[u8]) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_string())?;
    let text = text.trim_start_matches('\u{feff}');
    if let Ok(set) = serde_yaml::from_str::<DataSet>(text) {
        return match set.names {
            Names::Listed(names) => Ok(names),
            Names::Numbered(names) if names.keys().copied().eq(0..names.len()) => {
                Ok(names.into_values().collect())
            }
            Names::Numbered(_) => Err("its `names` are not numbered 0, 1, 2 and so on".to_string()),
        };
    }
    let mut names: Vec<String> = text.lines().map(|line| line.trim().to_string()).collect();
    while names.last().is_some_and(String::is_empty) {
        names.pop();
    }
    match names.is_empty() || names.iter().any(String::is_empty) {
        true => Err("it must name the classes, one a line without gaps, or be YAML with `names`".to_string()),
        false => Ok(names),
    }
}
