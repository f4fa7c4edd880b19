//! How long a network takes: training steps (forward, backward, optimiser) or inference, and the
//! most memory that the process had (`activations`: of that, activations and panels), and the
//! multiply-adds of a batch forward. Prints one line of JSON.
//!
//!     network_speed NETWORK SIZE BATCH train|infer THREADS SECONDS
//!
//! NETWORK is a published name, or `regressor:` and one. `cpu` counts the thread's processor
//! time, for one thread; times are of the fastest round.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use dermflow_nn::architecture::{Architecture, Flavour, Published, Regressor};
use dermflow_nn::cost::multiply_adds;
use dermflow_nn::layout::Weights;
use dermflow_nn::network::{Draw, Images, Mode, Network};
use dermflow_nn::optimiser::{Optimiser, OptimiserSettings, ParameterGradients, Rates};
use dermflow_nn::{Parameters, tape_onto};
use dfdx::prelude::*;
use dfdx::tensor::Gradients as OnTape;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [network, size, batch, what, threads, seconds] = &arguments[..] else {
        return Err("usage: network_speed NETWORK SIZE BATCH train|infer THREADS SECONDS".into());
    };
    let (size, batch): (usize, usize) = (size.parse()?, batch.parse()?);
    let (threads, seconds): (usize, f64) = (threads.parse()?, seconds.parse()?);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let mut case = Case::new(network, size, batch)?;
    // From here on, the most that the process had is counted anew.
    std::fs::write("/proc/self/clear_refs", "5").unwrap_or_default();
    let base = memory("VmRSS:");
    let times = pool.install(|| match &what[..] {
        "train" => case.train(seconds),
        "infer" => case.infer(seconds),
        _ => Err("train or infer".into()),
    });
    let (wall, cpu, rounds) = times.map_err(|error| error.to_string())?;
    println!(
        "{{\"wall\": {wall}, \"cpu\": {cpu}, \"rounds\": {rounds}, \"base\": {base}, \"peak\": {}, \
         \"activations\": {}, \"multiply_adds\": {}}}",
        memory("VmHWM:"),
        case.network.activation_bytes().1,
        batch as u64 * multiply_adds(case.network.architecture(), size, size)
    );
    Ok(())
}

struct Case {
    network: Network,
    parameters: Parameters,
    statistics: Vec<f32>,
    pixels: Vec<f32>,
    size: usize,
    batch: usize,
}

type Times = Result<(f64, f64, usize), Box<dyn Error + Send + Sync>>;

impl Case {
    fn new(name: &str, size: usize, batch: usize) -> Result<Case, Box<dyn Error>> {
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

    fn train(&mut self, seconds: f64) -> Times {
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
        timed(seconds, || {
            let mut on_tape = OnTape::leaky();
            let slots = [parameters.decayed.slot().clone(), parameters.plain.slot().clone()];
            gradients.decayed.fill(0.0);
            gradients.plain.fill(0.0);
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
        })
    }

    fn infer(&mut self, seconds: f64) -> Times {
        let parameters = std::mem::replace(&mut self.parameters, Parameters::new(vec![], vec![]));
        let inference = self.network.inference_of(parameters, &self.statistics)?;
        let classifier = self.network.architecture().classifier().is_some();
        timed(seconds, || {
            if classifier {
                std::hint::black_box(inference.logits(self.images())?);
            } else {
                std::hint::black_box(inference.maps(self.images())?);
            }
            Ok(())
        })
    }
}

/// Wall and processor seconds of the fastest rounds, after one that doesn't count.
fn timed(seconds: f64, mut round: impl FnMut() -> Result<(), Box<dyn Error + Send + Sync>>) -> Times {
    round()?;
    let (mut wall, mut cpu, mut rounds) = (f64::MAX, f64::MAX, 0);
    let begin = Instant::now();
    while rounds < 3 || begin.elapsed().as_secs_f64() < seconds {
        let (start, start_cpu) = (Instant::now(), processor_seconds());
        round()?;
        wall = wall.min(start.elapsed().as_secs_f64());
        cpu = cpu.min(processor_seconds() - start_cpu);
        rounds += 1;
    }
    Ok((wall, cpu, rounds))
}

/// Of this thread; not a number where the system doesn't tell.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.map_or(f64::NAN, |nanoseconds| nanoseconds / 1e9)
}

/// Bytes that the process has (`VmRSS:`) or had at most (`VmHWM:`) in memory.
fn memory(what: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(what));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn architecture(name: &str) -> Result<Architecture, Box<dyn Error>> {
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
