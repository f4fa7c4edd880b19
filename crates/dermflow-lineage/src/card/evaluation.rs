//! [`Metric`]: figures of a model, from every metrics table that it led to.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};
use dermflow_core::{Artifact, Digest, StageError};
use serde::Serialize;

use crate::graph::Graph;
use crate::records::Records;
use crate::rows::open;

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metric {
    /// The stage that measured it.
    pub stage: String,
    /// On which fold, where the stage names one.
    pub fold: Option<String>,
    /// What it is.
    pub name: String,
    /// The class that it is about.
    pub class: Option<String>,
    /// Of which samples.
    pub slice: Option<String>,
    /// The figure.
    pub value: f64,
    /// The ends of its interval.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// Over how many samples.
    pub n: Option<i64>,
}

/// Every row of every metrics table that was made from the model.
pub(super) fn metrics(
    records: &Records,
    graph: &Graph<'_>,
    model: &Digest,
) -> Result<Vec<Metric>, StageError> {
    let mut found = Vec::new();
    for key in graph.consequences(model) {
        let Some(node) = records.node(&key) else { continue };
        // A model that was trained on from this one has figures of its own.
        let behind = graph.ancestry(&key);
        let others = behind.iter().filter_map(|key| records.node(key));
        let models = others.flat_map(|node| node.outputs.values());
        let newest = models.filter(|artifact| artifact.sort() == "model").last();
        if newest.is_some_and(|artifact| artifact.name() != *model) {
            continue;
        }
        for (_, artifact) in node.shown() {
            let Artifact::Table(table) = artifact else {
                continue;
            };
            if table.contract != "Metrics" {
                continue;
            }
            let parameters = records.record(&key)?.manifest.parameters;
            let fold = parameters.as_map().and_then(|entries| match entries.get("fold") {
                Some(dermflow_core::canonical::Value::Text(fold)) => Some(fold.clone()),
                _ => None,
            });
            let columns: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
            let Ok(reader) = open(records.store(), table, 0..table.partitions.len(), &columns) else {
                continue;
            };
            for batch in reader {
                let batch = batch?;
                let column = |name: &str| batch.column_by_name(name);
                for row in 0..batch.num_rows() {
                    found.push(Metric {
                        stage: records.title(&key),
                        fold: fold.clone(),
                        name: text(column("name"), row).unwrap_or_default(),
                        class: text(column("class"), row),
                        slice: text(column("slice"), row),
                        value: number(column("value"), row).unwrap_or(f64::NAN),
                        low: number(column("low"), row),
                        high: number(column("high"), row),
                        n: column("n")
                            .and_then(|values| values.as_primitive_opt::<Int64Type>())
                            .filter(|values| values.is_valid(row))
                            .map(|values| values.value(row)),
                    });
                }
            }
        }
    }
    found.sort_by(|a, b| {
        let order = |metric: &Metric| {
            let Metric {
                stage,
                slice,
                class,
                name,
                ..
            } = metric;
            (stage.clone(), slice.clone(), class.clone(), name.clone())
        };
        order(a).cmp(&order(b))
    });
    Ok(found)
}

fn text(column: Option<&ArrayRef>, row: usize) -> Option<String> {
    let values = column?.as_string_opt::<i32>()?;
    values.is_valid(row).then(|| values.value(row).to_string())
}

fn number(column: Option<&ArrayRef>, row: usize) -> Option<f64> {
    let values = column?.as_primitive_opt::<Float64Type>()?;
    values.is_valid(row).then(|| values.value(row))
}
