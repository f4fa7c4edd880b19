//! Fits the temperature on samples that are not judged.

use dermflow_core::StageError;

use super::grounds::Known;
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
/// Where there is no sample of a class that the model knows to fit it on.
pub fn fit(parameters: &EvaluateParameters, known: &Known<'_>) -> Result<Option<Fitted>, StageError> {
    let Some(wanted) = &parameters.temperature else {
        return Ok(None);
    };
    let Some(grounds) = known.grounds("temperature", wanted.fold.as_deref(), parameters)? else {
        return Ok(None);
    };
    let (cases, classes) = (grounds.cases, grounds.cases.classes.len());
    let rows = grounds.samples.iter().map(|sample| {
        let row = &cases.probabilities[sample * classes..][..classes];
        (row, cases.truth[*sample] as usize)
    });
    Ok(fitted(rows).map(|temperature| Fitted {
        temperature,
        fitted_on: grounds.samples.len() as u64,
    }))
}
