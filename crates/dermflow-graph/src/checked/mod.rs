//! The second step: written values become stages with kinds, typed parameters and typed wires.

pub(crate) mod cell;
pub(crate) mod conform;
mod forms;
pub(crate) mod order;
pub(crate) mod pipeline;
pub(crate) mod reference;
pub(crate) mod rule;
pub(crate) mod sources;
pub(crate) mod stage;
pub(crate) mod wiring;
