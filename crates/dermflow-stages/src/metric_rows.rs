//! Rows of a `Metrics` table as evaluating kinds write them: a figure, of all samples or a
//! slice, of all classes together or one, with its interval.
//!
//! A row's sample id is that of the key `metric` + name + class + slice, so that the same
//! figure of two runs has one id and `join` sets them side by side. Must not know how a figure
//! is computed.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use dermflow_core::{
    Column, ColumnType, Contract, OutputPort, PortType, SampleId, StageContext, StageError, TableType,
    sample_ids,
};

/// One figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricRow {
    /// What it is: `balanced-accuracy`.
    pub name: String,
    /// The class it is about; none for all together.
    pub class: Option<String>,
    /// Of which samples; none for all.
    pub slice: Option<String>,
    /// The figure itself.
    pub value: f64,
    /// The lower and upper end of its interval.
    pub interval: Option<(f64, f64)>,
    /// Over how many samples.
    pub n: u64,
}

impl MetricRow {
    /// The id of its row.
    pub fn id(&self) -> SampleId {
        let part = |text: &Option<String>| text.as_ref().map_or("-".to_string(), |text| format!("={text}"));
        SampleId::of_key(&format!(
            "metric\0{}\0{}\0{}",
            self.name,
            part(&self.class),
            part(&self.slice)
        ))
    }
}

/// The type of the table: the contract `Metrics` and the class.
pub fn metrics_type() -> TableType {
    let contract = Contract::named("Metrics")
        .map(Contract::columns)
        .unwrap_or_default();
    TableType {
        contract: "Metrics".to_string(),
        columns: contract
            .into_iter()
            .chain([Column::nullable("class", ColumnType::Text)])
            .collect(),
        open: false,
    }
}

/// The output port `metrics`.
pub fn metrics_port(about: &'static str) -> OutputPort {
    OutputPort::new("metrics", PortType::Table(metrics_type()), about)
}

/// Writes the rows to the output `metrics`, and the figures of all samples and classes into the
/// action's record.
///
/// # Errors
/// Where the output can't be written.
pub fn write_metrics(context: &mut dyn StageContext, rows: &[MetricRow]) -> Result<(), StageError> {
    for row in rows
        .iter()
        .filter(|row| row.class.is_none() && row.slice.is_none())
    {
        context.metric(&row.name, row.value);
    }
    let schema = metrics_type().schema();
    let mut out = context.write_table("metrics", schema.clone())?;
    let ids: Vec<SampleId> = rows.iter().map(MetricRow::id).collect();
    let names: StringArray = rows.iter().map(|row| Some(row.name.as_str())).collect();
    let slices: StringArray = rows.iter().map(|row| row.slice.as_deref()).collect();
    let classes: StringArray = rows.iter().map(|row| row.class.as_deref()).collect();
    let values: Float64Array = rows.iter().map(|row| Some(row.value)).collect();
    let low: Float64Array = rows.iter().map(|row| row.interval.map(|(low, _)| low)).collect();
    let high: Float64Array = rows
        .iter()
        .map(|row| row.interval.map(|(_, high)| high))
        .collect();
    let n: Int64Array = rows.iter().map(|row| Some(row.n as i64)).collect();
    let columns: Vec<ArrayRef> = vec![
        sample_ids(&ids),
        Arc::new(names),
        Arc::new(slices),
        Arc::new(values),
        Arc::new(low),
        Arc::new(high),
        Arc::new(n),
        Arc::new(classes),
    ];
    out.write(&RecordBatch::try_new(schema, columns)?)?;
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_known_by_name_class_and_slice_alone() {
        let row = |class: Option<&str>, slice: Option<&str>, value: f64| MetricRow {
            name: "f1".to_string(),
            class: class.map(str::to_string),
            slice: slice.map(str::to_string),
            value,
            ..MetricRow::default()
        };
        assert_eq!(row(None, None, 1.0).id(), row(None, None, 2.0).id());
        let all = [
            row(None, None, 0.0),
            row(Some("a"), None, 0.0),
            row(None, Some("a"), 0.0),
            row(Some("-"), None, 0.0),
            row(Some(""), None, 0.0),
        ];
        for (at, left) in all.iter().enumerate() {
            for right in &all[at + 1..] {
                assert_ne!(left.id(), right.id());
            }
        }
    }
}
