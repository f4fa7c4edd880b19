//! Weights in files: reading what timm, torchvision and this crate have written, writing so that
//! they read it back.
//!
//! One path for all three: every tensor of a layout has a name and a shape in each convention;
//! a file is read whole, or refused with every name that is wrong. Must not know what the
//! network is for, nor how tensors are computed with.
//!
//! ```
//! use std::sync::Arc;
//! use dermflow_nn::architecture::{Named, Published};
//! use dermflow_nn::layout::{Layout, Weights};
//! use dermflow_nn::weights::{Convention, export, import};
//!
//! let named = Named { width: 0.25, depth: 0.3, ..Named::plain(Published::EfficientNetV2B0) };
//! let weights = Weights::initialise(Arc::new(Layout::of(&named.classifier(7)?)?), 20);
//! let file = export(&weights, Convention::Timm)?;
//!
//! // The same backbone with three classes: its last layer is drawn anew, and said so.
//! let three = Arc::new(Layout::of(&named.classifier(3)?)?);
//! let imported = import(&file, three, 20)?;
//! assert_eq!(imported.report.fresh, ["classifier.weight", "classifier.bias"]);
//! assert_eq!(imported.weights.view("stem.weight"), weights.view("stem.weight"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod convention;
mod error;
mod export;
mod import;
mod order;
mod tensor_file;
#[cfg(test)]
mod tests;

pub use convention::Convention;
pub use error::{Mismatch, WeightsError};
pub use export::export;
pub(crate) use export::exported;
pub(crate) use import::import_from;
pub use import::{ImportReport, Imported, import};
pub(crate) use order::{foreign_shape, native_indices};
pub use tensor_file::MAX_HEADER_BYTES;
pub(crate) use tensor_file::{TensorFile, header_length};
