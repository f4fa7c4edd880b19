//! Fits the temperature on a fold that is not judged.

use dermflow_core::StageError;

use super::cases::Cases;
use super::parameters::EvaluateParameters;
use crate::scores::temperature::fitted;

/// A temperature, and how it was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fitted {
    /// What scores are divided by.
    pub temperature: f64,
    /// On how many samples it was fitted.
    pub fitted_on: u64,
}

/// The temperature that the parameters ask for.
///
/// # Errors
/// Where the fold to fit on has no sample of a class that the model knows.
pub fn fit(parameters: &EvaluateParameters, cases: &Cases) -> Result<Option<Fitted>, StageError> {
    let Some(wanted) = &parameters.temperature else {
        return Ok(None);
    };
    if cases.truth.is_empty() {
        // Without samples there is nothing to fit on, and nothing to judge.
        return Ok(None);
    }
    let classes = cases.classes.len();
    let samples = cases.attributes.of_fold("temperature.fold", &wanted.fold)?;
    let seen: Vec<usize> = samples
        .into_iter()
        .map(|sample| sample as usize)
        .filter(|sample| cases.is_seen(*sample))
        .collect();
    let rows = seen.iter().map(|sample| {
        let row = &cases.probabilities[sample * classes..][..classes];
        (row, cases.truth[*sample] as usize)
    });
    let temperature = fitted(rows).ok_or_else(|| {
        let fold = &wanted.fold;
        StageError::new(format!(
            "`temperature`: no sample of the fold `{fold}` has a class that the model knows"
        ))
    })?;
    Ok(Some(Fitted {
        temperature,
        fitted_on: seen.len() as u64,
    }))
}
