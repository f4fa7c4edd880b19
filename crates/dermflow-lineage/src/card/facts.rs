//! What the records say about each topic that checklists ask for, and where it was found.

use std::collections::BTreeMap;

use dermflow_core::{Key, StageError};

use super::Card;
use crate::graph::Graph;
use crate::records::Records;
use crate::time;

/// What a checklist's item can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    Technology,
    DataSources,
    Flow,
    Preprocessing,
    Subsets,
    Missing,
    LabelProvenance,
    Partitions,
    Disjoint,
    SampleSizes,
    ClassBalance,
    Balancing,
    Demographics,
    SkinTone,
    ImageSizes,
    Network,
    Software,
    Initialisation,
    Training,
    Selection,
    Metrics,
    Uncertainty,
    Subgroups,
    Explanation,
    InternalTest,
    Output,
    Availability,
    Hyperparameters,
    Synthetic,
    Leakage,
}

/// Something on record, and where.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fact {
    pub told: String,
    pub found: String,
}

pub(super) type Facts = BTreeMap<Topic, Fact>;

struct Gathering<'a> {
    records: &'a Records,
    ancestry: Vec<Key>,
    ahead: Vec<Key>,
    facts: Facts,
}

/// Everything that is on record about a model.
pub(super) fn gather(
    records: &Records,
    graph: &Graph<'_>,
    card: &Card,
    key: &Key,
) -> Result<Facts, StageError> {
    let mut gathering = Gathering {
        records,
        ancestry: graph.ancestry(key),
        ahead: graph.consequences(&card.evidence.model).into_iter().collect(),
        facts: Facts::new(),
    };
    gathering.data(card);
    gathering.stages()?;
    gathering.model(card);
    gathering.evaluation(card);
    Ok(gathering.facts)
}

/// Counts by name, in words.
pub(super) fn list(counts: &BTreeMap<String, u64>) -> String {
    let told: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    told.join(", ")
}

impl Gathering<'_> {
    fn put(&mut self, topic: Topic, told: impl Into<String>, found: impl Into<String>) {
        let (told, found) = (told.into(), found.into());
        if told.is_empty() {
            return;
        }
        let known = self.facts.entry(topic).or_insert(Fact {
            told: String::new(),
            found: String::new(),
        });
        for (known, more) in [(&mut known.told, told), (&mut known.found, found)] {
            if !known.split("; ").any(|part| part == more) {
                if !known.is_empty() {
                    known.push_str("; ");
                }
                known.push_str(&more);
            }
        }
    }

    fn data(&mut self, card: &Card) {
        let data = &card.data;
        for file in &data.files {
            self.put(Topic::DataSources, file.clone(), "data.files");
        }
        if !data.sources.is_empty() {
            let told = format!("labelled samples by folder: {}", list(&data.sources));
            self.put(Topic::DataSources, told, "data.sources");
        }
        for flow in &data.flow {
            let told = match flow.came.is_empty() {
                true => format!("{}: {}", flow.stage, list(&flow.gave)),
                false => format!("{}: {} -> {}", flow.stage, list(&flow.came), list(&flow.gave)),
            };
            self.put(Topic::Flow, told, "data.flow");
        }
        for told in &data.label_provenance {
            self.put(Topic::LabelProvenance, told.clone(), "data.label_provenance");
        }
        for (fold, counts) in &data.folds {
            let groups = counts
                .groups
                .map_or(String::new(), |groups| format!(" of {groups} patients or groups"));
            let told = format!(
                "{fold}: {} samples{groups} ({})",
                counts.samples,
                list(&counts.classes)
            );
            self.put(Topic::SampleSizes, told, "data.folds");
            self.put(
                Topic::ClassBalance,
                format!("{fold}: {}", list(&counts.classes)),
                "data.folds",
            );
        }
        for (name, values) in &data.columns {
            let mut told = format!("{name}: {} present, {} missing", values.present, values.missing);
            if let Some([low, middle, high]) = values.range {
                told += &format!(", {low} to {high}, median {middle}");
            }
            if !values.counts.is_empty() {
                told += &format!(" ({})", list(&values.counts));
            }
            let place = format!("data.columns.{name}");
            match name.as_str() {
                "original_width" | "original_height" => self.put(Topic::ImageSizes, told, place),
                name if name.contains("skin") || name.contains("fitzpatrick") => {
                    self.put(Topic::SkinTone, told.clone(), place.clone());
                    self.put(Topic::Demographics, told, place);
                }
                _ => {
                    let missing = format!(
                        "{name}: {} of {} missing",
                        values.missing,
                        values.missing + values.present
                    );
                    self.put(Topic::Missing, missing, place.clone());
                    self.put(Topic::Demographics, told, place);
                }
            }
        }
    }

    /// What stages before the model were told to do.
    fn stages(&mut self) -> Result<(), StageError> {
        for key in self.ancestry.clone() {
            let record = self.records.record(&key)?;
            let parameters = serde_json::to_string(&record.manifest.parameters).unwrap_or_default();
            let (title, place) = (
                self.records.title(&key),
                format!("action {}", key.digest().short()),
            );
            let told = format!("{title} ({}): {parameters}", record.manifest.kind);
            self.put(
                Topic::Software,
                format!(
                    "{}, {} v{}",
                    record.making.program, record.manifest.kind, record.manifest.version
                ),
                place.clone(),
            );
            match record.manifest.kind.as_str() {
                "ingest" | "unpack" | "coerce" => self.put(Topic::Preprocessing, told, place),
                "filter" | "sample" | "rank-resample" | "select-for-labelling" => {
                    self.put(Topic::Subsets, told, place)
                }
                "split" => {
                    let text = |name: &str| {
                        let entries = record.manifest.parameters.as_map()?;
                        match entries.get(name)? {
                            dermflow_core::canonical::Value::Text(text) => Some(text.clone()),
                            _ => None,
                        }
                    };
                    if let Some(group) = text("group") {
                        let told = format!("samples with the same `{group}` are in one fold ({title})");
                        self.put(Topic::Disjoint, told, place.clone());
                    }
                    self.put(Topic::Partitions, told, place);
                }
                "synthesize" => self.put(Topic::Synthetic, format!("{title} made pictures"), place),
                _ => {}
            }
        }
        // Leaks are looked for beside the training, not before it.
        let ancestry = self.ancestry.clone();
        let beside: Vec<Key> = ancestry
            .iter()
            .filter_map(|key| self.records.node(key))
            .flat_map(|node| node.outputs.values())
            .flat_map(|artifact| self.records.users(&artifact.name()))
            .map(|(key, _)| *key)
            .collect();
        for key in beside {
            let record = self.records.record(&key)?;
            if let (true, Some(leaks)) = (
                record.manifest.kind == "check-leakage",
                record.making.metrics.get("leaks"),
            ) {
                let told = format!("{}: {leaks} leaks between folds", self.records.title(&key));
                self.put(
                    Topic::Leakage,
                    told.clone(),
                    format!("action {}", key.digest().short()),
                );
                self.put(Topic::Disjoint, told, format!("action {}", key.digest().short()));
            }
        }
        Ok(())
    }

    fn model(&mut self, card: &Card) {
        if let Some(network) = &card.network {
            let told = format!(
                "{} ({}), {} parameters, {} multiply-adds at {} x {}",
                network.name,
                network.task,
                network.parameters,
                network.multiply_adds,
                network.input[0],
                network.input[1]
            );
            self.put(
                Topic::Technology,
                format!("deep learning, a convolutional {}", network.task),
                "network",
            );
            self.put(Topic::Network, told, "network");
            self.put(
                Topic::Preprocessing,
                format!("network input: {}", network.preprocessing),
                "network.preprocessing",
            );
            let told = format!("a probability for each of {}", network.classes.join(", "));
            self.put(Topic::Output, told, "network.classes");
        }
        let training = &card.training;
        let place = format!("training (action {})", card.evidence.action.digest().short());
        let told = format!(
            "{} with seed {}, {} on {}",
            training.kind,
            training.seed.map_or("none".to_string(), |seed| seed.to_string()),
            time::seconds(training.seconds),
            training.host
        );
        self.put(Topic::Training, told, place.clone());
        self.put(
            Topic::Training,
            training.parameters.to_string(),
            "training.parameters",
        );
        self.put(
            Topic::Hyperparameters,
            training.parameters.to_string(),
            "training.parameters",
        );
        let init = match training.inputs.get("init") {
            Some(from) => format!("the weights of {}", from.join(", ")),
            None => "drawn at random from the seed".to_string(),
        };
        self.put(Topic::Initialisation, init, "training.inputs.init");
        let keep = training
            .parameters
            .get("keep")
            .or_else(|| training.parameters.pointer("/classifier/keep"));
        if let Some(keep) = keep {
            let told = format!(
                "the weights that are kept: {keep} (by the score on the fold `valid`, where there is one)"
            );
            self.put(Topic::Selection, told, "training.parameters.keep");
        }
        for name in ["loss", "batches"] {
            if let Some(value) = training.parameters.get(name) {
                for topic in [Topic::ClassBalance, Topic::Balancing] {
                    let place = format!("training.parameters.{name}");
                    self.put(topic, format!("{name}: {value}"), place);
                }
            }
        }
        let told = format!(
            "the model's file has the blake3 {}, and `dermflow reproduce {}` makes it again from the records",
            card.evidence.model,
            card.evidence.model.short()
        );
        self.put(Topic::Availability, told, "evidence");
    }

    fn evaluation(&mut self, card: &Card) {
        let whole = card.metrics.iter().filter(|metric| metric.class.is_none());
        for metric in whole {
            let interval = match (metric.low, metric.high) {
                (Some(low), Some(high)) => format!(" ({low:.4} to {high:.4})"),
                _ => String::new(),
            };
            let slice = metric
                .slice
                .clone()
                .map_or(String::new(), |slice| format!(" [{slice}]"));
            let n = metric.n.map_or(String::new(), |n| format!(", n = {n}"));
            let told = format!("{}{slice} = {:.4}{interval}{n}", metric.name, metric.value);
            match metric.slice {
                None => self.put(Topic::Metrics, told, "metrics"),
                Some(_) => self.put(Topic::Subgroups, told, "metrics"),
            }
            let fold = metric.fold.clone().unwrap_or_else(|| "all folds".to_string());
            self.put(
                Topic::InternalTest,
                format!("{} on {fold}", metric.stage),
                "metrics",
            );
        }
        let with_interval = card.metrics.iter().filter(|metric| metric.low.is_some()).count();
        if with_interval > 0 {
            let told = format!(
                "{with_interval} of {} figures have an interval",
                card.metrics.len()
            );
            self.put(Topic::Uncertainty, told, "metrics");
        }
        for key in self.ahead.clone() {
            let Some(node) = self.records.node(&key) else {
                continue;
            };
            if node.kind == "explain" {
                let told = format!("{} (Grad-CAM and the like)", self.records.title(&key));
                self.put(
                    Topic::Explanation,
                    told,
                    format!("action {}", key.digest().short()),
                );
            }
        }
    }
}
