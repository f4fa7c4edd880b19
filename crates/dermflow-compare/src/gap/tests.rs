//! Tests of [`ends`] and [`shares::of`].

use std::collections::BTreeMap;

use dermflow_stages::paired::{COMPARED, Drawn, Figures};

use super::*;
use crate::groups::Member;

/// A side of a cell, and the name that it was asked for by.
fn side(label: &str, cell: Option<&str>, asked: &str) -> Side {
    Side {
        label: label.to_string(),
        pipeline: "made-up".to_string(),
        cell: cell.map(str::to_string),
        run: "run".to_string(),
        stages: BTreeMap::new(),
        asked: vec![asked.to_string()],
    }
}

fn group(label: &str, sides: &[usize]) -> Group {
    let member = |side: &usize| Member {
        label: label.to_string(),
        run: "run".to_string(),
        seed: None,
        side: *side,
    };
    Group {
        label: label.to_string(),
        members: sides.iter().map(member).collect(),
        seconds: 0.0,
    }
}

/// Three cells of a matrix in two groups, and the base of another run.
fn everything() -> (Vec<Side>, Vec<Group>) {
    let cell = |name: &str| side(name, Some(name), "core");
    let sides = vec![
        cell("core[variant=clean-only,seed=1]"),
        cell("core[variant=clean-only,seed=2]"),
        cell("core[variant=all-true,seed=1]"),
        side("2025:base", None, "latest:base"),
    ];
    let groups = vec![
        group("core[variant=clean-only]", &[0, 1]),
        group("core[variant=all-true,seed=1]", &[2]),
        group("2025:base", &[3]),
    ];
    (sides, groups)
}

#[test]
fn the_ends_of_a_gap_are_named_as_groups_are() {
    let (sides, groups) = everything();
    let found = |text: &str| ends(text, &sides, &groups).unwrap();
    assert_eq!(found("clean-only:all-true"), (0, 1));
    assert_eq!(
        found("core[variant=clean-only]:core[variant=all-true,seed=1]"),
        (0, 1)
    );
    assert_eq!(found("core[variant=clean-only,seed=2]:base"), (0, 2));
    // Of several colons, the one that gives two names.
    assert_eq!(found("latest:base:all-true"), (2, 1));
    assert_eq!(found("all-true:2025:base"), (1, 2));
}

#[test]
fn a_name_that_is_not_compared_is_told_with_those_that_are() {
    let (sides, groups) = everything();
    let wrong = |text: &str| ends(text, &sides, &groups).unwrap_err();
    let unknown = wrong("clean-only:nowhere");
    assert!(unknown.message.contains("`nowhere`"), "{unknown}");
    assert!(unknown.help.unwrap().contains("`2025:base`"));
    // The way to read it in which one name is known is the one that was meant.
    assert!(wrong("latest:base:nowhere").message.contains("`nowhere`"));
    assert!(wrong("all-true:core").message.contains("several"));
    assert!(wrong("clean-only:clean-only").message.contains("no gap"));
    assert!(wrong("clean-only").message.contains("two names with a colon"));
    assert!(wrong(":").message.contains("not among"));
}

/// Accuracies of the low end, of the high end and of a group between.
fn accuracies(values: [f64; 3]) -> [Figures; 3] {
    values.map(|value| {
        let mut figures: Figures = [None; COMPARED.len()];
        figures[0] = Some(value);
        figures
    })
}

/// What was drawn where the accuracies are these, and these in each resample of 101.
fn accuracies_drawn(whole: [f64; 3], resample: impl Fn(f64) -> [f64; 3]) -> Drawn<3> {
    Drawn {
        samples: 24,
        remarks: Vec::new(),
        whole: accuracies(whole),
        over_samples: (0..=100)
            .map(|number| accuracies(resample(f64::from(number))))
            .collect(),
        over_pairs: Vec::new(),
    }
}

fn only_share(drawn: &Drawn<3>) -> Share {
    let mut found = shares::of(drawn, 0.95, ["clean-only", "all-true"]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].name, "accuracy");
    found.remove(0)
}

fn near(found: Option<(f64, f64)>, wanted: (f64, f64)) {
    let (low, high) = found.unwrap();
    assert!(
        (low - wanted.0).abs() < 1e-9 && (high - wanted.1).abs() < 1e-9,
        "{found:?} {wanted:?}"
    );
}

#[test]
fn a_share_has_the_percentile_interval_of_the_shares_in_the_draws() {
    // 0 %, 1 %, …, 100 % of a gap that is the same in all of them: from 2.5 % to 97.5 %.
    let drawn = accuracies_drawn([0.5, 0.7, 0.6], |number| [0.5, 0.7, 0.5 + 0.002 * number]);
    let share = only_share(&drawn);
    assert!((share.share.unwrap() - 0.5).abs() < 1e-9);
    near(share.over_samples, (0.025, 0.975));
    near(share.gap_over_samples, (0.2, 0.2));
    assert_eq!((share.over_pairs, &share.blank), (None, &None));
    // The same where less is better, and no share is -0.
    let drawn = accuracies_drawn([0.7, 0.5, 0.7], |number| [0.7, 0.5, 0.7 - 0.002 * number]);
    let share = only_share(&drawn);
    assert!(
        share
            .share
            .is_some_and(|share| share == 0.0 && share.is_sign_positive())
    );
    near(share.over_samples, (0.025, 0.975));
}

#[test]
fn all_three_are_drawn_together() {
    // Each moves by far more than the gap, but all by as much: the share does not.
    let drawn = accuracies_drawn([0.5, 0.6, 0.55], |number| {
        [0.5, 0.6, 0.55].map(|value| value + 0.004 * number)
    });
    let share = only_share(&drawn);
    near(share.over_samples, (0.5, 0.5));
    near(share.gap_over_samples, (0.1, 0.1));
}

#[test]
fn a_gap_whose_own_interval_has_zero_in_it_has_a_share_without_an_interval() {
    let mut drawn = accuracies_drawn([0.5, 0.6, 0.55], |number| [0.5, 0.45 + 0.003 * number, 0.55]);
    let share = only_share(&drawn);
    assert!(share.share.is_some() && share.over_samples.is_none());
    near(share.gap_over_samples, (-0.0425, 0.2425));
    let blank = share.blank.unwrap();
    assert_eq!(blank, "no interval: that of the gap itself has zero in it");
    // Where seeds alone make it unsure, the interval over samples stays.
    drawn.over_pairs = std::mem::replace(&mut drawn.over_samples, vec![drawn.whole; 101]);
    let share = only_share(&drawn);
    near(share.over_samples, (0.5, 0.5));
    assert!(share.over_pairs.is_none());
    assert!(share.blank.unwrap().contains("over samples and seeds"));
}

#[test]
fn a_gap_that_turns_round_in_a_draw_counts_as_closed_beyond_all_bounds() {
    let share_of = shares::share_of_draw;
    assert_eq!(share_of(0.2, 0.1), Some(0.5));
    assert_eq!(share_of(-0.2, 0.1), Some(f64::INFINITY));
    assert_eq!(share_of(0.0, -0.1), Some(f64::NEG_INFINITY));
    assert_eq!(share_of(0.0, 0.0), None);
    assert_eq!(share_of(f64::NAN, 0.1), None);
    // Two draws of 101 are, which the interval leaves out at its upper end.
    let drawn = accuracies_drawn([0.5, 0.7, 0.6], |number| match number < 2.0 {
        true => [0.5, 0.4, 0.6],
        false => [0.5, 0.7, 0.6],
    });
    near(only_share(&drawn).over_samples, (0.5, 0.5));
}

#[test]
fn without_a_gap_there_is_no_share_without_draws_no_interval_and_of_other_figures_neither() {
    let blank = |low: f64, high: f64| {
        let share = only_share(&accuracies_drawn([low, high, 0.9], |_| [low, high, 0.9]));
        assert_eq!((share.share, share.over_samples), (None, None));
        share.blank.unwrap()
    };
    assert!(blank(0.1 + 0.2, 0.3).contains("no gap: `all-true` has the same as `clean-only`"));
    assert!(blank(0.0, 0.0).contains("no gap"));
    assert!(blank(f64::NAN, 0.3).contains("no number"));
    let mut drawn = accuracies_drawn([0.5, 0.7, 0.6], |_| [0.5, 0.7, 0.6]);
    drawn.over_samples.clear();
    let share = only_share(&drawn);
    assert!(share.share.is_some() && share.over_samples.is_none() && share.blank.is_none());
    // A score that one of the three does not have.
    drawn.whole[2][0] = None;
    assert!(shares::of(&drawn, 0.95, ["clean-only", "all-true"]).is_empty());
    // What trainings tell of their work is no score.
    for work in ["epochs", "samples", "steps", "seconds", "coverage"] {
        assert!(!COMPARED.contains(&work), "{work}");
    }
}
