//! Tests of [`ends`] and [`of`].

use std::collections::BTreeMap;

use super::*;
use crate::figures::Of;
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

fn figure(name: &str, values: [Option<f64>; 3]) -> Figure {
    let of = |value: f64| Of {
        value,
        deviation: None,
        interval: None,
        cells: 1,
        samples: None,
    };
    Figure {
        stage: "scores".to_string(),
        name: name.to_string(),
        class: None,
        slice: None,
        groups: values.map(|value| value.map(of)).to_vec(),
    }
}

#[test]
fn shares_run_from_the_low_end_to_the_high_one_whichever_way_is_better() {
    let (_, groups) = everything();
    let figures = [
        figure("accuracy", [Some(0.5), Some(0.75), Some(0.625)]),
        figure("log-loss", [Some(2.0), Some(1.0), Some(2.0)]),
        figure("brier", [Some(0.25), Some(0.5), Some(0.0)]),
    ];
    let gap = of((0, 1), &groups, &figures);
    assert_eq!((gap.low, gap.high, gap.figures.len()), (0, 1, 3));
    let shares: Vec<Option<f64>> = gap.figures.iter().map(|one| one.groups[2]).collect();
    assert_eq!(shares, [Some(0.5), Some(0.0), Some(-1.0)]);
    assert!(shares[1].unwrap().is_sign_positive());
    for one in &gap.figures {
        assert_eq!((&one.groups[..2], &one.blank), (&[None, None][..], &None));
    }
}

#[test]
fn where_there_is_no_gap_the_share_is_blank_and_explained_and_what_no_one_has_is_left_out() {
    let (_, groups) = everything();
    let figures = [
        figure("same", [Some(0.1 + 0.2), Some(0.3), Some(0.9)]),
        figure("zero", [Some(0.0), Some(0.0), Some(0.9)]),
        figure("none", [Some(f64::NAN), Some(0.3), Some(0.9)]),
        figure("low alone", [Some(0.5), None, Some(0.9)]),
        figure("ends alone", [Some(0.5), Some(0.6), None]),
    ];
    let gap = of((0, 1), &groups, &figures);
    let names: Vec<&str> = gap.figures.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["same", "zero", "none"]);
    for one in &gap.figures {
        assert_eq!(one.groups, [None::<f64>; 3]);
        let blank = one.blank.as_ref().unwrap();
        assert!(blank.contains("`core[variant=clean-only]`"), "{blank}");
    }
    assert!(gap.figures[2].blank.as_ref().unwrap().contains("no number"));
}
