//! How long a network takes: training steps (forward, backward, optimiser) or inference, and the
//! most memory that the process had (`activations`: of that, activations and panels), and the
//! multiply-adds of a batch forward. Each line of standard input, seconds, is answered by one of JSON
//! after a turn that long, with the times of its fastest round.
//!
//!     echo 4 | network_speed NETWORK SIZE BATCH train|infer THREADS
//!
//! NETWORK is a published name, or `regressor:` and one.

mod turns;

use std::sync::Arc;

use dermflow_nn::architecture::{Architecture, Flavour, Published, Regressor};
use dermflow_nn::cost::multiply_adds;
use dermflow_nn::layout::Weights;
use dermflow_nn::network::{Draw, Images, Mode, Network};
use dermflow_nn::optimiser::{Optimiser, OptimiserSettings, ParameterGradients, Rates, clear};
use dermflow_nn::{Parameters, tape_onto};
use dfdx::prelude::*;
use dfdx::tensor::Gradients as OnTape;
use turns::Failure;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [network, size, batch, what, threads] = &arguments[..] else {
        return Err("usage: network_speed NETWORK SIZE BATCH train|infer THREADS".into());
    };
    let (size, batch): (usize, usize) = (size.parse()?, batch.parse()?);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads.parse()?)
        .build()?;
    let case = Case::new(network, size, batch)?;
    pool.install(|| match &what[..] {
        "train" => case.train(),
        "infer" => case.infer(),
        _ => Err("train or infer".into()),
    })
}

struct Case {
    network: Network,
    parameters: Parameters,
    statistics: Vec<f32>,
    pixels: Vec<f32>,
    size: usize,
    batch: usize,
}

impl Case {
    fn new(name: &str, size: usize, batch: usize) -> Result<Case, Failure> {
        let architecture = architecture(name)?;
        let network = Network::new(&architecture)?;
        let [decayed, plain, statistics] =
            Weights::initialise(Arc::clone(network.layout()), 1).into_buffers();
        let pixels = (0..batch * size * size * 3)
            .map(|at| ((at * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0)
            .collect();
        Ok(Case {
            network,
            parameters: Parameters::new(decayed, plain),
            statistics,
            pixels,
            size,
            batch,
        })
    }

    fn images(&self) -> Images<'_> {
        Images {
            pixels: &self.pixels,
            count: self.batch,
            height: self.size,
            width: self.size,
        }
    }

    /// What is told beside the times: memory, with what the process had before, and products.
    fn memory_and_products(&self, base: u64) -> String {
        format!(
            ", \"base\": {base}, \"peak\": {}, \"activations\": {}, \"multiply_adds\": {}",
            memory("VmHWM:"),
            self.network.activation_bytes().1,
            self.batch as u64 * multiply_adds(self.network.architecture(), self.size, self.size)
        )
    }

    fn train(mut self) -> Result<(), Failure> {
        let base = memory_from_here();
        // Moved, not copied: the other side's weights are part of what it had before, too.
        let mut parameters = std::mem::replace(&mut self.parameters, Parameters::new(vec![], vec![]));
        let mut statistics = std::mem::take(&mut self.statistics);
        let settings = OptimiserSettings::default();
        let mut optimiser = Optimiser::new(&settings, Rates::of(self.network.layout(), 0, 1.0))?;
        let classifier = self.network.architecture().classifier().is_some();
        let mut gradients = ParameterGradients {
            decayed: vec![0.0; parameters.decayed.values().len()],
            plain: vec![0.0; parameters.plain.values().len()],
        };
        let round = || {
            let mut on_tape = OnTape::leaky();
            let slots = [parameters.decayed.slot().clone(), parameters.plain.slot().clone()];
            clear(&mut gradients);
            slots[0].put_gradient(&mut on_tape, std::mem::take(&mut gradients.decayed))?;
            slots[1].put_gradient(&mut on_tape, std::mem::take(&mut gradients.plain))?;
            let tape = tape_onto(on_tape);
            let mode = Mode::Train(Draw::default());
            let mut after = if classifier {
                let logits = self
                    .network
                    .logits(self.images(), &parameters, &mut statistics, mode, tape)?;
                let classes = logits.shape().1;
                let target = logits
                    .device()
                    .tensor_from_vec(vec![1.0 / classes as f32; self.batch * classes], *logits.shape());
                dfdx::losses::cross_entropy_with_logits_loss(logits, target).backward()
            } else {
                let maps = self
                    .network
                    .maps(self.images(), &parameters, &mut statistics, mode, tape)?;
                (maps.heat.square().mean() + maps.size.abs().mean()).backward()
            };
            gradients.decayed = slots[0].take_gradient(&mut after)?;
            gradients.plain = slots[1].take_gradient(&mut after)?;
            optimiser.step(&mut parameters, &gradients, 1e-4);
            Ok(())
        };
        turns::take(round, || self.memory_and_products(base))
    }

    fn infer(mut self) -> Result<(), Failure> {
        let base = memory_from_here();
        let parameters = std::mem::replace(&mut self.parameters, Parameters::new(vec![], vec![]));
        let inference = self.network.inference_of(parameters, &self.statistics)?;
        let classifier = self.network.architecture().classifier().is_some();
        let round = || {
            if classifier {
                std::hint::black_box(inference.logits(self.images())?);
            } else {
                std::hint::black_box(inference.maps(self.images())?);
            }
            Ok(())
        };
        turns::take(round, || self.memory_and_products(base))
    }
}

/// What the process has; from here on, the most that it had is counted anew.
fn memory_from_here() -> u64 {
    std::fs::write("/proc/self/clear_refs", "5").unwrap_or_default();
    memory("VmRSS:")
}

/// Bytes that the process has (`VmRSS:`) or had at most (`VmHWM:`) in memory.
fn memory(what: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(what));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn architecture(name: &str) -> Result<Architecture, Failure> {
    let (regressor, name) = match name.strip_prefix("regressor:") {
        Some(name) => (true, name),
        None => (false, name),
    };
    let published = Published::ALL
        .into_iter()
        .find(|published| published.name() == name);
    let published = published.ok_or_else(|| format!("no published network is called {name}"))?;
    let mut architecture = published.document(Flavour::default(), 50);
    if regressor {
        architecture.task = dermflow_nn::architecture::Task::Regressor(Regressor::suggested(8));
    }
    architecture.backbone.stochastic_depth = 0.0;
    if let dermflow_nn::architecture::Task::Classifier(classifier) = &mut architecture.task {
        classifier.dropout = 0.0;
    }
    Ok(architecture)
}
