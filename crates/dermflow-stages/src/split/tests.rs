//! Tests of `split`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use dermflow_core::memory::{MemoryContext, batch};
use dermflow_core::{Column, ColumnType, InputTypes, PortType, Problem, StageError, StageKind, TableType};
use proptest::prelude::*;

use super::{Split, SplitParameters};

/// A sample: its key, group and label.
type Row = (String, Option<String>, Option<&'static str>);

fn table(rows: &[Row]) -> RecordBatch {
    let keys: Vec<&str> = rows.iter().map(|(key, _, _)| key.as_str()).collect();
    let groups: StringArray = rows.iter().map(|(_, group, _)| group.as_deref()).collect();
    let labels: StringArray = rows.iter().map(|(_, _, label)| *label).collect();
    let columns: [(&str, ArrayRef); 2] = [("group", Arc::new(groups)), ("label", Arc::new(labels))];
    batch(&keys, columns)
}

fn context(rows: &[Row], yaml: &str) -> Result<MemoryContext, StageError> {
    let parameters: SplitParameters = serde_yaml::from_str(yaml).unwrap();
    assert_eq!(Split::check(&parameters), []);
    let mut context = MemoryContext::default();
    context.seed = 7;
    context.add_table("samples", table(rows));
    Split::run(&parameters, &mut context)?;
    Ok(context)
}

/// The fold of each sample by its key.
fn folds(rows: &[Row], yaml: &str) -> BTreeMap<String, String> {
    by_key(rows, &context(rows, yaml).unwrap().output("splits"))
}

fn by_key(rows: &[Row], splits: &RecordBatch) -> BTreeMap<String, String> {
    let ids = splits.column(0).as_fixed_size_binary();
    let names = splits.column(1).as_string::<i32>();
    let of_id: BTreeMap<&[u8], &str> = (0..splits.num_rows())
        .map(|row| (ids.value(row), names.value(row)))
        .collect();
    assert_eq!(of_id.len(), splits.num_rows(), "a sample has two folds");
    let of = |key: &str| of_id[&dermflow_core::SampleId::of_key(key).as_bytes()[..]].to_string();
    rows.iter().map(|(key, _, _)| (key.clone(), of(key))).collect()
}

/// `count` samples of groups of up to `most`; every twelfth label is rare.
fn rows(count: usize, most: usize, from: usize) -> Vec<Row> {
    let numbers = from..from + count;
    numbers
        .map(|number| {
            let group = number / most.max(1) * 31 % 9973;
            let label = if group.is_multiple_of(12) {
                "rare"
            } else {
                "common"
            };
            (format!("s{number}"), Some(format!("p{group}")), Some(label))
        })
        .collect()
}

const SHARES: &str = "shares: {train: 0.7, valid: 0.1, test: 0.2}";

#[test]
fn shares_are_met_within_chance_and_exactly_within_the_largest_group() {
    let rows = rows(6000, 3, 0);
    let count = |folds: &BTreeMap<String, String>, label: &str, fold: &str| -> f64 {
        let of = rows
            .iter()
            .filter(|row| row.2 == Some(label) && folds[&row.0] == fold);
        of.count() as f64
    };
    for (yaml, exact) in [
        (format!("{{{SHARES}}}"), false),
        (format!("{{{SHARES}, exact: true}}"), true),
    ] {
        let folds = folds(&rows, &yaml);
        for label in ["rare", "common"] {
            let all = rows.iter().filter(|row| row.2 == Some(label)).count() as f64;
            for (fold, share) in [("train", 0.7), ("valid", 0.1), ("test", 0.2)] {
                let missed = (count(&folds, label, fold) - share * all).abs();
                // Hoeffding's bound of the module, at a chance of one in a million.
                let chance = (9.0 * all / 3.0 * (2e6f64).ln() / 2.0).sqrt();
                let bound = if exact { 3.0 } else { chance };
                assert!(
                    missed <= bound,
                    "{yaml} {label} {fold}: missed by {missed}, bound {bound}"
                );
            }
        }
    }
}

#[test]
fn folds_for_cross_validation_take_what_shares_leave() {
    let rows = rows(3000, 1, 0);
    let folds = folds(&rows, "{shares: {test: 0.25}, folds: 5, exact: true}");
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    folds
        .values()
        .for_each(|fold| *counts.entry(fold).or_default() += 1);
    let names: Vec<&str> = counts.keys().copied().collect();
    assert_eq!(names, ["fold-1", "fold-2", "fold-3", "fold-4", "fold-5", "test"]);
    assert!(
        counts["test"].abs_diff(750) <= 2 && counts["fold-3"].abs_diff(450) <= 2,
        "{counts:?}"
    );
}

#[test]
fn previous_folds_stay_and_the_others_fill_what_is_lacking() {
    let all = rows(400, 2, 0);
    let old = &all[..200];
    let before = folds(old, "{shares: {train: 0.5, test: 0.5}, exact: true}");
    let parameters: SplitParameters =
        serde_yaml::from_str("{shares: {train: 0.75, test: 0.25}, exact: true}").unwrap();
    let mut context = MemoryContext::default();
    context.add_table("samples", table(&all));
    let keys: Vec<&str> = before.keys().map(String::as_str).collect();
    let names: ArrayRef = Arc::new(
        before
            .values()
            .map(|fold| Some(fold.as_str()))
            .collect::<StringArray>(),
    );
    context.add_table("previous", batch(&keys, [("fold", names)]));
    Split::run(&parameters, &mut context).unwrap();
    let after = by_key(&all, &context.output("splits"));
    assert!(before.iter().all(|(key, fold)| after[key] == *fold));
    let train = after.values().filter(|fold| *fold == "train").count();
    assert!(train.abs_diff(300) <= 4, "{train}");
}

#[test]
fn a_fold_without_a_share_has_the_groups_that_previous_folds_put_there_and_no_other() {
    let all = rows(400, 4, 0);
    // The first of each four samples of a group has a fold.
    let some: Vec<Row> = all.iter().step_by(4).take(40).cloned().collect();
    let before = folds(&some, "{shares: {train: 0.5, valid: 0.5}}");
    let keys: Vec<&str> = before.keys().map(String::as_str).collect();
    let names: StringArray = before.values().map(|fold| Some(fold.as_str())).collect();
    let previous = batch(&keys, [("fold", Arc::new(names) as ArrayRef)]);
    let group_of: BTreeMap<&str, &Option<String>> =
        all.iter().map(|(key, group, _)| (key.as_str(), group)).collect();
    let wanted = before.iter().filter(|(_, fold)| *fold == "valid");
    let wanted: BTreeSet<&Option<String>> = wanted.map(|(key, _)| group_of[key.as_str()]).collect();
    assert!(wanted.len() > 5 && wanted.len() < 35);
    for exact in [true, false] {
        let yaml = format!("{{shares: {{train: 1, valid: 0}}, exact: {exact}}}");
        let parameters: SplitParameters = serde_yaml::from_str(&yaml).unwrap();
        assert_eq!(Split::check(&parameters), []);
        let mut context = MemoryContext::default();
        context.add_table("samples", table(&all));
        context.add_table("previous", previous.clone());
        Split::run(&parameters, &mut context).unwrap();
        for (key, fold) in by_key(&all, &context.output("splits")) {
            assert_eq!(fold == "valid", wanted.contains(group_of[key.as_str()]), "{key}");
        }
    }
}

#[test]
fn previous_folds_that_split_a_group_or_have_other_names_are_refused() {
    let all = rows(4, 2, 0);
    let run = |folds: [&str; 2]| {
        let parameters: SplitParameters = serde_yaml::from_str("{shares: {train: 0.5, test: 0.5}}").unwrap();
        let mut context = MemoryContext::default();
        context.add_table("samples", table(&all));
        let names: ArrayRef = Arc::new(StringArray::from(folds.to_vec()));
        context.add_table("previous", batch(&["s0", "s1"], [("fold", names)]));
        Split::run(&parameters, &mut context).unwrap_err().message
    };
    assert!(run(["train", "test"]).contains("one group in `"));
    assert!(run(["dev", "dev"]).contains("has a fold `dev`"));
}

#[test]
fn the_summary_counts_all_and_a_missing_label_is_told() {
    let mut rows = rows(300, 1, 0);
    rows.push(("x".to_string(), None, None));
    let context = context(&rows, &format!("{{{SHARES}}}")).unwrap();
    let summary = context.output("summary");
    let samples = summary.column(3).as_primitive::<arrow::datatypes::Int64Type>();
    assert_eq!(samples.values().iter().sum::<i64>(), 301);
    assert_eq!(summary.num_rows(), 9);
}

#[test]
fn parameters_that_make_no_sense_are_told_at_their_place() {
    let places = |yaml: &str| -> Vec<String> {
        let problems = Split::check(&serde_yaml::from_str(yaml).unwrap());
        problems.into_iter().map(|problem| problem.parameter).collect()
    };
    assert_eq!(places("{}"), ["shares"]);
    let neither = Split::check(&serde_yaml::from_str("{exact: true}").unwrap());
    assert!(
        neither[0].message.starts_with("`shares` or `folds` is missing"),
        "{neither:?}"
    );
    assert_eq!(places("{shares: {train: 0.5, test: 0.4}}"), ["shares"]);
    assert_eq!(
        places("{shares: {train: 1.5, test: -0.5}}"),
        ["shares.test", "shares.train"]
    );
    assert_eq!(places("{shares: {train: 1.0}, folds: 3}"), ["shares"]);
    assert_eq!(places("{shares: {fold-2: 0.5}, folds: 3}"), ["shares.fold-2"]);
    assert!(places("{shares: {a: 0.1, b: 0.2, c: 0.7}}").is_empty());
    assert!(places("{folds: 10}").is_empty());
}

/// What is said of a table of exactly these columns, or of one of which they are known.
fn outputs(yaml: &str, open: bool) -> Result<(), Problem> {
    let columns = ["patient", "label"].map(|name| Column::nullable(name, ColumnType::Text));
    let table = TableType {
        open,
        ..TableType::exactly(columns)
    };
    let wired = InputTypes::from([("samples".to_string(), vec![PortType::Table(table)])]);
    Split::outputs(&serde_yaml::from_str(yaml).unwrap(), &wired).map(drop)
}

#[test]
fn a_column_of_groups_that_is_not_there_is_refused_unless_nobody_asked_for_it() {
    let misspelt = format!("{{{SHARES}, group: pateint}}");
    let problem = outputs(&misspelt, false).unwrap_err();
    assert_eq!(problem.parameter, "group");
    assert!(
        problem.message.contains("no column `pateint`") && problem.message.contains("`patient` (text)"),
        "{}",
        problem.message
    );
    assert!(problem.help.unwrap().contains("group: null"));
    // Further columns may come: only the run can tell.
    assert_eq!(outputs(&misspelt, true), Ok(()));
    for rows in [rows(8, 2, 0), Vec::new()] {
        let error = context(&rows, &misspelt).err().unwrap();
        assert!(
            error
                .message
                .contains("`group`: the input has no column `pateint`"),
            "{error}"
        );
    }
    for right in ["", ", group: group", ", group: null", ", group: patient"] {
        assert_eq!(outputs(&format!("{{{SHARES}{right}}}"), false), Ok(()), "{right}");
    }
}

#[test]
fn a_column_of_labels_that_is_not_there_is_refused_where_it_was_asked_for() {
    let told = context(&rows(8, 2, 0), &format!("{{{SHARES}, stratify: diagnosis}}")).err();
    let told = told.unwrap().message;
    assert!(
        told.contains("`stratify`: the input has no column `diagnosis`"),
        "{told}"
    );
}

#[test]
fn without_a_column_of_groups_every_sample_is_one_of_its_own() {
    let rows = rows(300, 3, 0);
    let alone: Vec<Row> = rows
        .iter()
        .map(|(key, _, label)| (key.clone(), None, *label))
        .collect();
    let folds_of = |rows: &[Row], group: &str| folds(rows, &format!("{{{SHARES}{group}}}"));
    let split = folds_of(&rows, ", group: null");
    assert_eq!(split, folds_of(&alone, ""));
    assert_ne!(split, folds_of(&rows, ""));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_group_is_split_and_every_sample_has_a_fold(
        drawn in prop::collection::vec((0usize..12, 0usize..3), 1..120), exact in any::<bool>(),
    ) {
        let rows: Vec<Row> = drawn
            .iter()
            .enumerate()
            .map(|(number, (group, label))| {
                let group = (*group > 0).then(|| format!("p{group}"));
                (format!("s{number}"), group, [None, Some("a"), Some("b")][*label])
            })
            .collect();
        let folds = folds(&rows, &format!("{{{SHARES}, exact: {exact}}}"));
        prop_assert_eq!(folds.len(), rows.len());
        let mut of_group: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (key, group, _) in &rows {
            if let Some(group) = group {
                of_group.entry(group).or_default().insert(&folds[key]);
            }
        }
        prop_assert!(of_group.values().all(|folds| folds.len() == 1), "{of_group:?}");
    }

    #[test]
    fn a_sample_keeps_its_fold_whatever_is_added_or_taken_away(
        kept in 1usize..150, more in 0usize..150, labels in any::<bool>(),
    ) {
        let mut old = rows(kept, 3, 0);
        let new = rows(kept + more, 3, 0);
        if labels {
            // Other labels of the same samples move nothing either.
            old.iter_mut().for_each(|row| row.2 = Some("relabelled"));
        }
        let yaml = format!("{{{SHARES}}}");
        let (before, after) = (folds(&old, &yaml), folds(&new, &yaml));
        prop_assert!(before.iter().all(|(key, fold)| after[key] == *fold));
    }

    #[test]
    fn with_exact_shares_few_samples_move(more in 0usize..60) {
        let (old, new) = (rows(600, 1, 0), rows(600 + more, 1, 0));
        let yaml = format!("{{{SHARES}, exact: true}}");
        let (before, after) = (folds(&old, &yaml), folds(&new, &yaml));
        let moved = before.iter().filter(|(key, fold)| after[*key] != **fold).count();
        // Two cuts for each label, each moved by the share that is added and by chance.
        prop_assert!(moved <= 60 + more, "{moved} of 600 moved for {more} added");
    }
}
