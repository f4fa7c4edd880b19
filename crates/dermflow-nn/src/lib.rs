//! Networks on dfdx: architectures, kernels, losses, optimisers, the training loop, weights.
//!
//! This crate must not know of tables, stages, stores or image files: it works on documents
//! that describe a network, on weights, and on batches of numbers.
