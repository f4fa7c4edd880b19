//! What outputs are compared with truth by: losses that end dfdx's tape in one number.
//!
//! Every loss takes the network's raw outputs (logits), with or without a tape, and gives a
//! scalar that carries the tape on. Sums run in a fixed order, so that the same outputs give
//! the same bytes, whatever the thread count. Nothing here knows of images or of networks.
//!
//! ```
//! use dermflow_nn::loss::{ClassificationLoss, SoftmaxLoss, SoftTargets};
//! use dfdx::tensor::{Cpu, TensorFromVec};
//!
//! let document: ClassificationLoss = serde_json::from_str(r#"{"smoothing": 0.1}"#)?;
//! let loss = SoftmaxLoss::new(&document, &[30, 10])?;
//! let targets = SoftTargets::one_hot(&[0, 1], 2)?;
//! let logits = Cpu::default().tensor_from_vec(vec![2.0, -1.0, 0.0, 0.5], (2, 2));
//! let value = loss.of(logits, &targets)?.as_vec()[0];
//! assert!((value - 0.348_832).abs() < 1e-5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod class_weights;
mod focal;
#[cfg(test)]
mod gradient_check;
mod heat;
mod size;
mod softmax;
mod tape;
mod targets;

use std::fmt;

pub use class_weights::ClassWeights;
pub use heat::{BLIND, Fit, RegressorLoss};
pub use size::Centre;
pub use softmax::{ClassificationLoss, SoftmaxLoss};
pub use targets::SoftTargets;

use dfdx::tensor::CpuError;

/// Why a loss can't be computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossError(String);

impl LossError {
    fn new(message: impl Into<String>) -> LossError {
        LossError(message.into())
    }
}

impl fmt::Display for LossError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LossError {}

impl From<CpuError> for LossError {
    fn from(error: CpuError) -> LossError {
        LossError(format!("dfdx: {error}"))
    }
}
