//! The table `decision-curves`: the net benefit of acting on a probability, over how sure one wants
//! to be before acting (Vickers and Elkin 2006), beside that of acting on everybody and on nobody.
//!
//! Whoever acts where the probability is at least `t` holds a missed case to be (1 - t) / t times as
//! bad as a needless act. So net benefit is the share of samples that are rightly acted on, less
//! that of needless acts times t / (1 - t). Must not know how predictions are made.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use dermflow_core::{Column, ColumnType, OutputPort, PortType, StageContext, StageError, TableType};

use super::cases::Cases;
use super::parameters::EvaluateParameters;
use super::tables::write;
use super::targets::Target;
use crate::bootstrap::{Resampling, in_parallel, interval};

fn decision_curves_type() -> TableType {
    TableType::exactly([
        Column::new("class", ColumnType::Text),
        Column::new("threshold", ColumnType::Float64),
        Column::new("n", ColumnType::Integer),
        Column::new("positives", ColumnType::Integer),
        Column::new("true_positives", ColumnType::Integer),
        Column::new("false_positives", ColumnType::Integer),
        Column::new("net_benefit", ColumnType::Float64),
        Column::nullable("low", ColumnType::Float64),
        Column::nullable("high", ColumnType::Float64),
        Column::new("treat_all", ColumnType::Float64),
        Column::new("treat_none", ColumnType::Float64),
        Column::new("interventions_avoided", ColumnType::Float64),
    ])
}

/// The output port `decision-curves`.
pub fn decision_curves_port() -> OutputPort {
    let about = "for each class and group of classes against the rest, and each threshold probability: the net benefit of acting on the prediction, of acting on all and on none, and the share of samples that are spared an act compared with all, as many being found";
    OutputPort::new("decision-curves", PortType::Table(decision_curves_type()), about)
}

/// One target's samples, ready for any weights.
struct Curve {
    /// Of each sample that counts: its group, whether it is of the target, and how many of the
    /// thresholds its probability reaches.
    samples: Vec<(u32, bool, usize)>,
    thresholds: usize,
}

/// Weights at one threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Acted {
    true_positives: u64,
    false_positives: u64,
}

/// Weights of all samples, and of those at each threshold.
struct Counted {
    all: u64,
    positives: u64,
    at: Vec<Acted>,
}

impl Curve {
    fn new(target: &Target, cases: &Cases, judged: &[u32], thresholds: &[f64]) -> Curve {
        let sample = |sample: &u32| {
            let sample = *sample as usize;
            let holds = target.holds(cases, sample)?;
            let score = target.score(cases, sample);
            let reached = thresholds.partition_point(|threshold| *threshold <= score);
            Some((cases.attributes.group[sample], holds, reached))
        };
        Curve {
            samples: judged.iter().filter_map(sample).collect(),
            thresholds: thresholds.len(),
        }
    }

    /// Whether all samples are of one group: all draws would be the same, and say nothing.
    fn is_of_one_group(&self) -> bool {
        self.samples.iter().all(|sample| sample.0 == self.samples[0].0)
    }

    fn counted(&self, groups: &[u32]) -> Counted {
        let mut counted = Counted {
            all: 0,
            positives: 0,
            at: vec![Acted::default(); self.thresholds],
        };
        // First what reaches just so many thresholds, then all that reach as many or more.
        for (group, holds, reached) in &self.samples {
            let weight = u64::from(groups[*group as usize]);
            counted.all += weight;
            counted.positives += weight * u64::from(*holds);
            if let Some(last) = reached.checked_sub(1) {
                counted.at[last].true_positives += weight * u64::from(*holds);
                counted.at[last].false_positives += weight * u64::from(!*holds);
            }
        }
        for at in (1..self.thresholds).rev() {
            let above = counted.at[at];
            counted.at[at - 1].true_positives += above.true_positives;
            counted.at[at - 1].false_positives += above.false_positives;
        }
        counted
    }
}

/// True positives less needless acts at their odds, a sample; `acted` of `all` samples.
fn net_benefit(acted: Acted, all: u64, threshold: f64) -> Option<f64> {
    let odds = threshold / (1.0 - threshold);
    let benefit = acted.true_positives as f64 - acted.false_positives as f64 * odds;
    (all > 0).then(|| benefit / all as f64)
}

/// A row of the table.
struct Row<'a> {
    class: &'a str,
    threshold: f64,
    all: u64,
    positives: u64,
    acted: Acted,
    net_benefit: f64,
    interval: Option<(f64, f64)>,
    treat_all: f64,
}

/// Writes the curves of the judged samples.
///
/// # Errors
/// Where the run is interrupted or the output can't be written.
pub fn write_decision_curves(
    parameters: &EvaluateParameters,
    targets: &[Target],
    cases: &Cases,
    judged: &[u32],
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let thresholds = parameters.decision_curves.thresholds();
    let groups = cases.attributes.groups;
    let resampling = Resampling::new(context.seed(), groups);
    let mut rows = Vec::new();
    for target in targets {
        let curve = Curve::new(target, cases, judged, &thresholds);
        let whole = curve.counted(&vec![1; groups as usize]);
        if whole.all == 0 {
            continue;
        }
        let benefits = |counted: &Counted| -> Vec<Option<f64>> {
            let both = counted.at.iter().zip(&thresholds);
            both.map(|(acted, threshold)| net_benefit(*acted, counted.all, *threshold))
                .collect()
        };
        let resamples = match curve.is_of_one_group() {
            true => 0,
            false => parameters.bootstrap.resamples,
        };
        let resampled = in_parallel(resamples, context, |number| {
            Ok(benefits(&curve.counted(&resampling.counts(number))))
        })?;
        for (at, value) in benefits(&whole).into_iter().enumerate() {
            let everybody = Acted {
                true_positives: whole.positives,
                false_positives: whole.all - whole.positives,
            };
            let (Some(net), Some(treat_all)) = (value, net_benefit(everybody, whole.all, thresholds[at]))
            else {
                continue;
            };
            rows.push(Row {
                class: &target.name,
                threshold: thresholds[at],
                all: whole.all,
                positives: whole.positives,
                acted: whole.at[at],
                net_benefit: net,
                interval: interval(
                    resampled.iter().map(|values| values[at]),
                    parameters.bootstrap.level,
                ),
                treat_all,
            });
        }
    }
    write_rows(&rows, context)
}

fn write_rows(rows: &[Row<'_>], context: &mut dyn StageContext) -> Result<(), StageError> {
    let keys: Vec<String> = rows
        .iter()
        .map(|row| format!("{}\0{}", row.class, row.threshold))
        .collect();
    let floats = |of: &dyn Fn(&Row<'_>) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<Float64Array>())
    };
    let integers = |of: &dyn Fn(&Row<'_>) -> u64| -> ArrayRef {
        Arc::new(
            rows.iter()
                .map(|row| Some(of(row) as i64))
                .collect::<Int64Array>(),
        )
    };
    let classes: StringArray = rows.iter().map(|row| Some(row.class)).collect();
    let odds = |row: &Row<'_>| row.threshold / (1.0 - row.threshold);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(classes),
        floats(&|row| Some(row.threshold)),
        integers(&|row| row.all),
        integers(&|row| row.positives),
        integers(&|row| row.acted.true_positives),
        integers(&|row| row.acted.false_positives),
        floats(&|row| Some(row.net_benefit)),
        floats(&|row| row.interval.map(|(low, _)| low)),
        floats(&|row| row.interval.map(|(_, high)| high)),
        floats(&|row| Some(row.treat_all)),
        floats(&|_| Some(0.0)),
        floats(&|row| Some((row.net_benefit - row.treat_all) / odds(row))),
    ];
    write(context, "decision-curves", decision_curves_type(), &keys, columns)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counts_are_those_of_looking_at_every_sample_at_every_threshold(
            samples in proptest::collection::vec((0_u32..4, any::<bool>(), 0_u8..=20), 0..30),
            groups in proptest::collection::vec(0_u32..3, 4),
        ) {
            let thresholds: Vec<f64> = (1..10).map(|at| f64::from(at) / 10.0).collect();
            let score = |of: u8| f64::from(of) / 20.0;
            let reached = |of: u8| thresholds.partition_point(|threshold| *threshold <= score(of));
            let curve = Curve {
                samples: samples.iter().map(|(group, holds, of)| (*group, *holds, reached(*of))).collect(),
                thresholds: thresholds.len(),
            };
            let counted = curve.counted(&groups);
            for (at, threshold) in thresholds.iter().enumerate() {
                let mut acted = Acted::default();
                for (group, holds, of) in samples.iter().filter(|sample| score(sample.2) >= *threshold) {
                    let _ = of;
                    let weight = u64::from(groups[*group as usize]);
                    match holds {
                        true => acted.true_positives += weight,
                        false => acted.false_positives += weight,
                    }
                }
                prop_assert_eq!(counted.at[at], acted);
            }
        }
    }

    #[test]
    fn net_benefit_is_that_of_the_paper() {
        // Vickers and Elkin 2006: at a threshold of 20 %, a needless act weighs a quarter.
        let acted = Acted {
            true_positives: 30,
            false_positives: 40,
        };
        let net = net_benefit(acted, 100, 0.2).unwrap();
        assert!((net - (0.3 - 0.4 / 4.0)).abs() < 1e-12, "{net}");
        assert_eq!(net_benefit(Acted::default(), 100, 0.2), Some(0.0));
        assert_eq!(net_benefit(acted, 0, 0.2), None);
    }
}
