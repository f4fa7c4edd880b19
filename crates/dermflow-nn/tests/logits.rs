//! Logits beside timm's and torchvision's, from weights that a formula gives; theirs are stored, as
//! `benches/peers/golden_logits.py` writes them.

use std::borrow::Cow;
use std::sync::Arc;

use dermflow_nn::architecture::{Architecture, Flavour, Named, Published};
use dermflow_nn::layout::{Layout, Weights};
use dermflow_nn::network::{Draw, Images, Mode, Network};
use dermflow_nn::weights::{Convention, export, import};
use dermflow_nn::{Parameters, tape_onto};
use dfdx::tensor::Gradients;
use safetensors::tensor::Dtype;
use safetensors::{SafeTensors, View};

const COUNT: usize = 2;
const HEIGHT: usize = 33;
const WIDTH: usize = 40;

/// Numbers in [-0.5, 0.5): SplitMix64 from the name's FNV-1a hash.
fn uniform(name: &str) -> impl Iterator<Item = f32> {
    let start = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |value, byte| {
        (value ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    (0_u64..).map(move |index| {
        let mut value = start.wrapping_add(index).wrapping_add(0x9e37_79b9_7f4a_7c15);
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^= value >> 31;
        (value >> 40) as f32 / (1 << 24) as f32 - 0.5
    })
}

/// A tensor of the formula.
struct Formula {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Formula {
    fn new(name: &str, shape: &[usize]) -> Formula {
        let vector = shape.len() == 1;
        let fan: usize = shape.iter().skip(1).product();
        let gates = name.contains(".se.") || name.contains(".fc");
        let louder = if gates { 0.0 } else { 1.0 };
        let factor = ((24.0 / fan as f64).log2() / 2.0).floor() + louder;
        let number = |number: f32| {
            if name.ends_with("running_var") || (vector && name.ends_with("weight")) {
                1.0 + 0.5 * number
            } else if vector {
                0.5 * number
            } else {
                number * factor.exp2() as f32
            }
        };
        let numbers = uniform(name).take(shape.iter().product()).map(number);
        Formula {
            shape: shape.to_vec(),
            bytes: numbers.flat_map(f32::to_le_bytes).collect(),
        }
    }
}

impl View for Formula {
    fn dtype(&self) -> Dtype {
        Dtype::F32
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

/// A quarter of the width, a third of the depth, seven classes, and nothing that is drawn. Of
/// EfficientNetV2 torchvision knows the published widths alone.
fn architecture(name: &str, flavour: &str) -> Architecture {
    let name = Published::ALL
        .into_iter()
        .find(|published| published.name() == name);
    let flavour = match flavour {
        "timm" => Flavour::Timm,
        "torchvision" => Flavour::Torchvision,
        _ => Flavour::Tensorflow,
    };
    let name = name.unwrap();
    let whole = flavour == Flavour::Torchvision && name == Published::EfficientNetV2S;
    let (width, depth) = if whole { (1.0, 1.0) } else { (0.25, 0.3) };
    let named = Named {
        flavour,
        width,
        depth,
        stochastic_depth: Some(0.0),
        ..Named::plain(name)
    };
    named.classifier(7).unwrap()
}

/// The formula's weights, through a file with their names.
fn weights(architecture: &Architecture, convention: Convention) -> Weights {
    let layout = Arc::new(Layout::of(architecture).unwrap());
    let names = export(&Weights::neutral(Arc::clone(&layout)), convention).unwrap();
    let names = SafeTensors::deserialize(&names).unwrap();
    let tensors = names.iter().filter(|(_, view)| view.dtype() == Dtype::F32);
    let tensors = tensors.map(|(name, view)| (name.to_owned(), Formula::new(name, view.shape())));
    let file = safetensors::serialize(tensors, None).unwrap();
    import(&file, layout, 0).unwrap().weights
}

fn logits(architecture: &Architecture, convention: Convention, of_batch: bool) -> Vec<f32> {
    let pixels: Vec<f32> = uniform("images")
        .map(|number| 4.0 * number)
        .take(COUNT * HEIGHT * WIDTH * 3)
        .collect();
    let images = Images {
        pixels: &pixels,
        count: COUNT,
        height: HEIGHT,
        width: WIDTH,
    };
    let network = Network::new(architecture).unwrap();
    let [decayed, plain, mut statistics] = weights(architecture, convention).into_buffers();
    let parameters = Parameters::new(decayed, plain);
    if !of_batch {
        return network
            .inference(&parameters, &statistics)
            .unwrap()
            .logits(images)
            .unwrap();
    }
    let draw = Draw {
        dropout: Some(0.0),
        ..Draw::default()
    };
    let (mode, tape) = (Mode::Train(draw), tape_onto(Gradients::leaky()));
    network
        .logits(images, &parameters, &mut statistics, mode, tape)
        .unwrap()
        .as_vec()
}

/// Largest difference as a share of the largest number.
fn difference(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let most = expected.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let pairs = found.iter().zip(expected);
    pairs.fold(0.0_f64, |worst, (&found, expected)| {
        worst.max((f64::from(found) - expected).abs())
    }) / most
}

#[test]
fn logits_are_timms_and_torchvisions_with_running_and_with_batch_statistics() {
    let lines = include_str!("../testdata/logits.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'));
    let mut compared = 0;
    for line in lines {
        let fields: Vec<&str> = line.split('\t').collect();
        let own: f64 = fields[3].parse().unwrap();
        let expected: Vec<f64> = fields[4..].iter().map(|field| field.parse().unwrap()).collect();
        let architecture = architecture(fields[0], fields[1]);
        let convention = match fields[1] {
            "torchvision" => Convention::Torchvision,
            _ => Convention::Timm,
        };
        let found = logits(&architecture, convention, fields[2] == "batch");
        let worst = difference(&found, &expected);
        let told = format!(
            "{}: {worst:.2e}, PyTorch's own in float32 {own:.2e}",
            fields[..3].join(" ")
        );
        println!("{told}");
        // Where a network makes much of its rounding, PyTorch is not much nearer to the truth.
        assert!(worst < f64::max(1e-4, 2.0 * own), "{told}");
        compared += 1;
    }
    assert_eq!(compared, 14);
}
