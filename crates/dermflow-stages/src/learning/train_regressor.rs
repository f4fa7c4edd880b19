//! Training a regressor: the objective, and the outputs of `regressor-train`.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use dermflow_core::{SampleId, StageContext, StageError};
use dermflow_nn::architecture::Architecture;
use dermflow_nn::loss::RegressorLoss;
use dermflow_nn::model_file::{Description, Interpolation, Model, Preprocessing, ResizeMode};
use dermflow_nn::network::{Draw, Images, Mode, Network, NetworkError};
use dermflow_nn::optimiser::Rates;
use dermflow_nn::sampling::Sampler;
use dermflow_nn::training::{
    Better, Evaluation, Objective, ObjectiveError, Outcome, Score, Start, StepContext,
};
use dermflow_nn::{Parameters, TrainingTape};
use dfdx::tensor::{Cpu, TensorFromVec};
use dfdx::tensor_ops::TryAdd;

use super::classes::Classes;
use super::folds::Use;
use super::lesion_batches::{LesionBatch, LesionBatches, LesionData};
use super::lesions::Lesions;
use super::network::{
    Started, WantedClasses, check_frozen, continued, fresh, initial, on_backbone, provenance, told, weights,
};
use super::normalise::Normalise;
use super::order::Orders;
use super::pictures::Grids;
use super::run::{self, kept, resize_mode, write_history, write_model};
use super::train_classifier::header_mode;
use crate::regressor_train::RegressorTrainParameters;

/// The parts of the loss on the samples that are learned from: the means of an epoch.
const FIGURES: [&str; 2] = ["train_heat_loss", "train_size_loss"];

/// The losses on samples that are not learned from.
const SCORES: [&str; 3] = ["valid_loss", "valid_heat_loss", "valid_size_loss"];

/// What the history has besides the columns of every history.
pub const MEASURED: [&str; 5] = [FIGURES[0], FIGURES[1], SCORES[0], SCORES[1], SCORES[2]];

/// What a regressor learns.
struct RegressorObjective {
    network: Network,
    loss: RegressorLoss,
    frozen_stages: usize,
    data: Arc<LesionData>,
    /// The pictures that are measured on.
    valid: Vec<usize>,
    side: usize,
}

fn failed(error: NetworkError) -> ObjectiveError {
    ObjectiveError::Failed(error.to_string())
}

impl Objective for RegressorObjective {
    type Batch = LesionBatch;

    fn loss(
        &self,
        batch: LesionBatch,
        parameters: &Parameters,
        statistics: &mut [f32],
        context: &StepContext,
        tape: TrainingTape,
    ) -> Result<Outcome, ObjectiveError> {
        let images = images(&batch.pixels, batch.keys.len(), batch.side);
        let mode = Mode::Train(Draw {
            seed: context.seed,
            samples: &batch.keys,
            dropout: batch.dropout,
            frozen_stages: self.frozen_stages,
        });
        let maps = self
            .network
            .maps(images, parameters, statistics, mode, tape)
            .map_err(failed)?;
        let heat = self.loss.heat(maps.heat, &batch.truth.codes)?;
        let size = self.loss.size(maps.size, &batch.truth.centres)?;
        let figures = vec![f64::from(heat.as_vec()[0]), f64::from(size.as_vec()[0])];
        Ok(Outcome {
            loss: heat.try_add(size)?,
            samples: batch.keys.len(),
            figures,
        })
    }

    fn figures(&self) -> Vec<String> {
        FIGURES.map(str::to_string).to_vec()
    }

    fn scores(&self) -> Vec<Score> {
        if self.valid.is_empty() {
            return Vec::new();
        }
        let score = |name: &str| Score {
            name: name.to_string(),
            better: Better::Lower,
        };
        SCORES.map(score).to_vec()
    }

    fn evaluate(
        &self,
        parameters: &Parameters,
        statistics: &[f32],
        evaluation: &Evaluation<'_>,
    ) -> Result<Vec<f64>, ObjectiveError> {
        if self.valid.is_empty() {
            return Ok(Vec::new());
        }
        let network = self.network.inference(parameters, statistics).map_err(failed)?;
        let (mut heat, mut size) = (0.0, 0.0);
        for part in self.valid.chunks(16) {
            if (evaluation.cancelled)() {
                return Err(ObjectiveError::Cancelled);
            }
            let (pixels, truth) = self
                .data
                .measured(part, self.side)
                .map_err(ObjectiveError::Failed)?;
            let [maps, sizes] = network
                .maps(images(&pixels, part.len(), self.side))
                .map_err(failed)?;
            let device = Cpu::default();
            let shape = |of: &dermflow_nn::network::Grids| (of.count, of.height, of.width, of.channels);
            let (of_maps, of_sizes) = (shape(&maps), shape(&sizes));
            let maps = device.tensor_from_vec(maps.values, of_maps);
            let sizes = device.tensor_from_vec(sizes.values, of_sizes);
            let count = part.len() as f64;
            heat += count * f64::from(self.loss.heat(maps, &truth.codes)?.as_vec()[0]);
            size += count * f64::from(self.loss.size(sizes, &truth.centres)?.as_vec()[0]);
        }
        // The steps that follow need their memory, not that of weights laid out anew.
        drop(network);
        self.network.release_memory();
        let all = self.valid.len() as f64;
        Ok(vec![(heat + size) / all, heat / all, size / all])
    }
}

fn architecture(
    parameters: &RegressorTrainParameters,
    classes: &Classes,
) -> Result<Architecture, StageError> {
    parameters
        .network(classes.len() as u32)
        .map_err(crate::columns::failure)
}

fn images(pixels: &[f32], count: usize, side: usize) -> Images<'_> {
    Images {
        pixels,
        count,
        height: side,
        width: side,
    }
}

/// Trains, and writes the outputs.
///
/// # Errors
/// Where there is nothing to learn from, or maps of another stride.
pub fn train(
    kind: &str,
    parameters: &RegressorTrainParameters,
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let (parameters, side) = parameters.settled(context)?;
    let parameters = &parameters;
    parameters.batches.check_side(side as usize)?;
    let folds = parameters.folds.read(context, "splits")?;
    let lesions = Arc::new(Lesions::read(context, "heatmaps")?);
    let mut placements = Vec::new();
    let wanted = |id: &[u8]| lesions.has(id) && folds.of(id).is_some();
    let pictures = Grids::gather(context, "samples", "pixels", 3, wanted, |batch| {
        for name in ["placed_width", "placed_height"] {
            if let Some(sides) = batch
                .column_by_name(name)
                .and_then(|column| column.as_primitive_opt::<Float64Type>())
            {
                placements.extend(sides.values().iter().map(|side| (*side, 1.0)));
            }
        }
    })?;
    let pictures = Arc::new(pictures);
    let used = |wanted: Use| {
        (0..pictures.len())
            .filter(|at| folds.of(pictures.id(*at)) == Some(wanted))
            .collect()
    };
    let (samples, valid): (Vec<usize>, Vec<usize>) = (used(Use::Train), used(Use::Valid));
    let classes = classes(parameters, &lesions, &pictures, &samples)?;
    same_stride(parameters, &lesions, &pictures)?;
    let seed = context.seed();
    let (
        Started {
            network,
            weights: start,
            classes,
        },
        preprocessing,
    ) = started(
        parameters,
        classes,
        header_mode(resize_mode(placements)),
        side,
        context,
    )?;
    check_frozen(&network, parameters.training.optimiser.frozen_stages)?;
    let stride = network.architecture().output_stride();
    if stride != parameters.stride as usize {
        return Err(StageError::new(format!(
            "the maps of the network have a cell for every {stride} pixels, and `stride` is {}",
            parameters.stride
        ))
        .with_help(
            "give `stride` the same as where the model at `init` was trained, and draw heat maps of it",
        ));
    }
    told(&network, context);
    context.metric("training samples", samples.len() as f64);
    context.metric("validation samples", valid.len() as f64);
    let data = Arc::new(LesionData {
        pictures: pictures.clone(),
        lesions,
        classes,
        normalise: Normalise::new(&preprocessing),
        stride: parameters.stride as usize,
    });
    let keys: Vec<[u8; 32]> = samples.iter().map(|picture| *pictures.id(*picture)).collect();
    let side = side as usize;
    let source = LesionBatches {
        settings: parameters.batches.clone(),
        data: data.clone(),
        side,
        epochs: parameters.training.epochs,
        seed,
        sampler: Sampler::new(seed, &keys, None).map_err(StageError::new)?,
        orders: Orders::default(),
        samples,
    };
    let optimiser = &parameters.training.optimiser;
    let objective = RegressorObjective {
        network: network.clone(),
        loss: parameters.loss,
        frozen_stages: optimiser.frozen_stages,
        data: data.clone(),
        valid,
        side,
    };
    let start = Start {
        weights: start,
        rates: Rates::of(network.layout(), optimiser.frozen_stages, optimiser.layer_decay),
        seed,
    };
    let name = |sample: usize| SampleId::from_bytes(keys[sample]);
    let measured = !objective.valid.is_empty();
    let trained = run::run(
        &parameters.training,
        start,
        &objective,
        &source,
        kind,
        name,
        context,
    )?;
    write_history(&trained.history, &MEASURED, context)?;
    let (snapshot, epoch) = kept(trained, parameters.keep, measured);
    let names = data.classes.names().to_vec();
    let mut description = Description::new(network.architecture().clone(), names, preprocessing);
    description.trained_from = provenance(kind, seed, keys.len(), epoch);
    let model = Model::new(description, weights(network.layout(), snapshot)?);
    write_model(
        &model.map_err(|error| StageError::new(error.to_string()))?,
        context,
    )
}

/// The network to begin with, and how it wants pictures: those of `init`, where that is wired.
fn started(
    parameters: &RegressorTrainParameters,
    classes: Classes,
    resize: ResizeMode,
    side: u32,
    context: &mut dyn StageContext,
) -> Result<(Started, Preprocessing), StageError> {
    let seed = context.seed();
    let mut preprocessing = Preprocessing {
        resize,
        interpolation: Interpolation::Bilinear,
        mean: parameters.channels.mean,
        deviation: parameters.channels.deviation,
        ..Preprocessing::imagenet(side, side)
    };
    if !context.has_input("init") {
        let started = fresh(&architecture(parameters, &classes)?, classes, seed)?;
        return Ok((started, preprocessing));
    }
    let model = initial(context, parameters.architecture.as_ref())?;
    preprocessing.mean = model.description.preprocessing.mean;
    preprocessing.deviation = model.description.preprocessing.deviation;
    let started = match model.description.architecture.regressor() {
        Some(_) => continued(model, WantedClasses::Exactly(classes), seed, context)?,
        None => {
            let architecture = architecture(parameters, &classes)?;
            on_backbone(&architecture, &model, classes, seed, context)?
        }
    };
    Ok((started, preprocessing))
}

fn classes(
    parameters: &RegressorTrainParameters,
    lesions: &Lesions,
    pictures: &Grids,
    samples: &[usize],
) -> Result<Classes, StageError> {
    if samples.is_empty() {
        return Err(StageError::new(
            "no picture of `samples` has a heat map, so there is nothing to learn from",
        )
        .with_help("are `heatmaps` and `samples` of the same pictures?"));
    }
    if !parameters.classes.is_empty() {
        return Classes::new(parameters.classes.clone(), 1);
    }
    let of = |picture: &usize| {
        lesions
            .of(pictures.id(*picture))
            .iter()
            .map(|map| map.class.clone())
    };
    let names: std::collections::BTreeSet<String> = samples.iter().flat_map(of).collect();
    Classes::new(names.into_iter().collect(), 1)
}

/// Maps must have the network's stride, or their cells would stand for other places.
fn same_stride(
    parameters: &RegressorTrainParameters,
    lesions: &Lesions,
    pictures: &Grids,
) -> Result<(), StageError> {
    let stride = parameters.stride as usize;
    for (id, maps) in lesions.iter() {
        let Some(picture) = pictures.find(id) else {
            continue;
        };
        let wanted = pictures.size(picture).map(|side| side.div_ceil(stride));
        for map in maps {
            let found = [map.map.width(), map.map.height()];
            if found != wanted {
                let [width, height] = pictures.size(picture);
                return Err(StageError::new(format!(
                    "the heat map of sample {} has {} × {} cells; with `stride: {stride}` a picture of {width} × {height} pixels has {} × {}",
                    SampleId::from_bytes(*id),
                    found[0],
                    found[1],
                    wanted[0],
                    wanted[1]
                ))
                .with_help("give `box-to-heatmap` and `regressor-train` the same `stride`"));
            }
        }
    }
    Ok(())
}
