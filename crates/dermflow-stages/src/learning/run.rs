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
    Batches, Control, Event, HistoryRow, Objective, Snapshot, Start, Trained, TrainingError,
    TrainingSettings, train,
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
/// As [`train`]; a non-finite loss names its samples.
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
            prefetch_threads: threads,
            prefetch_ahead: 2,
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
            samples,
            ..
        } => {
            let ids: Vec<String> = samples.iter().map(|sample| name(*sample).to_string()).collect();
            StageError::new(format!(
                "{what} became {value} in epoch {}, on the samples {}",
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

/// The port of the history, with these scores besides the contract's columns.
pub fn history_port(scores: &[&str]) -> OutputPort {
    OutputPort::new(
        "history",
        PortType::Table(history_type(scores)),
        "one row an epoch",
    )
}

fn history_type(scores: &[&str]) -> TableType {
    // The contract is in the constant list of contracts; `any` only keeps this total.
    let mut history = Contract::named("History").map_or_else(TableType::any, TableType::of);
    history.open = false;
    history
        .columns
        .push(Column::new("gradient_norm", ColumnType::Float64));
    let score = |name: &&str| Column::nullable(*name, ColumnType::Float64);
    history.columns.extend(scores.iter().map(score));
    history
}

/// Writes the history. A score that was not measured is missing.
///
/// # Errors
/// Where the disk is full.
pub fn write_history(
    rows: &[HistoryRow],
    scores: &[&str],
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
    for place in 0..scores.len() {
        let measured = rows
            .iter()
            .map(|row| row.scores.get(place).copied().filter(|score| score.is_finite()));
        columns.push(Arc::new(measured.collect::<Float64Array>()));
    }
    let schema = history_type(scores).schema();
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
