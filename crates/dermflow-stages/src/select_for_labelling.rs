//! `select-for-labelling`: which samples to label next, for a budget.
//!
//! The choosing half of the labelling unit (requirement D5 of `method.md`): by chance, by how
//! uncertain a model is (least confident, margin, entropy; Settles 2009, "Active learning
//! literature survey"), or by how unlike they are to what is chosen and labelled (greedy
//! k-centre; Sener and Savarese 2018, "Active learning for convolutional neural networks: a
//! core-set approach"). Strata get shares of the budget; equal scores are put in order by a seeded
//! draw of each sample's own. Must not know how labelling is done.

mod candidates;
mod diverse;
mod features;
mod quotas;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use dermflow_core::{
    Arity, Column, ColumnType, Contract, InputPort, InputSizes, InputTypes, Inputs, OutputPort, PortType,
    Problem, Resources, SampleId, StageContext, StageError, StageKind, TableType, sample_ids,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::{in_words, wired_table};
use candidates::{Candidate, Candidates};
use quotas::quotas;

/// See the module.
pub struct SelectForLabelling;

/// What `select-for-labelling` is told under `with:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "SelectForLabelling")]
pub struct SelectForLabellingParameters {
    /// How many samples to choose, fewer where there are fewer.
    #[schemars(range(min = 1))]
    budget: u64,
    /// What makes a sample worth labelling.
    #[serde(default)]
    by: By,
    /// The column of `samples` by whose values the budget is shared out; missing values are one
    /// more. Left out: the budget is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stratify: Option<String>,
    /// How the budget is shared out.
    #[serde(default)]
    shares: Shares,
    /// The columns of `samples` by which `diverse` tells samples apart: numbers, which are brought to
    /// mean 0 and deviation 1, or lists of float32 such as embeddings, which are taken as they are.
    /// None: thumbnails of the pixels, 8 by 8.
    #[serde(default)]
    features: Vec<String>,
    /// The column of groups, such as patients, of which at most `per-group` samples are chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// How many samples of one group may be chosen, where a `group` is given.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    per_group: u32,
}

fn one() -> u32 {
    1
}

/// What makes a sample worth labelling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum By {
    /// Chance.
    #[default]
    Random,
    /// The probability of its likeliest class is low: 1 - p₁.
    LeastConfident,
    /// Its two likeliest classes are close: 1 - (p₁ - p₂).
    Margin,
    /// The entropy of its class probabilities, as a share of the largest that is possible.
    Entropy,
    /// It is far from what is chosen and labelled so far.
    Diverse,
}

impl By {
    fn needs_predictions(self) -> bool {
        matches!(self, By::LeastConfident | By::Margin | By::Entropy)
    }
}

/// How the budget is shared out among strata. What one can't use goes to the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shares {
    /// By how many samples each has.
    #[default]
    Proportional,
    /// The same for each.
    Equal,
}

const PIXELS: [&str; 3] = ["pixels", "width", "height"];

impl SelectForLabellingParameters {
    fn uses_pixels(&self) -> bool {
        self.by == By::Diverse && self.features.is_empty()
    }

    /// The output's columns. With predictions it is a `Selection`.
    fn selection(&self) -> TableType {
        let predicted = [
            Column::new("label", ColumnType::Text),
            Column::new("probability", ColumnType::Float32),
        ];
        let own = [
            Column::new("rank", ColumnType::Integer),
            Column::nullable("score", ColumnType::Float64),
            Column::nullable("stratum", ColumnType::Text),
        ];
        let predicted = predicted.into_iter().filter(|_| self.by.needs_predictions());
        let mut selection = TableType::exactly(predicted.chain(own));
        if self.by.needs_predictions() {
            selection.contract = "Selection".to_string();
        }
        selection
    }
}

impl StageKind for SelectForLabelling {
    type Parameters = SelectForLabellingParameters;
    const NAME: &'static str = "select-for-labelling";
    const VERSION: u32 = 1;
    const ABOUT: &'static str = "Chooses which samples to label next: by chance, by a model's uncertainty or by diversity, within strata.";
    const EXAMPLE: &'static str = "\
name: select-for-labelling-example
seed: 20
stages:
  photos:
    kind: import-table
    with:
      path: photos.parquet
      columns: {label: text, group: text, embedding: {list: float32}}
  predictions:
    kind: import-table
    with: {path: predictions.parquet, contract: Predictions}
  unsure:
    kind: select-for-labelling
    in: {samples: photos.table, predictions: predictions.table}
    with: {budget: 100, by: entropy, stratify: label, shares: equal, group: group, per-group: 2}
  unlike:
    kind: select-for-labelling
    in: {samples: photos.table, labelled: unsure.selection}
    with: {budget: 100, by: diverse, features: [embedding]}
outputs:
  unsure: unsure.selection
  unlike: unlike.selection
";
    const RANDOM: bool = true;

    fn inputs(parameters: &SelectForLabellingParameters) -> Inputs {
        let mut samples = TableType::any();
        let mut read: Vec<&str> = parameters.features.iter().map(String::as_str).collect();
        read.extend(parameters.stratify.as_deref());
        read.extend(parameters.group.as_deref());
        if parameters.uses_pixels() {
            let contract = Contract::named("Samples")
                .map(Contract::columns)
                .unwrap_or_default();
            let pixels = contract
                .into_iter()
                .filter(|column| PIXELS.contains(&column.name.as_str()));
            samples.columns.extend(pixels);
            read.extend(PIXELS);
        }
        let mut ports = vec![
            InputPort::one(
                "samples",
                PortType::Table(samples),
                "what there is to choose from",
            )
            .reading(read),
            InputPort::one(
                "labelled",
                PortType::Table(TableType::any()),
                "samples that are labelled already",
            )
            .with_arity(Arity::Optional)
            .reading([""; 0]),
        ];
        if parameters.by.needs_predictions() {
            let predictions = Contract::named("Predictions").map_or_else(TableType::any, TableType::of);
            let port = InputPort::one(
                "predictions",
                PortType::Table(predictions),
                "what a model makes of them",
            );
            ports.push(port.reading(["label", "probability", "probabilities"]));
        }
        Inputs { ports, open: false }
    }

    fn outputs(
        parameters: &SelectForLabellingParameters,
        wired: &InputTypes,
    ) -> Result<Vec<OutputPort>, Problem> {
        let samples = wired_table(wired, "samples");
        let named = [("stratify", &parameters.stratify), ("group", &parameters.group)];
        for (parameter, name) in named {
            let Some(name) = name else { continue };
            match samples.column(name).map(|column| &column.column_type) {
                Some(ColumnType::Text | ColumnType::Integer | ColumnType::Boolean) => {}
                None if samples.open => {}
                Some(other) => {
                    let message =
                        format!("column `{name}` is {other}; text, integer and boolean can be told apart");
                    return Err(Problem::new(parameter, message));
                }
                None => {
                    let message = format!("the input has no column `{name}`; {}", in_words(&samples));
                    return Err(Problem::new(parameter, message));
                }
            }
        }
        for name in &parameters.features {
            features::fits(name, &samples)?;
        }
        let selection = PortType::Table(parameters.selection());
        Ok(vec![OutputPort::new(
            "selection",
            selection,
            "the chosen samples, ranked",
        )])
    }

    fn check(parameters: &SelectForLabellingParameters) -> Vec<Problem> {
        let mut problems = Vec::new();
        if parameters.budget == 0 {
            problems.push(Problem::new("budget", "must be 1 or more"));
        }
        if parameters.per_group == 0 {
            problems.push(Problem::new("per-group", "must be 1 or more"));
        }
        if !parameters.features.is_empty() && parameters.by != By::Diverse {
            problems.push(Problem::new("features", "only `by: diverse` uses them"));
        }
        if parameters.per_group != 1 && parameters.group.is_none() {
            problems.push(Problem::new(
                "per-group",
                "a `group` must say which column it is of",
            ));
        }
        if parameters.shares != Shares::default() && parameters.stratify.is_none() {
            problems.push(Problem::new("shares", "a `stratify` must say among what"));
        }
        problems
    }

    fn resources(parameters: &SelectForLabellingParameters, inputs: &InputSizes) -> Resources {
        let each = if parameters.by == By::Diverse { 1024 } else { 200 };
        Resources {
            memory: (256 << 20) + inputs.rows * each,
            threads: 0,
        }
    }

    fn run(
        parameters: &SelectForLabellingParameters,
        context: &mut dyn StageContext,
    ) -> Result<(), StageError> {
        let candidates = Candidates::read(parameters, context)?;
        let mut by_stratum: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
        for (at, candidate) in candidates
            .all
            .iter()
            .enumerate()
            .filter(|(_, candidate)| !candidate.labelled)
        {
            by_stratum
                .entry(candidate.stratum.as_deref())
                .or_default()
                .push(at);
        }
        let sizes: Vec<u64> = by_stratum.values().map(|members| members.len() as u64).collect();
        let quotas = quotas(&sizes, parameters.budget, parameters.shares);
        let mut groups = Groups {
            most: parameters.per_group,
            chosen: HashMap::new(),
        };
        let mut chosen: Vec<(usize, Option<f64>)> = Vec::new();
        for ((stratum, members), quota) in by_stratum.into_iter().zip(quotas) {
            let picked = match parameters.by {
                By::Diverse => diverse::pick(&candidates, stratum, &members, quota, &mut groups, context)?,
                _ => ranked(&candidates, members, quota, &mut groups),
            };
            if (picked.len() as u64) < quota {
                let (found, stratum) = (picked.len(), stratum.unwrap_or("no value"));
                context.log(&format!(
                    "`{stratum}` gives {found} of {quota} samples: its groups are used up"
                ));
            }
            chosen.extend(picked);
        }
        // The best of all strata first; by chance where scores tell nothing.
        chosen.sort_by(|(a, score), (b, other)| {
            let worth = |score: &Option<f64>| score.unwrap_or(f64::INFINITY);
            let by_score = worth(other).total_cmp(&worth(score));
            by_score.then(candidates.all[*a].draw.cmp(&candidates.all[*b].draw))
        });
        context.metric("chosen", chosen.len() as f64);
        write(parameters, &candidates, &chosen, context)
    }
}

/// How many samples of each group are chosen.
pub struct Groups {
    most: u32,
    chosen: HashMap<u32, u32>,
}

impl Groups {
    /// Whether another sample of a candidate's group may be chosen.
    pub fn admits(&self, candidate: &Candidate) -> bool {
        let chosen = candidate.group.and_then(|group| self.chosen.get(&group));
        chosen.is_none_or(|chosen| *chosen < self.most)
    }

    /// Counts a chosen candidate.
    pub fn take(&mut self, candidate: &Candidate) {
        if let Some(group) = candidate.group {
            *self.chosen.entry(group).or_default() += 1;
        }
    }
}

/// The members with the highest scores, ties by their draws.
fn ranked(
    candidates: &Candidates,
    mut members: Vec<usize>,
    quota: u64,
    groups: &mut Groups,
) -> Vec<(usize, Option<f64>)> {
    let candidate = |at: usize| &candidates.all[at];
    members.sort_by(|a, b| {
        let (a, b) = (candidate(*a), candidate(*b));
        let score = |candidate: &Candidate| candidate.score.unwrap_or(0.0);
        score(b)
            .total_cmp(&score(a))
            .then(a.draw.cmp(&b.draw))
            .then(a.id.cmp(&b.id))
    });
    let mut picked = Vec::new();
    for at in members {
        if picked.len() as u64 == quota {
            break;
        }
        if groups.admits(candidate(at)) {
            groups.take(candidate(at));
            picked.push((at, candidate(at).score));
        }
    }
    picked
}

fn write(
    parameters: &SelectForLabellingParameters,
    candidates: &Candidates,
    chosen: &[(usize, Option<f64>)],
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let all = || chosen.iter().map(|(at, _)| &candidates.all[*at]);
    let ids: Vec<SampleId> = all().map(|candidate| candidate.id).collect();
    let mut columns: Vec<ArrayRef> = vec![sample_ids(&ids)];
    if parameters.by.needs_predictions() {
        let labels: StringArray = all()
            .map(|candidate| {
                candidate
                    .predicted
                    .and_then(|label| candidates.labels.get(label as usize))
            })
            .map(|label| Some(label.map_or("", String::as_str)))
            .collect();
        columns.push(Arc::new(labels));
        columns.push(Arc::new(Float32Array::from_iter_values(
            all().map(|one| one.probability),
        )));
    }
    columns.push(Arc::new(Int64Array::from_iter_values(1..=chosen.len() as i64)));
    columns.push(Arc::new(
        chosen.iter().map(|(_, score)| *score).collect::<Float64Array>(),
    ));
    columns.push(Arc::new(
        all()
            .map(|candidate| candidate.stratum.as_deref())
            .collect::<StringArray>(),
    ));
    let schema = parameters.selection().schema();
    let mut out = context.write_table("selection", schema.clone())?;
    out.write(&RecordBatch::try_new(schema, columns)?)?;
    out.finish()
}
