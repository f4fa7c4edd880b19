//! `split`: samples into folds by share, by label, and never a patient in two.
//!
//! A group (a patient; a sample without group is its own) draws one number from the seed and
//! its name alone.
//!
//! * `exact: false`: the number alone decides the fold. Whatever samples are added or removed,
//!   no other changes its fold. The share of a fold is then a matter of chance: over groups with
//!   n₁, n₂, … samples, N in all, it misses the wanted one by more than
//!   √(Σnᵢ² · ln(2/δ) / 2) / N with a probability of at most δ (Hoeffding's inequality), within
//!   each label as over all; the output `summary` tells what came.
//! * `exact: true`: within each label the groups are put in order of their numbers and cut where
//!   the wanted shares end, so that each fold of each label is missed by at most the size of that
//!   label's largest group. Adding a share ε of samples moves the cuts by about ε, and only
//!   the groups between the old cut and the new one change their folds.
//!
//! `previous` folds, where they are wired, stay in either case. A group counts under the label
//! that most of its samples have. Must not know what the folds are used for.

mod assign;
mod gather;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use dermflow_core::{
    Arity, Column, ColumnType, Contract, InputPort, InputTypes, Inputs, OutputPort, PortType, Problem,
    SAMPLE_ID, SampleId, StageContext, StageError, StageKind, TableType, sample_ids,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::{in_words, wired_table};
use assign::{Fold, assign};
use gather::{Gathered, gather};

/// See the module.
pub struct Split;

/// What `split` is told under `with:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Split")]
pub struct SplitParameters {
    /// The folds and their shares: `{train: 0.7, valid: 0.15, test: 0.15}`. They add up to 1, or to
    /// less where `folds` take the rest. A fold whose share is 0 has what `previous` puts there, with
    /// its groups, and nothing else.
    #[serde(default)]
    shares: BTreeMap<String, f64>,
    /// How many folds of equal share for cross-validation, `fold-1` and so on, take what `shares`
    /// leave: all without `shares`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1000))]
    folds: Option<u32>,
    /// The column of groups that are never split, such as patients. A sample whose group is missing
    /// or empty is a group of its own; with `null` every sample is.
    #[serde(default = "group")]
    group: Option<String>,
    /// The column of the labels that each fold should have its share of. Left out: the column
    /// `label`, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stratify: Option<String>,
    /// Whether shares are met as nearly as groups allow, at the price that adding samples moves
    /// some others. Else a sample keeps its fold whatever is added, and shares are met by chance.
    #[serde(default)]
    exact: bool,
}

fn group() -> Option<String> {
    Some(GROUP.to_string())
}

/// The usual column of groups. It may be missing: a table that nobody said has groups has none.
const GROUP: &str = "group";
const LABEL: &str = "label";
/// How far from 1 shares may add up, as decimal fractions are rounded.
const ROUNDING: f64 = 1e-6;

impl SplitParameters {
    fn strata(&self) -> &str {
        self.stratify.as_deref().unwrap_or(LABEL)
    }

    /// The folds in order, with their shares of all.
    fn wanted(&self) -> Vec<Fold> {
        let fold = |(name, share): (&String, &f64)| Fold {
            name: name.clone(),
            share: *share,
        };
        let mut wanted: Vec<Fold> = self.shares.iter().map(fold).collect();
        let rest = 1.0 - self.shares.values().sum::<f64>();
        let folds = self.folds.unwrap_or(0);
        wanted.extend((1..=folds).map(|number| Fold {
            name: format!("fold-{number}"),
            share: rest / f64::from(folds),
        }));
        wanted
    }

    /// The columns that are looked at: the parameter that names each, and whether it must be there.
    fn asked(&self) -> impl Iterator<Item = (&'static str, &str, bool)> {
        let group = self.group.as_deref();
        let group = group.map(|name| ("group", name, name != GROUP));
        let strata = ("stratify", self.strata(), self.stratify.is_some());
        group.into_iter().chain([strata])
    }

    /// Columns that are asked for and known not to be there, or of a type that makes no groups.
    fn fits(&self, table: &TableType) -> Result<(), Problem> {
        for (parameter, name, must) in self.asked() {
            match table.column(name) {
                Some(column) => match column.column_type {
                    ColumnType::Text | ColumnType::Integer | ColumnType::Boolean => {}
                    _ => {
                        let message = format!(
                            "column `{name}` is {}; text, integer and boolean can be told apart",
                            column.column_type
                        );
                        return Err(Problem::new(parameter, message));
                    }
                },
                None if table.open || !must => {}
                None => return Err(missing(parameter, name, Some(table))),
            }
        }
        Ok(())
    }

    /// The same where only the table that is there can tell; `columns` are those of it that are read.
    fn are_in(&self, columns: &Schema) -> Result<(), Problem> {
        let lacks = |name: &str| columns.column_with_name(name).is_none();
        match self.asked().find(|(_, name, must)| *must && lacks(name)) {
            Some((parameter, name, _)) => Err(missing(parameter, name, None)),
            None => Ok(()),
        }
    }
}

/// That a column which was asked for is not there, with the columns that are, where they are known.
fn missing(parameter: &str, name: &str, table: Option<&TableType>) -> Problem {
    let there = table.map(|table| format!("; {}", in_words(table)));
    let message = format!("the input has no column `{name}`{}", there.unwrap_or_default());
    let problem = Problem::new(parameter, message);
    match parameter {
        "group" => problem.with_help(
            "without it samples of one patient would land in several folds; where nothing is to be kept \
             together, write `group: null`",
        ),
        _ => problem,
    }
}

impl StageKind for Split {
    type Parameters = SplitParameters;
    const NAME: &'static str = "split";
    const VERSION: u32 = 1;
    const ABOUT: &'static str = "Splits samples into train, valid and test or into folds, by label, and never a group such as a patient.";
    const EXAMPLE: &'static str = "\
name: split-example
seed: 20
stages:
  lesions:
    kind: import-table
    with: {path: lesions.csv, key: image, columns: {diagnosis: text, patient: text}}
  split:
    kind: split
    in: {samples: lesions.table}
    with: {shares: {train: 0.75, valid: 0.125, test: 0.125}, group: patient, stratify: diagnosis, exact: true}
  folds:
    kind: split
    in: {samples: lesions.table}
    with: {shares: {test: 0.5}, folds: 5, group: patient}
outputs:
  splits: split.splits
  summary: split.summary
  folds: folds.splits
";
    const RANDOM: bool = true;

    fn inputs(parameters: &SplitParameters) -> Inputs {
        let any = PortType::Table(TableType::any());
        let splits = Contract::named("Splits").map_or_else(TableType::any, TableType::of);
        Inputs {
            ports: vec![
                InputPort::one("samples", any, "the samples, with their groups and labels")
                    .reading(parameters.asked().map(|(_, name, _)| name)),
                InputPort::one("previous", PortType::Table(splits), "folds that stay as they are")
                    .with_arity(Arity::Optional)
                    .reading(["fold"]),
            ],
            open: false,
        }
    }

    fn outputs(parameters: &SplitParameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        parameters.fits(&wired_table(wired, "samples"))?;
        let mut splits = Contract::named("Splits").map_or_else(TableType::any, TableType::of);
        splits.open = false;
        Ok(vec![
            OutputPort::new("splits", PortType::Table(splits), "the fold of each sample"),
            OutputPort::new(
                "summary",
                PortType::Table(summary_type()),
                "how many samples of each label each fold got, and should have",
            ),
        ])
    }

    fn check(parameters: &SplitParameters) -> Vec<Problem> {
        let mut problems = Vec::new();
        let total: f64 = parameters.shares.values().sum();
        for (name, share) in &parameters.shares {
            if !(0.0..=1.0).contains(share) {
                problems.push(Problem::new(format!("shares.{name}"), "must lie between 0 and 1"));
            }
            if name.trim().is_empty() {
                problems.push(Problem::new("shares", "a fold needs a name"));
            }
        }
        let clash = (1..=parameters.folds.unwrap_or(0)).map(|number| format!("fold-{number}"));
        for name in clash.filter(|name| parameters.shares.contains_key(name)) {
            let message = "`folds` makes a fold of that name, too";
            problems.push(Problem::new(format!("shares.{name}"), message));
        }
        match parameters.folds {
            None if parameters.shares.is_empty() => {
                let problem = Problem::new(
                    "shares",
                    "`shares` or `folds` is missing: into what is to be split?",
                );
                problems.push(problem.with_help(
                    "write `shares: {train: 0.7, valid: 0.15, test: 0.15}`, or `folds: 5` for cross-validation",
                ));
            }
            None if (total - 1.0).abs() > ROUNDING => {
                let problem = Problem::new("shares", format!("they add up to {total}, not to 1"));
                problems.push(problem.with_help("or write `folds: 5` to cut the rest into folds"));
            }
            Some(_) if total > 1.0 - ROUNDING => {
                let message = format!("they add up to {total}, which leaves nothing for `folds`");
                problems.push(Problem::new("shares", message));
            }
            Some(folds) if !(2..=1000).contains(&folds) => {
                problems.push(Problem::new("folds", "must be 2 to 1000"));
            }
            _ => {}
        }
        for (name, column, _) in parameters.asked() {
            if column == SAMPLE_ID {
                problems.push(Problem::new(name, "every sample is one of its own by its id"));
            }
        }
        problems
    }

    fn run(parameters: &SplitParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let gathered = gather(parameters, context)?;
        let wanted = parameters.wanted();
        let folds = assign(&gathered, &wanted, parameters.exact, context)?;
        write_splits(&gathered, &folds, &wanted, context)?;
        let summary = Summary::of(&gathered, &folds, &wanted);
        summary.tell(context);
        summary.write(context)
    }
}

/// How many rows a batch has.
const BATCH: usize = 65_536;

fn write_splits(
    gathered: &Gathered,
    folds: &[usize],
    wanted: &[Fold],
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let schema = Contract::named("Splits")
        .map_or_else(TableType::any, TableType::of)
        .schema();
    let mut out = context.write_table("splits", schema.clone())?;
    for rows in gathered.samples.chunks(BATCH) {
        if context.cancelled() {
            return Err(StageError::cancelled());
        }
        let ids: Vec<SampleId> = rows.iter().map(|sample| sample.id).collect();
        let names = rows
            .iter()
            .map(|sample| Some(wanted[folds[sample.group as usize]].name.as_str()));
        let columns: Vec<ArrayRef> = vec![sample_ids(&ids), Arc::new(names.collect::<StringArray>())];
        out.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
    }
    out.finish()
}

fn summary_type() -> TableType {
    TableType::exactly([
        Column::new("fold", ColumnType::Text),
        Column::nullable("label", ColumnType::Text),
        Column::new("samples", ColumnType::Integer),
        Column::new("groups", ColumnType::Integer),
        Column::new("share", ColumnType::Float64),
        Column::new("wanted_share", ColumnType::Float64),
    ])
}

/// Samples and groups by fold and label. A group counts under its own label here, a sample under
/// its sample's.
struct Summary<'a> {
    gathered: &'a Gathered,
    wanted: &'a [Fold],
    /// By fold, then by label: samples, groups.
    counts: Vec<Vec<(i64, i64)>>,
}

impl<'a> Summary<'a> {
    fn of(gathered: &'a Gathered, folds: &[usize], wanted: &'a [Fold]) -> Summary<'a> {
        let mut counts = vec![vec![(0, 0); gathered.labels.len()]; wanted.len()];
        for sample in &gathered.samples {
            counts[folds[sample.group as usize]][sample.label as usize].0 += 1;
        }
        for (group, fold) in gathered.groups.iter().zip(folds) {
            counts[*fold][group.label as usize].1 += 1;
        }
        Summary {
            gathered,
            wanted,
            counts,
        }
    }

    fn of_label(&self, label: usize) -> i64 {
        self.counts.iter().map(|fold| fold[label].0).sum()
    }

    /// Logs what a person should know: folds that lack a label which they should have.
    fn tell(&self, context: &mut dyn StageContext) {
        for (fold, counts) in self.wanted.iter().zip(&self.counts) {
            let samples: i64 = counts.iter().map(|(samples, _)| samples).sum();
            context.metric(&format!("samples_{}", fold.name), samples as f64);
            for (label, (samples, _)) in counts.iter().enumerate() {
                let all = self.of_label(label);
                if *samples == 0 && all as f64 * fold.share >= 1.0 {
                    let name = self.gathered.labels[label].as_deref().unwrap_or("no label");
                    let fold = &fold.name;
                    context.log(&format!(
                        "`{fold}` got none of the {all} samples with `{name}`: `exact: true` shares them out"
                    ));
                }
            }
        }
    }

    fn write(&self, context: &mut dyn StageContext) -> Result<(), StageError> {
        let mut ids = Vec::new();
        let (mut folds, mut labels) = (Vec::new(), Vec::new());
        let (mut samples, mut groups) = (Vec::new(), Vec::new());
        let (mut shares, mut wanted) = (Vec::new(), Vec::new());
        for (fold, counts) in self.wanted.iter().zip(&self.counts) {
            for (label, (of_samples, of_groups)) in counts.iter().enumerate() {
                let name = self.gathered.labels[label].as_deref();
                let key = format!("{}\u{0}{}", fold.name, name.unwrap_or("\u{0}missing"));
                ids.push(SampleId::of_key(&key));
                folds.push(Some(fold.name.as_str()));
                labels.push(name);
                samples.push(*of_samples);
                groups.push(*of_groups);
                shares.push(*of_samples as f64 / self.of_label(label).max(1) as f64);
                wanted.push(fold.share);
            }
        }
        let columns: Vec<ArrayRef> = vec![
            sample_ids(&ids),
            Arc::new(StringArray::from(folds)),
            Arc::new(StringArray::from(labels)),
            Arc::new(Int64Array::from(samples)),
            Arc::new(Int64Array::from(groups)),
            Arc::new(Float64Array::from(shares)),
            Arc::new(Float64Array::from(wanted)),
        ];
        let schema = summary_type().schema();
        let mut out = context.write_table("summary", schema.clone())?;
        out.write(&RecordBatch::try_new(schema, columns)?)?;
        out.finish()
    }
}
