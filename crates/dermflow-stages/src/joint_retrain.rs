//! `joint-retrain`: trains the classifier again on the resampled full data, with stored labels as
//! strong and foreground maps as random weak supervision (`method.md` J1–J4).
//!
//! Must not know how the labels or the maps were made.

use dermflow_core::{
    Arity, InputPort, InputSizes, InputTypes, Inputs, OutputPort, Problem, Resources, StageContext,
    StageError, StageKind,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::classifier_train::ClassifierTrainParameters;
use crate::learning::classifier_ports::{self, contract};
use crate::learning::prior::ForegroundPrior;
use crate::learning::train_classifier;

/// See the module.
pub struct JointRetrain;

/// What `joint-retrain` is told under `with:`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JointRetrain")]
pub struct JointRetrainParameters {
    /// How the classifier is trained: everything that `classifier-train` takes.
    classifier: ClassifierTrainParameters,
    /// How foreground maps take part in training. At inference no map is needed.
    #[serde(default)]
    foreground: ForegroundPrior,
}

impl StageKind for JointRetrain {
    type Parameters = JointRetrainParameters;
    const NAME: &'static str = "joint-retrain";
    const VERSION: u32 = 10;
    const ABOUT: &'static str =
        "Trains a classifier on stored labels, showing a random share of pictures by their foreground only.";
    const EXAMPLE: &'static str = "\
name: joint-retrain-example
seed: 20
stages:
  photos:
    kind: ingest
    with: {root: photos, size: 96}
  labels:
    kind: import-labels
    in: {samples: photos.samples}
    with: {path: labels.csv}
  foreground:
    kind: import-table
    with: {path: maps.parquet, key: image, columns: {height: integer, width: integer, heat: binary}}
  retrain:
    kind: joint-retrain
    in: {samples: photos.samples, labels: labels.labels, foreground: foreground.table}
    with:
      classifier:
        side: 96
        training: {epochs: 20}
      foreground: {probability: 0.5, apply: multiply, floor: 0.1}
outputs:
  model: retrain.model
";
    const RANDOM: bool = true;

    fn inputs(_: &JointRetrainParameters) -> Inputs {
        let mut ports = classifier_ports::inputs("the labels to fit: those that `rank-resample` selected");
        let foreground = InputPort::one(
            "foreground",
            contract("Foreground"),
            "foreground maps of the pictures",
        );
        ports.push(
            foreground
                .with_arity(Arity::Optional)
                .reading(["height", "width", "heat"]),
        );
        Inputs { ports, open: false }
    }

    fn outputs(parameters: &JointRetrainParameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        if parameters.foreground.probability > 0.0 && !wired.contains_key("foreground") {
            let message =
                "pictures are to be shown by their foreground, but nothing is wired to `foreground`";
            return Err(Problem::new("foreground.probability", message)
                .with_help("wire the maps of `regressor-infer`, or set it to 0"));
        }
        let written = parameters.classifier.written().check(wired);
        written.map_err(|problem| Problem {
            parameter: match problem.parameter.as_str() {
                "" => String::new(),
                of_classifier => format!("classifier.{of_classifier}"),
            },
            ..problem
        })?;
        Ok(classifier_ports::outputs())
    }

    fn check(parameters: &JointRetrainParameters) -> Vec<Problem> {
        let problems = parameters.classifier.problems().into_iter();
        let mut problems: Vec<Problem> = problems
            .map(|problem| Problem {
                parameter: format!("classifier.{}", problem.parameter),
                ..problem
            })
            .collect();
        let frozen = parameters.classifier.training.optimiser.frozen_stages;
        if parameters.foreground.is_channel() && frozen > 0 {
            let message = "the map goes into the first convolution, which is frozen and can't learn from it";
            problems.push(
                Problem::new("foreground.apply", message)
                    .with_help("set `classifier.training.optimiser.frozen-stages` to 0"),
            );
        }
        problems
    }

    fn resources(parameters: &JointRetrainParameters, _: &InputSizes) -> Resources {
        parameters
            .classifier
            .resources(parameters.foreground.is_channel())
    }

    fn run(parameters: &JointRetrainParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        train_classifier::train(
            Self::NAME,
            &parameters.classifier,
            Some(&parameters.foreground),
            context,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::{Duration, Instant};

    use dermflow_core::memory::MemoryContext;
    use dermflow_nn::model_file::Model;

    use super::*;

    /// Made-up pictures with labels and maps.
    fn context() -> MemoryContext {
        let run = |kind: &str, with: &str, context: &mut MemoryContext| {
            let kind = crate::registry().get(kind).unwrap().clone();
            let parameters = kind.parse(&serde_yaml::from_str(with).unwrap()).unwrap();
            kind.run(&parameters, context).unwrap();
        };
        let mut made = MemoryContext::default();
        run(
            "synthesize",
            "{images: 24, width: 32, height: 32, classes: 3}",
            &mut made,
        );
        made.add_table("samples", made.output("samples"));
        made.add_table("boxes", made.output("boxes"));
        run("box-to-heatmap", "{stride: 8}", &mut made);
        let mut context = MemoryContext::default();
        for (port, output) in [("samples", "samples"), ("foreground", "heatmaps")] {
            context.add_table(port, made.output(output));
        }
        let truth = made.output("truth");
        context.add_table("labels", truth.slice(0, 18));
        context.add_table("validation", truth.slice(18, 6));
        context
    }

    fn parameters(epochs: u64, foreground: &str) -> JointRetrainParameters {
        let yaml = format!(
            "{{classifier: {{architecture: {{published: {{name: efficientnet-b0, width: 0.15, depth: 0.1}}}}, side: 24, \
             keep: last, batches: {{size: 8, augmentation: {{horizontal-flip: 0.5, mix: {{cutmix: 1.0}}}}}}, \
             training: {{epochs: {epochs}}}}}, foreground: {foreground}}}"
        );
        let value: serde_yaml::Value = serde_yaml::from_str(&yaml).unwrap();
        serde_yaml::with::singleton_map_recursive::deserialize(value).unwrap()
    }

    const CHANNEL: &str = "{probability: 0.5, apply: extra-channel}";

    fn trained(epochs: u64, foreground: &str) -> Vec<u8> {
        let mut context = context();
        JointRetrain::run(&parameters(epochs, foreground), &mut context).unwrap();
        context.output_models.remove("model").unwrap()
    }

    #[test]
    fn a_map_as_a_channel_teaches_a_network_that_has_none() {
        let bytes = trained(3, CHANNEL);
        let model = Model::from_bytes(&bytes).unwrap();
        assert_eq!(model.description.architecture.input_channels(), 3);
        assert_eq!(model.weights.view("stem.weight").unwrap().len() % (9 * 3), 0);
        // Where it is never shown, training is that of the pictures alone.
        let never = trained(3, "{probability: 0, apply: extra-channel}");
        assert_eq!(never, trained(3, "{probability: 0}"));
        assert_ne!(bytes, never);
    }

    #[test]
    fn an_interrupted_training_with_a_channel_goes_on_to_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = context();
        first.scratch = folder.path().to_path_buf();
        let (cancel, checkpoint) = (first.cancel.clone(), folder.path().join("checkpoint.safetensors"));
        let watch = std::thread::spawn(move || {
            let begun = Instant::now();
            while !checkpoint.exists() && begun.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(1));
            }
            cancel.store(true, Ordering::Relaxed);
        });
        let long = parameters(30, CHANNEL);
        assert!(JointRetrain::run(&long, &mut first).is_err());
        watch.join().unwrap();
        let mut second = context();
        second.scratch = folder.path().to_path_buf();
        second.threads = 2;
        JointRetrain::run(&long, &mut second).unwrap();
        let lines = second.lines.lock().unwrap().join("\n");
        assert!(lines.contains("goes on from a checkpoint"), "{lines}");
        assert!(second.output_models["model"] == trained(30, CHANNEL));
    }

    #[test]
    fn a_frozen_stem_can_not_learn_from_a_channel() {
        let mut frozen = parameters(1, CHANNEL);
        assert_eq!(JointRetrain::check(&frozen), []);
        frozen.classifier.training.optimiser.frozen_stages = 1;
        let problems = JointRetrain::check(&frozen);
        assert_eq!(problems[0].parameter, "foreground.apply");
        frozen.foreground.apply = crate::learning::prior::Apply::Multiply;
        assert_eq!(JointRetrain::check(&frozen), []);
    }
}
