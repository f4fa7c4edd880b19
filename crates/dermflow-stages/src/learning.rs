//! What the kinds that train and use networks share: pictures kept ready for random access,
//! classes, batches, objectives, and the way from a stage's context into the training loop.
//!
//! Must not know of any one kind's ports beyond the names that it is given.

pub mod activation;
pub mod batches;
pub mod classes;
pub mod classifier;
pub mod classifier_ports;
pub mod decode;
pub mod folds;
pub mod infer;
pub mod learnable;
pub mod lesion_batches;
pub mod lesions;
pub mod network;
pub mod normalise;
pub mod order;
pub mod pictures;
pub mod prior;
pub mod run;
pub mod train_classifier;
pub mod train_regressor;
pub mod wired_architecture;

#[cfg(test)]
mod refused_trainings;
