//! Class probabilities to fit, one row a sample: hard labels, and mixed ones.

use super::LossError;

/// The truth of a batch of samples: `samples` × `classes` probabilities, rows of samples.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftTargets {
    classes: usize,
    probabilities: Vec<f32>,
}

impl SoftTargets {
    /// Rows of probabilities, such as those of mixed pictures.
    ///
    /// # Errors
    /// Where the length is no multiple of `classes`, or a number is negative or not finite,
    /// with the row.
    pub fn new(probabilities: Vec<f32>, classes: usize) -> Result<SoftTargets, LossError> {
        if classes == 0 || !probabilities.len().is_multiple_of(classes) {
            let message = format!(
                "{} probabilities are no whole number of rows of {classes} classes",
                probabilities.len()
            );
            return Err(LossError::new(message));
        }
        if let Some(at) = probabilities.iter().position(|p| !p.is_finite() || *p < 0.0) {
            let message = format!(
                "row {}: the probability of class {} is {}; it must be 0 or more",
                at / classes,
                at % classes,
                probabilities[at]
            );
            return Err(LossError::new(message));
        }
        Ok(SoftTargets {
            classes,
            probabilities,
        })
    }

    /// Hard labels: class numbers below `classes`.
    ///
    /// # Errors
    /// Names the row whose label is out of range.
    pub fn one_hot(labels: &[usize], classes: usize) -> Result<SoftTargets, LossError> {
        let mut probabilities = vec![0.0; labels.len() * classes];
        for (row, &label) in labels.iter().enumerate() {
            if label >= classes {
                let message = format!("row {row}: class {label} of {classes} classes");
                return Err(LossError::new(message));
            }
            probabilities[row * classes + label] = 1.0;
        }
        SoftTargets::new(probabilities, classes)
    }

    /// How many samples there are.
    pub fn samples(&self) -> usize {
        // Never without classes: `new` refuses that.
        self.probabilities.len() / self.classes
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// One row's probabilities.
    pub fn row(&self, sample: usize) -> &[f32] {
        &self.probabilities[sample * self.classes..][..self.classes]
    }
}
