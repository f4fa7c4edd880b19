//! Chooses the thresholds of the reject options, on samples that are not judged.

use dermflow_core::StageError;

use super::grounds::Known;
use super::parameters::{EvaluateParameters, Score};
use crate::scores::selective::threshold_at_coverage;

/// A reject option with its threshold.
pub struct Point {
    /// Its name.
    pub name: String,
    /// What is held against the threshold.
    pub by: Score,
    /// Samples are kept at or above it, in the direction in which higher is surer.
    pub threshold: f64,
    /// The coverage that was asked for.
    pub wanted: Option<f64>,
    /// On how many samples it was chosen; none for a threshold that was given.
    pub chosen_on: Option<u64>,
    /// Which these were: `validation`; none for a threshold that was given.
    pub chosen_among: Option<String>,
}

/// The points of the parameters, in order of their names. Where there is nothing to judge there is
/// nothing to choose either.
///
/// # Errors
/// Where the predictions lack the score, or there is no seen sample to choose on.
pub fn choose(parameters: &EvaluateParameters, known: &Known<'_>) -> Result<Vec<Point>, StageError> {
    let mut points = Vec::new();
    for (name, point) in &parameters.operating_points {
        let here = format!("operating-points.{name}");
        if point.by == Score::Energy && known.cases.energy.is_none() {
            return Err(StageError::new(format!(
                "`{here}.by`: the predictions have no column `energy`"
            )));
        }
        let given = Point {
            name: name.clone(),
            by: point.by,
            threshold: point.by.surer(point.threshold.unwrap_or_default()),
            wanted: point.coverage,
            chosen_on: None,
            chosen_among: None,
        };
        let Some(coverage) = point.coverage else {
            points.push(given);
            continue;
        };
        let Some(grounds) = known.grounds(&here, point.fold.as_deref(), parameters)? else {
            continue;
        };
        let samples = grounds.samples.iter();
        let mut scores: Vec<f64> = samples
            .filter_map(|sample| grounds.cases.sureness(point.by, *sample))
            .collect();
        points.extend(
            threshold_at_coverage(&mut scores, coverage).map(|threshold| Point {
                threshold,
                chosen_on: Some(scores.len() as u64),
                chosen_among: Some(grounds.name),
                ..given
            }),
        );
    }
    Ok(points)
}
