//! A small classifier as an objective, and made-up pictures to train it on.

use dermflow_nn::Parameters;
use dermflow_nn::TrainingTape;
use dermflow_nn::architecture::{Architecture, Flavour, Named, Published};
use dermflow_nn::layout::Weights;
use dermflow_nn::loss::{ClassificationLoss, SoftTargets, SoftmaxLoss};
use dermflow_nn::network::{Draw, Images, Mode, Network, NetworkError};
use dermflow_nn::optimiser::Rates;
use dermflow_nn::training::{
    Batches, Better, Evaluation, Objective, ObjectiveError, Outcome, Score, Snapshot, Start, StepContext,
};

pub const CLASSES: usize = 3;

/// EfficientNetV2-B0 at a quarter of its width and a third of its depth; nothing is dropped.
pub fn architecture() -> Architecture {
    let named = Named {
        flavour: Flavour::Tensorflow,
        width: 0.25,
        depth: 0.34,
        dropout: Some(0.0),
        stochastic_depth: Some(0.0),
        ..Named::plain(Published::EfficientNetV2B0)
    };
    named.classifier(CLASSES as u32).unwrap()
}

/// Fresh weights of a network.
pub fn start(network: &Network, seed: u64) -> Start {
    let weights = Weights::initialise(network.layout().clone(), seed);
    let [decayed, plain, statistics] = weights.into_buffers();
    Start {
        weights: Snapshot {
            parameters: Parameters::new(decayed, plain),
            statistics,
        },
        rates: Rates::of(network.layout(), 0, 1.0),
        seed,
    }
}

/// Pictures of a disc, of rows or of columns, each at a place and in colours of its own, under
/// noise.
pub struct Pictures {
    pub side: usize,
    pub batch: usize,
    pub batches: usize,
}

impl Pictures {
    /// Its class, and its pixels in −1 to 1.
    pub fn picture(&self, sample: usize) -> (usize, Vec<f32>) {
        let class = sample % CLASSES;
        let mut bytes = vec![0; 8 + self.side * self.side * 3];
        let key = (sample as u64).to_le_bytes();
        blake3::Hasher::new().update(&key).finalize_xof().fill(&mut bytes);
        let unit = |byte: u8| f32::from(byte) / 255.0;
        let (left, top) = (0.3 + 0.4 * unit(bytes[0]), 0.3 + 0.4 * unit(bytes[1]));
        let colours = [unit(bytes[2]), unit(bytes[3]), unit(bytes[4])];
        let mut pixels = Vec::with_capacity(self.side * self.side * 3);
        for row in 0..self.side {
            for column in 0..self.side {
                let (x, y) = (column as f32 / self.side as f32, row as f32 / self.side as f32);
                let inside = match class {
                    0 => (x - left).powi(2) + (y - top).powi(2) < 0.04,
                    1 => (row + usize::from(bytes[5])) % 8 < 4,
                    _ => (column + usize::from(bytes[6])) % 8 < 4,
                };
                for (channel, colour) in colours.iter().enumerate() {
                    let noise = unit(bytes[8 + (row * self.side + column) * 3 + channel]) - 0.5;
                    pixels.push(f32::from(u8::from(inside)) * (0.4 + 0.6 * colour) - 0.5 + 0.5 * noise);
                }
            }
        }
        (class, pixels)
    }

    pub fn images<'a>(&self, pixels: &'a [f32]) -> Images<'a> {
        Images {
            pixels,
            count: pixels.len() / (self.side * self.side * 3),
            height: self.side,
            width: self.side,
        }
    }
}

impl Batches for Pictures {
    type Batch = (Vec<f32>, Vec<usize>);

    fn batches(&self, _: u64) -> usize {
        self.batches
    }

    fn batch(&self, epoch: u64, index: usize) -> Result<Self::Batch, String> {
        let pictures = self
            .samples(epoch, index)
            .into_iter()
            .map(|sample| self.picture(sample));
        let (classes, pixels): (Vec<usize>, Vec<Vec<f32>>) = pictures.unzip();
        Ok((pixels.concat(), classes))
    }

    fn samples(&self, epoch: u64, index: usize) -> Vec<usize> {
        let first = (epoch as usize * self.batches + index) * self.batch;
        (first..first + self.batch).collect()
    }
}

/// Cross entropy of the network's outputs, and its accuracy on pictures that are not trained on.
pub struct Classify {
    pub network: Network,
    pub pictures: Pictures,
    /// How many pictures an evaluation looks at.
    pub unseen: usize,
}

fn failed(error: NetworkError) -> ObjectiveError {
    ObjectiveError::Failed(error.to_string())
}

impl Objective for Classify {
    type Batch = (Vec<f32>, Vec<usize>);

    fn loss(
        &self,
        (pixels, classes): Self::Batch,
        parameters: &Parameters,
        statistics: &mut [f32],
        context: &StepContext,
        tape: TrainingTape,
    ) -> Result<Outcome, ObjectiveError> {
        let mode = Mode::Train(Draw {
            seed: context.seed,
            ..Draw::default()
        });
        let images = self.pictures.images(&pixels);
        let logits = self
            .network
            .logits(images, parameters, statistics, mode, tape)
            .map_err(failed)?;
        let loss = SoftmaxLoss::new(&ClassificationLoss::default(), &[1; CLASSES])?;
        Ok(Outcome {
            loss: loss.of(logits, &SoftTargets::one_hot(&classes, CLASSES)?)?,
            samples: classes.len(),
            figures: Vec::new(),
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
        statistics: &[f32],
        _: &Evaluation<'_>,
    ) -> Result<Vec<f64>, ObjectiveError> {
        if self.unseen == 0 {
            return Ok(vec![f64::NAN]);
        }
        let pictures = (0..self.unseen).map(|at| self.pictures.picture(1_000_000 + at));
        let (classes, pixels): (Vec<usize>, Vec<Vec<f32>>) = pictures.unzip();
        let network = self.network.inference(parameters, statistics).map_err(failed)?;
        let logits = network
            .logits(self.pictures.images(&pixels.concat()))
            .map_err(failed)?;
        let right = logits.chunks(CLASSES).zip(&classes).filter(|(row, class)| {
            let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row[**class] == highest
        });
        Ok(vec![right.count() as f64 / classes.len() as f64])
    }
}
