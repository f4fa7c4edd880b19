//! The language: a YAML file becomes a checked, typed graph of stages, or a list of everything
//! that is wrong with it.
//!
//! Two steps, two types. `written` is the file as written, every value with its place: YAML,
//! includes, params, overrides. `checked` gives it meaning: kinds, typed parameters, typed
//! wires, order. This crate must not know of stores, keys or execution.
//!
//! Rules that are not obvious:
//! * `include`d files are read first; `name` and `description` count only in the file that is
//!   asked for. Anything else that two files set is an error.
//! * A change by a variant, a matrix or `--set` merges mappings and replaces everything else,
//!   so `a.b: v` is `a: {b: v}`. `null` removes a stage, an output or a wire.
//! * `${x}` alone takes the value of `x` with its type; within a longer text it is text;
//!   `$${` is `${`. A relative path is relative to the file that wrote its beginning.
//! * Keys are texts, however they look: `1: x` has the key `1`.
//! * Top-level keys that start with `x-` are ignored: a place for anchors.
//!
//! ```
//! use dermflow_core::Registry;
//! use dermflow_graph::{CellSelection, Request, load};
//!
//! let file = std::env::temp_dir().join("dermflow-graph-example.yaml");
//! std::fs::write(&file, "stages:\n  labels: {kind: import-tabel}\n")?;
//! let registry = Registry::new();
//! let request = Request { file: &file, registry: &registry, overrides: &[], cells: CellSelection::Base };
//! let wrong = load(&request).unwrap_err();
//! let first = &wrong.0[0];
//! assert_eq!((first.code, first.place.line, first.place.column), ("unknown-kind", 2, 18));
//! assert!(wrong.to_string().contains("  labels: {kind: import-tabel}"));
//! # Ok::<(), std::io::Error>(())
//! ```

mod checked;
mod codes;
mod diagnostic;
pub mod drawing;
mod language_schema;
mod load;
mod place;
mod render;
mod report;
mod suggest;
mod written;

pub use checked::pipeline::{Output, Pipeline, ResolvedSource, Stage, Wire};
pub use checked::rule::unchecked_keywords;
pub use codes::CODES;
pub use diagnostic::{Diagnostic, Diagnostics, Note, Severity};
pub use language_schema::language_schema;
pub use load::{Loaded, Request, load, load_text};
pub use place::Place;
pub use suggest::{nearest, suggestion};
pub use written::cells::CellSelection;
pub use written::files::ReadFile;
