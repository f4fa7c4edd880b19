//! `rank-resample`: takes the samples that the model is surest of, in the class shares of its
//! training set (requirement R1 of the method, claim 8), and tells how near the shares are (E5).
//!
//! Two passes over the predictions and a sort on disk of what may be taken: memory doesn't grow
//! with the number of rows. Must not know how predictions are made.

mod candidates;
mod quotas;
mod ranked;
mod tables;
#[cfg(test)]
mod tests;

use dermflow_core::{
    Column, ColumnType, Contract, InputPort, InputSizes, InputTypes, Inputs, OutputPort, PortType, Problem,
    Resources, StageContext, StageError, StageKind, TableType,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metric_rows::metrics_port;
use candidates::Candidates;

/// See the module.
pub struct RankResample;

/// What `rank-resample` is told under `with:`. Exactly one of `size` and `ratio`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "RankResample")]
pub struct RankResampleParameters {
    /// How many samples to take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    size: Option<u64>,
    /// How many samples to take for each one that was predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1000.0))]
    ratio: Option<f64>,
    /// Which samples of a class come first.
    #[serde(default)]
    order: Order,
    /// What happens where a class has fewer samples than its share asks for.
    #[serde(default)]
    short: Short,
    /// Takes no sample whose probability is below this.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    min_probability: f64,
}

/// Which samples of a class come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Order {
    /// The likeliest; equal ones by sample id.
    #[default]
    Probability,
    /// Any, by a seeded draw of each sample: the control for what the ranking gains.
    Random,
}

/// What happens where a class has fewer samples than its share asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Short {
    /// All other classes are taken less of, so that the shares stay those of the training set. A
    /// class of which there is nothing is left out where so few are taken that its share comes to
    /// no whole sample.
    #[default]
    Shrink,
    /// It stays short, and the shares differ.
    Leave,
}

impl StageKind for RankResample {
    type Parameters = RankResampleParameters;
    const NAME: &'static str = "rank-resample";
    const VERSION: u32 = 2;
    const ABOUT: &'static str =
        "Takes the likeliest samples of each predicted class, in the class shares of the training set.";
    const EXAMPLE: &'static str = "\
name: rank-resample-example
seed: 20
stages:
  predictions:
    kind: import-table
    with: {path: predictions.csv, key: image, columns: {label: text, probability: float32}}
  clean:
    kind: import-table
    with: {path: labels.csv, key: image, columns: {label: text}}
  resample:
    kind: rank-resample
    in: {predictions: predictions.table, training: clean.table}
    with: {ratio: 0.5, order: probability, short: leave, min-probability: 0.3}
outputs:
  selection: resample.selection
  quota: resample.quota
";
    const RANDOM: bool = true;

    fn inputs(_: &RankResampleParameters) -> Inputs {
        let columns = [
            Column::new("label", ColumnType::Text),
            Column::new("probability", ColumnType::Float32),
        ];
        let predictions = TableType {
            contract: "Predictions".to_string(),
            open: true,
            ..TableType::exactly(columns)
        };
        let labels = Contract::named("Labels").map_or_else(TableType::any, TableType::of);
        let about = "the predicted class of each sample of the full data, and its probability";
        let predictions = InputPort::one("predictions", PortType::Table(predictions), about)
            .reading(["label", "probability"]);
        let about = "the labels that the model was trained on, whose shares are kept";
        let training = InputPort::one("training", PortType::Table(labels), about).reading(["label"]);
        Inputs {
            ports: vec![predictions, training],
            open: false,
        }
    }

    fn outputs(_: &RankResampleParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        Ok(vec![
            tables::selection_port(),
            tables::quota_port(),
            metrics_port("how far the class shares are from those of the training set, before and after"),
        ])
    }

    fn check(parameters: &RankResampleParameters) -> Vec<Problem> {
        let mut problems = Vec::new();
        if parameters.size.is_some() == parameters.ratio.is_some() {
            let problem = Problem::new("", "exactly one of `size` and `ratio` is needed");
            problems.push(problem.with_help("write `size: 100000` or `ratio: 0.5`"));
        }
        if parameters
            .ratio
            .is_some_and(|ratio| !(0.0..=1000.0).contains(&ratio))
        {
            problems.push(Problem::new("ratio", "must lie between 0 and 1000"));
        }
        if !(0.0..=1.0).contains(&parameters.min_probability) {
            problems.push(Problem::new("min-probability", "must lie between 0 and 1"));
        }
        problems
    }

    fn resources(_: &RankResampleParameters, _: &InputSizes) -> Resources {
        Resources {
            memory: 256 << 20,
            threads: 1,
        }
    }

    fn run(parameters: &RankResampleParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let candidates = Candidates::count(parameters, context)?;
        let size = match (parameters.size, parameters.ratio) {
            (Some(size), _) => size,
            (None, ratio) => (ratio.unwrap_or(1.0) * candidates.predicted_in_all() as f64).round() as u64,
        };
        let quotas = candidates.quotas(size, parameters.short)?;
        for quota in quotas.iter().filter(|quota| quota.is_short()) {
            context.log(&format!(
                "class `{}` runs short: {} wanted, {} available",
                quota.class, quota.wanted, quota.available
            ));
        }
        tables::write_selection(&candidates, &quotas, context)?;
        tables::write_quota(&quotas, context)?;
        tables::write_distances(&quotas, context)
    }
}
