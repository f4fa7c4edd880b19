//! How a lesion fades from its centre to its rim (`method.md` H1).
//!
//! Must not know of pixels: distances are normalised, 0 at the centre and 1 on the rim.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The curve between the value 1 at the centre and `edge` at the rim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// `exp(-r² / 2σ²)`, with σ chosen so that the rim has the value `edge`.
    #[default]
    Gaussian,
    /// A straight line.
    Linear,
    /// Half a wave: flat at the centre and at the rim.
    Cosine,
}

impl Decay {
    /// The value at the normalised distance `distance`, from 0 to 1; it never grows with the
    /// distance. `edge` is at least 0 and below 1, above 0 for [`Decay::Gaussian`].
    pub fn value(self, distance: f64, edge: f64) -> f64 {
        match self {
            Decay::Gaussian => (edge.max(f64::MIN_POSITIVE).ln() * distance * distance).exp(),
            Decay::Linear => 1.0 - (1.0 - edge) * distance,
            Decay::Cosine => edge + (1.0 - edge) * (1.0 + (std::f64::consts::PI * distance).cos()) / 2.0,
        }
    }
}
