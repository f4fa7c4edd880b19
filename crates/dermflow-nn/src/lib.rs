//! Networks on dfdx: architectures, kernels, losses, optimisers, the training loop, weights.
//!
//! This crate must not know of tables, stages, stores or image files: it works on documents
//! that describe a network, on weights, and on batches of numbers.
//!
//! ```
//! use dermflow_nn::architecture::{Named, Published};
//! use dermflow_nn::layout::Layout;
//!
//! let architecture = Named::plain(Published::EfficientNetV2B0).classifier(50)?;
//! let layout = Layout::of(&architecture)?;
//! assert_eq!(layout.parameters(), 5_922_754);
//! assert_eq!(layout.find("blocks.3.project.weight").unwrap().shape, [48, 1, 1, 128]);
//! # Ok::<(), dermflow_nn::architecture::InvalidArchitecture>(())
//! ```

pub mod architecture;
pub mod average;
pub mod cost;
pub mod initialise;
pub mod kernels;
pub mod layout;
pub mod loss;
pub mod model_file;
pub mod network;
pub mod onnx;
pub mod optimiser;
mod parameters;
pub mod progressive;
#[cfg(test)]
mod published_table;
pub mod sampling;
pub mod scaling;
pub mod schedule;
pub mod training;
pub mod weights;

pub use parameters::{Flat, GradientSlot, Parameters, TrainingTape, tape_onto};
