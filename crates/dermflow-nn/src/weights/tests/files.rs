//! Files are read whole or refused with names; what is written is read back.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use half::{bf16, f16};
use proptest::prelude::*;
use safetensors::View;
use safetensors::tensor::Dtype;

use super::{filled, small, small_regressor};
use crate::architecture::{Flavour, Published};
use crate::layout::{Layout, Unit, Weights};
use crate::weights::convention::Names;
use crate::weights::tensor_file::TensorFile;
use crate::weights::{Convention, Mismatch, WeightsError, export, import};

/// A tensor of a file that a test writes.
#[derive(Clone)]
struct Made {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for Made {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// The tensors of an exported file, to change.
fn tensors(weights: &Weights, convention: Convention) -> Vec<Made> {
    let file = export(weights, convention).unwrap();
    let views = safetensors::SafeTensors::deserialize(&file).unwrap();
    let mut all: Vec<Made> = views
        .tensors()
        .into_iter()
        .map(|(name, view)| Made {
            name,
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        })
        .collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

fn file_of(tensors: Vec<Made>) -> Vec<u8> {
    safetensors::serialize(tensors.into_iter().map(|made| (made.name.clone(), made)), None).unwrap()
}

fn find<'a>(tensors: &'a mut [Made], name: &str) -> &'a mut Made {
    tensors.iter_mut().find(|made| made.name == name).unwrap()
}

fn layout(classes: u32) -> Arc<Layout> {
    let architecture = small(Published::EfficientNetV2B0).classifier(classes).unwrap();
    Arc::new(Layout::of(&architecture).unwrap())
}

fn mismatch(file: &[u8], layout: Arc<Layout>) -> Mismatch {
    match import(file, layout, 0) {
        Err(WeightsError::Mismatch(mismatch)) => *mismatch,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_written_is_read_back_in_every_convention() {
    let mut architectures = vec![small_regressor(3)];
    for published in [
        Published::EfficientNetB0,
        Published::EfficientNetV2S,
        Published::EfficientNetLite0,
    ] {
        architectures.push(small(published).classifier(5).unwrap());
    }
    for architecture in architectures {
        let weights = filled(&architecture);
        for convention in Convention::ALL {
            let file = export(&weights, convention).unwrap();
            assert_eq!(file, export(&weights, convention).unwrap());
            let imported = import(&file, Arc::clone(weights.layout()), 1).unwrap();
            assert_eq!(imported.weights, weights);
            assert_eq!(imported.report.convention, convention);
            assert_eq!(imported.report.loaded, weights.layout().tensors().len());
            assert!(imported.report.fresh.is_empty() && imported.report.left_out.is_empty());
        }
    }
}

/// One number of each kind of tensor, found at PyTorch's place and at ours.
#[test]
fn numbers_are_moved_to_where_pytorch_has_them() {
    let weights = filled(&small_regressor(3));
    let file = export(&weights, Convention::Timm).unwrap();
    let views = safetensors::SafeTensors::deserialize(&file).unwrap();
    let theirs = |name: &str, at: [usize; 4]| {
        let view = views.tensor(name).unwrap();
        let extents: Vec<usize> = view.shape().to_vec();
        let index = at
            .iter()
            .zip(&extents)
            .fold(0, |index, (at, extent)| index * extent + at);
        f32::from_le_bytes(view.data()[4 * index..4 * index + 4].try_into().unwrap())
    };
    let ours = |name: &str, at: &[usize]| {
        let spec = weights.layout().find(name).unwrap();
        let index = at
            .iter()
            .zip(&spec.shape)
            .fold(0, |index, (at, extent)| index * extent + at);
        weights.of(spec)[index]
    };
    // out, in, row, column
    assert_eq!(
        theirs("conv_stem.weight", [5, 2, 0, 1]),
        ours("stem.weight", &[5, 0, 1, 2])
    );
    let depthwise = ours("blocks.3.depthwise.weight", &[2, 0, 7]);
    assert_eq!(theirs("blocks.3.0.conv_dw.weight", [7, 0, 2, 0]), depthwise);
    // PyTorch's transposed convolutions have in, out, row, column.
    let transposed = ours("neck.0.upsample.weight", &[3, 1, 9, 4]);
    assert_eq!(theirs("neck.0.upsample.weight", [4, 9, 3, 1]), transposed);
}

#[test]
fn a_last_layer_of_another_size_is_drawn_anew_and_named() {
    let weights = filled(layout(7).architecture());
    for (convention, names) in [
        (Convention::Timm, ["classifier.weight", "classifier.bias"]),
        (
            Convention::Torchvision,
            ["classifier.1.weight", "classifier.1.bias"],
        ),
    ] {
        let imported = import(&export(&weights, convention).unwrap(), layout(3), 9).unwrap();
        assert_eq!(imported.report.fresh, names);
        let fresh = Weights::initialise(layout(3), 9);
        for name in ["classifier.weight", "classifier.bias"] {
            assert_eq!(imported.weights.view(name), fresh.view(name));
        }
        assert_eq!(imported.weights.view("head.weight"), weights.view("head.weight"));
    }
    let regressor = filled(&small_regressor(3));
    let five = Arc::new(Layout::of(&small_regressor(5)).unwrap());
    let imported = import(&export(&regressor, Convention::Native).unwrap(), five, 9).unwrap();
    assert_eq!(imported.report.fresh, ["heat.output.weight", "heat.output.bias"]);
}

#[test]
fn a_classifier_starts_a_regressor_and_the_other_way_round() {
    let classifier = filled(layout(7).architecture());
    let regressor = filled(&small_regressor(3));
    for convention in Convention::ALL {
        let file = export(&classifier, convention).unwrap();
        let imported = import(&file, Arc::clone(regressor.layout()), 4).unwrap();
        assert_eq!(
            imported.weights.view("blocks.5.project.weight"),
            classifier.view("blocks.5.project.weight")
        );
        assert_eq!(imported.report.fresh.len(), 5 * 3 * 2 + 8);
        let left_out = imported.report.left_out.len();
        assert_eq!(left_out, if convention == Convention::Native { 7 } else { 8 });

        let file = export(&regressor, convention).unwrap();
        let imported = import(&file, layout(7), 4).unwrap();
        assert_eq!(
            imported.weights.view("stem.norm.mean"),
            regressor.view("stem.norm.mean")
        );
        assert_eq!(imported.report.fresh.len(), 7);
        assert!(
            imported
                .report
                .left_out
                .iter()
                .any(|name| name.starts_with("heat.hidden"))
        );
    }
}

#[test]
fn every_name_that_is_wrong_is_listed_at_once() {
    let weights = filled(layout(7).architecture());
    let mut all = tensors(&weights, Convention::Timm);
    all.retain(|made| made.name != "blocks.1.0.bn1.weight" && made.name != "bn2.running_var");
    find(&mut all, "bn1.bias").name = "bn1.offset".to_owned();
    find(&mut all, "conv_head.weight").shape.swap(0, 1);
    let count = find(&mut all, "bn1.num_batches_tracked").bytes.clone();
    let mean = find(&mut all, "bn1.running_mean");
    (mean.dtype, mean.bytes) = (Dtype::I64, count.repeat(mean.shape[0]));
    let found = mismatch(&file_of(all), layout(7));
    assert_eq!(
        found.missing,
        ["bn1.bias", "blocks.1.0.bn1.weight", "bn2.running_var"]
    );
    assert_eq!(found.extra, ["bn1.offset"]);
    assert_eq!(found.shapes.len(), 1);
    assert_eq!(found.types, [("bn1.running_mean".to_owned(), "I64".to_owned())]);
    let text = WeightsError::Mismatch(Box::new(found)).to_string();
    for part in [
        "missing: `bn1.bias`",
        "not known: `bn1.offset`",
        "`conv_head.weight` has [",
        "has I64",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_file_without_its_last_layers_is_no_file_of_another_task() {
    for convention in Convention::ALL {
        let weights = filled(layout(7).architecture());
        let names = Names::of(weights.layout(), convention);
        let last: Vec<String> = (weights.layout().tensors().iter())
            .filter(|spec| matches!(spec.unit, Unit::Head | Unit::Classifier))
            .map(|spec| names.name(spec))
            .collect();
        let mut all = tensors(&weights, convention);
        all.retain(|made| !last.contains(&made.name));
        let found = mismatch(&file_of(all), layout(7));
        assert_eq!(found.missing, last, "{convention}");
    }
}

#[test]
fn another_network_is_refused_and_long_lists_are_cut() {
    let other = filled(&small(Published::EfficientNetB0).classifier(7).unwrap());
    let error = import(&export(&other, Convention::Timm).unwrap(), layout(7), 0).unwrap_err();
    assert!(error.to_string().contains("more"), "{error}");
    let foreign = vec![Made {
        name: "layer1.0.conv1.weight".to_owned(),
        dtype: Dtype::F32,
        shape: vec![1],
        bytes: vec![0; 4],
    }];
    let error = import(&file_of(foreign), layout(7), 0).unwrap_err();
    assert!(error.to_string().contains("`layer1.0.conv1.weight`"), "{error}");
}

#[test]
fn weight_and_bias_of_a_last_layer_must_agree_on_the_classes() {
    let mut all = tensors(&filled(layout(7).architecture()), Convention::Timm);
    let bias = find(&mut all, "classifier.bias");
    (bias.shape, bias.bytes) = (vec![3], vec![0; 12]);
    let error = import(&file_of(all), layout(3), 0).unwrap_err();
    assert!(
        error.to_string().contains("different numbers of classes"),
        "{error}"
    );
}

#[test]
fn numbers_that_no_weight_has_are_refused() {
    let weights = filled(layout(7).architecture());
    let mut all = tensors(&weights, Convention::Torchvision);
    find(&mut all, "features.0.0.weight").bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    find(&mut all, "features.0.1.running_var").bytes[..4].copy_from_slice(&(-1.0_f32).to_le_bytes());
    let found = mismatch(&file_of(all), layout(7));
    let names: Vec<&str> = found.numbers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["features.0.0.weight", "features.0.1.running_var"]);
}

#[test]
fn sixteen_bit_numbers_are_widened_and_counted() {
    let weights = filled(layout(7).architecture());
    type Narrow = fn(f32) -> ([u8; 2], f32);
    let kinds: [(Dtype, Narrow); 2] = [
        (Dtype::F16, |value| {
            (f16::from_f32(value).to_le_bytes(), f16::from_f32(value).to_f32())
        }),
        (Dtype::BF16, |value| {
            (
                bf16::from_f32(value).to_le_bytes(),
                bf16::from_f32(value).to_f32(),
            )
        }),
    ];
    for (dtype, narrow) in kinds {
        let mut all = tensors(&weights, Convention::Timm);
        for made in all.iter_mut().filter(|made| made.dtype == Dtype::F32) {
            let words = made.bytes.as_chunks::<4>().0;
            let words: Vec<u8> = words
                .iter()
                .flat_map(|&word| narrow(f32::from_le_bytes(word)).0)
                .collect();
            (made.dtype, made.bytes) = (dtype, words);
        }
        let imported = import(&file_of(all), layout(7), 0).unwrap();
        assert_eq!(imported.report.widened, imported.report.loaded);
        let expected: Vec<f32> = weights
            .view("stem.weight")
            .unwrap()
            .iter()
            .map(|&value| narrow(value).1)
            .collect();
        assert_eq!(imported.weights.view("stem.weight").unwrap(), expected);
    }
}

#[test]
fn cut_and_foreign_files_are_said_to_be_so() {
    let file = export(&filled(layout(7).architecture()), Convention::Timm).unwrap();
    let said = |bytes: &[u8]| import(bytes, layout(7), 0).unwrap_err().to_string();
    assert!(said(&[]).contains("has 0 bytes"));
    assert!(said(&file[..100]).contains("cut off"));
    assert!(said(&file[..file.len() - 1]).contains("cut off"));
    // The first bytes of a PyTorch checkpoint, which is a zip file.
    assert!(said(b"PK\x03\x04\x00\x00\x08\x08\x00\x00\x00\x00").contains("another format"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A file with a few bytes changed, or cut, is read or refused, without a panic.
    #[test]
    fn damaged_files_never_do_harm(
        changes in prop::collection::vec((0_usize..4000, any::<u8>()), 1..6), cut in prop::option::of(0_usize..20_000),
    ) {
        let layout = layout(2);
        let mut file = export(&Weights::neutral(Arc::clone(&layout)), Convention::Native).unwrap();
        for (at, byte) in changes {
            file[at] = byte;
        }
        file.truncate(cut.unwrap_or(usize::MAX));
        if let Err(error) = import(&file, layout, 0) {
            prop_assert!(!error.to_string().is_empty());
        }
        TensorFile::parse(&file).ok();
    }
}

#[test]
fn a_real_checkpoint_of_imagenet_is_read_and_written_to_the_same_numbers() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/weights/tf_efficientnet_lite0.imagenet.safetensors"
    );
    if !Path::new(path).exists() {
        eprintln!("skipped: no checkpoint beside the checkout");
        return;
    }
    let file = std::fs::read(path).unwrap();
    let document = Published::EfficientNetLite0.document(Flavour::Tensorflow, 1000);
    let imported = import(&file, Arc::new(Layout::of(&document).unwrap()), 0).unwrap();
    assert!(imported.report.fresh.is_empty() && imported.report.left_out.is_empty());
    let written = export(&imported.weights, Convention::Timm).unwrap();
    let (theirs, ours) = (
        TensorFile::parse(&file).unwrap(),
        TensorFile::parse(&written).unwrap(),
    );
    for (name, stored) in theirs
        .tensors
        .iter()
        .filter(|(name, _)| !name.ends_with("num_batches_tracked"))
    {
        assert_eq!(ours.tensors[name].shape, stored.shape, "{name}");
        assert!(ours.tensors[name].numbers().eq(stored.numbers()), "{name}");
    }
    let torchvision = export(&imported.weights, Convention::Torchvision).unwrap();
    let again = import(&torchvision, Arc::clone(imported.weights.layout()), 0).unwrap();
    assert_eq!(again.weights, imported.weights);
}
