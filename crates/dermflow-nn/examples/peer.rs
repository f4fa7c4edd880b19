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
use dermflow_nn::onnx::{OnnxOptions, export_onnx};
use dermflow_nn::weights::{Convention, export, import};
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
    let architecture = match request.regressor {
        Some(regressor) => request.network.regressor(regressor)?,
        None => request.network.classifier(request.classes)?,
    };
    let layout = Arc::new(Layout::of(&architecture)?);
    let weights = match &request.weights {
        Some(path) => {
            let imported = import(&std::fs::read(path)?, layout, 20)?;
            eprintln!("{:?}", imported.report);
            imported.weights
        }
        None => Weights::initialise(layout, 20),
    };
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
