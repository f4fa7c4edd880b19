//! The shares of a gap as tables of text. Must not know how they are worked out.

use super::{Section, number, percent, percent_interval};
use crate::{Closed, Comparison, Gap, GapShares, Share};

/// One table for each stage that evaluates and each group, but not where no score has a gap.
pub(super) fn sections(comparison: &Comparison, gap: &Gap) -> Vec<Section> {
    let of_stage = |of: &GapShares| -> Vec<Section> {
        let all = of.groups.iter();
        all.filter(|closed| closed.shares.iter().any(|share| share.share.is_some()))
            .map(|closed| of_group(comparison, gap, &of.stage, closed))
            .collect()
    };
    gap.stages.iter().flat_map(of_stage).collect()
}

fn of_group(comparison: &Comparison, gap: &Gap, stage: &str, closed: &Closed) -> Section {
    let [low, high, own] =
        [gap.low, gap.high, closed.group].map(|place| comparison.groups[place].label.clone());
    let over_pairs = closed.seeds.len() > 1;
    let explained = closed.shares.iter().any(|share| share.blank.is_some());
    let shown = |ends: Option<(f64, f64)>| ends.map_or("-".to_string(), percent_interval);
    let row = |share: &Share| {
        let mut row = vec![
            share.name.clone(),
            number(share.low),
            number(share.high),
            number(share.own),
            share.share.map_or("-".to_string(), percent),
            shown(share.over_samples),
        ];
        if over_pairs {
            row.push(shown(share.over_pairs));
        }
        if explained {
            row.push(share.blank.clone().unwrap_or_default());
        }
        row
    };
    let mut headings = vec!["figure", &low, &high, &own, "share", "over samples"];
    if over_pairs {
        headings.push("over samples and seeds");
    }
    if explained {
        headings.push("");
    }
    Section {
        title: format!(
            "Share of the gap from `{low}` to `{high}` that `{own}` closes, as `{stage}` judges them"
        ),
        about: format!("0 % is `{low}`, 100 % is `{high}`. {}.", judged(closed)),
        headings: headings.into_iter().map(str::to_string).collect(),
        rows: closed.shares.iter().map(row).collect(),
    }
}

/// What was judged: samples, and seeds where there are.
fn judged(closed: &Closed) -> String {
    let on = format!("On {} samples that all three judged", closed.samples);
    let seeds: Vec<String> = closed.seeds.iter().flatten().map(u64::to_string).collect();
    match seeds.len() {
        0 | 1 => on,
        _ => format!("{on}, over the seeds {}", seeds.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Group;

    fn share(name: &str, share: Option<f64>, blank: Option<&str>) -> Share {
        Share {
            name: name.to_string(),
            low: 0.5,
            high: 0.75,
            own: 0.625,
            share,
            over_samples: share.map(|share| (share - 0.25, share + 0.25)),
            over_pairs: share.map(|share| (share - 0.5, share + 0.5)),
            gap_over_samples: None,
            gap_over_pairs: None,
            blank: blank.map(str::to_string),
        }
    }

    fn gap(seeds: &[Option<u64>], shares: Vec<Share>) -> Gap {
        Gap {
            low: 0,
            high: 2,
            stages: vec![GapShares {
                stage: "scores".to_string(),
                groups: vec![Closed {
                    group: 1,
                    seeds: seeds.to_vec(),
                    samples: 24,
                    shares,
                }],
            }],
        }
    }

    #[test]
    fn shares_are_percentages_with_intervals_and_a_blank_is_explained() {
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
        let closed = share("accuracy", Some(0.5), None);
        let found = sections(&comparison, &gap(&[Some(7)], vec![closed.clone()]));
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].headings,
            [
                "figure",
                "clean-only",
                "all-true",
                "base",
                "share",
                "over samples"
            ]
        );
        let row = [
            "accuracy",
            "0.5000",
            "0.7500",
            "0.6250",
            "50.0 %",
            "[25.0 %, 75.0 %]",
        ];
        assert_eq!(found[0].rows, [row.map(str::to_string)]);
        // Over several seeds there is another interval, and what has none is explained.
        let blank = share("brier", None, Some("no gap"));
        let seeds = [Some(1), Some(2)];
        let found = sections(&comparison, &gap(&seeds, vec![closed, blank.clone()]));
        assert!(
            found[0].about.ends_with("over the seeds 1, 2."),
            "{}",
            found[0].about
        );
        assert_eq!(found[0].headings[6..], ["over samples and seeds", ""]);
        assert_eq!(
            found[0].rows[0][6..],
            ["[0.0 %, 100.0 %]", ""].map(str::to_string)
        );
        assert_eq!(
            found[0].rows[1][4..],
            ["-", "-", "-", "no gap"].map(str::to_string)
        );
        assert!(sections(&comparison, &gap(&seeds, vec![blank])).is_empty());
    }
}
