//! Blobs: bytes named by their blake3. Written once, read only, checked before they are used.

mod reading;
mod writing;

#[cfg(test)]
mod tests;

pub use writing::BlobWriter;

pub(crate) use reading::{hash_reader, is_in_place, open_regular, sort_of};
