//! The outputs: suspects, scores of every label, the joint, and given against predicted labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::SchemaRef;
use dermflow_core::{
    Column, ColumnType, OutputPort, PortType, SampleId, StageContext, StageError, TableType, TableWriter,
    sample_ids,
};

use super::joint::Joint;
use super::pairs::{Pair, Pairs};
use super::suspects::Suspects;
use crate::metric_rows::{MetricRow, write_metrics};
use crate::scores::share;

fn suspects_type() -> TableType {
    TableType::exactly([
        Column::new("label", ColumnType::Text),
        Column::new("suggested", ColumnType::Text),
        Column::new("self_confidence", ColumnType::Float32),
        Column::new("probability", ColumnType::Float32),
        Column::new("margin", ColumnType::Float64),
        Column::new("rank", ColumnType::Integer),
    ])
}

/// The output port `suspects`.
pub fn suspects_port() -> OutputPort {
    let about = "labels that are likely wrong, with the likeliest class; rank 1 is the likeliest wrong";
    OutputPort::new("suspects", PortType::Table(suspects_type()), about)
}

fn scores_type() -> TableType {
    TableType::exactly([
        Column::new("label", ColumnType::Text),
        Column::new("predicted", ColumnType::Text),
        Column::nullable("self_confidence", ColumnType::Float32),
        Column::nullable("margin", ColumnType::Float64),
        Column::new("suspect", ColumnType::Boolean),
    ])
}

/// The output port `scores`.
pub fn scores_port() -> OutputPort {
    let about = "every given label with how well it fits; nothing where the model doesn't know the label";
    OutputPort::new("scores", PortType::Table(scores_type()), about)
}

fn joint_type() -> TableType {
    TableType::exactly([
        Column::new("given", ColumnType::Text),
        Column::new("likely", ColumnType::Text),
        Column::new("counted", ColumnType::Integer),
        Column::new("share", ColumnType::Float64),
    ])
}

/// The output port `joint`.
pub fn joint_port() -> OutputPort {
    let about =
        "for each pair of classes, the estimated share of all samples that is given the one and is the other";
    OutputPort::new("joint", PortType::Table(joint_type()), about)
}

fn disagreement_type() -> TableType {
    TableType::exactly([
        Column::new("given", ColumnType::Text),
        Column::new("predicted", ColumnType::Text),
        Column::new("count", ColumnType::Integer),
        Column::new("share", ColumnType::Float64),
    ])
}

/// The output port `disagreement`.
pub fn disagreement_port() -> OutputPort {
    let about = "how often each given label was predicted as each class, with the share of the given label";
    OutputPort::new("disagreement", PortType::Table(disagreement_type()), about)
}

fn write(
    context: &mut dyn StageContext,
    port: &str,
    schema: SchemaRef,
    ids: &[SampleId],
    columns: Vec<ArrayRef>,
) -> Result<(), StageError> {
    let mut out = context.write_table(port, schema.clone())?;
    let columns = std::iter::once(sample_ids(ids)).chain(columns).collect();
    out.write(&RecordBatch::try_new(schema, columns)?)?;
    out.finish()
}

/// Writes the suspects.
///
/// # Errors
/// Where the output can't be written.
pub fn write_suspects(
    pairs: &Pairs,
    suspects: &Suspects,
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let names = pairs.classes.names();
    let ranked = &suspects.ranked;
    let ids: Vec<SampleId> = ranked
        .iter()
        .map(|suspect| SampleId::from_bytes(suspect.id))
        .collect();
    let given: StringArray = ranked
        .iter()
        .map(|suspect| Some(&names[suspect.given as usize]))
        .collect();
    let suggested: StringArray = ranked
        .iter()
        .map(|suspect| Some(&names[suspect.suggested as usize]))
        .collect();
    let own: Float32Array = ranked
        .iter()
        .map(|suspect| Some(suspect.self_confidence))
        .collect();
    let best: Float32Array = ranked.iter().map(|suspect| Some(suspect.probability)).collect();
    let margins: Float64Array = ranked.iter().map(|suspect| Some(suspect.margin)).collect();
    let ranks: Int64Array = (1_i64..).take(ranked.len()).map(Some).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(given),
        Arc::new(suggested),
        Arc::new(own),
        Arc::new(best),
        Arc::new(margins),
        Arc::new(ranks),
    ];
    write(context, "suspects", suspects_type().schema(), &ids, columns)
}

/// How many rows are gathered before they are written.
const GATHERED: usize = 8192;

/// Rows of `scores` on their way out.
struct Scores<'a> {
    names: &'a [String],
    suspects: &'a Suspects,
    schema: SchemaRef,
    out: Box<dyn TableWriter>,
    ids: Vec<SampleId>,
    labels: Vec<String>,
    predicted: Vec<u32>,
    own: Vec<Option<f32>>,
    margins: Vec<Option<f64>>,
    suspected: Vec<bool>,
}

impl Scores<'_> {
    fn take(&mut self, pair: &Pair<'_>) -> Result<(), StageError> {
        let mut id = [0; 32];
        id.copy_from_slice(pair.id);
        self.ids.push(SampleId::from_bytes(id));
        self.labels.push(pair.label.to_string());
        self.predicted.push(pair.predicted);
        self.own.push(pair.given.map(|given| pair.self_confidence(given)));
        self.margins.push(pair.given.map(|given| pair.margin(given)));
        self.suspected.push(self.suspects.rank(pair.id).is_some());
        match self.ids.len() < GATHERED {
            true => Ok(()),
            false => self.write(),
        }
    }

    fn write(&mut self) -> Result<(), StageError> {
        let predicted: StringArray = self
            .predicted
            .iter()
            .map(|class| Some(&self.names[*class as usize]))
            .collect();
        let columns: Vec<ArrayRef> = vec![
            sample_ids(&self.ids),
            Arc::new(StringArray::from(std::mem::take(&mut self.labels))),
            Arc::new(predicted),
            Arc::new(Float32Array::from(std::mem::take(&mut self.own))),
            Arc::new(Float64Array::from(std::mem::take(&mut self.margins))),
            Arc::new(BooleanArray::from(std::mem::take(&mut self.suspected))),
        ];
        self.ids.clear();
        self.predicted.clear();
        self.out
            .write(&RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

/// Writes the scores of all labels.
///
/// # Errors
/// As [`Pairs::each`], or where the output can't be written.
pub fn write_scores(
    pairs: &Pairs,
    suspects: &Suspects,
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let schema = scores_type().schema();
    let mut scores = Scores {
        names: pairs.classes.names(),
        suspects,
        out: context.write_table("scores", schema.clone())?,
        schema,
        ids: Vec::new(),
        labels: Vec::new(),
        predicted: Vec::new(),
        own: Vec::new(),
        margins: Vec::new(),
        suspected: Vec::new(),
    };
    pairs.each(2, context, |pair| scores.take(&pair))?;
    scores.write()?;
    scores.out.finish()
}

/// Writes the joint: a row for each pair of classes that is thought to occur.
///
/// # Errors
/// Where the output can't be written.
pub fn write_joint(pairs: &Pairs, joint: &Joint, context: &mut dyn StageContext) -> Result<(), StageError> {
    let names = pairs.classes.names();
    let cells = (0..names.len()).flat_map(|given| (0..names.len()).map(move |likely| (given, likely)));
    let rows: Vec<(usize, usize, u64, f64)> = cells
        .filter_map(|(given, likely)| {
            let share = joint.share(given, likely).filter(|share| *share > 0.0)?;
            Some((given, likely, joint.confident(given)[likely], share))
        })
        .collect();
    let key = |row: &(usize, usize, u64, f64)| format!("joint\0{}\0{}", names[row.0], names[row.1]);
    let ids: Vec<SampleId> = rows.iter().map(|row| SampleId::of_key(&key(row))).collect();
    let given: StringArray = rows.iter().map(|row| Some(&names[row.0])).collect();
    let likely: StringArray = rows.iter().map(|row| Some(&names[row.1])).collect();
    let counted: Int64Array = rows.iter().map(|row| Some(row.2 as i64)).collect();
    let shares: Float64Array = rows.iter().map(|row| Some(row.3)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(given),
        Arc::new(likely),
        Arc::new(counted),
        Arc::new(shares),
    ];
    write(context, "joint", joint_type().schema(), &ids, columns)
}

/// Writes given against predicted labels.
///
/// # Errors
/// Where the output can't be written.
pub fn write_disagreement(
    pairs: &Pairs,
    joint: &Joint,
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let names = pairs.classes.names();
    let cells = &joint.disagreement;
    let mut of_label: BTreeMap<&str, u64> = BTreeMap::new();
    for ((label, _), count) in cells {
        *of_label.entry(label).or_default() += count;
    }
    let key =
        |(label, predicted): &(String, u32)| format!("disagreement\0{label}\0{}", names[*predicted as usize]);
    let ids: Vec<SampleId> = cells.keys().map(|cell| SampleId::of_key(&key(cell))).collect();
    let given: StringArray = cells.keys().map(|(label, _)| Some(label)).collect();
    let predicted: StringArray = cells
        .keys()
        .map(|(_, predicted)| Some(&names[*predicted as usize]))
        .collect();
    let counts: Int64Array = cells.values().map(|count| Some(*count as i64)).collect();
    let shares: Float64Array = cells
        .iter()
        .map(|((label, _), count)| share(*count, of_label.get(label.as_str()).copied().unwrap_or_default()))
        .collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(given),
        Arc::new(predicted),
        Arc::new(counts),
        Arc::new(shares),
    ];
    write(
        context,
        "disagreement",
        disagreement_type().schema(),
        &ids,
        columns,
    )
}

/// Writes the estimated shares of wrong labels, and counts.
///
/// # Errors
/// Where the output can't be written.
pub fn write_figures(
    pairs: &Pairs,
    joint: &Joint,
    suspects: &Suspects,
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let audited: u64 = joint.given.iter().sum();
    let all: u64 = joint.disagreement.values().sum();
    let row = |name: &str, class: Option<&String>, value: Option<f64>, n: u64| {
        value.map(|value| MetricRow {
            name: name.to_string(),
            class: class.cloned(),
            value,
            n,
            ..MetricRow::default()
        })
    };
    let mut rows = vec![
        row("audited-labels", None, Some(audited as f64), audited),
        row(
            "labels-of-other-classes",
            None,
            Some((all - audited) as f64),
            all - audited,
        ),
        row("suspects", None, Some(suspects.ranked.len() as f64), audited),
        row("noise-rate", None, joint.noise_rate(None), audited),
    ];
    for (class, name) in pairs.classes.names().iter().enumerate() {
        let (given, rate) = (joint.given[class], joint.noise_rate(Some(class)));
        rows.push(row("noise-rate", Some(name), rate, given));
        let threshold = (given > 0).then(|| joint.thresholds[class]);
        rows.push(row("mean-self-confidence", Some(name), threshold, given));
    }
    write_metrics(context, &rows.into_iter().flatten().collect::<Vec<_>>())
}
