//! Everything that a training is at one moment, and its way into a checkpoint and back.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::checkpoint::{self, Checkpoint};
use super::error::TrainingError;
use super::exact;
use super::history::{HistoryRow, Sums};
use crate::average::{Average, AverageSettings};
use crate::optimiser::{Optimiser, OptimiserState};
use crate::parameters::Parameters;

/// Weights and running statistics.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What the optimiser changes.
    pub parameters: Parameters,
    /// What the forward pass changes: running means and variances.
    pub statistics: Vec<f32>,
}

impl Snapshot {
    /// A copy that shares nothing.
    pub(super) fn copy(parameters: &Parameters, statistics: &[f32]) -> Snapshot {
        Snapshot {
            parameters: Parameters::new(
                parameters.decayed.values().to_vec(),
                parameters.plain.values().to_vec(),
            ),
            statistics: statistics.to_vec(),
        }
    }

    /// Makes this a copy of as many numbers, in the memory that it has.
    fn overwrite(&mut self, parameters: &Parameters, statistics: &[f32]) {
        let Parameters { decayed, plain } = &mut self.parameters;
        decayed.values_mut().copy_from_slice(parameters.decayed.values());
        plain.values_mut().copy_from_slice(parameters.plain.values());
        self.statistics.copy_from_slice(statistics);
    }
}

/// Where a training stands. With the seed, this is also its random state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    /// The epoch at hand, counted from 0.
    pub(super) epoch: u64,
    /// The next batch of it.
    pub(super) index: usize,
    pub(super) sums: Sums,
    pub(super) history: Vec<HistoryRow>,
    pub(super) best: Option<BestSoFar>,
    /// Seconds that each whole epoch took.
    pub(super) seconds: Vec<f64>,
    /// Seconds that went into the epoch at hand.
    pub(super) spent: f64,
    optimiser_steps: u64,
    average_steps: u64,
}

/// The best epoch so far, and what it scored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BestSoFar {
    /// Counted from 0.
    pub(super) epoch: u64,
    #[serde(with = "exact")]
    pub(super) score: f64,
    /// The last epoch, counted from 0, whose score was better by the margin.
    pub(super) improved: u64,
    #[serde(with = "exact")]
    pub(super) improved_score: f64,
}

/// Everything that a training is at one moment.
pub(super) struct State {
    pub(super) progress: Progress,
    pub(super) current: Snapshot,
    pub(super) optimiser: Optimiser,
    pub(super) average: Option<Average>,
    pub(super) best: Option<Snapshot>,
}

impl State {
    /// A training that hasn't begun.
    pub(super) fn new(current: Snapshot, optimiser: Optimiser, average: Option<AverageSettings>) -> State {
        let average =
            average.map(|settings| Average::new(settings, &current.parameters, &current.statistics));
        State {
            progress: Progress::default(),
            current,
            optimiser,
            average,
            best: None,
        }
    }

    /// What is evaluated and kept: the average, if there is one.
    pub(super) fn evaluated(&self) -> (&Parameters, &[f32]) {
        match &self.average {
            Some(average) => (average.parameters(), average.statistics()),
            None => (&self.current.parameters, &self.current.statistics),
        }
    }

    /// Keeps what was evaluated as the best so far, in the memory of the best before it: the training
    /// holds one copy of the best weights, never two.
    pub(super) fn keep_best(&mut self) {
        let (parameters, statistics) = match &self.average {
            Some(average) => (average.parameters(), average.statistics()),
            None => (&self.current.parameters, &self.current.statistics[..]),
        };
        match &mut self.best {
            Some(best) => best.overwrite(parameters, statistics),
            None => self.best = Some(Snapshot::copy(parameters, statistics)),
        }
    }

    /// Writes everything into `folder`.
    pub(super) fn save(&mut self, folder: &Path, configuration: &str) -> Result<(), TrainingError> {
        let optimiser = self.optimiser.state();
        self.progress.optimiser_steps = optimiser.steps;
        self.progress.average_steps = self.average.as_ref().map_or(0, Average::steps);
        let progress = serde_json::to_string(&self.progress)
            .map_err(|error| TrainingError::Checkpoint(format!("describing the checkpoint: {error}")))?;
        let mut buffers: BTreeMap<&str, &[f32]> = BTreeMap::from([
            ("optimiser.first.decayed", &optimiser.first[0][..]),
            ("optimiser.first.plain", &optimiser.first[1][..]),
            ("optimiser.second.decayed", &optimiser.second[0][..]),
            ("optimiser.second.plain", &optimiser.second[1][..]),
        ]);
        buffers.extend(named(CURRENT, &self.current.parameters, &self.current.statistics));
        if let Some(average) = &self.average {
            buffers.extend(named(AVERAGE, average.parameters(), average.statistics()));
        }
        if let Some(best) = &self.best {
            buffers.extend(named(BEST, &best.parameters, &best.statistics));
        }
        checkpoint::write(folder, configuration, &progress, &buffers)
    }

    /// Takes up what [`State::save`] wrote.
    pub(super) fn restore(&mut self, checkpoint: Checkpoint) -> Result<(), TrainingError> {
        let broken = |what: &str| TrainingError::Checkpoint(format!("the checkpoint has no fitting {what}"));
        self.progress = serde_json::from_str(&checkpoint.progress).map_err(|_| broken("progress"))?;
        let lengths = [
            self.current.parameters.decayed.values().len(),
            self.current.parameters.plain.values().len(),
            self.current.statistics.len(),
        ];
        let snapshot = |names: [&str; 3]| {
            let mut buffers = Vec::with_capacity(3);
            for (name, length) in names.iter().zip(lengths) {
                let buffer = checkpoint.buffer(name)?.filter(|buffer| buffer.len() == length);
                buffers.push(buffer.ok_or_else(|| broken(name))?);
            }
            let statistics = buffers.pop().unwrap_or_default();
            let plain = buffers.pop().unwrap_or_default();
            let parameters = Parameters::new(buffers.pop().unwrap_or_default(), plain);
            Ok::<Snapshot, TrainingError>(Snapshot {
                parameters,
                statistics,
            })
        };
        self.current = snapshot(CURRENT)?;
        if let Some(average) = &self.average {
            let found = snapshot(AVERAGE)?;
            let (settings, steps) = (*average.settings(), self.progress.average_steps);
            self.average = Some(Average::restore(
                settings,
                steps,
                found.parameters,
                found.statistics,
            ));
        }
        self.best = match self.progress.best {
            Some(_) => Some(snapshot(BEST)?),
            None => None,
        };
        let moments = |name: &str| checkpoint.buffer(name)?.ok_or_else(|| broken(name));
        let state = OptimiserState {
            steps: self.progress.optimiser_steps,
            first: [
                moments("optimiser.first.decayed")?,
                moments("optimiser.first.plain")?,
            ],
            second: [
                moments("optimiser.second.decayed")?,
                moments("optimiser.second.plain")?,
            ],
        };
        self.optimiser
            .restore(state)
            .map_err(|error| TrainingError::Checkpoint(error.to_string()))
    }
}

const CURRENT: [&str; 3] = ["weights.decayed", "weights.plain", "weights.statistics"];
const AVERAGE: [&str; 3] = ["average.decayed", "average.plain", "average.statistics"];
const BEST: [&str; 3] = ["best.decayed", "best.plain", "best.statistics"];

fn named<'a>(
    names: [&'static str; 3],
    parameters: &'a Parameters,
    statistics: &'a [f32],
) -> [(&'static str, &'a [f32]); 3] {
    let buffers = [parameters.decayed.values(), parameters.plain.values(), statistics];
    [
        (names[0], buffers[0]),
        (names[1], buffers[1]),
        (names[2], buffers[2]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimiser::{OptimiserSettings, Rates};

    #[test]
    fn better_weights_take_the_memory_of_the_best_before_them() {
        let current = Snapshot {
            parameters: Parameters::new(vec![1.0; 3], vec![2.0; 2]),
            statistics: vec![3.0],
        };
        let optimiser = Optimiser::new(&OptimiserSettings::default(), Rates::uniform(3, 2)).unwrap();
        let mut state = State::new(current, optimiser, None);
        state.keep_best();
        let place = |state: &State| {
            let best = state.best.as_ref().unwrap();
            let parameters = &best.parameters;
            let buffers = [
                parameters.decayed.values(),
                parameters.plain.values(),
                &best.statistics,
            ];
            (
                buffers.map(|buffer| buffer.as_ptr()),
                buffers.map(|buffer| buffer[0]),
            )
        };
        let (before, numbers) = place(&state);
        assert_eq!(numbers, [1.0, 2.0, 3.0]);
        state.current.parameters.decayed.values_mut().fill(4.0);
        state.current.parameters.plain.values_mut().fill(5.0);
        state.current.statistics.fill(6.0);
        // What is trained on is another memory than what is kept.
        assert_eq!(place(&state), (before, [1.0, 2.0, 3.0]));
        state.keep_best();
        assert_eq!(place(&state), (before, [4.0, 5.0, 6.0]));
    }
}
