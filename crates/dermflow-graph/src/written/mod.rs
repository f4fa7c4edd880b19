//! The first step: pipelines as written, every value with its place. Nothing here knows what
//! kinds there are.

pub(crate) mod cells;
pub(crate) mod files;
pub(crate) mod node;
pub(crate) mod overrides;
pub(crate) mod parameters;
pub(crate) mod pipeline;
pub(crate) mod reader;
pub(crate) mod scalar;

pub(crate) use node::{Key, Node, Value};
pub(crate) use pipeline::{WrittenPipeline, WrittenStage};
