//! Artifacts on disk: blobs, tables, records, journals, source digests, and their clean-up.
//!
//! Immutable files are the truth; every index can be thrown away. Files land by rename, a
//! record last, after what it names: a kill at any instant loses unfinished work, never an
//! answer, and nothing half-written is ever trusted. Behind a store may lie a remote, which a team
//! shares: what is not here is taken from there, verified, and what is made here is pushed.
//!
//! This crate must not know of YAML, stages or scheduling.
//!
//! ```
//! use dermflow_core::memory::batch;
//! use dermflow_store::{Store, TableReader, TableWriter};
//!
//! let folder = tempfile::tempdir().unwrap();
//! let store = Store::open(folder.path().join(".dermflow")).unwrap();
//!
//! let rows = batch(&["b", "a"], []);
//! let mut writer = TableWriter::new(&store, "Table", rows.schema()).unwrap();
//! writer.write(&rows).unwrap();
//! let table = writer.finish().unwrap();
//!
//! let reader = TableReader::open(&store, &table, None).unwrap();
//! assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 2);
//! ```

mod blob;
mod committer;
mod disk;
mod early_sync;
mod error;
mod family;
mod find;
mod forgotten;
pub mod gc;
mod inspect;
mod journal;
mod lock;
mod memo;
mod record;
mod remote;
mod shelf;
mod source;
mod stat;
mod store;
mod sweeper;

pub mod table;

#[cfg(test)]
mod testing;

pub use blob::BlobWriter;
pub use committer::Ticket;
pub use error::StoreError;
pub use find::Found;
pub use forgotten::{Erasure, Mark, Tombstone};
pub use inspect::{IndexTrouble, Inspected, record_digest};
pub use journal::{Journal, JournalName};
pub use lock::KeyLock;
pub use record::PutOutcome;
pub use remote::{Pushed, RemoteNote, RemoteUse};
pub use source::{SourceIndex, walk};
pub use stat::{Stat, now};
pub use store::Store;
pub use table::{SampleRows, TableReader, TableWriter, assemble, concatenate, take_samples};
