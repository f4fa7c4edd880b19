use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::architecture::{Named, Published};

fn model() -> Model {
    let named = Named {
        width: 0.25,
        depth: 0.3,
        ..Named::plain(Published::EfficientNetV2B0)
    };
    let architecture = named.classifier(3).unwrap();
    let layout = Arc::new(Layout::of(&architecture).unwrap());
    let mut description = Description::new(
        architecture,
        ["naevus", "melanoma", "other"],
        Preprocessing::imagenet(96, 128),
    );
    description.trained_from = [("seed", "20"), ("samples", "9f2c"), ("epochs", "3")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    Model::new(description, Weights::initialise(layout, 20)).unwrap()
}

/// The file with its header's text changed.
fn with_text(change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let model = model();
    let mut text = serde_json::to_value(&model.description).unwrap();
    change(&mut text);
    let texts = HashMap::from([(KEY.to_owned(), text.to_string())]);
    safetensors::serialize(exported(&model.weights, Convention::Native), Some(texts)).unwrap()
}

fn refusal(bytes: &[u8]) -> String {
    Model::from_bytes(bytes).unwrap_err().to_string()
}

#[test]
fn a_model_comes_back_whole_and_always_in_the_same_bytes() {
    let model = model();
    let bytes = model.to_bytes().unwrap();
    assert_eq!(Model::from_bytes(&bytes).unwrap(), model);
    for _ in 0..8 {
        assert_eq!(model.to_bytes().unwrap(), bytes);
    }
}

/// Other programs and later versions read these files: a change must be noticed.
#[test]
fn the_format_is_as_it_was() {
    let digest = blake3::hash(&model().to_bytes().unwrap());
    assert_eq!(
        digest.to_hex().as_str(),
        "8f271ff76f25909a9dd869aece2f3c349cccbb56ef21b77b756351a142f68aee"
    );
}

#[test]
fn files_are_saved_and_loaded_by_path_and_faults_name_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("classifier.safetensors");
    let model = model();
    model.save(&path).unwrap();
    assert_eq!(Model::load(&path).unwrap(), model);
    assert_eq!(Description::load(&path).unwrap(), model.description);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    let missing = folder.path().join("none.safetensors");
    assert!(
        Model::load(&missing)
            .unwrap_err()
            .to_string()
            .contains("none.safetensors")
    );
    std::fs::write(&path, &model.to_bytes().unwrap()[..60]).unwrap();
    for error in [
        Model::load(&path).unwrap_err(),
        Description::load(&path).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(
            text.contains("classifier.safetensors") && text.contains("cut off"),
            "{text}"
        );
    }
    assert!(
        model
            .save(Path::new("/nowhere/at/all"))
            .unwrap_err()
            .to_string()
            .contains("/nowhere/at/all")
    );
}

#[test]
fn a_header_that_contradicts_itself_is_refused() {
    type Change = fn(&mut serde_json::Value);
    let cases: [(&str, Change); 8] = [
        ("version 2", |text| text["version"] = 2.into()),
        ("names 2 classes", |text| {
            text["classes"] = serde_json::json!(["a", "b"])
        }),
        ("two classes are called", |text| {
            text["classes"] = serde_json::json!(["a", "b", "a"])
        }),
        ("must have 1 to 500 bytes", |text| text["classes"][1] = "".into()),
        ("preprocessing.height", |text| {
            text["preprocessing"]["height"] = 0.into()
        }),
        ("preprocessing.deviation", |text| {
            text["preprocessing"]["deviation"][2] = 0.into()
        }),
        ("unknown field", |text| text["licence"] = "mine".into()),
        ("backbone.stem.kernel", |text| {
            text["architecture"]["backbone"]["stem"]["kernel"] = 9.into()
        }),
    ];
    for (expected, change) in cases {
        let text = refusal(&with_text(change));
        assert!(
            text.contains(expected) && text.contains("dermflow-model"),
            "{text}"
        );
    }
}

#[test]
fn tensors_must_be_those_of_the_headers_architecture() {
    let text = refusal(&with_text(|text| {
        text["architecture"]["backbone"]["stages"][0]["channels"] = 16.into();
    }));
    assert!(text.contains("`blocks.0.fused.weight` has"), "{text}");
    // Two billion bytes of weights by its header, in a file of a few: refused without holding it.
    let text = refusal(&with_text(|text| {
        for stage in text["architecture"]["backbone"]["stages"].as_array_mut().unwrap() {
            (stage["channels"], stage["layers"]) = (512.into(), 20.into());
        }
    }));
    assert!(text.contains("missing"), "{text}");
}

#[test]
fn weights_of_other_programs_are_no_model() {
    let bytes = crate::weights::export(&model().weights, Convention::Timm).unwrap();
    assert!(refusal(&bytes).contains("no `dermflow-model`"));
    assert!(refusal(b"\x93NUMPY\x01\x00v\x00{'descr'").contains("another format"));
    let mut huge = (u64::MAX / 2).to_le_bytes().to_vec();
    huge.resize(64, b'{');
    assert!(refusal(&huge).contains("at most"));
}

#[test]
fn weights_of_another_architecture_make_no_model() {
    let model = model();
    let mut description = model.description.clone();
    description.architecture.backbone.stochastic_depth = 0.0;
    assert!(
        Model::new(description, model.weights)
            .unwrap_err()
            .to_string()
            .contains("another architecture")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_headers_never_do_harm(changes in prop::collection::vec((0_usize..9000, any::<u8>()), 1..6)) {
        static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| model().to_bytes().unwrap());
        let mut bytes = WHOLE.clone();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        Model::from_bytes(&bytes).ok();
    }
}
