//! Tests of `label-audit`: against cleanlab on real predictions, and at the edges.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float32Type, Float64Type, Int64Type};
use dermflow_core::memory::MemoryContext;
use dermflow_core::{SampleId, StageError, StageKind};
use proptest::prelude::*;

use super::{LabelAudit, LabelAuditParameters};
use crate::lesions::{CLASSES, lesion_given, lesion_predictions, predictions, texts};

fn parameters(yaml: &str) -> LabelAuditParameters {
    serde_yaml::from_str(yaml).unwrap()
}

fn lesions(yaml: &str) -> MemoryContext {
    let mut context = MemoryContext::default();
    context.add_table("predictions", lesion_predictions());
    context.add_table("labels", lesion_given());
    let yaml = format!("{{classes: [ACK, BCC, NEV, SCC, SEK], {yaml}}}");
    LabelAudit::run(&parameters(&yaml), &mut context).unwrap();
    context
}

fn cleanlab() -> serde_json::Value {
    serde_json::from_slice(include_bytes!("../../tests/data/label_errors.json")).unwrap()
}

fn id(image: &str) -> Vec<u8> {
    SampleId::of_key(image).as_bytes().to_vec()
}

fn suspects(context: &MemoryContext) -> Vec<Vec<u8>> {
    let table = context.output("suspects");
    let ids = table.column(0).as_fixed_size_binary();
    let ranks = table.column_by_name("rank").unwrap().as_primitive::<Int64Type>();
    let mut rows: Vec<(i64, Vec<u8>)> = (0..ids.len())
        .map(|row| (ranks.value(row), ids.value(row).to_vec()))
        .collect();
    rows.sort();
    assert!(
        rows.iter()
            .zip(1..)
            .all(|((rank, _), expected)| *rank == expected)
    );
    rows.into_iter().map(|(_, id)| id).collect()
}

#[test]
fn the_suspects_are_those_of_cleanlab_in_every_way_to_find_them() {
    let mut wrong = Vec::new();
    for (way, images) in cleanlab()["suspects"].as_object().unwrap() {
        let expected: BTreeSet<Vec<u8>> = images
            .as_array()
            .unwrap()
            .iter()
            .map(|image| id(image.as_str().unwrap()))
            .collect();
        let given: BTreeSet<Vec<u8>> = suspects(&lesions(&format!("suspect: {way}")))
            .into_iter()
            .collect();
        let [missed, more] = [expected.difference(&given), given.difference(&expected)].map(Iterator::count);
        if (missed, more) != (0, 0) {
            wrong.push(format!(
                "{way}: {missed} of {} missed, {more} more",
                expected.len()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn scores_thresholds_and_counts_are_those_of_cleanlab() {
    let expected = cleanlab();
    let context = lesions("suspect: noise-rate");
    let table = context.output("scores");
    let ids = table.column(0).as_fixed_size_binary();
    let own = table
        .column_by_name("self_confidence")
        .unwrap()
        .as_primitive::<Float32Type>();
    let margins = table
        .column_by_name("margin")
        .unwrap()
        .as_primitive::<Float64Type>();
    let rows: BTreeMap<Vec<u8>, usize> = (0..ids.len()).map(|row| (ids.value(row).to_vec(), row)).collect();
    assert_eq!(rows.len(), 342);
    for (image, score) in expected["scores"]["margin"].as_object().unwrap() {
        assert!((margins.value(rows[&id(image)]) - score.as_f64().unwrap()).abs() < 1e-9);
        let confidence = expected["scores"]["self-confidence"][image].as_f64().unwrap();
        assert!((f64::from(own.value(rows[&id(image)])) - confidence).abs() < 1e-9);
    }
    let metrics = context.output("metrics");
    let names = metrics.column_by_name("name").unwrap().as_string::<i32>();
    let classes = metrics.column_by_name("class").unwrap().as_string::<i32>();
    let values = metrics
        .column_by_name("value")
        .unwrap()
        .as_primitive::<Float64Type>();
    for (class, threshold) in CLASSES
        .into_iter()
        .zip(expected["thresholds"].as_array().unwrap())
    {
        let row = (0..names.len())
            .find(|row| names.value(*row) == "mean-self-confidence" && classes.value(*row) == class);
        assert!(
            (values.value(row.unwrap()) - threshold.as_f64().unwrap()).abs() < 1e-9,
            "{class}"
        );
    }
    let joint = context.output("joint");
    let counted = joint
        .column_by_name("counted")
        .unwrap()
        .as_primitive::<Int64Type>();
    let given = joint.column_by_name("given").unwrap().as_string::<i32>();
    let likely = joint.column_by_name("likely").unwrap().as_string::<i32>();
    for row in 0..joint.num_rows() {
        let [from, to] =
            [given, likely].map(|column| CLASSES.iter().position(|class| *class == column.value(row)));
        let cell = &expected["confident_joint"][from.unwrap()][to.unwrap()];
        assert_eq!(counted.value(row), cell.as_i64().unwrap(), "{from:?} {to:?}");
    }
    let shares = joint
        .column_by_name("share")
        .unwrap()
        .as_primitive::<Float64Type>();
    assert!((shares.values().iter().sum::<f64>() - 1.0).abs() < 1e-9);
}

#[test]
fn suspects_are_ranked_by_the_score_asked_for() {
    for (score, column) in [("margin", "margin"), ("self-confidence", "self_confidence")] {
        let context = lesions(&format!("suspect: predicted, rank-by: {score}"));
        let scores = cleanlab()["scores"][score].as_object().unwrap().clone();
        let of: BTreeMap<Vec<u8>, f64> = scores
            .iter()
            .map(|(image, score)| (id(image), score.as_f64().unwrap()))
            .collect();
        let ranked: Vec<f64> = suspects(&context).iter().map(|id| of[id]).collect();
        assert!(ranked.windows(2).all(|pair| pair[0] <= pair[1]), "{column}");
    }
}

/// Predictions of two classes, `a` likely by `shares`, and given labels.
fn small(shares: &[f32], labels: &[&str], yaml: &str) -> Result<MemoryContext, StageError> {
    let keys: Vec<String> = (0..shares.len()).map(|key| key.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let rows: Vec<Vec<f32>> = shares.iter().map(|share| vec![*share, 1.0 - share]).collect();
    let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let mut context = MemoryContext::default();
    context.add_table("predictions", predictions(&keys, &["a", "b"], &rows, None));
    context.add_table("labels", texts(&keys, "label", labels));
    LabelAudit::run(&parameters(yaml), &mut context).map(|()| context)
}

#[test]
fn a_flipped_label_among_clear_ones_is_found() {
    let shares = [0.9, 0.95, 0.92, 0.97, 0.1, 0.05, 0.08, 0.96];
    let labels = ["a", "a", "a", "a", "b", "b", "b", "b"];
    for way in ["noise-rate", "class", "both", "confident-joint", "predicted"] {
        let context = small(&shares, &labels, &format!("{{classes: [a, b], suspect: {way}}}")).unwrap();
        assert_eq!(suspects(&context), [id("7")], "{way}");
        assert!((context.metrics["noise-rate"] - 0.125).abs() < 1e-9, "{way}");
    }
}

#[test]
fn labels_that_the_model_does_not_know_are_told_and_not_scored() {
    let context = small(&[0.9, 0.2], &["a", "healthy"], "classes: [a, b]").unwrap();
    assert_eq!(context.metrics["labels-of-other-classes"], 1.0);
    let scores = context.output("scores");
    assert_eq!(scores.column_by_name("margin").unwrap().null_count(), 1);
    let given = context.output("disagreement");
    assert_eq!(given.num_rows(), 2);
    // No label that the model knows: nothing to estimate.
    let context = small(&[0.9], &["healthy"], "classes: [a, b]").unwrap();
    assert!(!context.metrics.contains_key("noise-rate"));
    assert_eq!(suspects(&context), Vec::<Vec<u8>>::new());
}

#[test]
fn a_label_that_the_model_does_not_know_is_never_suspected_and_told_apart_from_one_that_fits() {
    for way in ["noise-rate", "class", "both", "confident-joint", "predicted"] {
        let yaml = format!("{{classes: [a, b], suspect: {way}}}");
        let context = small(&[0.9, 0.2, 0.9], &["a", "healthy", "b"], &yaml).unwrap();
        let scores = context.output("scores");
        let labels = scores.column_by_name("label").unwrap().as_string::<i32>();
        let unknown = (0..labels.len()).find(|row| labels.value(*row) == "healthy");
        let suspected = scores.column_by_name("suspect").unwrap().as_boolean();
        let own = scores.column_by_name("self_confidence").unwrap();
        assert!(!suspected.value(unknown.unwrap()), "{way}");
        assert!(own.null_count() == 1 && own.is_null(unknown.unwrap()), "{way}");
        assert!(!suspects(&context).contains(&id("1")), "{way}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn suspects_are_never_predicted_as_given_and_both_is_in_either(
        samples in proptest::collection::vec((0_u8..=10, any::<bool>()), 1..40)
    ) {
        let shares: Vec<f32> = samples.iter().map(|(share, _)| f32::from(*share) / 10.0).collect();
        let labels: Vec<&str> = samples.iter().map(|(_, first)| if *first { "a" } else { "b" }).collect();
        let of = |way: &str| -> BTreeSet<Vec<u8>> {
            let context = small(&shares, &labels, &format!("{{classes: [a, b], suspect: {way}}}")).unwrap();
            let table = context.output("suspects");
            let label = table.column_by_name("label").unwrap().as_string::<i32>();
            let suggested = table.column_by_name("suggested").unwrap().as_string::<i32>();
            assert!((0..table.num_rows()).all(|row| label.value(row) != suggested.value(row)));
            suspects(&context).into_iter().collect()
        };
        let both = of("both");
        prop_assert!(both.is_subset(&of("noise-rate")) && both.is_subset(&of("class")));
        prop_assert!(of("confident-joint").is_subset(&of("predicted")));
    }
}
