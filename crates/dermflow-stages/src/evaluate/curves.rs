//! The table `curves`: receiver operating characteristic and precision against recall, for each
//! class against the rest, and for seen against unseen samples. Must not know how they are drawn.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use dermflow_core::{
    Column, ColumnType, OutputPort, PortType, SampleId, StageContext, StageError, TableType, sample_ids,
};

use crate::scores::ranking::Step;
use crate::scores::share;

/// One curve.
pub struct Curve {
    /// The class, or group of classes, that is told from the rest; none for seen samples told from unseen ones.
    pub class: Option<String>,
    /// By what: `probability` or `energy`.
    pub by: &'static str,
    /// The score of each sample, as the predictions write it.
    pub scores: Vec<f64>,
    /// The distinct scores, the surest first, with what lies at or above each.
    pub steps: Vec<Step>,
}

fn curves_type() -> TableType {
    TableType::exactly([
        Column::nullable("class", ColumnType::Text),
        Column::new("by", ColumnType::Text),
        Column::new("point", ColumnType::Integer),
        Column::new("threshold", ColumnType::Float64),
        Column::new("true_positives", ColumnType::Integer),
        Column::new("false_positives", ColumnType::Integer),
        Column::nullable("true_positive_rate", ColumnType::Float64),
        Column::nullable("false_positive_rate", ColumnType::Float64),
        Column::nullable("precision", ColumnType::Float64),
    ])
}

/// The output port `curves`.
pub fn curves_port() -> OutputPort {
    let about = "what each threshold gives, for each class and group of classes against the rest and for seen against unseen: the points of ROC and precision-recall curves";
    OutputPort::new("curves", PortType::Table(curves_type()), about)
}

/// At most `most` of the steps (2 or more): the first and last, and between them those that are
/// the furthest on in even shares of all samples.
fn thinned(steps: &[Step], most: usize) -> Vec<&Step> {
    if steps.len() <= most {
        return steps.iter().collect();
    }
    let passed = |step: &Step| step.true_positives + step.false_positives;
    let all = steps.last().map_or(0, passed);
    let mut kept: Vec<&Step> = Vec::with_capacity(most);
    for (at, step) in steps.iter().enumerate() {
        // The share of all that must be passed for the next point; the last one waits for the end.
        let due = all as f64 * kept.len() as f64 / (most - 1) as f64;
        let is_last = at + 1 == steps.len();
        if is_last || (kept.len() + 1 < most && passed(step) as f64 >= due) {
            kept.push(step);
        }
    }
    kept
}

/// Writes the curves, each with at most `most` points.
///
/// # Errors
/// Where the output can't be written.
pub fn write_curves(curves: &[Curve], most: usize, context: &mut dyn StageContext) -> Result<(), StageError> {
    let mut points: Vec<(&Curve, usize, &Step)> = Vec::new();
    for curve in curves {
        let kept = thinned(&curve.steps, most);
        points.extend(kept.into_iter().enumerate().map(|(at, step)| (curve, at, step)));
    }
    let ids: Vec<SampleId> = points
        .iter()
        .map(|(curve, at, _)| {
            let class = curve
                .class
                .as_ref()
                .map_or("-".to_string(), |class| format!("={class}"));
            SampleId::of_key(&format!("curves\0{class}\0{}\0{at}", curve.by))
        })
        .collect();
    let integers = |of: &dyn Fn(usize) -> u64| -> ArrayRef {
        Arc::new(
            (0..points.len())
                .map(|at| Some(of(at) as i64))
                .collect::<Int64Array>(),
        )
    };
    let floats = |of: &dyn Fn(&Curve, &Step) -> Option<f64>| -> ArrayRef {
        Arc::new(
            points
                .iter()
                .map(|(curve, _, step)| of(curve, step))
                .collect::<Float64Array>(),
        )
    };
    let whole = |curve: &Curve| curve.steps.last().copied().unwrap_or_default();
    let classes: StringArray = points.iter().map(|(curve, ..)| curve.class.as_deref()).collect();
    let by: StringArray = points.iter().map(|(curve, ..)| Some(curve.by)).collect();
    let columns: Vec<ArrayRef> = vec![
        sample_ids(&ids),
        Arc::new(classes),
        Arc::new(by),
        integers(&|at| points[at].1 as u64),
        floats(&|curve, step| Some(curve.scores[step.sample])),
        integers(&|at| points[at].2.true_positives),
        integers(&|at| points[at].2.false_positives),
        floats(&|curve, step| share(step.true_positives, whole(curve).true_positives)),
        floats(&|curve, step| share(step.false_positives, whole(curve).false_positives)),
        floats(&|_, step| share(step.true_positives, step.true_positives + step.false_positives)),
    ];
    let schema = curves_type().schema();
    let mut out = context.write_table("curves", schema.clone())?;
    out.write(&RecordBatch::try_new(schema, columns)?)?;
    out.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn thinning_keeps_the_ends_the_order_and_no_more_than_asked(
            parts in proptest::collection::vec((0_u64..5, 0_u64..5), 1..200),
            most in 2_usize..30,
        ) {
            let (mut true_positives, mut false_positives) = (0, 0);
            let steps: Vec<Step> = parts
                .into_iter()
                .enumerate()
                .map(|(sample, (positive, negative))| {
                    true_positives += positive;
                    false_positives += negative + 1;
                    Step { sample, true_positives, false_positives }
                })
                .collect();
            let kept = thinned(&steps, most);
            prop_assert!(kept.len() <= most.max(1) && kept.len() >= steps.len().min(2));
            prop_assert_eq!(kept.first().unwrap().sample, 0);
            prop_assert_eq!(kept.last().unwrap().sample, steps.len() - 1);
            prop_assert!(kept.windows(2).all(|pair| pair[0].sample < pair[1].sample));
        }
    }
}
