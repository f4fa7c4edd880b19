//! Plan and execute: from a checked pipeline and a store to results.
//!
//! [`plan`] says for every stage hit, miss or waits, and why. [`run`] computes what is missing
//! on one pool of threads, stages and partitions together, and tells [`Event`]s. [`recall`] answers
//! for both where nothing changed since an earlier run or plan.
//!
//! This crate must not know of YAML text, of any stage kind, or of how things are shown.
//!
//! ```
//! use dermflow_engine::{Interrupt, Options, Sources, run};
//! use dermflow_graph::{CellSelection, Request, load};
//! use dermflow_store::Store;
//!
//! let folder = tempfile::tempdir().unwrap();
//! let file = folder.path().join("files.yaml");
//! std::fs::write(folder.path().join("a.txt"), "a lesion").unwrap();
//! std::fs::write(&file, "name: files\nstages: {all: {kind: list-files, with: {path: .}}}").unwrap();
//! let registry = dermflow_stages::registry();
//! let request = Request { file: &file, registry: &registry, overrides: &[], cells: CellSelection::Base };
//! let pipelines = load(&request).unwrap().pipelines;
//!
//! let store = tempfile::tempdir().unwrap();
//! let store = Store::open(store.path().join(".dermflow")).unwrap();
//! let sources = Sources::new(&store, false);
//! let mut counts = Vec::new();
//! for _ in 0..2 {
//!     let summary = run(&pipelines, &store, &sources, &Options::default(), &|_| {}, &Interrupt::new()).unwrap();
//!     counts.push((summary.executed, summary.hit));
//! }
//! assert_eq!(counts, [(1, 0), (0, 1)]);
//! ```

mod action;
mod context;
mod event;
mod executor;
mod finished;
mod hashed_file;
mod history;
mod interrupt;
mod map;
mod memo;
mod plan;
mod publish;
mod reason;
mod recall;
mod remote;
mod rows;
mod run;
mod scheduler;
mod seeds;
mod side_rows;
mod slots;
mod sources;
mod spare;
mod takeover;
mod whole;
mod worker;
mod workshop;

pub use action::{Action, BoundInput, FORGOTTEN_SOURCE, Unbound};
pub use event::{Event, Sink, StageLabel, Summary};
pub use executor::{ActionFile, Capabilities, Executor, LineSink, ProcessExecutor, Submission};
pub use finished::Finished;
pub use history::{History, JournalLine, Sealed, cell_digest};
pub use interrupt::Interrupt;
pub use memo::{Invocation, Remember};
pub use plan::{Outlook, PlannedStage, plan};
pub use publish::{LaidOut, Published, export, laid_out, published};
pub use reason::Reason;
pub use recall::{Recalled, recall};
pub use remote::{execute, execute_quietly};
pub use run::{Options, run};
pub use sources::{BoundSource, Sources};
