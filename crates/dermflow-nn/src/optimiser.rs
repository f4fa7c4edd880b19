//! From gradients to new weights: SGD with Nesterov's momentum, Adam, AdamW, and RMSprop as
//! TensorFlow has it, over the two flat buffers of [`Parameters`].
//!
//! These are not dfdx's own optimisers, for four reasons. They give one learning rate to
//! everything, where stages may be frozen or learn slower here. Their RMSprop multiplies by
//! the learning rate after the momentum, not before, so that a schedule acts otherwise than
//! in the published EfficientNet recipes. Their state is private, so that a checkpoint could
//! not hold it. And they go through the weights with one thread, an integer power an element.
//!
//! An update is element by element, so that its bytes don't depend on the thread count.
//! Nothing here knows what a number means beyond the group and the stage it belongs to.

mod gradients;
mod rates;
#[cfg(test)]
mod tests;
mod update;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use gradients::{clear, global_norm, scale};
pub use rates::{Rates, Span};

use crate::parameters::Parameters;

/// How weights are changed along gradients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct OptimiserSettings {
    /// The rule of the change.
    pub rule: UpdateRule,
    /// How strongly weights of convolutions and linear layers are pulled to zero; norms and
    /// biases never are. For `adamw` the pull is apart from the gradient and scales with the
    /// learning rate, for the others it is added to the gradient (L2).
    #[schemars(range(min = 0.0, max = 10.0))]
    pub weight_decay: f64,
    /// The largest length that the gradient of all parameters together may have; a longer one
    /// is scaled down to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1e-6, max = 1e6))]
    pub clip: Option<f64>,
    /// Over how many batches the gradient is averaged before the weights are changed once: a
    /// larger batch in the memory of a smaller one, but for batch norm, class weights and the number
    /// of lesions, which are each batch's own.
    #[schemars(range(min = 1, max = 1024))]
    pub accumulate: u32,
    /// How many stages of the network, counted from the picture, are left as they are.
    #[schemars(range(min = 0, max = 1000))]
    pub frozen_stages: usize,
    /// Each stage learns at the rate of the stage above it times this; 1 for the same rate
    /// everywhere.
    #[schemars(range(min = 1e-3, max = 1.0))]
    pub layer_decay: f64,
}

impl Default for OptimiserSettings {
    fn default() -> OptimiserSettings {
        OptimiserSettings {
            rule: UpdateRule::Adamw(AdamSettings::default()),
            weight_decay: 0.01,
            clip: None,
            accumulate: 1,
            frozen_stages: 0,
            layer_decay: 1.0,
        }
    }
}

/// The rule by which a gradient changes the weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateRule {
    /// Stochastic gradient descent with momentum.
    Sgd(SgdSettings),
    /// Adam (Kingma and Ba 2015), weight decay within the gradient.
    Adam(AdamSettings),
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    Adamw(AdamSettings),
    /// RMSprop as TensorFlow has it and EfficientNet was trained with: epsilon within the
    /// root, squares that start at 1, the learning rate within the momentum.
    Rmsprop(RmspropSettings),
}

/// See [`UpdateRule::Sgd`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SgdSettings {
    /// How much of the last change goes on.
    #[schemars(range(min = 0.0, max = 0.9999))]
    pub momentum: f64,
    /// Nesterov's momentum: the gradient counts once more after the momentum.
    pub nesterov: bool,
}

impl Default for SgdSettings {
    fn default() -> SgdSettings {
        SgdSettings {
            momentum: 0.9,
            nesterov: true,
        }
    }
}

/// See [`UpdateRule::Adam`] and [`UpdateRule::Adamw`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AdamSettings {
    /// How much of the mean gradient so far is kept.
    #[schemars(range(min = 0.0, max = 0.9999))]
    pub beta1: f64,
    /// How much of the mean squared gradient so far is kept.
    #[schemars(range(min = 0.0, max = 0.999_999))]
    pub beta2: f64,
    /// Added to the root of the squares.
    #[schemars(range(min = 1e-16, max = 1.0))]
    pub epsilon: f64,
}

impl Default for AdamSettings {
    fn default() -> AdamSettings {
        AdamSettings {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
        }
    }
}

/// See [`UpdateRule::Rmsprop`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RmspropSettings {
    /// How much of the mean squared gradient so far is kept.
    #[schemars(range(min = 0.0, max = 0.9999))]
    pub decay: f64,
    /// How much of the last change goes on.
    #[schemars(range(min = 0.0, max = 0.9999))]
    pub momentum: f64,
    /// Added to the squares before the root.
    #[schemars(range(min = 1e-16, max = 1.0))]
    pub epsilon: f64,
}

impl Default for RmspropSettings {
    fn default() -> RmspropSettings {
        RmspropSettings {
            decay: 0.9,
            momentum: 0.9,
            epsilon: 1e-3,
        }
    }
}

/// Why an optimiser can't be made, or can't take up a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptimiserError(String);

impl fmt::Display for OptimiserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OptimiserError {}

/// The gradient of [`Parameters`], buffer by buffer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParameterGradients {
    /// Of [`Parameters::decayed`].
    pub decayed: Vec<f32>,
    /// Of [`Parameters::plain`].
    pub plain: Vec<f32>,
}

/// What an optimiser remembers between steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OptimiserState {
    /// How many steps were taken.
    pub steps: u64,
    /// Momentum or mean gradient, of the decayed buffer and of the plain one.
    pub first: [Vec<f32>; 2],
    /// Mean squared gradient, likewise; empty where the rule has none.
    pub second: [Vec<f32>; 2],
}

/// Changes parameters along gradients.
///
/// ```
/// use dermflow_nn::optimiser::{Optimiser, OptimiserSettings, ParameterGradients, Rates};
/// use dermflow_nn::Parameters;
///
/// let mut parameters = Parameters::new(vec![1.0; 4], vec![0.0; 2]);
/// let settings: OptimiserSettings = serde_json::from_str(r#"{"rule": {"sgd": {}}}"#)?;
/// let mut optimiser = Optimiser::new(&settings, Rates::uniform(4, 2))?;
/// let gradients = ParameterGradients { decayed: vec![0.5; 4], plain: vec![1.0; 2] };
/// optimiser.step(&mut parameters, &gradients, 0.1);
/// assert!(parameters.plain.values()[0] < 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Optimiser {
    settings: OptimiserSettings,
    rates: Rates,
    state: OptimiserState,
}

impl Optimiser {
    /// An optimiser of parameters that learn at these rates.
    ///
    /// # Errors
    /// Names the field that is out of range.
    pub fn new(settings: &OptimiserSettings, rates: Rates) -> Result<Optimiser, OptimiserError> {
        settings.check()?;
        let lengths = rates.lengths();
        let zeros = || lengths.map(|len| vec![0.0; len]);
        let empty = || [Vec::new(), Vec::new()];
        let (first, second) = match settings.rule {
            UpdateRule::Sgd(sgd) if sgd.momentum == 0.0 => (empty(), empty()),
            UpdateRule::Sgd(_) => (zeros(), empty()),
            UpdateRule::Adam(_) | UpdateRule::Adamw(_) => (zeros(), zeros()),
            UpdateRule::Rmsprop(_) => (zeros(), lengths.map(|len| vec![1.0; len])),
        };
        Ok(Optimiser {
            settings: settings.clone(),
            rates,
            state: OptimiserState {
                steps: 0,
                first,
                second,
            },
        })
    }

    /// Changes `parameters` along `gradients` at this learning rate. The lengths must be those
    /// of the rates; what is longer is left alone.
    pub fn step(&mut self, parameters: &mut Parameters, gradients: &ParameterGradients, learning_rate: f64) {
        self.state.steps += 1;
        let buffers = [
            (
                &mut parameters.decayed,
                &gradients.decayed,
                self.settings.weight_decay,
            ),
            (&mut parameters.plain, &gradients.plain, 0.0),
        ];
        let moments = self.state.first.iter_mut().zip(&mut self.state.second);
        let groups = buffers.into_iter().zip(moments).zip(self.rates.groups());
        for (((values, gradient, decay), (first, second)), spans) in groups {
            let mut buffers = update::Buffers {
                values: values.values_mut(),
                gradient,
                first,
                second,
            };
            for span in spans.iter().filter(|span| span.factor != 0.0) {
                let rate = learning_rate * span.factor;
                let part = buffers.part(span.range.clone());
                update::update(&self.settings.rule, self.state.steps, rate, decay, part);
            }
        }
    }

    /// What is remembered, to be saved.
    pub fn state(&self) -> &OptimiserState {
        &self.state
    }

    /// Takes up a saved state.
    ///
    /// # Errors
    /// Where the state isn't of this rule and of as many parameters.
    pub fn restore(&mut self, state: OptimiserState) -> Result<(), OptimiserError> {
        let lengths = |state: &OptimiserState| -> Vec<usize> {
            state.first.iter().chain(&state.second).map(Vec::len).collect()
        };
        let (expected, found) = (lengths(&self.state), lengths(&state));
        if expected != found {
            let message =
                format!("the optimiser's state has buffers of {found:?} numbers, not of {expected:?}");
            return Err(OptimiserError(message));
        }
        self.state = state;
        Ok(())
    }
}

impl OptimiserSettings {
    /// Whether every number is in its range.
    ///
    /// # Errors
    /// Names the first field that isn't.
    pub fn check(&self) -> Result<(), OptimiserError> {
        let within = |field: &str, value: f64, least: f64, most: f64| match (least..=most).contains(&value) {
            true => Ok(()),
            false => {
                let message = format!("`{field}` is {value}; it must lie between {least} and {most}");
                Err(OptimiserError(message))
            }
        };
        match self.rule {
            UpdateRule::Sgd(sgd) => within("momentum", sgd.momentum, 0.0, 0.9999)?,
            UpdateRule::Adam(adam) | UpdateRule::Adamw(adam) => {
                within("beta1", adam.beta1, 0.0, 0.9999)?;
                within("beta2", adam.beta2, 0.0, 0.999_999)?;
                within("epsilon", adam.epsilon, 1e-16, 1.0)?;
            }
            UpdateRule::Rmsprop(rmsprop) => {
                within("decay", rmsprop.decay, 0.0, 0.9999)?;
                within("momentum", rmsprop.momentum, 0.0, 0.9999)?;
                within("epsilon", rmsprop.epsilon, 1e-16, 1.0)?;
            }
        }
        within("weight-decay", self.weight_decay, 0.0, 10.0)?;
        within("clip", self.clip.unwrap_or(1.0), 1e-6, 1e6)?;
        within("accumulate", f64::from(self.accumulate), 1.0, 1024.0)?;
        within("layer-decay", self.layer_decay, 1e-3, 1.0)
    }
}
