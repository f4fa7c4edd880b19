//! From a stage's context into the training loop and back: threads, checkpoints, cancelling,
//! progress, the history and the model as outputs.
//!
//! Must not know what is trained.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use dermflow_core::{
    Column, ColumnType, Contract, OutputPort, PortType, SampleId, StageContext, StageError, TableType,
    sample_ids,
};
use dermflow_nn::model_file::Model;
use dermflow_nn::training::{
    Batches, Control, Event, HistoryRow, Objective, PREFETCH_AHEAD, PREFETCH_THREADS, Snapshot, Start,
    Trained, TrainingError, TrainingSettings, train,
};
use dermflow_vision::placement::ResizeMode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which weights of a training are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Those that scored best on samples that were not learned from; the last ones where there
    /// are no such samples.
    #[default]
    Best,
    /// Those after the last epoch (their moving average, if there is one).
    Last,
}

/// Trains within a pool of the stage's threads.
///
/// # Errors
/// As [`train`]; a non-finite loss names its batch and its samples.
pub fn run<O, B>(
    settings: &TrainingSettings,
    start: Start,
    objective: &O,
    source: &B,
    identity: &str,
    name: impl Fn(usize) -> SampleId + Send + Sync,
    context: &mut dyn StageContext,
) -> Result<Trained, StageError>
where
    B: Batches,
    O: Objective<Batch = B::Batch> + Sync,
{
    let threads = context.threads().max(1);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| StageError::new(format!("starting {threads} threads: {error}")))?;
    let scores: Vec<String> = objective.scores().into_iter().map(|score| score.name).collect();
    // The pool's thread takes the context over until the training is done.
    let own = &mut *context;
    let trained = pool.install(move || {
        let context: &dyn StageContext = own;
        let control = Control {
            checkpoints: Some(context.scratch()),
            identity,
            cancelled: Box::new(|| context.cancelled()),
            events: Box::new(|event| tell(&event, &scores, context)),
            time_budget: None,
            checkpoint_every: Duration::from_secs(60),
            prefetch_threads: threads.min(PREFETCH_THREADS),
            prefetch_ahead: PREFETCH_AHEAD,
        };
        train(settings, start, objective, source, control).map_err(|error| failure(error, &name))
    })?;
    context.metric("seconds", trained.seconds.iter().sum());
    context.metric("epochs", trained.history.len() as f64);
    Ok(trained)
}

fn tell(event: &Event<'_>, scores: &[String], context: &dyn StageContext) {
    match event {
        Event::Resumed { epoch, index } => {
            context.log(&format!(
                "goes on from a checkpoint at epoch {}, batch {index}",
                epoch + 1
            ));
        }
        Event::Damaged { reason } => context.log(&format!("a damaged checkpoint was set aside: {reason}")),
        Event::Step {
            epoch,
            epochs,
            done,
            batches,
            ..
        } => context.progress(
            epoch * *batches as u64 + *done as u64,
            Some(epochs * *batches as u64),
        ),
        Event::Epoch { row, seconds, best } => {
            let measured: Vec<String> = scores
                .iter()
                .zip(&row.scores)
                .map(|(name, score)| format!(", {name} {score:.4}"))
                .collect();
            let best = if *best && !scores.is_empty() {
                " (best so far)"
            } else {
                ""
            };
            context.log(&format!(
                "epoch {}: loss {:.4}{}{best}, {seconds:.1} s",
                row.epoch,
                row.loss,
                measured.concat()
            ));
        }
    }
}

/// A training's error as a stage's, samples by their ids.
fn failure(error: TrainingError, name: &impl Fn(usize) -> SampleId) -> StageError {
    match error {
        TrainingError::Cancelled => StageError::cancelled(),
        TrainingError::NonFinite {
            what,
            value,
            epoch,
            batches,
            samples,
        } => {
            let ids: Vec<String> = samples.iter().map(|sample| name(*sample).to_string()).collect();
            // Batches are counted from 0, as wherever else they are told.
            let batches = match batches.len() {
                1 => format!("batch {}", batches.start),
                _ => format!("batches {} to {}", batches.start, batches.end.saturating_sub(1)),
            };
            StageError::new(format!(
                "{what} became {value} in epoch {}, {batches}, on the samples {}",
                epoch + 1,
                ids.join(", ")
            ))
            .with_help(
                "a lower learning rate, a longer warm-up or `clip` usually helps; or look at these samples",
            )
        }
        other => StageError::new(other.to_string()),
    }
}

/// The weights to keep.
pub fn kept(trained: Trained, keep: Keep, measured: bool) -> (Snapshot, u64) {
    let last = trained.history.last().map_or(0, |row| row.epoch);
    match keep {
        Keep::Best if measured => (trained.best.weights, trained.best.epoch),
        _ => (trained.average.unwrap_or(trained.last), last),
    }
}

/// The port of the history, with what is measured besides the contract's columns: the names of the
/// objective's figures, then those of its scores.
pub fn history_port(measured: &[&str]) -> OutputPort {
    OutputPort::new(
        "history",
        PortType::Table(history_type(measured)),
        "one row an epoch",
    )
}

fn history_type(measured: &[&str]) -> TableType {
    // The contract is in the constant list of contracts; `any` only keeps this total.
    let mut history = Contract::named("History").map_or_else(TableType::any, TableType::of);
    history.open = false;
    history
        .columns
        .push(Column::new("gradient_norm", ColumnType::Float64));
    let column = |name: &&str| Column::nullable(*name, ColumnType::Float64);
    history.columns.extend(measured.iter().map(column));
    history
}

/// Writes the history, with what [`history_port`] was told is measured. A score that was not
/// measured is missing.
///
/// # Errors
/// Where the disk is full.
pub fn write_history(
    rows: &[HistoryRow],
    measured: &[&str],
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let ids: Vec<SampleId> = rows
        .iter()
        .map(|row| SampleId::of_key(&format!("epoch {}", row.epoch)))
        .collect();
    let integers = |of: fn(&HistoryRow) -> u64| -> ArrayRef {
        Arc::new(rows.iter().map(|row| of(row) as i64).collect::<Int64Array>())
    };
    let numbers = |of: fn(&HistoryRow) -> f64| -> ArrayRef {
        Arc::new(rows.iter().map(of).map(Some).collect::<Float64Array>())
    };
    let mut columns = vec![
        sample_ids(&ids),
        integers(|row| row.epoch),
        integers(|row| row.step),
        numbers(|row| row.learning_rate),
        numbers(|row| row.loss),
        numbers(|row| row.gradient_norm),
    ];
    for place in 0..measured.len() {
        let values = rows.iter().map(|row| {
            let mut values = row.figures.iter().chain(&row.scores);
            values.nth(place).copied().filter(|value| value.is_finite())
        });
        columns.push(Arc::new(values.collect::<Float64Array>()));
    }
    let schema = history_type(measured).schema();
    let mut out = context.write_table("history", schema.clone())?;
    out.write(&RecordBatch::try_new(schema, columns)?)?;
    out.finish()
}

/// Writes a model as the output `model`.
///
/// # Errors
/// Where its parts don't fit each other, or the disk is full.
pub fn write_model(model: &Model, context: &mut dyn StageContext) -> Result<(), StageError> {
    let path = context.scratch().join("model.safetensors");
    model
        .save(&path)
        .map_err(|error| StageError::new(error.to_string()))?;
    context.write_model("model", &path)
}

/// How the stored pictures were made to fit, told from where their originals lie in them: what a
/// model's header says, so that `predict` does the same.
pub fn resize_mode(placements: impl IntoIterator<Item = (f64, f64)>) -> ResizeMode {
    let mut mode = ResizeMode::Stretch;
    for (width, height) in placements {
        if width > 1.0 + 1e-9 || height > 1.0 + 1e-9 {
            return ResizeMode::Crop;
        }
        if width < 1.0 - 1e-9 || height < 1.0 - 1e-9 {
            mode = ResizeMode::Letterbox;
        }
    }
    mode
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Float64Type, Int64Type};
    use dermflow_core::memory::MemoryContext;

    use super::*;

    #[test]
    fn a_loss_that_is_no_number_is_told_with_its_epoch_batch_and_samples() {
        let name = |sample: usize| SampleId::of_key(&sample.to_string());
        let told = |batches: std::ops::Range<usize>| {
            let error = TrainingError::NonFinite {
                what: "the loss",
                value: f64::INFINITY,
                epoch: 1,
                batches,
                samples: vec![3, 7],
            };
            failure(error, &name).message
        };
        let samples = format!("on the samples {}, {}", name(3), name(7));
        assert_eq!(
            told(4..5),
            format!("the loss became inf in epoch 2, batch 4, {samples}")
        );
        assert_eq!(
            told(4..6),
            format!("the loss became inf in epoch 2, batches 4 to 5, {samples}")
        );
    }

    #[test]
    fn the_history_has_figures_of_learning_and_then_scores_where_they_were_measured() {
        let row = |epoch: u64, scores: Vec<f64>| HistoryRow {
            epoch,
            step: 10 * epoch,
            learning_rate: 0.1,
            loss: 3.0,
            gradient_norm: 1.0,
            figures: vec![2.0, 1.0],
            scores,
        };
        let rows = [row(1, Vec::new()), row(2, vec![0.5])];
        let mut context = MemoryContext::default();
        write_history(&rows, &["heat", "size", "score"], &mut context).unwrap();
        let table = context.output("history");
        let column = |name: &str| {
            let column = table.column_by_name(name).unwrap();
            column.as_primitive::<Float64Type>().clone()
        };
        assert_eq!((column("heat").value(0), column("size").value(1)), (2.0, 1.0));
        let (epochs, scores) = (table.column_by_name("epoch").unwrap(), column("score"));
        let epochs = epochs.as_primitive::<Int64Type>();
        for at in 0..2 {
            assert_eq!(scores.is_null(at), epochs.value(at) == 1);
        }
    }
}
