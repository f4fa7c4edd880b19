//! Tests of `synthesize`; what a scene looks like is tested where it is drawn.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use dermflow_core::memory::MemoryContext;
use dermflow_core::{Contract, StageKind, TableType};

use super::{Synthesize, SynthesizeParameters};

fn run(with: &str) -> MemoryContext {
    let parameters: SynthesizeParameters = serde_yaml::from_str(with).unwrap();
    assert_eq!(Synthesize::check(&parameters), []);
    let mut context = MemoryContext::default();
    context.seed = 5;
    context.threads = 2;
    Synthesize::run(&parameters, &mut context).unwrap();
    context
}

fn texts(table: &RecordBatch, column: &str) -> Vec<String> {
    let texts = table.column_by_name(column).unwrap().as_string::<i32>();
    texts.iter().flatten().map(str::to_string).collect()
}

fn ids(table: &RecordBatch) -> Vec<Vec<u8>> {
    table
        .column(0)
        .as_fixed_size_binary()
        .iter()
        .flatten()
        .map(<[u8]>::to_vec)
        .collect()
}

fn counts(values: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value.as_str()).or_default() += 1;
    }
    counts
}

#[test]
fn outputs_fit_their_contracts_and_a_larger_set_begins_with_the_smaller() {
    let (few, many) = (
        run("{images: 20, width: 16, height: 12}"),
        run("{images: 300, width: 16, height: 12}"),
    );
    for (port, contract) in [
        ("samples", "Samples"),
        ("truth", "Labels"),
        ("dirty", "Labels"),
        ("boxes", "Boxes"),
    ] {
        let wanted = TableType::of(Contract::named(contract).unwrap());
        let given = TableType::from_schema(contract, &few.output(port).schema()).unwrap();
        wanted.accepts(&given).unwrap();
        let more = many.output(port);
        let rows: BTreeMap<Vec<u8>, usize> = ids(&more)
            .into_iter()
            .enumerate()
            .map(|(row, id)| (id, row))
            .rev()
            .collect();
        let table = few.output(port);
        let mut last = None;
        for (row, id) in ids(&table)
            .into_iter()
            .enumerate()
            .filter(|(_, id)| last.replace(id.clone()).as_ref() != Some(id))
        {
            assert_eq!(table.slice(row, 1), more.slice(rows[&id], 1), "{port}");
        }
    }
    assert_eq!(
        ids(&many.output("samples"))
            .into_iter()
            .collect::<BTreeSet<_>>()
            .len(),
        300
    );
    let pixels = few
        .output("samples")
        .column_by_name("pixels")
        .unwrap()
        .as_binary::<i32>()
        .clone();
    assert!(pixels.iter().flatten().all(|pixels| pixels.len() == 16 * 12 * 3));
}

#[test]
fn classes_have_a_tail_and_dirty_labels_their_noise() {
    let context = run("{images: 3000, width: 8, height: 8, classes: 4, tail: 1, label-noise: 0.25}");
    let truth = context.output("truth");
    let (labels, given) = (texts(&truth, "label"), texts(&truth, "given"));
    let counts = counts(&labels);
    // 1 : 1/2 : 1/3 : 1/4 of 25/12.
    for (class, expected) in [
        ("class-0", 1440.0),
        ("class-1", 720.0),
        ("class-2", 480.0),
        ("class-3", 360.0),
    ] {
        let count = counts[class] as f64;
        assert!(
            (count - expected).abs() < 4.0 * f64::sqrt(expected),
            "{class}: {count}"
        );
    }
    let wrong = labels
        .iter()
        .zip(&given)
        .filter(|(label, given)| label != given)
        .count();
    assert!((650..850).contains(&wrong), "{wrong} wrong of 3000, 750 expected");
    assert_eq!(texts(&context.output("dirty"), "label"), given);
    assert_eq!(texts(&context.output("samples"), "label"), given);
}

#[test]
fn held_out_and_healthy_pictures_are_filed_under_seen_classes() {
    let context = run("{images: 1200, width: 8, height: 8, classes: 6, held-out: 2, healthy: 0.25}");
    let truth = context.output("truth");
    let (labels, given) = (texts(&truth, "label"), texts(&truth, "given"));
    let held_out = truth.column_by_name("held_out").unwrap().as_boolean();
    let mut unseen = 0;
    for (row, label) in labels.iter().enumerate() {
        let is_unseen = ["class-4", "class-5"].contains(&label.as_str());
        assert_eq!(held_out.value(row), is_unseen);
        unseen += usize::from(is_unseen);
        assert!(!["class-4", "class-5", "healthy"].contains(&given[row].as_str()));
        assert!(is_unseen || label == "healthy" || *label == given[row]);
    }
    assert!((230..370).contains(&unseen), "{unseen} unseen, 300 expected");
    let healthy = counts(&labels)["healthy"];
    assert!((240..360).contains(&healthy), "{healthy} healthy, 300 expected");
    let with_boxes: BTreeSet<Vec<u8>> = ids(&context.output("boxes")).into_iter().collect();
    assert_eq!(with_boxes.len(), 1200 - healthy, "healthy skin has no box");
}

#[test]
fn the_shortcut_is_as_strong_as_it_says() {
    for (strength, expected) in [(0.0, 0.125), (0.6, 0.65), (1.0, 1.0)] {
        let context = run(&format!(
            "{{images: 1500, width: 8, height: 8, shortcut: {strength}}}"
        ));
        let truth = context.output("truth");
        let background = truth
            .column_by_name("background")
            .unwrap()
            .as_primitive::<Int64Type>();
        let own = texts(&truth, "label")
            .iter()
            .zip(background.values())
            .filter(|(label, background)| **label == format!("class-{background}"))
            .count();
        let share = own as f64 / 1500.0;
        assert!((share - expected).abs() < 0.05, "{share} at strength {strength}");
    }
}

#[test]
fn a_patient_has_one_disease_and_boxes_lie_in_the_picture() {
    let context = run("{images: 200, width: 24, height: 40, pictures-per-patient: 4, lesions: 4}");
    let (samples, truth) = (context.output("samples"), context.output("truth"));
    let mut diseases: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (patient, label) in texts(&samples, "group").into_iter().zip(texts(&truth, "label")) {
        diseases.entry(patient).or_default().insert(label);
    }
    assert_eq!(diseases.len(), 50);
    assert!(diseases.values().all(|labels| labels.len() == 1));
    let boxes = context.output("boxes");
    assert!(
        (400..600).contains(&boxes.num_rows()),
        "{} boxes, 500 expected",
        boxes.num_rows()
    );
    for (from, side) in [("x", "w"), ("y", "h")] {
        let column = |name: &str| {
            boxes
                .column_by_name(name)
                .unwrap()
                .as_primitive::<Float64Type>()
                .clone()
        };
        for (from, side) in column(from).values().iter().zip(column(side).values()) {
            assert!(
                *from >= -1e-6 && *side > 0.0 && from + side <= 1.0 + 1e-6,
                "{from} {side}"
            );
        }
    }
}

#[test]
fn not_every_class_can_be_held_out() {
    let parameters = serde_yaml::from_str("{images: 1, classes: 3, held-out: 3}").unwrap();
    assert_eq!(Synthesize::check(&parameters)[0].parameter, "held-out");
}
