//! All that a stage needs: digests, canonical encoding, contracts, and the traits of a kind.
//!
//! This crate must not know of YAML files, stores, schedulers, images or networks. A
//! third-party stage depends on it alone.
//!
//! A whole stage kind, run over a table in memory:
//!
//! ```
//! use dermflow_core::{
//!     Column, ColumnType, Inputs, InputPort, InputTypes, OutputPort, PortType, Problem, StageContext, StageError,
//!     StageKind, TableType, memory::{MemoryContext, batch},
//! };
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! /// Counts rows.
//! struct CountRows;
//!
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct CountRowsParameters {}
//!
//! impl StageKind for CountRows {
//!     type Parameters = CountRowsParameters;
//!     const NAME: &'static str = "count-rows";
//!     const VERSION: u32 = 1;
//!     const ABOUT: &'static str = "Reports how many rows a table has, and passes their ids on.";
//!     const EXAMPLE: &'static str = "";
//!
//!     fn inputs(_: &CountRowsParameters) -> Inputs {
//!         let table = InputPort::one("table", PortType::Table(TableType::any()), "the rows").reading([""; 0]);
//!         Inputs { ports: vec![table], open: false }
//!     }
//!     fn outputs(_: &CountRowsParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
//!         Ok(vec![OutputPort::new("table", PortType::Table(TableType::exactly([])), "the ids")])
//!     }
//!     fn run(_: &CountRowsParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
//!         let table = context.table("table")?;
//!         let mut out = context.write_table("table", table.schema())?;
//!         context.metric("rows", table.rows() as f64);
//!         for batch in table {
//!             out.write(&batch?)?;
//!         }
//!         out.finish()
//!     }
//! }
//!
//! let mut context = MemoryContext::default();
//! context.add_table("table", batch(&["b", "a"], []));
//! CountRows::run(&CountRowsParameters {}, &mut context).unwrap();
//! assert_eq!(context.metrics["rows"], 2.0);
//! assert_eq!(context.output("table").num_rows(), 2);
//! ```

pub mod artifact;
pub mod canonical;
pub mod column_digest;
pub mod context;
pub mod contract;
pub mod digest;
pub mod manifest;
pub mod memory;
pub mod port;
pub mod record;
pub mod registry;
pub mod sample_id;
pub mod stage;

pub use artifact::{Artifact, BlobRef, Partition, TableManifest};
pub use column_digest::ColumnHasher;
pub use context::{Cause, NamedFile, StageContext, StageError, TableFiles, TableReader, TableWriter};
pub use contract::{CONTRACTS, Column, ColumnType, Contract, SAMPLE_ID, TableType};
pub use digest::Digest;
pub use manifest::{InputDigest, Key, Manifest, SourceDigest};
pub use port::{Arity, InputPort, InputTypes, Inputs, OutputPort, PortType, Reads, SideRows};
pub use record::{Ancestor, Making, Record};
pub use registry::Registry;
pub use sample_id::{SampleId, sample_ids, sample_ids_as_text};
pub use stage::{
    FILES_PORT, InputSizes, Kind, Parameters, Problem, Resources, Shape, Source, StageKind, Take, Tool, erase,
};
