//! The rows of `metrics`: counts, and every figure overall and by slice.

use dermflow_core::{StageContext, StageError};

use super::cases::Cases;
use super::parameters::EvaluateParameters;
use super::proportions::write_proportions;
use super::subset::{Setup, Subset};
use crate::metric_rows::{MetricRow, write_metrics};
use crate::sliced::Sliced;

/// Figures that are compared between slices.
const COMPARED: [&str; 4] = ["accuracy", "balanced-accuracy", "macro-f1", "macro-auroc"];

/// Computes and writes all figures of the judged samples, and gives them.
///
/// # Errors
/// Where the run is interrupted or the output can't be written.
pub fn metrics(
    parameters: &EvaluateParameters,
    cases: &Cases,
    judged: &[u32],
    setup: &Setup<'_>,
    context: &mut dyn StageContext,
) -> Result<Vec<MetricRow>, StageError> {
    let sliced = Sliced {
        attributes: &cases.attributes,
        min_samples: parameters.min_samples,
        bootstrap: &parameters.bootstrap,
        compared: &COMPARED,
    };
    let subset = |samples: &[u32]| Subset::new(cases, samples, setup);
    let mut rows = sliced.rows(judged, subset, context)?;
    rows.extend(counts(cases, judged));
    rows.extend(setup.fitted.map(|fitted| MetricRow {
        name: "temperature".to_string(),
        value: fitted.temperature,
        n: fitted.fitted_on,
        ..MetricRow::default()
    }));
    write_proportions(&rows, parameters.bootstrap.level, context)?;
    write_metrics(context, &rows)?;
    Ok(rows)
}

/// How many samples there are of other sorts.
fn counts(cases: &Cases, judged: &[u32]) -> impl Iterator<Item = MetricRow> {
    let seen = judged
        .iter()
        .filter(|sample| cases.is_seen(**sample as usize))
        .count();
    let counted = [
        ("samples-of-unseen-classes", (judged.len() - seen) as u64),
        ("predictions-without-truth", cases.without_truth),
        ("truth-without-prediction", cases.without_prediction),
    ];
    counted.into_iter().map(|(name, count)| MetricRow {
        name: name.to_string(),
        value: count as f64,
        n: count,
        ..MetricRow::default()
    })
}
