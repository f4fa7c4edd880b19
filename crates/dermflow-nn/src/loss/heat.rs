//! Losses on heat maps, with cells that don't count: CenterNet's penalty-reduced focal loss, which
//! looks for centres, and one that asks for the whole map.
//!
//! Requirement H4; Zhou et al. 2019 ("Objects as Points"), as its released code has it:
//! probabilities are held within [1e-4, 1 − 1e-4], and outside of that nothing flows back.

use dfdx::shapes::{HasShape, Rank0};
use dfdx::tensor::{Cpu, Tape, Tensor};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LossError;
use super::tape::scalar;

/// The code of a cell that the loss ignores; others stand for code / 254.
pub const BLIND: u8 = 255;

const CENTRE: u8 = 254;
const LEAST: f32 = 1e-4;
/// Cells that one sum covers: the cut is the same whatever the thread count.
const BLOCK: usize = 1 << 14;

/// How a regressor's heat maps are compared with the truth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RegressorLoss {
    /// What heat is asked for.
    pub fit: Fit,
    /// The focal power: how much less a cell counts that is fitted already.
    #[schemars(range(min = 0.0, max = 8.0))]
    pub alpha: f64,
    /// How much less a cell near a centre is punished for heat: its penalty is (1 − truth) to
    /// this power. For `fit: whole-map` it doesn't count.
    #[schemars(range(min = 0.0, max = 16.0))]
    pub beta: f64,
    /// What the loss of the sizes counts beside that of the heat.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub size_weight: f64,
}

/// What heat is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// Heat at centres alone (Zhou et al. 2019). Heat near them is punished less, but never rewarded:
    /// maps are peaks, much narrower than the lesions.
    #[default]
    Centres,
    /// Each cell should have the heat that it was drawn with, so that maps have the lesions' extent
    /// (the quality focal loss of Li et al. 2020, "Generalized Focal Loss", cell by cell).
    WholeMap,
}

impl Default for RegressorLoss {
    fn default() -> RegressorLoss {
        RegressorLoss {
            fit: Fit::default(),
            alpha: 2.0,
            beta: 4.0,
            size_weight: 0.1,
        }
    }
}

impl RegressorLoss {
    /// The loss of heat maps. `logits` is samples × height × width × classes, before the
    /// sigmoid; `truth` one code a cell in the same order: 254 is a centre, [`BLIND`] counts
    /// nothing, others are the heat times 254.
    ///
    /// With p the sigmoid and y the truth: for [`Fit::Centres`] the sum over centres of
    /// −(1 − p)^α ln p and over other cells of −(1 − y)^β p^α ln(1 − p), divided by the number of
    /// centres; for [`Fit::WholeMap`] the sum over cells of −|y − p|^α (y ln p + (1 − y) ln(1 − p)),
    /// divided by the sum of y. Sums are undivided where that is below 1.
    ///
    /// # Errors
    /// Where there isn't one code a cell, or a power is out of range.
    pub fn heat<T: Tape<f32, Cpu>>(
        &self,
        logits: Tensor<(usize, usize, usize, usize), f32, Cpu, T>,
        truth: &[u8],
    ) -> Result<Tensor<Rank0, f32, Cpu, T>, LossError> {
        let shape = *logits.shape();
        if truth.len() != shape.0 * shape.1 * shape.2 * shape.3 {
            let message = format!("{} codes of truth for heat maps of shape {shape:?}", truth.len());
            return Err(LossError::new(message));
        }
        if !(0.0..=8.0).contains(&self.alpha) || !(0.0..=16.0).contains(&self.beta) {
            let message = format!(
                "`alpha` is {} and `beta` {}; they must lie in 0 to 8 and 0 to 16",
                self.alpha, self.beta
            );
            return Err(LossError::new(message));
        }
        let scale = 1.0 / self.heat_asked(truth).max(1.0) as f32;
        let penalties = self.penalties();
        let mut cells = logits.as_vec();
        let blocks = cells.par_chunks_mut(BLOCK).zip(truth.par_chunks(BLOCK));
        let sums: Vec<f64> = blocks
            .map(|(cells, truth)| {
                let terms = cells.iter_mut().zip(truth);
                let terms = terms.map(|(cell, &code)| {
                    let (loss, slope) = match self.fit {
                        Fit::Centres => self.cell(*cell, code, penalties[usize::from(code)]),
                        Fit::WholeMap => self.whole_map_cell(*cell, code),
                    };
                    *cell = slope * scale;
                    f64::from(loss)
                });
                terms.sum()
            })
            .collect();
        let total: f64 = sums.iter().sum();
        Ok(scalar(logits, (total * f64::from(scale)) as f32, cells)?)
    }

    /// What the loss is divided by.
    fn heat_asked(&self, truth: &[u8]) -> f64 {
        match self.fit {
            Fit::Centres => truth.iter().filter(|&&code| code == CENTRE).count() as f64,
            Fit::WholeMap => {
                let heat = truth.iter().filter(|&&code| code != BLIND);
                heat.map(|&code| u64::from(code)).sum::<u64>() as f64 / f64::from(CENTRE)
            }
        }
    }

    /// One cell's loss and its derivative by the logit, where heat should be as it was drawn.
    fn whole_map_cell(&self, logit: f32, code: u8) -> (f32, f32) {
        if code == BLIND {
            return (0.0, 0.0);
        }
        let (alpha, y) = (self.alpha as f32, f32::from(code) / f32::from(CENTRE));
        let raw = 1.0 / (1.0 + (-logit).exp());
        let p = raw.clamp(LEAST, 1.0 - LEAST);
        let off = p - y;
        let entropy = -(y * p.ln() + (1.0 - y) * (1.0 - p).ln());
        let weight = if self.alpha == 2.0 {
            off * off
        } else {
            off.abs().powf(alpha)
        };
        let loss = weight * entropy;
        if raw != p && !raw.is_nan() {
            return (loss, 0.0);
        }
        // d|p − y|^α = α |p − y|^(α − 1) sign(p − y) dp, and at p = y nothing is to be done.
        let bend = match off == 0.0 {
            true => 0.0,
            false => alpha * weight / off,
        };
        (loss, bend * p * (1.0 - p) * entropy + weight * off)
    }

    /// (1 − y)^β for every code; 0 for blind cells.
    fn penalties(&self) -> [f32; 256] {
        let mut penalties = [0.0; 256];
        for code in 0..CENTRE {
            penalties[usize::from(code)] = (1.0 - f64::from(code) / 254.0).powf(self.beta) as f32;
        }
        penalties
    }

    /// One cell's loss and its derivative by the logit.
    fn cell(&self, logit: f32, code: u8, penalty: f32) -> (f32, f32) {
        if code == BLIND {
            return (0.0, 0.0);
        }
        let alpha = self.alpha as f32;
        // A centre is a cell whose opposite is judged: swapping p and 1 − p turns one formula
        // into the other.
        let (logit, weight, sign) = match code {
            CENTRE => (-logit, 1.0, -1.0),
            _ => (logit, penalty, 1.0),
        };
        let raw = 1.0 / (1.0 + (-logit).exp());
        let p = raw.clamp(LEAST, 1.0 - LEAST);
        let rest = 1.0 - p;
        let power = if self.alpha == 2.0 { p * p } else { p.powf(alpha) };
        let log_rest = rest.ln();
        let loss = -weight * power * log_rest;
        // Not a number passes the comparison, and so reaches the loop that reports it.
        if raw != p && !raw.is_nan() {
            return (loss, 0.0);
        }
        let slope = -weight * power * (alpha * rest * log_rest - p);
        (loss, sign * slope)
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::*;

    use super::super::gradient_check::{check, logits};
    use super::*;

    const SHAPE: (usize, usize, usize, usize) = (1, 2, 3, 2);

    fn value(loss: RegressorLoss, logits: &[f32], truth: &[u8]) -> f32 {
        let shape = (1, 1, logits.len(), 1);
        let logits = Cpu::default().tensor_from_vec(logits.to_vec(), shape);
        loss.heat(logits, truth).unwrap().as_vec()[0]
    }

    fn by_the_book(loss: RegressorLoss, logits: &[f32], truth: &[u8]) -> f64 {
        let (mut sum, mut centres) = (0.0, 0.0);
        for (&logit, &code) in logits.iter().zip(truth) {
            let p = 1.0 / (1.0 + (-f64::from(logit)).exp());
            let p = p.clamp(1e-4, 1.0 - 1e-4);
            let y = f64::from(code) / 254.0;
            match code {
                255 => {}
                254 => {
                    centres += 1.0;
                    sum -= (1.0 - p).powf(loss.alpha) * p.ln();
                }
                _ => sum -= (1.0 - y).powf(loss.beta) * p.powf(loss.alpha) * (1.0 - p).ln(),
            }
        }
        if centres > 0.0 { sum / centres } else { sum }
    }

    #[test]
    fn values_are_those_of_the_definition_also_without_centres() {
        let default = RegressorLoss::default();
        let bent = RegressorLoss {
            alpha: 1.5,
            beta: 3.0,
            ..default
        };
        let logits = logits(12);
        let truth = [254, 200, 100, 0, 255, 254, 1, 253, 0, 0, 255, 127];
        let none = truth.map(|code| if code == 254 { 253 } else { code });
        for loss in [default, bent] {
            for truth in [truth, none] {
                let (got, expected) = (value(loss, &logits, &truth), by_the_book(loss, &logits, &truth));
                assert!(
                    (f64::from(got) - expected).abs() < 1e-5 * expected,
                    "{got} {expected}"
                );
            }
        }
    }

    #[test]
    fn gradients_agree_with_central_differences_and_blind_cells_have_none() {
        let truth = [254, 200, 100, 0, 255, 254, 1, 253, 0, 0, 255, 127];
        let both = [RegressorLoss::default(), whole_map()];
        for loss in both
            .into_iter()
            .flat_map(|loss| [2.0, 1.5].map(|alpha| RegressorLoss { alpha, ..loss }))
        {
            check(
                &logits(12),
                SHAPE,
                |logits| loss.heat(logits, &truth).unwrap(),
                |logits| loss.heat(logits, &truth).unwrap(),
            );
            let input = Cpu::default().tensor_from_vec(logits(12), SHAPE);
            let gradient = loss.heat(input.leaky_trace(), &truth).unwrap().backward();
            let gradient = gradient.get(&input).as_vec();
            for (slope, code) in gradient.iter().zip(truth) {
                assert_eq!(*slope == 0.0, code == BLIND, "{gradient:?}");
            }
        }
    }

    fn whole_map() -> RegressorLoss {
        RegressorLoss {
            fit: Fit::WholeMap,
            ..RegressorLoss::default()
        }
    }

    #[test]
    fn the_whole_map_is_asked_for_by_the_definition_and_least_where_it_is_met() {
        let truth = [254, 200, 100, 0, 255, 254, 1, 253, 0, 0, 255, 127];
        let logits = logits(12);
        for alpha in [2.0, 1.5] {
            let loss = RegressorLoss { alpha, ..whole_map() };
            let (mut sum, mut heat) = (0.0, 0.0);
            for (&logit, &code) in logits.iter().zip(&truth).filter(|(_, code)| **code != BLIND) {
                let p = 1.0 / (1.0 + (-f64::from(logit)).exp());
                let y = f64::from(code) / 254.0;
                heat += y;
                sum -= (y - p).abs().powf(alpha) * (y * p.ln() + (1.0 - y) * (1.0 - p).ln());
            }
            let got = f64::from(value(loss, &logits, &truth));
            assert!((got - sum / heat).abs() < 1e-5 * got, "{got} {}", sum / heat);
        }
        let met: Vec<f32> = [200.0_f32, 100.0, 127.0]
            .map(|code| (code / (254.0 - code)).ln())
            .to_vec();
        assert!(value(whole_map(), &met, &[200, 100, 127]) < 1e-10);
        // The centres' loss would rather have no heat beside a centre.
        assert!(value(RegressorLoss::default(), &met, &[200, 100, 127]) > 0.01);
    }

    #[test]
    fn a_map_of_blind_cells_has_no_loss() {
        for loss in [RegressorLoss::default(), whole_map()] {
            assert_eq!(value(loss, &[3.0, -3.0], &[255, 255]), 0.0);
        }
    }

    #[test]
    fn outputs_that_are_not_numbers_reach_the_loss() {
        for loss in [RegressorLoss::default(), whole_map()] {
            assert!(value(loss, &[f32::NAN, 0.0], &[0, 254]).is_nan());
        }
    }

    #[test]
    fn many_threads_give_the_bytes_of_one() {
        let logits: Vec<f32> = logits(100_000);
        let truth: Vec<u8> = (0..100_000).map(|at| (at * 7919 % 256) as u8).collect();
        let of = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let input = Cpu::default().tensor_from_vec(logits.clone(), (1, 100, 1000, 1));
                let loss = RegressorLoss::default()
                    .heat(input.leaky_trace(), &truth)
                    .unwrap();
                let value = loss.as_vec()[0].to_bits();
                (value, loss.backward().get(&input).as_vec())
            })
        };
        assert_eq!(of(1), of(3));
    }

    #[test]
    fn truth_of_another_size_is_told() {
        let input = Cpu::default().tensor_from_vec(vec![0.0; 4], (1, 2, 2, 1));
        let error = RegressorLoss::default()
            .heat(input, &[0; 3])
            .unwrap_err()
            .to_string();
        assert!(error.contains("3 codes"), "{error}");
    }
}
