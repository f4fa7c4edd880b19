//! Tests of `select-for-labelling`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, ListArray, RecordBatch, StringArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use dermflow_core::memory::{MemoryContext, batch};
use dermflow_core::{SampleId, StageError, StageKind};
use proptest::prelude::*;

use super::{SelectForLabelling, SelectForLabellingParameters};

fn parameters(yaml: &str) -> SelectForLabellingParameters {
    serde_yaml::from_str(yaml).unwrap()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("s{number}")).collect()
}

/// Samples s0, s1 … with a stratum, a group and two numbers.
fn samples(points: &[(&str, &str, f64, f64)]) -> RecordBatch {
    let keys = names(points.len());
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let text = |of: fn(&(&str, &str, f64, f64)) -> String| -> ArrayRef {
        Arc::new(
            points
                .iter()
                .map(|point| Some(of(point)).filter(|text| !text.is_empty()))
                .collect::<StringArray>(),
        )
    };
    let number = |of: fn(&(&str, &str, f64, f64)) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(points.iter().map(of)))
    };
    let columns = [
        ("label", text(|point| point.0.to_string())),
        ("group", text(|point| point.1.to_string())),
        ("u", number(|point| point.2)),
        ("v", number(|point| point.3)),
    ];
    batch(&keys, columns)
}

fn predictions(rows: &[[f32; 3]]) -> RecordBatch {
    let keys = names(rows.len());
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let best = |row: &[f32; 3]| (0..3).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
    let labels: StringArray = rows.iter().map(|row| Some(["a", "b", "c"][best(row)])).collect();
    let sure = Float32Array::from_iter_values(rows.iter().map(|row| row[best(row)]));
    let values = Float32Array::from_iter_values(rows.iter().flatten().copied());
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let lists = ListArray::new(
        item,
        OffsetBuffer::from_repeated_length(3, rows.len()),
        Arc::new(values),
        None,
    );
    let columns: [(&str, ArrayRef); 3] = [
        ("label", Arc::new(labels)),
        ("probability", Arc::new(sure)),
        ("probabilities", Arc::new(lists)),
    ];
    batch(&keys, columns)
}

struct Given {
    samples: RecordBatch,
    predictions: Option<RecordBatch>,
    labelled: Vec<String>,
}

fn run(given: &Given, yaml: &str) -> Result<RecordBatch, StageError> {
    let parameters = parameters(yaml);
    assert_eq!(SelectForLabelling::check(&parameters), []);
    let mut context = MemoryContext::default();
    context.seed = 3;
    context.batch_rows = 7;
    context.add_table("samples", given.samples.clone());
    if let Some(predictions) = &given.predictions {
        context.add_table("predictions", predictions.clone());
    }
    if !given.labelled.is_empty() {
        let keys: Vec<&str> = given.labelled.iter().map(String::as_str).collect();
        context.add_table("labelled", batch(&keys, []));
    }
    SelectForLabelling::run(&parameters, &mut context)?;
    Ok(context.output("selection"))
}

/// The chosen numbers in order of their ranks.
fn chosen(selection: &RecordBatch, count: usize) -> Vec<usize> {
    let ids = selection.column(0).as_fixed_size_binary();
    let ranks = selection
        .column_by_name("rank")
        .unwrap()
        .as_primitive::<Int64Type>();
    let numbers: BTreeMap<Vec<u8>, usize> = names(count)
        .iter()
        .enumerate()
        .map(|(at, name)| (SampleId::of_key(name).as_bytes().to_vec(), at))
        .collect();
    let mut chosen: Vec<(i64, usize)> = (0..selection.num_rows())
        .map(|row| (ranks.value(row), numbers[ids.value(row)]))
        .collect();
    chosen.sort();
    assert_eq!(
        chosen.iter().map(|(rank, _)| *rank).collect::<Vec<_>>(),
        (1..=chosen.len() as i64).collect::<Vec<_>>()
    );
    chosen.into_iter().map(|(_, number)| number).collect()
}

fn plain(count: usize) -> Given {
    Given {
        samples: samples(&vec![("", "", 0.0, 0.0); count]),
        predictions: None,
        labelled: Vec::new(),
    }
}

#[test]
fn the_least_certain_come_first_by_each_measure() {
    let rows = [
        [0.9, 0.05, 0.05],
        [0.5, 0.5, 0.0],
        [0.4, 0.3, 0.3],
        [0.34, 0.33, 0.33],
        [0.6, 0.2, 0.2],
    ];
    let given = Given {
        predictions: Some(predictions(&rows)),
        ..plain(5)
    };
    let picked = |by: &str| chosen(&run(&given, &format!("{{budget: 3, by: {by}}}")).unwrap(), 5);
    assert_eq!(picked("least-confident"), [3, 2, 1]);
    assert_eq!(picked("margin"), [1, 3, 2]);
    assert_eq!(picked("entropy"), [3, 2, 4]);
    let table = run(&given, "{budget: 1, by: margin}").unwrap();
    let expected = ["sample_id", "label", "probability", "rank", "score", "stratum"];
    assert_eq!(
        table
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect::<Vec<_>>(),
        expected
    );
    let broken = Given {
        predictions: Some(predictions(&[[f32::NAN, 0.5, 0.5]])),
        ..plain(1)
    };
    assert!(
        run(&broken, "{budget: 1, by: entropy}")
            .unwrap_err()
            .message
            .contains("no numbers")
    );
}

#[test]
fn strata_get_their_shares_and_groups_their_most() {
    let points: Vec<(&str, &str, f64, f64)> = (0..60)
        .map(|at| {
            let group = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9"][at % 10];
            (if at % 6 == 0 { "rare" } else { "common" }, group, 0.0, 0.0)
        })
        .collect();
    let given = Given {
        samples: samples(&points),
        ..plain(0)
    };
    let counts = |yaml: &str| {
        let picked = chosen(&run(&given, yaml).unwrap(), 60);
        let rare = picked.iter().filter(|at| *at % 6 == 0).count();
        let mut groups: BTreeMap<usize, usize> = BTreeMap::new();
        picked
            .iter()
            .for_each(|at| *groups.entry(at % 10).or_default() += 1);
        (rare, picked.len(), groups.into_values().max().unwrap())
    };
    assert_eq!(counts("{budget: 12, stratify: label}").0, 2);
    assert_eq!(counts("{budget: 12, stratify: label, shares: equal}").0, 6);
    let (_, all, most) = counts("{budget: 12, group: group}");
    assert_eq!((all, most), (10, 1));
    assert_eq!(counts("{budget: 12, group: group, per-group: 2}").1, 12);
}

#[test]
fn what_is_labelled_is_not_chosen_and_chance_depends_on_the_sample_alone() {
    let mut given = plain(40);
    let all = chosen(&run(&given, "{budget: 40}").unwrap(), 40);
    given.labelled = all[..10].iter().map(|number| format!("s{number}")).collect();
    assert_eq!(chosen(&run(&given, "{budget: 5}").unwrap(), 40), all[10..15]);
}

#[test]
fn the_most_diverse_cover_the_corners_and_keep_away_from_what_is_labelled() {
    let mut points = vec![("", "", 0.0, 0.0); 20];
    points.extend([("", "", 9.0, 0.0), ("", "", 0.0, 9.0), ("", "", 9.0, 9.0)]);
    let mut given = Given {
        samples: samples(&points),
        ..plain(0)
    };
    let yaml = "{budget: 3, by: diverse, features: [u, v]}";
    given.labelled = vec!["s0".to_string()];
    let picked: BTreeSet<usize> = chosen(&run(&given, yaml).unwrap(), 23).into_iter().collect();
    assert_eq!(picked, BTreeSet::from([20, 21, 22]));
    let table = run(&given, yaml).unwrap();
    let scores = table
        .column_by_name("score")
        .unwrap()
        .as_primitive::<Float64Type>();
    assert!(scores.null_count() == 0 && scores.iter().flatten().all(|score| score > 1.0));
}

#[test]
fn parameters_that_make_no_sense_are_told_at_their_place() {
    let places = |yaml: &str| -> Vec<String> {
        let problems = SelectForLabelling::check(&parameters(yaml));
        problems.into_iter().map(|problem| problem.parameter).collect()
    };
    assert_eq!(places("{budget: 0}"), ["budget"]);
    assert_eq!(places("{budget: 1, features: [x]}"), ["features"]);
    assert_eq!(places("{budget: 1, per-group: 3}"), ["per-group"]);
    assert_eq!(places("{budget: 1, shares: equal}"), ["shares"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn greedy_centres_are_at_most_twice_as_far_as_the_best_ones(
        points in prop::collection::vec((0u8..20, 0u8..20), 4..9),
    ) {
        let rows: Vec<(&str, &str, f64, f64)> =
            points.iter().map(|(u, v)| ("", "", f64::from(*u), f64::from(*v))).collect();
        let given = Given { samples: samples(&rows), ..plain(0) };
        let picked = chosen(&run(&given, "{budget: 2, by: diverse, features: [u, v]}").unwrap(), rows.len());
        // Distances where single numbers have deviation 1, as the kind takes them.
        let scale = |of: fn(&(&str, &str, f64, f64)) -> f64| {
            let mean = rows.iter().map(of).sum::<f64>() / rows.len() as f64;
            let deviation = (rows.iter().map(|row| (of(row) - mean).powi(2)).sum::<f64>() / rows.len() as f64).sqrt();
            if deviation > 0.0 { 1.0 / deviation } else { 0.0 }
        };
        let (su, sv) = (scale(|row| row.2), scale(|row| row.3));
        let distance = |a: usize, b: usize| {
            ((rows[a].2 - rows[b].2) * su).hypot((rows[a].3 - rows[b].3) * sv)
        };
        let radius = |centres: &[usize]| {
            let nearest = |at: usize| centres.iter().map(|centre| distance(at, *centre)).fold(f64::INFINITY, f64::min);
            (0..rows.len()).map(nearest).fold(0.0, f64::max)
        };
        let mut best = f64::INFINITY;
        for a in 0..rows.len() {
            for b in 0..a {
                best = best.min(radius(&[a, b]));
            }
        }
        prop_assert!(radius(&picked) <= 2.0 * best + 1e-5, "{} {best}", radius(&picked));
    }
}
