//! Wider, narrower, deeper, shallower versions of a document, with the published rounding
//! (`method.md` C2; Tan & Le, "EfficientNet", and the code released with it).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Architecture, InvalidArchitecture, Task};

/// How a family rounds when it is scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScalingRule {
    /// Channels never fall below nine tenths of what was asked (EfficientNet does so,
    /// EfficientNetV2 does not).
    #[serde(default = "yes")]
    pub nine_tenths: bool,
    /// Stem, head, and the depth of the first and last stage stay (EfficientNet-Lite).
    #[serde(default)]
    pub fixed_ends: bool,
}

impl Default for ScalingRule {
    fn default() -> ScalingRule {
        ScalingRule {
            nine_tenths: true,
            fixed_ends: false,
        }
    }
}

/// `channels` × `width`, to the nearest multiple of 8 (half goes up), at least 8. A width of 1
/// leaves them as they are.
pub fn round_channels(channels: u32, width: f64, rule: ScalingRule) -> u32 {
    if width == 1.0 {
        return channels;
    }
    let asked = f64::from(channels) * width;
    let nearest = ((asked + 4.0) / 8.0).floor() * 8.0;
    let mut rounded = nearest.max(8.0);
    if rule.nine_tenths && rounded < 0.9 * asked {
        rounded += 8.0;
    }
    // A float cast saturates: absurd widths end at u32::MAX and are refused by the check.
    rounded as u32
}

/// `layers` × `depth`, rounded up, at least 1.
pub fn round_layers(layers: u32, depth: f64) -> u32 {
    // A product such as 3 × (1.1 ^ 2 / 1.21) must not gain a layer by its last bit.
    let asked = f64::from(layers) * depth - 1e-9;
    (asked.ceil() as u32).max(1)
}

impl Architecture {
    /// The network `width` times as wide and `depth` times as deep. A regressor's neck and heads
    /// are scaled in width as the backbone is.
    ///
    /// # Errors
    /// Where the result can't be built, or a factor is not a positive number.
    pub fn scaled(
        &self,
        width: f64,
        depth: f64,
        rule: ScalingRule,
    ) -> Result<Architecture, InvalidArchitecture> {
        let scaled = self.scaled_unchecked(width, depth, rule)?;
        scaled.check()?;
        Ok(scaled)
    }

    /// As [`Architecture::scaled`], without the check of the whole: for a search over many.
    pub(crate) fn scaled_unchecked(
        &self,
        width: f64,
        depth: f64,
        rule: ScalingRule,
    ) -> Result<Architecture, InvalidArchitecture> {
        for (name, factor) in [("width", width), ("depth", depth)] {
            if !(factor > 0.0 && factor.is_finite()) {
                let fault = format!("is {factor}, and must be more than 0 and finite");
                let problems = vec![(name.to_owned(), fault)];
                return Err(InvalidArchitecture { problems });
            }
        }
        let wide = |channels: u32| round_channels(channels, width, rule);
        let mut scaled = self.clone();
        let last = scaled.backbone.stages.len().saturating_sub(1);
        for (index, stage) in scaled.backbone.stages.iter_mut().enumerate() {
            stage.channels = wide(stage.channels);
            if !(rule.fixed_ends && (index == 0 || index == last)) {
                stage.layers = round_layers(stage.layers, depth);
            }
        }
        if !rule.fixed_ends {
            scaled.backbone.stem.channels = wide(scaled.backbone.stem.channels);
        }
        match &mut scaled.task {
            Task::Classifier(classifier) if !rule.fixed_ends => {
                classifier.head_channels = wide(classifier.head_channels);
            }
            Task::Classifier(_) => {}
            Task::Regressor(regressor) => {
                regressor.head_channels = wide(regressor.head_channels);
                for step in &mut regressor.neck {
                    step.channels = wide(step.channels);
                }
            }
        }
        Ok(scaled)
    }
}

fn yes() -> bool {
    true
}
