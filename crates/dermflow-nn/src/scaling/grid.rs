//! [`Growth`]: where candidates come from. Must not know of costs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LEAST_SIZE, MAX_CANDIDATES, MOST_SIZE, ScalingError};

/// Where candidates come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Growth {
    /// Ratios on a grid, raised to the exponents.
    Grid(RatioGrid),
    /// Factors as they are, such as the published coefficients of B0 to B7.
    Table(Vec<Row>),
}

/// All α, β and γ with α·β²·γ² near 2, each with all φ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RatioGrid {
    /// Growth of depth for φ = 1.
    pub alpha: Range,
    /// Growth of width for φ = 1.
    pub beta: Range,
    /// Growth of the image size for φ = 1.
    pub gamma: Range,
    /// Exponents; below 0 the baseline shrinks.
    pub phi: Range,
    /// How far α·β²·γ² may be from 2.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub tolerance: f64,
}

impl Default for RatioGrid {
    fn default() -> RatioGrid {
        let ratio = |to| Range {
            from: 1.0,
            to,
            step: 0.05,
        };
        RatioGrid {
            alpha: ratio(2.0),
            beta: ratio(1.4),
            gamma: ratio(1.4),
            phi: Range {
                from: -4.0,
                to: 7.0,
                step: 0.25,
            },
            tolerance: 0.1,
        }
    }
}

impl Default for Growth {
    fn default() -> Growth {
        Growth::Grid(RatioGrid::default())
    }
}

/// Numbers from `from` to `to`, both included, `step` apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Range {
    /// The first.
    pub from: f64,
    /// The last, where a step meets it.
    pub to: f64,
    /// The distance.
    #[schemars(range(min = 0.0001, max = 100.0))]
    pub step: f64,
}

/// One candidate of a table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Row {
    /// Factor of the layers.
    #[schemars(range(min = 0.01, max = 100.0))]
    pub depth: f64,
    /// Factor of the channels.
    #[schemars(range(min = 0.01, max = 100.0))]
    pub width: f64,
    /// Height and width of the images, not rounded.
    #[schemars(range(min = 1, max = 16384))]
    pub size: u32,
}

/// One candidate's factors.
pub(super) struct Point {
    pub(super) ratios: Option<[f64; 3]>,
    pub(super) phi: Option<f64>,
    pub(super) depth: f64,
    pub(super) width: f64,
    pub(super) size: Size,
}

/// A candidate's image size.
#[derive(Clone, Copy)]
pub(super) enum Size {
    /// Times the baseline's.
    Factor(f64),
    Pixels(u32),
}

impl Range {
    /// A single number.
    pub fn only(value: f64) -> Range {
        Range {
            from: value,
            to: value,
            step: 1.0,
        }
    }

    /// All its numbers, to the last digit those that a person would write.
    fn values(&self, place: &'static str, least: f64, most: f64) -> Result<Vec<f64>, ScalingError> {
        let fault = |why: String| Err(ScalingError::Setting(place, why));
        if !(self.from >= least && self.to <= most && self.from <= self.to) {
            return fault(format!("must go upwards from {least} or more to {most} or less"));
        }
        if !(1e-4..=100.0).contains(&self.step) {
            return fault("its step must lie between 0.0001 and 100".to_owned());
        }
        let steps = ((self.to - self.from) / self.step + 1e-9).floor() as usize;
        if steps >= MAX_CANDIDATES {
            return fault(format!("has more than {MAX_CANDIDATES} numbers"));
        }
        let round = |value: f64| (value * 1e9).round() / 1e9;
        Ok((0..=steps)
            .map(|step| round(self.from + step as f64 * self.step))
            .collect())
    }
}

impl Growth {
    /// Every candidate's factors.
    pub(super) fn points(&self) -> Result<Vec<Point>, ScalingError> {
        match self {
            Growth::Grid(grid) => grid.points(),
            Growth::Table(rows) => table(rows),
        }
    }
}

impl RatioGrid {
    fn points(&self) -> Result<Vec<Point>, ScalingError> {
        let alphas = self.alpha.values("growth.grid.alpha", 1.0, 4.0)?;
        let betas = self.beta.values("growth.grid.beta", 1.0, 4.0)?;
        let gammas = self.gamma.values("growth.grid.gamma", 1.0, 4.0)?;
        let phis = self.phi.values("growth.grid.phi", -20.0, 20.0)?;
        let wrong = |place, why: String| ScalingError::Setting(place, why);
        if !(0.0..=1.0).contains(&self.tolerance) {
            return Err(wrong(
                "growth.grid.tolerance",
                "must lie between 0 and 1".to_owned(),
            ));
        }
        let many = [&alphas, &betas, &gammas]
            .iter()
            .try_fold(1_usize, |all, values| all.checked_mul(values.len()));
        let too_many = || {
            wrong(
                "growth.grid",
                format!("has more than {MAX_CANDIDATES} candidates; take longer steps"),
            )
        };
        if many.is_none_or(|many| many > 100 * MAX_CANDIDATES) {
            return Err(too_many());
        }
        let mut points = Vec::new();
        for &alpha in &alphas {
            for &beta in &betas {
                for &gamma in &gammas {
                    if (alpha * beta * beta * gamma * gamma - 2.0).abs() > self.tolerance {
                        continue;
                    }
                    if points.len() + phis.len() > MAX_CANDIDATES {
                        return Err(too_many());
                    }
                    points.extend(phis.iter().map(|&phi| Point {
                        ratios: Some([alpha, beta, gamma]),
                        phi: Some(phi),
                        depth: libm::pow(alpha, phi),
                        width: libm::pow(beta, phi),
                        size: Size::Factor(libm::pow(gamma, phi)),
                    }));
                }
            }
        }
        match points.is_empty() {
            true => {
                let why = format!(
                    "no alpha, beta, gamma have alpha·beta²·gamma² within {} of 2",
                    self.tolerance
                );
                Err(wrong("growth.grid", why))
            }
            false => Ok(points),
        }
    }
}

fn table(rows: &[Row]) -> Result<Vec<Point>, ScalingError> {
    let fault = |why: String| Err(ScalingError::Setting("growth.table", why));
    if rows.is_empty() || rows.len() > MAX_CANDIDATES {
        return fault(format!("must have 1 to {MAX_CANDIDATES} rows"));
    }
    for (index, row) in rows.iter().enumerate() {
        let factors = [row.depth, row.width];
        if !factors.iter().all(|factor| (0.01..=100.0).contains(factor))
            || !(LEAST_SIZE..=MOST_SIZE).contains(&row.size)
        {
            return fault(format!(
                "row {index}: factors must lie between 0.01 and 100, size between {LEAST_SIZE} and {MOST_SIZE}"
            ));
        }
    }
    let points = rows.iter().map(|row| Point {
        ratios: None,
        phi: None,
        depth: row.depth,
        width: row.width,
        size: Size::Pixels(row.size),
    });
    Ok(points.collect())
}
