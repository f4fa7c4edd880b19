//! What `benches/peers/networks.py` drives to compare this crate with PyTorch, timm, torchvision
//! and ONNX Runtime: one JSON request as the only argument.
//!
//! ```sh
//! cargo run --release -p dermflow-nn --example peer -- '{
//!     "network": {"name": "efficientnet-b0", "flavour": "timm"}, "classes": 1000,
//!     "weights": "efficientnet_b0.safetensors",
//!     "onnx": {"path": "efficientnet_b0.onnx", "options": {"fold-norms": true}}
//! }'
//! ```

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use dermflow_nn::architecture::{Named, Regressor};
use dermflow_nn::layout::{Layout, Weights};
use dermflow_nn::network::{Draw, Images, Mode, Network};
use dermflow_nn::onnx::{OnnxOptions, export_onnx};
use dermflow_nn::weights::{Convention, export, import};
use dermflow_nn::{Parameters, tape_onto};
use dfdx::tensor::Gradients;
use serde::Deserialize;

/// Which network, with which weights, and what to make of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    network: Named,
    classes: u32,
    /// Makes it a regressor.
    regressor: Option<Regressor>,
    /// A safetensors file; without it, weights are drawn from seed 20.
    weights: Option<PathBuf>,
    /// Where to write the weights again, with timm's names.
    timm: Option<PathBuf>,
    /// Where to write the weights again, with torchvision's names.
    torchvision: Option<PathBuf>,
    onnx: Option<Onnx>,
    run: Option<Run>,
}

/// Runs the network; with batch statistics if it is to `train` (nothing is dropped), and then
/// the weights that are written have the moved running statistics.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    /// Float32 numbers, channels last.
    images: PathBuf,
    shape: [usize; 3],
    train: bool,
    /// Where the outputs go: logits, or heat and then size, as float32 numbers.
    out: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Onnx {
    path: PathBuf,
    options: OnnxOptions,
}

fn main() -> Result<(), Box<dyn Error>> {
    let request = std::env::args().nth(1).ok_or("one JSON request is needed")?;
    let request: Request = serde_json::from_str(&request)?;
    let mut architecture = match request.regressor {
        Some(regressor) => request.network.regressor(regressor)?,
        None => request.network.classifier(request.classes)?,
    };
    architecture.backbone.stochastic_depth = 0.0;
    let layout = Arc::new(Layout::of(&architecture)?);
    let mut weights = match &request.weights {
        Some(path) => {
            let imported = import(&std::fs::read(path)?, layout, 20)?;
            eprintln!("{:?}", imported.report);
            imported.weights
        }
        None => Weights::initialise(layout, 20),
    };
    if let Some(run) = request.run {
        weights = run.network(weights)?;
    }
    if let Some(path) = request.timm {
        std::fs::write(path, export(&weights, Convention::Timm)?)?;
    }
    if let Some(path) = request.torchvision {
        std::fs::write(path, export(&weights, Convention::Torchvision)?)?;
    }
    if let Some(Onnx { path, options }) = request.onnx {
        std::fs::write(path, export_onnx(&weights, &options)?)?;
    }
    Ok(())
}

impl Run {
    fn network(&self, weights: Weights) -> Result<Weights, Box<dyn Error>> {
        let layout = Arc::clone(weights.layout());
        let network = Network::new(layout.architecture())?;
        let bytes = std::fs::read(&self.images)?;
        let words = bytes.as_chunks::<4>().0;
        let pixels: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
        let [count, height, width] = self.shape;
        let images = Images {
            pixels: &pixels,
            count,
            height,
            width,
        };
        let [decayed, plain, mut statistics] = weights.into_buffers();
        let parameters = Parameters::new(decayed, plain);
        let classifier = layout.architecture().classifier().is_some();
        let mut outputs = Vec::new();
        if self.train {
            let draw = Draw {
                dropout: Some(0.0),
                ..Draw::default()
            };
            let (mode, tape) = (Mode::Train(draw), tape_onto(Gradients::leaky()));
            if classifier {
                let logits = network.logits(images, &parameters, &mut statistics, mode, tape)?;
                outputs = logits.as_vec();
            } else {
                let maps = network.maps(images, &parameters, &mut statistics, mode, tape)?;
                outputs.extend(maps.heat.as_vec());
                outputs.extend(maps.size.as_vec());
            }
        } else {
            let inference = network.inference(&parameters, &statistics)?;
            if classifier {
                outputs = inference.logits(images)?;
            } else {
                let maps = inference.maps(images)?;
                outputs.extend(maps.into_iter().flat_map(|map| map.values));
            }
        }
        let bytes: Vec<u8> = outputs.into_iter().flat_map(f32::to_le_bytes).collect();
        std::fs::write(&self.out, bytes)?;
        let [decayed, plain] = [parameters.decayed, parameters.plain].map(|flat| flat.into_values());
        Ok(Weights::from_buffers(layout, decayed, plain, statistics)?)
    }
}
