//! How the learning rate goes over a training: warm-up, then constant, cosine, steps, or the
//! exponential staircase of EfficientNet's published recipe.
//!
//! A rate is a function of the position alone, so that a resumed training goes on with the
//! same one. Nothing here knows what is trained.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The learning rate over a training. Lengths are in epochs; the rate changes with every step.
///
/// ```
/// use dermflow_nn::schedule::Schedule;
///
/// let schedule: Schedule = serde_json::from_str(r#"{"learning-rate": 0.1, "warm-up": 2}"#)?;
/// assert!(schedule.rate(0.5, 10.0) < schedule.rate(2.0, 10.0));
/// assert!(schedule.rate(9.9, 10.0) < 0.01);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Schedule {
    /// The learning rate after the warm-up.
    #[schemars(range(min = 1e-9, max = 100.0))]
    pub learning_rate: f64,
    /// For how many epochs the rate grows, in a straight line; 0 for no warm-up.
    #[schemars(range(min = 0.0, max = 10_000.0))]
    pub warm_up: f64,
    /// The rate that the warm-up starts from, as a share of the learning rate.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub warm_up_from: f64,
    /// How the rate falls.
    pub shape: RateShape,
}

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule {
            learning_rate: 1e-3,
            warm_up: 0.0,
            warm_up_from: 1e-3,
            shape: RateShape::Cosine(Cosine::default()),
        }
    }
}

/// How a learning rate falls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RateShape {
    /// It doesn't.
    Constant,
    /// Along half a cosine, from the end of the warm-up to the end of training.
    Cosine(Cosine),
    /// By a factor at given epochs.
    Step(Step),
    /// By a factor every so many epochs, counted from the start, warm-up included.
    Exponential(Exponential),
}

/// See [`RateShape::Cosine`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Cosine {
    /// The rate at the end, as a share of the learning rate.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub end: f64,
}

/// See [`RateShape::Step`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// The epochs from which on the rate is smaller.
    pub at: Vec<f64>,
    /// What the rate is multiplied by at each.
    #[serde(default = "tenth")]
    #[schemars(range(min = 1e-6, max = 1.0))]
    pub factor: f64,
}

fn tenth() -> f64 {
    0.1
}

/// See [`RateShape::Exponential`]. The defaults are those of EfficientNet's recipe.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Exponential {
    /// After how many epochs the rate falls again.
    #[schemars(range(min = 1e-3, max = 10_000.0))]
    pub every: f64,
    /// What it is multiplied by.
    #[schemars(range(min = 1e-6, max = 1.0))]
    pub factor: f64,
}

impl Default for Exponential {
    fn default() -> Exponential {
        Exponential {
            every: 2.4,
            factor: 0.97,
        }
    }
}

impl Schedule {
    /// The learning rate `epoch` epochs (whole and parts) after the start of a training of
    /// `epochs` epochs.
    pub fn rate(&self, epoch: f64, epochs: f64) -> f64 {
        if epoch < self.warm_up {
            let share = self.warm_up_from + (1.0 - self.warm_up_from) * epoch / self.warm_up;
            return self.learning_rate * share;
        }
        let share = match &self.shape {
            RateShape::Constant => 1.0,
            RateShape::Cosine(cosine) => {
                let length = (epochs - self.warm_up).max(f64::MIN_POSITIVE);
                let done = ((epoch - self.warm_up) / length).clamp(0.0, 1.0);
                cosine.end + (1.0 - cosine.end) * 0.5 * (1.0 + (PI * done).cos())
            }
            RateShape::Step(step) => {
                let passed = step.at.iter().filter(|&&at| at <= epoch).count();
                step.factor.powi(passed as i32)
            }
            RateShape::Exponential(exponential) => {
                exponential.factor.powf((epoch / exponential.every).floor())
            }
        };
        self.learning_rate * share
    }

    /// Whether every number is in its range.
    ///
    /// # Errors
    /// Names the first field that isn't, in words.
    pub fn check(&self) -> Result<(), String> {
        let within = |field: &str, value: f64, least: f64, most: f64| match (least..=most).contains(&value) {
            true => Ok(()),
            false => Err(format!(
                "`{field}` is {value}; it must lie between {least} and {most}"
            )),
        };
        within("learning-rate", self.learning_rate, 1e-9, 100.0)?;
        within("warm-up", self.warm_up, 0.0, 10_000.0)?;
        within("warm-up-from", self.warm_up_from, 0.0, 1.0)?;
        match &self.shape {
            RateShape::Constant => Ok(()),
            RateShape::Cosine(cosine) => within("end", cosine.end, 0.0, 1.0),
            RateShape::Step(step) => {
                within("factor", step.factor, 1e-6, 1.0)?;
                match step.at.iter().find(|at| !(at.is_finite() && **at >= 0.0)) {
                    Some(at) => Err(format!("`at` has the epoch {at}; epochs are 0 or more")),
                    None => Ok(()),
                }
            }
            RateShape::Exponential(exponential) => {
                within("every", exponential.every, 1e-3, 10_000.0)?;
                within("factor", exponential.factor, 1e-6, 1.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(json: &str) -> Schedule {
        let schedule: Schedule = serde_json::from_str(json).unwrap();
        schedule.check().unwrap();
        schedule
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }

    #[test]
    fn warm_up_is_a_straight_line_to_the_learning_rate() {
        let schedule =
            schedule(r#"{"learning-rate": 0.2, "warm-up": 4, "warm-up-from": 0.5, "shape": "constant"}"#);
        near(schedule.rate(0.0, 10.0), 0.1);
        near(schedule.rate(1.0, 10.0), 0.125);
        near(schedule.rate(4.0, 10.0), 0.2);
        near(schedule.rate(9.0, 10.0), 0.2);
    }

    #[test]
    fn the_cosine_spans_from_the_end_of_the_warm_up_to_the_end() {
        let schedule = schedule(r#"{"learning-rate": 1, "warm-up": 2, "shape": {"cosine": {"end": 0.1}}}"#);
        near(schedule.rate(2.0, 10.0), 1.0);
        near(schedule.rate(6.0, 10.0), 0.55);
        near(schedule.rate(10.0, 10.0), 0.1);
    }

    #[test]
    fn a_warm_up_longer_than_the_training_divides_by_nothing() {
        let schedule = schedule(r#"{"learning-rate": 1, "warm-up": 5, "warm-up-from": 0}"#);
        near(schedule.rate(3.0, 3.0), 0.6);
        assert!(schedule.rate(5.0, 5.0).is_finite());
    }

    #[test]
    fn steps_and_the_staircase_fall_at_their_epochs() {
        let steps = schedule(r#"{"learning-rate": 1, "shape": {"step": {"at": [90, 120]}}}"#);
        near(steps.rate(89.99, 140.0), 1.0);
        near(steps.rate(90.0, 140.0), 0.1);
        near(steps.rate(130.0, 140.0), 0.01);
        // 350 epochs of RMSprop, as the EfficientNet paper's code has it.
        let json =
            r#"{"learning-rate": 0.256, "warm-up": 5, "warm-up-from": 0, "shape": {"exponential": {}}}"#;
        let stairs = schedule(json);
        near(stairs.rate(2.5, 350.0), 0.128);
        near(stairs.rate(5.0, 350.0), 0.256 * 0.97f64.powi(2));
        near(stairs.rate(7.1, 350.0), 0.256 * 0.97f64.powi(2));
        near(stairs.rate(7.3, 350.0), 0.256 * 0.97f64.powi(3));
    }

    #[test]
    fn fields_out_of_range_are_named() {
        for (json, field) in [
            (r#"{"learning-rate": 0}"#, "learning-rate"),
            (r#"{"warm-up": -1}"#, "warm-up"),
            (r#"{"shape": {"step": {"at": [-3]}}}"#, "at"),
            (r#"{"shape": {"exponential": {"every": 0}}}"#, "every"),
        ] {
            let schedule: Schedule = serde_json::from_str(json).unwrap();
            let error = schedule.check().unwrap_err();
            assert!(error.contains(field), "{error}");
        }
    }
}
