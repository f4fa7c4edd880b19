//! Questions over records: where a result came from and what it led to, what a sample reached,
//! whether a store is whole, why two results differ, what it takes to forget somebody, and the
//! papers that others ask for.
//!
//! Every answer comes from what runs recorded: records, journals, tables. This crate must not
//! know of YAML, of what a stage computes beyond what its contracts declare, or of how an answer
//! is printed on a terminal.
//!
//! ```
//! use dermflow_lineage::{Graph, Records, verify};
//! use dermflow_store::Store;
//!
//! let folder = tempfile::tempdir().unwrap();
//! let store = Store::open(folder.path().join(".dermflow")).unwrap();
//! let found = verify::verify(&store, &verify::Scope::default()).unwrap();
//! assert!(found.is_sound());
//!
//! let records = Records::read(&store).unwrap();
//! let graph = Graph::of(&records);
//! assert_eq!(records.all().count(), 0);
//! # drop(graph);
//! ```

pub mod card;
pub mod diff;
mod drawing;
pub mod export;
mod files;
pub mod forget;
pub mod graph;
mod index;
pub mod records;
pub mod reproduce;
pub mod rows;
pub mod sample;
pub mod seal;
pub mod sign;
mod time;
pub mod trace;
pub mod tree;
pub mod verify;

pub use drawing::drawing;
pub use graph::Graph;
pub use records::Records;
pub use sample::Samples;
pub use trace::Trace;
