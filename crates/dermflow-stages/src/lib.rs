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
mod apportion;
mod attributes;
mod average_predictions;
mod bootstrap;
mod box_to_heatmap;
mod boxes;
mod check_leakage;
mod class_list;
mod classifier_infer;
mod classifier_train;
mod coerce;
mod columns;
mod compound_scale;
mod concat;
mod contact_sheet;
mod draws;
mod evaluate;
mod evaluate_detections;
mod evaluate_foreground;
mod explain;
mod export_labelling;
mod export_model;
mod filter;
mod foreign_parquet;
mod import_boxes;
mod import_labels;
mod import_model;
mod import_table;
mod ingest;
mod inject_noise;
mod join;
mod join_files;
mod joint_retrain;
mod label_audit;
mod learning;
#[cfg(test)]
mod lesions;
mod list_files;
mod merge_classes;
mod metric_rows;
#[cfg(test)]
mod mutation;
pub mod predict;
mod prediction_rows;
mod process;
mod random_process;
mod rank_resample;
mod regressor_infer;
mod regressor_train;
mod rejects;
mod sample;
mod scores;
mod select_for_labelling;
mod sliced;
mod split;
mod synthesize;
mod trap_sets;
mod unpack;
mod whole_samples;

use dermflow_core::Registry;

pub use average_predictions::AveragePredictions;
pub use bootstrap::Bootstrap;
pub use box_to_heatmap::BoxToHeatmap;
pub use check_leakage::CheckLeakage;
pub use classifier_infer::{ClassifierInfer, Views};
pub use classifier_train::ClassifierTrain;
pub use compound_scale::CompoundScale;
pub use concat::Concat;
pub use contact_sheet::ContactSheet;
pub use evaluate::{Evaluate, paired};
pub use evaluate_detections::EvaluateDetections;
pub use evaluate_foreground::EvaluateForeground;
pub use explain::Explain;
pub use export_labelling::ExportLabelling;
pub use export_model::ExportModel;
pub use filter::Filter;
pub use import_boxes::ImportBoxes;
pub use import_labels::ImportLabels;
pub use import_model::ImportModel;
pub use import_table::ImportTable;
pub use ingest::Ingest;
pub use inject_noise::InjectNoise;
pub use join::Join;
pub use join_files::JoinFiles;
pub use joint_retrain::JointRetrain;
pub use label_audit::LabelAudit;
pub use list_files::ListFiles;
pub use merge_classes::MergeClasses;
pub use process::Process;
pub use random_process::RandomProcess;
pub use rank_resample::RankResample;
pub use regressor_infer::RegressorInfer;
pub use regressor_train::RegressorTrain;
pub use sample::Sample;
pub use select_for_labelling::SelectForLabelling;
pub use split::Split;
pub use synthesize::Synthesize;
pub use trap_sets::TrapSets;
pub use unpack::Unpack;

/// Every kind that comes with dermflow.
pub fn registry() -> Registry {
    Registry::new()
        .with::<AveragePredictions>()
        .with::<BoxToHeatmap>()
        .with::<CheckLeakage>()
        .with::<ClassifierInfer>()
        .with::<ClassifierTrain>()
        .with::<CompoundScale>()
        .with::<Concat>()
        .with::<ContactSheet>()
        .with::<Evaluate>()
        .with::<EvaluateDetections>()
        .with::<EvaluateForeground>()
        .with::<Explain>()
        .with::<ExportLabelling>()
        .with::<ExportModel>()
        .with::<Filter>()
        .with::<ImportBoxes>()
        .with::<ImportLabels>()
        .with::<ImportModel>()
        .with::<ImportTable>()
        .with::<Ingest>()
        .with::<InjectNoise>()
        .with::<Join>()
        .with::<JoinFiles>()
        .with::<JointRetrain>()
        .with::<LabelAudit>()
        .with::<ListFiles>()
        .with::<MergeClasses>()
        .with::<Process>()
        .with::<RandomProcess>()
        .with::<RankResample>()
        .with::<RegressorInfer>()
        .with::<RegressorTrain>()
        .with::<Sample>()
        .with::<SelectForLabelling>()
        .with::<Split>()
        .with::<Synthesize>()
        .with::<TrapSets>()
        .with::<Unpack>()
}
