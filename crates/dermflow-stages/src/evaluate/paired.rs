//! How far two classifiers are apart on the same samples: each figure's difference with its
//! bootstrap interval, the same draw of samples (or of patients) counting for both. With several
//! pairs, such as one a seed, also over those.
//!
//! What is judged, and how, is read as `evaluate` reads it. Must not know where tables come from.

mod drawn;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use dermflow_core::StageError;
use dermflow_core::canonical::Value;
use dermflow_core::memory::MemoryContext;
use serde::Serialize;

use super::cases::Cases;
use super::parameters::EvaluateParameters;
use super::subset::{Setup, Subset};
use super::targets::Target;
use crate::bootstrap::{Bootstrap, Resampling, in_parallel};
use crate::columns::ids_of;
use crate::sliced::Part;

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
    /// How many samples both sides judged, of the first pair.
    pub samples: u64,
    /// How many pairs.
    pub pairs: u64,
    /// Every figure that both have.
    pub differences: Vec<Difference>,
    /// Samples of the first pair that only the first side has right, and only the second.
    pub only_one_right: [u64; 2],
    /// McNemar's exact test on these (McNemar 1947): how likely so uneven a split is by chance.
    pub mcnemar: f64,
}

/// Sides of one seed on the samples that all of them predicted, ready.
struct Together<const N: usize> {
    sides: [Subset; N],
    groups: u32,
    samples: u64,
    /// For each side, which of the samples it has right.
    right: Vec<Vec<bool>>,
}

/// Compares the second side of each pair with the first, on the samples that both predicted; the
/// first side's true labels, folds and groups count for both.
///
/// # Errors
/// Where tables don't fit their parameters, or the sides have no sample in common.
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
    let resampled = in_parallel(bootstrap.resamples, &context, |number| {
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
    let mut ready = Vec::new();
    for (side, predictions) in sides.iter().zip(&predictions) {
        let mut own = parameters(&side.parameters)?;
        (own.fold, own.group) = (of_first.fold.clone(), of_first.group.clone());
        ready.push(Ready::new(
            own,
            &context(first, side, kept(predictions, &common)?)?,
        )?);
    }
    let subsets: Vec<Subset> = ready.iter().map(Ready::subset).collect::<Result<_, _>>()?;
    Ok(Together {
        groups: ready[0].cases.attributes.groups,
        samples: ready[0].judged.len() as u64,
        right: ready.iter().map(Ready::right).collect(),
        // There are as many as sides, of which there is one at least.
        sides: <[Subset; N]>::try_from(subsets).map_err(|_| nothing())?,
    })
}

/// What a side is judged by: the first side says what is true, and who belongs together.
fn context(first: &Side, side: &Side, predictions: RecordBatch) -> Result<MemoryContext, StageError> {
    let mut context = MemoryContext::default();
    context.add_table("predictions", predictions);
    for port in ["truth", "attributes", "splits"] {
        if first.tables.contains_key(port) {
            context.add_table(port, table(first, port)?);
        }
    }
    if side.tables.contains_key("classes") {
        context.add_table("classes", table(side, "classes")?);
    }
    Ok(context)
}

struct Ready {
    parameters: EvaluateParameters,
    cases: Cases,
    judged: Vec<u32>,
}

impl Ready {
    fn new(parameters: EvaluateParameters, context: &MemoryContext) -> Result<Ready, StageError> {
        let cases = Cases::read(&parameters, context)?;
        let judged = cases.judged(&parameters)?;
        Ok(Ready {
            parameters,
            cases,
            judged,
        })
    }

    /// Which of the judged samples are right.
    fn right(&self) -> Vec<bool> {
        let is_right = |sample: &u32| {
            let sample = *sample as usize;
            self.cases.truth_name(self.cases.truth[sample])
                == self.cases.classes.names()[self.cases.predicted[sample] as usize]
        };
        self.judged.iter().map(is_right).collect()
    }

    fn subset(&self) -> Result<Subset, StageError> {
        let setup = Setup {
            parameters: &self.parameters,
            points: Vec::new(),
            fitted: None,
            targets: Target::all(&self.parameters, &self.cases.classes)?,
            rates: Vec::new(),
        };
        Ok(Subset::new(&self.cases, &self.judged, &setup))
    }
}

/// The parameters without what comparing doesn't look at.
fn parameters(value: &Value) -> Result<EvaluateParameters, StageError> {
    let read: Result<EvaluateParameters, _> =
        serde_yaml::with::singleton_map_recursive::deserialize(value.to_yaml());
    let mut read = read.map_err(|error| {
        StageError::new(format!(
            "the parameters of `evaluate` can't be read back: {error}"
        ))
    })?;
    read.slices.clear();
    read.operating_points.clear();
    read.top.clear();
    read.temperature = None;
    read.choose_on = None;
    read.class_groups.clear();
    Ok(read)
}

fn table(side: &Side, port: &str) -> Result<RecordBatch, StageError> {
    let batches = side.tables.get(port).map(Vec::as_slice).unwrap_or_default();
    let Some(first) = batches.first() else {
        return Err(StageError::new(format!(
            "the table wired to `{port}` has no rows"
        )));
    };
    Ok(concat_batches(&first.schema(), batches)?)
}

fn ids(table: &RecordBatch) -> Result<BTreeSet<Vec<u8>>, StageError> {
    let ids = ids_of(table)?;
    Ok(ids.iter().flatten().map(<[u8]>::to_vec).collect())
}

fn kept(table: &RecordBatch, common: &BTreeSet<Vec<u8>>) -> Result<RecordBatch, StageError> {
    let ids = ids_of(table)?;
    let keep: BooleanArray = ids
        .iter()
        .map(|id| Some(id.is_some_and(|id| common.contains(id))))
        .collect();
    Ok(filter_record_batch(table, &keep)?)
}
