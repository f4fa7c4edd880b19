//! The shares of a gap as tables of text. Must not know how they are worked out.

use super::{Section, figure_name, number, percent};
use crate::{Comparison, Gap, GapShares};

/// One table for each stage that told figures, but not where none of them has a gap.
pub(super) fn sections(comparison: &Comparison, gap: &Gap) -> Vec<Section> {
    let of_stages = gap.figures.chunk_by(|left, right| left.stage == right.stage);
    of_stages
        .filter_map(|figures| of_stage(comparison, gap, figures))
        .collect()
}

fn of_stage(comparison: &Comparison, gap: &Gap, figures: &[GapShares]) -> Option<Section> {
    let stage = &figures.iter().find(|figure| figure.blank.is_none())?.stage;
    let label = |place: usize| comparison.groups[place].label.clone();
    let (low, high) = (label(gap.low), label(gap.high));
    let others: Vec<usize> = (0..comparison.groups.len())
        .filter(|place| *place != gap.low && *place != gap.high)
        .collect();
    let explained = figures.iter().any(|figure| figure.blank.is_some());
    let row = |figure: &GapShares| {
        let mut row = vec![
            figure_name(&figure.name, [&figure.class, &figure.slice]),
            number(figure.low),
            number(figure.high),
        ];
        let share = |place: &usize| figure.groups[*place].map_or("-".to_string(), percent);
        row.extend(others.iter().map(share));
        if explained {
            row.push(figure.blank.clone().unwrap_or_default());
        }
        row
    };
    let mut headings = vec!["figure".to_string(), low.clone(), high.clone()];
    headings.extend(others.iter().map(|place| label(*place)));
    if explained {
        headings.push(String::new());
    }
    Some(Section {
        title: format!("Share of the gap from `{low}` to `{high}`, in the figures of `{stage}`"),
        about: format!(
            "0 % is the mean of `{low}`, 100 % that of `{high}`. Of means over seeds, without intervals."
        ),
        headings,
        rows: figures.iter().map(row).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Group;

    fn figure(name: &str, share: Option<f64>, blank: Option<&str>) -> GapShares {
        GapShares {
            stage: "scores".to_string(),
            name: name.to_string(),
            class: Some("nevus".to_string()),
            slice: None,
            low: 0.5,
            high: 0.75,
            groups: vec![None, share, None],
            blank: blank.map(str::to_string),
        }
    }

    #[test]
    fn shares_are_percentages_and_a_blank_is_explained() {
        let group = |label: &str| Group {
            label: label.to_string(),
            members: Vec::new(),
            seconds: 0.0,
        };
        let comparison = Comparison {
            groups: ["clean-only", "base", "all-true"].map(group).to_vec(),
            parameters: Vec::new(),
            figures: Vec::new(),
            gap: None,
            paired: Vec::new(),
            steps: Vec::new(),
            notes: Vec::new(),
        };
        let mut gap = Gap {
            low: 0,
            high: 2,
            figures: vec![figure("recall", Some(0.4321), None)],
        };
        let found = sections(&comparison, &gap);
        assert_eq!(found[0].headings, ["figure", "clean-only", "all-true", "base"]);
        assert_eq!(
            found[0].rows,
            [["recall, nevus", "0.5000", "0.7500", "43.2 %"].map(str::to_string)]
        );
        gap.figures.push(figure("precision", None, Some("no gap")));
        let found = sections(&comparison, &gap);
        assert_eq!((found.len(), found[0].headings.len()), (1, 5));
        assert_eq!(found[0].rows[1][3..], ["-", "no gap"].map(str::to_string));
        gap.figures.remove(0);
        assert!(sections(&comparison, &gap).is_empty());
    }
}
