//! The table `fixed-rates`: what each threshold at a fixed sensitivity or specificity gives on the
//! judged samples. Must not know how thresholds are chosen.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use dermflow_core::{Column, ColumnType, OutputPort, PortType, StageContext, StageError, TableType};

use super::rates::Rate;
use super::tables::write;
use super::targets::Target;
use crate::metric_rows::MetricRow;
use crate::scores::confusion::OneClass;

/// Shares and ratios in the table, each with its interval where `metrics` has one.
const FIGURES: [(&str, &str); 4] = [
    ("sensitivity", "sensitivity"),
    ("specificity", "specificity"),
    ("positive_likelihood_ratio", "positive-likelihood-ratio"),
    ("negative_likelihood_ratio", "negative-likelihood-ratio"),
];

fn fixed_rates_type() -> TableType {
    let mut columns = vec![
        Column::new("class", ColumnType::Text),
        Column::new("fixed", ColumnType::Text),
        Column::new("level", ColumnType::Float64),
        Column::new("threshold", ColumnType::Float64),
        Column::new("chosen_on", ColumnType::Integer),
        Column::new("chosen_among", ColumnType::Text),
        Column::new("positives", ColumnType::Integer),
        Column::new("negatives", ColumnType::Integer),
        Column::new("true_positives", ColumnType::Integer),
        Column::new("false_positives", ColumnType::Integer),
        Column::nullable("positive_predictive_value", ColumnType::Float64),
        Column::nullable("negative_predictive_value", ColumnType::Float64),
    ];
    for (name, _) in FIGURES {
        columns.push(Column::nullable(name, ColumnType::Float64));
        columns.push(Column::nullable(format!("{name}_low"), ColumnType::Float64));
        columns.push(Column::nullable(format!("{name}_high"), ColumnType::Float64));
    }
    TableType::exactly(columns)
}

/// The output port `fixed-rates`.
pub fn fixed_rates_port() -> OutputPort {
    let about = "for each class and group of classes against the rest: the threshold at a fixed specificity or sensitivity, where it was chosen, and what it gives on the judged samples";
    OutputPort::new("fixed-rates", PortType::Table(fixed_rates_type()), about)
}

/// Writes the table: `given` is what each rate's threshold gives, `rows` the metrics.
///
/// # Errors
/// Where the output can't be written.
pub fn write_fixed_rates(
    rates: &[Rate],
    targets: &[Target],
    given: &[Option<OneClass>],
    rows: &[MetricRow],
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let told: BTreeMap<(&str, &str), &MetricRow> = rows
        .iter()
        .filter(|row| row.slice.is_none())
        .filter_map(|row| Some(((row.name.as_str(), row.class.as_deref()?), row)))
        .collect();
    let class = |rate: &Rate| targets[rate.target].name.as_str();
    let keys: Vec<String> = rates
        .iter()
        .map(|rate| format!("{}\0{}\0{}", class(rate), rate.fixed.name(), rate.level))
        .collect();
    let texts = |of: &dyn Fn(&Rate) -> String| -> ArrayRef {
        Arc::new(rates.iter().map(|rate| Some(of(rate))).collect::<StringArray>())
    };
    let floats = |of: &dyn Fn(usize) -> Option<f64>| -> ArrayRef {
        Arc::new((0..rates.len()).map(of).collect::<Float64Array>())
    };
    let integers = |of: &dyn Fn(usize) -> u64| -> ArrayRef {
        Arc::new(
            (0..rates.len())
                .map(|at| Some(of(at) as i64))
                .collect::<Int64Array>(),
        )
    };
    let cells = |at: usize| given.get(at).copied().flatten().unwrap_or_default();
    let mut columns: Vec<ArrayRef> = vec![
        texts(&|rate| class(rate).to_string()),
        texts(&|rate| rate.fixed.name().to_string()),
        floats(&|at| Some(rates[at].level)),
        floats(&|at| Some(rates[at].threshold)),
        integers(&|at| rates[at].chosen_on),
        texts(&|rate| rate.chosen_among.clone()),
        integers(&|at| cells(at).true_positives + cells(at).false_negatives),
        integers(&|at| cells(at).true_negatives + cells(at).false_positives),
        integers(&|at| cells(at).true_positives),
        integers(&|at| cells(at).false_positives),
        floats(&|at| cells(at).precision()),
        floats(&|at| cells(at).negative_predictive_value()),
    ];
    for (_, figure) in FIGURES {
        let row = |at: usize| {
            told.get(&(rates[at].figure(figure).as_str(), class(&rates[at])))
                .copied()
        };
        columns.push(floats(&|at| row(at).map(|row| row.value)));
        columns.push(floats(&|at| row(at)?.interval.map(|(low, _)| low)));
        columns.push(floats(&|at| row(at)?.interval.map(|(_, high)| high)));
    }
    write(context, "fixed-rates", fixed_rates_type(), &keys, columns)
}
