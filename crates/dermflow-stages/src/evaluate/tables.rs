//! The tables beside `metrics`: what was taken for what, calibration by bins, reject options.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use dermflow_core::{
    Column, ColumnType, OutputPort, PortType, SampleId, StageContext, StageError, TableType, sample_ids,
};

use super::cases::Cases;
use super::points::Point;
use super::subset::Subset;
use crate::scores::calibration::{Bin, upper_edge};
use crate::scores::share;

fn confusion_type() -> TableType {
    TableType::exactly([
        Column::new("truth", ColumnType::Text),
        Column::new("predicted", ColumnType::Text),
        Column::new("seen", ColumnType::Boolean),
        Column::new("count", ColumnType::Integer),
        Column::new("share", ColumnType::Float64),
    ])
}

/// The output port `confusion`.
pub fn confusion_port() -> OutputPort {
    let about = "how often each true class was taken for each: a row a pair that occurs, with its share of the true class";
    OutputPort::new("confusion", PortType::Table(confusion_type()), about)
}

fn reliability_type() -> TableType {
    TableType::exactly([
        Column::new("binning", ColumnType::Text),
        Column::new("bin", ColumnType::Integer),
        Column::nullable("lower", ColumnType::Float64),
        Column::nullable("upper", ColumnType::Float64),
        Column::new("count", ColumnType::Integer),
        Column::nullable("confidence", ColumnType::Float64),
        Column::nullable("accuracy", ColumnType::Float64),
    ])
}

/// The output port `reliability`.
pub fn reliability_port() -> OutputPort {
    let about = "confidence and accuracy by bins of equal width and of equal count, and the same with the fitted temperature (`…-scaled`)";
    OutputPort::new("reliability", PortType::Table(reliability_type()), about)
}

fn operating_points_type() -> TableType {
    TableType::exactly([
        Column::new("point", ColumnType::Text),
        Column::new("by", ColumnType::Text),
        Column::new("threshold", ColumnType::Float64),
        Column::nullable("wanted_coverage", ColumnType::Float64),
        Column::nullable("chosen_on", ColumnType::Integer),
        Column::nullable("chosen_among", ColumnType::Text),
        Column::new("seen", ColumnType::Integer),
        Column::new("kept", ColumnType::Integer),
        Column::new("wrong", ColumnType::Integer),
        Column::new("unseen", ColumnType::Integer),
        Column::new("unseen_rejected", ColumnType::Integer),
        Column::nullable("coverage", ColumnType::Float64),
        Column::nullable("risk", ColumnType::Float64),
    ])
}

/// The output port `operating-points`.
pub fn operating_points_port() -> OutputPort {
    let about = "each reject option: its threshold, and what it keeps and rejects";
    OutputPort::new(
        "operating-points",
        PortType::Table(operating_points_type()),
        about,
    )
}

/// Writes a table whose rows are named by `keys`.
///
/// # Errors
/// Where the output can't be written.
pub fn write(
    context: &mut dyn StageContext,
    port: &str,
    table: TableType,
    keys: &[String],
    columns: Vec<ArrayRef>,
) -> Result<(), StageError> {
    let schema = table.schema();
    let ids: Vec<SampleId> = keys
        .iter()
        .map(|key| SampleId::of_key(&format!("{port}\0{key}")))
        .collect();
    let mut out = context.write_table(port, schema.clone())?;
    let columns = std::iter::once(sample_ids(&ids)).chain(columns).collect();
    out.write(&RecordBatch::try_new(schema, columns)?)?;
    out.finish()
}

/// Writes `confusion`: pairs that occur among the judged samples, unseen true classes too.
///
/// # Errors
/// Where the output can't be written.
pub fn write_confusion(
    cases: &Cases,
    judged: &[u32],
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let mut pairs: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    let mut truths: BTreeMap<u32, u64> = BTreeMap::new();
    for sample in judged {
        let (truth, predicted) = (cases.truth[*sample as usize], cases.predicted[*sample as usize]);
        *pairs.entry((truth, predicted)).or_default() += 1;
        *truths.entry(truth).or_default() += 1;
    }
    let truth = |pair: &(u32, u32)| cases.truth_name(pair.0).to_string();
    let predicted = |pair: &(u32, u32)| cases.classes.names()[pair.1 as usize].clone();
    let keys: Vec<String> = pairs
        .keys()
        .map(|pair| format!("{}\0{}", truth(pair), predicted(pair)))
        .collect();
    let texts = |of: &dyn Fn(&(u32, u32)) -> String| -> StringArray {
        pairs.keys().map(|pair| Some(of(pair))).collect()
    };
    let seen: BooleanArray = pairs
        .keys()
        .map(|pair| Some((pair.0 as usize) < cases.classes.len()))
        .collect();
    let counts: Int64Array = pairs.values().map(|count| Some(*count as i64)).collect();
    let shares: Float64Array = pairs
        .iter()
        .map(|(pair, count)| share(*count, truths.get(&pair.0).copied().unwrap_or_default()))
        .collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(texts(&truth)),
        Arc::new(texts(&predicted)),
        Arc::new(seen),
        Arc::new(counts),
        Arc::new(shares),
    ];
    write(context, "confusion", confusion_type(), &keys, columns)
}

/// Writes `reliability` over the samples whose class the model knows.
///
/// # Errors
/// Where the output can't be written.
pub fn write_reliability(whole: &Subset, context: &mut dyn StageContext) -> Result<(), StageError> {
    let [width, count] = whole.reliability_bins();
    let bins = width.len();
    let edges = |bin: usize| {
        Some((
            if bin == 0 { 0.0 } else { upper_edge(bin - 1, bins) },
            upper_edge(bin, bins),
        ))
    };
    let scaled = whole.scaled_reliability_bins();
    let [scaled_width, scaled_count] = scaled.unwrap_or_default();
    let mut rows = Vec::new();
    for (binning, all) in [("equal-width", &width), ("equal-width-scaled", &scaled_width)] {
        rows.extend(
            all.iter()
                .enumerate()
                .map(|(at, bin)| (binning, at, edges(at), bin)),
        );
    }
    for (binning, all) in [("equal-count", &count), ("equal-count-scaled", &scaled_count)] {
        let range = |bin: &Bin| (bin.count > 0).then_some(bin.range);
        rows.extend(
            all.iter()
                .enumerate()
                .map(|(at, bin)| (binning, at, range(bin), bin)),
        );
    }
    let keys: Vec<String> = rows
        .iter()
        .map(|(binning, at, ..)| format!("{binning}\0{at}"))
        .collect();
    let floats = |of: &dyn Fn(usize) -> Option<f64>| -> ArrayRef {
        Arc::new((0..rows.len()).map(of).collect::<Float64Array>())
    };
    let binning: StringArray = rows.iter().map(|row| Some(row.0)).collect();
    let numbers: Int64Array = rows.iter().map(|row| Some(row.1 as i64)).collect();
    let counts: Int64Array = rows.iter().map(|row| Some(row.3.count as i64)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(binning),
        Arc::new(numbers),
        floats(&|row| rows[row].2.map(|(lower, _)| lower)),
        floats(&|row| rows[row].2.map(|(_, upper)| upper)),
        Arc::new(counts),
        floats(&|row| rows[row].3.confidence()),
        floats(&|row| rows[row].3.accuracy()),
    ];
    write(context, "reliability", reliability_type(), &keys, columns)
}

/// Writes `operating-points`; `whole` was made with `points`.
///
/// # Errors
/// Where the output can't be written.
pub fn write_operating_points(
    whole: &Subset,
    points: &[Point],
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let rejections = whole.rejections();
    let keys: Vec<String> = points.iter().map(|point| point.name.clone()).collect();
    let names: StringArray = keys.iter().map(Some).collect();
    let by: StringArray = points.iter().map(|point| Some(point.by.name())).collect();
    let among: StringArray = points.iter().map(|point| point.chosen_among.as_deref()).collect();
    let floats = |of: &dyn Fn(usize) -> Option<f64>| -> ArrayRef {
        Arc::new((0..points.len()).map(of).collect::<Float64Array>())
    };
    let integers = |of: &dyn Fn(usize) -> Option<u64>| -> ArrayRef {
        Arc::new(
            (0..points.len())
                .map(|at| of(at).map(|count| count as i64))
                .collect::<Int64Array>(),
        )
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(names),
        Arc::new(by),
        floats(&|at| Some(points[at].by.surer(points[at].threshold))),
        floats(&|at| points[at].wanted),
        integers(&|at| points[at].chosen_on),
        Arc::new(among),
        integers(&|at| Some(rejections[at].seen)),
        integers(&|at| Some(rejections[at].kept)),
        integers(&|at| Some(rejections[at].wrong)),
        integers(&|at| Some(rejections[at].unseen)),
        integers(&|at| Some(rejections[at].rejected)),
        floats(&|at| rejections[at].coverage()),
        floats(&|at| rejections[at].risk()),
    ];
    write(
        context,
        "operating-points",
        operating_points_type(),
        &keys,
        columns,
    )
}
