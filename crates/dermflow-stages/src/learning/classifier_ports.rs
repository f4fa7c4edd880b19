//! What every kind that trains a classifier reads and writes: its ports, and the table of classes.
//!
//! Must not know how a classifier is trained.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use dermflow_core::{
    Arity, Column, ColumnType, Contract, InputPort, OutputPort, PortType, SampleId, StageContext, StageError,
    TableType, sample_ids,
};

use super::classes::Classes;
use super::run::history_port;
use super::wired_architecture::architecture_port;

/// The history's scores, those of [`ClassifierObjective`](super::classifier::ClassifierObjective).
pub const SCORES: [&str; 3] = ["valid_balanced_accuracy", "valid_accuracy", "valid_cross_entropy"];

/// The columns of `Samples` that are read.
const SAMPLE_COLUMNS: [&str; 5] = ["width", "height", "placed_width", "placed_height", "pixels"];

/// A table of this contract and more.
pub fn contract(name: &str) -> PortType {
    // The names used here are in the constant list of contracts; `any` only keeps this total.
    PortType::Table(Contract::named(name).map_or_else(TableType::any, TableType::of))
}

/// The input ports of every kind that trains a classifier.
pub fn inputs(labels: &'static str) -> Vec<InputPort> {
    vec![
        InputPort::one("samples", contract("Samples"), "the pictures").reading(SAMPLE_COLUMNS),
        InputPort::one("labels", contract("Labels"), labels).reading(["label"]),
        InputPort::one(
            "splits",
            contract("Splits"),
            "which of the labelled pictures are learned from, and which measured on",
        )
        .with_arity(Arity::Optional)
        .reading(["fold"]),
        InputPort::one(
            "validation",
            contract("Labels"),
            "true labels of other pictures, to measure on instead of a fold",
        )
        .with_arity(Arity::Optional)
        .reading(["label"]),
        InputPort::one(
            "init",
            PortType::Model(Some("classifier".to_string())),
            "the model to go on from",
        )
        .with_arity(Arity::Optional),
        architecture_port(),
    ]
}

/// The output ports of every kind that trains a classifier.
pub fn outputs() -> Vec<OutputPort> {
    vec![
        OutputPort::new(
            "model",
            PortType::Model(Some("classifier".to_string())),
            "the classifier",
        ),
        history_port(&SCORES),
        OutputPort::new(
            "classes",
            PortType::Table(classes_type()),
            "the classes and their places",
        ),
    ]
}

fn classes_type() -> TableType {
    TableType::exactly([
        Column::new("class", ColumnType::Text),
        Column::new("index", ColumnType::Integer),
    ])
}

/// Writes the output `classes`.
///
/// # Errors
/// Where the output can't be written.
pub fn write_classes(classes: &Classes, context: &mut dyn StageContext) -> Result<(), StageError> {
    let names = classes.names();
    let ids: Vec<SampleId> = names
        .iter()
        .map(|name| SampleId::of_key(&format!("class {name}")))
        .collect();
    let index: Int64Array = (0..names.len() as i64).map(Some).collect();
    let columns: Vec<ArrayRef> = vec![
        sample_ids(&ids),
        Arc::new(names.iter().map(Some).collect::<StringArray>()),
        Arc::new(index),
    ];
    let schema = classes_type().schema();
    let mut out = context.write_table("classes", schema.clone())?;
    out.write(&RecordBatch::try_new(schema, columns)?)?;
    out.finish()
}
