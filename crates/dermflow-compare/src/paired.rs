//! [`PairedDifferences`]: every group against the baseline, on the same samples. Finds what
//! `evaluate` was wired to in the records. Must not know how differences are worked out.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use dermflow_core::{Artifact, ColumnType, Record, StageError};
use dermflow_stages::paired::{Compared, compared};
use dermflow_store::{Store, TableReader};
use serde::Serialize;

use crate::Asked;
use crate::groups::Group;
use crate::pairs::{Pair, pairs};
use crate::sides::Side;

/// The kind whose inputs are compared.
const EVALUATE: &str = "evaluate";

/// All groups against the baseline, as one stage evaluates them.
#[derive(Clone, Debug, Serialize)]
pub struct PairedDifferences {
    /// The stage of kind `evaluate`.
    pub stage: String,
    /// One for each further group that has the stage.
    pub groups: Vec<Apart>,
}

/// A group against the baseline.
#[derive(Clone, Debug, Serialize)]
pub struct Apart {
    /// The group's place in the comparison.
    pub group: usize,
    /// The seeds of the pairs; one pair without a seed where the groups have none in common.
    pub seeds: Vec<Option<u64>>,
    /// The differences, the group's less the baseline's.
    pub found: Compared,
    /// For each difference its `p` with Holm's correction (Holm 1979) for the number of groups that
    /// are held against the baseline.
    pub holm: Vec<Option<f64>>,
}

/// Every stage of kind `evaluate` of the baseline.
///
/// # Errors
/// Where a table can't be read. What can't be compared becomes a note.
pub(crate) fn gather(
    store: &Store,
    sides: &[Side],
    groups: &[Group],
    asked: &Asked,
    notes: &mut Vec<String>,
) -> Result<Vec<PairedDifferences>, StageError> {
    let baseline = &sides[groups[0].members[0].side];
    let stages: Vec<&String> = evaluating(baseline).collect();
    if stages.is_empty() {
        notes.push(
            "the baseline has no stage of kind `evaluate`, so nothing is compared sample by sample"
                .to_string(),
        );
    }
    let mut all = Vec::new();
    for stage in stages {
        let mut apart = Vec::new();
        for (place, group) in groups.iter().enumerate().skip(1) {
            let pairs = pairs(sides, &groups[0], group, stage);
            if pairs.is_empty() {
                notes.push(format!("`{}` has no stage `{stage}` to compare", group.label));
                continue;
            }
            match against(store, sides, stage, &pairs, asked) {
                Ok(found) => {
                    let remarks = found.remarks.iter();
                    notes.extend(remarks.map(|remark| format!("`{}` at `{stage}`: {remark}", group.label)));
                    apart.push(Apart {
                        group: place,
                        seeds: pairs.iter().map(|pair| pair.seed).collect(),
                        holm: vec![None; found.differences.len()],
                        found,
                    });
                }
                Err(error) => notes.push(format!("`{}` at `{stage}`: {}", group.label, error.message)),
            }
        }
        correct(&mut apart);
        all.push(PairedDifferences {
            stage: stage.clone(),
            groups: apart,
        });
    }
    Ok(all)
}

/// The stages of a side that are of kind `evaluate`.
pub(crate) fn evaluating(side: &Side) -> impl Iterator<Item = &String> {
    let stages = side.stages.iter();
    stages
        .filter(|(_, (_, record))| record.manifest.kind == EVALUATE)
        .map(|(stage, _)| stage)
}

fn against(
    store: &Store,
    sides: &[Side],
    stage: &str,
    pairs: &[Pair],
    asked: &Asked,
) -> Result<Compared, StageError> {
    let side = |at: usize| {
        let (_, record) = &sides[at].stages[stage];
        read(store, record)
    };
    let read: Vec<[dermflow_stages::paired::Side; 2]> = pairs
        .iter()
        .map(|pair| Ok([side(pair.sides[0])?, side(pair.sides[1])?]))
        .collect::<Result<_, StageError>>()?;
    compared(&read, &asked.bootstrap, asked.seed, asked.threads)
}

/// What an action of `evaluate` was wired to.
pub(crate) fn read(store: &Store, record: &Record) -> Result<dermflow_stages::paired::Side, StageError> {
    let mut tables: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
    for (port, all) in &record.ancestry {
        let Some(ancestor) = all.first() else { continue };
        let gone = || {
            StageError::new(format!("what was wired to `{port}` is gone from the store"))
                .with_help("run the pipeline again, and compare then")
        };
        let action = ancestor.action.ok_or_else(gone)?;
        let maker = store.get_record(&action)?.ok_or_else(gone)?;
        let Some(Artifact::Table(table)) = maker.outputs.get(&ancestor.port) else {
            return Err(gone());
        };
        // Attributes may come with pixels or maps, which no one reads here.
        let wanted: Vec<String> = table
            .columns
            .iter()
            .filter(|column| column.column_type != ColumnType::Binary)
            .map(|column| column.name.clone())
            .collect();
        let batches = TableReader::open(store, table, Some(&wanted))?;
        let batches: Vec<RecordBatch> = batches.collect::<Result<_, _>>()?;
        tables.insert(port.clone(), batches);
    }
    Ok(dermflow_stages::paired::Side {
        parameters: record.manifest.parameters.clone(),
        tables,
    })
}

/// Holm's correction, figure by figure.
fn correct(apart: &mut [Apart]) {
    let mut figures: Vec<String> = apart
        .iter()
        .flat_map(|one| {
            one.found
                .differences
                .iter()
                .map(|difference| difference.name.clone())
        })
        .collect();
    figures.sort();
    figures.dedup();
    for figure in figures {
        let mut all: Vec<(usize, usize, f64)> = Vec::new();
        for (group, one) in apart.iter().enumerate() {
            let differences = one.found.differences.iter().enumerate();
            all.extend(
                differences
                    .filter(|(_, difference)| difference.name == figure)
                    .filter_map(|(place, difference)| Some((group, place, difference.p?))),
            );
        }
        let values: Vec<f64> = all.iter().map(|(.., p)| *p).collect();
        for ((group, place, _), corrected) in all.iter().zip(holm(&values)) {
            apart[*group].holm[*place] = Some(corrected);
        }
    }
}

/// The smallest value times their number, the next times one less, …, never falling.
fn holm(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|left, right| values[*left].total_cmp(&values[*right]));
    let mut corrected = vec![0.0; values.len()];
    let mut highest = 0.0_f64;
    for (rank, at) in order.into_iter().enumerate() {
        highest = highest.max((values[at] * (values.len() - rank) as f64).min(1.0));
        corrected[at] = highest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holms_correction_is_the_published_one() {
        // R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm").
        let found = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, wanted) in found.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - wanted).abs() < 1e-12, "{found} {wanted}");
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
