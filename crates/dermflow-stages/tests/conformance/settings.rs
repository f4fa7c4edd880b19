//! Settings of a training through the kinds that train: that each of them reaches the training loop.
//! What it does there is tested beside the loop, by hand and against PyTorch.

use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use dermflow_core::memory::MemoryContext;
use dermflow_nn::layout::{Group, TensorSpec, Weights};
use dermflow_nn::model_file::Model;

use crate::exported::run;

const RATE: f64 = 0.1;

const KINDS: [&str; 2] = ["classifier-train", "regressor-train"];

/// Each step is the gradient times the learning rate.
const PLAIN: &str = "{sgd: {momentum: 0.0, nesterov: false}}";

/// Pictures, and a model that has learned from them a little.
struct Lesson {
    kind: &'static str,
    made: MemoryContext,
    start: Weights,
    file: PathBuf,
}

/// What came of a training.
struct Learned {
    model: Model,
    history: RecordBatch,
}

impl Learned {
    /// The mean length of the gradient over the first epoch's steps, before clipping.
    fn gradient_norm(&self) -> f64 {
        let norms = self.history.column_by_name("gradient_norm").unwrap();
        norms.as_primitive::<Float64Type>().value(0)
    }

    /// How many steps were taken in the first epoch.
    fn steps(&self) -> i64 {
        let steps = self.history.column_by_name("step").unwrap();
        steps.as_primitive::<Int64Type>().value(0)
    }

    /// The loss and the gradient's length of each epoch, bit by bit.
    fn epochs(&self) -> Vec<[u64; 2]> {
        let column = |name: &str| {
            let column = self.history.column_by_name(name).unwrap();
            column.as_primitive::<Float64Type>().clone()
        };
        let [losses, norms] = ["loss", "gradient_norm"].map(column);
        (0..self.history.num_rows())
            .map(|row| [losses.value(row).to_bits(), norms.value(row).to_bits()])
            .collect()
    }
}

fn made() -> MemoryContext {
    let mut made = MemoryContext::default();
    let with = "{images: 12, width: 32, height: 32, classes: 3}";
    run("synthesize", with, &mut made).unwrap();
    made.add_table("samples", made.output("samples"));
    made.add_table("boxes", made.output("boxes"));
    run("box-to-heatmap", "{stride: 4}", &mut made).unwrap();
    made
}

fn learned(kind: &str, made: &MemoryContext, init: Option<&Path>, with: &str) -> Learned {
    let mut context = MemoryContext::default();
    context.add_table("samples", made.output("samples"));
    match kind {
        "classifier-train" => context.add_table("labels", made.output("truth")),
        _ => context.add_table("heatmaps", made.output("heatmaps")),
    }
    if let Some(path) = init {
        context.add_model("init", path);
    }
    run(kind, with, &mut context).unwrap();
    Learned {
        model: Model::from_bytes(&context.output_models["model"]).unwrap(),
        history: context.output("history"),
    }
}

impl Lesson {
    fn new(kind: &'static str) -> Lesson {
        let made = made();
        let with = "{architecture: {published: {name: efficientnetv2-b0, width: 0.15, depth: 0.2}}, \
            side: 32, batches: {size: 4}, training: {epochs: 1, average: null}}";
        let model = learned(kind, &made, None, with).model;
        let file = made.scratch.join("start.safetensors");
        model.save(&file).unwrap();
        Lesson {
            kind,
            made,
            start: model.weights,
            file,
        }
    }

    /// Goes on from the model for one epoch, at batches of so many of the 12 pictures.
    fn goes_on(&self, batch: usize, optimiser: &str) -> Learned {
        let schedule = format!("{{learning-rate: {RATE}, shape: constant}}");
        let training = format!("{{epochs: 1, average: null, schedule: {schedule}, optimiser: {optimiser}}}");
        let with = format!("{{side: 32, batches: {{size: {batch}}}, training: {training}}}");
        learned(self.kind, &self.made, Some(&self.file), &with)
    }

    /// How far the parameters of some tensors went.
    fn moved(&self, to: &Learned, wanted: impl Fn(&TensorSpec) -> bool) -> f64 {
        let tensors = self.start.layout().tensors().iter();
        let trained = tensors.filter(|&tensor| tensor.group != Group::Statistics && wanted(tensor));
        let pairs = trained.flat_map(|tensor| self.start.of(tensor).iter().zip(to.model.weights.of(tensor)));
        let squares = pairs.map(|(from, to)| (f64::from(*to) - f64::from(*from)).powi(2));
        squares.sum::<f64>().sqrt()
    }

    /// The length of a single step, as a multiple of the gradient's times the learning rate.
    fn step(&self, optimiser: &str) -> f64 {
        let learned = self.goes_on(12, optimiser);
        assert_eq!(learned.steps(), 1);
        self.moved(&learned, |_| true) / (RATE * learned.gradient_norm())
    }
}

#[test]
fn frozen_stages_stay_as_they_are_byte_for_byte() {
    for kind in KINDS {
        let lesson = Lesson::new(kind);
        let frozen = lesson.goes_on(4, "{frozen-stages: 3}");
        let free = lesson.goes_on(4, "{}");
        for tensor in lesson.start.layout().tensors() {
            let bits = |weights: &Weights| -> Vec<u32> {
                let numbers = weights.of(tensor).iter();
                numbers.map(|number| number.to_bits()).collect()
            };
            let (before, name) = (bits(&lesson.start), &tensor.name);
            assert_ne!(bits(&free.model.weights), before, "{kind}: {name}");
            let stayed = bits(&frozen.model.weights) == before;
            assert_eq!(stayed, tensor.stage < 3, "{kind}: {name}");
        }
    }
}

#[test]
fn with_layer_decay_each_stage_learns_slower_than_the_one_above_it() {
    for kind in KINDS {
        let lesson = Lesson::new(kind);
        let goes_on = |decay: &str| {
            let optimiser = format!("{{rule: {PLAIN}, weight-decay: 0.0, layer-decay: {decay}}}");
            lesson.goes_on(12, &optimiser)
        };
        let (even, slower) = (goes_on("1.0"), goes_on("0.5"));
        let stages = lesson.start.layout().stages();
        for stage in 0..stages {
            let moved = |to: &Learned| lesson.moved(to, |tensor| tensor.stage == stage);
            let share = moved(&slower) / moved(&even) / 0.5_f64.powi((stages - 1 - stage) as i32);
            assert!((0.98..1.02).contains(&share), "{kind}: stage {stage}: {share}");
        }
    }
}

#[test]
fn a_step_is_as_long_as_the_rule_and_clipping_make_it() {
    let lesson = Lesson::new(KINDS[0]);
    let rule = |rule: &str| lesson.step(&format!("{{rule: {rule}, weight-decay: 0.0}}"));
    // Nesterov's momentum counts the first gradient once, and 0.9 of it once more.
    for (given, expected) in [(PLAIN, 1.0), ("{sgd: {}}", 1.9)] {
        let found = rule(given);
        assert!((found / expected - 1.0).abs() < 0.01, "{given}: {found}");
    }
    // Squares start at 1, so that the first step is at most 1 / √(0.9 + 0.001) of the gradient.
    let rmsprop = rule("{rmsprop: {}}");
    assert!((1.01..1.06).contains(&rmsprop), "{rmsprop}");
    // Every number goes about as far as the learning rate, however small its gradient.
    let adamw = rule("{adamw: {}}");
    assert!(adamw > 5.0, "{adamw}");

    let clipped = lesson.goes_on(12, &format!("{{rule: {PLAIN}, weight-decay: 0.0, clip: 0.01}}"));
    assert!(clipped.gradient_norm() > 0.02);
    let length = lesson.moved(&clipped, |_| true) / (RATE * 0.01);
    assert!((0.99..1.01).contains(&length), "{length}");
}

#[test]
fn gradients_of_some_batches_make_one_step() {
    let lesson = Lesson::new(KINDS[0]);
    let steps = |optimiser: &str| lesson.goes_on(4, optimiser).steps();
    assert_eq!((steps("{}"), steps("{accumulate: 3}")), (3, 1));
}

/// A training of two epochs from the start.
fn two_epochs(dropout: f64, side: u32, augmentation: &str, progressive: &str) -> String {
    let network = format!("{{name: efficientnetv2-b0, width: 0.15, depth: 0.2, dropout: {dropout}}}");
    let augmentation = format!("{{horizontal-flip: 0.5{augmentation}}}");
    format!(
        "{{architecture: {{published: {network}}}, side: {side}, \
         batches: {{size: 4, augmentation: {augmentation}{progressive}}}, training: {{epochs: 2}}}}"
    )
}

/// The first stage is as the first epoch of a training that is told its quantity plainly; a single
/// stage, which is the last one, is as such a training throughout.
#[test]
fn progressive_learning_grows_size_magnitude_dropout_and_mixup_by_stage() {
    let made = made();
    let epochs = |with: &str| learned(KINDS[0], &made, None, with).epochs();
    let randomly = |magnitude: u32| format!(", rand-augment: {{magnitude: {magnitude}}}");
    let mixed = |mixup: f64| format!(", mix: {{mixup: {mixup}}}");
    for (quantity, first, last) in [
        (
            "image-size: {from: 16, to: 32}",
            two_epochs(0.2, 16, "", ""),
            two_epochs(0.2, 32, "", ""),
        ),
        (
            "image-size: {from: 32, to: 32}, magnitude: {from: 3, to: 9}",
            two_epochs(0.2, 32, &randomly(3), ""),
            two_epochs(0.2, 32, &randomly(9), ""),
        ),
        (
            "image-size: {from: 32, to: 32}, dropout: {from: 0.0, to: 0.6}",
            two_epochs(0.0, 32, "", ""),
            two_epochs(0.6, 32, "", ""),
        ),
        (
            "image-size: {from: 32, to: 32}, mixup: {from: 0.1, to: 1.0}",
            two_epochs(0.2, 32, &mixed(0.1), ""),
            two_epochs(0.2, 32, &mixed(1.0), ""),
        ),
    ] {
        let progressive = |stages: u32| {
            let progressive = format!(", progressive: {{custom: {{stages: {stages}, {quantity}}}}}");
            epochs(&two_epochs(0.2, 32, "", &progressive))
        };
        let (first, last, grows) = (epochs(&first), epochs(&last), progressive(2));
        assert_eq!(grows.len(), 2);
        assert_ne!(first[0], last[0], "{quantity}");
        assert_eq!(grows[0], first[0], "{quantity}");
        assert_ne!(grows[1], first[1], "{quantity}");
        assert_eq!(progressive(1), last, "{quantity}");
    }
}

#[test]
fn a_network_that_learned_progressively_is_for_pictures_of_the_whole_size() {
    let made = made();
    let progressive = ", progressive: {custom: {stages: 2, image-size: {from: 16, to: 32}, \
        magnitude: {from: 3, to: 9}, dropout: {from: 0.1, to: 0.5}, mixup: {from: 0.0, to: 0.5}}}";
    let grown = learned(KINDS[0], &made, None, &two_epochs(0.2, 32, "", progressive));
    let plain = learned(KINDS[0], &made, None, &two_epochs(0.2, 32, "", ""));
    assert_ne!(grown.epochs(), plain.epochs());
    assert_ne!(grown.model.weights, plain.model.weights);
    let preprocessing = &grown.model.description.preprocessing;
    assert_eq!((preprocessing.height, preprocessing.width), (32, 32));
    assert_eq!(
        grown.model.description.architecture,
        plain.model.description.architecture
    );
}
