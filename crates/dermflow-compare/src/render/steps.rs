//! Steps to the baseline's last scores as tables of text. Must not know how they are found.

use super::{Section, number, percent};
use crate::{Comparison, Reached, StepsToScore};

/// One table for each stage that trains.
pub(super) fn sections(comparison: &Comparison) -> Vec<Section> {
    let of_stages = comparison.steps.chunk_by(|left, right| left.stage == right.stage);
    of_stages
        .filter_map(|measures| of_stage(comparison, measures))
        .collect()
}

fn of_stage(comparison: &Comparison, measures: &[StepsToScore]) -> Option<Section> {
    let stage = &measures.first()?.stage;
    let baseline = &comparison.groups.first()?.label;
    let mut rows = Vec::new();
    for measure in measures {
        for (group, reached) in comparison.groups.iter().zip(&measure.groups) {
            if let Some(reached) = reached {
                rows.push(row(&measure.measure, &group.label, reached));
            }
        }
    }
    let of_all = format!("of all steps of `{baseline}`");
    let headings = ["figure", "", "score", "steps", "epochs", &of_all, "reached by"];
    Some(Section {
        title: format!("Steps of `{stage}` to the last score of `{baseline}`"),
        about: format!(
            "The score is what `{baseline}` has at the end; the steps are those after which it is first reached, the mean over the seeds that reach it."
        ),
        headings: headings.map(str::to_string).to_vec(),
        rows,
    })
}

fn row(measure: &str, group: &str, reached: &Reached) -> Vec<String> {
    let reaching = reached.first.iter().flatten().count();
    vec![
        measure.to_string(),
        group.to_string(),
        number(reached.score),
        reached.steps.map_or("never".to_string(), number),
        reached.epochs.map_or("-".to_string(), number),
        reached.ratio.map_or("-".to_string(), percent),
        format!("{reaching} of {}", reached.first.len()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReachedAt;

    #[test]
    fn a_score_that_is_never_reached_is_told() {
        let mut reached = Reached {
            score: 0.625,
            baseline_steps: 100.0,
            seeds: vec![Some(1), Some(2)],
            first: vec![Some(ReachedAt { step: 25, epoch: 1 }), None],
            steps: Some(25.0),
            epochs: Some(1.0),
            ratio: Some(0.25),
        };
        assert_eq!(
            row("valid_accuracy", "other", &reached),
            ["valid_accuracy", "other", "0.6250", "25", "1", "25.0 %", "1 of 2"]
        );
        reached.first = vec![None, None];
        (reached.steps, reached.epochs, reached.ratio) = (None, None, None);
        assert_eq!(
            row("valid_accuracy", "other", &reached)[3..],
            ["never", "-", "-", "0 of 2"]
        );
    }
}
