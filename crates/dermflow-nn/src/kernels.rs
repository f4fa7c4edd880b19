//! The arithmetic of networks on a processor: matrix products, convolutions, norms, resampling.
//!
//! Activations are float32, channels last. Kernels are written over sixteen lanes ([`lanes`])
//! and give the same bytes on every instruction set and for any number of threads: sums are cut
//! into pieces by shape alone, and partial sums are added in the order of the pieces.
//!
//! These modules must not know of documents, tapes or losses.

pub(crate) mod activation;
pub(crate) mod arena;
pub(crate) mod bilinear;
pub(crate) mod bordered;
pub(crate) mod buffer;
pub(crate) mod depthwise;
pub(crate) mod lanes;
pub(crate) mod panels;
pub(crate) mod parallel;
pub(crate) mod product;
pub(crate) mod rows;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod window;
pub(crate) mod winograd;

pub use lanes::InstructionSet;
