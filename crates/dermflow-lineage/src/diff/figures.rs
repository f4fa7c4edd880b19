//! Figures of two sides next to each other: those that stages reported, and the rows of metrics
//! tables.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray};
use arrow::datatypes::Float64Type;
use dermflow_core::{Artifact, Key, StageError, TableManifest};
use serde::Serialize;

use super::Side;
use crate::records::Records;
use crate::rows::open;

/// A figure on both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// The stage.
    pub stage: String,
    /// The figure, with its slice where it has one: `accuracy [site=arm]`.
    pub name: String,
    /// On the first side.
    pub from: Option<f64>,
    /// On the second side.
    pub to: Option<f64>,
}

impl Figure {
    fn differs(&self) -> bool {
        self.from.map(f64::to_bits) != self.to.map(f64::to_bits)
    }
}

/// Figures of all stages that either side has, those that differ first.
///
/// # Errors
/// Where a record can't be read.
pub fn figures(records: &Records, sides: [&Side; 2]) -> Result<Vec<Figure>, StageError> {
    let names: BTreeSet<&String> = sides.iter().flat_map(|side| side.stages.keys()).collect();
    let mut all = Vec::new();
    for stage in names {
        let [from, to] = sides.map(|side| side.stages.get(stage));
        if from == to {
            continue;
        }
        let (from, to) = (of(records, from)?, of(records, to)?);
        let known: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
        all.extend(known.into_iter().map(|name| Figure {
            stage: stage.clone(),
            name: name.clone(),
            from: from.get(name).copied(),
            to: to.get(name).copied(),
        }));
    }
    all.sort_by_key(|figure| !figure.differs());
    Ok(all)
}

fn of(records: &Records, key: Option<&Key>) -> Result<BTreeMap<String, f64>, StageError> {
    let Some(key) = key else {
        return Ok(BTreeMap::new());
    };
    let record = records.record(key)?;
    let mut figures = record.making.metrics;
    for artifact in record.outputs.values() {
        if let Artifact::Table(table) = artifact
            && table.contract == "Metrics"
        {
            // A table whose blobs are gone has no figures to show.
            figures.extend(rows(records, table).unwrap_or_default());
        }
    }
    Ok(figures)
}

/// The rows of a table of the contract `Metrics`.
pub(crate) fn rows(records: &Records, table: &TableManifest) -> Result<BTreeMap<String, f64>, StageError> {
    let known = |name: &&&str| table.columns.iter().any(|column| column.name == ***name);
    let columns = ["name", "slice", "value", "class"];
    let columns: Vec<String> = columns
        .iter()
        .filter(known)
        .map(|name| (*name).to_string())
        .collect();
    let mut figures = BTreeMap::new();
    for batch in open(records.store(), table, 0..table.partitions.len(), &columns)? {
        let batch = batch?;
        let text = |name: &str| {
            batch
                .column_by_name(name)
                .and_then(|column| column.as_string_opt::<i32>())
        };
        let values = batch
            .column_by_name("value")
            .and_then(|column| column.as_primitive_opt::<Float64Type>());
        let (Some(names), Some(values)) = (text("name"), values) else {
            continue;
        };
        let (slices, classes) = (text("slice"), text("class"));
        for row in 0..batch.num_rows() {
            let told = |texts: Option<&arrow::array::StringArray>| {
                let there = texts.filter(|texts| !texts.is_null(row));
                there.map(|texts| texts.value(row).to_string())
            };
            let class = told(classes).map_or(String::new(), |class| format!(" of {class}"));
            let slice = told(slices).map_or(String::new(), |slice| format!(" [{slice}]"));
            figures.insert(format!("{}{class}{slice}", names.value(row)), values.value(row));
        }
    }
    Ok(figures)
}
