//! [`Gap`]: how much of the way from one group's scores to another's the other groups go, such as
//! from clean labels alone to all labels true. Must not know how figures are worked out.
//!
//! Only scores have shares: the figures that groups are held against each other in sample by sample
//! ([`COMPARED`](dermflow_stages::paired::COMPARED)), of all samples and classes together. A share of
//! a gap between counts, times or other figures of work means nothing.
//!
//! Both ends and the group between are judged on the samples that all three judge by their own folds
//! and true labels, and whose class all of their models know or none. They are drawn again together:
//! each draw of samples, and of seeds, is the same for all three, and the same as for differences
//! where these are of the same samples.

mod ends;
mod shares;
#[cfg(test)]
mod tests;

use dermflow_core::StageError;
use dermflow_stages::paired::drawn;
use dermflow_store::Store;
use serde::Serialize;

pub(crate) use ends::ends;
pub use shares::Share;

use crate::Asked;
use crate::groups::Group;
use crate::paired::{evaluating, read};
use crate::pairs::{Matched, matched};
use crate::sides::Side;

/// How much of a gap each group closes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gap {
    /// The place of the group that the gap starts from.
    pub low: usize,
    /// The place of the group that it ends at.
    pub high: usize,
    /// One for each stage of kind `evaluate` that both have, and another group too.
    pub stages: Vec<GapShares>,
}

/// How much of a gap each group closes, as one stage evaluates it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GapShares {
    /// The stage of kind `evaluate`.
    pub stage: String,
    /// One for each group besides the two ends that has the stage.
    pub groups: Vec<Closed>,
}

/// How much of a gap one group closes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Closed {
    /// The group's place in the comparison.
    pub group: usize,
    /// The seeds that all three have; one without a seed where they have none in common.
    pub seeds: Vec<Option<u64>>,
    /// How many samples all three judged, of the first seed.
    pub samples: u64,
    /// Score by score.
    pub shares: Vec<Share>,
}

/// The shares of every group between the two ends, whose places are given. What can't be compared
/// becomes a note.
pub(crate) fn gather(
    store: &Store,
    sides: &[Side],
    groups: &[Group],
    (low, high): (usize, usize),
    asked: &Asked,
    notes: &mut Vec<String>,
) -> Gap {
    let of_low = groups[low].members.first().map(|member| &sides[member.side]);
    let mut stages = Vec::new();
    for stage in of_low.into_iter().flat_map(evaluating) {
        let mut closed = Vec::new();
        for (place, group) in groups.iter().enumerate() {
            if place == low || place == high {
                continue;
            }
            let ends = [&groups[low], &groups[high]];
            match of_group(store, sides, ends, (place, group), stage, asked) {
                Ok((found, remarks)) => {
                    let label = &group.label;
                    let told = remarks
                        .iter()
                        .map(|remark| format!("the gap that `{label}` closes at `{stage}`: {remark}"));
                    notes.extend(told);
                    closed.push(found);
                }
                Err(error) => notes.push(format!(
                    "the gap that `{}` closes at `{stage}`: {}",
                    group.label, error.message
                )),
            }
        }
        if !closed.is_empty() {
            stages.push(GapShares {
                stage: stage.clone(),
                groups: closed,
            });
        }
    }
    Gap { low, high, stages }
}

/// The shares of the group in this place, and what is to be remarked on them.
fn of_group(
    store: &Store,
    sides: &[Side],
    [low, high]: [&Group; 2],
    (place, group): (usize, &Group),
    stage: &str,
    asked: &Asked,
) -> Result<(Closed, Vec<String>), StageError> {
    let trios: Vec<Matched<3>> = matched(sides, [low, high, group], stage);
    if trios.is_empty() {
        return Err(StageError::new(format!(
            "`{}`, `{}` and `{}` don't all have this stage",
            low.label, high.label, group.label
        )));
    }
    let side = |at: usize| {
        let (_, record) = &sides[at].stages[stage];
        read(store, record)
    };
    let judged: Vec<[dermflow_stages::paired::Side; 3]> = trios
        .iter()
        .map(|trio| {
            let [low, high, own] = trio.sides;
            Ok([side(low)?, side(high)?, side(own)?])
        })
        .collect::<Result<_, StageError>>()?;
    let drawn = drawn(&judged, &asked.bootstrap, asked.seed, asked.threads)?;
    let shares = shares::of(&drawn, asked.bootstrap.level, [&low.label, &high.label]);
    let closed = Closed {
        group: place,
        seeds: trios.iter().map(|trio| trio.seed).collect(),
        samples: drawn.samples,
        shares,
    };
    Ok((closed, drawn.remarks))
}
