//! Tables: rows sorted by sample id, cut into Parquet files where the ids say so.
//!
//! The cut is a function of content: whatever order or batches rows come in, and whether a
//! table is written at once or assembled from pieces, the same rows give the same partitions.
//! A border falls after the last row of an id that [`dermflow_core::SampleId::ends_partition`];
//! and, so that no partition grows without bound, at the first change of id after
//! a fixed number of rows or bytes since the last border. All rows of one id lie together.

mod assemble;
mod columns;
mod concatenate;
mod cut;
mod merge;
mod parquet_file;
mod reader;
mod samples;
mod shrinking;
mod sort;
mod writer;

#[cfg(test)]
mod tests;

pub use assemble::assemble;
pub use columns::{columns_of, schema_of};
pub use concatenate::concatenate;
pub use reader::TableReader;
pub use samples::{SampleRows, take_samples};
pub use writer::TableWriter;
