//! L1 on the regressed sizes, at lesion centres only.

use dfdx::shapes::{HasShape, Rank0};
use dfdx::tensor::{Cpu, Tape, Tensor};

use super::LossError;
use super::heat::RegressorLoss;
use super::tape::scalar;

/// A lesion's centre and size as the size head should tell it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Centre {
    /// Which sample of the batch.
    pub sample: usize,
    /// The row of cells.
    pub row: usize,
    /// The column of cells.
    pub column: usize,
    /// The two numbers to regress: width and height, in the unit of the head.
    pub size: [f32; 2],
}

impl RegressorLoss {
    /// The loss of sizes: `size_weight` times the sum of |prediction − truth| over centres and
    /// both numbers, divided by how many numbers there are plus 1e-4, as CenterNet's released
    /// code has it (requirement H4). `predictions` is samples × height × width × 2.
    ///
    /// # Errors
    /// Names the centre that lies outside of the predictions, or whose size is not finite.
    pub fn size<T: Tape<f32, Cpu>>(
        &self,
        predictions: Tensor<(usize, usize, usize, usize), f32, Cpu, T>,
        centres: &[Centre],
    ) -> Result<Tensor<Rank0, f32, Cpu, T>, LossError> {
        let shape = *predictions.shape();
        if shape.3 != 2 {
            let message = format!("sizes are 2 numbers a cell; these have the shape {shape:?}");
            return Err(LossError::new(message));
        }
        let values = predictions.as_vec();
        let mut gradient = vec![0.0; values.len()];
        let scale = self.size_weight / (2.0 * centres.len() as f64 + 1e-4);
        let mut total = 0.0;
        for (number, centre) in centres.iter().enumerate() {
            let inside = centre.sample < shape.0 && centre.row < shape.1 && centre.column < shape.2;
            if !inside || centre.size.iter().any(|side| !side.is_finite()) {
                let message =
                    format!("centre {number} is {centre:?}; the predictions have the shape {shape:?}");
                return Err(LossError::new(message));
            }
            let cell = 2 * ((centre.sample * shape.1 + centre.row) * shape.2 + centre.column);
            for (side, truth) in centre.size.iter().enumerate() {
                let difference = f64::from(values[cell + side]) - f64::from(*truth);
                total += difference.abs() * scale;
                // Two lesions may share a cell. No slope at 0, where the loss has a kink.
                if difference != 0.0 {
                    gradient[cell + side] += (difference.signum() * scale) as f32;
                }
            }
        }
        Ok(scalar(predictions, total as f32, gradient)?)
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::*;

    use super::super::gradient_check::{check, logits};
    use super::*;

    fn unweighted() -> RegressorLoss {
        RegressorLoss {
            size_weight: 1.0,
            ..RegressorLoss::default()
        }
    }

    fn centres() -> Vec<Centre> {
        let at = |sample, row, column, size| Centre {
            sample,
            row,
            column,
            size,
        };
        vec![
            at(0, 0, 1, [3.5, 1.25]),
            at(1, 1, 0, [-3.0, 0.33]),
            // Shares the cell of the first.
            at(0, 0, 1, [-4.0, 2.75]),
        ]
    }

    #[test]
    fn only_centres_count_and_each_number_counts_the_same() {
        let predictions = Cpu::default().tensor_from_vec(logits(16), (2, 2, 2, 2));
        let all = predictions.as_vec();
        let loss = unweighted().size(predictions, &centres()).unwrap().as_vec()[0];
        let first = (all[2] - 3.5).abs() + (all[3] - 1.25).abs();
        let second = (all[12] + 3.0).abs() + (all[13] - 0.33).abs();
        let third = (all[2] + 4.0).abs() + (all[3] - 2.75).abs();
        let expected = (first + second + third) / 6.0001;
        assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
        let predictions = Cpu::default().tensor_from_vec(all, (2, 2, 2, 2));
        let weighted = RegressorLoss::default()
            .size(predictions, &centres())
            .unwrap()
            .as_vec()[0];
        assert!((weighted - 0.1 * expected).abs() < 1e-6, "{weighted} {expected}");
    }

    #[test]
    fn gradients_agree_with_central_differences() {
        check(
            &logits(16),
            (2, 2, 2, 2),
            |predictions| unweighted().size(predictions, &centres()).unwrap(),
            |predictions| unweighted().size(predictions, &centres()).unwrap(),
        );
    }

    #[test]
    fn without_centres_there_is_no_loss_and_outside_centres_are_told() {
        let predictions = Cpu::default().tensor_from_vec(logits(8), (1, 2, 2, 2));
        assert_eq!(
            unweighted().size(predictions.clone(), &[]).unwrap().as_vec(),
            [0.0]
        );
        let error = unweighted()
            .size(predictions, &centres())
            .unwrap_err()
            .to_string();
        assert!(error.contains("centre 1"), "{error}");
    }
}
