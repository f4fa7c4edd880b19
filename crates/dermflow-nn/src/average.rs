//! The moving average of weights over training steps, which usually scores better than the
//! weights themselves.
//!
//! The running statistics of batch norms are averaged too, as in timm and in EfficientNet's
//! code: averaged weights beside the last batch's statistics fit each other badly.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::parameters::Parameters;

const BLOCK: usize = 1 << 14;

/// How weights are averaged over steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AverageSettings {
    /// How much of the average is kept at each step, in the long run.
    #[schemars(range(min = 0.0, max = 0.999_999))]
    pub decay: f64,
    /// Whether the average forgets faster at first: at step t no more than 1 − (1 + t)^−power
    /// is kept. Without it a decay of 0.9999 is of no use below some 20,000 steps.
    pub warm_up: bool,
    /// The power in that formula: 2/3 for trainings of a million steps, 3/4 for shorter ones.
    #[schemars(range(min = 0.1, max = 2.0))]
    pub power: f64,
}

impl Default for AverageSettings {
    fn default() -> AverageSettings {
        AverageSettings {
            decay: 0.9999,
            warm_up: true,
            power: 0.75,
        }
    }
}

impl AverageSettings {
    /// How much of the average is kept when step `step` (from 0) is taken in; the first step
    /// replaces what was there.
    pub fn kept(&self, step: u64) -> f64 {
        match (step, self.warm_up) {
            (0, _) => 0.0,
            (_, false) => self.decay,
            (step, true) => self.decay.min(1.0 - (1.0 + step as f64).powf(-self.power)),
        }
    }

    /// Whether every number is in its range.
    ///
    /// # Errors
    /// Names the first field that isn't, in words.
    pub fn check(&self) -> Result<(), String> {
        if !(0.0..=0.999_999).contains(&self.decay) {
            return Err(format!(
                "`decay` is {}; it must lie between 0 and 0.999999",
                self.decay
            ));
        }
        if !(0.1..=2.0).contains(&self.power) {
            return Err(format!(
                "`power` is {}; it must lie between 0.1 and 2",
                self.power
            ));
        }
        Ok(())
    }
}

/// Averaged weights and running statistics.
#[derive(Clone, Debug)]
pub struct Average {
    settings: AverageSettings,
    steps: u64,
    parameters: Parameters,
    statistics: Vec<f32>,
}

impl Average {
    /// An average that has seen nothing but the first weights.
    pub fn new(settings: AverageSettings, parameters: &Parameters, statistics: &[f32]) -> Average {
        Average::restore(
            settings,
            0,
            Parameters::new(
                parameters.decayed.values().to_vec(),
                parameters.plain.values().to_vec(),
            ),
            statistics.to_vec(),
        )
    }

    /// A saved average of `steps` steps.
    pub fn restore(
        settings: AverageSettings,
        steps: u64,
        parameters: Parameters,
        statistics: Vec<f32>,
    ) -> Average {
        Average {
            settings,
            steps,
            parameters,
            statistics,
        }
    }

    /// Takes in the weights and statistics after a step.
    pub fn update(&mut self, parameters: &Parameters, statistics: &[f32]) {
        let kept = self.settings.kept(self.steps);
        self.steps += 1;
        let buffers = [
            (self.parameters.decayed.values_mut(), parameters.decayed.values()),
            (self.parameters.plain.values_mut(), parameters.plain.values()),
            (&mut self.statistics[..], statistics),
        ];
        for (average, latest) in buffers {
            if kept == 0.0 {
                average.copy_from_slice(latest);
                continue;
            }
            let taken = (1.0 - kept) as f32;
            let blocks = average.par_chunks_mut(BLOCK).zip(latest.par_chunks(BLOCK));
            blocks.for_each(|(average, latest)| {
                for (average, latest) in average.iter_mut().zip(latest) {
                    *average += taken * (latest - *average);
                }
            });
        }
    }

    /// How it averages.
    pub fn settings(&self) -> &AverageSettings {
        &self.settings
    }

    /// How many steps were taken in.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The averaged weights.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The averaged running statistics.
    pub fn statistics(&self) -> &[f32] {
        &self.statistics
    }

    /// The averaged weights and running statistics, without a copy.
    pub fn into_parts(self) -> (Parameters, Vec<f32>) {
        (self.parameters, self.statistics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(value: f32) -> Parameters {
        Parameters::new(vec![value; 3], vec![-value; 2])
    }

    #[test]
    fn running_statistics_are_averaged_like_weights() {
        let settings = AverageSettings {
            decay: 0.75,
            warm_up: false,
            power: 0.75,
        };
        let mut average = Average::new(settings, &parameters(9.0), &[9.0]);
        average.update(&parameters(0.0), &[0.0]);
        average.update(&parameters(1.0), &[1.0]);
        average.update(&parameters(1.0), &[3.0]);
        // The first replaces; then 1/4; then 1/4 + 3/16.
        assert_eq!(average.parameters().decayed.values(), [0.4375; 3]);
        assert_eq!(average.parameters().plain.values(), [-0.4375; 2]);
        assert_eq!(average.statistics(), [0.9375]);
        assert_eq!(average.steps(), 3);
    }

    #[test]
    fn the_warm_up_is_that_of_timm() {
        let settings = AverageSettings {
            power: 2.0 / 3.0,
            ..AverageSettings::default()
        };
        assert_eq!(settings.kept(0), 0.0);
        // 1 − 8^(−2/3) = 3/4.
        assert!((settings.kept(7) - 0.75).abs() < 1e-12);
        assert_eq!(settings.kept(10_000_000), 0.9999);
    }

    #[test]
    fn the_weights_that_are_averaged_are_not_touched() {
        let latest = parameters(1.0);
        let mut average = Average::new(AverageSettings::default(), &latest, &[]);
        average.update(&parameters(5.0), &[]);
        assert_eq!(latest.decayed.values(), [1.0; 3]);
    }

    #[test]
    fn fields_out_of_range_are_named() {
        let settings: AverageSettings = serde_json::from_str(r#"{"decay": 1.0}"#).unwrap();
        assert!(settings.check().unwrap_err().contains("decay"));
        assert!(serde_json::from_str::<AverageSettings>(r#"{"beta": 1.0}"#).is_err());
    }
}
