//! [`Card`]: a model card and a data card of a trained model, from the records alone, and the
//! reporting checklists that journals ask for, each item with what fills it or the word that the
//! author must.
//!
//! Knows of stages what their contracts and records say: which kind with which parameters, which
//! tables at which ports, which figures. Where something is not on record it is said to be
//! missing, never guessed.

mod checklists;
mod data;
mod evaluation;
mod facts;
mod markdown;

use std::collections::BTreeMap;

use dermflow_core::{Artifact, Digest, Key, StageError};
use dermflow_nn::architecture::Task;
use dermflow_nn::cost::{multiply_adds, parameters};
use dermflow_nn::model_file::Description;
use serde::Serialize;
use serde_json::{Value, json};

pub use checklists::{Checklist, Item, Status};
pub use data::{Counts, DataCard, Flow, Values};
pub use evaluation::Metric;

use crate::graph::Graph;
use crate::records::Records;
use crate::time;

/// How a model was trained.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Training {
    /// The stage.
    pub stage: String,
    /// The kind and its version.
    pub kind: String,
    /// All parameters, defaults filled in.
    pub parameters: Value,
    /// The pipeline's seed.
    pub seed: Option<u64>,
    /// When it began, UTC.
    pub started: String,
    /// Wall seconds.
    pub seconds: f64,
    /// The machine.
    pub host: String,
    /// The program with its version.
    pub program: String,
    /// Energy in joules; missing where no figure tells it.
    pub energy_joules: Option<f64>,
    /// What went in, by port: the artifact and where it came from.
    pub inputs: BTreeMap<String, Vec<String>>,
    /// Figures that the stage reported.
    pub figures: BTreeMap<String, f64>,
}

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Network {
    /// What people call it.
    pub name: String,
    /// `classifier` or `regressor`.
    pub task: &'static str,
    /// Numbers that are trained.
    pub parameters: u64,
    /// Multiply-adds for one picture of the input's size.
    pub multiply_adds: u64,
    /// Height and width of the input in pixels.
    pub input: [u32; 2],
    /// How a picture becomes the input.
    pub preprocessing: Value,
    /// The classes in the order of the outputs.
    pub classes: Vec<String>,
}

/// What the card can be checked by.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// blake3 of the model's file (`b3sum` gives it).
    pub model: Digest,
    /// The action's key: the hash of all that the model depends on.
    pub action: Key,
    /// The digest of the action's record.
    pub record: Digest,
    /// The newest seal of the store: its number and digest.
    pub seal: Option<(u64, Digest)>,
    /// Runs that used it.
    pub runs: Vec<String>,
}

/// See the module.
#[derive(Clone, Debug, Serialize)]
pub struct Card {
    /// `stage.port`.
    pub name: String,
    /// When the card was made of which state of the store.
    pub statement: String,
    /// The network; missing where the model's file can't be read.
    pub network: Option<Network>,
    /// The training.
    pub training: Training,
    /// The data.
    pub data: DataCard,
    /// Every figure of every evaluation of it on record.
    pub metrics: Vec<Metric>,
    /// Samples that it was trained on and that were forgotten since.
    pub trained_on_forgotten: bool,
    /// What it can be checked by.
    pub evidence: Evidence,
    /// The checklists.
    pub checklists: Vec<Checklist>,
}

impl Card {
    /// The card of a model: the output of an action.
    ///
    /// # Errors
    /// Where it is no model, or a record can't be read.
    pub fn of(records: &Records, graph: &Graph<'_>, key: &Key, port: &str) -> Result<Card, StageError> {
        let record = records.record(key)?;
        let Some(Artifact::Model(blob)) = record.outputs.get(port) else {
            let what = record
                .outputs
                .get(port)
                .map_or("nothing", |artifact| artifact.sort());
            return Err(StageError::new(format!(
                "`{}` is {what}, and a card is of a model",
                records.output_title(key, port)
            ))
            .with_help("`dermflow ls` shows which artifacts are models"));
        };
        let network = match records.store().has_blob(blob) {
            true => Some(network(
                &Description::load(&records.store().blob_path(blob)?)
                    .map_err(|error| StageError::new(error.to_string()))?,
            )),
            false => None,
        };
        let data = DataCard::of(records, graph, key)?;
        let metrics = evaluation::metrics(records, graph, &blob.digest)?;
        let marks = records.store().tombstones()?;
        let inspected = records.store().inspect_record(key).ok().flatten();
        let seal = records.store().newest_seal();
        let mut card = Card {
            name: records.output_title(key, port),
            statement: format!(
                "Made from the records of the store, which are sealed up to number {}. Nothing here was typed in.",
                seal.as_ref().map_or(0, |(_, number, _)| *number)
            ),
            network,
            training: training(records, key)?,
            data,
            metrics,
            trained_on_forgotten: marks
                .iter()
                .any(|(_, stone)| stone.marks.iter().any(|mark| mark.artifact == blob.digest)),
            evidence: Evidence {
                model: blob.digest,
                action: *key,
                record: inspected.map_or(Digest::of(b""), |inspected| inspected.digest),
                seal: seal.map(|(_, number, digest)| (number, digest)),
                runs: records
                    .uses(key)
                    .iter()
                    .map(|one| one.journal.to_string())
                    .collect(),
            },
            checklists: Vec::new(),
        };
        let facts = facts::gather(records, graph, &card, key)?;
        card.checklists = checklists::all(&facts);
        Ok(card)
    }

    /// As a page.
    pub fn markdown(&self) -> String {
        markdown::page(self)
    }
}

fn network(description: &Description) -> Network {
    let architecture = &description.architecture;
    let prepared = &description.preprocessing;
    let sides = [prepared.height, prepared.width];
    Network {
        name: architecture.name.clone(),
        task: match architecture.task {
            Task::Classifier(_) => "classifier",
            Task::Regressor(_) => "regressor",
        },
        parameters: parameters(architecture),
        multiply_adds: multiply_adds(architecture, sides[0] as usize, sides[1] as usize),
        input: sides,
        preprocessing: json!(prepared),
        classes: description.classes.clone(),
    }
}

fn training(records: &Records, key: &Key) -> Result<Training, StageError> {
    let record = records.record(key)?;
    let making = &record.making;
    let inputs = record.ancestry.iter().map(|(port, all)| {
        let told = all.iter().map(|one| {
            let from = one.action.map(|key| records.output_title(&key, &one.port));
            format!(
                "{} {}",
                from.unwrap_or_else(|| "source files".to_string()),
                one.artifact.short()
            )
        });
        (port.clone(), told.collect())
    });
    let energy = ["energy", "joules", "energy_joules"];
    Ok(Training {
        stage: records.title(key),
        kind: format!("{} v{}", record.manifest.kind, record.manifest.version),
        parameters: json!(record.manifest.parameters),
        seed: record.manifest.seed,
        started: time::utc(making.started),
        seconds: making.seconds,
        host: making.host.clone(),
        program: making.program.clone(),
        energy_joules: energy.iter().find_map(|name| making.metrics.get(*name).copied()),
        inputs: inputs.collect(),
        figures: making.metrics.clone(),
    })
}
