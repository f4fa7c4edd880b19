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

mod annotations;
mod box_to_heatmap;
mod check_leakage;
mod coerce;
mod columns;
mod concat;
mod contact_sheet;
mod draws;
mod export_labelling;
mod filter;
mod foreign_parquet;
mod import_boxes;
mod import_labels;
mod import_table;
mod ingest;
mod inject_noise;
mod join;
mod join_files;
mod list_files;
mod merge_classes;
mod process;
mod random_process;
mod rejects;
mod sample;
mod select_for_labelling;
mod split;
mod synthesize;
mod unpack;
mod whole_samples;

use dermflow_core::Registry;

pub use box_to_heatmap::BoxToHeatmap;
pub use check_leakage::CheckLeakage;
pub use concat::Concat;
pub use contact_sheet::ContactSheet;
pub use export_labelling::ExportLabelling;
pub use filter::Filter;
pub use import_boxes::ImportBoxes;
pub use import_labels::ImportLabels;
pub use import_table::ImportTable;
pub use ingest::Ingest;
pub use inject_noise::InjectNoise;
pub use join::Join;
pub use join_files::JoinFiles;
pub use list_files::ListFiles;
pub use merge_classes::MergeClasses;
pub use process::Process;
pub use random_process::RandomProcess;
pub use sample::Sample;
pub use select_for_labelling::SelectForLabelling;
pub use split::Split;
pub use synthesize::Synthesize;
pub use unpack::Unpack;

/// Every kind that comes with dermflow.
pub fn registry() -> Registry {
    Registry::new()
        .with::<BoxToHeatmap>()
        .with::<CheckLeakage>()
        .with::<Concat>()
        .with::<ContactSheet>()
        .with::<ExportLabelling>()
        .with::<Filter>()
        .with::<ImportBoxes>()
        .with::<ImportLabels>()
        .with::<ImportTable>()
        .with::<Ingest>()
        .with::<InjectNoise>()
        .with::<Join>()
        .with::<JoinFiles>()
        .with::<ListFiles>()
        .with::<MergeClasses>()
        .with::<Process>()
        .with::<RandomProcess>()
        .with::<Sample>()
        .with::<SelectForLabelling>()
        .with::<Split>()
        .with::<Synthesize>()
        .with::<Unpack>()
}
