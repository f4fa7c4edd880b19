//! Softmax cross entropy and its focal form, over soft labels.

use dfdx::shapes::{Axes2, Axis, HasShape, Rank0};
use dfdx::tensor::{Cpu, Tape, Tensor, TensorFromVec};
use dfdx::tensor_ops::{SumTo, TryAdd, TryMul};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LossError;
use super::class_weights::ClassWeights;
use super::focal::focal;
use super::targets::SoftTargets;

/// What a classifier's outputs are compared with labels by: cross entropy, unless `focal`
/// says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ClassificationLoss {
    /// Label smoothing: the share of each label that is spread evenly over all classes, the
    /// true one included.
    #[schemars(range(min = 0.0, max = 0.999_999))]
    pub smoothing: f64,
    /// How much more a rare class counts.
    pub class_weights: ClassWeights,
    /// Logit adjustment (Menon et al. 2021): during training, this many times the logarithm of
    /// the class's share is added to its output, so that the outputs themselves favour no
    /// frequent class. 1 aims at the balanced error; 0 turns it off.
    #[schemars(range(min = 0.0, max = 4.0))]
    pub logit_adjustment: f64,
    /// The focal loss (Lin et al. 2017): each class's term is multiplied by (1 − p) to this
    /// power, so that samples that are fitted already count less. 0 is cross entropy; 2 is
    /// usual.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub focal: f64,
}

/// A [`ClassificationLoss`] for a given set of classes.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftmaxLoss {
    smoothing: f64,
    focal: f64,
    class_weights: Vec<f32>,
    /// What is added to each class's output; empty for nothing.
    adjustment: Vec<f32>,
    /// The share of the smoothing that each class gets where outputs are adjusted: as much as the
    /// adjustment gives it, so that outputs without it are smoothed evenly. Empty for even shares.
    spread: Vec<f64>,
}

impl SoftmaxLoss {
    /// The loss that `document` describes, where class `c` has `counts[c]` training samples.
    ///
    /// # Errors
    /// Names the field that is out of range.
    pub fn new(document: &ClassificationLoss, counts: &[u64]) -> Result<SoftmaxLoss, LossError> {
        let ranges = [
            ("smoothing", document.smoothing, 0.999_999),
            ("logit-adjustment", document.logit_adjustment, 4.0),
            ("focal", document.focal, 10.0),
        ];
        for (field, value, most) in ranges {
            if !(0.0..=most).contains(&value) {
                let message = format!("`{field}` is {value}; it must lie between 0 and {most}");
                return Err(LossError::new(message));
            }
        }
        if let ClassWeights::EffectiveNumber(beta) = document.class_weights
            && !(0.0..=0.999_999).contains(&beta)
        {
            let message = format!("`class-weights` has β = {beta}; it must lie between 0 and 0.999999");
            return Err(LossError::new(message));
        }
        let adjustment = adjustment(document.logit_adjustment, counts);
        Ok(SoftmaxLoss {
            smoothing: document.smoothing,
            focal: document.focal,
            class_weights: document.class_weights.of(counts),
            spread: spread(&adjustment),
            adjustment,
        })
    }

    /// The loss of a batch: `logits` is samples × classes.
    ///
    /// It is the mean over samples of −Σ q(c) (1 − p(c))^focal ln p(c), with q the label by class
    /// weight, smoothed; a mean by class weights where there are some, as in PyTorch's
    /// `CrossEntropyLoss`. A batch whose labels all have no mass has no loss.
    ///
    /// Smoothing spreads what a sample weighs. PyTorch gives each class its own weight in that, too:
    /// then rare classes gain so much from every sample that a network learns to name them always.
    ///
    /// # Errors
    /// Where the logits' shape isn't that of the targets, or their classes aren't those of
    /// this loss.
    pub fn of<T: Tape<f32, Cpu>>(
        &self,
        logits: Tensor<(usize, usize), f32, Cpu, T>,
        targets: &SoftTargets,
    ) -> Result<Tensor<Rank0, f32, Cpu, T>, LossError> {
        let shape = *logits.shape();
        if shape != (targets.samples(), targets.classes()) || shape.1 != self.class_weights.len() {
            let message = format!(
                "outputs of {} samples and {} classes, labels of {} samples and {} classes, a loss of {} classes",
                shape.0,
                shape.1,
                targets.samples(),
                targets.classes(),
                self.class_weights.len()
            );
            return Err(LossError::new(message));
        }
        let logits = match self.adjustment.is_empty() {
            true => logits,
            false => {
                let rows = self.adjustment.repeat(shape.0);
                logits.try_add(Cpu::default().try_tensor_from_vec(rows, shape)?)?
            }
        };
        let coefficients = self.coefficients(targets);
        if self.focal > 0.0 {
            return Ok(focal(logits, &coefficients, self.focal)?);
        }
        let coefficients = Cpu::default().try_tensor_from_vec(coefficients, shape)?;
        let terms = logits.try_log_softmax::<Axis<1>>()?.try_mul(coefficients)?;
        Ok(terms.try_sum::<Rank0, Axes2<0, 1>>()?.try_negate()?)
    }

    /// What −ln p of each sample and class is multiplied by.
    fn coefficients(&self, targets: &SoftTargets) -> Vec<f32> {
        let classes = targets.classes();
        let weights = || self.class_weights.iter().map(|&weight| f64::from(weight));
        let total: f64 = (0..targets.samples())
            .flat_map(|sample| weights().zip(targets.row(sample)))
            .map(|(weight, &probability)| weight * f64::from(probability))
            .sum();
        let scale = if total > 0.0 { 1.0 / total } else { 0.0 };
        let mut coefficients = Vec::with_capacity(targets.samples() * classes);
        for sample in 0..targets.samples() {
            let weighted = || {
                weights()
                    .zip(targets.row(sample))
                    .map(|(weight, &p)| weight * f64::from(p))
            };
            let mass: f64 = weighted().sum();
            coefficients.extend(weighted().enumerate().map(|(class, own)| {
                let spread = match self.spread.get(class) {
                    Some(share) => self.smoothing * mass * share,
                    None => self.smoothing * mass / classes as f64,
                };
                (scale * ((1.0 - self.smoothing) * own + spread)) as f32
            }));
        }
        coefficients
    }
}

/// `strength` times the logarithm of each class's share; a class without samples counts as
/// one with one sample.
fn adjustment(strength: f64, counts: &[u64]) -> Vec<f32> {
    if strength == 0.0 {
        return Vec::new();
    }
    let counts = counts.iter().map(|&count| count.max(1) as f64);
    let total: f64 = counts.clone().sum();
    counts
        .map(|count| (strength * (count / total).ln()) as f32)
        .collect()
}

/// Shares in proportion to what an adjustment multiplies likelihoods by.
fn spread(adjustment: &[f32]) -> Vec<f64> {
    let total: f64 = adjustment.iter().map(|&added| f64::from(added).exp()).sum();
    adjustment
        .iter()
        .map(|&added| f64::from(added).exp() / total)
        .collect()
}

#[cfg(test)]
mod tests {
    use dfdx::tensor::Trace;
    use dfdx::tensor_ops::Backward;

    use super::super::gradient_check::{check, logits};
    use super::*;

    fn loss(document: &str, counts: &[u64]) -> SoftmaxLoss {
        SoftmaxLoss::new(&serde_json::from_str(document).unwrap(), counts).unwrap()
    }

    fn value(loss: &SoftmaxLoss, logits: &[f32], targets: &SoftTargets) -> f32 {
        let shape = (targets.samples(), targets.classes());
        let logits = Cpu::default().tensor_from_vec(logits.to_vec(), shape);
        loss.of(logits, targets).unwrap().as_vec()[0]
    }

    /// What the module says, in float64 and without any cleverness.
    fn by_the_book(
        logits: &[f32],
        targets: &SoftTargets,
        (smoothing, focal): (f64, f64),
        weights: &[f64],
        shift: &[f64],
    ) -> f64 {
        let classes = targets.classes();
        let (mut sum, mut total) = (0.0, 0.0);
        for sample in 0..targets.samples() {
            let exponentials: Vec<f64> = (0..classes)
                .map(|class| (f64::from(logits[sample * classes + class]) + shift[class]).exp())
                .collect();
            let all: f64 = exponentials.iter().sum();
            for class in 0..classes {
                let p = exponentials[class] / all;
                let own = |class: usize| weights[class] * f64::from(targets.row(sample)[class]);
                total += own(class);
                let mass: f64 = (0..classes).map(own).sum();
                let priors: f64 = shift.iter().map(|shift| shift.exp()).sum();
                let share = shift[class].exp() / priors;
                let q = (1.0 - smoothing) * own(class) + smoothing * mass * share;
                sum -= q * (1.0 - p).powf(focal) * p.ln();
            }
        }
        sum / total
    }

    fn mixed() -> SoftTargets {
        let rows = vec![1.0, 0.0, 0.0, 0.3, 0.7, 0.0, 0.0, 0.0, 1.0, 0.2, 0.2, 0.6];
        SoftTargets::new(rows, 3).unwrap()
    }

    #[test]
    fn values_are_those_of_the_definition() {
        let (logits, targets) = (logits(12), mixed());
        let counts = [80, 15, 5];
        let shares = [0.8f64, 0.15, 0.05];
        let zero = [0.0; 3];
        let weights: Vec<f64> = ClassWeights::Balanced
            .of(&counts)
            .iter()
            .map(|&w| w.into())
            .collect();
        let shift: Vec<f64> = shares.iter().map(|share| 1.5 * share.ln()).collect();
        let cases = [
            ("{}", by_the_book(&logits, &targets, (0.0, 0.0), &[1.0; 3], &zero)),
            (
                r#"{"smoothing": 0.2}"#,
                by_the_book(&logits, &targets, (0.2, 0.0), &[1.0; 3], &zero),
            ),
            (
                r#"{"smoothing": 0.1, "class-weights": "balanced", "logit-adjustment": 1.5}"#,
                by_the_book(&logits, &targets, (0.1, 0.0), &weights, &shift),
            ),
            (
                r#"{"focal": 2.0, "class-weights": "balanced"}"#,
                by_the_book(&logits, &targets, (0.0, 2.0), &weights, &zero),
            ),
            (
                r#"{"focal": 0.5, "smoothing": 0.1}"#,
                by_the_book(&logits, &targets, (0.1, 0.5), &[1.0; 3], &zero),
            ),
        ];
        for (document, expected) in cases {
            let got = f64::from(value(&loss(document, &counts), &logits, &targets));
            assert!(
                (got - expected).abs() < 1e-5 * expected.abs(),
                "{document}: {got} {expected}"
            );
        }
    }

    /// What outputs without an adjustment, alike for all samples, a network would end with: the ones
    /// with the least loss, by steps down the gradient.
    fn fitted(loss: &SoftmaxLoss, targets: &SoftTargets) -> Vec<f32> {
        let (samples, classes) = (targets.samples(), targets.classes());
        let mut outputs = vec![0.0f32; classes];
        for _ in 0..4000 {
            let rows = Cpu::default().tensor_from_vec(outputs.repeat(samples), (samples, classes));
            let gradients = loss.of(rows.leaky_trace(), targets).unwrap().backward();
            let gradient = gradients.get(&rows).as_vec();
            for (place, step) in gradient.iter().enumerate() {
                outputs[place % classes] -= step;
            }
        }
        outputs
    }

    /// Of 40 samples that all look alike, 39 of one class and one of another, none of a third.
    #[test]
    fn smoothing_makes_no_rare_or_absent_class_the_likeliest() {
        let counts = [39, 1, 0];
        let labels: Vec<usize> = (0..40).map(|sample| usize::from(sample == 39)).collect();
        let targets = SoftTargets::one_hot(&labels, 3).unwrap();
        for weighing in [r#""class-weights": "balanced""#, r#""logit-adjustment": 1.0"#] {
            let smoothed = loss(&format!(r#"{{"smoothing": 0.1, {weighing}}}"#), &counts);
            let outputs = fitted(&smoothed, &targets);
            // Both corrections make the two classes even; the third was never seen.
            assert!((outputs[0] - outputs[1]).abs() < 0.05, "{weighing}: {outputs:?}");
            assert!(outputs[2] < outputs[0] - 1.0, "{weighing}: {outputs:?}");
        }
    }

    #[test]
    fn gradients_agree_with_central_differences() {
        for document in [
            r#"{"smoothing": 0.1, "class-weights": "square-root"}"#,
            r#"{"logit-adjustment": 1.0}"#,
            r#"{"focal": 2.0, "class-weights": {"effective-number": 0.9}}"#,
            r#"{"focal": 0.5}"#,
        ] {
            let loss = loss(document, &[80, 15, 5]);
            check(
                &logits(12),
                (4, 3),
                |logits| loss.of(logits, &mixed()).unwrap(),
                |logits| loss.of(logits, &mixed()).unwrap(),
            );
        }
    }

    #[test]
    fn extreme_outputs_give_finite_losses() {
        let targets = SoftTargets::one_hot(&[0, 1], 2).unwrap();
        for document in ["{}", r#"{"focal": 0.5}"#, r#"{"focal": 2}"#] {
            let value = value(
                &loss(document, &[1, 1]),
                &[200.0, -200.0, 200.0, -200.0],
                &targets,
            );
            assert!((value - 200.0).abs() < 1e-3, "{document}: {value}");
        }
    }

    #[test]
    fn a_batch_whose_labels_have_no_mass_has_no_loss() {
        let targets = SoftTargets::new(vec![0.0; 4], 2).unwrap();
        assert_eq!(value(&loss("{}", &[1, 1]), &[1.0, 2.0, 3.0, 4.0], &targets), 0.0);
    }

    #[test]
    fn shapes_and_ranges_that_do_not_fit_are_told() {
        let targets = SoftTargets::one_hot(&[0], 2).unwrap();
        let three = Cpu::default().tensor_from_vec(vec![0.0; 3], (1, 3));
        let error = loss("{}", &[1, 1]).of(three, &targets).unwrap_err().to_string();
        assert!(
            error.contains("3 classes") && error.contains("2 classes"),
            "{error}"
        );
        let document = ClassificationLoss {
            smoothing: 1.0,
            ..ClassificationLoss::default()
        };
        let error = SoftmaxLoss::new(&document, &[1, 1]).unwrap_err().to_string();
        assert!(error.contains("smoothing"), "{error}");
        assert!(
            SoftTargets::one_hot(&[2], 2)
                .unwrap_err()
                .to_string()
                .contains("row 0")
        );
        let negative = SoftTargets::new(vec![0.5, 0.5, -0.1, 1.1], 2)
            .unwrap_err()
            .to_string();
        assert!(negative.contains("row 1"), "{negative}");
    }
}
