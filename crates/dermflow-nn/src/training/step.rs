//! One change of the weights: the gradient of one or more batches, clipped, to the optimiser.

use dfdx::tensor::{Cpu, CpuError, Gradients};
use dfdx::tensor_ops::Backward;

use super::control::Event;
use super::error::TrainingError;
use super::objective::{Batches, Objective, ObjectiveError, StepContext};
use super::prefetch::Feed;
use super::run::Run;
use crate::optimiser::{ParameterGradients, clear, global_norm, scale};
use crate::parameters::{Parameters, tape_onto};

/// What a step's batches amounted to.
struct Group {
    batches: usize,
    samples: usize,
    loss: f64,
}

impl<O, B> Run<'_, O, B>
where
    B: Batches,
    O: Objective<Batch = B::Batch>,
{
    /// Takes as many batches as one change of the weights needs, and changes them.
    pub(super) fn step(&mut self, feed: &mut Feed<B::Batch>, batches: usize) -> Result<(), TrainingError> {
        let (epoch, first) = (self.state.progress.epoch, self.state.progress.index);
        let group = self.accumulate(feed, batches)?;
        let norm = global_norm(&self.buffers) / group.batches as f64;
        if !norm.is_finite() {
            return Err(self.non_finite("the gradient", norm, first..first + group.batches));
        }
        let clip = match self.settings.optimiser.clip {
            Some(most) if norm > most => most / norm,
            _ => 1.0,
        };
        let factor = (clip / group.batches as f64) as f32;
        if factor != 1.0 {
            scale(&mut self.buffers, factor);
        }
        let position = epoch as f64 + first as f64 / batches as f64;
        let rate = self.settings.schedule.rate(position, self.settings.epochs as f64);
        let state = &mut self.state;
        state
            .optimiser
            .step(&mut state.current.parameters, &self.buffers, rate);
        if let Some(average) = &mut state.average {
            average.update(&state.current.parameters, &state.current.statistics);
        }
        state.progress.sums.step(rate, norm);
        state.progress.index = first + group.batches;
        (self.control.events)(Event::Step {
            epoch,
            epochs: self.settings.epochs,
            done: first + group.batches,
            batches,
            loss: group.loss / group.samples.max(1) as f64,
            learning_rate: rate,
        });
        Ok(())
    }

    /// Adds up the gradients of as many batches as one change of the weights needs, or as are
    /// left of the epoch.
    fn accumulate(&mut self, feed: &mut Feed<B::Batch>, batches: usize) -> Result<Group, TrainingError> {
        let (epoch, first) = (self.state.progress.epoch, self.state.progress.index);
        let size = (self.settings.optimiser.accumulate as usize).min(batches - first);
        let mut gradients = self.zeroed().map_err(dfdx)?;
        let mut group = Group {
            batches: size,
            samples: 0,
            loss: 0.0,
        };
        for index in first..first + size {
            let context = StepContext {
                epoch,
                epochs: self.settings.epochs,
                index,
                step: self.state.optimiser.state().steps,
                seed: draw(self.seed, epoch, index),
            };
            let batch = feed.next()?;
            let current = &mut self.state.current;
            let tape = tape_onto(gradients);
            let outcome = self
                .objective
                .loss(
                    batch,
                    &current.parameters,
                    &mut current.statistics,
                    &context,
                    tape,
                )
                .map_err(|error| placed(error, epoch, index))?;
            let loss = outcome
                .loss
                .as_vec()
                .first()
                .map_or(f64::NAN, |&loss| f64::from(loss));
            if !loss.is_finite() {
                return Err(self.non_finite("the loss", loss, index..index + 1));
            }
            gradients = outcome.loss.try_backward().map_err(dfdx)?;
            group.samples += outcome.samples;
            group.loss += loss * outcome.samples as f64;
            self.state
                .progress
                .sums
                .batch(outcome.samples, loss, &outcome.figures);
        }
        let parameters = &self.state.current.parameters;
        self.buffers = ParameterGradients {
            decayed: parameters
                .decayed
                .slot()
                .take_gradient(&mut gradients)
                .map_err(dfdx)?,
            plain: parameters
                .plain
                .slot()
                .take_gradient(&mut gradients)
                .map_err(dfdx)?,
        };
        Ok(group)
    }

    /// Gradients of 0 in the memory of the last ones.
    fn zeroed(&mut self) -> Result<Gradients<f32, Cpu>, CpuError> {
        let mut gradients = Gradients::leaky();
        clear(&mut self.buffers);
        let Parameters { decayed, plain } = &self.state.current.parameters;
        let buffers = [&mut self.buffers.decayed, &mut self.buffers.plain];
        for (flat, buffer) in [decayed, plain].into_iter().zip(buffers) {
            buffer.resize(flat.values().len(), 0.0);
            flat.slot().put_gradient(&mut gradients, std::mem::take(buffer))?;
        }
        Ok(gradients)
    }

    fn non_finite(&self, what: &'static str, value: f64, batches: std::ops::Range<usize>) -> TrainingError {
        let epoch = self.state.progress.epoch;
        let samples = batches
            .clone()
            .flat_map(|index| self.source.samples(epoch, index));
        TrainingError::NonFinite {
            what,
            value,
            epoch,
            samples: samples.collect(),
            batches,
        }
    }
}

/// Where a batch's loss draws from.
fn draw(seed: u64, epoch: u64, index: usize) -> u64 {
    let mut material = [0; 24];
    material[..8].copy_from_slice(&seed.to_le_bytes());
    material[8..16].copy_from_slice(&epoch.to_le_bytes());
    material[16..].copy_from_slice(&(index as u64).to_le_bytes());
    let drawn = blake3::derive_key("dermflow training step v1", &material);
    let mut first = [0; 8];
    first.copy_from_slice(&drawn[..8]);
    u64::from_le_bytes(first)
}

fn dfdx(error: CpuError) -> TrainingError {
    TrainingError::Objective(format!("dfdx: {error}"))
}

fn placed(error: ObjectiveError, epoch: u64, index: usize) -> TrainingError {
    match error {
        ObjectiveError::Cancelled => TrainingError::Cancelled,
        ObjectiveError::Failed(message) => {
            TrainingError::Objective(format!("epoch {}, batch {index}: {message}", epoch + 1))
        }
    }
}
