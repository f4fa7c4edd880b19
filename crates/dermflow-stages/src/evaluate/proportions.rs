//! The table `proportions`: every figure that is a share of samples, with its counts and Wilson's
//! interval. Must not know how figures are computed.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use dermflow_core::{
    Column, ColumnType, OutputPort, PortType, SampleId, StageContext, StageError, TableType, sample_ids,
};

use crate::metric_rows::MetricRow;
use crate::scores::wilson::wilson;

fn proportions_type() -> TableType {
    TableType::exactly([
        Column::new("name", ColumnType::Text),
        Column::nullable("class", ColumnType::Text),
        Column::nullable("slice", ColumnType::Text),
        Column::new("hits", ColumnType::Integer),
        Column::new("n", ColumnType::Integer),
        Column::new("value", ColumnType::Float64),
        Column::new("low", ColumnType::Float64),
        Column::new("high", ColumnType::Float64),
    ])
}

/// The output port `proportions`.
pub fn proportions_port() -> OutputPort {
    let about = "every share of samples with its counts and Wilson's interval, which takes photos of one patient for independent";
    OutputPort::new("proportions", PortType::Table(proportions_type()), about)
}

/// Whether a figure is a share of its `n` samples.
fn is_proportion(name: &str) -> bool {
    const PLAIN: [&str; 6] = [
        "accuracy",
        "coverage",
        "sensitivity",
        "specificity",
        "precision",
        "negative-predictive-value",
    ];
    let at_point = [
        "sensitivity-at-",
        "specificity-at-",
        "coverage-at-",
        "risk-at-",
        "unseen-rejected-at-",
        "risk-with-unseen-at-",
    ];
    PLAIN.contains(&name)
        || at_point.iter().any(|prefix| name.starts_with(prefix))
        || (name.starts_with("top-") && name.ends_with("-accuracy"))
}

/// Writes the shares among the figures.
///
/// # Errors
/// Where the output can't be written.
pub fn write_proportions(
    rows: &[MetricRow],
    level: f64,
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let shares: Vec<(&MetricRow, u64, (f64, f64))> = rows
        .iter()
        .filter(|row| is_proportion(&row.name))
        .filter_map(|row| {
            let hits = (row.value * row.n as f64).round() as u64;
            Some((row, hits, wilson(hits, row.n, level)?))
        })
        .collect();
    let texts = |of: &dyn Fn(&MetricRow) -> Option<String>| -> ArrayRef {
        Arc::new(shares.iter().map(|(row, ..)| of(row)).collect::<StringArray>())
    };
    let integers = |of: &dyn Fn(usize) -> u64| -> ArrayRef {
        Arc::new(
            (0..shares.len())
                .map(|at| Some(of(at) as i64))
                .collect::<Int64Array>(),
        )
    };
    let floats = |of: &dyn Fn(usize) -> f64| -> ArrayRef {
        Arc::new((0..shares.len()).map(|at| Some(of(at))).collect::<Float64Array>())
    };
    // The same figure of two runs has one id, as in `metrics`.
    let ids: Vec<SampleId> = shares.iter().map(|(row, ..)| row.id()).collect();
    let columns: Vec<ArrayRef> = vec![
        sample_ids(&ids),
        texts(&|row| Some(row.name.clone())),
        texts(&|row| row.class.clone()),
        texts(&|row| row.slice.clone()),
        integers(&|at| shares[at].1),
        integers(&|at| shares[at].0.n),
        floats(&|at| shares[at].0.value),
        floats(&|at| shares[at].2.0),
        floats(&|at| shares[at].2.1),
    ];
    let schema = proportions_type().schema();
    let mut out = context.write_table("proportions", schema.clone())?;
    out.write(&RecordBatch::try_new(schema, columns)?)?;
    out.finish()
}
