//! Which epoch is the best.

use super::error::TrainingError;
use super::history::HistoryRow;
use super::objective::{Better, Objective};
use super::settings::TrainingSettings;

/// Which score the best weights are chosen by.
pub(super) struct Selection {
    /// Its place among the scores; without one, the training loss.
    score: Option<usize>,
    better: Better,
}

impl Selection {
    /// # Errors
    /// Where the settings name a score that isn't measured.
    pub(super) fn new<O: Objective>(
        settings: &TrainingSettings,
        objective: &O,
    ) -> Result<Selection, TrainingError> {
        let scores = objective.scores();
        let place = match &settings.select {
            None => (!scores.is_empty()).then_some(0),
            Some(name) => match scores.iter().position(|score| score.name == *name) {
                Some(place) => Some(place),
                None => {
                    let known: Vec<&str> = scores.iter().map(|score| score.name.as_str()).collect();
                    let message = format!("`select` is `{name}`; what is measured: {}", known.join(", "));
                    return Err(TrainingError::Settings(message));
                }
            },
        };
        Ok(Selection {
            score: place,
            better: place.map_or(Better::Lower, |place| scores[place].better),
        })
    }

    /// An epoch's score.
    pub(super) fn of(&self, row: &HistoryRow) -> f64 {
        match self.score {
            Some(place) => row.scores.get(place).copied().unwrap_or(f64::NAN),
            None => row.loss,
        }
    }

    /// Whether `new` beats `old` by more than `margin`; a number beats what is none.
    pub(super) fn beats(&self, new: f64, old: f64, margin: f64) -> bool {
        match (new.is_nan(), old.is_nan()) {
            (true, _) => false,
            (false, true) => true,
            _ => match self.better {
                Better::Higher => new > old + margin,
                Better::Lower => new < old - margin,
            },
        }
    }
}
