//! Every stage kind of dermflow, and the registry that lists them.
//!
//! A kind is **one file**: its parameters (whose doc comments are the reference page), its
//! ports, its work, an example and its tests; and one line in [`registry`]. This crate must
//! not know of YAML places, stores, schedulers or runs: a kind sees its parameters and a
//! [`dermflow_core::StageContext`], nothing else.
//!
//! ```
//! let registry = dermflow_stages::registry();
//! let filter = registry.get("filter").unwrap();
//! let with = serde_yaml::from_str("where: {column: age, at-least: 18, below: 65}").unwrap();
//! let parameters = filter.parse(&with).unwrap();
//! assert!(filter.check(&parameters).is_empty());
//! ```

mod box_to_heatmap;
mod coerce;
mod columns;
mod concat;
mod contact_sheet;
mod draws;
mod filter;
mod foreign_parquet;
mod import_table;
mod inject_noise;
mod join;
mod list_files;
mod process;
mod random_process;
mod rejects;
mod sample;
mod synthesize;
mod whole_samples;

use dermflow_core::Registry;

pub use box_to_heatmap::BoxToHeatmap;
pub use concat::Concat;
pub use contact_sheet::ContactSheet;
pub use filter::Filter;
pub use import_table::ImportTable;
pub use inject_noise::InjectNoise;
pub use join::Join;
pub use list_files::ListFiles;
pub use process::Process;
pub use random_process::RandomProcess;
pub use sample::Sample;
pub use synthesize::Synthesize;

/// Every kind that comes with dermflow.
pub fn registry() -> Registry {
    Registry::new()
        .with::<BoxToHeatmap>()
        .with::<Concat>()
        .with::<ContactSheet>()
        .with::<Filter>()
        .with::<ImportTable>()
        .with::<InjectNoise>()
        .with::<Join>()
        .with::<ListFiles>()
        .with::<Process>()
        .with::<RandomProcess>()
        .with::<Sample>()
        .with::<Synthesize>()
}
