//! What a network costs: parameters, multiply-adds, memory. Exact, from the document alone
//! (`method.md` C2). Must not know of weights or kernels beyond what they hold in memory.

mod memory;
mod operations;
#[cfg(test)]
mod tests;

pub use memory::{
    BatchShape, Memory, TrainingSetup, inference_memory, training_memory, training_memory_at_least,
};
pub use operations::{multiply_adds, parameters};
