//! [`StepsToScore`]: how soon each group's training reaches what the baseline's reached in the end,
//! read from the `History` tables that training kinds write. Must not know how a training works.
//!
//! Each training is measured by itself, on what it validates on: where that differs, so may what a
//! score is worth. Tables are read twice, a batch at a time and only the columns that count, so
//! histories of any length take little memory.

#[cfg(test)]
mod tests;

use arrow::array::{Array, AsArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{ArrowPrimitiveType, Float64Type, Int64Type};
use dermflow_core::{Artifact, Column, ColumnType, Contract, StageError, TableManifest, TableType};
use dermflow_stages::paired::lower_is_better;
use dermflow_store::{Store, TableReader};
use serde::Serialize;

use crate::groups::Group;
use crate::pairs::pairs;
use crate::sides::Side;

/// What the names of figures begin with that are measured on samples that are not learned from.
const VALIDATION: &str = "valid_";

/// When each group's training first has the baseline's last score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepsToScore {
    /// The stage that trains.
    pub stage: String,
    /// The column of its history that holds the score.
    pub measure: String,
    /// What each group has, in their order, the baseline among them; none where it has no such
    /// stage or score, or the baseline's own training.
    pub groups: Vec<Option<Reached>>,
}

/// When the trainings of one group first have the baseline's last score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reached {
    /// The last score of the baseline, the mean over the pairs; each pair has its own to reach.
    pub score: f64,
    /// All steps of the baseline, the mean over the pairs.
    pub baseline_steps: f64,
    /// The seeds of the pairs; one pair without a seed where the groups have none in common.
    pub seeds: Vec<Option<u64>>,
    /// When the group's side of each pair first has the score; none for never.
    pub first: Vec<Option<ReachedAt>>,
    /// After how many steps, the mean over the pairs in which it is reached; none for never.
    pub steps: Option<f64>,
    /// After how many epochs, the mean over the same pairs.
    pub epochs: Option<f64>,
    /// These steps divided by all steps of the baseline, over the same pairs.
    pub ratio: Option<f64>,
}

/// A place in a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ReachedAt {
    /// How many times the weights were changed before.
    pub step: u64,
    /// The epoch, counted from 1.
    pub epoch: u64,
}

/// Every stage of the baseline that writes a history with scores, where another group's is not the
/// same. A history that can't be read becomes a note.
pub(crate) fn gather(
    store: &Store,
    sides: &[Side],
    groups: &[Group],
    notes: &mut Vec<String>,
) -> Vec<StepsToScore> {
    let [baseline, _other, ..] = groups else {
        return Vec::new();
    };
    let Some(first) = baseline.members.first().map(|member| &sides[member.side]) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for stage in first.stages.keys() {
        let measures = history(first, stage).map(measures).unwrap_or_default();
        if measures.is_empty() {
            continue;
        }
        let mut found: Vec<Vec<Option<Reached>>> = Vec::new();
        for (place, group) in groups.iter().enumerate() {
            let trainings = trainings(sides, baseline, group, stage);
            // Of a training that both share there is nothing to tell.
            let shared = place > 0 && trainings.iter().all(Training::is_shared);
            let of_group = match shared {
                true => Ok(vec![None; measures.len()]),
                false => reached(store, &trainings, &measures),
            };
            found.push(of_group.unwrap_or_else(|error| {
                notes.push(format!(
                    "the steps of `{}` at `{stage}`: {}",
                    group.label, error.message
                ));
                vec![None; measures.len()]
            }));
        }
        for (place, measure) in measures.into_iter().enumerate() {
            let groups: Vec<Option<Reached>> = found.iter().map(|of_group| of_group[place].clone()).collect();
            if groups.iter().skip(1).any(Option::is_some) {
                all.push(StepsToScore {
                    stage: stage.clone(),
                    measure,
                    groups,
                });
            }
        }
    }
    all
}

/// The histories of a pair.
struct Training<'a> {
    seed: Option<u64>,
    baseline: &'a TableManifest,
    own: &'a TableManifest,
}

impl Training<'_> {
    /// Whether both have the same history.
    fn is_shared(&self) -> bool {
        self.baseline.columns == self.own.columns && self.baseline.digests == self.own.digests
    }
}

/// The pairs of which both have a history.
fn trainings<'a>(sides: &'a [Side], baseline: &Group, group: &Group, stage: &str) -> Vec<Training<'a>> {
    let pairs = pairs(sides, baseline, group, stage).into_iter();
    pairs
        .filter_map(|pair| {
            let [first, second] = pair.sides;
            Some(Training {
                seed: pair.seed,
                baseline: history(&sides[first], stage)?,
                own: history(&sides[second], stage)?,
            })
        })
        .collect()
}

/// The first output of a stage that is a history.
fn history<'a>(side: &'a Side, stage: &str) -> Option<&'a TableManifest> {
    let wanted = Contract::named("History").map(TableType::of)?;
    let (_, record) = side.stages.get(stage)?;
    record.outputs.values().find_map(|artifact| match artifact {
        Artifact::Table(table) if wanted.accepts(&table.table_type()).is_ok() => Some(table),
        _ => None,
    })
}

/// The scores that a history holds, in order of its columns.
fn measures(table: &TableManifest) -> Vec<String> {
    let columns = table.columns.iter().filter(|column| is_measure(column));
    columns.map(|column| column.name.clone()).collect()
}

fn is_measure(column: &Column) -> bool {
    column.name.starts_with(VALIDATION) && column.column_type == ColumnType::Float64
}

/// Whether a score is better where it is lower, told by its name: losses, entropies, errors, and the
/// figures of `evaluate` that are.
fn is_better_lower(measure: &str) -> bool {
    let name = measure.strip_prefix(VALIDATION).unwrap_or(measure);
    let known = ["loss", "entropy", "error"];
    known.iter().any(|end| name.ends_with(end)) || lower_is_better(&name.replace('_', "-"))
}

/// One pair and one score that both have.
struct Met {
    seed: Option<u64>,
    score: f64,
    baseline_steps: u64,
    first: Option<ReachedAt>,
}

/// For each measure, when the pairs reach it; none where no pair has it.
fn reached(
    store: &Store,
    trainings: &[Training<'_>],
    measures: &[String],
) -> Result<Vec<Option<Reached>>, StageError> {
    let mut met: Vec<Vec<Met>> = measures.iter().map(|_| Vec::new()).collect();
    for training in trainings {
        let end = end(store, training.baseline, measures)?;
        let scores: Vec<Option<f64>> = end
            .scores
            .iter()
            .map(|last| last.map(|(_, score)| score))
            .collect();
        let looked = look(store, training.own, measures, &scores)?;
        for ((met, score), looked) in met.iter_mut().zip(scores).zip(looked) {
            if let Some(score) = score
                && looked.is_measured
            {
                met.push(Met {
                    seed: training.seed,
                    score,
                    baseline_steps: end.steps,
                    first: looked.first,
                });
            }
        }
    }
    Ok(met.iter().map(|met| summed(met)).collect())
}

fn summed(met: &[Met]) -> Option<Reached> {
    let reaching = || met.iter().filter_map(|one| Some((one, one.first?)));
    let steps = mean(reaching().map(|(_, at)| at.step as f64));
    let of_baseline = mean(reaching().map(|(one, _)| one.baseline_steps as f64));
    let ratio = steps.zip(of_baseline).map(|(steps, all)| steps / all);
    Some(Reached {
        score: mean(met.iter().map(|one| one.score))?,
        baseline_steps: mean(met.iter().map(|one| one.baseline_steps as f64))?,
        seeds: met.iter().map(|one| one.seed).collect(),
        first: met.iter().map(|one| one.first).collect(),
        steps,
        epochs: mean(reaching().map(|(_, at)| at.epoch as f64)),
        ratio: ratio.filter(|ratio| ratio.is_finite()),
    })
}

/// None of no values.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value;
        count += 1.0;
    }
    (count > 0.0).then(|| sum / count)
}

/// How a training ended.
struct End {
    /// All its steps.
    steps: u64,
    /// For each measure the last score that was measured, and when.
    scores: Vec<Option<(ReachedAt, f64)>>,
}

fn end(store: &Store, table: &TableManifest, measures: &[String]) -> Result<End, StageError> {
    let mut end = End {
        steps: 0,
        scores: vec![None; measures.len()],
    };
    for_each_epoch(store, table, measures, &mut |at, scores| {
        end.steps = end.steps.max(at.step);
        for (last, score) in end.scores.iter_mut().zip(scores) {
            if let Some(score) = score
                && last.is_none_or(|(known, _)| known <= at)
            {
                *last = Some((at, *score));
            }
        }
    })?;
    Ok(end)
}

/// What looking for a score gave.
#[derive(Clone, Copy)]
struct Looked {
    /// Whether the training measured it at all.
    is_measured: bool,
    /// When it was first as good as wanted.
    first: Option<ReachedAt>,
}

fn look(
    store: &Store,
    table: &TableManifest,
    measures: &[String],
    wanted: &[Option<f64>],
) -> Result<Vec<Looked>, StageError> {
    let nothing = Looked {
        is_measured: false,
        first: None,
    };
    let mut all = vec![nothing; measures.len()];
    for_each_epoch(store, table, measures, &mut |at, scores| {
        let of_measures = all.iter_mut().zip(measures).zip(scores).zip(wanted);
        for (((looked, measure), score), wanted) in of_measures {
            let (Some(score), Some(wanted)) = (score, wanted) else {
                continue;
            };
            looked.is_measured = true;
            let reaches = match is_better_lower(measure) {
                true => score <= wanted,
                false => score >= wanted,
            };
            if reaches && looked.first.is_none_or(|known| at < known) {
                looked.first = Some(at);
            }
        }
    })?;
    Ok(all)
}

/// Hands over every epoch of a history with its scores, one for each measure; none where it was not
/// measured. They come in no particular order.
fn for_each_epoch(
    store: &Store,
    table: &TableManifest,
    measures: &[String],
    take: &mut dyn FnMut(ReachedAt, &[Option<f64>]),
) -> Result<(), StageError> {
    let has = |measure: &String| {
        let mut columns = table.columns.iter();
        columns.any(|column| column.name == *measure && is_measure(column))
    };
    let held = measures.iter().filter(|measure| has(measure)).cloned();
    let wanted: Vec<String> = ["epoch", "step"]
        .map(str::to_string)
        .into_iter()
        .chain(held)
        .collect();
    for batch in TableReader::open(store, table, Some(&wanted))? {
        let batch = batch?;
        let epochs = column::<Int64Type>(&batch, "epoch")?;
        let steps = column::<Int64Type>(&batch, "step")?;
        let scores: Vec<Option<&PrimitiveArray<Float64Type>>> = measures
            .iter()
            .map(|measure| match has(measure) {
                true => column::<Float64Type>(&batch, measure).map(Some),
                false => Ok(None),
            })
            .collect::<Result<_, StageError>>()?;
        for row in 0..batch.num_rows() {
            let (Ok(epoch), Ok(step)) = (u64::try_from(epochs.value(row)), u64::try_from(steps.value(row)))
            else {
                continue;
            };
            let measured: Vec<Option<f64>> = scores
                .iter()
                .map(|scores| {
                    let valid = scores.filter(|scores| scores.is_valid(row));
                    valid
                        .map(|scores| scores.value(row))
                        .filter(|score| score.is_finite())
                })
                .collect();
            take(ReachedAt { step, epoch }, &measured);
        }
    }
    Ok(())
}

fn column<'a, T: ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a PrimitiveArray<T>, StageError> {
    let column = batch.column_by_name(name);
    column
        .and_then(|column| column.as_primitive_opt::<T>())
        .ok_or_else(|| StageError::new(format!("a history has no proper column `{name}`")))
}
