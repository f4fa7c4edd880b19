//! The samples that thresholds are chosen and the temperature is fitted on. Must not know what is
//! chosen.

use dermflow_core::StageError;

use super::cases::Cases;
use super::parameters::{ChooseOn, EvaluateParameters};

/// Everything that could be chosen on.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Samples of which some are judged.
    pub cases: &'a Cases,
    /// Those that are judged.
    pub judged: &'a [u32],
    /// Samples that never are, where there are such.
    pub validation: Option<&'a Cases>,
}

/// Samples to choose on.
pub struct Grounds<'a> {
    /// What they are part of.
    pub cases: &'a Cases,
    /// Their numbers there.
    pub samples: Vec<usize>,
    /// What they are.
    pub on: ChooseOn,
    /// The same in words: `validation`.
    pub name: String,
}

impl<'a> Known<'a> {
    /// The samples that the parameter `parameter` chooses on, which may name a fold of its own. None
    /// where it says of none, where the model knows the class of none in `validation`, and where
    /// there is nothing to judge either.
    ///
    /// # Errors
    /// Where a fold has no sample whose class the model knows.
    pub fn samples(
        &self,
        parameter: &str,
        own: Option<&str>,
        parameters: &EvaluateParameters,
    ) -> Result<Option<Grounds<'a>>, StageError> {
        let Some(on) = parameters.grounds(own, self.validation.is_some()) else {
            return Ok(None);
        };
        if self.cases.truth.is_empty() {
            return Ok(None);
        }
        let (cases, samples) = match (&on, self.validation) {
            (ChooseOn::Judged, _) => (self.cases, self.judged.to_vec()),
            (ChooseOn::Fold(fold), _) => (self.cases, self.cases.attributes.of_fold(parameter, fold)?),
            (ChooseOn::Validation, Some(validation)) => {
                (validation, (0..validation.truth.len() as u32).collect())
            }
            (ChooseOn::Validation, None) => {
                return Err(StageError::new("nothing is wired to `validation`"));
            }
        };
        let samples: Vec<usize> = samples.into_iter().map(|sample| sample as usize).collect();
        if !samples.iter().any(|sample| cases.is_seen(*sample)) {
            if on == ChooseOn::Validation {
                return Ok(None);
            }
            let message = format!("`{parameter}`: no sample of `{on}` has a class that the model knows");
            return Err(StageError::new(message));
        }
        let name = on.to_string();
        Ok(Some(Grounds {
            cases,
            samples,
            on,
            name,
        }))
    }

    /// Of the same samples, those whose class the model knows.
    ///
    /// # Errors
    /// As [`samples`](Self::samples).
    pub fn grounds(
        &self,
        parameter: &str,
        own: Option<&str>,
        parameters: &EvaluateParameters,
    ) -> Result<Option<Grounds<'a>>, StageError> {
        let mut grounds = self.samples(parameter, own, parameters)?;
        if let Some(Grounds { cases, samples, .. }) = &mut grounds {
            samples.retain(|sample| cases.is_seen(*sample));
        }
        Ok(grounds)
    }
}
