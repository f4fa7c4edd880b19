//! How far two classifiers are apart on the same samples: each figure's difference with its
//! bootstrap interval, the same draw of samples (or of patients) counting for both. With several
//! pairs, such as one a seed, also over those.
//!
//! What is judged, and how, is read as `evaluate` reads it. A sample counts where every side judges
//! it by its own fold and true labels, all hold the same label for true, and its class is known to
//! all of their models or to none. Must not know where tables come from.

mod common;
mod drawn;
mod ready;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use dermflow_core::StageError;
use dermflow_core::canonical::Value;
use dermflow_core::memory::MemoryContext;
use serde::Serialize;

use super::subset::Subset;
use crate::bootstrap::{Bootstrap, Resampling, in_parallel};
use crate::sliced::Part;
use common::{Common, LeftOut};
use ready::{Ready, context, ids, kept, parameters, table};

pub use crate::bootstrap::interval;
pub use drawn::{Drawn, drawn};

/// The figures that are compared, where both sides have them.
pub const COMPARED: [&str; 11] = [
    "accuracy",
    "balanced-accuracy",
    "macro-f1",
    "macro-auroc",
    "macro-average-precision",
    "log-loss",
    "brier",
    "expected-calibration-error",
    "area-under-risk-coverage",
    "unseen-auroc-by-probability",
    "unseen-auroc-by-energy",
];

/// Whether a figure is better where it is lower.
pub fn lower_is_better(name: &str) -> bool {
    matches!(
        name,
        "log-loss" | "brier" | "expected-calibration-error" | "area-under-risk-coverage"
    )
}

/// An action of `evaluate`: its parameters, and the tables wired to its ports.
#[derive(Clone, Debug)]
pub struct Side {
    /// As the action's manifest has them.
    pub parameters: Value,
    /// `predictions` and `truth`, and where they are wired `classes`, `attributes` and `splits`.
    pub tables: BTreeMap<String, Vec<RecordBatch>>,
}

/// One figure of both, and how far they are apart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The figure: `balanced-accuracy`.
    pub name: String,
    /// The first side's, the mean over pairs.
    pub first: f64,
    /// The second side's, the mean over pairs.
    pub second: f64,
    /// The second's less the first's.
    pub difference: f64,
    /// Its interval over samples.
    pub over_samples: Option<(f64, f64)>,
    /// Its interval over samples and pairs; none for one pair.
    pub over_pairs: Option<(f64, f64)>,
    /// How likely so large a difference would be if there were none, both directions counted: of
    /// the widest interval that there is.
    pub p: Option<f64>,
}

/// What comparing gave.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// How many samples both sides judged, and are compared on, of the first pair.
    pub samples: u64,
    /// How many pairs.
    pub pairs: u64,
    /// Which samples were left out, and what can't be told, each with the reason; of all pairs.
    pub remarks: Vec<String>,
    /// Every figure that both have.
    pub differences: Vec<Difference>,
    /// Samples of the first pair that only the first side has right, and only the second.
    pub only_one_right: [u64; 2],
    /// McNemar's exact test on these (McNemar 1947): how likely so uneven a split is by chance.
    pub mcnemar: f64,
}

/// Sides of one seed on the samples that they are compared on, ready.
struct Together<const N: usize> {
    sides: [Subset; N],
    groups: u32,
    /// How many groups the samples are of.
    groups_judged: usize,
    samples: u64,
    left_out: LeftOut,
    /// For each side, which of the samples it has right.
    right: Vec<Vec<bool>>,
}

/// Compares the second side of each pair with the first, on the samples that both judge (see the
/// module); the first side's groups count for both.
///
/// There are no intervals where all samples of a pair are of one group.
///
/// # Errors
/// Where tables don't fit their parameters, or no sample is left to compare on.
pub fn compared(
    pairs: &[[Side; 2]],
    bootstrap: &Bootstrap,
    seed: u64,
    threads: usize,
) -> Result<Compared, StageError> {
    let ready: Vec<Together<2>> = pairs.iter().map(together).collect::<Result<_, _>>()?;
    let (first, context) = prepared(&ready, threads)?;
    let values: Vec<[Figures; 2]> = ready.iter().map(whole).collect();
    let even = vec![1; ready.len()];
    let of_pairs = of_pairs(seed, ready.len());
    let resampled = in_parallel(resamples(&ready, bootstrap), &context, |number| {
        let drawn = draw(&ready, seed, number);
        Ok([
            differences(&drawn, &even),
            differences(&drawn, &of_pairs.counts(number)),
        ])
    })?;
    let apart = differences(&values, &even);
    let mut told = Vec::new();
    for (place, name) in COMPARED.iter().enumerate() {
        let Some(difference) = apart[place] else { continue };
        let mean = |side: usize| {
            let all: Vec<f64> = values.iter().filter_map(|pair| pair[side][place]).collect();
            all.iter().sum::<f64>() / all.len().max(1) as f64
        };
        let of = |which: usize| resampled.iter().map(move |both| both[which][place]);
        let widest = usize::from(ready.len() > 1);
        told.push(Difference {
            name: (*name).to_string(),
            first: mean(0),
            second: mean(1),
            difference,
            over_samples: interval(of(0), bootstrap.level),
            over_pairs: match ready.len() {
                0 | 1 => None,
                _ => interval(of(1), bootstrap.level),
            },
            p: p_value(of(widest).flatten()),
        });
    }
    let only_one_right = only_one_right(&first.right);
    Ok(Compared {
        samples: first.samples,
        pairs: ready.len() as u64,
        remarks: remarks(&ready, bootstrap),
        differences: told,
        only_one_right,
        mcnemar: mcnemar(only_one_right),
    })
}

/// The first of what is compared, and a context with so many threads.
fn prepared<const N: usize>(
    ready: &[Together<N>],
    threads: usize,
) -> Result<(&Together<N>, MemoryContext), StageError> {
    let first = ready
        .first()
        .ok_or_else(|| StageError::new("there is nothing to compare"))?;
    let mut context = MemoryContext::default();
    context.threads = threads.max(1);
    Ok((first, context))
}

/// How often samples are drawn again: never where some seed's are of fewer than two groups, whose
/// draws would all be the same and their interval of no width.
fn resamples<const N: usize>(ready: &[Together<N>], bootstrap: &Bootstrap) -> u64 {
    match ready.iter().all(|one| one.groups_judged > 1) {
        true => bootstrap.resamples,
        false => 0,
    }
}

/// What was left out of all seeds together, and why there are no intervals where there are none.
fn remarks<const N: usize>(ready: &[Together<N>], bootstrap: &Bootstrap) -> Vec<String> {
    let left_out = ready
        .iter()
        .fold(LeftOut::default(), |sum, one| sum.and(one.left_out));
    let mut remarks = left_out.remarks();
    if ready.len() > 1 {
        remarks
            .iter_mut()
            .for_each(|remark| remark.push_str(&format!(", over all {} seeds", ready.len())));
    }
    if bootstrap.resamples > 0 && resamples(ready, bootstrap) == 0 {
        remarks.push("there are no intervals, because all samples are of one group".to_string());
    }
    remarks
}

/// A value for each of [`COMPARED`].
pub type Figures = [Option<f64>; COMPARED.len()];

/// Draws of pairs, which are other draws than those of samples.
fn of_pairs(seed: u64, pairs: usize) -> Resampling {
    Resampling::new(seed ^ 0x7061_6972, pairs as u32)
}

/// Resample number `number` of every seed.
fn draw<const N: usize>(ready: &[Together<N>], seed: u64, number: u64) -> Vec<[Figures; N]> {
    let of_one = |one: &Together<N>| figures(one, &Resampling::new(seed, one.groups).counts(number));
    ready.iter().map(of_one).collect()
}

/// Every sample once.
fn whole<const N: usize>(together: &Together<N>) -> [Figures; N] {
    figures(together, &vec![1; together.groups as usize])
}

fn figures<const N: usize>(together: &Together<N>, groups: &[u32]) -> [Figures; N] {
    std::array::from_fn(|side| {
        let mut found: Figures = [None; COMPARED.len()];
        together.sides[side].figures(groups, &mut |name, class, _, value| {
            if class.is_none()
                && let Some(place) = COMPARED.iter().position(|known| *known == name)
            {
                found[place] = value;
            }
        });
        found
    })
}

/// The mean difference of each figure over the pairs, each counted so often.
fn differences(pairs: &[[Figures; 2]], counts: &[u32]) -> Figures {
    std::array::from_fn(|place| {
        let (mut sum, mut all) = (0.0, 0.0);
        for ([first, second], count) in pairs.iter().zip(counts).filter(|(_, count)| **count > 0) {
            sum += f64::from(*count) * (second[place]? - first[place]?);
            all += f64::from(*count);
        }
        (all > 0.0).then(|| sum / all)
    })
}

/// Twice the share of resamples on the rarer side of zero (one added to both counts, so that it
/// is never zero; Davison and Hinkley 1997).
fn p_value(differences: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut below, mut above, mut all) = (1.0, 1.0, 1.0);
    for difference in differences {
        all += 1.0;
        below += f64::from(u8::from(difference <= 0.0));
        above += f64::from(u8::from(difference >= 0.0));
    }
    (all > 1.0).then(|| f64::min(1.0, 2.0 * f64::min(below, above) / all))
}

/// The chance of a split at least so uneven of fair coins, both directions counted.
fn mcnemar([first, second]: [u64; 2]) -> f64 {
    let all = first + second;
    // Logarithms of binomial coefficients, so that thousands of samples don't overflow.
    let choose = |of: u64| {
        let log_factorial = |number: u64| libm::lgamma(number as f64 + 1.0);
        log_factorial(all) - log_factorial(of) - log_factorial(all - of)
    };
    let tail: f64 = (0..=first.min(second))
        .map(|of| libm::exp(choose(of) - all as f64 * std::f64::consts::LN_2))
        .sum();
    f64::min(1.0, 2.0 * tail)
}

/// How many samples only the first of two sides has right, and only the second.
fn only_one_right(right: &[Vec<bool>]) -> [u64; 2] {
    let mut only = [0, 0];
    if let [first, second] = right {
        for (first, second) in first.iter().zip(second) {
            only[0] += u64::from(*first && !second);
            only[1] += u64::from(*second && !first);
        }
    }
    only
}

fn together<const N: usize>(sides: &[Side; N]) -> Result<Together<N>, StageError> {
    let nothing = || StageError::new("there is nothing to compare");
    let first = sides.first().ok_or_else(nothing)?;
    let of_first = parameters(&first.parameters)?;
    let predictions = sides.iter().map(|side| table(side, "predictions"));
    let predictions: Vec<RecordBatch> = predictions.collect::<Result<_, _>>()?;
    let mut common = ids(&predictions[0])?;
    for table in &predictions[1..] {
        let own = ids(table)?;
        common.retain(|id| own.contains(id));
    }
    if common.is_empty() {
        return Err(StageError::new("they have no sample in common")
            .with_help("compare predictions of the same pictures"));
    }
    let alone: Vec<Ready> = sides
        .iter()
        .zip(&predictions)
        .map(|(side, predictions)| Ready::alone(side, predictions))
        .collect::<Result<_, _>>()?;
    let alike = Common::of(&alone)?;
    let mut ready = Vec::new();
    for (side, predictions) in sides.iter().zip(&predictions) {
        let mut own = parameters(&side.parameters)?;
        (own.fold, own.group) = (of_first.fold.clone(), of_first.group.clone());
        let mut one = Ready::new(own, &context(first, side, kept(predictions, &common)?)?)?;
        one.keep(&alike.samples);
        ready.push(one);
    }
    let subsets: Vec<Subset> = ready.iter().map(Ready::subset).collect::<Result<_, _>>()?;
    Ok(Together {
        groups: ready[0].cases.attributes.groups,
        groups_judged: ready[0].groups_judged(),
        samples: ready[0].judged.len() as u64,
        left_out: alike.left_out,
        right: ready.iter().map(Ready::right).collect(),
        // There are as many as sides, of which there is one at least.
        sides: <[Subset; N]>::try_from(subsets).map_err(|_| nothing())?,
    })
}
