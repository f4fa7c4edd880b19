//! What `export-model` writes, read back by `import-model`: every format that holds weights, through
//! the stages themselves.

use dermflow_core::StageError;
use dermflow_core::memory::MemoryContext;
use dermflow_nn::architecture::Architecture;
use dermflow_nn::layout::Group;
use dermflow_nn::model_file::Model;

use crate::cases::learning::{classifier, network, regressor};

/// The network of [`classifier`], as a pipeline names it.
const CLASSIFIER: &str = "{name: efficientnetv2-b0, width: 0.15, depth: 0.2}";

/// A model whose numbers all differ from their neighbours, running statistics among them: one that
/// lands at another place is noticed.
fn numbered(architecture: Architecture) -> Model {
    let mut model = network(architecture);
    for group in [Group::Decayed, Group::Plain, Group::Statistics] {
        for (at, number) in model.weights.buffer_mut(group).iter_mut().enumerate() {
            *number = (at % 8191) as f32 / 8192.0;
        }
    }
    model
}

/// Runs one stage of this kind.
pub fn run(kind: &str, with: &str, context: &mut MemoryContext) -> Result<(), StageError> {
    let kind = dermflow_stages::registry().get(kind).unwrap().clone();
    let parameters = kind.parse(&serde_yaml::from_str(with).unwrap()).unwrap();
    kind.run(&parameters, context)
}

/// The one file that a model becomes.
fn exported(model: &Model, format: &str) -> Result<Vec<u8>, StageError> {
    let mut context = MemoryContext::default();
    let path = context.scratch.join("given.safetensors");
    model.save(&path).unwrap();
    context.add_model("model", path);
    let with = format!("{{format: {format}, name: weights}}");
    run("export-model", &with, &mut context)?;
    Ok(context.output_files["files"]["weights.safetensors"].clone())
}

/// The model that a file becomes, with what was told of it.
fn imported(bytes: &[u8], network: &str) -> Result<(Model, MemoryContext), StageError> {
    let mut context = MemoryContext::default();
    let path = context.scratch.join("weights.safetensors");
    std::fs::write(&path, bytes).unwrap();
    context.add_source("path", path, Vec::new());
    let with = format!(
        "{{path: weights.safetensors, architecture: {{published: {network}}}, classes: [a, b, c], side: 32}}"
    );
    run("import-model", &with, &mut context)?;
    let model = Model::from_bytes(&context.output_models["model"]).unwrap();
    Ok((model, context))
}

#[test]
fn every_format_of_weights_is_imported_again_with_equal_tensors() {
    let model = numbered(classifier());
    for (format, names) in [
        ("native", "dermflow"),
        ("timm", "timm"),
        ("torchvision", "torchvision"),
    ] {
        let (back, context) = imported(&exported(&model, format).unwrap(), CLASSIFIER).unwrap();
        let tensors = model.weights.layout().tensors();
        for spec in tensors {
            let (given, found) = (model.weights.view(&spec.name), back.weights.view(&spec.name));
            assert!(given.is_some() && given == found, "{format}: {}", spec.name);
        }
        assert_eq!(
            context.metrics["tensors loaded"],
            tensors.len() as f64,
            "{format}"
        );
        assert_eq!(context.metrics["tensors drawn anew"], 0.0, "{format}");
        let lines = context.lines.lock().unwrap();
        let said = format!("with the names of {names}");
        assert!(lines.iter().any(|line| line.ends_with(&said)), "{lines:?}");
    }
}

#[test]
fn a_native_file_is_the_model_itself() {
    for model in [numbered(classifier()), numbered(regressor())] {
        let bytes = exported(&model, "native").unwrap();
        assert!(bytes == model.to_bytes().unwrap());
        let back = Model::from_bytes(&bytes).unwrap();
        assert!(back.to_bytes().unwrap() == bytes);
    }
}

/// `import-model` reads classifiers: of an annotator it takes the backbone, and says so.
#[test]
fn of_an_annotator_the_backbone_is_imported_again() {
    let model = numbered(regressor());
    let stages = model.weights.layout().architecture().backbone.stages.len();
    for format in ["native", "timm", "torchvision"] {
        let (back, context) = imported(&exported(&model, format).unwrap(), CLASSIFIER).unwrap();
        let tensors = back.weights.layout().tensors().iter();
        let (backbone, rest): (Vec<_>, Vec<_>) = tensors.partition(|spec| spec.stage <= stages);
        for spec in &backbone {
            let (given, found) = (model.weights.view(&spec.name), back.weights.view(&spec.name));
            assert!(given.is_some() && given == found, "{format}: {}", spec.name);
        }
        assert_eq!(
            context.metrics["tensors loaded"],
            backbone.len() as f64,
            "{format}"
        );
        assert_eq!(
            context.metrics["tensors drawn anew"],
            rest.len() as f64,
            "{format}"
        );
        let lines = context.lines.lock().unwrap();
        let left_out = lines.iter().find(|line| line.starts_with("not used: "));
        assert!(left_out.is_some_and(|line| line.contains("heat.")), "{lines:?}");
    }
}

#[test]
fn a_file_of_another_network_is_refused_with_the_names_that_are_wrong() {
    let deeper = "{name: efficientnetv2-b0, width: 0.15, depth: 1}";
    for (format, missing) in [
        ("native", "blocks."),
        ("timm", "blocks."),
        ("torchvision", "features."),
    ] {
        let bytes = exported(&numbered(classifier()), format).unwrap();
        let Err(refusal) = imported(&bytes, deeper) else {
            panic!("{format}: a deeper network has more tensors");
        };
        let said = refusal.message;
        let begins = "weights.safetensors: the file's tensors are not this network's\n  missing: `";
        assert!(
            said.starts_with(&format!("{begins}{missing}")),
            "{format}: {said}"
        );
    }
}

#[test]
fn what_can_not_be_written_is_refused_in_words() {
    let refusal = exported(&numbered(classifier()), "{onnx: {size: [0, 32]}}").unwrap_err();
    assert_eq!(
        refusal.message,
        "the weights can't be written: size is 0 x 32, and each side must lie between 1 and 16384"
    );
}
