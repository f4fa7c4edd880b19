//! What a training is told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::average::AverageSettings;
use crate::optimiser::OptimiserSettings;
use crate::schedule::Schedule;

/// How something is trained, whatever it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TrainingSettings {
    /// How many times the training goes through the data.
    #[schemars(range(min = 1, max = 100_000))]
    pub epochs: u64,
    /// How weights are changed along gradients.
    pub optimiser: OptimiserSettings,
    /// The learning rate over the training.
    pub schedule: Schedule,
    /// The moving average of the weights, which is what is evaluated and kept; `null` for
    /// none.
    pub average: Option<AverageSettings>,
    /// When to stop before the last epoch; without it, never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
    /// The score that the best weights are chosen by, and early stopping looks at. Without it,
    /// the first score that is measured, or the training loss if none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub select: Option<String>,
}

impl Default for TrainingSettings {
    fn default() -> TrainingSettings {
        TrainingSettings {
            epochs: 30,
            optimiser: OptimiserSettings::default(),
            schedule: Schedule::default(),
            average: Some(AverageSettings::default()),
            early_stopping: None,
            select: None,
        }
    }
}

/// When a training stops before its last epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EarlyStopping {
    /// After how many epochs in a row without a better score.
    #[schemars(range(min = 1, max = 100_000))]
    pub patience: u64,
    /// By how much a score must be better to count.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1e6))]
    pub margin: f64,
}

impl TrainingSettings {
    /// Whether every number is in its range.
    ///
    /// # Errors
    /// The first field that isn't, by its path, in words.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=100_000).contains(&self.epochs) {
            return Err(format!(
                "`epochs` is {}; it must lie between 1 and 100000",
                self.epochs
            ));
        }
        let of =
            |part: &str, result: Result<(), String>| result.map_err(|error| format!("`{part}`: {error}"));
        of(
            "optimiser",
            self.optimiser.check().map_err(|error| error.to_string()),
        )?;
        of("schedule", self.schedule.check())?;
        if let Some(average) = &self.average {
            of("average", average.check())?;
        }
        match self.early_stopping {
            Some(early) if early.patience == 0 => {
                Err("`early-stopping`: `patience` must be 1 or more".into())
            }
            Some(early) if !(0.0..=1e6).contains(&early.margin) => Err(format!(
                "`early-stopping`: `margin` is {}; it must lie between 0 and 1000000",
                early.margin
            )),
            _ => Ok(()),
        }
    }
}
