//! Tests of [`gather`], on small made-up histories in a store.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array};
use dermflow_core::canonical::Value;
use dermflow_core::memory::batch;
use dermflow_core::{Making, Manifest, Record};
use dermflow_store::TableWriter;

use super::*;
use crate::groups::Member;

/// Ten steps an epoch, and a score after each.
fn table(store: &Store, measure: &str, scores: &[Option<f64>]) -> TableManifest {
    let count = scores.len() as i64;
    let keys: Vec<String> = (1..=count).map(|epoch| format!("epoch {epoch}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let epochs: ArrayRef = Arc::new(Int64Array::from_iter_values(1..=count));
    let steps: ArrayRef = Arc::new(Int64Array::from_iter_values((1..=count).map(|epoch| 10 * epoch)));
    let rates: ArrayRef = Arc::new(Float64Array::from(vec![0.1; scores.len()]));
    let losses: ArrayRef = Arc::new(Float64Array::from(vec![1.0; scores.len()]));
    let measured: ArrayRef = Arc::new(Float64Array::from(scores.to_vec()));
    let columns = [
        ("epoch", epochs),
        ("step", steps),
        ("learning_rate", rates),
        ("loss", losses),
        (measure, measured),
    ];
    let rows = batch(&keys, columns);
    let mut writer = TableWriter::new(store, "History", rows.schema()).unwrap();
    writer.write(&rows).unwrap();
    writer.finish().unwrap()
}

fn side(seed: u64, stage: &str, history: TableManifest) -> Side {
    let manifest = Manifest {
        kind: "classifier-train".to_string(),
        version: 1,
        parameters: Value::Null,
        seed: Some(seed),
        inputs: BTreeMap::new(),
        sources: BTreeMap::new(),
        tool: None,
        salt: None,
    };
    let key = manifest.key().unwrap();
    let record = Record {
        manifest,
        outputs: BTreeMap::from([("history".to_string(), Artifact::Table(history))]),
        ancestry: BTreeMap::new(),
        making: Making::default(),
    };
    Side {
        label: format!("seed {seed}"),
        pipeline: "made-up".to_string(),
        cell: None,
        run: "run".to_string(),
        stages: BTreeMap::from([(stage.to_string(), (key, record))]),
        asked: Vec::new(),
    }
}

/// A group of these sides by place and seed.
fn group(label: &str, members: &[(usize, u64)]) -> Group {
    let member = |(side, seed): &(usize, u64)| Member {
        label: label.to_string(),
        run: "run".to_string(),
        seed: Some(*seed),
        side: *side,
    };
    Group {
        label: label.to_string(),
        members: members.iter().map(member).collect(),
        seconds: 0.0,
    }
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join(".dermflow")).unwrap();
    (folder, store)
}

/// What the second group has where each group is one training of these scores, of one seed.
fn second(measure: &str, scores: [&[Option<f64>]; 2]) -> Vec<StepsToScore> {
    let (_folder, store) = store();
    let sides = scores.map(|scores| side(1, "train", table(&store, measure, scores)));
    let groups = [group("base", &[(0, 1)]), group("other", &[(1, 1)])];
    let mut notes = Vec::new();
    let found = gather(&store, &sides, &groups, &mut notes);
    assert!(notes.is_empty(), "{notes:?}");
    found
}

#[test]
fn steps_are_means_over_the_seeds_that_reach_the_last_score_of_their_own_baseline() {
    let (_folder, store) = store();
    let all: [&[Option<f64>]; 6] = [
        // The baseline: its best is not its last.
        &[Some(0.5), Some(0.7), Some(0.6)],
        &[Some(0.1), Some(0.2), Some(0.3)],
        &[Some(0.1), Some(0.2), Some(0.9)],
        // The others, the seeds in another order.
        &[Some(0.4), Some(0.3), Some(0.8)],
        &[Some(0.2), Some(0.6), Some(0.1)],
        &[Some(0.0), Some(0.8)],
    ];
    let seeds = [1, 2, 3, 2, 1, 3];
    let sides: Vec<Side> = all
        .iter()
        .zip(seeds)
        .map(|(scores, seed)| side(seed, "train", table(&store, "valid_accuracy", scores)))
        .collect();
    let groups = [
        group("base", &[(0, 1), (1, 2), (2, 3)]),
        group("other", &[(3, 2), (4, 1), (5, 3)]),
    ];
    let found = gather(&store, &sides, &groups, &mut Vec::new());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].stage.as_str(), found[0].measure.as_str()),
        ("train", "valid_accuracy")
    );
    let own = found[0].groups[0].as_ref().unwrap();
    let step = |at: &Option<ReachedAt>| at.map(|at| at.step);
    let steps: Vec<Option<u64>> = own.first.iter().map(step).collect();
    assert_eq!(steps, [Some(20), Some(30), Some(30)]);
    assert_eq!((own.baseline_steps, own.seeds.len()), (30.0, 3));
    let other = found[0].groups[1].as_ref().unwrap();
    assert_eq!(other.seeds, [Some(1), Some(2), Some(3)]);
    let steps: Vec<Option<u64>> = other.first.iter().map(step).collect();
    assert_eq!(steps, [Some(20), Some(10), None]);
    assert_eq!(
        (other.steps, other.epochs, other.ratio),
        (Some(15.0), Some(1.5), Some(0.5))
    );
    assert!((other.score - 0.6).abs() < 1e-12, "{other:?}");
}

#[test]
fn a_score_that_is_never_reached_has_no_steps() {
    let found = second("valid_accuracy", [&[Some(0.5)], &[Some(0.1), Some(0.4)]]);
    let other = found[0].groups[1].as_ref().unwrap();
    assert_eq!(
        (other.steps, other.epochs, other.ratio, other.first.as_slice()),
        (None, None, None, &[None][..])
    );
}

#[test]
fn losses_are_reached_from_above_and_what_was_not_measured_is_passed_over() {
    let base = [Some(0.9), Some(0.4), None];
    let found = second("valid_cross_entropy", [&base, &[None, Some(0.5), Some(0.3)]]);
    let [own, other] = [0, 1].map(|place| found[0].groups[place].as_ref().unwrap());
    // The last score is the last that was measured, and all steps are all.
    assert_eq!(
        (own.score, own.steps, own.baseline_steps),
        (0.4, Some(20.0), 30.0)
    );
    assert_eq!((other.steps, other.ratio), (Some(30.0), Some(1.0)));
    assert!(is_better_lower("valid_heat_loss") && is_better_lower("valid_brier"));
    assert!(!is_better_lower("valid_balanced_accuracy"));
}

#[test]
fn there_is_no_row_without_scores_or_for_a_training_that_both_share() {
    let scores: &[Option<f64>] = &[Some(0.5), Some(0.6)];
    // The baseline's own, another column, and nothing measured on one side.
    assert!(second("valid_accuracy", [scores, scores]).is_empty());
    assert!(second("gradient_norm", [scores, &[Some(0.9)]]).is_empty());
    assert!(second("valid_accuracy", [scores, &[None]]).is_empty());
    assert!(second("valid_accuracy", [&[None, None], scores]).is_empty());
}

#[test]
fn stages_of_other_names_are_not_held_against_each_other() {
    let (_folder, store) = store();
    let history = |scores: &[Option<f64>]| table(&store, "valid_accuracy", scores);
    let sides = [
        side(1, "train", history(&[Some(0.5)])),
        side(1, "retrain", history(&[Some(0.6)])),
    ];
    let groups = [group("base", &[(0, 1)]), group("other", &[(1, 1)])];
    assert!(gather(&store, &sides, &groups, &mut Vec::new()).is_empty());
    assert!(gather(&store, &sides, &[], &mut Vec::new()).is_empty());
}
