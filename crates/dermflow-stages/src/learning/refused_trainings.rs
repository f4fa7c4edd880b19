//! Trainings that must not begin, or not so: through the kinds, as a pipeline would have them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use dermflow_core::memory::MemoryContext;
use dermflow_core::{Problem, StageError};
use dermflow_nn::model_file::Model;

use crate::columns::ids_of;

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
        self.pictures_of(&self.labels())
    }

    /// The pictures of these samples alone.
    fn pictures_of(&self, of: &RecordBatch) -> MemoryContext {
        let wanted = ids_of(of).unwrap();
        let wanted: BTreeSet<&[u8]> = (0..of.num_rows()).map(|row| wanted.value(row)).collect();
        let samples = self.made.output("samples");
        let ids = ids_of(&samples).unwrap();
        let rows = 0..samples.num_rows();
        let kept: BooleanArray = rows.map(|row| Some(wanted.contains(ids.value(row)))).collect();
        let mut context = MemoryContext::default();
        // Trainings leave checkpoints: one folder each.
        let others = std::fs::read_dir(self.folder.path()).unwrap().count();
        context.scratch = self.folder.path().join(others.to_string());
        std::fs::create_dir(&context.scratch).unwrap();
        context.add_table("samples", filter_record_batch(&samples, &kept).unwrap());
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
fn what_is_measured_on_has_pictures() {
    let photos = Photos::new();
    let (learned, others) = (photos.labels().slice(0, 18), photos.labels().slice(18, 6));
    let with = format!("{{architecture: {NARROW}, side: 32, training: {{epochs: 1}}}}");
    for (validation, said) in [
        (others.slice(0, 0), "`validation` has no samples"),
        (others, "none of the 6 samples of `validation` has a picture"),
    ] {
        let mut context = photos.pictures_of(&learned);
        context.add_table("labels", learned.clone());
        context.add_table("validation", validation);
        let error = run("classifier-train", &with, &mut context).unwrap_err();
        assert!(error.message.starts_with(said), "{error}");
    }
}

#[test]
fn a_class_has_a_picture_to_learn_from_unless_the_model_to_go_on_from_tells_it() {
    let photos = Photos::new();
    let all = "classes: [class-0, class-1, class-2]";
    let with = |more: &str| {
        format!("{{architecture: {NARROW}, side: 32, training: {{epochs: 1}}, classes: [{more}]}}")
    };
    let of_two = || {
        let mut context = photos.pictures_of(&photos.labels_without("class-2"));
        context.add_table("labels", photos.labels());
        context
    };
    let refused = |with: &str, mut context: MemoryContext| {
        run("classifier-train", with, &mut context).unwrap_err().message
    };
    let unseen = refused(&with(""), of_two());
    assert!(unseen.contains("from: `class-2` ("), "{unseen}");
    let named = "class-0, class-1, class-2, class-3";
    let unseen = refused(&with(named), photos.labelled(photos.labels()));
    assert!(unseen.contains("`class-3` (0 labelled samples)"), "{unseen}");

    let mut first = photos.labelled(photos.labels());
    run("classifier-train", &with(""), &mut first).unwrap();
    let model = photos.saved(&first, "all.safetensors");
    let goes_on = format!("{{side: 32, training: {{epochs: 1}}, {all}}}");
    let mut second = of_two();
    second.add_model("init", &model);
    run("classifier-train", &goes_on, &mut second).unwrap();
    // Outputs that are drawn anew know nothing.
    let mut third = of_two();
    third.add_model("init", &model);
    let unseen = refused(&with(named), third);
    assert!(
        unseen.contains("`class-2` (") && unseen.contains("`class-3` ("),
        "{unseen}"
    );

    let labels = photos.labels();
    let names = labels.column_by_name("label").unwrap().as_string::<i32>();
    let kept: BooleanArray = names.iter().map(|name| Some(name == Some("class-0"))).collect();
    let mut alone = photos.pictures_of(&filter_record_batch(&labels, &kept).unwrap());
    alone.add_table("labels", labels);
    alone.add_model("init", &model);
    let alone = refused(&goes_on, alone);
    assert!(alone.contains("pictures of `class-0` alone"), "{alone}");
}

#[test]
fn names_that_no_model_file_takes_are_refused_before_training() {
    for (kind, with, place) in [
        ("classifier-train", "{side: 32, classes: [a, b, '']}", "classes"),
        ("regressor-train", "{side: 32, classes: [a, b, '']}", "classes"),
        (
            "joint-retrain",
            "{classifier: {side: 32, classes: [a, b, '']}}",
            "classifier.classes",
        ),
    ] {
        let problems = checked(kind, with);
        assert_eq!(problems[0].parameter, place);
        assert!(problems[0].message.contains("1 to 500 bytes"), "{problems:?}");
    }
    let photos = Photos::new();
    let labels = photos.labels();
    let long = "x".repeat(501);
    let names = labels.column_by_name("label").unwrap().as_string::<i32>();
    let names = names
        .iter()
        .map(|name| name.map(|name| name.replace("class-2", &long)));
    let mut columns = labels.columns().to_vec();
    columns[labels.schema().index_of("label").unwrap()] = Arc::new(names.collect::<StringArray>());
    let labels = RecordBatch::try_new(labels.schema(), columns).unwrap();
    let with = format!("{{architecture: {NARROW}, side: 32, training: {{epochs: 1}}}}");
    let error = run("classifier-train", &with, &mut photos.labelled(labels)).unwrap_err();
    assert!(error.message.contains("1 to 500 bytes"), "{error}");
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
