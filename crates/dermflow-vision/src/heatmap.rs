//! Heat maps of lesions on a grid of cells: boxes become ellipses that fade toward their rim,
//! each with a blind ring around it (`method.md` H1–H3).
//!
//! Must not know of tables, classes or networks. One map holds the boxes of one class of one
//! picture; who has several classes draws several maps.

mod decay;
mod draw;
mod gaussian;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use decay::Decay;

use crate::boxes::PixelBox;

/// The code of a cell that the loss ignores.
pub const BLIND: u8 = 255;

/// The code of the value 1, which only the cells of lesion centres have. A cell of code `c`
/// up to this one has the value `c / 254`.
pub const PEAK: u8 = 254;

/// A grid of cells over a picture, row by row from the top left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heatmap {
    width: usize,
    height: usize,
    codes: Vec<u8>,
}

impl Heatmap {
    /// A map of background for a picture of `width` × `height` pixels, one cell for each
    /// `stride` × `stride` of them; cells at the right and lower border may reach beyond it.
    pub fn background(width: usize, height: usize, stride: usize) -> Heatmap {
        let [width, height] = grid(width, height, stride);
        Heatmap {
            width,
            height,
            codes: vec![0; width * height],
        }
    }

    /// A map of these codes, where there are `width` × `height` of them.
    pub fn of_codes(width: usize, height: usize, codes: Vec<u8>) -> Option<Heatmap> {
        (width.checked_mul(height) == Some(codes.len())).then_some(Heatmap { width, height, codes })
    }

    /// Cells across.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Cells down.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The codes, row by row.
    pub fn codes(&self) -> &[u8] {
        &self.codes
    }

    /// The codes, to be changed.
    pub fn codes_mut(&mut self) -> &mut [u8] {
        &mut self.codes
    }

    /// The codes by themselves.
    pub fn into_codes(self) -> Vec<u8> {
        self.codes
    }

    /// The code of the cell in `column` and `row`.
    pub fn code(&self, column: usize, row: usize) -> u8 {
        self.codes[row * self.width + column]
    }

    /// The highest code that is not blind.
    pub fn peak(&self) -> u8 {
        let seen = self.codes.iter().filter(|code| **code != BLIND);
        seen.copied().max().unwrap_or(0)
    }

    /// Scales all values so that the highest becomes 1; blind cells stay blind, and a map without
    /// any value stays as it is.
    pub fn stretch(&mut self) {
        let peak = u32::from(self.peak());
        if peak == 0 {
            return;
        }
        for code in self.codes.iter_mut().filter(|code| **code != BLIND) {
            *code = ((u32::from(*code) * u32::from(PEAK) + peak / 2) / peak) as u8;
        }
    }

    /// The value of a cell from 0 to 1, or none where it is blind.
    pub fn value(&self, column: usize, row: usize) -> Option<f32> {
        value_of(self.code(column, row))
    }
}

/// The value that a code stands for, from 0 to 1; none for [`BLIND`].
pub fn value_of(code: u8) -> Option<f32> {
    (code != BLIND).then(|| f32::from(code) / f32::from(PEAK))
}

/// The code of a value from 0 to 1 away from lesion centres: the nearest one, but never
/// [`PEAK`], which counts lesions.
pub fn code_of(value: f64) -> u8 {
    (value.clamp(0.0, 1.0) * f64::from(PEAK))
        .round()
        .min(f64::from(PEAK - 1)) as u8
}

/// Cells across and down that cover a picture.
pub fn grid(width: usize, height: usize, stride: usize) -> [usize; 2] {
    let stride = stride.max(1);
    [width.div_ceil(stride), height.div_ceil(stride)]
}

/// What a box is drawn as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// The patent's: the ellipse inscribed in the box, fading over its whole area, in a blind
    /// ring.
    #[default]
    Ellipse,
    /// CenterNet's, for comparison: a round Gaussian whose radius keeps an overlap of 0.7 with
    /// the box (with the published code's roots), sigma a sixth of its diameter.
    CenterNet,
    /// TTFNet's, for comparison: an elliptical Gaussian over 0.54 of the box, sigma a sixth of
    /// each diameter.
    TtfNet,
}

/// The blind ring around an ellipse: cells that are neither foreground nor counted as
/// background (`method.md` H2).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Blind {
    /// The ring's width as a share of the inner diameter, rounded down to whole pixels: 0.5 is
    /// "diameter // 2", 0 is no ring.
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 10.0))]
    pub ratio: f64,
    /// What the share is of.
    #[serde(default)]
    pub of: RingBase,
    /// How wide the ring is across and down where the box is not square.
    #[serde(default)]
    pub width: RingWidth,
}

fn half() -> f64 {
    0.5
}

/// What a blind ring's width is a share of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RingBase {
    /// The inner diameter, which is the box's side.
    #[default]
    Diameter,
    /// The inner radius, half of the box's side.
    Radius,
}

/// How a blind ring's two widths are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RingWidth {
    /// Each axis has the width that its own diameter gives.
    #[default]
    PerAxis,
    /// Both axes have the smaller of the two widths.
    Smaller,
}

impl Default for Blind {
    fn default() -> Blind {
        Blind {
            ratio: half(),
            of: RingBase::default(),
            width: RingWidth::default(),
        }
    }
}

impl Blind {
    /// No ring.
    pub fn none() -> Blind {
        Blind {
            ratio: 0.0,
            ..Blind::default()
        }
    }

    /// The ring's width across and down in whole pixels, for a box of these sides.
    ///
    /// A side that misses a whole number of pixels by less than a millionth is taken for it:
    /// sides are stored as fractions, and 0.1 of 60 pixels must give the ring of 6.
    pub fn widths(&self, pixels: &PixelBox) -> [f64; 2] {
        let one = |side: f64| {
            let base = match self.of {
                RingBase::Diameter => side,
                RingBase::Radius => side / 2.0,
            };
            (base * self.ratio + 1e-6).floor()
        };
        let own = [one(pixels.width), one(pixels.height)];
        match self.width {
            RingWidth::PerAxis => own,
            RingWidth::Smaller => [own[0].min(own[1]); 2],
        }
    }
}

/// How boxes are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawing {
    /// Pixels across and down that one cell covers, at least 1.
    pub stride: usize,
    /// What a box is drawn as.
    pub shape: Shape,
    /// How [`Shape::Ellipse`] fades.
    pub decay: Decay,
    /// The value at the rim of [`Shape::Ellipse`], at least 0 and below 1; above 0 for
    /// [`Decay::Gaussian`].
    pub edge: f64,
    /// The ring around whatever is drawn, measured from the inscribed ellipse.
    pub blind: Blind,
}

impl Default for Drawing {
    fn default() -> Drawing {
        Drawing {
            stride: 4,
            shape: Shape::default(),
            decay: Decay::default(),
            edge: DEFAULT_EDGE,
            blind: Blind::default(),
        }
    }
}

/// The default value at the rim, `exp(-4.5)`: that of a Gaussian whose sigma is a third of the
/// radius.
pub const DEFAULT_EDGE: f64 = 0.011_108_996_538_242_306;
