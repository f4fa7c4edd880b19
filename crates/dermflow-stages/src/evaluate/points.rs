//! Chooses the thresholds of the reject options, on a fold that is not judged.

use dermflow_core::StageError;

use super::cases::Cases;
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
}

/// The points of the parameters, in order of their names.
///
/// # Errors
/// Where the predictions lack the score, or the fold to choose on has no seen sample.
pub fn choose(parameters: &EvaluateParameters, cases: &Cases) -> Result<Vec<Point>, StageError> {
    let mut points = Vec::new();
    for (name, point) in &parameters.operating_points {
        let here = format!("operating-points.{name}");
        if point.by == Score::Energy && cases.energy.is_none() {
            return Err(StageError::new(format!(
                "`{here}.by`: the predictions have no column `energy`"
            )));
        }
        let chosen = |threshold: f64, chosen_on: Option<u64>| Point {
            name: name.clone(),
            by: point.by,
            threshold,
            wanted: point.coverage,
            chosen_on,
        };
        match (point.threshold, &point.fold, point.coverage) {
            (Some(threshold), _, _) => points.push(chosen(point.by.surer(threshold), None)),
            (None, Some(fold), Some(coverage)) if !cases.truth.is_empty() => {
                let samples = cases.attributes.of_fold(&format!("{here}.fold"), fold)?;
                let seen = samples
                    .iter()
                    .map(|sample| *sample as usize)
                    .filter(|sample| cases.is_seen(*sample));
                let mut scores: Vec<f64> = seen
                    .filter_map(|sample| cases.sureness(point.by, sample))
                    .collect();
                let threshold = threshold_at_coverage(&mut scores, coverage).ok_or_else(|| {
                    let message =
                        format!("`{here}`: no sample of the fold `{fold}` has a class that the model knows");
                    StageError::new(message)
                })?;
                points.push(chosen(threshold, Some(scores.len() as u64)));
            }
            // Without samples there is nothing to choose on, and nothing to judge.
            _ => {}
        }
    }
    Ok(points)
}
