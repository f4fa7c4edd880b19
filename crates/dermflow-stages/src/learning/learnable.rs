//! What must hold of labels and pictures for a classifier to be trained on them.
//!
//! Must not know of networks or batches.

use std::collections::BTreeSet;

use dermflow_core::{SampleId, StageError};

use super::classes::{Classes, Labelled};
use super::pictures::Grids;

/// The samples that have a picture, with their labels.
pub fn pictured<'a>(
    labelled: &'a Labelled,
    pictures: &'a Grids,
) -> impl Iterator<Item = (&'a [u8; 32], &'a str)> {
    labelled
        .iter()
        .filter(move |(id, _)| pictures.find(*id).is_some())
}

/// That nothing is measured on what is learned from.
///
/// # Errors
/// Tells how many samples are both, and one of them.
pub fn check_apart(train: &Labelled, valid: &Labelled) -> Result<(), StageError> {
    let mut both = valid.iter().filter(|(id, _)| train.label(*id).is_some());
    let Some((first, _)) = both.next() else {
        return Ok(());
    };
    let count = 1 + both.count();
    Err(StageError::new(format!(
        "{count} samples of `validation` are among those that are learned from, {} for one: scores would be too good",
        SampleId::from_bytes(*first)
    ))
    .with_help("take them out of `labels`, with a stage of kind `join` and `how: anti`"))
}

/// That there is something to measure on; `from` says in words where it comes from.
///
/// # Errors
/// Where there is no sample, or none that has a picture.
pub fn check_measured(valid: &Labelled, from: &str, pictures: &Grids) -> Result<(), StageError> {
    if pictured(valid, pictures).next().is_some() {
        return Ok(());
    }
    let found = match valid.iter().count() {
        0 => format!("{from} has no samples"),
        count => format!("none of the {count} samples of {from} has a picture in `samples`"),
    };
    Err(
        StageError::new(format!("{found}, so nothing would be measured")).with_help(
            "wire labels of pictures that `samples` has; or, to go by training alone, wire nothing to measure on",
        ),
    )
}

/// That there are pictures to learn each class from, and not of one class alone. Classes that are
/// `known` already may have none.
///
/// # Errors
/// Names the classes that have none, with counts of their labels, or the only class that has some.
pub fn check_pictured(
    train: &Labelled,
    classes: &Classes,
    known: &[String],
    pictures: &Grids,
) -> Result<(), StageError> {
    let found: BTreeSet<&str> = pictured(train, pictures).map(|(_, label)| label).collect();
    let labelled = |name: &String| train.iter().filter(|(_, label)| label == name).count();
    let missing: Vec<String> = classes
        .names()
        .iter()
        .filter(|name| !found.contains(name.as_str()) && !known.contains(name))
        .map(|name| format!("`{name}` ({} labelled samples)", labelled(name)))
        .collect();
    if !missing.is_empty() {
        return Err(StageError::new(format!(
            "there is no picture in `samples` to learn these classes from: {}",
            missing.join(", ")
        ))
        .with_help(
            "check the names under `classes`, and whether `labels` and `samples` are of the same pictures; a class \
             that shall not be learned is dropped with a stage of kind `merge-classes`",
        ));
    }
    match found.first() {
        Some(only) if found.len() == 1 => Err(StageError::new(format!(
            "at least 2 classes are needed, and there are pictures of `{only}` alone"
        ))
        .with_help("label more samples, or check what an earlier stage filtered away")),
        _ => Ok(()),
    }
}
