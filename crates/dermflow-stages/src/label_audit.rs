//! `label-audit`: which of the given labels are likely wrong, by confident learning (Northcutt,
//! Jiang and Chuang 2021) from probabilities of models that did not train on them.
//!
//! Three passes over the predictions; what is kept in memory is the suspects and, for each pair
//! of classes, a count. Must not know how predictions are made, or look at pictures: the table of
//! suspects is what a contact sheet or a labelling tool is given.

mod joint;
mod pairs;
mod suspects;
mod tables;
#[cfg(test)]
mod tests;

use dermflow_core::{
    Contract, InputPort, InputSizes, InputTypes, Inputs, OutputPort, PortType, Problem, Resources,
    StageContext, StageError, StageKind, TableType,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::class_list;
use crate::metric_rows::metrics_port;
use joint::Joint;
use pairs::Pairs;
use suspects::Suspects;

/// See the module.
pub struct LabelAudit;

/// What `label-audit` is told under `with:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "LabelAudit")]
pub struct LabelAuditParameters {
    /// The model's classes in the order of `probabilities`, where no table is wired to `classes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    classes: Vec<String>,
    /// Which labels are suspected. Whatever the way, a label that is the likeliest class is not, nor is
    /// one that the model doesn't know: of that it can't say how likely it is (`scores` and
    /// `disagreement` list it).
    #[serde(default)]
    suspect: Suspicion,
    /// What ranks the suspects.
    #[serde(default)]
    rank_by: Score,
}

/// Which labels are suspected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Suspicion {
    /// For each pair of classes as many as the joint says are of the one and labelled as the
    /// other, those with the largest difference of the two probabilities.
    #[default]
    NoiseRate,
    /// For each class as many as the joint says are labelled so wrongly, those with the lowest
    /// probability of their label.
    Class,
    /// What both of these suspect.
    Both,
    /// Those that were counted as another class for the joint.
    ConfidentJoint,
    /// All whose label is one of the model's classes, and not the likeliest.
    Predicted,
}

/// What tells how well a label fits: lower is worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Score {
    /// The probability of the label less that of the likeliest other class, brought from -1..1 to
    /// 0..1.
    #[default]
    Margin,
    /// The probability of the label.
    SelfConfidence,
}

impl StageKind for LabelAudit {
    type Parameters = LabelAuditParameters;
    const NAME: &'static str = "label-audit";
    const VERSION: u32 = 1;
    const ABOUT: &'static str =
        "Finds the labels that are likely wrong, by confident learning from out-of-fold probabilities.";
    const EXAMPLE: &'static str = "\
name: label-audit-example
stages:
  predictions:
    kind: import-table
    with:
      path: out-of-fold.parquet
      key: image
      columns: {label: text, probability: float32, probabilities: {list: float32}}
  labels:
    kind: import-table
    with: {path: labels.csv, key: image, columns: {label: text}}
  audit:
    kind: label-audit
    in: {predictions: predictions.table, labels: labels.table}
    with: {classes: [melanoma, nevus], suspect: both, rank-by: self-confidence}
outputs:
  suspects: audit.suspects
  disagreement: audit.disagreement
";

    fn inputs(_: &LabelAuditParameters) -> Inputs {
        let about = "what models said that were not trained on the sample";
        let labels = Contract::named("Labels").map_or_else(TableType::any, TableType::of);
        let labels =
            InputPort::one("labels", PortType::Table(labels), "the labels to be audited").reading(["label"]);
        Inputs {
            ports: vec![
                class_list::predictions_port(about, &[]),
                labels,
                class_list::classes_port(),
            ],
            open: false,
        }
    }

    fn outputs(parameters: &LabelAuditParameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        class_list::check_source(&parameters.classes, wired)?;
        Ok(vec![
            tables::suspects_port(),
            tables::scores_port(),
            tables::joint_port(),
            tables::disagreement_port(),
            metrics_port("the estimated share of wrong labels, overall and for each given class"),
        ])
    }

    fn check(parameters: &LabelAuditParameters) -> Vec<Problem> {
        class_list::check_names(&parameters.classes)
    }

    fn resources(_: &LabelAuditParameters, inputs: &InputSizes) -> Resources {
        Resources {
            // The suspects, if every third label is one.
            memory: (256 << 20) + 40 * inputs.rows,
            threads: 1,
        }
    }

    fn run(parameters: &LabelAuditParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let pairs = Pairs::new(&parameters.classes, context)?;
        let joint = Joint::estimate(&pairs, context)?;
        let suspects = Suspects::find(parameters.suspect, parameters.rank_by, &pairs, &joint, context)?;
        tables::write_suspects(&pairs, &suspects, context)?;
        tables::write_scores(&pairs, &suspects, context)?;
        tables::write_joint(&pairs, &joint, context)?;
        tables::write_disagreement(&pairs, &joint, context)?;
        tables::write_figures(&pairs, &joint, &suspects, context)
    }
}
