//! Trainings that must not begin, or not so: through the kinds, as a pipeline would have them.

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use dermflow_core::memory::MemoryContext;
use dermflow_core::{Problem, StageError};
use dermflow_nn::model_file::Model;

const NARROW: &str = "{published: {name: efficientnetv2-b0, width: 0.15, depth: 0.2}}";

fn checked(kind: &str, with: &str) -> Vec<Problem> {
    let kind = crate::registry().get(kind).unwrap().clone();
    let parameters = kind.parse(&serde_yaml::from_str(with).unwrap()).unwrap();
    kind.check(&parameters)
}

fn run(kind: &str, with: &str, context: &mut MemoryContext) -> Result<(), StageError> {
    assert_eq!(checked(kind, with), []);
    let kind = crate::registry().get(kind).unwrap().clone();
    let parameters = kind.parse(&serde_yaml::from_str(with).unwrap()).unwrap();
    kind.run(&parameters, context)
}

/// Made-up photos of three classes, with their labels, boxes and heat maps.
struct Photos {
    made: MemoryContext,
    folder: tempfile::TempDir,
}

impl Photos {
    fn new() -> Photos {
        let mut made = MemoryContext::default();
        let with = "{images: 24, width: 32, height: 32, classes: 3}";
        run("synthesize", with, &mut made).unwrap();
        Photos {
            made,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn labels(&self) -> RecordBatch {
        self.made.output("truth")
    }

    /// The labels that are not `left_out`.
    fn labels_without(&self, left_out: &str) -> RecordBatch {
        let labels = self.labels();
        let names = labels.column_by_name("label").unwrap().as_string::<i32>();
        let kept: BooleanArray = names.iter().map(|name| Some(name != Some(left_out))).collect();
        filter_record_batch(&labels, &kept).unwrap()
    }

    fn context(&self) -> MemoryContext {
        let mut context = MemoryContext::default();
        // Trainings leave checkpoints: one folder each.
        let others = std::fs::read_dir(self.folder.path()).unwrap().count();
        context.scratch = self.folder.path().join(others.to_string());
        std::fs::create_dir(&context.scratch).unwrap();
        context.add_table("samples", self.made.output("samples"));
        context
    }

    fn labelled(&self, labels: RecordBatch) -> MemoryContext {
        let mut context = self.context();
        context.add_table("labels", labels);
        context
    }

    fn with_heatmaps(&self, stride: u32) -> MemoryContext {
        let mut context = self.context();
        context.add_table("boxes", self.made.output("boxes"));
        run("box-to-heatmap", &format!("{{stride: {stride}}}"), &mut context).unwrap();
        let heatmaps = context.output("heatmaps");
        context.add_table("heatmaps", heatmaps);
        context
    }

    /// A model that `context` made, as a file.
    fn saved(&self, context: &MemoryContext, name: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, &context.output_models["model"]).unwrap();
        path
    }
}

#[test]
fn nothing_is_measured_on_what_is_learned_from() {
    let photos = Photos::new();
    let mut context = photos.labelled(photos.labels());
    context.add_table("validation", photos.labels().slice(0, 5));
    let with = format!("{{architecture: {NARROW}, side: 32, training: {{epochs: 1}}}}");
    let error = run("classifier-train", &with, &mut context).unwrap_err();
    assert!(error.message.starts_with("5 samples of `validation`"), "{error}");
}

#[test]
fn a_training_of_nothing_is_refused() {
    let photos = Photos::new();
    let training = "training: {epochs: 1, optimiser: {frozen-stages: 9}}";
    let with = format!("{{architecture: {NARROW}, side: 32, {training}}}");
    let error = run("classifier-train", &with, &mut photos.labelled(photos.labels())).unwrap_err();
    assert!(error.message.contains("nothing would be trained"), "{error}");
}

#[test]
fn pictures_do_not_grow_beyond_the_size_that_a_network_is_for() {
    let batches = "batches: {progressive: {custom: {image-size: {from: 32, to: 64}}}}";
    let with = format!("{{architecture: {NARROW}, side: 32, {batches}, training: {{epochs: 1}}}}");
    let problems = checked("classifier-train", &with);
    assert_eq!(problems[0].parameter, "batches.progressive");
    let message = &problems[0].message;
    assert!(
        message.contains("64 pixels") && message.contains("for 32"),
        "{message}"
    );
}

#[test]
fn a_model_that_knows_more_classes_than_the_labels_have_goes_on_telling_all() {
    let photos = Photos::new();
    let with = format!("{{architecture: {NARROW}, side: 32, training: {{epochs: 1}}}}");
    let mut first = photos.labelled(photos.labels());
    run("classifier-train", &with, &mut first).unwrap();
    let model = photos.saved(&first, "first.safetensors");
    let classes = Model::load(&model).unwrap().description.classes;
    assert_eq!(classes.len(), 3);

    let goes_on = |with: &str| {
        let mut second = photos.labelled(photos.labels_without(&classes[2]));
        second.add_model("init", &model);
        run("classifier-train", with, &mut second).unwrap();
        Model::from_bytes(&second.output_models["model"])
            .unwrap()
            .description
            .classes
    };
    assert_eq!(goes_on("{side: 32, training: {epochs: 1}}"), classes);
    let two = classes[..2].join(", ");
    let asked = goes_on(&format!(
        "{{side: 32, classes: [{two}], training: {{epochs: 1}}}}"
    ));
    assert_eq!(asked, classes[..2]);
}

#[test]
fn a_regressor_does_not_stand_for_a_classifier_nor_one_stride_for_another() {
    let photos = Photos::new();
    let with = format!("{{architecture: {NARROW}, side: 32, head-channels: 8, training: {{epochs: 1}}}}");
    let mut first = photos.with_heatmaps(4);
    run("regressor-train", &with, &mut first).unwrap();
    let model = photos.saved(&first, "regressor.safetensors");
    let document = Model::load(&model).unwrap().description.architecture;
    let document = serde_json::to_string(&document).unwrap();
    let problems = checked(
        "classifier-train",
        &format!("{{architecture: {{document: {document}}}, side: 32}}"),
    );
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("a regressor's"), "{problems:?}");

    let mut second = photos.with_heatmaps(8);
    second.add_model("init", &model);
    let error = run(
        "regressor-train",
        "{side: 32, stride: 8, training: {epochs: 1}}",
        &mut second,
    );
    let error = error.unwrap_err();
    assert!(error.message.contains("for every 4 pixels"), "{error}");
}

#[test]
fn pixels_are_measured_by_numbers() {
    for (channels, place) in [
        ("{mean: [.nan, 0, 0]}", "channels.mean"),
        ("{deviation: [0, 1, 1]}", "channels.deviation"),
    ] {
        for kind in ["classifier-train", "regressor-train"] {
            let problems = checked(kind, &format!("{{side: 32, channels: {channels}}}"));
            assert_eq!(problems[0].parameter, place);
        }
    }
}
