//! Gives `benches/peers/training_steps.py` the weights and pictures that PyTorch trains with,
//! and the losses of the same ten steps here.
//!
//! ```text
//! ten_steps export FOLDER     writes start.safetensors (timm's names) and batches.safetensors
//! ten_steps losses            prints losses and outputs of every rule as JSON
//! ```

#[path = "../tests/training/classify.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod classify;
#[path = "../tests/training/ten_steps.rs"]
mod ten_steps;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use dermflow_nn::layout::Weights;
use dermflow_nn::network::Network;
use dermflow_nn::training::Batches;
use dermflow_nn::weights::{Convention, export};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["export", folder] => write_start(Path::new(folder)),
        ["losses"] => print_losses(),
        _ => Err("usage: ten_steps export FOLDER | losses".into()),
    }
}

fn write_start(folder: &Path) -> Result<(), Box<dyn Error>> {
    let network = Network::new(&classify::architecture())?;
    let weights = Weights::initialise(network.layout().clone(), ten_steps::SEED);
    std::fs::write(
        folder.join("start.safetensors"),
        export(&weights, Convention::Timm)?,
    )?;
    let pictures = ten_steps::pictures();
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for step in 0..ten_steps::STEPS {
        let (batch, classes) = pictures.batch(0, step)?;
        pixels.extend(batch.iter().flat_map(|value| value.to_le_bytes()));
        labels.extend(classes.iter().flat_map(|&class| (class as i64).to_le_bytes()));
    }
    let (steps, batch, side) = (ten_steps::STEPS, pictures.batch, pictures.side);
    let tensors = [
        (
            "pixels",
            TensorView::new(Dtype::F32, vec![steps, batch, side, side, 3], &pixels)?,
        ),
        (
            "labels",
            TensorView::new(Dtype::I64, vec![steps, batch], &labels)?,
        ),
    ];
    safetensors::serialize_to_file(tensors, None, &folder.join("batches.safetensors"))?;
    Ok(())
}

fn print_losses() -> Result<(), Box<dyn Error>> {
    let (mut losses, mut outputs) = (BTreeMap::new(), BTreeMap::new());
    for (rule, given) in ten_steps::given() {
        losses.insert(rule.clone(), given.losses);
        outputs.insert(rule, given.outputs);
    }
    println!("{}", serde_json::json!({"losses": losses, "outputs": outputs}));
    Ok(())
}
