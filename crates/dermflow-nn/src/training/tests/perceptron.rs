//! A perceptron of two layers on dfdx's own operations, and three blobs of points to tell
//! apart.

use dfdx::prelude::*;

use crate::loss::{ClassificationLoss, SoftTargets, SoftmaxLoss};
use crate::parameters::{Parameters, TrainingTape};
use crate::sampling::Sampler;
use crate::training::{
    Batches, Better, Evaluation, Objective, ObjectiveError, Outcome, Score, Snapshot, StepContext,
};

const INPUTS: usize = 2;
const HIDDEN: usize = 16;
const CLASSES: usize = 3;

/// Points in the plane and which blob each is of.
pub(super) struct Blobs {
    pub(super) batch: usize,
    /// A sample whose coordinates are no numbers.
    pub(super) poisoned: Option<usize>,
    /// How long a batch takes to make.
    pub(super) delay: std::time::Duration,
    pub(super) sampler: Sampler,
}

impl Default for Blobs {
    fn default() -> Blobs {
        let keys: Vec<[u8; 32]> = (0..Blobs::SAMPLES).map(|at| [at as u8; 32]).collect();
        Blobs {
            batch: Blobs::SAMPLES / Blobs::BATCHES,
            poisoned: None,
            delay: std::time::Duration::ZERO,
            sampler: Sampler::new(5, &keys, None).unwrap(),
        }
    }
}

impl Blobs {
    pub(super) const SAMPLES: usize = 140;
    /// Batches of an epoch, unless another batch size is asked for; odd, so that a group of
    /// two is left with one.
    pub(super) const BATCHES: usize = 7;

    pub(super) fn point(sample: usize) -> ([f32; INPUTS], usize) {
        let class = sample % CLASSES;
        let hash = blake3::hash(&(sample as u64).to_le_bytes());
        let noise = |at: usize| f32::from(hash.as_bytes()[at]) / 256.0 - 0.5;
        let angle = class as f32 * 2.1;
        ([angle.cos() + noise(0), angle.sin() + noise(1)], class)
    }
}

impl Batches for Blobs {
    type Batch = (Vec<f32>, Vec<usize>);

    fn batches(&self, _: u64) -> usize {
        Blobs::SAMPLES.div_ceil(self.batch)
    }

    fn batch(&self, epoch: u64, index: usize) -> Result<Self::Batch, String> {
        std::thread::sleep(self.delay);
        let mut batch = (Vec::new(), Vec::new());
        for sample in self.samples(epoch, index) {
            let (point, class) = Blobs::point(sample);
            batch.0.extend(point.map(|x| {
                if self.poisoned == Some(sample) {
                    f32::NAN
                } else {
                    x
                }
            }));
            batch.1.push(class);
        }
        Ok(batch)
    }

    fn samples(&self, epoch: u64, index: usize) -> Vec<usize> {
        let order = self.sampler.epoch(epoch);
        order.chunks(self.batch).nth(index).unwrap_or_default().to_vec()
    }
}

/// Two layers with dropout between, and the mean of the inputs as running statistics.
pub(super) struct Perceptron {
    pub(super) dropout: f32,
    /// The epoch and batch whose gradient becomes infinite.
    pub(super) spoils_gradient_at: Option<(u64, usize)>,
    /// What `evaluate` says instead of measuring.
    pub(super) scripted: Vec<f64>,
    pub(super) loss: SoftmaxLoss,
}

impl Default for Perceptron {
    fn default() -> Perceptron {
        Perceptron {
            dropout: 0.1,
            spoils_gradient_at: None,
            scripted: Vec::new(),
            loss: SoftmaxLoss::new(&ClassificationLoss::default(), &[1; CLASSES]).unwrap(),
        }
    }
}

impl Perceptron {
    pub(super) const DECAYED: usize = INPUTS * HIDDEN + HIDDEN * CLASSES;
    pub(super) const PLAIN: usize = HIDDEN + CLASSES;

    pub(super) fn fresh() -> Snapshot {
        let hash = |at: usize| blake3::hash(&(at as u32).to_le_bytes()).as_bytes()[0];
        let weights = (0..Perceptron::DECAYED).map(|at| f32::from(hash(at)) / 256.0 - 0.5);
        Snapshot {
            parameters: Parameters::new(weights.collect(), vec![0.0; Perceptron::PLAIN]),
            statistics: vec![0.0; INPUTS],
        }
    }

    fn outputs<T: Tape<f32, Cpu>>(
        points: Vec<f32>,
        parameters: &Parameters,
        keep: Option<Vec<f32>>,
        tape: T,
    ) -> Result<Tensor<(usize, usize), f32, Cpu, T>, CpuError> {
        let device = Cpu::default();
        let rows = points.len() / INPUTS;
        let points = device.tensor_from_vec(points, (rows, INPUTS)).put_tape(tape);
        let (decayed, plain) = (&parameters.decayed, &parameters.plain);
        let hidden = points.try_matmul(decayed.view::<_, T>(0, (INPUTS, HIDDEN))?)?;
        let shift = plain.view::<_, T>(0, (HIDDEN,))?;
        let hidden = (hidden + shift.try_broadcast_like::<_, Axis<0>>(&(rows, HIDDEN))?).relu();
        let hidden = match keep {
            None => hidden,
            Some(keep) => hidden * device.tensor_from_vec(keep, (rows, HIDDEN)),
        };
        let outputs = hidden.try_matmul(decayed.view::<_, T>(INPUTS * HIDDEN, (HIDDEN, CLASSES))?)?;
        let shift = plain.view::<_, T>(HIDDEN, (CLASSES,))?;
        Ok(outputs + shift.try_broadcast_like::<_, Axis<0>>(&(rows, CLASSES))?)
    }
}

impl Objective for Perceptron {
    type Batch = (Vec<f32>, Vec<usize>);

    fn figures(&self) -> Vec<String> {
        vec!["share of the first class".into()]
    }

    fn loss(
        &self,
        (points, classes): Self::Batch,
        parameters: &Parameters,
        statistics: &mut [f32],
        context: &StepContext,
        mut tape: TrainingTape,
    ) -> Result<Outcome, ObjectiveError> {
        for (axis, mean) in statistics.iter_mut().enumerate() {
            let of_batch: f32 = points.iter().skip(axis).step_by(INPUTS).sum::<f32>() / classes.len() as f32;
            *mean += 0.1 * (of_batch - *mean);
        }
        if self.spoils_gradient_at == Some((context.epoch, context.index)) {
            let slot = parameters.plain.slot().clone();
            tape.add_backward_op(move |gradients| {
                slot.gradient(gradients)?[0] = f32::INFINITY;
                Ok(())
            });
        }
        let mut random = blake3::Hasher::new()
            .update(&context.seed.to_le_bytes())
            .finalize_xof();
        let mut drawn = vec![0; classes.len() * HIDDEN];
        random.fill(&mut drawn);
        let kept = 1.0 - self.dropout;
        let keep = drawn.iter().map(|&byte| match f32::from(byte) / 256.0 < kept {
            true => 1.0 / kept,
            false => 0.0,
        });
        let outputs = Perceptron::outputs(points, parameters, Some(keep.collect()), tape)?;
        let targets = SoftTargets::one_hot(&classes, CLASSES)?;
        let first = classes.iter().filter(|&&class| class == 0).count();
        Ok(Outcome {
            loss: self.loss.of(outputs, &targets)?,
            samples: classes.len(),
            figures: vec![first as f64 / classes.len() as f64],
        })
    }

    fn scores(&self) -> Vec<Score> {
        vec![Score {
            name: "accuracy".into(),
            better: Better::Higher,
        }]
    }

    fn evaluate(
        &self,
        parameters: &Parameters,
        _: &[f32],
        evaluation: &Evaluation<'_>,
    ) -> Result<Vec<f64>, ObjectiveError> {
        if let Some(score) = self.scripted.get(evaluation.epoch as usize) {
            return Ok(vec![*score]);
        }
        let unseen = Blobs::SAMPLES..Blobs::SAMPLES + 300;
        let (points, classes): (Vec<_>, Vec<_>) = unseen.map(Blobs::point).unzip();
        let outputs = Perceptron::outputs(points.concat(), parameters, None, NoneTape)?.as_vec();
        let right = outputs.chunks(CLASSES).zip(&classes).filter(|(outputs, class)| {
            let highest = outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            outputs[**class] == highest
        });
        Ok(vec![right.count() as f64 / classes.len() as f64])
    }
}
