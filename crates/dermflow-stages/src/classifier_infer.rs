//! `classifier-infer`: a classifier's label, probabilities and energy for every picture
//! (`method.md` C6).
//!
//! Must not know how the classifier was trained, or of true labels.

use dermflow_core::{
    InputPort, InputSizes, InputTypes, Inputs, OutputPort, PortType, Problem, Resources, Shape, StageContext,
    StageError, StageKind,
};
use dermflow_nn::network::{Images, Inference};
use dermflow_vision::picture::Picture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::learning::classifier::{energy, softmax};
use crate::learning::classifier_ports::contract;
use crate::learning::infer::{Loaded, Pictures, resources, views};
use crate::prediction_rows::{prediction_rows, predictions_type};

/// See the module.
pub struct ClassifierInfer;

/// What `classifier-infer` is told under `with:`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ClassifierInfer")]
pub struct ClassifierInferParameters {
    /// Test-time augmentation: over which views of a picture probabilities are averaged.
    #[serde(default)]
    views: Views,
}

/// Which views of a picture are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Views {
    /// The picture as it is.
    #[default]
    One,
    /// It, and swapped left and right, above and below, and both.
    Flips,
    /// Those four, and each turned by 90 degrees.
    FlipsAndTurns,
}

impl StageKind for ClassifierInfer {
    type Parameters = ClassifierInferParameters;
    const NAME: &'static str = "classifier-infer";
    const VERSION: u32 = 5;
    const ABOUT: &'static str = "Tells the class of every picture, with all probabilities and the energy.";
    const EXAMPLE: &'static str = "\
name: classifier-infer-example
seed: 20
stages:
  photos:
    kind: ingest
    with: {root: photos, size: 96}
  labels:
    kind: import-labels
    in: {samples: photos.samples}
    with: {path: labels.csv}
  classifier:
    kind: classifier-train
    in: {samples: photos.samples, labels: labels.labels}
    with: {side: 96}
  predicted:
    kind: classifier-infer
    in: {samples: photos.samples, model: classifier.model}
    with: {views: flips}
outputs:
  predictions: predicted.predictions
";

    fn inputs(_: &ClassifierInferParameters) -> Inputs {
        let model = PortType::Model(Some("classifier".to_string()));
        Inputs {
            ports: vec![
                InputPort::one("samples", contract("Samples"), "the pictures")
                    .reading(["width", "height", "pixels"]),
                InputPort::one("model", model, "the classifier"),
            ],
            open: false,
        }
    }

    fn outputs(_: &ClassifierInferParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        Ok(vec![OutputPort::new(
            "predictions",
            PortType::Table(predictions_type(true)),
            "label, its probability, those of all classes in the model's order, and the energy",
        )])
    }

    fn shape(_: &ClassifierInferParameters) -> Shape {
        Shape::Map {
            over: "samples".to_string(),
        }
    }

    fn resources(_: &ClassifierInferParameters, _: &InputSizes) -> Resources {
        resources()
    }

    fn run(parameters: &ClassifierInferParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let loaded = Loaded::read(context, "model")?;
        let schema = predictions_type(true).schema();
        let mut out = context.write_table("predictions", schema.clone())?;
        let at_once = loaded.at_once(context.threads());
        let mut pictures = Pictures::of(context, "samples")?.at_once(at_once);
        let total = pictures.rows();
        let mut done = 0;
        while let Some(part) = pictures.next_part()? {
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            let resized: Vec<Picture> = part
                .pictures
                .iter()
                .map(|picture| loaded.resized(picture))
                .collect();
            let judged = loaded.within_threads(context.threads(), |network| {
                judge(&loaded, network, &resized, parameters.views)
            })?;
            done += resized.len() as u64;
            let classes = &loaded.description.classes;
            let probabilities: Vec<f32> = judged
                .iter()
                .flat_map(|judged| judged.probabilities.clone())
                .collect();
            let energies = judged.iter().map(|judged| judged.energy).collect();
            out.write(&prediction_rows(
                &schema,
                part.ids,
                classes,
                &probabilities,
                Some(energies),
            )?)?;
            context.progress(done, Some(total));
        }
        out.finish()
    }
}

/// What a classifier says of a picture.
pub(crate) struct Judged {
    /// Of every class, in the model's order.
    pub probabilities: Vec<f32>,
    /// Minus the logarithm of the summed exponentials of the scores.
    pub energy: f32,
}

/// The means over the views.
pub(crate) fn judge(
    loaded: &Loaded,
    network: &Inference,
    pictures: &[Picture],
    wanted: Views,
) -> Result<Vec<Judged>, StageError> {
    let classes = loaded.description.classes.len();
    let mut sums: Vec<Judged> = Vec::with_capacity(pictures.len());
    sums.resize_with(pictures.len(), || Judged {
        probabilities: vec![0.0; classes],
        energy: 0.0,
    });
    let moves = match wanted {
        Views::One => 1,
        Views::Flips => 4,
        Views::FlipsAndTurns => 8,
    };
    for number in 0..moves {
        let mut pixels = Vec::new();
        for picture in pictures {
            loaded.normalise.append(&views(picture, number), &mut pixels);
        }
        let images = Images {
            pixels: &pixels,
            count: pictures.len(),
            height: loaded.description.preprocessing.height as usize,
            width: loaded.description.preprocessing.width as usize,
        };
        let logits = network
            .logits(images)
            .map_err(|error| StageError::new(error.to_string()))?;
        for (sum, logits) in sums.iter_mut().zip(logits.chunks_exact(classes)) {
            for (sum, probability) in sum.probabilities.iter_mut().zip(softmax(logits)) {
                *sum += probability / moves as f32;
            }
            sum.energy += energy(logits) / moves as f32;
        }
    }
    Ok(sums)
}
