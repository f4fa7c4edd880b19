//! The loop itself.

use std::time::Instant;

use super::checkpoint::{self, Found};
use super::control::{Control, Event, Start};
use super::error::TrainingError;
use super::objective::{Batches, Evaluation, Objective, ObjectiveError};
use super::prefetch::{Feed, with_feed};
use super::selection::Selection;
use super::settings::TrainingSettings;
use super::state::{BestSoFar, Snapshot, State};
use super::trained::{Best, Ending, Trained};
use crate::optimiser::{Optimiser, ParameterGradients, Rates};

/// Trains. Call it within the thread pool that it shall use; the result has the same bytes
/// for any pool, for any number of prefetching threads, and however often it was killed and
/// went on.
///
/// # Errors
/// See [`TrainingError`].
pub fn train<O, B>(
    settings: &TrainingSettings,
    start: Start,
    objective: &O,
    source: &B,
    control: Control<'_>,
) -> Result<Trained, TrainingError>
where
    B: Batches,
    O: Objective<Batch = B::Batch>,
{
    settings.check().map_err(TrainingError::Settings)?;
    let selection = Selection::new(settings, objective)?;
    let configuration = configuration(settings, &start, control.identity)?;
    let state = fresh(settings, start.weights, start.rates)?;
    let mut run = Run {
        settings,
        objective,
        source,
        selection,
        configuration,
        seed: start.seed,
        buffers: ParameterGradients::default(),
        epoch_began: Instant::now(),
        saved: Instant::now(),
        state,
        control,
    };
    run.resume()?;
    let position = (run.state.progress.epoch, run.state.progress.index);
    let ahead = (run.control.prefetch_threads, run.control.prefetch_ahead);
    let ending = with_feed(source, position, settings.epochs, ahead, |feed| run.epochs(feed))?;
    run.finish(ending)
}

/// A digest of everything that decides the result.
fn configuration(
    settings: &TrainingSettings,
    start: &Start,
    identity: &str,
) -> Result<String, TrainingError> {
    let mut hasher = blake3::Hasher::new_derive_key("dermflow training configuration v1");
    let settings = serde_json::to_string(settings)
        .map_err(|error| TrainingError::Settings(format!("describing the settings: {error}")))?;
    for text in [settings.as_str(), identity] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.update(&start.seed.to_le_bytes());
    hasher.update(format!("{:?}", start.rates).as_bytes());
    let parameters = &start.weights.parameters;
    for buffer in [
        parameters.decayed.values(),
        parameters.plain.values(),
        &start.weights.statistics,
    ] {
        hasher.update(&(buffer.len() as u64).to_le_bytes());
        for block in buffer.chunks(1 << 14) {
            let bytes: Vec<u8> = block.iter().flat_map(|value| value.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// A training that hasn't begun.
fn fresh(settings: &TrainingSettings, weights: Snapshot, rates: Rates) -> Result<State, TrainingError> {
    let lengths = [
        weights.parameters.decayed.values().len(),
        weights.parameters.plain.values().len(),
    ];
    if rates.lengths() != lengths {
        let message = format!(
            "learning rates of {:?} parameters for {lengths:?}",
            rates.lengths()
        );
        return Err(TrainingError::Settings(message));
    }
    let optimiser = Optimiser::new(&settings.optimiser, rates)
        .map_err(|error| TrainingError::Settings(error.to_string()))?;
    Ok(State::new(weights, optimiser, settings.average))
}

/// A training under way.
pub(super) struct Run<'a, O, B> {
    pub(super) settings: &'a TrainingSettings,
    pub(super) objective: &'a O,
    pub(super) source: &'a B,
    selection: Selection,
    configuration: String,
    pub(super) seed: u64,
    /// The gradient's memory, used again at every step.
    pub(super) buffers: ParameterGradients,
    epoch_began: Instant,
    saved: Instant,
    pub(super) state: State,
    pub(super) control: Control<'a>,
}

impl<O, B> Run<'_, O, B>
where
    B: Batches,
    O: Objective<Batch = B::Batch>,
{
    /// Takes up the checkpoint, if there is one.
    fn resume(&mut self) -> Result<(), TrainingError> {
        let Some(folder) = self.control.checkpoints else {
            return Ok(());
        };
        match checkpoint::read(folder)? {
            Found::Nothing => Ok(()),
            Found::Damaged(reason) => {
                checkpoint::set_aside(folder)?;
                (self.control.events)(Event::Damaged { reason: &reason });
                Ok(())
            }
            Found::Whole(checkpoint) if checkpoint.configuration != self.configuration => {
                Err(TrainingError::ForeignCheckpoint(format!(
                    "the checkpoint in {} belongs to a training with other settings, weights or data: remove it, \
                     or give this training a folder of its own",
                    folder.display()
                )))
            }
            Found::Whole(checkpoint) => {
                self.state.restore(checkpoint)?;
                let progress = &self.state.progress;
                (self.control.events)(Event::Resumed {
                    epoch: progress.epoch,
                    index: progress.index,
                });
                Ok(())
            }
        }
    }

    /// Trains to the end.
    fn epochs(&mut self, feed: &mut Feed<B::Batch>) -> Result<Ending, TrainingError> {
        loop {
            if self.out_of_patience() {
                return Ok(Ending::StoppedEarly);
            }
            if self.state.progress.epoch >= self.settings.epochs {
                return Ok(Ending::Complete);
            }
            self.epoch(feed)?;
        }
    }

    fn out_of_patience(&self) -> bool {
        let (Some(early), Some(best)) = (self.settings.early_stopping, self.state.progress.best) else {
            return false;
        };
        self.state.progress.epoch > best.improved + early.patience
    }

    /// The rest of the epoch at hand, its evaluation and its checkpoint.
    fn epoch(&mut self, feed: &mut Feed<B::Batch>) -> Result<(), TrainingError> {
        let epoch = self.state.progress.epoch;
        let batches = self.source.batches(epoch);
        if batches == 0 {
            let message = format!(
                "epoch {} has no batches: there are no samples to train on",
                epoch + 1
            );
            return Err(TrainingError::Settings(message));
        }
        self.epoch_began = Instant::now();
        while self.state.progress.index < batches {
            self.stop_if_asked()?;
            self.step(feed, batches)?;
            if self.saved.elapsed() >= self.control.checkpoint_every {
                self.save()?;
            }
        }
        self.stop_if_asked()?;
        let scores = self.evaluate()?;
        self.end_epoch(scores)?;
        self.save()
    }

    /// Saves and leaves, if the training was interrupted or its time is up.
    fn stop_if_asked(&mut self) -> Result<(), TrainingError> {
        if (self.control.cancelled)() {
            self.save()?;
            return Err(TrainingError::Cancelled);
        }
        let progress = &self.state.progress;
        let seconds =
            progress.seconds.iter().sum::<f64>() + progress.spent + self.epoch_began.elapsed().as_secs_f64();
        if self
            .control
            .time_budget
            .is_some_and(|budget| seconds >= budget.as_secs_f64())
        {
            let epochs_done = progress.epoch;
            self.save()?;
            return Err(TrainingError::OutOfTime { epochs_done });
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), TrainingError> {
        self.state.progress.spent += self.epoch_began.elapsed().as_secs_f64();
        self.epoch_began = Instant::now();
        self.saved = Instant::now();
        match self.control.checkpoints {
            Some(folder) => self.state.save(folder, &self.configuration),
            None => Ok(()),
        }
    }

    fn evaluate(&mut self) -> Result<Vec<f64>, TrainingError> {
        // An evaluation lays the weights out anew: it has the gradient's memory for that.
        self.buffers = ParameterGradients::default();
        let (parameters, statistics) = self.state.evaluated();
        let epoch = self.state.progress.epoch;
        let numbers = [parameters.decayed.values(), parameters.plain.values(), statistics];
        if !numbers.into_iter().flatten().all(|number| number.is_finite()) {
            return Err(TrainingError::Objective(format!(
                "after epoch {} weights or running statistics are infinite or not numbers; lower the learning rate",
                epoch + 1
            )));
        }
        let evaluation = Evaluation {
            epoch,
            cancelled: &*self.control.cancelled,
        };
        match self.objective.evaluate(parameters, statistics, &evaluation) {
            Ok(scores) => Ok(scores),
            Err(ObjectiveError::Cancelled) => {
                self.save()?;
                Err(TrainingError::Cancelled)
            }
            Err(ObjectiveError::Failed(message)) => Err(TrainingError::Objective(format!(
                "evaluating epoch {}: {message}",
                epoch + 1
            ))),
        }
    }

    /// Writes the epoch's row, keeps the weights if they are the best, and goes on to the next
    /// epoch.
    fn end_epoch(&mut self, scores: Vec<f64>) -> Result<(), TrainingError> {
        let steps = self.state.optimiser.state().steps;
        let progress = &mut self.state.progress;
        let epoch = progress.epoch;
        let row = progress.sums.row(epoch, steps, scores);
        let score = self.selection.of(&row);
        let margin = self.settings.early_stopping.map_or(0.0, |early| early.margin);
        let before = progress.best;
        let is_best = before.is_none_or(|best| self.selection.beats(score, best.score, 0.0));
        let improved = before.is_none_or(|best| self.selection.beats(score, best.improved_score, margin));
        let mut best = before.unwrap_or(BestSoFar {
            epoch,
            score,
            improved: epoch,
            improved_score: score,
        });
        if is_best {
            (best.epoch, best.score) = (epoch, score);
        }
        if improved {
            (best.improved, best.improved_score) = (epoch, score);
        }
        progress.best = Some(best);
        let seconds = progress.spent + self.epoch_began.elapsed().as_secs_f64();
        progress.seconds.push(seconds);
        progress.spent = 0.0;
        self.epoch_began = Instant::now();
        progress.history.push(row);
        progress.sums = Default::default();
        (progress.epoch, progress.index) = (epoch + 1, 0);
        if is_best {
            self.state.keep_best();
        }
        if let Some(row) = self.state.progress.history.last() {
            (self.control.events)(Event::Epoch {
                row,
                seconds,
                best: is_best,
            });
        }
        Ok(())
    }

    fn finish(self, ending: Ending) -> Result<Trained, TrainingError> {
        let State {
            progress,
            current,
            average,
            best,
            ..
        } = self.state;
        let (Some(weights), Some(mark)) = (best, progress.best) else {
            return Err(TrainingError::Settings("no epoch was trained".into()));
        };
        Ok(Trained {
            last: current,
            average: average.map(|average| {
                let (parameters, statistics) = average.into_parts();
                Snapshot {
                    parameters,
                    statistics,
                }
            }),
            best: Best {
                weights,
                epoch: mark.epoch + 1,
                score: mark.score,
            },
            history: progress.history,
            seconds: progress.seconds,
            ending,
        })
    }
}
