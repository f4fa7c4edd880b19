//! [`Regressor`]: a neck that takes a backbone's features to a finer grid, and two heads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A CenterNet-style network (Zhou et al., "Objects as Points"): neck, then head `heat` with a
/// channel per class and head `size` with two (the inner diameters, width and height).
///
/// Each head is a 3x3 convolution with bias, the activation, and a 1x1 convolution with bias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Regressor {
    /// The steps of the neck, each of which doubles the grid.
    pub neck: Vec<NeckStep>,
    /// Channels inside each head.
    #[schemars(range(min = 1, max = 16384))]
    pub head_channels: u32,
    /// How many classes: channels of the heat map.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub classes: u32,
}

/// One doubling of the grid: upsampling with a convolution, norm, activation; then, if asked, the
/// backbone's features of that grid are added after a 1x1 convolution and norm.
///
/// The doubled grid is cut (right and below) to the backbone's where that is a place smaller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NeckStep {
    /// Channels that it gives.
    #[schemars(range(min = 1, max = 16384))]
    pub channels: u32,
    /// How the grid is doubled.
    #[serde(default)]
    pub upsampling: Upsampling,
    /// Whether the features of the last stage with this grid are added.
    #[serde(default)]
    pub lateral: bool,
}

/// How a neck doubles its grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Upsampling {
    /// A transposed convolution, window 4, stride 2, one place of padding.
    #[default]
    Learned,
    /// Bilinear interpolation (corners not aligned), then a 3x3 convolution.
    Bilinear,
}

impl Regressor {
    /// The suggested one: three learned steps with lateral joins, to stride 4 where the backbone
    /// ends at stride 32.
    pub fn suggested(classes: u32) -> Regressor {
        let step = |channels| NeckStep {
            channels,
            upsampling: Upsampling::Learned,
            lateral: true,
        };
        Regressor {
            neck: [128, 96, 64].map(step).to_vec(),
            head_channels: 64,
            classes,
        }
    }
}
