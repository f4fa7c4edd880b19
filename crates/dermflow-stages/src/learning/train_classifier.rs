//! Training a classifier, with or without the foreground prior: what `classifier-train` and
//! `joint-retrain` have in common.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Float64Type;
use dermflow_core::{Problem, Resources, SampleId, StageContext, StageError};
use dermflow_nn::architecture::{Architecture, InvalidArchitecture};
use dermflow_nn::cost::{BatchShape, TrainingSetup, training_memory};
use dermflow_nn::loss::SoftmaxLoss;
use dermflow_nn::model_file::{
    Description, Interpolation, Model, Preprocessing, ResizeMode as HeaderResizeMode,
};
use dermflow_nn::optimiser::Rates;
use dermflow_nn::sampling::Sampler;
use dermflow_nn::training::{Start, TrainingSettings};
use dermflow_vision::placement::ResizeMode;

use super::batches::{BatchSettings, PictureBatches};
use super::classes::{Classes, Labelled};
use super::classifier::{ClassifierObjective, Measured};
use super::classifier_ports::{SCORES, write_classes};
use super::folds::Use;
use super::learnable::{check_apart, check_measured, check_pictured, pictured};
use super::network::{
    Started, WantedClasses, check_frozen, continued, fresh, initial, provenance, told, weights,
};
use super::normalise::Normalise;
use super::order::Orders;
use super::pictures::Grids;
use super::prior::{ForegroundPrior, Prior};
use super::run::{self, kept, resize_mode, write_history, write_model};
use super::wired_architecture::{self, Written};
use crate::classifier_train::ClassifierTrainParameters;

impl ClassifierTrainParameters {
    /// The network and side as they are written.
    pub fn written(&self) -> Written<'_> {
        Written {
            architecture: self.architecture.as_ref(),
            side: self.side,
        }
    }

    /// The network for so many classes, as far as it is known from the parameters.
    fn network(&self, classes: u32) -> Result<Architecture, InvalidArchitecture> {
        let choice = self.architecture.clone().unwrap_or_default();
        choice.classifier(classes)
    }

    /// The same with the network that is wired in, if one is, and the side for it.
    fn settled(&self, context: &dyn StageContext) -> Result<(ClassifierTrainParameters, u32), StageError> {
        let mut settled = self.clone();
        let side = wired_architecture::settle(&mut settled.architecture, &mut settled.side, context)?;
        Ok((settled, side))
    }

    /// What types and ranges don't say is wrong.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = match &self.architecture {
            Some(choice) => choice.check(),
            None => Vec::new(),
        };
        problems.extend(self.batches.check());
        if let Err(message) = self.training.check() {
            problems.push(Problem::new("training", message));
        }
        if !self.classes.is_empty()
            && let Err(error) = Classes::new(self.classes.clone(), 2)
        {
            problems.push(Problem::new("classes", error.message));
        }
        problems.extend(self.channels.check());
        // The side of a network that is wired in is not known yet.
        if let Some(side) = self.side
            && let Err(error) = self.batches.check_side(side as usize)
        {
            problems.push(Problem::new("batches.progressive", error.message));
        }
        problems
    }

    /// What a training takes, where the network reads a map beside the picture or not.
    pub fn resources(&self, map: bool) -> Resources {
        let network = self.network(self.classes.len().max(2) as u32);
        let network = network.map(|network| network.with_map(map));
        // A network that is wired in is not known yet; the usual one stands for it.
        let side = self.side.unwrap_or(224);
        training_resources(network.ok().as_ref(), &self.batches, &self.training, side)
    }
}

/// What training a network takes; a guess of 1 GiB where it can't be built.
pub fn training_resources(
    network: Option<&Architecture>,
    batches: &BatchSettings,
    training: &TrainingSettings,
    side: u32,
) -> Resources {
    let progressive = batches.progressive.as_ref();
    let side = progressive.map_or(side, |progressive| {
        progressive.ramp().largest_image(side as usize) as u32
    });
    let shape = BatchShape {
        images: batches.size as u32,
        height: side,
        width: side,
    };
    let setup = TrainingSetup {
        average: training.average.is_some(),
        ..TrainingSetup::default()
    };
    let memory = network.map_or(1 << 30, |network| training_memory(network, shape, &setup).total());
    Resources {
        memory: memory.saturating_add(128 << 20),
        threads: 0,
    }
}

/// Everything that is learned from, and what is measured on.
struct Data {
    classes: Classes,
    train: Labelled,
    valid: Labelled,
    pictures: Arc<Grids>,
    resize: ResizeMode,
}

/// Trains, and writes the outputs.
///
/// # Errors
/// Where the labels don't make a training: one class, unknown classes, a class without pictures.
pub fn train(
    kind: &str,
    parameters: &ClassifierTrainParameters,
    prior: Option<&ForegroundPrior>,
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let (parameters, side) = parameters.settled(context)?;
    let parameters = &parameters;
    parameters.batches.check_side(side as usize)?;
    let data = gather(parameters, context)?;
    let seed = context.seed();
    let mut preprocessing = Preprocessing {
        resize: header_mode(data.resize),
        interpolation: Interpolation::Bilinear,
        mean: parameters.channels.mean,
        deviation: parameters.channels.deviation,
        ..Preprocessing::imagenet(side, side)
    };
    let mut of_init: Vec<String> = Vec::new();
    let started = match context.has_input("init") {
        true => {
            let model = initial(context, parameters.architecture.as_ref())?;
            of_init.clone_from(&model.description.classes);
            preprocessing.mean = model.description.preprocessing.mean;
            preprocessing.deviation = model.description.preprocessing.deviation;
            let wanted = match parameters.classes.is_empty() {
                true => WantedClasses::AtLeast(data.classes.clone()),
                false => WantedClasses::Exactly(data.classes.clone()),
            };
            continued(model, wanted, seed, context)?
        }
        false => {
            let architecture = parameters.network(data.classes.len() as u32);
            let architecture = architecture.map_err(|error| StageError::new(error.to_string()))?;
            fresh(&architecture, data.classes.clone(), seed)?
        }
    };
    check_frozen(&started.network, parameters.training.optimiser.frozen_stages)?;
    told(&started.network, context);
    let prior = prior.filter(|_| context.has_input("foreground"));
    let Started {
        network,
        weights: start,
        classes,
    } = match prior.is_some_and(ForegroundPrior::is_channel) {
        true => started.with_map()?,
        false => started,
    };
    let side = side as usize;
    let source = source(parameters, prior, &data, &classes, &preprocessing, context)?;
    // Where outputs are drawn anew, nothing is known of any class.
    let known: &[String] = if classes.names() == of_init { &of_init } else { &[] };
    check_pictured(&data.train, &data.classes, known, &data.pictures)?;
    // Sampling that evens classes out leaves nothing for weights to even out again.
    let counts = source
        .sampler
        .of_classes(classes.len(), |sample| source.samples[sample].1);
    let loss = SoftmaxLoss::new(&parameters.loss, &counts)
        .map_err(|error| StageError::new(format!("`loss`: {error}")))?;
    let measured_on = measured_on(context);
    let objective = ClassifierObjective {
        network: network.clone(),
        loss,
        frozen_stages: parameters.training.optimiser.frozen_stages,
        valid: Measured {
            samples: pairs(
                &data.valid,
                &data.valid.classes(&classes, measured_on)?,
                &data.pictures,
            ),
            pictures: data.pictures.clone(),
            side,
            normalise: Normalise::new(&preprocessing),
            classes: classes.len(),
        },
    };
    let optimiser = &parameters.training.optimiser;
    let start = Start {
        weights: start,
        rates: Rates::of(network.layout(), optimiser.frozen_stages, optimiser.layer_decay),
        seed,
    };
    let ids: Vec<SampleId> = source
        .samples
        .iter()
        .map(|(picture, _)| SampleId::from_bytes(*data.pictures.id(*picture)))
        .collect();
    let samples = source.samples.len();
    let measured = !objective.valid.samples.is_empty();
    let trained = run::run(
        &parameters.training,
        start,
        &objective,
        &source,
        kind,
        |sample| ids[sample],
        context,
    )?;
    write_history(&trained.history, &SCORES, context)?;
    let (snapshot, epoch) = kept(trained, parameters.keep, measured);
    // Pictures come without a map from here on.
    let weights = weights(network.layout(), snapshot)?.with_map(false);
    let weights = weights.map_err(|error| StageError::new(error.to_string()))?;
    let mut description = Description::new(
        weights.layout().architecture().clone(),
        classes.names().to_vec(),
        preprocessing,
    );
    description.trained_from = provenance(kind, seed, samples, epoch);
    let model = Model::new(description, weights);
    write_model(
        &model.map_err(|error| StageError::new(error.to_string()))?,
        context,
    )?;
    write_classes(&classes, context)
}

/// Where samples to measure on come from, in words.
fn measured_on(context: &dyn StageContext) -> &'static str {
    match context.has_input("validation") {
        true => "`validation`",
        false => "the fold of `splits` that is measured on",
    }
}

fn gather(
    parameters: &ClassifierTrainParameters,
    context: &mut dyn StageContext,
) -> Result<Data, StageError> {
    let folds = parameters.folds.read(context, "splits")?;
    let labelled = Labelled::read(context, "labels")?;
    let train = labelled.filtered(|id| folds.of(id) == Some(Use::Train));
    let valid = match context.has_input("validation") {
        true => Labelled::read(context, "validation")?,
        false => labelled.filtered(|id| folds.of(id) == Some(Use::Valid)),
    };
    let names = match parameters.classes.is_empty() {
        true => train.distinct(),
        false => parameters.classes.clone(),
    };
    let classes = Classes::new(names, 2)?;
    check_apart(&train, &valid)?;
    let mut placements = Vec::new();
    let wanted = |id: &[u8]| train.label(id).is_some() || valid.label(id).is_some();
    let pictures = Grids::gather(context, "samples", "pixels", 3, wanted, |batch| {
        placements.extend(extremes(batch));
    })?;
    let pictures = Arc::new(pictures);
    if context.has_input("validation") || valid.iter().next().is_some() {
        check_measured(&valid, measured_on(context), &pictures)?;
    }
    let missing = train
        .iter()
        .chain(valid.iter())
        .filter(|(id, _)| pictures.find(*id).is_none());
    let missing = missing.count();
    if missing > 0 {
        context.log(&format!(
            "{missing} labelled samples have no picture in `samples`; they are left out"
        ));
    }
    context.metric("labelled samples without a picture", missing as f64);
    Ok(Data {
        classes,
        resize: resize_mode(placements),
        train,
        valid,
        pictures,
    })
}

/// The smallest and the largest `placed_width` and `placed_height` of a batch.
fn extremes(batch: &RecordBatch) -> Vec<(f64, f64)> {
    let column = |name: &str| {
        batch
            .column_by_name(name)
            .and_then(|column| column.as_primitive_opt::<Float64Type>())
    };
    let (Some(widths), Some(heights)) = (column("placed_width"), column("placed_height")) else {
        return Vec::new();
    };
    let of = arrow::compute::min(widths).zip(arrow::compute::min(heights));
    let most = arrow::compute::max(widths).zip(arrow::compute::max(heights));
    of.into_iter().chain(most).collect()
}

/// The same in a model's header.
pub fn header_mode(mode: ResizeMode) -> HeaderResizeMode {
    match mode {
        ResizeMode::Letterbox => HeaderResizeMode::Letterbox,
        ResizeMode::Crop => HeaderResizeMode::Crop,
        ResizeMode::Stretch => HeaderResizeMode::Stretch,
    }
}

/// The samples that have a picture, with their classes.
fn pairs(labelled: &Labelled, classes: &[usize], pictures: &Grids) -> Vec<(usize, usize)> {
    let both = labelled.iter().zip(classes);
    both.filter_map(|((id, _), class)| Some((pictures.find(id)?, *class)))
        .collect()
}

fn source(
    parameters: &ClassifierTrainParameters,
    prior: Option<&ForegroundPrior>,
    data: &Data,
    classes: &Classes,
    preprocessing: &Preprocessing,
    context: &mut dyn StageContext,
) -> Result<PictureBatches, StageError> {
    let samples = pairs(
        &data.train,
        &data.train.classes(classes, "labels")?,
        &data.pictures,
    );
    if samples.is_empty() {
        return Err(
            StageError::new("no labelled sample has a picture, so there is nothing to learn from")
                .with_help("are `labels` and `samples` of the same pictures?"),
        );
    }
    context.metric("training samples", samples.len() as f64);
    let measured = pictured(&data.valid, &data.pictures).count();
    context.metric("validation samples", measured as f64);
    let keys: Vec<[u8; 32]> = samples
        .iter()
        .map(|(picture, _)| *data.pictures.id(*picture))
        .collect();
    let of: Vec<u32> = samples.iter().map(|(_, class)| *class as u32).collect();
    let sampler = Sampler::new(context.seed(), &keys, Some((&of, parameters.batches.sampling)));
    let prior = prior.map(|settings| Prior::gather(settings, &keys, &data.pictures, context));
    Ok(PictureBatches {
        settings: parameters.batches.clone(),
        pictures: data.pictures.clone(),
        classes: classes.len(),
        side: preprocessing.width as usize,
        epochs: parameters.training.epochs,
        normalise: Normalise::new(preprocessing),
        prior: prior.transpose()?,
        seed: context.seed(),
        sampler: sampler.map_err(StageError::new)?,
        orders: Orders::default(),
        samples,
    })
}
